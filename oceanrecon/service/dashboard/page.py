"""The page Exports of the dashboard: every job of the scheduler, and the dates of one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import bokeh.layouts
import bokeh.models
import bokeh.plotting
import numpy as np
from distributed import Scheduler
from distributed.dashboard.components import add_periodic_callback
from distributed.dashboard.components.scheduler import BOKEH_THEME, env
from distributed.metrics import time
from distributed.utils import log_errors

from oceanrecon.service.dashboard import html
from oceanrecon.service.dashboard.cells import STATES, Bins
from oceanrecon.service.dashboard.state import Job, Jobs

#: Bokeh's own types lack arguments that it takes.
layouts: Any
models: Any
plotting: Any
layouts, models, plotting = bokeh.layouts, bokeh.models, bokeh.plotting

#: Columns of the map: each is wide enough to be told apart on a laptop.
_COLUMNS = 160
#: Pixels of a row of the map, and of what is around the rows.
_ROW, _AROUND = 26, 58
#: Dates below the map.
_DATES = 7
#: Milliseconds between two looks at the jobs; the map is drawn anew at every second one.
_INTERVAL = 1000
_SOFT = "#5c676f"
#: Tells dask's state of the task that drives a job.
DriverState = Callable[[str], str | None]
_TEMPLATE = """{% extends "base.html" %}
{% block content %}{{ plot_div }}{{ plot_script }}{% endblock %}"""


class ExportsPage:
    """What one open page shows.

    Attributes:
        root: the Bokeh layout.
    """

    def __init__(self, jobs: Jobs, driver_state: DriverState, address: str, wanted: str | None) -> None:
        """Of ``jobs``; ``wanted`` is the id of the job to show, default the newest that runs."""
        self._jobs, self._driver_state, self._address, self._wanted = jobs, driver_state, address, wanted
        self._turn = 0
        self._drawn: tuple[str, int] | None = None
        sheet = models.InlineStyleSheet(css=html.STYLE)
        self._heading, self._active, self._detail, self._failures, self._ended = (
            models.Div(name=name, stylesheets=[sheet], sizing_mode="stretch_width", disable_math=True)
            for name in ("heading", "active", "detail", "failures", "ended")
        )
        self._map, self._cells = _empty_map()
        self._rates = models.ColumnDataSource({"time": [], "dates": [], "speed": []}, name="rates")
        self._charts = layouts.row(
            _chart(self._rates, "dates", "Dates per hour"), _chart(self._rates, "speed", "Throughput, MB/s"),
            sizing_mode="stretch_width", margin=(8, 0, 0, 0),
        )  # fmt: skip
        self.root = layouts.column(
            self._heading, self._active, self._detail, self._map, self._charts, self._failures, self._ended,
            sizing_mode="stretch_width", name="exports",
        )  # fmt: skip

    @log_errors
    def update(self) -> None:
        """Show how it is now; what has not changed is not sent."""
        now = time()
        jobs = sorted(self._jobs, key=lambda job: (job.record["submitted_utc"], job.id), reverse=True)
        active, ended = [job for job in jobs if not job.ended], [job for job in jobs if job.ended]
        ended.sort(key=lambda job: job.ended_at or 0.0, reverse=True)
        chosen = self._chosen(active, ended)
        self._heading.text = html.summary(jobs) if jobs else html.empty(self._address)
        self._active.text = html.active(active, chosen, now)
        self._ended.text = html.ended(ended, chosen)
        self._map.visible = chosen is not None
        if chosen is None:
            self._charts.visible = False
            self._detail.text = html.missing(self._wanted) if self._wanted else ""
            self._failures.text = ""
            return
        self._detail.text = html.detail(chosen, self._driver_state(chosen.id), now)
        self._failures.text = html.failures(chosen)
        self._turn += 1
        if self._turn % 2:
            self._draw(chosen)

    def _chosen(self, active: list[Job], ended: list[Job]) -> Job | None:
        if self._wanted is not None:
            return self._jobs.get(self._wanted)
        return next(iter(sorted(active, key=lambda job: job.record["state"] != "running") + ended), None)

    def _draw(self, job: Job) -> None:
        if self._drawn == (job.id, job.version):
            return
        self._drawn = job.id, job.version
        bins = job.cells.binned(_COLUMNS)
        self._cells.data = _quads(bins)
        _label(self._map, bins, job)
        history = job.history()
        self._charts.visible = len(history) > 1
        self._rates.data = {
            "time": np.array([1000 * when for when, _ in history]),
            "dates": np.array([rate.dates_per_hour for _, rate in history]),
            "speed": np.array([rate.bytes_per_second / 1e6 for _, rate in history]),
        }
        if history:
            for plot, field in zip(self._charts.children, ("dates", "speed"), strict=True):
                plot.x_range.update(start=1000 * history[0][0], end=1000 * history[-1][0])
                plot.y_range.end = 1.15 * float(self._rates.data[field].max()) or 1.0


def _empty_map() -> tuple[Any, Any]:
    nothing = Bins((), (), np.zeros((0, 0, len(STATES)), np.int64))
    source = models.ColumnDataSource(_quads(nothing), name="cells")
    plot = plotting.figure(
        name="map", title="Dates of each variable", height=_AROUND + _ROW, sizing_mode="stretch_width",
        tools="", toolbar_location=None, outline_line_color=None,
        x_range=models.Range1d(0, 1), y_range=models.Range1d(0, 1),
    )  # fmt: skip
    whole = plot.quad(
        left="left", right="right", bottom="bottom", top="top", source=source, fill_color=html.COLOURS["waiting"],
        line_color=None,
    )  # fmt: skip
    for state, (bottom, top) in _LAYERS.items():
        plot.quad(
            left="left", right="right", bottom=bottom, top=top, source=source, fill_color=html.COLOURS[state],
            line_color=None,
        )  # fmt: skip
    plot.add_tools(models.HoverTool(renderers=[whole], tooltips=_TOOLTIP, point_policy="follow_mouse"))
    plot.add_layout(models.LinearAxis(name="amounts"), "right")
    for axis in plot.axis:
        axis.ticker = models.FixedTicker(ticks=[])
    plot.grid.visible = False
    _calm(plot)
    return plot, source


#: Of each state that is drawn over what waits: where it begins and ends in its cell.
_LAYERS = {"kept": ("bottom", "kept_top"), "done": ("kept_top", "done_top"), "failed": ("failed_bottom", "top")}
_TOOLTIP = """<div style="font: 12px system-ui, sans-serif"><b>@variable</b> @dates<br>
@done done, @kept kept, @failed failed, @waiting waiting</div>"""


def _quads(bins: Bins) -> dict[str, Any]:
    """One cell for each row and column where dates are wanted, filled from below by what is done."""
    counts = bins.counts
    wanted = counts.sum(axis=2)
    rows, columns = np.nonzero(wanted)
    mine = dict(zip(STATES, counts[rows, columns].astype(np.int32).T, strict=True))
    total = wanted[rows, columns]
    bottom = len(bins.rows) - 1 - rows + 0.08
    height = 0.84
    done, kept, failed = (height * mine[state] / total for state in ("done", "kept", "failed"))
    # one of thirty dates is a pixel: what failed is seen
    failed = np.where(failed > 0, np.maximum(failed, 0.3 * height), 0)
    spans = [f"{first}" if first == last else f"{first} to {last}" for first, last in bins.spans]
    names = [f"{variable} ({product})" for product, variable in bins.rows]
    # a hair apart where they are few; over each other where seams would show
    gap = 0.04 if len(bins.spans) <= 60 else -0.2
    return {
        "left": (columns + max(gap, 0)).astype(np.float32), "right": (columns + 1 - gap).astype(np.float32),
        "bottom": bottom.astype(np.float32), "top": (bottom + height).astype(np.float32),
        "kept_top": (bottom + kept).astype(np.float32), "done_top": (bottom + kept + done).astype(np.float32),
        "failed_bottom": (bottom + height - failed).astype(np.float32),
        "variable": [names[index] for index in rows], "dates": [spans[index] for index in columns], **mine,
    }  # fmt: skip


def _label(plot: Any, bins: Bins, job: Job) -> None:
    """Names of the rows, how much of each is made, and dates below."""
    size = len(bins.rows)
    plot.height = _AROUND + _ROW * max(size, 1)
    plot.x_range.end, plot.y_range.end = max(len(bins.spans), 1), max(size, 1)
    middle = [size - 1 - index + 0.5 for index in range(size)]
    counts = job.counts()
    amounts = []
    for _, variable in bins.rows:
        of = counts.get(variable, dict.fromkeys(STATES, 0))
        amounts.append(f"{of['done'] + of['kept']:,} of {sum(of.values()):,}")
    names = [f"{variable} ({product})" for product, variable in bins.rows]
    for axis, texts in ((plot.yaxis[0], names), (plot.yaxis[1], amounts)):
        axis.ticker.ticks = middle
        axis.major_label_overrides = dict(zip(middle, texts, strict=True))
    shown = range(0, len(bins.spans), -(-len(bins.spans) // _DATES))
    plot.xaxis[0].ticker.ticks = [index + 0.5 for index in shown]
    plot.xaxis[0].major_label_overrides = {index + 0.5: str(bins.spans[index][0]) for index in shown}
    most = int(bins.counts.sum(axis=2).max(initial=1))
    plot.title.text = "Dates of each variable" + (f", up to {most} in a column" if most > 1 else "")


def _chart(source: Any, field: str, title: str) -> Any:
    plot = plotting.figure(
        title=title, height=130, sizing_mode="stretch_width", tools="", toolbar_location=None, x_axis_type="datetime",
        x_range=models.Range1d(0, 1), y_range=models.Range1d(0, 1), outline_line_color=None,
    )  # fmt: skip
    plot.line("time", field, source=source, line_color=html.COLOURS["done"], line_width=1.6)
    plot.varea("time", y1=0, y2=field, source=source, fill_color=html.COLOURS["done"], fill_alpha=0.1)
    plot.xgrid.visible = False
    plot.yaxis[0].formatter = models.NumeralTickFormatter(format="0,0")
    plot.yaxis[0].ticker.desired_num_ticks = 3
    _calm(plot)
    return plot


def _calm(plot: Any) -> None:
    """Nothing is drawn that is not data."""
    plot.title.update(text_font_size="12px", text_font_style="normal", text_color=_SOFT)
    for axis in plot.axis:
        axis.update(axis_line_color=None, major_tick_line_color=None, minor_tick_line_color=None)
        axis.update(major_label_text_color=_SOFT, major_label_text_font_size="12px")


@log_errors
def exports_doc(jobs: Jobs, driver_state: DriverState, scheduler: Scheduler, extra: dict[str, Any], doc: Any) -> None:
    """Fill the document of one open page; ``?job=ID`` in its address names the job to show."""
    request = doc.session_context.request if doc.session_context else None
    wanted = request.arguments.get("job") if request else None
    shown = wanted[0].decode(errors="replace") if wanted else None
    page = ExportsPage(jobs, driver_state, scheduler.address, shown)
    page.update()
    add_periodic_callback(doc, page, _INTERVAL)
    doc.add_root(page.root)
    doc.title = "Dask: Exports"
    doc.template = env.from_string(_TEMPLATE)
    doc.template_variables.update(extra)
    doc.theme = BOKEH_THEME
