"""Draws a patch index: pictures of what its statistics found and of a few samples, and one HTML page with all."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from oceanrecon.pipeline.patches.examples import Example
from oceanrecon.pipeline.patches.figures import PatchFigures
from oceanrecon.plots.drawing import OnDone, drawn, write_page
from oceanrecon.plots.patches_figures import draw_land, draw_support, draw_times, draw_valid
from oceanrecon.plots.patches_map import draw_overlap, draw_profiles_per_patch, draw_split
from oceanrecon.plots.patches_page import EXAMPLES, SECTIONS, render_patches
from oceanrecon.plots.patches_samples import draw_example
from oceanrecon.stores.files import Root

#: In the folder of an index.
FOLDER = "stats"
NUMBERS = "stats.json"


def draw_patches(
    figures: PatchFigures,
    examples: Sequence[Example],
    notes: Sequence[str],
    output: str,
    on_done: OnDone | None = None,
) -> str:
    """Draw what the statistics found; returns the path of ``index.html``, which needs no other file.

    Beside it lie the pictures as PNG, and ``stats.json``. What an index has nothing for is left out, and the page says
    why.

    Args:
        figures: of the index.
        examples: samples to show.
        notes: what could not be shown, and why.
        output: folder or fsspec URL, made where it is not there.
        on_done: called with how many pictures are drawn, how many there are, and the last.

    Raises:
        OutputError: nothing can be written there.
    """
    root = Root(output)
    wanted = {name: (SECTIONS[name].caption, partial(draw, figures)) for name, draw in _drawings(figures).items()}
    shown = {
        f"example_{example.name}": (EXAMPLES[example.name].caption, partial(draw_example, example))
        for example in examples
    }
    pictures = drawn(wanted | shown, on_done)
    samples = {example.name: pictures[f"example_{example.name}"] for example in examples}
    page = render_patches(figures, {name: pictures[name] for name in wanted}, samples, notes)
    root.write(NUMBERS, json.dumps(summary(figures, notes), indent=1).encode())
    return write_page(root, pictures.values(), page)


def summary(figures: PatchFigures, notes: Sequence[str]) -> dict[str, Any]:
    """What ``stats.json`` has."""
    return figures.summary() | {"notes": list(notes)}


def _drawings(figures: PatchFigures) -> dict[str, Callable[[PatchFigures], Figure]]:
    """The drawings that the index has something for, in the order of the page."""
    drawings: dict[str, Callable[[PatchFigures], Figure]] = {
        "split": draw_split,
        "support": draw_support,
        "valid": draw_valid,
        "land": draw_land,
        "overlap": draw_overlap,
        "profiles": draw_profiles_per_patch,
        "times": draw_times,
    }
    without = set()
    if not figures.all_rows.rows:
        without |= {"support", "profiles", "times"}
    if not figures.used.any():
        without |= {"split", "valid", "overlap"}
    return {name: draw for name, draw in drawings.items() if name not in without}
