"""The chunking benchmark in words and numbers, for the terminal and for the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from oceanrecon.pipeline.chunking.cases import Case, shipped
from oceanrecon.pipeline.chunking.read import KINDS, ReadResult
from oceanrecon.pipeline.chunking.recommend import Recommendation
from oceanrecon.pipeline.chunking.results import CaseResult, PlaceResult
from oceanrecon.pipeline.chunking.run import ChunksResult

#: Of the tables of places, by whether a place is near.
HEAD: Mapping[bool, tuple[str, ...]] = {
    True: (
        "layout", "written by", "stored, %", "objects", "write, CPU-s", "submit + run, s", "patch", "map", "series",
        "patch by zarr-python",
    ),
    False: (
        "layout", "write, requests", "submit + run, s", "patch / requests", "map / requests",
        "series / requests", "patch by zarr-python",
    ),
}  # fmt: skip


def places_of(result: ChunksResult) -> Sequence[PlaceResult]:
    """The places, as the first layout that was measured has them; none where all failed."""
    return next((one.places for one in result.results if one.done), ())


def place_title(place: PlaceResult) -> str:
    """What a table of a place is about."""
    if place.near:
        what = "ms of CPU time, of files that the system has in memory"
    else:
        what = "ms from beginning to end, and requests"
    return f"{place.place}: reads in {what}; the middle of them ± half the distance between the quarters"


def marked(case: Case) -> str:
    """The label of a layout, with a star where it is what an export writes."""
    return case.label + (" *" if is_shipped(case) else "")


def is_shipped(case: Case) -> bool:
    """Whether an export writes this layout where nothing else is set."""
    return case in shipped(case.encoding).values()


def measured_rows(result: ChunksResult, number: int) -> list[tuple[str, ...]]:
    """A row for each layout at one of the places."""
    return [_row(one, one.places[number]) for one in result.results if one.done]


def _row(result: CaseResult, place: PlaceResult) -> tuple[str, ...]:
    write = place.write
    went = f"{write.submission_seconds:.2f} + {write.execution_seconds:.1f}"
    reads = [_read(place.read(kind), place.near) for kind in KINDS]
    other = next((one for one in place.reads if one.reader != "oceanrecon" and one.kind == "patch"), None)
    reads.append("" if other is None else _read(other, place.near))
    if place.near:
        stored = f"{100 * write.stored_bytes / result.raw_bytes:.1f}"
        by = "ours" if result.case.writer == "oceanrecon" else result.case.writer
        written = (by, stored, f"{write.objects:,}", f"{write.cpu_seconds:.2f}")
        return (marked(result.case), *written, went, *reads)
    return (marked(result.case), f"{write.requests:,}", went, *reads)


def _read(read: ReadResult, near: bool) -> str:
    time = read.cpu_seconds if near else read.wall_seconds
    text = _with_spread(1e3 * time.median, 1e3 * (time.high - time.low) / 2)
    return text if near else f"{text} / {read.requests.median:,.0f}"


def _with_spread(value: float, spread: float) -> str:
    digits = 2 if value < 1 else 1 if value < 100 else 0
    return f"{value:,.{digits}f} ±{spread:,.{digits}f}"


def recommended_rows(result: ChunksResult) -> list[tuple[str, ...]]:
    """A row for each kind of reader and each encoding."""
    return [_recommended(one) for one in result.recommendations]


def _recommended(one: Recommendation) -> tuple[str, ...]:
    defaults = ", ".join(f"{store} {_more(rival.cost)}" for store, rival in one.defaults.items())
    if one.formats is None:
        formats = "cannot be written"
    else:
        formats = "as shipped" if one.is_shipped else one.formats
    cheapest = "the same" if one.cheapest.case == one.case else f"{one.cheapest.case.label}, {_more(one.cheapest.cost)}"
    return (one.reader, one.encoding, _without_encoding(one.case), formats, defaults or "nothing is", cheapest)


def _without_encoding(case: Case) -> str:
    return case.label.partition(" ")[2]


def _more(cost: float) -> str:
    """How much dearer than the recommended layout."""
    percent = round(100 * (cost - 1))
    return "the same" if percent == 0 else f"{percent:+d} %"
