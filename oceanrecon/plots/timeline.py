"""Draws which days an inventory of regional files has, source by source."""

from __future__ import annotations

import datetime as dt

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from oceanrecon.pipeline.regions.coverage import Coverage
from oceanrecon.plots.charts import by_time, time_axis
from oceanrecon.plots.colours import LAND, PHASES

#: A day without a file, with files of some of the regions that a source has, and of all.
_COLOURS = {"missing": PHASES["invalid"], "some regions": PHASES["val"], "all regions": PHASES["train"]}


def draw_timeline(found: Coverage) -> Figure:
    """A strip for each source from the first to the last day: where it has files of all its regions, some, or none."""
    sources = list(dict.fromkeys(found.table["data_source"]))
    days = (found.end - found.start).days + 1
    figure = Figure(figsize=(11, 1.4 + 0.42 * len(sources)), dpi=120, layout="constrained")
    panel = figure.subplots()
    starts, step, _ = by_time([found.start, found.end], {})
    # as matplotlib counts dates
    first, last = ((day - dt.date(1970, 1, 1)).days for day in (found.start, found.end + dt.timedelta(days=1)))
    for place, source in enumerate(sources):
        own = found.daily[found.daily["data_source"] == source]
        regions = int((found.table.loc[found.table["data_source"] == source, "n_dates"] > 0).sum())
        strip = np.zeros((1, days))
        at = [(day - found.start).days for day in own["date"]]
        strip[0, at] = np.where(own["regions"].to_numpy() >= regions, 2, 1)
        panel.imshow(
            strip, extent=(first, last, place - 0.36, place + 0.36), cmap=ListedColormap(list(_COLOURS.values())),
            vmin=-0.5, vmax=2.5, aspect="auto", interpolation="nearest",
        )  # fmt: skip
        whole = int((strip == 2).sum())
        panel.annotate(
            f"{whole:,} of {days:,} days", (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=9
        )
    panel.set_yticks(range(len(sources)), sources)
    panel.set_ylim(len(sources) - 0.5, -0.5)
    time_axis(panel, starts, step, [found.start + dt.timedelta(days=number) for number in range(days)])
    panel.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        panel.spines[side].set_visible(False)
    panel.spines["bottom"].set_color(LAND)
    figure.legend(
        handles=[Patch(color=colour, label=name) for name, colour in _COLOURS.items()],
        loc="outside upper center", ncols=3, frameon=False, fontsize=9,
    )  # fmt: skip
    return figure
