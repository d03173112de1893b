"""Charts of patches: when their rows are, how many profiles they have, how much land, and how much of the target."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

from oceanrecon.pipeline.patches.figures import GUARD, INVALID, PatchFigures, Support
from oceanrecon.plots.charts import by_time, depth_axis, draw_bars, plain, thousands, time_axis, time_edges
from oceanrecon.plots.colours import COAST, PHASES, SALINITY, TEMPERATURE
from oceanrecon.plots.maps import SMALL, new_figure
from oceanrecon.plots.page import counted, percent
from oceanrecon.samples.index import SIDES

#: Of numbers along an axis.
_STEPS = (1, 2, 5, 10)
#: Bins of shares of a patch.
_BINS = np.linspace(0.0, 1.0, 21)
#: More classes than this are drawn as doublings: 0, 1, 2-3, 4-7, ...
_MOST_CLASSES = 16


def draw_times(figures: PatchFigures) -> Figure:
    """Rows per day, month or year, by side, and how many profiles they have on average; there has to be a row."""
    figure = new_figure(11.0, 4.6)
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [2.0, 1.0]})
    colours = {phase: PHASES[phase] for phase in figures.daily_rows}
    shown = {phase: rows for phase, rows in figures.daily_rows.items() if rows.any()}
    step = draw_bars(upper, figures.dates, shown, colours)
    upper.set_ylabel(f"rows per {step}", fontsize=9)
    upper.legend(fontsize=SMALL, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    starts, _, rows = by_time(figures.dates, figures.daily_rows)
    _, _, profiles = by_time(figures.dates, figures.daily_profiles)
    edges = time_edges(starts, step)
    for phase in shown:
        mean = profiles[phase] / np.where(rows[phase] > 0, rows[phase], np.nan)
        middle = edges[:-1] + (edges[1:] - edges[:-1]) // 2 if step != "day" else edges[:-1] + np.timedelta64(12, "h")
        # most days have no row: there the line goes on; a month or a year without one interrupts it
        shown_at = np.isfinite(mean) | (step != "day")
        style = "." if shown_at.sum() < 60 else ""
        lower.plot(middle[shown_at], mean[shown_at], color=colours[phase], lw=1.2, marker=style)
    time_axis(lower, starts, step, figures.dates)
    lower.set_ylim(0, 1.08 * lower.get_ylim()[1])
    lower.set_ylabel("profiles per row", fontsize=9)
    plain(lower)
    figure.suptitle(
        f"When: {counted(len(figures.dates), 'date')} from {figures.dates[0]} to {figures.dates[-1]}", fontsize=12
    )
    return figure


def draw_support(figures: PatchFigures) -> Figure:
    """How many accepted profiles the rows have, by side; there has to be a row."""
    figure = new_figure(11.0, 3.8)
    panel = figure.subplots()
    some = {side: figures.support[side] for side in SIDES if figures.support[side].rows}
    edges, names = classes(max(one.counts.size for one in some.values()) - 1)
    if not figures.all_rows.empty:
        edges, names = edges[1:], names[1:]
    places = np.arange(len(names))
    width = 0.84 / len(some)
    for number, (phase, one) in enumerate(some.items()):
        share = in_classes(one, edges) / one.rows
        median = one.percentile(50)
        label = f"{phase}: {counted(one.rows, 'row')}, median {median}, mean {one.mean:.1f}"
        panel.bar(
            places + (number - (len(some) - 1) / 2) * width, share, width, color=PHASES[phase], label=label,
            edgecolor="white", linewidth=0.4,
        )  # fmt: skip
    panel.set_xticks(places, names)
    panel.set_xlim(-0.6, len(names) - 0.4)
    panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    panel.yaxis.set_major_locator(MaxNLocator(6, steps=_STEPS))
    panel.set_xlabel(
        "accepted profiles of a row" + ("" if figures.keep_empty else " (rows without one are left out)"), fontsize=9
    )
    panel.set_ylabel("share of the rows of a side", fontsize=9)
    plain(panel)
    figure.legend(fontsize=SMALL + 1, frameon=False, loc="outside lower center", ncols=3)
    window = "on a row's date" if figures.days == 1 else f"within the {figures.days} days around a row's date"
    figure.suptitle(f"Support: profiles {window}", fontsize=12)
    return figure


def classes(most: int) -> tuple[NDArray[np.int64], list[str]]:
    """Classes for numbers up to ``most``: one each while they are few, else doublings.

    Returns:
        The first number of each class and the first beyond the last: [class + 1]; how they are called.
    """
    if most < _MOST_CLASSES:
        edges = np.arange(most + 2)
    else:
        edges = np.concatenate([[0], 2 ** np.arange(int(np.log2(most)) + 2)])
    names = [f"{low:,}" if high == low + 1 else f"{low:,}-{high - 1:,}" for low, high in pairwise(edges.tolist())]
    return edges, names


def in_classes(one: Support, edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows in each class: [class]."""
    sums = np.concatenate([[0], np.cumsum(one.counts)])
    return np.diff(sums[np.minimum(edges, one.counts.size)])


def draw_valid(figures: PatchFigures) -> Figure:
    """How much of the patches has values: the share that is ocean, and the share with a value of the target."""
    figure = new_figure(11.0, 3.8)
    valid = figures.valid
    panels = figure.subplots(
        1, 1 if valid is None else 2, squeeze=False, gridspec_kw={} if valid is None else {"width_ratios": [1.6, 1.0]}
    )[0]
    left = panels[0]
    _stacked(left, figures, "ocean_fraction", (GUARD, INVALID), share=True)
    if valid is not None:
        counts, _ = np.histogram(valid.shares[:, 0], _BINS)
        number = counted(valid.patch_id.size, "patch", "es")
        label = f"value of {valid.variable} at {valid.depth[0]:.3g} m\n({number} on {valid.date})"
        left.stairs(counts / valid.patch_id.size, _BINS, color="black", lw=1.4, zorder=5, label=label)
    low = min(
        float(figures.table["ocean_fraction"].to_numpy()[figures.used].min()),
        1.0 if valid is None else float(valid.shares[:, 0].min()),
    )
    left.set_xlim(np.floor(low * 20) / 20, 1.0)
    left.set_xlabel("share of a patch's pixels", fontsize=9)
    left.set_ylabel("share of the patches", fontsize=9)
    left.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    left.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    plain(left)
    left.legend(
        fontsize=SMALL, frameon=False, loc="upper left", title="bars: ocean in the land mask", title_fontsize=SMALL
    )
    if valid is not None:
        _by_depth(panels[1], figures)
    figure.suptitle("Valid fraction: how much of a patch can be learnt from", fontsize=12)
    return figure


def _by_depth(panel: Axes, figures: PatchFigures) -> None:
    valid = figures.valid
    assert valid is not None
    colour = TEMPERATURE if valid.variable == "thetao" else SALINITY
    low, high = np.percentile(valid.shares, (10, 90), axis=0)
    panel.fill_betweenx(valid.depth, low, high, color=colour, alpha=0.2, lw=0, label="10-90 % of the patches")
    panel.plot(valid.shares.mean(axis=0), valid.depth, color=colour, lw=1.6, label="mean")
    panel.set_xlim(0, 1)
    panel.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    panel.set_xlabel(f"pixels with a value of {valid.variable}", fontsize=9)
    depth_axis([panel], valid.depth)
    plain(panel)
    panel.legend(fontsize=SMALL, frameon=False, loc="center left")


def draw_land(figures: PatchFigures) -> Figure:
    """How much land the patches have, and how much of them is invalid where flags say so."""
    figure = new_figure(11.0, 3.4)
    panel = figure.subplots()
    _stacked(panel, figures, "land_fraction", ())
    land, invalid = (figures.table[name].to_numpy() for name in ("land_fraction", "invalid_fraction"))
    if not np.array_equal(land, invalid):
        counts, _ = np.histogram(invalid, _BINS)
        panel.stairs(counts, _BINS, color="black", lw=1.4, label="all, by the flags of OSTIA")
    panel.axvline(
        figures.max_land_fraction, color=COAST, lw=1.0, ls="--", label=f"limit: {percent(figures.max_land_fraction, 0)}"
    )
    panel.set_xlim(
        0.0, 1.0 if figures.members[INVALID].any() else max(float(land.max()), figures.max_land_fraction) + 0.05
    )
    panel.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    panel.yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=_STEPS))
    thousands(panel.yaxis)
    panel.set_xlabel("land in a patch", fontsize=9)
    panel.set_ylabel("patches", fontsize=9)
    plain(panel)
    panel.legend(fontsize=SMALL, frameon=False, loc="upper right")
    figure.suptitle("Land", fontsize=12)
    return figure


def _stacked(panel: Axes, figures: PatchFigures, column: str, left_out: Sequence[str], *, share: bool = False) -> None:
    """Bars of how many patches have which share of something, those of each side on top of the others.

    Args:
        panel: where to draw.
        figures: of the index.
        column: of the table.
        left_out: phases without their patches.
        share: of all these patches, instead of their number.
    """
    groups = {name: chosen for name, chosen in figures.groups.items() if name not in left_out}
    whole = sum(int(chosen.sum()) for chosen in groups.values()) if share else 1
    below = np.zeros(_BINS.size - 1)
    for name, chosen in groups.items():
        counts, _ = np.histogram(figures.table[column].to_numpy()[chosen], _BINS)
        panel.bar(
            _BINS[:-1], counts / whole, np.diff(_BINS), below, align="edge", color=PHASES[name], edgecolor="white",
            linewidth=0.4, label=f"{name}: {counted(int(chosen.sum()), 'patch', 'es')}",
        )  # fmt: skip
        below += counts / whole
