"""What every page is made of: its style, tiles, tables and figures, in one HTML file that needs no other."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

_STYLE = """
:root { color-scheme: light dark; --paper: #fbfbfa; --card: #fff; --ink: #1d2327; --soft: #5c676f; --line: #dfe3e5;
  --accent: #04627f; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --paper: #12181c; --card: #1a2227; --ink: #e7ecee; --soft: #9aa7af;
  --line: #2d383f; --accent: #6cc5dd; --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 80rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
p { margin: .25rem 0 1rem; color: var(--soft); } code { font-size: .9em; }
nav { margin: .5rem 0 1.5rem; } nav a { margin-right: 1rem; color: var(--accent); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .75rem; }
.tiles div { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.tiles dt, .tiles small { color: var(--soft); font-size: .8rem; } .tiles dd { margin: 0; font-size: 1.1rem; }
.wide { overflow-x: auto; margin-bottom: .75rem; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .85rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } .text { text-align: left; }
.long { white-space: normal; text-align: left; }
.bad { color: var(--bad); font-weight: 600; }
details { margin: .5rem 0; } summary { cursor: pointer; color: var(--accent); }
figure { margin: 0 0 1rem; } img { width: 100%; height: auto; border: 1px solid var(--line); border-radius: .5rem;
  background: #fff; }
"""


@dataclass(frozen=True)
class Picture:
    """A PNG of the page: its file name, what it shows (for who cannot see it), and its bytes."""

    name: str
    caption: str
    png: bytes


class Markup(str):
    """Text that is HTML already."""


def document(title: str, body: Iterable[str]) -> str:
    """A whole page, as HTML that refers to nothing outside itself; ``body`` is HTML."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def counted(number: int, word: str, plural: str = "s") -> str:
    """``1 patch`` or ``3,500 patches``."""
    return f"{number:,} {word}{'' if number == 1 else plural}"


def percent(share: float, digits: int = 1) -> str:
    """``12.5 %``, of a share of 1; in words where it is NaN."""
    return "an unknown part" if math.isnan(share) else f"{100 * share:.{digits}f} %"


def flag(value: str, bad: bool) -> str:
    """The value, in the colour of what is wrong where it is ``bad``."""
    return Markup(f'<span class="bad">{escape(value)}</span>') if bad else value


def tiles(entries: Iterable[tuple[str, str, str]]) -> str:
    """Small cards of (name, value, note)."""
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{value if isinstance(value, Markup) else escape(value)}</dd>"
        f"<small>{escape(note)}</small></div>"
        for name, value, note in entries
    )
    return f'<dl class="tiles">{cells}</dl>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, text: int) -> str:
    """A table whose first ``text`` columns are words."""

    def cells(tag: str, values: Sequence[str]) -> str:
        kinds = ["long" if n and n == text - 1 else "text" if n < text else "" for n in range(len(values))]
        return "".join(
            f"<{tag}{f' class={kind}' if kind else ''}>{value if isinstance(value, Markup) else escape(str(value))}"
            f"</{tag}>"
            for value, kind in zip(values, kinds, strict=True)
        )

    lines = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells("th", head)}</tr></thead><tbody>{lines}</tbody></table></div>'


def figure(picture: Picture) -> str:
    """A picture, its bytes in the page."""
    data = base64.b64encode(picture.png).decode("ascii")
    return f'<figure><img alt="{escape(picture.caption)}" src="data:image/png;base64,{data}"></figure>'
