"""Draws a profile store: pictures of what an inspection found, and one HTML page that holds them all."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from oceanrecon.pipeline.profiles.figures import ProfileFigures
from oceanrecon.plots.drawing import OnDone, drawn, write_page
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

#: Where the page goes when the store is not in the output of an enrichment.
ELSEWHERE = "profiles-inspect"


def default_folder(figures: ProfileFigures) -> Path:
    """``inspect`` in the output of the enrichment where that is local, else ``profiles-inspect`` right here."""
    local = None if figures.output is None else Root(figures.output).local_path
    return Path(ELSEWHERE).absolute() if local is None else local / "inspect"


def draw_profiles(figures: ProfileFigures, output_dir: str | Path, on_done: OnDone | None = None) -> Path:
    """Draw what an inspection found; returns the path of ``index.html``, which needs no other file.

    Beside it lie the pictures as PNG. What a store has nothing for is left out, and the page says why.

    Args:
        figures: as ``inspect_profiles`` gives them.
        output_dir: local folder, made where it is not there.
        on_done: called with how many pictures are drawn, how many there are, and the last.

    Raises:
        OutputError: nothing can be written there.
    """
    wanted = {name: (SECTIONS[name].caption, partial(draw, figures)) for name, draw in _drawings(figures).items()}
    pictures = drawn(wanted, on_done)
    return Path(write_page(Root(str(output_dir)), pictures.values(), render_profiles(figures, pictures)))


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
