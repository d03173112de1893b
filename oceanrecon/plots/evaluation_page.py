"""The page about an evaluation: tables of scores, every model side by side, and pictures, in one HTML file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from oceanrecon.plots.maps import metres
from oceanrecon.plots.page import Markup, Picture, document, figure, flag, percent, table, tiles

#: By name in ``evaluation.json``, what the page calls them; all but the correlation have the units of their field.
_SCORES = {"bias": "bias", "rmse": "RMSE", "mae": "MAE", "crps": "CRPS", "correlation": "correlation"}
#: Of which there are tables by level and by group.
_DETAILED = ("rmse", "crps", "bias")
_QUANTITIES = {
    "inversions": "unstable pairs of levels",
    "mixed_layer": "mixed-layer depth",
    "heat_content": "heat above 700 m",
    "isotherm": "depth of 20 °C",
}
_ABOUT = """
<p>Below a score is its 95 % interval, made by drawing whole floats (dates, where the dense target is the reference)
with replacement. CRPS is the fair one; of an estimate without members it is the MAE, so that the two can be compared.
Spread-skill is the spread of the members over the error of their mean, 1 where they are as different from each other as
from the truth. Where a float is the reference, members get its observation error first. The correlation is that of
anomalies from the climatology, whose own is not defined. With all levels together each value counts alike, and the
thermocline decides.</p>
"""


def render_evaluation(numbers: Mapping[str, Any], pictures: Mapping[str, Picture]) -> str:
    """The page, as HTML that refers to nothing outside itself.

    Args:
        numbers: what ``evaluation.json`` has.
        pictures: by name: ``depth_REFERENCE``, ``calibration_REFERENCE``, ``spectra_FIELD``, ``profiles``, and those of
            examples.
    """
    references = numbers["references"]
    links = "".join(f'<a href="#{name}">{escape(one["title"])}</a>' for name, one in references.items())
    links += "".join(f'<a href="#{name}">{name}</a>' for name in ("spectra", "physics", "examples", "checks"))
    body = [
        "<h1>Evaluation</h1>",
        f"<p><code>{escape(numbers['run'])}</code>, made by {escape(numbers['created_by'])}, "
        f"{escape(numbers['created_utc'])}</p>",
        f"<nav>{links}</nav>",
        _tiles(numbers),
        _ABOUT,
    ]
    if numbers["notes"]:
        body.append("<h2>Notes</h2><ul>" + "".join(f"<li>{escape(note)}</li>" for note in numbers["notes"]) + "</ul>")
    body.append("<h2>Models</h2>" + _models(numbers))
    if numbers["goals"]:
        body.append("<h2>Goals</h2>" + _judged(numbers["goals"], "reached", "missed"))
    for name in references:
        body += _reference(numbers, name, pictures)
    body += _spectra(numbers, pictures)
    body += ['<h2 id="physics">Physics</h2>', _physics(numbers)]
    body.append('<h2 id="examples">Examples</h2>')
    body += [
        figure(picture)
        for name, picture in pictures.items()
        if not name.startswith(("depth_", "calibration_", "spectra_"))
    ]
    body += ['<h2 id="checks">Checks</h2>', _judged(numbers["checks"], "holds", "does not hold")]
    return document("Evaluation", body)


def _tiles(numbers: Mapping[str, Any]) -> str:
    main = next(iter(numbers["models"]))
    entries = [
        ("model", main, f"{numbers['models'][main]['members']} members"),
        ("side of the split", numbers["split"], numbers["export"]),
        ("dates", f"{numbers['dates']['count']:,}", f"{numbers['dates']['first']} to {numbers['dates']['last']}"),
        ("levels", str(len(numbers["depth"])), f"{metres(numbers['depth'][0])} to {metres(numbers['depth'][-1])}"),
    ]
    for name, one in numbers["references"].items():
        scores = numbers["scores"][name][main]
        for field, units in numbers["fields"].items() if scores["groups"]["all"] else ():
            pooled = scores["groups"]["all"]["all"][field]["pooled"]
            entries.append(
                (
                    f"{field}, {one['title']}",
                    f"{_number(pooled['rmse']['value'])} {units}",
                    f"RMSE of {pooled['count']:,} values of {scores['units']:,} {one['units']}",
                )
            )
    return tiles(entries)


def _models(numbers: Mapping[str, Any]) -> str:
    rows = [(name, one["what"], str(one["members"])) for name, one in numbers["models"].items()]
    return table(("model", "what it is", "members"), rows, text=2)


def _reference(numbers: Mapping[str, Any], reference: str, pictures: Mapping[str, Picture]) -> list[str]:
    title = numbers["references"][reference]["title"]
    parts = [f'<h2 id="{reference}">Against {escape(title)}</h2>']
    if not any(scores["groups"]["all"] for scores in numbers["scores"][reference].values()):
        return [*parts, "<p>Nothing was scored.</p>"]
    for field in numbers["fields"]:
        parts.append(f"<h3>{field}</h3>")
        parts.append(_together(numbers, reference, field))
        parts.append(_differences(numbers, reference, field))
    if f"depth_{reference}" in pictures:
        parts.append(figure(pictures[f"depth_{reference}"]))
    parts += [
        _folded(f"{field}: {_SCORES[score]} by {which} ({units})", details(numbers, reference, field, score))
        for field, units in numbers["fields"].items()
        for which, details in (("level", _levels), ("group", _groups))
        for score in _DETAILED
    ]
    if f"calibration_{reference}" in pictures:
        parts.append(f"<h3>Calibration against {escape(title)}</h3>")
        parts.append(figure(pictures[f"calibration_{reference}"]))
    return parts


def _together(numbers: Mapping[str, Any], reference: str, field: str) -> str:
    units = numbers["fields"][field]
    head = ["all levels together", "values", *(f"{name}{'' if key == 'correlation' else f' ({units})'}"
            for key, name in _SCORES.items()), "spread-skill", "in 50 %", "in 90 %"]  # fmt: skip
    rows = []
    for model, found in _found(numbers, reference, "all", "all", field):
        pooled = found["pooled"]
        some = "coverage" in pooled
        rows.append(
            (
                model,
                f"{pooled['count']:,}",
                *(_with_interval(pooled[score]) for score in _SCORES),
                _with_interval(pooled["spread_skill"]) if some else "",
                *(_share_with_interval(pooled["coverage"][share]) if some else "" for share in ("50", "90")),
            )
        )
    return table(head, rows, text=1)


def _differences(numbers: Mapping[str, Any], reference: str, field: str) -> str:
    """The evaluated model less each other one."""
    main = next(iter(numbers["models"]))
    rows = []
    for model, fields in numbers["differences"][reference].items():
        pooled = fields[field]["pooled"]
        # fewer is better but for the bias, whose sign says nothing, and the correlation
        rows.append((f"{main} less {model}", *(_difference(pooled[score]) for score in ("rmse", "mae", "crps"))))
    units = numbers["fields"][field]
    head = ("difference, all levels together", *(f"{_SCORES[score]} ({units})" for score in ("rmse", "mae", "crps")))
    return table(head, rows, text=1) if rows else ""


def _levels(numbers: Mapping[str, Any], reference: str, field: str, score: str) -> str:
    some = _found(numbers, reference, "all", "all", field)
    counts = some[0][1]["levels"]["count"]
    rows = [
        (metres(depth), f"{counts[level]:,}", *(_at_level(found["levels"][score], level) for _, found in some))
        for level, depth in enumerate(numbers["depth"])
    ]
    return table(("depth", "values", *(model for model, _ in some)), rows, text=0)


def _groups(numbers: Mapping[str, Any], reference: str, field: str, score: str) -> str:
    main = next(iter(numbers["models"]))
    models = [name for name in numbers["models"] if name in numbers["scores"][reference]]
    rows = []
    for grouping, classes in numbers["scores"][reference][main]["groups"].items():
        for name in classes if grouping != "all" else ():
            found = dict(_found(numbers, reference, grouping, name, field))
            pooled = {model: one["pooled"] for model, one in found.items()}
            rows.append(
                (
                    f"{grouping}: {name.replace('_', ' ')}",
                    f"{pooled[main]['units']:,}",
                    f"{pooled[main]['count']:,}",
                    *(_with_interval(pooled[model][score]) if model in pooled else "" for model in models),
                )
            )
    units = numbers["references"][reference]["units"]
    return table(("all levels together", units, "values", *models), rows, text=1)


def _spectra(numbers: Mapping[str, Any], pictures: Mapping[str, Picture]) -> list[str]:
    parts = ['<h2 id="spectra">Spectra</h2>']
    shown = [field for field in numbers["fields"] if f"spectra_{field}" in pictures]
    if not shown:
        return [*parts, "<p>No patch was ocean throughout, so there are none.</p>"]
    for field in shown:
        parts.append(figure(pictures[f"spectra_{field}"]))
        first = next(iter(numbers["spectra"].values()))
        bands = [f"{low:g} to {high:g} km" for low, high in zip(first["bands_km"], first["bands_km"][1:], strict=False)]
        rows = []
        for model, spectra in numbers["spectra"].items():
            found = spectra["fields"][field]
            for kind in ("member", "mean") if numbers["models"][model]["samples"] else ("mean",):
                for level, depth in enumerate(numbers["depth"]):
                    if found["patches"][level]:
                        ratios = [_outside(ratio) for ratio in found["ratio"][kind][level]]
                        down = found["resolved_km"][kind][level]
                        resolved = "nothing" if down is None else f"{down:,.0f} km"
                        rows.append((model, kind, metres(depth), *ratios, resolved))
        head = ("model", "what", "depth", *bands, "alike down to")
        parts.append(_folded(f"{field}: variance over the target's, by wavelength", table(head, rows, text=2)))
    return parts


def _physics(numbers: Mapping[str, Any]) -> str:
    rows = []
    for model, quantities in numbers["physics"].items():
        for name, found in quantities.items():
            rows.append(
                (
                    _QUANTITIES[name],
                    model,
                    found["units"],
                    f"{found['columns']:,}",
                    "" if found["missing"] is None else percent(found["missing"]),
                    *(_number(found[which]) for which in ("target", "estimate")),
                    *(_with_interval(found[which]) for which in ("mae", "rmse")),
                )
            )
    order = list(_QUANTITIES.values())
    rows.sort(key=lambda row: order.index(row[0]))
    head = ("quantity", "model", "units", "columns", "missing", "target", "estimate", "MAE", "RMSE")
    return table(head, rows, text=3) if rows else "<p>None.</p>"


def _judged(found: Sequence[Mapping[str, Any]], yes: str, no: str) -> str:
    """Goals or checks."""
    rows = [(one["what"], flag(yes if one["holds"] else no, not one["holds"]), one["found"]) for one in found]
    return table(("what", "", "what was found"), rows, text=3)


def _found(
    numbers: Mapping[str, Any], reference: str, grouping: str, name: str, field: str
) -> list[tuple[str, Mapping[str, Any]]]:
    """Of every model that was scored, in order."""
    scores = numbers["scores"][reference]
    found = {model: scores[model]["groups"][grouping].get(name) for model in numbers["models"] if model in scores}
    return [(model, fields[field]) for model, fields in found.items() if fields]


def _folded(title: str, inner: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{inner}</details>"


def _number(value: float | None) -> str:
    """Three digits that count, at least."""
    if value is None:
        return ""
    size = abs(value)
    if size >= 1e6:
        return f"{value:.3e}"
    decimals = 3 if size == 0 else max(0, 2 - math.floor(math.log10(size)))
    return f"{value:,.{min(decimals, 6)}f}"


def _with_interval(score: Mapping[str, float | None]) -> str:
    if score["value"] is None or score["low"] is None:
        return _number(score["value"])
    return Markup(f"{_number(score['value'])}<br><small>{_number(score['low'])} to {_number(score['high'])}</small>")


def _share_with_interval(share: Mapping[str, float | None]) -> str:
    if share["value"] is None or share["low"] is None or share["high"] is None:
        return "" if share["value"] is None else percent(share["value"])
    return Markup(f"{percent(share['value'])}<br><small>{percent(share['low'])} to {percent(share['high'])}</small>")


def _at_level(score: Mapping[str, Sequence[float | None]], level: int) -> str:
    return _with_interval({name: values[level] for name, values in score.items()})


def _difference(score: Mapping[str, float | None]) -> str:
    """In the colour of what is wrong where the evaluated model is worse beyond doubt."""
    low = score["low"]
    shown = _with_interval(score)
    return Markup(f'<span class="bad">{shown}</span>') if low is not None and low > 0 else shown


def _outside(ratio: float | None) -> str:
    return "" if ratio is None else flag(f"{ratio:.2f}", not 0.8 <= ratio <= 1.25)
