"""Draws a diagnosis: one HTML page about how a model was trained and how it samples, with its pictures beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from typing import Any

from matplotlib.figure import Figure

from oceanrecon.plots.diagnosis_figures import (
    Arrays,
    draw_curves,
    draw_levels,
    draw_samplers,
    draw_way,
    draw_way_sections,
)
from oceanrecon.plots.drawing import Drawings, OnDone, drawn, write_page
from oceanrecon.plots.page import Picture, document, figure, percent, table, tiles
from oceanrecon.stores.files import Root

_SAMPLERS = """
<p>The same members, which begin with the same noise, by several samplers and numbers of steps; scored against the
dense target, where each value of each level counts alike. CRPS is the fair one, of the estimate its MAE. Spread over
error is 1 where members differ from each other as they do from the truth. The last column is how far members are from
those of the finest sampler ({finest}): where it is small beside the spread, more steps change nothing. Choose the
fewest evaluations whose scores are those of the finest.</p>
"""
_LEVELS = """
<p>Noise of one level is added to the states of the truth, and the network takes it away. Where the noise is so strong
that nothing is seen through it, all that remains is what the observations tell: the network is as good as the
estimate, and not better. {where} What is dotted is the best that can be done without any observation, cell by cell. A
network that is worse than that at small levels needs more training there (<code>diffusion.noise.log_mean</code>); one
that is worse than the estimate at large levels has not learnt what the estimate knows.</p>
"""
_WAY = """
<p>Above is the state after a step, divided so that its noise has the size of what it will become; below is what the
network expected before that step. Both are what a member adds to the estimate; beside them is what the truth adds. A
member is to look like the truth in its texture, and not in its places.</p>
"""


def draw_diagnosis(
    numbers: Mapping[str, Any],
    arrays: Arrays,
    output: str,
    on_done: OnDone | None = None,
) -> str:
    """Draw a diagnosis; returns the path of ``index.html``, which needs no other file. Pictures lie beside it.

    Args:
        numbers: what ``diagnosis.json`` has.
        arrays: of its maps and sections, by name.
        output: folder or fsspec URL, made where it is not there.
        on_done: called with how many pictures are drawn, how many there are, and the last.

    Raises:
        OutputError: nothing can be written there.
    """
    pictures = drawn(_drawings(numbers, arrays), on_done)
    return write_page(Root(output), pictures.values(), render_diagnosis(numbers, pictures))


def render_diagnosis(numbers: Mapping[str, Any], pictures: Mapping[str, Picture]) -> str:
    """The page, as HTML that refers to nothing outside itself.

    Args:
        numbers: what ``diagnosis.json`` has.
        pictures: by name: ``training``, and of a diffusion ``samplers``, ``levels``, ``way_FIELD``, ``section_FIELD``.
    """
    sampling = numbers["sampling"]
    body = [
        "<h1>Diagnosis</h1>",
        f"<p><code>{escape(numbers['run'])}</code>, made by {escape(numbers['created_by'])}, "
        f"{escape(numbers['created_utc'])}</p>",
        tiles(_tiles(numbers)),
    ]
    if numbers["notes"]:
        body.append("<h2>Notes</h2><ul>" + "".join(f"<li>{escape(note)}</li>" for note in numbers["notes"]) + "</ul>")
    if "training" in pictures:
        body += ["<h2>Training</h2>", figure(pictures["training"]), _stages(numbers)]
    if sampling is not None:
        above = sampling["nothing_above"]
        where = "Here it never is." if above is None else f"Here that is from {above:.2g} on (shaded)."
        body += ["<h2>Samplers and steps</h2>", _SAMPLERS.format(finest=sampling["finest"])]
        body += [figure(pictures["samplers"])] if "samplers" in pictures else []
        body += [_samplers(sampling), "<h2>Noise levels</h2>", _LEVELS.format(where=where)]
        body += [figure(pictures["levels"])] if "levels" in pictures else []
        body += [_levels(sampling), "<h2>A member on its way</h2>", _WAY]
        body += [figure(picture) for name, picture in pictures.items() if name.startswith(("way_", "section_"))]
    return document("Diagnosis", body)


def _drawings(numbers: Mapping[str, Any], arrays: Arrays) -> Drawings:
    """Caption and drawing of what there is something for, by name, in the order of the page."""
    found: dict[str, tuple[str, Callable[[], Figure]]] = {}
    sampling = numbers["sampling"]
    if any(numbers["curves"]):
        found["training"] = "Curves of the training", partial(draw_curves, numbers)
    if sampling is None:
        return found
    found["samplers"] = "Scores by sampler and steps", partial(draw_samplers, sampling)
    found["levels"] = "Errors by noise level", partial(draw_levels, sampling)
    for example in sampling["way"]:
        field = example["field"]
        found[f"way_{field}"] = f"Maps of {field} on its way", partial(draw_way, sampling, example, arrays)
        caption = f"Sections of {field} on its way"
        found[f"section_{field}"] = caption, partial(draw_way_sections, sampling, example, arrays)
    return found


def _tiles(numbers: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    entries = [("model", numbers["kind"], f"on {numbers['device']}")]
    sampling = numbers["sampling"]
    if sampling is None:
        return entries
    entries.append(("patches", f"{sampling['rows']:,}", f"of the {sampling['split']} side"))
    entries.append(("members", f"{sampling['members']:,}", f"seed {sampling['seed']}"))
    usual = next(
        (one for one in sampling["samplers"] if f"{one['method']}, {one['steps']} steps" == sampling["usual"]), None
    )
    entries.append(
        ("sampler of the model", sampling["usual"], "" if usual is None else f"{usual['seconds']:.2g} s a member")
    )
    return entries


def _stages(numbers: Mapping[str, Any]) -> str:
    rows = []
    for stage in numbers["curves"]:
        if stage:
            last = {name: points["value"][-1] for name, points in stage.items() if name != "title"}
            validation = stage.get("validation", {"step": [], "value": []})
            best = min(zip(validation["value"], validation["step"], strict=True), default=None)
            rows.append(
                (
                    stage["title"],
                    "" if "loss" not in stage else f"{stage['loss']['step'][-1] + 1:,}",
                    *(f"{last[name]:.4g}" if name in last else "" for name in ("loss", "validation")),
                    "" if best is None else f"{best[0]:.4g} at step {best[1] + 1:,}",
                    f"{last['samples_per_second']:.3g}" if "samples_per_second" in last else "",
                    percent(last["waiting_share"]) if "waiting_share" in last else "",
                )
            )
    head = ("stage", "steps", "loss", "validation", "best validation", "samples per second", "waiting for data")
    return table(head, rows, text=1)


def _samplers(sampling: Mapping[str, Any]) -> str:
    rows = []
    for field, units in sampling["fields"].items():
        estimate = sampling["estimate"][field]
        rows.append(("the estimate", field, "", "", f"{estimate['rmse']:.4g} {units}", f"{estimate['mae']:.4g} {units}",
                     "", "", ""))  # fmt: skip
        for one in sampling["samplers"]:
            scores = one["fields"][field]
            rows.append(
                (
                    f"{one['method']}, {one['steps']} steps",
                    field,
                    f"{one['evaluations']}",
                    f"{one['seconds']:.3g}",
                    *(f"{scores[name]:.4g} {units}" for name in ("rmse", "crps", "spread")),
                    f"{scores['spread_skill']:.2f}",
                    f"{scores['distance']:.3g} {units}",
                )
            )
    scored = ("RMSE of the mean", "CRPS", "spread", "spread over error", "from the finest")
    head = ("sampler", "field", "evaluations", "seconds a member", *scored)
    return table(head, rows, text=2)


def _levels(sampling: Mapping[str, Any]) -> str:
    rows = [
        (
            f"{one['sigma']:.3g}",
            f"{one['error']:.3g}",
            percent(one["error"] / one["estimate"]) if one["estimate"] else "",
            percent(one["error"] / one["blind"]) if one["blind"] else "",
            "" if one["loss"] is None else f"{one['loss']:.3g}",
        )
        for one in sampling["levels"]
    ]
    head = ("noise level", "mean squared error", "of the estimate's", "of that without observations", "loss")
    return f"<details><summary>All levels</summary>{table(head, rows, text=0)}</details>"
