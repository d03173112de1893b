"""Draws what a query of a regional dataset read: a map of each variable."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from cmocean import cm
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.figure import Figure

from oceanrecon.plots.colours import MISSING
from oceanrecon.samples.regional.query import VARIABLES, RegionalQuery
from oceanrecon.samples.regional.read import Patch

#: Maps in a row.
_ACROSS = 3
#: Part of the values that lie beyond either end of the colours, percent.
_BEYOND = 1.0


def draw_patches(patches: Mapping[str, Patch], query: RegionalQuery) -> Figure:
    """A map of each variable: cells, or points where they are; of stacked days the first.

    Args:
        patches: by token, of ``samples.regional.read.read_patches``.
        query: that they are of.
    """
    columns = min(_ACROSS, len(patches))
    rows = -(-len(patches) // columns)
    west, _, east, _ = query.box
    middle = np.radians((query.box[1] + query.box[3]) / 2)
    shape = (query.box[3] - query.box[1]) / max((east - west) % 360.0 or 360.0, 1e-6) / max(np.cos(middle), 0.2)
    height = 0.9 + 2.8 * min(max(shape, 0.4), 1.6)
    figure = Figure(figsize=(4.2 * columns, height * rows), dpi=120, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (token, patch) in zip(panels, patches.items(), strict=False):
        _draw(figure, panel, token, patch, 1 / max(np.cos(middle), 0.2))
        panel.set_xlim(west, west + ((east - west) % 360.0 or 360.0))
        panel.set_ylim(query.box[1], query.box[3])
    for panel in panels[len(patches) :]:
        panel.set_visible(False)
    days = str(query.start) if query.start == query.end else f"{query.start} to {query.end}"
    figure.suptitle(days, fontsize=11)
    return figure


def _draw(figure: Figure, panel: Axes, token: str, patch: Patch, stretch: float) -> None:
    values = np.where(patch.mask, patch.data, np.nan)
    values = values[0] if values.ndim == 3 else values
    known = values[np.isfinite(values)]
    panel.set_facecolor(MISSING)
    panel.set_title(token, fontsize=10)
    panel.tick_params(labelsize=8)
    panel.set_aspect(stretch)
    if not known.size:
        panel.text(0.5, 0.5, "nothing there", transform=panel.transAxes, ha="center", va="center", fontsize=9)
        panel.set_xticks([])
        panel.set_yticks([])
        return
    colours, symmetric = _look(token)
    low, high = np.percentile(known, [_BEYOND, 100.0 - _BEYOND])
    if symmetric:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    drawn: ScalarMappable
    if values.ndim == 1:
        drawn = panel.scatter(patch.lons, patch.lats, c=values, cmap=colours, vmin=low, vmax=high, s=9, linewidths=0)
    else:
        drawn = panel.pcolormesh(patch.lons, patch.lats, values, cmap=colours, vmin=low, vmax=high, shading="nearest")
    # beyond the dateline longitudes go on
    panel.xaxis.set_major_formatter(lambda x, _: f"{(x + 180.0) % 360.0 - 180.0:g}")
    bar = figure.colorbar(drawn, ax=panel, shrink=0.8, pad=0.02, extend="both")
    bar.ax.tick_params(labelsize=8)


def _look(token: str) -> tuple[Colormap, bool]:
    """Colours of a variable, and whether zero is their middle."""
    name = VARIABLES[token].name if token in VARIABLES else token.partition(":")[2]
    lowered = name.lower()
    if any(part in lowered for part in ("sst", "thetao", "temp")):
        return cm.thermal, False
    if lowered in ("so", "sos") or "sal" in lowered:
        return cm.haline, False
    if any(part in lowered for part in ("sla", "ssh", "adt", "zos", "wind", "uo", "vo", "ugos", "vgos")):
        return cm.balance, True
    return cm.dense, False
