"""Pictures of the chunking benchmark: all layouts, what the size of a chunk does, and what compressors trade."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from oceanrecon.bench_config import ValueType
from oceanrecon.pipeline.chunking.cases import Case
from oceanrecon.pipeline.chunking.read import KINDS, Kind
from oceanrecon.pipeline.chunking.results import CaseResult, PlaceResult
from oceanrecon.plots.charts import plain
from oceanrecon.plots.chunking_tables import is_shipped
from oceanrecon.plots.colours import COAST
from oceanrecon.plots.maps import SMALL, new_figure

_PLACES = ("#2f6f8f", "#d9822b", "#8f3b76", "#4f8f7a", "#5c676f")
_KINDS: Mapping[Kind, tuple[str, str]] = {
    "patch": ("#2f6f8f", "o"),
    "map": ("#d9822b", "s"),
    "series": ("#8f3b76", "^"),
}
_TITLES: Mapping[Kind, str] = {"patch": "a patch", "map": "a map", "series": "a time series"}
_SHIPPED, _CHOSEN = "#e4eef2", "#fbeedd"
#: Inches of a row, and of what is above and below the rows.
_ROW, _MARGIN = 0.165, 1.15


@dataclass(frozen=True)
class _Panel:
    title: str
    unit: str
    value: Callable[[CaseResult, PlaceResult], float]
    #: the same at every place
    once: bool = False


def milliseconds(place: PlaceResult, kind: Kind) -> float:
    """What a read took: of CPU time at a place that is near, else from beginning to end."""
    read = place.read(kind)
    return 1e3 * (read.cpu_seconds if place.near else read.wall_seconds).median


def draw_layouts(results: Sequence[CaseResult], chosen: Sequence[Case]) -> Figure:
    """All layouts, a row each, with what is stored, what writing costs, and the three reads at each place.

    Args:
        results: of layouts that were measured; one at least.
        chosen: layouts that are recommended to somebody.
    """
    panels = [
        _Panel("stored", "% of the numbers", lambda one, place: 100 * place.write.stored_bytes / one.raw_bytes, True),
        _Panel("written", "CPU-s", lambda one, place: place.write.cpu_seconds, True),
        *(_Panel(_TITLES[kind], "ms", partial(_read, kind)) for kind in KINDS),
    ]
    ordered = [one for name in dict.fromkeys(one.case.encoding for one in results)
               for one in sorted(results, key=lambda one: one.case.store) if one.case.encoding == name]  # fmt: skip
    rows = _rows(ordered)
    figure = new_figure(11.5, _MARGIN + _ROW * rows[-1])
    axes = figure.subplots(1, len(panels), sharey=True)
    for axis, panel in zip(axes, panels, strict=True):
        _draw_panel(axis, panel, ordered, rows, chosen)
    axes[0].set_yticks(rows, [one.case.label for one in ordered], fontsize=SMALL - 1)
    axes[0].set_ylim(rows[-1] + 1, -1)
    axes[0].set_xscale("linear")
    axes[0].set_xlim(0, 1.05 * max(panels[0].value(one, one.places[0]) for one in ordered))
    figure.legend(
        handles=axes[-1].get_lines(), loc="outside upper right", ncols=len(ordered[0].places), fontsize=SMALL,
        frameon=False,
    )  # fmt: skip
    return figure


def _read(kind: Kind, _: CaseResult, place: PlaceResult) -> float:
    return milliseconds(place, kind)


def _rows(ordered: Sequence[CaseResult]) -> list[float]:
    """Heights of the rows, with a gap where the encoding changes."""
    rows: list[float] = []
    for number, one in enumerate(ordered):
        gap = 0.8 if number and one.case.encoding != ordered[number - 1].case.encoding else 0.0
        rows.append((rows[-1] + 1 if rows else 0.0) + gap)
    return rows


def _draw_panel(
    axis: Axes, panel: _Panel, results: Sequence[CaseResult], rows: Sequence[float], chosen: Sequence[Case]
) -> None:
    for row, one in zip(rows, results, strict=True):
        colour = _SHIPPED if is_shipped(one.case) else _CHOSEN if one.case in chosen else ""
        if colour:
            axis.axhspan(row - 0.5, row + 0.5, color=colour, lw=0)
    places = results[0].places[:1] if panel.once else results[0].places
    span: list[float] = []
    for number, place in enumerate(places):
        values = [panel.value(one, one.places[number]) for one in results]
        span += [min(values), max(values)]
        colour = COAST if panel.once else _PLACES[number % len(_PLACES)]
        label = f"{place.place}: {'CPU' if place.near else 'elapsed'} time"
        axis.plot(values, rows, "o", ms=3.6, color=colour, label=label)
    axis.set_xscale("log")
    _plain_numbers(axis.xaxis, (1.0,) if max(span) > 30 * min(span) else (1.0, 2.0, 5.0))
    axis.set_title(f"{panel.title}, {panel.unit}", fontsize=SMALL + 1)
    axis.grid(axis="x", color=COAST, alpha=0.15, lw=0.6)
    axis.tick_params(axis="y", length=0)
    plain(axis)


def _plain_numbers(axis: Axis, steps: Sequence[float]) -> None:
    """Numbers along a logarithmic axis at these multiples of each power of ten."""
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def draw_sides(results: Sequence[CaseResult]) -> Figure | None:
    """What the side of a chunk does to the three reads, everything else as shipped; none with fewer than three."""
    lines: dict[ValueType, list[CaseResult]] = {}
    for one in results:
        if any(is_shipped(replace(one.case, side=other.case.side)) for other in results if other.case.is_zarr):
            if one.case.is_zarr:
                lines.setdefault(one.case.encoding, []).append(one)
    lines = {name: sorted(some, key=lambda one: one.case.side) for name, some in lines.items() if len(some) > 2}
    if not lines:
        return None
    places = results[0].places
    figure = new_figure(4.2 * len(places) + 0.6, 3.4 * len(lines) + 0.3)
    for row, (name, some) in zip(figure.subplots(len(lines), len(places), squeeze=False), lines.items(), strict=True):
        for number, axis in enumerate(row):
            sides = [one.case.side for one in some]
            for kind, (colour, marker) in _KINDS.items():
                values = [milliseconds(one.places[number], kind) for one in some]
                axis.plot(sides, values, marker=marker, ms=4, lw=1.2, color=colour, label=_TITLES[kind])
            default = next(one.case.side for one in some if is_shipped(one.case))
            axis.axvspan(default / 1.12, default * 1.12, color=_SHIPPED, lw=0, zorder=0)
            axis.set_xscale("log", base=2)
            axis.set_yscale("log")
            axis.set_xticks(sides, [str(side) for side in sides])
            axis.xaxis.set_minor_locator(NullLocator())
            _plain_numbers(axis.yaxis, (1.0, 2.0, 5.0))
            place = places[number]
            axis.set_title(f"{name}, {place.place}: {'CPU' if place.near else 'elapsed'} ms", fontsize=SMALL + 1)
            axis.set_xlabel("side of a chunk, pixels", fontsize=SMALL)
            axis.grid(color=COAST, alpha=0.15, lw=0.6)
            plain(axis)
    figure.axes[0].legend(fontsize=SMALL, frameon=False)
    return figure


def draw_compressors(results: Sequence[CaseResult]) -> Figure | None:
    """Bytes against the time to read a patch, by compressor, in chunks as shipped; none with fewer than three."""
    some: dict[ValueType, list[CaseResult]] = {}
    for one in results:
        case = one.case
        like = next((other.case for other in results if other.case.is_zarr and is_shipped(other.case)), None)
        if like is not None and case.is_zarr and case.layout == like.layout and " by " not in case.label:
            some.setdefault(case.encoding, []).append(one)
    some = {name: found for name, found in some.items() if len(found) > 2}
    if not some:
        return None
    figure = new_figure(4.4 * len(some) + 0.4, 3.8)
    for axis, (name, found) in zip(figure.subplots(1, len(some), squeeze=False)[0], some.items(), strict=True):
        for one in found:
            x = 100 * one.places[0].write.stored_bytes / one.raw_bytes
            y = milliseconds(one.places[0], "patch")
            ours = is_shipped(one.case)
            axis.plot(x, y, "o", ms=5, color=_PLACES[0] if ours else COAST)
            axis.annotate(
                one.case.compressor, (x, y), (4, -8 if ours else 3), textcoords="offset points", fontsize=SMALL - 1,
                weight="bold" if ours else "normal",
            )  # fmt: skip
        axis.set_title(f"{name}, {found[0].places[0].place}", fontsize=SMALL + 1)
        axis.set_xlabel("stored, % of the numbers", fontsize=SMALL)
        axis.set_ylabel("a patch, ms", fontsize=SMALL)
        axis.set_xlim(0, 125)
        axis.set_ylim(0, None)
        axis.grid(color=COAST, alpha=0.15, lw=0.6)
        plain(axis)
    return figure
