"""The drawings: each function takes small arrays and returns a matplotlib figure, without pyplot's global state."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from oceanrecon.plots.colours import COAST, LAND, MISSING, Look
from oceanrecon.plots.fields import Field, Layer, Strip

_DPI = 120
#: Points of the numbers at axes.
SMALL = 8
#: Depth above which a section gets half of its height, metres.
_UPPER = 500.0


@dataclass(frozen=True)
class Background:
    """Land under every map of an export: [row, column] True on land, with its edges in degrees."""

    land: NDArray[np.bool_]
    extent: tuple[float, float, float, float]


@dataclass(frozen=True)
class Section:
    """A vertical cut: values [depth, place] in the units shown, along a meridian or a parallel."""

    date: dt.date
    depth: NDArray[np.float64]
    place: NDArray[np.float64]
    values: Field
    #: the dimension that is held, ``longitude`` or ``latitude``, and where, degrees
    held: str
    at: float


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    # matplotlib writes its version and address into every file unless told not to.
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def limits(values: Sequence[Field], look: Look) -> tuple[float, float]:
    """Colour limits that leave out the outermost percent on each side (shown units)."""
    finite = np.concatenate([field[np.isfinite(field)] for field in values])
    if not finite.size:
        return (-1.0, 1.0) if look.symmetric else (0.0, 1.0)
    low, high = (float(edge) for edge in np.percentile(finite, (1, 99)))
    if look.symmetric:
        high = max(abs(low), abs(high))
        low = -high
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def draw_maps(
    title: str,
    layers: Sequence[Layer],
    scales: Sequence[tuple[float, float]],
    look: Look,
    background: Background | None,
) -> Figure:
    """One panel per layer (the levels of one variable at one date), each with its own colour bar.

    Args:
        title: over all panels; each panel adds its depth.
        layers: values in the units of the dataset.
        scales: colour limits per layer, in the units shown.
        look: colours and units.
        background: land; without it, cells without a value are drawn as land.
    """
    columns = 1 if len(layers) == 1 else 2
    rows = -(-len(layers) // columns)
    west, east, south, north = layers[0].extent
    shape = (north - south) / ((east - west) * squeeze(south, north))
    width = 11.0
    height = rows * (min(max(shape, 0.3), 1.6) * width / columns * 0.86 + 0.5) + 0.4
    figure = new_figure(width, height)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, layer, scale in zip(panels, layers, scales, strict=False):
        picture = draw_field(panel, layer, scale, look, background)
        if layer.depth is not None:
            panel.set_title(metres(layer.depth), fontsize=10)
        bar = figure.colorbar(picture, ax=panel, extend="both", shrink=0.9, pad=0.02, aspect=30)
        bar.set_label(look.units, fontsize=9)
        bar.ax.tick_params(labelsize=SMALL)
    for panel in panels[len(layers) :]:
        panel.set_visible(False)
    figure.suptitle(title, fontsize=12)
    return figure


def draw_field(
    panel: Axes, layer: Layer, scale: tuple[float, float], look: Look, background: Background | None
) -> AxesImage:
    """One field on its land, with the coast, north up."""
    west, east, south, north = layer.extent
    panel.set_facecolor(LAND if background is None else MISSING)
    if background is not None:
        draw_land(panel, background)
    picture = panel.imshow(
        look.show(layer.values),
        cmap=look.colours,
        vmin=scale[0],
        vmax=scale[1],
        extent=layer.extent,
        origin="upper",
        interpolation="nearest",
        aspect=1.0 / squeeze(south, north),
        zorder=2,
    )
    if not np.isfinite(layer.values).any():
        panel.text(0.5, 0.5, "no data", transform=panel.transAxes, ha="center", va="center", fontsize=14, zorder=4)
    panel.set_xlim(west, east)
    panel.set_ylim(south, north)
    degree_axes(panel)
    return picture


def draw_land(panel: Axes, background: Background) -> None:
    """Land below the field, and its coast as a thin line above it."""
    land = background.land
    west, east, south, north = background.extent
    panel.imshow(
        np.where(land, 1.0, np.nan),
        cmap=ListedColormap([LAND]),
        norm=Normalize(0.0, 1.0),
        extent=background.extent,
        origin="upper",
        interpolation="nearest",
        zorder=1,
    )
    if land.any() and not land.all():
        rows, columns = land.shape
        dx, dy = (east - west) / columns, (north - south) / rows
        longitude = west + dx * (np.arange(columns) + 0.5)
        latitude = north - dy * (np.arange(rows) + 0.5)
        panel.contour(
            longitude, latitude, land.astype(np.float32), levels=[0.5], colors=COAST, linewidths=0.4, zorder=3
        )


def draw_section(title: str, section: Section, look: Look) -> Figure:
    """Depth against place; where the ocean is deeper than 500 m, the upper 500 m take half of the height."""
    figure = new_figure(11.0, 4.6)
    panels = section_panels(figure, section)
    draw_section_into(figure, panels, section, look)
    figure.suptitle(f"{title}, along {_where(section)}", fontsize=12)
    return figure


def section_panels(figure: Figure | SubFigure, section: Section) -> list[Axes]:
    """The one or two axes that a section needs, upper first."""
    if section.depth[-1] <= 1.2 * _UPPER:
        return [figure.subplots()]
    return list(figure.subplots(2, 1, sharex=True, gridspec_kw={"hspace": 0.02}))


def draw_section_into(figure: Figure | SubFigure, panels: Sequence[Axes], section: Section, look: Look) -> None:
    """Draw a section into the axes of ``section_panels``."""
    low, high = limits([section.values], look)
    edges = depth_edges(section.depth)
    sides = _edges(section.place)
    for panel in panels:
        panel.set_facecolor(LAND)
        picture = panel.pcolormesh(
            sides, edges, np.ma.masked_invalid(section.values), cmap=look.colours, vmin=low, vmax=high, rasterized=True
        )
        panel.tick_params(labelsize=SMALL)
        panel.set_xlim(float(sides.min()), float(sides.max()))
    bottom = float(edges[-1])
    if len(panels) == 2:
        panels[0].set_ylim(_UPPER, 0.0)
        panels[1].set_ylim(bottom, _UPPER)
        panels[0].tick_params(labelbottom=False)
        # The lower panel repeats the limit they share.
        panels[0].set_yticks([0, 100, 200, 300, 400])
    else:
        panels[0].set_ylim(bottom, 0.0)
    panels[0].set_ylabel("depth (m)", fontsize=9)
    panels[-1].xaxis.set_major_locator(MaxNLocator(9, steps=[1, 1.5, 2, 3, 5, 10]))
    panels[-1].xaxis.set_major_formatter(latitudes() if section.held == "longitude" else longitudes())
    bar = figure.colorbar(picture, ax=list(panels), extend="both", pad=0.02, aspect=30)
    bar.set_label(look.units, fontsize=9)
    bar.ax.tick_params(labelsize=SMALL)


def draw_histogram(
    title: str,
    layers: Sequence[Layer],
    edges: NDArray[np.float64],
    look: Look,
    clipped: tuple[float, float] | None,
) -> Figure:
    """How often each code occurs, one line per level, all drawn dates together; the ends show what was clipped.

    Args:
        title: over the drawing.
        layers: layers with ``counts`` between ``edges``.
        edges: bin edges in the units of the dataset: [bins + 1].
        look: for the units shown.
        clipped: shares of the export's values clipped low and high, as fractions.
    """
    figure = new_figure(11.0, 3.2)
    panel = figure.subplots()
    shown = edges + look.offset
    depths = sorted({layer.depth for layer in layers}, key=lambda depth: -1.0 if depth is None else depth)
    used = np.zeros(len(edges) - 1, dtype=bool)
    for n, depth in enumerate(depths):
        counts = np.sum([layer.counts for layer in layers if layer.depth == depth], axis=0)
        used |= counts > 0
        share = 100.0 * counts / max(int(counts.sum()), 1)
        label = None if depth is None else metres(depth)
        panel.stairs(share, shown, label=label, color=look.colours(0.15 + 0.7 * n / max(len(depths) - 1, 1)), lw=1.2)
    if used.any():
        first, last = int(used.argmax()), len(used) - 1 - int(used[::-1].argmax())
        panel.set_xlim(float(shown[max(first - 2, 0)]), float(shown[min(last + 3, len(shown) - 1)]))
    for edge in (shown[0], shown[-1]):
        panel.axvline(float(edge), color=COAST, lw=0.8, ls=":")
    panel.set_ylim(bottom=0.0)
    panel.set_xlabel(look.units, fontsize=9)
    panel.set_ylabel("% of values per bin", fontsize=9)
    panel.tick_params(labelsize=SMALL)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)
    if len(depths) > 1:
        panel.legend(fontsize=SMALL, frameon=False)
    if clipped is not None:
        title += f" (clipped in the export: low {100 * clipped[0]:.3f} %, high {100 * clipped[1]:.3f} %)"
    figure.suptitle(title, fontsize=12)
    return figure


def draw_seams(title: str, strips: Sequence[Strip], scale: tuple[float, float], look: Look) -> Figure:
    """Strips at full size, stretched so that a single wrong column or row is seen."""
    tall = [strip for strip in strips if strip.meridian]
    flat = [strip for strip in strips if not strip.meridian]
    figure = new_figure(11.0, 1.4 * len(flat) + (3.0 if tall else 0.0) + 0.5)
    heights = ([3.0] if tall else []) + [1.0] * len(flat)
    spec = figure.add_gridspec(len(heights), max(len(tall), 1), height_ratios=heights)
    for n, strip in enumerate(tall):
        panel = figure.add_subplot(spec[0, n])
        _draw_strip(panel, strip, scale, look)
        panel.axvline(0.0, color=COAST, lw=0.5, ls=":")
        panel.set_xlabel("degrees from the meridian", fontsize=SMALL)
        panel.yaxis.set_major_formatter(latitudes())
    for n, strip in enumerate(flat):
        panel = figure.add_subplot(spec[n + bool(tall), :])
        _draw_strip(panel, strip, scale, look)
        panel.xaxis.set_major_locator(MaxNLocator(9, steps=[1, 1.5, 2, 3, 5, 6, 10]))
        panel.xaxis.set_major_formatter(longitudes())
        panel.yaxis.set_major_locator(MaxNLocator(3))
        panel.yaxis.set_major_formatter(latitudes())
    figure.suptitle(title, fontsize=12)
    return figure


def draw_overview(
    title: str,
    layer: Layer,
    scale: tuple[float, float],
    look: Look,
    background: Background | None,
    section: Section | None,
    section_look: Look,
    section_title: str,
) -> Figure:
    """The picture for a first look: a surface map, and below it a section whose place is marked on the map."""
    west, east, south, north = layer.extent
    shape = (north - south) / ((east - west) * squeeze(south, north))
    beside = section is not None and shape > 0.8
    height = min(max(shape, 0.3) * (3.9 if beside else 9.4), 8.0) + 0.6
    figure = new_figure(11.0, height + (3.6 if section and not beside else 0.0))
    upper: Figure | SubFigure = figure
    lower: SubFigure | None = None
    if beside:
        # A region taller than wide would leave half of the page white.
        upper, lower = figure.subfigures(1, 2, squeeze=False, width_ratios=[4.9, 6.1]).ravel()
    elif section is not None:
        upper, lower = figure.subfigures(2, 1, squeeze=False, height_ratios=[height, 3.6]).ravel()
    panel = upper.subplots()
    picture = draw_field(panel, layer, scale, look, background)
    bar = upper.colorbar(picture, ax=panel, extend="both", pad=0.02, aspect=30)
    bar.set_label(look.units, fontsize=9)
    bar.ax.tick_params(labelsize=SMALL)
    upper.suptitle(title, fontsize=10 if beside else 12)
    if section is not None and lower is not None:
        mark = panel.axvline if section.held == "longitude" else panel.axhline
        mark(section.at, color="white", lw=1.2, ls="--", zorder=5)
        draw_section_into(lower, section_panels(lower, section), section, section_look)
        lower.suptitle(f"{section_title}, along {_where(section)}", fontsize=10 if beside else 12)
    return figure


def depth_edges(depth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges half-way between levels, from the surface to as far below the last level as its upper edge is above."""
    if depth.size == 1:
        return np.array([0.0, 2.0 * max(float(depth[0]), 0.5)])
    middle = 0.5 * (depth[1:] + depth[:-1])
    return np.concatenate([[0.0], middle, [2.0 * depth[-1] - middle[-1]]])


def _edges(centres: NDArray[np.float64]) -> NDArray[np.float64]:
    first, last = float(centres[0]), float(centres[-1])
    half = 0.5 * (last - first) / (centres.size - 1)
    return np.linspace(first - half, last + half, centres.size + 1)


def new_figure(width: float, height: float) -> Figure:
    """A white figure of that size in inches, laid out by itself."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def squeeze(south: float, north: float) -> float:
    """A degree of longitude as long as it is in the middle of a region; a globe stays 2 : 1."""
    if north - south > 100.0:
        return 1.0
    return float(np.cos(np.radians(0.5 * (south + north))))


def _draw_strip(panel: Axes, strip: Strip, scale: tuple[float, float], look: Look) -> None:
    panel.set_facecolor(LAND)
    panel.imshow(
        look.show(strip.values),
        cmap=look.colours,
        vmin=scale[0],
        vmax=scale[1],
        extent=strip.extent,
        origin="upper",
        interpolation="nearest",
        aspect="auto",
    )
    panel.set_title(strip.title, fontsize=9)
    panel.tick_params(labelsize=SMALL)


def _where(section: Section) -> str:
    name = meridian(section.at) if section.held == "longitude" else parallel(section.at)
    return f"{name}, {section.date}"


def metres(depth: float) -> str:
    """``0.5 m`` or ``1,062 m``."""
    return f"{depth:,.0f} m" if depth >= 10 else f"{depth:.1f} m"


def meridian(degrees: float) -> str:
    """``30°W``."""
    turned = (degrees + 180.0) % 360.0 - 180.0
    side = "" if turned in (0.0, -180.0) else "E" if turned > 0 else "W"
    return f"{round(abs(turned), 2):g}°{side}"


def parallel(degrees: float) -> str:
    """``30°S``."""
    return f"{round(abs(degrees), 2):g}°{'' if degrees == 0 else 'N' if degrees > 0 else 'S'}"


def longitudes() -> FuncFormatter:
    """Of an axis of longitudes."""
    return FuncFormatter(lambda degrees, _: meridian(degrees))


def latitudes() -> FuncFormatter:
    """Of an axis of latitudes."""
    return FuncFormatter(lambda degrees, _: parallel(degrees))


def degree_axes(panel: Axes) -> None:
    """Longitudes and latitudes along the axes of a map."""
    panel.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 1.5, 2, 3, 5, 6, 10]))
    panel.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 1.5, 2, 3, 5, 6, 10]))
    panel.xaxis.set_major_formatter(longitudes())
    panel.yaxis.set_major_formatter(latitudes())
    panel.tick_params(labelsize=SMALL)
