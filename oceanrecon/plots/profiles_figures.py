"""The drawings of profiles: when, how deep, what became of them, T-S, and how far the reanalysis is from them."""

from __future__ import annotations

import gsw
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from oceanrecon.pipeline.profiles.figures import (
    SALINITY_BINS,
    SHARES,
    TEMPERATURE_BINS,
    Counts,
    Difference,
    ProfileFigures,
)
from oceanrecon.plots.charts import depth_axis, draw_bars, plain, thousands
from oceanrecon.plots.colours import COAST, COUNTS, SALINITY, SOURCES, TEMPERATURE
from oceanrecon.plots.maps import SMALL, new_figure

#: What is left after each check, in words.
CHECKS = {
    "": "read",
    "date_impossible": "date is possible",
    "date_flag": "flag of the date accepted",
    "position_impossible": "position is possible",
    "position_flag": "flag of the position accepted",
    "secondary_sampling": "main sampling of its cycle",
    "not_delayed_mode": "delayed mode (quality strict)",
    "duplicate_cycle": "best of the files of its cycle",
    "duplicate_of_argo": "not taken from Argo already",
    "outside_dates": "within the dates asked for",
}
#: Share of the values, per cent, beyond each end of the axes of the T-S diagram.
_BEYOND = 0.05
#: Cells of the T-S diagram along an axis: fewer where there are few pairs.
_CELLS = (40, 150)


def draw_times(figures: ProfileFigures) -> Figure:
    """Profiles per day, month or year, by source; there has to be one."""
    figure = new_figure(11.0, 3.2)
    panel = figure.subplots()
    colours = {source: SOURCES.get(source, SOURCES[""]) for source in figures.daily}
    step = draw_bars(panel, figures.days, figures.daily, colours)
    panel.set_ylabel(f"profiles per {step}", fontsize=9)
    panel.legend(fontsize=SMALL, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.suptitle(f"When: {figures.days[0]} to {figures.days[-1]}", fontsize=12)
    return figure


def draw_levels(figures: ProfileFigures) -> Figure:
    """Profiles that have a value, per level."""
    figure = new_figure(11.0, 4.8)
    panel = figure.subplots()
    values = figures.values
    end = _deepest(values["temp"] + values["psal"]) + 1
    lines = [("temp", "in-situ temperature", TEMPERATURE, "-"), ("psal", "salinity", SALINITY, "-")]
    if not np.array_equal(values["temp"], values["potm"]):
        lines.insert(1, ("potm", "potential temperature", TEMPERATURE, ":"))
    for name, label, colour, style in lines:
        panel.plot(values[name][:end], figures.depth[:end], style, color=colour, marker=".", label=label)
    panel.axvline(figures.profiles, color=COAST, lw=0.8, ls=":")
    panel.set_xlim(0, figures.profiles * 1.03 + 0.1)
    panel.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    thousands(panel.xaxis)
    panel.set_xlabel("profiles with a value (dotted line: all profiles)", fontsize=9)
    depth_axis([panel], figures.depth[:end])
    plain(panel)
    figure.legend(fontsize=SMALL, frameon=False, loc="outside lower center", ncols=3)
    figure.suptitle("How deep", fontsize=12)
    return figure


def draw_funnel(figures: ProfileFigures) -> Figure:
    """Profiles that are left after each check, by source, from what was read at the top; something has to have been."""
    stages = figures.funnel()
    figure = new_figure(11.0, 0.34 * len(stages) + 1.1)
    panel = figure.subplots()
    rows = np.arange(len(stages))
    left = np.zeros(len(stages))
    for source in stages[0][1]:
        number = np.array([counts.get(source, 0) for _, counts in stages], np.float64)
        panel.barh(
            rows, number, 0.72, left, color=SOURCES.get(source, SOURCES[""]), label=source or "source not recorded"
        )
        left += number
    most = max(left.max(), 1.0)
    for row, total in enumerate(left.astype(int)):
        lost = int(left[row - 1]) - total if row else 0
        text = f"{total:,}" + (f"  (-{lost:,})" if lost else "")
        panel.text(left[row] + most * 0.01, row, text, va="center", fontsize=SMALL)
    panel.set_yticks(rows, [CHECKS.get(name, name.replace("_", " ")) for name, _ in stages], fontsize=9)
    panel.set_ylim(len(stages) - 0.5, -0.5)
    panel.set_xlim(0, most * 1.18)
    panel.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    thousands(panel.xaxis)
    panel.set_xlabel("profiles", fontsize=9)
    plain(panel)
    panel.legend(fontsize=SMALL, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=3, borderaxespad=0.1)
    figure.suptitle("What became of the profiles: left after each check", fontsize=12)
    return figure


def draw_diagram(figures: ProfileFigures) -> Figure:
    """Potential temperature against salinity, with lines of equal potential density; there has to be a pair."""
    rows, temperature = _cells(figures.diagram.sum(axis=1), TEMPERATURE_BINS)
    columns, salinity = _cells(figures.diagram.sum(axis=0), SALINITY_BINS)
    counts = np.add.reduceat(np.add.reduceat(figures.diagram, rows, axis=0), columns, axis=1)[:-1, :-1]
    figure = new_figure(11.0, 6.0)
    panel = figure.subplots()
    picture = panel.pcolormesh(
        salinity, temperature, np.ma.masked_equal(counts, 0), cmap=COUNTS,
        norm=LogNorm(1, max(int(counts.max()), 10)), rasterized=True,
    )  # fmt: skip
    s, t = np.meshgrid(np.linspace(salinity[0], salinity[-1], 80), np.linspace(temperature[0], temperature[-1], 80))
    reference = gsw.SR_from_SP(s)
    density = gsw.sigma0(reference, gsw.CT_from_pt(reference, t))
    lines = panel.contour(
        s, t, density, levels=MaxNLocator(12).tick_values(density.min(), density.max()), colors=COAST,
        linewidths=0.5, alpha=0.7,
    )  # fmt: skip
    panel.clabel(lines, fontsize=SMALL - 1)
    bar = figure.colorbar(picture, ax=panel, pad=0.02, aspect=30)
    bar.set_label("values per cell", fontsize=9)
    bar.ax.tick_params(labelsize=SMALL)
    panel.set_xlabel("practical salinity (PSU)", fontsize=9)
    panel.set_ylabel("potential temperature (°C)", fontsize=9)
    plain(panel)
    figure.suptitle("Temperature and salinity, lines of σ₀ (kg m⁻³)", fontsize=12)
    return figure


def _cells(counts: Counts, edges: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cells of several bins, large enough to be seen, without ``_BEYOND`` per cent at each end.

    Returns:
        The first bin of each, and of what is beyond the last; the edges of the cells.
    """
    number = int(counts.sum())
    share = np.cumsum(counts) / number * 100.0
    first, last = (int(np.searchsorted(share, at, "right")) for at in (_BEYOND, 100.0 - _BEYOND))
    size = max((last - first) // int(np.clip(2 * np.sqrt(number), *_CELLS)), 1)
    starts = np.arange(max(first - size, 0), min(last + 2 * size + 1, counts.size - 1), size)
    return starts, edges[starts]


def draw_differences(figures: ProfileFigures) -> Figure:
    """Reanalysis minus profile against depth, with the number of pairs; there has to be a pair."""
    shown = [difference for difference in figures.differences if difference.number.any()]
    figure = new_figure(11.0, 5.4)
    panels = figure.subplots(
        1, 2 * len(shown), sharey=True, squeeze=False, gridspec_kw={"width_ratios": [3.4, 1.0] * len(shown)}
    )[0]
    for number, difference in enumerate(shown):
        _draw_difference(panels[2 * number], difference, figures.depth)
        _draw_number(panels[2 * number + 1], difference, figures.depth)
    deepest = _deepest(np.sum([difference.number for difference in shown], axis=0))
    depth_axis(panels, figures.depth[: deepest + 1])
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=SMALL, frameon=False, loc="outside lower center", ncols=3)
    figure.suptitle("Reanalysis minus profile", fontsize=12)
    return figure


def _draw_difference(panel: Axes, difference: Difference, depth: NDArray[np.float64]) -> None:
    colour = TEMPERATURE if difference.units == "K" else SALINITY
    p5, p25, median, p75, p95 = difference.percentiles.T
    panel.axvline(0.0, color=COAST, lw=0.8)
    panel.fill_betweenx(depth, p5, p95, color=colour, alpha=0.18, lw=0, label=f"{SHARES[0]:g}-{SHARES[-1]:g} %")
    panel.fill_betweenx(depth, p25, p75, color=colour, alpha=0.4, lw=0, label=f"{SHARES[1]:g}-{SHARES[-2]:g} %")
    panel.plot(median, depth, color=colour, lw=1.6, marker=".", ms=4, label="median")
    # a level with a handful of pairs must not decide what the others look like
    usual = difference.number >= min(10, int(difference.number.max()))
    widest = max(float(np.abs(difference.percentiles[usual]).max()) * 1.1, 5 * difference.step)
    panel.set_xlim(-widest, widest)
    panel.xaxis.set_major_locator(MaxNLocator(6))
    panel.set_title(f"{difference.name}", fontsize=10)
    panel.set_xlabel(difference.units, fontsize=9)
    plain(panel)


def _draw_number(panel: Axes, difference: Difference, depth: NDArray[np.float64]) -> None:
    some = difference.number > 0
    panel.plot(difference.number[some], depth[some], color=COAST, lw=1.0, marker=".", ms=4)
    panel.set_xscale("log")
    panel.set_xlim(0.7, max(float(difference.number.max()) * 2.0, 20.0))
    panel.set_xlabel("pairs", fontsize=9)
    panel.tick_params(labelleft=False)
    plain(panel)


def _deepest(number: Counts) -> int:
    """The last level with a number, 0 where there is none."""
    return int(np.append(0, np.flatnonzero(number))[-1])
