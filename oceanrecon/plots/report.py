"""One self-contained HTML page: the manifest's numbers and the pictures, which are part of the file."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from rich.filesize import decimal as file_size

from oceanrecon.grid.times import parse_date
from oceanrecon.plots.facts import ExportFacts, export_facts
from oceanrecon.plots.fields import SeamCheck

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
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .85rem; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; } .text { text-align: left; }
.long { white-space: normal; text-align: left; }
.bad { color: var(--bad); font-weight: 600; }
figure { margin: 0 0 1rem; } img { width: 100%; height: auto; border: 1px solid var(--line); border-radius: .5rem;
  background: #fff; }
"""


@dataclass(frozen=True)
class Picture:
    """A PNG of the page: its file name, what it shows (for who cannot see it), and its bytes."""

    name: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class Chapter:
    """The pictures of one variable, and what its seams hold."""

    name: str
    title: str
    pictures: tuple[Picture, ...]
    seams: tuple[SeamCheck, ...]


def render_page(manifest: Mapping[str, Any], overview: Picture | None, chapters: Sequence[Chapter]) -> str:
    """The page, as HTML that refers to nothing outside itself."""
    facts = export_facts(manifest)
    links = "".join(f'<a href="#{escape(c.name)}">{escape(c.name)}</a>' for c in chapters)
    body = [
        "<h1>Ocean export</h1>",
        f"<p>made by {escape(str(manifest['created_by']))}, {escape(str(manifest['created_utc']))}</p>",
        f'<nav><a href="#numbers">numbers</a>{links}</nav>',
        _tiles(manifest, facts),
        _figure(overview) if overview else "",
        '<h2 id="numbers">Numbers</h2>',
        _variables(facts),
        "<h2>Encoding</h2>",
        _encoding(manifest),
        _problems(manifest),
    ]
    for chapter in chapters:
        body.append(f'<h2 id="{escape(chapter.name)}">{escape(chapter.title)} <code>{escape(chapter.name)}</code></h2>')
        body.extend(_figure(picture) for picture in chapter.pictures)
        body.append(_seams(chapter.seams))
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f"<title>Ocean export</title><style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _tiles(manifest: Mapping[str, Any], facts: ExportFacts) -> str:
    grid = manifest["grid"]
    start, end = (parse_date(manifest["requested_date_range"][key]) for key in ("start_date", "end_date"))
    levels = len(manifest["depth_axis_m"])
    valid = sum(variable.valid for variable in facts.variables)
    clipped = sum(variable.clipped_low + variable.clipped_high for variable in facts.variables)
    failures = len(manifest["failures"])
    span = f"{facts.targets[0]} to {facts.targets[-1]}" if facts.targets else "none"
    tiles = [
        ("target dates", str(len(facts.targets)), span),
        ("requested", f"{start} to {end}", manifest["time"]["targets"]),
        ("grid", f"{grid['width']} x {grid['height']}", f"{grid['resolution']['x']:.6g}°, {grid['crs']}"),
        ("depth levels", str(levels), _depths(manifest["depth_axis_m"])),
        ("window", f"{manifest['surface_temporal_aggregation']['window_days']} days", manifest["time"]["window"]),
        ("encoding", manifest["encoding"], str(manifest["regridding"].get("method", ""))),
        ("files", f"{facts.files:,}", file_size(facts.bytes)),
        ("clipped values", f"{clipped:,}", _percent(clipped, valid)),
        ("failures", str(failures), "a rerun with --resume tries them again" if failures else "none"),
    ]
    cells = "".join(
        f"<div><dt>{escape(name)}</dt><dd{' class=bad' if name == 'failures' and failures else ''}>{escape(value)}</dd>"
        f"<small>{escape(note)}</small></div>"
        for name, value, note in tiles
    )
    return f'<dl class="tiles">{cells}</dl>'


def _variables(facts: ExportFacts) -> str:
    head = ("variable", "product", "dates", "absent", "files", "bytes", "valid", "missing", "clipped low",
            "clipped high", "days used", "distance", "with warnings")  # fmt: skip
    rows = [
        (
            variable.variable,
            variable.product,
            f"{variable.dates:,}",
            _flag(f"{variable.absent:,}", variable.absent > 0),
            f"{variable.files:,}",
            file_size(variable.bytes),
            f"{variable.valid:,}",
            f"{variable.missing:,}",
            f"{variable.clipped_low:,} ({_percent(variable.clipped_low, variable.valid)})",
            f"{variable.clipped_high:,} ({_percent(variable.clipped_high, variable.valid)})",
            "{} to {}".format(*variable.days_used) if len(set(variable.days_used)) == 2 else str(variable.days_used[0]),
            f"{variable.distance} d",
            _flag(f"{variable.warned:,}", variable.warned > 0),
        )
        for variable in facts.variables
    ]
    return _table(head, rows, text=2)


def _encoding(manifest: Mapping[str, Any]) -> str:
    head = ("quantity", "stored as", "minimum", "maximum", "units", "step", "largest error", "missing")
    rows = [
        (
            name,
            stretch["storage_dtype"],
            f"{stretch['minimum']:g}",
            f"{stretch['maximum']:g}",
            stretch["units"],
            f"{stretch['quantization_step']:.6g}",
            f"{stretch['max_abs_quantization_error']:.6g}",
            str(stretch["nodata"]),
        )
        for name, stretch in manifest["stretch"].items()
    ]
    return _table(head, rows, text=2)


def _problems(manifest: Mapping[str, Any]) -> str:
    parts = []
    if manifest["products"]["left_out"]:
        rows = list(manifest["products"]["left_out"].items())
        parts.append("<h2>Products left out</h2>" + _table(("product", "why"), rows, text=2))
    if manifest["failures"]:
        rows = [(f["variable"], f["date"], f["error"], f["message"]) for f in manifest["failures"]]
        parts.append("<h2>Failures</h2>" + _table(("variable", "date", "error", "message"), rows, text=4))
    return "".join(parts)


def _seams(seams: Sequence[SeamCheck]) -> str:
    if not seams:
        return ""
    head = ("meridian", "valid: 2 west", "1 west", "1 east", "2 east", "step across / typical")
    rows = [
        (
            f"{seam.longitude:g}°",
            *(_flag(f"{100 * share:.1f} %", seam.suspicious) for share in seam.valid_share),
            _flag(f"{seam.step_ratio:.2f}", seam.suspicious),
        )
        for seam in seams
    ]
    return "<p>Columns beside the meridians where sources start or end:</p>" + _table(head, rows, text=1)


class _Markup(str):
    """Text that is HTML already."""


def _flag(value: str, bad: bool) -> str:
    return _Markup(f'<span class="bad">{escape(value)}</span>') if bad else value


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], *, text: int) -> str:
    """A table whose first ``text`` columns are words."""

    def cells(tag: str, values: Sequence[str]) -> str:
        kinds = ["long" if n and n == text - 1 else "text" if n < text else "" for n in range(len(values))]
        return "".join(
            f"<{tag}{f' class={kind}' if kind else ''}>{value if isinstance(value, _Markup) else escape(str(value))}"
            f"</{tag}>"
            for value, kind in zip(values, kinds, strict=True)
        )

    lines = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells("th", head)}</tr></thead><tbody>{lines}</tbody></table></div>'


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    return f'<figure><img alt="{escape(picture.caption)}" src="data:image/png;base64,{data}"></figure>'


def _depths(depth: Sequence[float]) -> str:
    return f"{depth[0]:.4g} to {depth[-1]:.6g} m" if depth else "surface only"


def _percent(part: int, whole: int) -> str:
    return f"{100.0 * part / whole:.3f} %" if whole else "none"
