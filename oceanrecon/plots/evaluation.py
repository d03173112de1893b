"""Draws an evaluation: pictures of its scores, calibration, spectra and examples, and one HTML page with all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from oceanrecon.plots.drawing import Drawings, OnDone, drawn, write_page
from oceanrecon.plots.evaluation_examples import Arrays, draw_map, draw_profiles, draw_section
from oceanrecon.plots.evaluation_figures import (
    draw_by_depth,
    draw_calibration,
    draw_spectra,
    ensembles,
    has_spectra,
)
from oceanrecon.plots.evaluation_page import render_evaluation
from oceanrecon.stores.files import Root


def draw_evaluation(
    numbers: Mapping[str, Any],
    arrays: Arrays,
    output: str,
    on_done: OnDone | None = None,
) -> str:
    """Draw an evaluation; returns the path of ``index.html``, which needs no other file. Pictures lie beside it.

    Args:
        numbers: what ``evaluation.json`` has.
        arrays: of its examples, by name.
        output: folder or fsspec URL, made where it is not there.
        on_done: called with how many pictures are drawn, how many there are, and the last.

    Raises:
        OutputError: nothing can be written there.
    """
    pictures = drawn(_drawings(numbers, arrays), on_done)
    return write_page(Root(output), pictures.values(), render_evaluation(numbers, pictures))


def _drawings(numbers: Mapping[str, Any], arrays: Arrays) -> Drawings:
    """Caption and drawing of what the evaluation has something for, by name, in the order of the page."""
    found: dict[str, tuple[str, Callable[[], Figure]]] = {}
    for reference, about in numbers["references"].items():
        if any(scores["groups"]["all"] for scores in numbers["scores"][reference].values()):
            caption = f"Scores against {about['title']} by depth"
            found[f"depth_{reference}"] = caption, partial(draw_by_depth, numbers, reference)
            if ensembles(numbers, reference):
                caption = f"Calibration against {about['title']}"
                found[f"calibration_{reference}"] = caption, partial(draw_calibration, numbers, reference)
    for field in numbers["fields"]:
        if has_spectra(numbers, field):
            found[f"spectra_{field}"] = f"Spectra of {field}", partial(draw_spectra, numbers, field)
    examples = numbers["examples"]
    for number, example in enumerate(examples["maps"], 1):
        found[f"map_{number}"] = f"Maps of {example['field']}", partial(draw_map, numbers, example, arrays)
    for number, example in enumerate(examples["sections"], 1):
        found[f"section_{number}"] = f"Sections of {example['field']}", partial(draw_section, numbers, example, arrays)
    if examples["profiles"]:
        found["profiles"] = "Withheld floats", partial(draw_profiles, numbers, examples["profiles"], arrays)
    return found
