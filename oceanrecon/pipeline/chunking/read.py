"""The three reads that matter, each by the readers that can: a patch, a map, a time series."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from oceanrecon.errors import OutputError
from oceanrecon.pipeline.chunking.cases import Case
from oceanrecon.pipeline.chunking.field import Field, Reads
from oceanrecon.pipeline.chunking.measure import Cost, Meter, PeakMemory, Spread
from oceanrecon.pipeline.chunking.write import ARRAY, METADATA, open_zarr_array, tiff_path
from oceanrecon.stores.byte_ranges import Files
from oceanrecon.stores.files import Root
from oceanrecon.stores.geotiff import read_codes
from oceanrecon.stores.shard_reader import Box, ShardArray
from oceanrecon.stores.tiff_reader import TiffReader

Kind = Literal["patch", "map", "series"]
KINDS: tuple[Kind, ...] = ("patch", "map", "series")
ReaderName = Literal["oceanrecon", "zarr-python"]

#: Reads by the second reader.
_FEW = 2
_REMEDY = "this is a fault in the benchmark or in the library that wrote it"


class BoxReader(Protocol):
    """Reads boxes of one layout."""

    def ready(self, box: Box) -> None:
        """What a loader has behind it when it reads a box: the store is open, and nothing of it is decoded."""
        ...

    def read(self, box: Box) -> NDArray[Any]:
        """[date, level, row, column]."""
        ...


@dataclass(frozen=True)
class ReadResult:
    """One kind of read by one reader."""

    kind: Kind
    reader: ReaderName
    repeats: int
    wall_seconds: Spread
    cpu_seconds: Spread
    requests: Spread
    bytes: Spread
    #: above what the process had before
    peak_bytes: int


def readers_of(case: Case) -> tuple[ReaderName, ...]:
    """Who reads a layout."""
    return ("oceanrecon", "zarr-python") if case.is_zarr else ("oceanrecon",)


def measure_reads(
    case: Case, field: Field, root: Root, reads: Reads, written: Collection[str], *, far: bool
) -> list[ReadResult]:
    """All reads of a layout; every number that is read is compared with what was to be written.

    Patches are read as a loader does that has opened the store, and knows the indexes of its shards. Maps and series
    are read from nothing: opening the store counts.

    Args:
        case: the layout.
        field: what was written.
        root: where.
        reads: what is read.
        written: paths of all objects, as a manifest tells them: a shard without values is none.
        far: it goes through a ``DelayedFileSystem``.

    Raises:
        OutputError: other numbers are read than were written.
    """
    results = []
    readers = readers_of(case)
    for name in readers:
        open_reader = partial(_open, case, field, root, written, name)
        meter = Meter(far=far, threads=name == "zarr-python", writes=False)
        for kind in KINDS:
            boxes: tuple[Box, ...] = getattr(reads, kind)
            if name != readers[0]:  # to see how much the reader matters: it may take minutes where each chunk waits
                boxes = boxes[:_FEW]
            if not far:  # what a process does once, such as imports, is not part of a read
                _measured(case, field, root, open_reader, kind, boxes[0], meter)
            peak = PeakMemory()
            costs = [_measured(case, field, root, open_reader, kind, box, meter) for box in boxes]
            results.append(_summary(kind, name, costs, peak.bytes))
    return results


def _measured(
    case: Case, field: Field, root: Root, open_reader: Callable[[], BoxReader], kind: Kind, box: Box, meter: Meter
) -> Cost:
    if kind == "patch":
        reader = open_reader()
        reader.ready(box)
        found, cost = meter.measure(lambda: reader.read(box))
    else:
        found, cost = meter.measure(lambda: open_reader().read(box))
    _compare(case, field, root, box, found)
    return cost


def _summary(kind: Kind, name: ReaderName, costs: list[Cost], peak: int) -> ReadResult:
    def spread(of: Callable[[Cost], float]) -> Spread:
        return Spread.of([of(cost) for cost in costs])

    return ReadResult(
        kind,
        name,
        len(costs),
        spread(lambda cost: cost.wall_seconds),
        spread(lambda cost: cost.cpu_seconds),
        spread(lambda cost: cost.requests),
        spread(lambda cost: cost.bytes),
        peak,
    )


def _compare(case: Case, field: Field, root: Root, box: Box, found: NDArray[Any]) -> None:
    dates, levels, rows, columns = (slice(*span) for span in box)
    for at, date in enumerate(range(dates.start, dates.stop)):
        wanted = field.stored(case.encoding, date, rows, columns)[levels]
        if not np.array_equal(found[at], wanted, equal_nan=case.encoding == "float32"):
            different = int(np.sum(found[at] != wanted))
            raise OutputError(
                f"{root.url} reads {different:,} of {wanted.size:,} numbers of date {date}, levels {box[1]}, rows "
                f"{box[2]}, columns {box[3]} other than they were written: {_REMEDY}"
            )


def _open(case: Case, field: Field, root: Root, written: Collection[str], name: ReaderName) -> BoxReader:
    if not case.is_zarr:
        return _Tiffs(root, field.shape[1])
    return _Shards(root, written) if name == "oceanrecon" else _ZarrPython(root)


class _Shards:
    """This package's shard reader."""

    def __init__(self, root: Root, written: Collection[str]) -> None:
        self._array = ShardArray(Files(root, _REMEDY), ARRAY, json.loads(root.read(METADATA)), written)

    def ready(self, box: Box) -> None:
        """Reads it once: the indexes of its shards stay known, and no chunk is kept."""
        self._array.read(box)

    def read(self, box: Box) -> NDArray[Any]:
        return self._array.read(box)


class _ZarrPython:
    """zarr-python, which reads the index of a shard again each time."""

    def __init__(self, root: Root) -> None:
        self._array = open_zarr_array(root)

    def ready(self, box: Box) -> None:
        """It keeps nothing."""

    def read(self, box: Box) -> NDArray[Any]:
        found: NDArray[Any] = np.asarray(self._array[tuple(slice(*span) for span in box)])
        return found


class _Tiffs:
    """GeoTIFFs, by the loader's reader; single levels as a user reads them."""

    def __init__(self, root: Root, levels: int) -> None:
        self._root, self._levels, self._reader = root, levels, TiffReader(root)

    def ready(self, box: Box) -> None:
        """Opens the file on a local disk; a window without pixels decodes no block.

        From far away that is part of the read: of hundreds of files, a loader keeps few open.
        """
        if self._root.local_path is not None:
            self._reader.read(tiff_path(box[0][0]), (0, 0), (0, 0))

    def read(self, box: Box) -> NDArray[Any]:
        dates, levels, rows, columns = box
        paths = [tiff_path(date) for date in range(*dates)]
        if levels == (0, self._levels):
            return np.stack([self._reader.read(path, rows, columns) for path in paths])
        bands, window = range(levels[0] + 1, levels[1] + 1), Window.from_slices(rows, columns)
        return np.stack([read_codes(self._root.url_of(path), bands, window) for path in paths])
