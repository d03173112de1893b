"""Examples of an evaluation: maps and sections side by side, and estimates at withheld floats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from oceanrecon.plots.charts import depth_axis, plain
from oceanrecon.plots.colours import COAST, DIFFERENCES, LAND, MISSING, SPREADS, Look, look
from oceanrecon.plots.evaluation_figures import TRUTH, model_colours
from oceanrecon.plots.maps import (
    SMALL,
    Background,
    degree_axes,
    depth_edges,
    draw_land,
    latitudes,
    limits,
    longitudes,
    meridian,
    metres,
    new_figure,
    parallel,
    squeeze,
)

#: By the names that ``evaluation.json`` refers to them with.
Arrays = Mapping[str, NDArray[Any]]
_QUANTITIES = {"temperature": "temperature_kelvin", "salinity": "salinity"}
_COLUMNS = 3
#: Profiles beside each other.
_PROFILES = 4
#: Of the members of an ensemble, the share that is drawn as a band.
_BAND = (0.05, 0.95)


def draw_map(numbers: Mapping[str, Any], example: Mapping[str, Any], arrays: Arrays) -> Figure:
    """Panels of one field at one depth; dots are profiles that were inputs, crosses withheld ones."""
    west, east, south, north = extent = tuple(example["extent"])
    columns = min(_COLUMNS, len(example["panels"]))
    rows = -(-len(example["panels"]) // columns)
    shape = (north - south) / ((east - west) * squeeze(south, north))
    figure = new_figure(11.0, rows * (min(shape, 1.4) * 11.0 / columns * 0.7 + 0.5) + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    land = Background(arrays[example["land"]].astype(bool), extent)
    for panel, (title, style, scale, values) in zip(panels, _layers(numbers, example, arrays), strict=False):
        panel.set_facecolor(MISSING)
        draw_land(panel, land)
        picture = panel.imshow(
            values, cmap=style.colours, vmin=scale[0], vmax=scale[1], extent=extent, interpolation="nearest", zorder=2,
            aspect=1.0 / squeeze(south, north),
        )  # fmt: skip
        inputs, withheld = arrays[example["inputs"]], arrays[example["withheld"]]
        panel.scatter(inputs[:, 0], inputs[:, 1], c="black", s=18, edgecolors="white", linewidths=0.6, zorder=5)
        panel.scatter(withheld[:, 0], withheld[:, 1], c="black", s=18, marker="x", linewidths=0.9, zorder=5)
        panel.set_xlim(west, east)
        panel.set_ylim(south, north)
        degree_axes(panel)
        panel.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 1.5, 2, 3, 5, 10]))
        _finish(figure, [panel], picture, title, style)
    for panel in panels[len(example["panels"]) :]:
        panel.set_visible(False)
    figure.suptitle(f"{example['field']} at {metres(example['depth'])}, {example['date']}", fontsize=12)
    return figure


def draw_section(numbers: Mapping[str, Any], example: Mapping[str, Any], arrays: Arrays) -> Figure:
    """Panels of one field along a meridian or a parallel, by depth."""
    columns = min(2, len(example["panels"]))
    rows = -(-len(example["panels"]) // columns)
    figure = new_figure(11.0, 2.6 * rows + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    depth = np.array(numbers["depth"], np.float64)
    place = arrays[example["place"]]
    half = (place[1] - place[0]) / 2
    sides, edges = np.append(place - half, place[-1] + half), depth_edges(depth)
    for panel, (title, style, scale, values) in zip(panels, _layers(numbers, example, arrays), strict=False):
        panel.set_facecolor(LAND)
        picture = panel.pcolormesh(
            sides, edges, np.ma.masked_invalid(values), cmap=style.colours, vmin=scale[0], vmax=scale[1],
            rasterized=True,
        )  # fmt: skip
        panel.xaxis.set_major_formatter(latitudes() if example["held"] == "longitude" else longitudes())
        _finish(figure, [panel], picture, title, style)
    for panel in panels[len(example["panels"]) :]:
        panel.set_visible(False)
    depth_axis(list(panels), depth)
    at = meridian(example["at"]) if example["held"] == "longitude" else parallel(example["at"])
    figure.suptitle(f"{example['field']} along {at}, {example['date']}", fontsize=12)
    return figure


def draw_profiles(numbers: Mapping[str, Any], examples: Sequence[Mapping[str, Any]], arrays: Arrays) -> Figure:
    """Withheld floats: what they measured, each model's estimate, and the band of the members; one at least."""
    rows = -(-len(examples) // _PROFILES)
    figure = new_figure(11.0, 4.2 * rows + 0.6)
    panels = figure.subplots(rows, _PROFILES, squeeze=False, sharey=True)
    depth, colours = np.array(numbers["depth"], np.float64), model_colours(numbers)
    for panel, example in zip(panels.ravel(), examples, strict=False):
        style = look(_QUANTITIES[example["field"]])
        if example["members"] is not None:
            low, high = np.quantile(style.show(arrays[example["members"]]), _BAND, axis=0)
            main = next(iter(colours))
            panel.fill_betweenx(depth, low, high, color=colours[main], alpha=0.18, lw=0, label=f"{main}: 90 %")
        for model, key in example["estimates"].items():
            panel.plot(style.show(arrays[key]), depth, color=colours[model], lw=1.1, label=model)
        measured = style.show(arrays[example["truth"]])
        panel.plot(measured, depth, color=TRUTH, marker="o", ms=2.5, lw=0.0, label="float")
        where = f"{parallel(round(example['latitude'], 1))} {meridian(round(example['longitude'], 1))}"
        distance = example["distance_km"]
        near = "no observation near" if distance is None else f"nearest observation {distance:,.0f} km"
        panel.set_title(f"{example['float']}, {example['date']}\n{where}, {near}", fontsize=8)
        panel.set_xlabel(f"{example['field']} ({style.units})", fontsize=9)
        plain(panel)
    for panel in panels.ravel()[len(examples) :]:
        panel.set_visible(False)
    for row in panels:
        depth_axis(list(row), depth)
    lines, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(lines, names, fontsize=SMALL, frameon=False, loc="outside lower center", ncols=min(len(names), 8))
    figure.suptitle("Withheld floats", fontsize=12)
    return figure


def _layers(
    numbers: Mapping[str, Any], example: Mapping[str, Any], arrays: Arrays
) -> list[tuple[str, Look, tuple[float, float], NDArray[np.float32]]]:
    """Title, look, limits and values of each panel; panels of a kind have the same limits."""
    field = example["field"]
    style = look(_QUANTITIES[field])
    units = numbers["fields"][field]
    looks = {
        "value": style,
        "difference": Look(DIFFERENCES, units, symmetric=True),
        "spread": Look(SPREADS, units),
    }
    shown = [(one["title"], one["kind"], looks[one["kind"]].show(arrays[one["values"]])) for one in example["panels"]]
    scales = {
        kind: limits([values for _, other, values in shown if other == kind], looks[kind])
        for kind in {kind for _, kind, _ in shown}
    }
    if "spread" in scales:
        scales["spread"] = (0.0, scales["spread"][1])
    return [(title, looks[kind], scales[kind], values) for title, kind, values in shown]


def _finish(figure: Figure, panels: list[Axes], picture: Any, title: str, style: Look) -> None:
    panels[0].set_title(title, fontsize=9)
    panels[0].tick_params(labelsize=SMALL, labelcolor=COAST)
    bar = figure.colorbar(picture, ax=panels, extend="both", pad=0.02, aspect=25, shrink=0.8)
    bar.set_label(style.units, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL - 1)
