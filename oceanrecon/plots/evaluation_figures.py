"""Charts of an evaluation: scores by depth, calibration, spectra; each takes the numbers of ``evaluation.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray

from oceanrecon.plots.charts import depth_axis, plain
from oceanrecon.plots.colours import COAST
from oceanrecon.plots.maps import SMALL, metres, new_figure
from oceanrecon.plots.page import counted

#: Of models, in the order of the evaluation; the first is the one that is evaluated.
_COLOURS = (
    "#04627f", "#d9822b", "#8f3b76", "#4f8f7a", "#c9a227", "#5b5ea6", "#b3402e", "#8a949a", "#6b4f3a", "#2e8b57",
)  # fmt: skip
#: Of what is true.
TRUTH = "#1d2327"
#: What is drawn by depth, with its title.
_BY_DEPTH = {"rmse": "RMSE", "bias": "bias", "crps": "CRPS", "correlation": "anomaly correlation"}
#: Depths whose spectra are drawn, m: the nearest levels.
_SPECTRA_AT = (0.0, 100.0, 500.0)
#: Between these, spectra are called alike.
_ALIKE = (0.8, 1.25)
#: What is so many times less than the least of the target is not drawn.
_FAINT = 30
_WAVELENGTHS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


def model_colours(numbers: Mapping[str, Any]) -> dict[str, str]:
    """A colour for each model."""
    return {name: _COLOURS[number % len(_COLOURS)] for number, name in enumerate(numbers["models"])}


def ensembles(numbers: Mapping[str, Any], reference: str) -> list[str]:
    """Models that were scored with members."""
    scores = numbers["scores"][reference]
    some = [name for name in numbers["models"] if name in scores and scores[name]["groups"]["all"]]
    return [name for name in some if scores[name]["members"] > 1]


def draw_by_depth(numbers: Mapping[str, Any], reference: str) -> Figure:
    """A row of panels for each field: its scores by depth, of every model, with intervals."""
    fields, colours = numbers["fields"], model_colours(numbers)
    figure = new_figure(11.0, 0.6 + 4.2 * len(fields))
    panels = figure.subplots(len(fields), len(_BY_DEPTH), sharey=True, squeeze=False)
    for row, (field, units) in zip(panels, fields.items(), strict=True):
        for panel, (name, title) in zip(row, _BY_DEPTH.items(), strict=True):
            for model, levels in _levels(numbers, reference, field).items():
                _draw_levels(panel, numbers["depth"], levels[name], colours[model], model)
            panel.set_title(f"{field}: {title}" if name == "rmse" else title, fontsize=10)
            panel.set_xlabel("" if name == "correlation" else units, fontsize=9)
            panel.xaxis.set_major_locator(MaxNLocator(5))
            plain(panel)
            if name == "bias":
                panel.axvline(0.0, color=COAST, lw=0.6)
        row[0].set_xlim(left=0.0)
        row[2].set_xlim(left=0.0)
        depth_axis(list(row), np.array(numbers["depth"]))
    _legend(figure, panels[0, 0])
    figure.suptitle(f"Against {numbers['references'][reference]['title']}, by depth", fontsize=12)
    return figure


def draw_calibration(numbers: Mapping[str, Any], reference: str) -> Figure:
    """For each field: ranks, spread beside error, and by depth spread-skill and coverage; some model has members."""
    fields, colours = numbers["fields"], model_colours(numbers)
    figure = new_figure(11.0, 0.6 + 3.6 * len(fields))
    panels = figure.subplots(len(fields), 4, squeeze=False)
    models = ensembles(numbers, reference)
    for row, field in zip(panels, fields, strict=True):
        for model in models:
            scores = numbers["scores"][reference][model]
            found = scores["groups"]["all"]["all"][field]
            _draw_ranks(row[0], found["pooled"]["ranks"], colours[model], model)
            spread = scores["spread"][field]
            enough = _array(spread["weight"]) > 0.001 * np.nansum(_array(spread["weight"]))
            expected, happened = (_array(spread[name])[enough] for name in ("spread", "error"))
            row[1].plot(expected, happened, color=colours[model], marker="o", ms=3, lw=1.2, label=model)
            _draw_levels(row[2], numbers["depth"], found["levels"]["spread_skill"], colours[model], model)
            for share, style in (("50", "--"), ("90", "-")):
                inside = _array(found["levels"]["coverage"][share]["value"])
                row[3].plot(inside, numbers["depth"], color=colours[model], ls=style, lw=1.2)
        row[0].axhline(1.0, color=COAST, lw=0.6)
        row[0].set_ylim(bottom=0.0)
        row[0].set_title(f"{field}: rank of the truth", fontsize=10)
        row[0].set_xlabel("share of members below", fontsize=9)
        row[0].set_ylabel("frequency / even", fontsize=9)
        row[1].axline((0.0, 0.0), slope=1.0, color=COAST, lw=0.6)
        row[1].set_title("error beside spread", fontsize=10)
        row[1].set_xlabel("spread (deviations of anomalies)", fontsize=9)
        row[1].set_ylabel("RMSE of the mean", fontsize=9)
        row[1].set_xlim(left=0.0)
        row[1].set_ylim(bottom=0.0)
        row[2].set_title("spread over error", fontsize=10)
        row[2].axvline(1.0, color=COAST, lw=0.6)
        row[2].axvspan(0.9, 1.1, color=COAST, alpha=0.1, lw=0)
        row[3].set_title("coverage of 50 % (dashed), 90 %", fontsize=10)
        row[3].set_xlim(0.0, 1.0)
        row[3].xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
        for wanted in (0.5, 0.9):
            row[3].axvline(wanted, color=COAST, lw=0.6)
        for panel in row[2:]:
            depth_axis([panel], np.array(numbers["depth"]))
        for panel in row:
            plain(panel)
    _legend(figure, panels[0, 1])
    figure.suptitle(f"Calibration against {numbers['references'][reference]['title']}", fontsize=12)
    return figure


def draw_spectra(numbers: Mapping[str, Any], field: str) -> Figure:
    """Spectra at a few depths, and below them those of the models over the target's; some patch was complete."""
    levels = _spectra_levels(numbers, field)
    figure = new_figure(11.0, 6.2)
    panels = figure.subplots(
        2, len(levels), sharex=True, sharey="row", squeeze=False, gridspec_kw={"height_ratios": [1.4, 1.0]}
    )
    colours = model_colours(numbers)
    lowest, highest = np.inf, 0.0
    for (upper, lower), level in zip(panels.T, levels, strict=True):
        for number, (model, spectra) in enumerate(numbers["spectra"].items()):
            told = spectra["fields"][field]
            target = _array(told["density"]["target"][level])
            wavelength = 1 / _array(spectra["wavenumber"])
            shown = (wavelength >= spectra["shortest_km"]) & (target > 0)
            if number == 0:
                upper.plot(wavelength[shown], target[shown], color=TRUTH, lw=1.8, label="target")
                lowest = min(lowest, target[shown].min(initial=np.inf))
            for kind, style in (("member", "-"), ("mean", "--")):
                density = _array(told["density"][kind][level])
                highest = max(highest, target[shown].max(initial=0.0), density[shown].max(initial=0.0))
                samples = numbers["models"][model]["samples"]
                if kind == "member" and not samples:
                    continue
                label = f"{model}: {kind}" if samples else model
                upper.plot(wavelength[shown], density[shown], color=colours[model], ls=style, lw=1.2, label=label)
                ratio = density[shown] / target[shown]
                lower.plot(wavelength[shown], ratio, color=colours[model], ls=style, lw=1.2)
        patches = numbers["spectra"][next(iter(numbers["spectra"]))]["fields"][field]["patches"][level]
        upper.set_title(f"{metres(numbers['depth'][level])}, {counted(patches, 'patch', 'es')}", fontsize=10)
        upper.set_yscale("log")
        lower.axhspan(*_ALIKE, color=COAST, alpha=0.1, lw=0)
        lower.axhline(1.0, color=COAST, lw=0.6)
        lower.set_ylim(0.0, 2.0)
        _wavelength_axis(lower)
        for panel in (upper, lower):
            plain(panel)
            panel.grid(axis="x", color=COAST, alpha=0.12, lw=0.6)
    panels[0, 0].set_ylim(lowest / _FAINT, 2 * highest)
    panels[0, 0].set_ylabel(f"density ({numbers['fields'][field]}² km)", fontsize=9)
    panels[1, 0].set_ylabel("over the target's", fontsize=9)
    _legend(figure, panels[0, 0])
    figure.suptitle(f"Spectra of {field}", fontsize=12)
    return figure


def has_spectra(numbers: Mapping[str, Any], field: str) -> bool:
    """Whether any patch was ocean throughout at any level."""
    return bool(numbers["spectra"]) and bool(_spectra_levels(numbers, field))


def _spectra_levels(numbers: Mapping[str, Any], field: str) -> list[int]:
    first = next(iter(numbers["spectra"].values()))
    some = np.array(first["fields"][field]["patches"]) > 0
    depth = np.where(some, np.array(numbers["depth"]), np.nan)
    if not some.any():
        return []
    return sorted({int(np.nanargmin(np.abs(depth - wanted))) for wanted in _SPECTRA_AT})


def _levels(numbers: Mapping[str, Any], reference: str, field: str) -> dict[str, Mapping[str, Any]]:
    scores = numbers["scores"][reference]
    return {
        name: scores[name]["groups"]["all"]["all"][field]["levels"]
        for name in numbers["models"]
        if name in scores and scores[name]["groups"]["all"]
    }


def _draw_levels(panel: Axes, depth: Sequence[float], score: Mapping[str, Any], colour: str, label: str) -> None:
    value, low, high = (_array(score[name]) for name in ("value", "low", "high"))
    panel.plot(value, depth, color=colour, lw=1.3, label=label)
    panel.fill_betweenx(depth, low, high, color=colour, alpha=0.15, lw=0)


def _draw_ranks(panel: Axes, ranks: Sequence[float], colour: str, label: str) -> None:
    weight = _array(ranks)
    edges = np.linspace(0.0, 1.0, weight.size + 1)
    panel.stairs(weight / weight.mean(), edges, color=colour, lw=1.3, label=label)


def _wavelength_axis(panel: Axes) -> None:
    """Long waves at the left."""
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(_WAVELENGTHS))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda km, _: f"{km:,.0f}"))
    panel.set_xlabel("wavelength (km)", fontsize=9)
    if not panel.xaxis_inverted():
        panel.invert_xaxis()


def _legend(figure: Figure, panel: Axes) -> None:
    lines, names = panel.get_legend_handles_labels()
    figure.legend(lines, names, fontsize=SMALL, frameon=False, loc="outside lower center", ncols=min(len(names), 7))


def _array(values: Sequence[float | None]) -> NDArray[np.float64]:
    """NaN for null."""
    return np.array([np.nan if value is None else value for value in values])
