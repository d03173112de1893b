"""Charts of a diagnosis: curves of the training, scores by sampler, errors by noise level, a member on its way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray

from oceanrecon.plots.charts import depth_axis, plain, thousands
from oceanrecon.plots.colours import COAST, DIFFERENCES, LAND, MISSING, Look
from oceanrecon.plots.maps import (
    SMALL,
    Background,
    degree_axes,
    depth_edges,
    draw_land,
    limits,
    longitudes,
    metres,
    new_figure,
    parallel,
    squeeze,
)

#: By the names that ``diagnosis.json`` refers to them with.
Arrays = Mapping[str, NDArray[Any]]
_METHODS = {"dpm": "#04627f", "heun": "#d9822b", "ddim": "#8f3b76"}
_OTHER = "#4a4640"
#: Of the training, by name in ``diagnosis.json``.
_CURVES = {
    "loss": "loss",
    "rate": "learning rate",
    "samples_per_second": "samples per second",
    "waiting_share": "waiting for data",
}
#: Errors of so many times the estimate's, or the finest sampler's, are off the chart; the table has them.
_HIGHEST = 1.6
_SCORES = {
    "rmse": "RMSE of the mean",
    "crps": "CRPS",
    "spread_skill": "spread over error",
    "distance": "from the finest",
}


def draw_curves(numbers: Mapping[str, Any]) -> Figure:
    """A row for each stage that has a log; one at least."""
    stages = [stage for stage in numbers["curves"] if stage]
    figure = new_figure(11.0, 0.4 + 2.6 * len(stages))
    panels = figure.subplots(len(stages), len(_CURVES), squeeze=False)
    for row, stage in zip(panels, stages, strict=True):
        for panel, (name, title) in zip(row, _CURVES.items(), strict=True):
            if name in stage:
                panel.plot(stage[name]["step"], stage[name]["value"], color="#04627f", lw=1.2, label="training")
            if name == "loss" and "validation" in stage:
                points = stage["validation"]
                panel.plot(
                    points["step"], points["value"], color="#d9822b", lw=1.2, marker="o", ms=3, label="validation"
                )
                panel.legend(fontsize=SMALL, frameon=False)
            if name == "waiting_share":
                panel.set_ylim(0.0, 1.0)
                panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
            elif name != "loss":
                panel.set_ylim(bottom=0.0)
            panel.set_title(title, fontsize=9)
            panel.set_xlabel("step", fontsize=9)
            panel.xaxis.set_major_locator(MaxNLocator(4))
            thousands(panel.xaxis)
            plain(panel)
        row[0].set_ylabel(stage["title"].replace(", ", "\n"), fontsize=SMALL)
    return figure


def draw_samplers(sampling: Mapping[str, Any]) -> Figure:
    """A row for each field: scores by how often the network is asked for a member."""
    fields = sampling["fields"]
    figure = new_figure(11.0, 0.6 + 2.9 * len(fields))
    panels = figure.subplots(len(fields), len(_SCORES), sharex=True, squeeze=False)
    counts = sorted({one["evaluations"] for one in sampling["samplers"]})
    for row, (field, units) in zip(panels, fields.items(), strict=True):
        for panel, (name, title) in zip(row, _SCORES.items(), strict=True):
            for method in dict.fromkeys(one["method"] for one in sampling["samplers"]):
                own = [one for one in sampling["samplers"] if one["method"] == method]
                values = [one["fields"][field][name] for one in own]
                panel.plot(
                    [one["evaluations"] for one in own], values, color=_METHODS[method], marker="o", ms=3.5, lw=1.2,
                    label=method,
                )  # fmt: skip
            if name in ("rmse", "crps"):
                estimate = sampling["estimate"][field]["rmse" if name == "rmse" else "mae"]
                panel.axhline(estimate, color=_OTHER, ls="--", lw=1.0, label="the estimate")
                panel.set_ylim(0.0, _HIGHEST * max(estimate, sampling["samplers"][-1]["fields"][field][name]))
            if name == "spread_skill":
                panel.axhline(1.0, color=COAST, lw=0.6)
                panel.axhspan(0.9, 1.1, color=COAST, alpha=0.1, lw=0)
            if name == "distance":
                panel.set_yscale("log", nonpositive="mask")
            panel.set_title(f"{field}: {title}" if name == "rmse" else title, fontsize=9)
            panel.set_ylabel("" if name == "spread_skill" else units, fontsize=SMALL)
            panel.set_xscale("log")
            panel.xaxis.set_major_locator(FixedLocator(_apart(counts)))
            panel.xaxis.set_minor_locator(NullLocator())
            panel.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:.0f}"))
            plain(panel)
        row[0].set_xlabel("")
    for panel in panels[-1]:
        panel.set_xlabel("evaluations for a member", fontsize=9)
    _legend(figure, panels[0, 0])
    return figure


def draw_levels(sampling: Mapping[str, Any]) -> Figure:
    """What is left of noise, by its level; and, where the training counts it so, its loss."""
    levels = sampling["levels"]
    sigma = [one["sigma"] for one in levels]
    losses = [one["loss"] for one in levels]
    figure = new_figure(11.0, 3.6)
    panels = figure.subplots(1, 1 if None in losses else 2, squeeze=False)[0]
    lines = {"error": ("the network", "#04627f", "-"), "estimate": ("the estimate", _OTHER, "--"),
             "blind": ("without observations", "#d9822b", ":")}  # fmt: skip
    for name, (label, colour, style) in lines.items():
        panels[0].plot(sigma, [one[name] for one in levels], color=colour, ls=style, lw=1.3, label=label)
    panels[0].set_yscale("log")
    panels[0].set_title("mean squared error of the state without noise", fontsize=9)
    panels[0].legend(fontsize=SMALL, frameon=False)
    if len(panels) == 2:
        panels[1].plot(sigma, losses, color="#04627f", lw=1.3)
        panels[1].set_ylim(bottom=0.0)
        panels[1].axhline(1.0, color=COAST, lw=0.6)
        panels[1].set_title("the same, as the training counts it: 1 for who knows nothing", fontsize=9)
    for panel in panels:
        panel.set_xscale("log")
        panel.set_xlabel("noise level (deviations of the state)", fontsize=9)
        if sampling["nothing_above"] is not None:
            panel.axvspan(sampling["nothing_above"], sigma[-1], color=COAST, alpha=0.1, lw=0)
        panel.set_xlim(sigma[0], sigma[-1])
        plain(panel)
    return figure


def draw_way(sampling: Mapping[str, Any], example: Mapping[str, Any], arrays: Arrays) -> Figure:
    """Maps of one field at one depth: above what is noisy, below what the network expects; both less the estimate."""
    west, east, south, north = extent = tuple(example["extent"])
    panels, figure = _panels(example, min((north - south) / ((east - west) * squeeze(south, north)), 1.4))
    land = Background(arrays[example["land"]].astype(bool), extent)
    style, scale = _look(sampling, example, arrays)
    for panel, title, values in _shown(panels, example, arrays, "map"):
        panel.set_facecolor(MISSING)
        draw_land(panel, land)
        picture = panel.imshow(
            values, cmap=style.colours, vmin=scale[0], vmax=scale[1], extent=extent, interpolation="nearest", zorder=2,
            aspect=1.0 / squeeze(south, north),
        )  # fmt: skip
        panel.set_xlim(west, east)
        panel.set_ylim(south, north)
        degree_axes(panel)
        panel.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 1.5, 2, 3, 5, 10]))
        panel.set_title(title, fontsize=8)
    _finish(figure, panels, picture, style)
    figure.suptitle(f"{_title(example)} at {metres(example['depth'])}, less the estimate", fontsize=11)
    return figure


def draw_way_sections(sampling: Mapping[str, Any], example: Mapping[str, Any], arrays: Arrays) -> Figure:
    """The same along a parallel, by depth."""
    panels, figure = _panels(example, 0.9)
    style, scale = _look(sampling, example, arrays)
    depth, place = np.array(sampling["depth"], np.float64), arrays[example["place"]]
    half = (place[1] - place[0]) / 2
    sides, edges = np.append(place - half, place[-1] + half), depth_edges(depth)
    for panel, title, values in _shown(panels, example, arrays, "section"):
        panel.set_facecolor(LAND)
        picture = panel.pcolormesh(
            sides, edges, np.ma.masked_invalid(values), cmap=style.colours, vmin=scale[0], vmax=scale[1],
            rasterized=True,
        )  # fmt: skip
        panel.xaxis.set_major_formatter(longitudes())
        panel.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 1.5, 2, 3, 5, 10]))
        panel.tick_params(labelsize=SMALL)
        panel.set_title(title, fontsize=8)
    for row in panels:
        depth_axis(list(row), depth)
    _finish(figure, panels, picture, style)
    figure.suptitle(f"{_title(example)} along {parallel(round(example['at'], 1))}, less the estimate", fontsize=11)
    return figure


def _panels(example: Mapping[str, Any], shape: float) -> tuple[NDArray[Any], Figure]:
    """Two rows of panels so many times as high as wide: the steps, and the truth."""
    columns = len(example["moments"]) + 1
    figure = new_figure(11.0, 2 * (shape * 10.0 / columns + 0.45) + 0.4)
    return figure.subplots(2, columns, squeeze=False, sharex=True, sharey=True), figure


def _shown(
    panels: NDArray[Any], example: Mapping[str, Any], arrays: Arrays, cut: str
) -> list[tuple[Axes, str, NDArray[np.float32]]]:
    """Panel, title and values of all that is drawn."""
    found = []
    for column, moment in zip(panels.T, example["moments"], strict=False):
        left = "" if moment["sigma"] is None else f", noise {moment['sigma']:.2g}"
        title = "the member" if moment is example["moments"][-1] else f"noisy, step {moment['step']}{left}"
        found.append((column[0], title, arrays[moment["noisy"][cut]]))
        found.append((column[1], f"expected, step {moment['step']}", arrays[moment["clean"][cut]]))
    panels[0, -1].set_visible(False)
    found.append((panels[1, -1], "the truth", arrays[example["truth"][cut]]))
    return found


def _look(sampling: Mapping[str, Any], example: Mapping[str, Any], arrays: Arrays) -> tuple[Look, tuple[float, float]]:
    """The same for maps and sections: limits are those of the truth on both."""
    style = Look(DIFFERENCES, sampling["fields"][example["field"]], symmetric=True)
    return style, limits([arrays[example["truth"][cut]] for cut in ("map", "section")], style)


def _finish(figure: Figure, panels: NDArray[Any], picture: Any, style: Look) -> None:
    bar = figure.colorbar(picture, ax=list(panels.ravel()), extend="both", pad=0.01, aspect=40, shrink=0.8)
    bar.set_label(style.units, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL - 1)


def _title(example: Mapping[str, Any]) -> str:
    return f"A member's {example['field']} of {example['date']} on its way ({example['sampler']})"


def _apart(counts: Sequence[int]) -> list[int]:
    """Those that labels have room for on a logarithmic axis."""
    found: list[int] = []
    for count in counts:
        if not found or count >= 1.35 * found[-1]:
            found.append(count)
    return found


def _legend(figure: Figure, panel: Axes) -> None:
    lines, names = panel.get_legend_handles_labels()
    figure.legend(lines, names, fontsize=SMALL, frameon=False, loc="outside lower center", ncols=len(names))
