"""A sample as a picture: its surface fields, and the target at a few depths with the profiles on it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from oceanrecon.pipeline.patches.examples import Example, Shown
from oceanrecon.plots.colours import COAST, LAND, MISSING, look
from oceanrecon.plots.maps import SMALL, degree_axes, limits, metres, new_figure, squeeze
from oceanrecon.plots.page import counted

#: Colours span this many steps of the codes at least.
_LEAST_STEPS = 8
#: What a field is called, by variable.
_NAMES = {
    "thetao": "temperature",
    "so": "salinity",
    "analysed_sst": "surface temperature",
    "sos": "surface salinity",
    "adt": "sea level",
}


def draw_example(example: Example) -> Figure:
    """One sample: the surface fields above, the target below."""
    columns = max(len(example.surface), len(example.target))
    south, north = float(example.latitude[-1]), float(example.latitude[0])
    shape = (north - south) / ((example.longitude[-1] - example.longitude[0]) * squeeze(south, north))
    figure = new_figure(11.0, 2 * (min(shape, 1.6) * 0.7 * 11.0 / columns + 0.75) + 0.5)
    panels = figure.subplots(2, columns, squeeze=False)
    for row, fields in zip(panels, (example.surface, example.target), strict=True):
        for panel, shown in zip(row, fields, strict=False):
            _draw(figure, panel, example, shown)
        for panel in row[len(fields) :]:
            panel.set_visible(False)
    places = example.points[0].size
    figure.suptitle(
        f"Patch {example.patch_id} on {example.date}, {example.phase or 'no side'}: "
        f"{counted(example.profiles, 'accepted profile')}, {counted(places, 'pixel')} with one",
        fontsize=12,
    )
    return figure


def _draw(figure: Figure, panel: Axes, example: Example, shown: Shown) -> None:
    style = look(shown.channel.quantity)
    low, high = limits([style.show(shown.values)], style)
    # two neighbouring codes must not look like a front
    widen = max(_LEAST_STEPS * shown.step - (high - low), 0.0) / 2
    low, high = low - widen, high + widen
    west, east = float(example.longitude[0]), float(example.longitude[-1])
    south, north = float(example.latitude[-1]), float(example.latitude[0])
    panel.set_facecolor(MISSING)
    edges = (example.longitude, example.latitude)
    panel.pcolormesh(
        *edges, np.ma.masked_equal(example.land, False), cmap=ListedColormap([LAND]), rasterized=True, zorder=1
    )
    picture = panel.pcolormesh(
        *edges, np.ma.masked_invalid(style.show(shown.values)), cmap=style.colours, vmin=low, vmax=high, zorder=2,
        rasterized=True,
    )  # fmt: skip
    if example.land.any() and not example.land.all():
        middle = [0.5 * (edge[1:] + edge[:-1]) for edge in edges]
        panel.contour(*middle, example.land.astype(np.float32), levels=[0.5], colors=COAST, linewidths=0.5, zorder=3)
    if shown.observed is not None:
        _draw_profiles(panel, example, style.show(shown.observed), picture)
    if west < 180.0 < east:
        panel.axvline(180.0, color=COAST, lw=0.5, ls=":", zorder=3)
    panel.set_aspect(1.0 / squeeze(south, north))
    panel.set_xlim(west, east)
    panel.set_ylim(south, north)
    degree_axes(panel)
    panel.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 1.5, 2, 3, 5, 10]))
    panel.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 1.5, 2, 3, 5, 10]))
    name = _NAMES[shown.channel.variable]
    panel.set_title(name if shown.depth is None else f"{name} at {metres(shown.depth)}", fontsize=9)
    bar = figure.colorbar(picture, ax=panel, extend="both", pad=0.02, aspect=25, shrink=0.9)
    bar.set_label(style.units, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL - 1)


def _draw_profiles(panel: Axes, example: Example, observed: NDArray[np.float32], picture: QuadMesh) -> None:
    """A dot in each pixel with a profile, in the colour of what it measured; a cross where it has no value here."""
    rows, columns = example.points
    x = 0.5 * (example.longitude[columns] + example.longitude[columns + 1])
    y = 0.5 * (example.latitude[rows] + example.latitude[rows + 1])
    some = np.isfinite(observed)
    low, high = picture.get_clim()
    panel.scatter(x[~some], y[~some], s=9, c="black", marker="x", linewidths=0.6, zorder=4)
    panel.scatter(x[some], y[some], s=40, c="white", zorder=4)  # a rim: a dot that agrees with the field is still seen
    panel.scatter(
        x[some], y[some], s=22, c=observed[some], cmap=picture.cmap, vmin=low, vmax=high, edgecolors="black",
        linewidths=0.7, zorder=5,
    )  # fmt: skip
