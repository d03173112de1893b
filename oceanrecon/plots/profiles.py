"""Draws a profile store: pictures of what an inspection found, and one HTML page that holds them all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from oceanrecon.pipeline.profiles.figures import ProfileFigures
from oceanrecon.plots.maps import png_bytes
from oceanrecon.plots.page import Picture
from oceanrecon.plots.profiles_figures import (
    draw_diagram,
    draw_differences,
    draw_funnel,
    draw_levels,
    draw_times,
)
from oceanrecon.plots.profiles_map import draw_places
from oceanrecon.plots.profiles_page import SECTIONS, render_profiles
from oceanrecon.stores.files import Root

PAGE = "index.html"
#: Where the page goes when the store is not in the output of an enrichment.
ELSEWHERE = "profiles-inspect"


def default_folder(figures: ProfileFigures) -> Path:
    """``inspect`` in the output of the enrichment where that is local, else ``profiles-inspect`` right here."""
    local = None if figures.output is None else Root(figures.output).local_path
    return Path(ELSEWHERE).absolute() if local is None else local / "inspect"


def draw_profiles(
    figures: ProfileFigures, output_dir: str | Path, on_done: Callable[[int, int, str], None] | None = None
) -> Path:
    """Draw what an inspection found; returns the path of ``index.html``, which needs no other file.

    Beside it lie the pictures as PNG. What a store has nothing for is left out, and the page says why.

    Args:
        figures: as ``inspect_profiles`` gives them.
        output_dir: local folder, made where it is not there.
        on_done: called with how many pictures are drawn, how many there are, and the last.

    Raises:
        OutputError: nothing can be written there.
    """
    wanted = _drawings(figures)
    output = Root(str(output_dir))
    pictures = {}
    for number, (name, draw) in enumerate(wanted.items(), start=1):
        pictures[name] = Picture(f"{name}.png", SECTIONS[name].caption, png_bytes(draw(figures)))
        if on_done is not None:
            on_done(number, len(wanted), name)
    for picture in pictures.values():
        output.write(picture.name, picture.png)
    output.write(PAGE, render_profiles(figures, pictures).encode())
    output.clear_staging()
    return Path(output.url_of(PAGE))


def _drawings(figures: ProfileFigures) -> dict[str, Callable[[ProfileFigures], Figure]]:
    """The drawings that the store has something for, in the order of the page."""
    drawings: dict[str, Callable[[ProfileFigures], Figure]] = {}
    if figures.profiles:
        drawings |= {"map": draw_places, "times": draw_times, "levels": draw_levels}
    if any(figures.funnel()[0][1].values()):
        drawings["funnel"] = draw_funnel
    if figures.diagram.any():
        drawings["temperature_salinity"] = draw_diagram
    if any(difference.number.any() for difference in figures.differences):
        drawings["differences"] = draw_differences
    return drawings
