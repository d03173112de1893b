"""What charts share: bars of how much there is per day, month or year, and axes of time and depth."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from numpy.typing import NDArray

from oceanrecon.plots.colours import COAST
from oceanrecon.plots.maps import SMALL

#: Longer spans than these, days, are counted by month, and by year.
_BY_DAY, _BY_MONTH = 200, 40 * 366
#: How a start is written.
_FORMS = {"day": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}
#: So many days are all named.
_FEW = 7
_DEPTH_TICKS = (0, 10, 50, 100, 200, 500, 1000, 2000, 3000, 4000, 5000, 6000)


def draw_bars(
    panel: Axes, days: Sequence[dt.date], daily: Mapping[str, NDArray[np.int64]], colours: Mapping[str, str]
) -> str:
    """Stacked bars per day, month or year, by kind; returns which of these it is.

    Args:
        panel: where to draw.
        days: ascending, one at least.
        daily: kind -> how many on each of the days.
        colours: of the kinds.
    """
    starts, step, counts = by_time(days, daily)
    edges = time_edges(starts, step)
    below = np.zeros(len(starts))
    for kind, number in counts.items():
        panel.bar(
            edges[:-1], number, np.diff(edges), below, align="edge", color=colours[kind],
            label=f"{kind}: {int(number.sum()):,}", edgecolor="white", linewidth=0.4 if len(starts) < 120 else 0.0,
        )  # fmt: skip
        below += number
    time_axis(panel, starts, step, days)
    panel.yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=[1, 2, 5, 10]))
    thousands(panel.yaxis)
    plain(panel)
    return step


def by_time(
    days: Sequence[dt.date], daily: Mapping[str, NDArray[np.int64]]
) -> tuple[list[dt.date], str, dict[str, NDArray[np.float64]]]:
    """Counts per day, month or year, whichever suits the span: starts without gaps, the step, counts by source."""
    span = (days[-1] - days[0]).days + 1
    step = "day" if span <= _BY_DAY else "month" if span <= _BY_MONTH else "year"
    starts = [_start(days[0], step)]
    while _next(starts[-1], step) <= days[-1]:
        starts.append(_next(starts[-1], step))
    place = {start: number for number, start in enumerate(starts)}
    where = np.array([place[_start(day, step)] for day in days])
    totals = {source: np.zeros(len(starts)) for source in daily}
    for source, counts in daily.items():
        np.add.at(totals[source], where, counts)
    return starts, step, totals


def time_edges(starts: Sequence[dt.date], step: str) -> NDArray[Any]:
    """Where the days, months or years begin, and where the last one ends: [start + 1]."""
    return np.array([*starts, _next(starts[-1], step)], dtype="datetime64[D]")


def time_axis(panel: Axes, starts: Sequence[dt.date], step: str, days: Sequence[dt.date]) -> None:
    """Dates along the axis of such a chart: the days themselves where they are few."""
    edges = time_edges(starts, step)
    panel.set_xlim(edges[0], edges[-1])
    few = step == "day" and len(days) <= _FEW
    marked = [starts.index(day) for day in days] if few else _marked(starts, step)
    panel.set_xticks([edges[number] for number in marked], [starts[n].strftime(_FORMS[step]) for n in marked])


def _start(day: dt.date, step: str) -> dt.date:
    return day if step == "day" else day.replace(day=1, month=day.month if step == "month" else 1)


def _next(day: dt.date, step: str) -> dt.date:
    return _start(day + dt.timedelta(days={"day": 1, "month": 31, "year": 366}[step]), step)


def _marked(starts: Sequence[dt.date], step: str) -> list[int]:
    """At most ten of the starts, evenly apart; months and years at whole quarters, years and decades."""
    along = [start.toordinal() if step == "day" else start.year * 12 + start.month - 1 for start in starts]
    for apart in (1, 2, 4, 7, 14, 28) if step == "day" else (1, 2, 3, 6, 12, 24, 60, 120, 240, 600, 1200):
        marked = [number for number, at in enumerate(along) if at % apart == 0]
        if len(marked) <= 10:
            break
    return marked


def depth_axis(panels: Sequence[Axes], depth: NDArray[np.float64]) -> None:
    """Depth downwards to the last level; as a square root, since most levels are near the surface."""
    bottom = max(float(depth[-1]) * 1.05, 10.0)
    for panel in panels:
        panel.set_yscale("function", functions=(lambda z: np.sqrt(np.maximum(z, 0.0)), np.square))
        panel.set_ylim(bottom, 0.0)
        panel.yaxis.set_major_locator(FixedLocator([tick for tick in _DEPTH_TICKS if tick <= bottom]))
        panel.yaxis.set_minor_locator(NullLocator())
        panel.yaxis.set_major_formatter(FuncFormatter(lambda z, _: f"{z:,.0f}"))
        panel.grid(axis="y", color=COAST, alpha=0.12, lw=0.6)
    panels[0].set_ylabel("depth (m)", fontsize=9)


def plain(panel: Axes) -> None:
    """Small numbers, and no lines above and at the right."""
    panel.tick_params(labelsize=SMALL)
    for side in ("top", "right"):
        panel.spines[side].set_visible(False)


def thousands(axis: Axis) -> None:
    """Whole numbers with commas."""
    axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,.0f}"))
