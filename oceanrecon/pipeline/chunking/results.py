"""What a benchmark found, as values, as JSON and as a table of numbers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from oceanrecon.pipeline.chunking.cases import Case
from oceanrecon.pipeline.chunking.measure import Spread
from oceanrecon.pipeline.chunking.read import Kind, ReaderName, ReadResult


@dataclass(frozen=True)
class WriteResult:
    """All objects of a layout, written once."""

    tasks: int
    #: until the scheduler had all tasks, and from then until the last was done
    submission_seconds: float
    execution_seconds: float
    #: in tasks, encoding included; what is read for it is not
    wall_seconds: float
    cpu_seconds: float
    requests: int
    #: of the largest task, above what its process had before
    peak_bytes: int
    objects: int
    stored_bytes: int


@dataclass(frozen=True)
class PlaceResult:
    """One layout at one place."""

    place: str
    #: on a local disk as it is: what counts is CPU time
    near: bool
    write: WriteResult
    reads: tuple[ReadResult, ...]

    def read(self, kind: Kind, reader: ReaderName = "oceanrecon") -> ReadResult:
        """One of the reads."""
        return next(one for one in self.reads if (one.kind, one.reader) == (kind, reader))


@dataclass(frozen=True)
class CaseResult:
    """One layout, at all places; none where it failed."""

    case: Case
    #: of the numbers, as they are before they are compressed
    raw_bytes: int
    #: pieces that are compressed for themselves: the tasks of a graph with a task for each
    chunks: int
    places: tuple[PlaceResult, ...] = ()
    #: why it failed
    message: str = ""

    @property
    def done(self) -> bool:
        """Whether it was measured."""
        return not self.message

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"label": self.case.label} | asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> CaseResult:
        """What ``to_dict`` gave."""
        places = tuple(
            PlaceResult(
                **{**place, "write": WriteResult(**place["write"]), "reads": tuple(map(_read_result, place["reads"]))}
            )
            for place in data["places"]
        )
        return cls(Case(**data["case"]), data["raw_bytes"], data["chunks"], places, data["message"])


def _read_result(data: Mapping[str, Any]) -> ReadResult:
    spreads = {name: Spread(**data[name]) for name in ("wall_seconds", "cpu_seconds", "requests", "bytes")}
    return ReadResult(**{**data, **spreads})


_COLUMNS = (
    "label", "place", "what", "by", "repeats", "wall_ms", "wall_ms_low", "wall_ms_high", "cpu_ms",
    "cpu_ms_low", "cpu_ms_high", "requests", "bytes", "peak_bytes", "stored_bytes", "raw_bytes", "objects", "chunks",
    "tasks", "submission_ms", "execution_ms",
)  # fmt: skip
_CASE = ("store", "encoding", "side", "chunk_dates", "chunk_levels", "shard_dates", "shard_side", "codec", "level",
         "shuffle")  # fmt: skip


def to_csv(results: Sequence[CaseResult]) -> str:
    """A line for each write and each kind of read; times in milliseconds, the middle and the quarters beside it."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*_COLUMNS, *_CASE], lineterminator="\n")
    writer.writeheader()
    for result in results:
        writer.writerows(_lines(result))
    return text.getvalue()


def _lines(result: CaseResult) -> Iterator[dict[str, Any]]:
    case = {name: getattr(result.case, name) for name in _CASE} | {
        "label": result.case.label, "raw_bytes": result.raw_bytes, "chunks": result.chunks,
    }  # fmt: skip
    for place in result.places:
        where = case | {"place": place.place}
        write = place.write
        yield where | {
            "what": "write", "by": result.case.writer, "repeats": 1, "wall_ms": _ms(write.wall_seconds),
            "cpu_ms": _ms(write.cpu_seconds), "requests": write.requests, "peak_bytes": write.peak_bytes,
            "stored_bytes": write.stored_bytes, "objects": write.objects, "tasks": write.tasks,
            "submission_ms": _ms(write.submission_seconds), "execution_ms": _ms(write.execution_seconds),
        }  # fmt: skip
        for read in place.reads:
            times = {
                f"{name}_ms{suffix}": _ms(getattr(getattr(read, f"{name}_seconds"), part))
                for name in ("wall", "cpu")
                for suffix, part in (("", "median"), ("_low", "low"), ("_high", "high"))
            }
            yield where | times | {
                "what": read.kind, "by": read.reader, "repeats": read.repeats, "requests": read.requests.median,
                "bytes": read.bytes.median, "peak_bytes": read.peak_bytes,
            }  # fmt: skip


def _ms(seconds: float) -> float:
    return round(1e3 * seconds, 3)


def dumps(data: Any) -> bytes:
    """JSON for people, too."""
    return (json.dumps(data, indent=1) + "\n").encode()
