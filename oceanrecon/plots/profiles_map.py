"""The map of profiles: a dot each while they are few, else how many are in each cell, around the coasts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from numpy.typing import NDArray

from oceanrecon.pipeline.profiles.figures import ProfileFigures
from oceanrecon.plots.colours import COUNTS, MISSING, SOURCES
from oceanrecon.plots.fields import shrink, shrink_factor
from oceanrecon.plots.maps import SMALL, Background, degree_axes, draw_land, new_figure, squeeze
from oceanrecon.synthetic.coast import LAND_CELL, coast

#: A box with a longer side, degrees, is shown as the globe.
_LARGEST = 150.0
#: Around the profiles: part of the longer side, and the least, degrees.
_MARGIN, _LEAST_MARGIN = 0.1, 3.0
#: Fewer profiles than this are counted in cells of two degrees, more in cells of one.
_MANY = 200_000


@dataclass(frozen=True)
class Window:
    """What a map shows, degrees; ``east`` is beyond 180 where it goes through the dateline."""

    west: float
    south: float
    east: float
    north: float

    def turned(self, longitude: NDArray[np.float64]) -> NDArray[np.float64]:
        """The same longitudes, from ``west`` on."""
        return np.mod(longitude - self.west, 360.0) + self.west


def window_around(box: tuple[float, float, float, float]) -> Window:
    """The window for profiles in a box (west, south, east, north; west > east through the dateline)."""
    west, south, east, north = box
    east += 360.0 if east < west else 0.0
    longest = max(east - west, north - south)
    if longest > _LARGEST:
        return Window(-180.0, -90.0, 180.0, 90.0)
    margin = max(_MARGIN * longest, _LEAST_MARGIN)
    return Window(west - margin, max(south - margin, -90.0), east + margin, min(north + margin, 90.0))


def draw_places(figures: ProfileFigures) -> Figure:
    """Where the profiles are; there has to be one."""
    assert figures.box is not None
    window = window_around(figures.box)
    shape = (window.north - window.south) / ((window.east - window.west) * squeeze(window.south, window.north))
    figure = new_figure(11.0, min(11.0 * shape * (0.86 if figures.places is None else 0.95), 7.0) + 0.6)
    panel = figure.subplots()
    panel.set_facecolor(MISSING)
    draw_land(panel, _land(window))
    if figures.places is None:
        cells = _draw_cells(figure, panel, figures, window)
        title = f"{figures.profiles:,} profiles, per cell of {cells}°"
    else:
        _draw_dots(panel, figures, window)
        title = f"{figures.profiles:,} profiles" if figures.profiles > 1 else "1 profile"
    panel.set_aspect(1.0 / squeeze(window.south, window.north))
    panel.set_xlim(window.west, window.east)
    panel.set_ylim(window.south, window.north)
    degree_axes(panel)
    figure.suptitle(title, fontsize=12)
    return figure


def _land(window: Window) -> Background:
    """The land of the window, north up, on whole cells of the coastline around it."""
    whole = coast().land
    south, north = int((window.south + 90.0) / LAND_CELL), int(np.ceil((window.north + 90.0) / LAND_CELL))
    west, east = (int(np.floor((edge + 180.0) / LAND_CELL)) for edge in (window.west, window.east))
    land = whole[south:north][:, np.arange(west, east + 1) % whole.shape[1]][::-1]
    factor = shrink_factor(east - west)
    shown = shrink(land.astype(np.float32), factor) >= 0.5
    rows, columns = (count * factor for count in shown.shape)
    edges = np.array([west, west + columns, north - rows, north]) * LAND_CELL - [180.0, 180.0, 90.0, 90.0]
    return Background(shown, (edges[0], edges[1], edges[2], edges[3]))


def _draw_cells(figure: Figure, panel: Axes, figures: ProfileFigures, window: Window) -> int:
    size = 1 if figures.profiles >= _MANY else 2
    counts = figures.cells.reshape(180 // size, size, 360 // size, size).sum(axis=(1, 3))
    columns = np.arange(int(np.floor(window.west / size)), int(np.ceil(window.east / size)))
    shown = counts[:, (columns + 180 // size) % counts.shape[1]]
    picture = panel.pcolormesh(
        np.append(columns, columns[-1] + 1) * size,
        np.arange(-90, 91, size),
        np.ma.masked_equal(shown, 0),
        cmap=COUNTS,
        norm=LogNorm(1, max(int(shown.max()), 10)),
        rasterized=True,
        zorder=2,
    )
    bar = figure.colorbar(picture, ax=panel, shrink=0.9, pad=0.02, aspect=30)
    bar.set_label("profiles per cell", fontsize=9)
    bar.ax.tick_params(labelsize=SMALL)
    return size


def _draw_dots(panel: Axes, figures: ProfileFigures, window: Window) -> None:
    assert figures.places is not None
    size = float(np.clip(6000.0 / max(figures.profiles, 1), 3.0, 40.0))
    # the rarer source on top
    for source, (latitude, longitude) in sorted(figures.places.items(), key=lambda item: -item[1].shape[1]):
        panel.scatter(
            window.turned(longitude),
            latitude,
            s=size,
            color=SOURCES.get(source, SOURCES[""]),
            edgecolors="white",
            linewidths=0.3 if size > 8 else 0.0,
            label=f"{source}: {latitude.size:,}",
            zorder=4,
        )
    panel.legend(fontsize=SMALL, loc="lower left", markerscale=max(1.0, np.sqrt(20.0 / size)), framealpha=0.9)
