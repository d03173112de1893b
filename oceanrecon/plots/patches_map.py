"""Maps of patches: the sides of the split, how many patches a pixel is in, and how many profiles a patch has."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import BoundaryNorm, LogNorm, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from oceanrecon.pipeline.patches.figures import ALL_SIDES, GUARD, INVALID, PatchFigures
from oceanrecon.plots.colours import COAST, MISSING, PHASES, SEVERAL, SOME
from oceanrecon.plots.fields import shrink, shrink_factor
from oceanrecon.plots.maps import SMALL, Background, degree_axes, draw_land, new_figure, squeeze
from oceanrecon.plots.page import counted, percent
from oceanrecon.samples.index import SIDES

#: How strongly the sides are painted: the land below stays visible.
_ALPHA = 0.62
#: Points between the dots of neighbouring patches, of which a dot takes a part.
_DOT = 0.36
#: More than this many patches on a pixel are shown by a continuous bar.
_MOST_STEPS = 24


def draw_split(figures: PatchFigures) -> Figure:
    """Where the sides are: areas, and a mark in each patch; patches across the dateline are at both ends of the map."""
    figure, panel = _map(figures, legend=0.5)
    panel.imshow(
        _sides(figures), extent=_extent(figures), origin="upper", interpolation="nearest", zorder=2,
        aspect=panel.get_aspect(),
    )  # fmt: skip
    overlapping = figures.patches.stride < figures.patches.tile
    handles: list[Any] = []
    for name, chosen in figures.groups.items():
        if name == INVALID:
            _mark(panel, figures, chosen, "x", COAST)
        elif overlapping:
            _mark(panel, figures, chosen, "o", PHASES[name])
        else:
            boxes, _ = _boxes(figures, chosen)
            edges = PolyCollection(boxes, facecolors="none", edgecolors=PHASES[name], linewidths=0.9, zorder=4)
            panel.add_collection(edges)
        handles.append(_handle(figures, name, chosen))
    if figures.shared.any() and not figures.by_date:
        label = f"on two sides or more: {percent(figures.coverage['shared'])} of the ocean"
        handles.append(Patch(color=SEVERAL, alpha=_ALPHA, label=label))
    if overlapping and figures.used.any():
        example = _middle(figures)
        boxes, _ = _boxes(figures, example)
        panel.add_collection(PolyCollection(boxes, facecolors="none", edgecolors="black", linewidths=1.4, zorder=5))
        size = figures.patches.tile * figures.patches.grid.dx
        handles.append(Line2D([], [], color="black", lw=1.4, label=f"size of a patch: {size:g}°"))
    figure.legend(handles=handles, fontsize=SMALL, frameon=False, loc="outside lower center", ncols=4)
    how = "by date" if figures.by_date else f"by {figures.method}"
    figure.suptitle(f"{counted(int(figures.used.sum()), 'patch', 'es')}, split {how}", fontsize=12)
    return figure


def draw_overlap(figures: PatchFigures) -> Figure:
    """How many patches each pixel is in."""
    figure, panel = _map(figures)
    counts = _thinned(figures, figures.overlap)
    mean, most = figures.overlap_spread
    stepped = most <= _MOST_STEPS
    norm = BoundaryNorm(np.arange(0.5, most + 1), SOME.N) if stepped else Normalize(1, most)
    # a single class needs no scale of its own
    picture = panel.imshow(
        np.ma.masked_equal(counts, 0), cmap=SOME, norm=norm if most > 1 else Normalize(0, 2), origin="upper",
        extent=_extent(figures), interpolation="nearest", zorder=2, aspect=panel.get_aspect(), alpha=0.85,
    )  # fmt: skip
    if most > 1:
        bar = figure.colorbar(picture, ax=panel, shrink=0.9, pad=0.02, aspect=30)
        bar.set_label("patches", fontsize=9)
        bar.ax.tick_params(labelsize=SMALL)
        if stepped:
            step = -(-most // 8)
            bar.set_ticks(list(range(1, most + 1, step)))
            bar.ax.minorticks_off()
    figure.suptitle(f"Patches on a pixel that is in one: {mean:.1f} on average, {most} at most", fontsize=12)
    return figure


def draw_profiles_per_patch(figures: PatchFigures) -> Figure:
    """Accepted profiles per row of each patch; there has to be a row."""
    figure, panel = _map(figures)
    table = figures.table
    some = (table["rows"] > 0).to_numpy()
    mean = table["profiles"].to_numpy()[some] / table["rows"].to_numpy()[some]
    boxes, which = _boxes(figures, some, cells=True)
    middle, high = float(np.median(mean)), max(float(mean.max()), 1.0)
    # a few crowded places must not make all others look the same
    norm = LogNorm(max(high / 1000, 0.1), high) if high > 20 * middle else Normalize(0, high)
    cells = PolyCollection(boxes, cmap=SOME, norm=norm, zorder=2, edgecolors="face", linewidths=0.6)
    cells.set_array(np.ma.masked_equal(mean[which], 0))
    panel.add_collection(cells)
    bar = figure.colorbar(cells, ax=panel, shrink=0.9, pad=0.02, aspect=30)
    bar.set_label("accepted profiles per row", fontsize=9)
    bar.ax.tick_params(labelsize=SMALL)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:g}"))
    figure.suptitle("Accepted profiles per row of each patch", fontsize=12)
    return figure


def _map(figures: PatchFigures, legend: float = 0.0) -> tuple[Figure, Axes]:
    """A map of the grid with its land, where that is known."""
    west, east, south, north = _extent(figures)
    shape = (north - south) / ((east - west) * squeeze(south, north))
    figure = new_figure(11.0, min(11.0 * shape * (0.95 if legend else 0.86), 9.0) + 0.6 + legend)
    panel = figure.subplots()
    panel.set_facecolor(MISSING)
    if figures.land is not None:
        factor = shrink_factor(figures.patches.grid.width)
        land = shrink(figures.land.astype(np.float32), factor) >= 0.5
        rows, columns = land.shape
        grid = figures.patches.grid
        edges = (west, west + columns * factor * grid.dx, north - rows * factor * grid.dy, north)
        draw_land(panel, Background(land, edges))
    panel.set_aspect(1.0 / squeeze(south, north))
    panel.set_xlim(west, east)
    panel.set_ylim(south, north)
    degree_axes(panel)
    return figure, panel


def _extent(figures: PatchFigures) -> tuple[float, float, float, float]:
    west, south, east, north = figures.patches.grid.bounds
    return west, east, south, north


def _thinned(figures: PatchFigures, field: NDArray[Any]) -> NDArray[Any]:
    """Every so many-th pixel of a field, as far as a picture shows: [row, column]."""
    factor = shrink_factor(figures.patches.grid.width)
    return field[factor // 2 :: factor, factor // 2 :: factor]


def _sides(figures: PatchFigures) -> NDArray[np.float64]:
    """The colour of each pixel that is in a patch: [row, column, red green blue alpha]."""
    covered = {phase: _thinned(figures, pixels) for phase, pixels in figures.covered.items()}
    picture = np.zeros((*covered[GUARD].shape, 4))
    # what is used lies above what is left out, and what is on two sides above both
    layers = [(covered[phase], PHASES[phase]) for phase in (GUARD, *SIDES)]
    layers.append((_thinned(figures, figures.shared), SEVERAL))
    if figures.by_date:
        layers = [(_thinned(figures, figures.overlap) > 0, PHASES[ALL_SIDES])]
    for where, colour in layers:
        picture[where] = (*to_rgb(colour), _ALPHA)
    return picture


def _mark(panel: Axes, figures: PatchFigures, chosen: NDArray[np.bool_], marker: str, colour: str) -> None:
    """A mark in the middle of each of some patches."""
    x, y = _centres(figures, chosen)
    inches = 10.3 / (figures.patches.grid.width * figures.patches.grid.dx)
    apart = figures.patches.stride * figures.patches.grid.dx * inches * 72
    size = float(np.clip((_DOT * apart) ** 2, 1.5, 28.0))
    style = {"linewidths": 0.7} if marker == "x" else {"edgecolors": "white", "linewidths": 0.35 if size > 6 else 0.0}
    panel.scatter(x, y, s=size * (0.6 if marker == "x" else 1), c=colour, marker=marker, zorder=4, **style)


def _centres(figures: PatchFigures, chosen: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude, from the west edge of the grid on, and latitude of the centres of some patches."""
    table = figures.table[chosen]
    grid = figures.patches.grid
    column = table["grid_x0"].to_numpy() + figures.patches.tile / 2
    row = table["grid_y0"].to_numpy() + figures.patches.tile / 2
    return grid.west + np.mod(column, grid.width) * grid.dx, grid.north - row * grid.dy


def _boxes(
    figures: PatchFigures, chosen: NDArray[np.bool_], *, cells: bool = False
) -> tuple[list[NDArray[np.float64]], NDArray[np.int64]]:
    """Outlines of some patches, or ``cells`` round their centres that touch each other; degrees.

    Returns:
        Four corners each, [corner, 2], twice for what goes on at the other edge of the map; and which of the
        chosen patches each belongs to: [box].
    """
    grid, patches = figures.patches.grid, figures.patches
    x, y = _centres(figures, chosen)
    width, height = patches.tile * grid.dx, patches.tile * grid.dy
    if cells and patches.stride < patches.tile:
        width, height = (_apart(starts, patches.stride) * size for starts, size in (
            (patches.column_starts, grid.dx), (patches.row_starts, grid.dy)))  # fmt: skip
    west, _, east, _ = grid.bounds
    which = np.arange(x.size)
    left, right = which[x - width / 2 < west - 1e-9], which[x + width / 2 > east + 1e-9]
    x = np.concatenate([x, x[left] + 360.0, x[right] - 360.0])
    which = np.concatenate([which, left, right])
    y = y[which]
    corners = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
    boxes = np.stack([np.stack([x + dx * width, y + dy * height], axis=-1) for dx, dy in corners], axis=1)
    return list(boxes), which


def _apart(starts: NDArray[np.int64], stride: int) -> float:
    """Mean distance of the starts, pixels."""
    return float(starts[-1] - starts[0]) / (starts.size - 1) if starts.size > 1 else float(stride)


def _handle(figures: PatchFigures, name: str, chosen: NDArray[np.bool_]) -> Any:
    number = counted(int(chosen.sum()), "patch", "es")
    if name == INVALID:
        return Line2D([], [], color=COAST, marker="x", ls="", ms=5, label=f"too much land: {number}")
    share = percent(figures.coverage["all" if figures.by_date else name], 0)
    how = ", left out between the sides" if name == GUARD else f", {share} of the ocean"
    return Patch(color=PHASES[name], label=f"{name}: {number}{how}")


def _middle(figures: PatchFigures) -> NDArray[np.bool_]:
    """The patch that is used and nearest to the middle of the map."""
    west, east, south, north = _extent(figures)
    x, y = _centres(figures, figures.used)
    nearest = np.flatnonzero(figures.used)[np.hypot(x - (west + east) / 2, y - (south + north) / 2).argmin()]
    return np.asarray(np.arange(len(figures.table)) == nearest)
