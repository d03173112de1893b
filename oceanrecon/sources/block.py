"""A block, one variable at one target time: from its source files to values or codes on the target grid.

This is the one place where an archive is read. It streams slabs of whole disk chunks, takes the mean over the window,
and regrids once; a 50-level float field never exists.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.access.paths import joined
from oceanrecon.errors import SourceError
from oceanrecon.grid import Axis, RasterGrid
from oceanrecon.sources.hdf import ChunkCache
from oceanrecon.sources.opened import OpenFile, open_file
from oceanrecon.sources.registry import product as find_product
from oceanrecon.sources.unpack import unpacking_of
from oceanrecon.transform.encode import Codes, Stretch
from oceanrecon.transform.regrid import (
    CodeCounts,
    Unpacking,
    Weights,
    build_weights,
    regrid,
    regrid_encode,
    regrid_largest,
)
from oceanrecon.transform.window import WindowMean


@dataclass(frozen=True)
class Source:
    """One day of one file that goes into a block; ``path`` is relative to the archive's root."""

    path: str
    date: dt.date
    time_index: int
    bytes: int
    mtime_ns: int
    revision: dt.date | None = None


@dataclass(frozen=True)
class Block:
    """The unit of work: everything needed to make one variable at one target time, and nothing else."""

    root: str
    product: str
    variable: str
    date: dt.date
    sources: tuple[Source, ...]
    latitude: Axis
    longitude: Axis
    #: metres, () for a surface variable
    depth: tuple[float, ...]
    #: where the archive's references are (``sources.references``); empty: its files are opened
    references: str = ""

    @property
    def name(self) -> str:
        """``thetao_20120307``."""
        return f"{self.variable}_{self.date:%Y%m%d}"

    @property
    def levels(self) -> int:
        """Number of levels, 1 for a surface variable."""
        return max(len(self.depth), 1)

    def url(self, source: Source) -> str:
        """Where ``source`` is.

        Raises:
            SourceError: its path leaves the archive.
        """
        return joined(self.root, source.path, SourceError)

    def weights(self, grid: RasterGrid, minimum_valid_fraction: float) -> Weights:
        """Regridding weights to ``grid``."""
        return build_weights(self.latitude, self.longitude, grid, minimum_valid_fraction)


@dataclass
class BlockReport:
    """What making a block showed, filled in on the way."""

    counts: list[CodeCounts] = field(default_factory=list)
    used: list[Source] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    read_seconds: float = 0.0
    regrid_seconds: float = 0.0
    days: NDArray[np.uint8] | None = None
    method: str = ""


@dataclass(frozen=True)
class Slab:
    """Consecutive levels of a block as stored numbers on the source grid: [level, latitude, longitude]."""

    first_level: int
    stored: NDArray[Any]
    unpacking: Unpacking


class SourceReader:
    """One source of a block, open."""

    def __init__(self, file: OpenFile, block: Block, source: Source, cache: ChunkCache | None = None) -> None:
        """Of an open file."""
        product = find_product(block.product)
        if block.variable not in file.names:
            raise SourceError(
                f"no variable {block.variable!r}, which product {product.name} promises; it has {', '.join(file.names)}"
            )
        self.header = file.header(block.variable, product)
        self._stored = file.variable(block.variable, cache, (block.url(source), block.variable))
        self._time_index = source.time_index
        shape = dict(zip(self.header.dimensions, self.header.shape, strict=True))
        expected = {"latitude": block.latitude.size, "longitude": block.longitude.size}
        expected |= {"depth": len(block.depth)} if block.depth else {}
        if any(shape.get(role) != size for role, size in expected.items()) or shape.get("time", 1) <= source.time_index:
            raise SourceError(
                f"{block.variable} has the dimensions {shape}, but the inventory says {expected}: run `oceanrecon "
                "inventory` again"
            )
        self.unpacking, self.warnings = unpacking_of(
            product.variable(block.variable), self.header, lambda: self.read(0, 1)[0]
        )

    def read(
        self,
        first: int,
        last: int,
        buffer: NDArray[Any] | None = None,
        *,
        latitude: slice = slice(None),
        longitude: slice = slice(None),
    ) -> NDArray[Any]:
        """Stored numbers of levels ``first`` to ``last`` (excluded), of a part of the grid: [level, lat, lon].

        ``buffer``: see ``StoredVariable.read``.
        """
        index: dict[str, int | slice] = {
            "time": self._time_index, "depth": slice(first, last), "latitude": latitude, "longitude": longitude,
        }  # fmt: skip
        stored = self._stored.read(tuple(index.get(role, slice(None)) for role in self.header.dimensions), buffer)
        if not stored.dtype.isnative:
            stored = stored.astype(stored.dtype.newbyteorder("="))  # the kernels know the machine's own order only
        return stored.reshape(-1, *stored.shape[-2:])

    @property
    def levels_per_chunk(self) -> int:
        """How many levels one disk chunk holds."""
        if self.header.chunks is None or "depth" not in self.header.dimensions:
            return 1
        return self.header.chunks[self.header.dimensions.index("depth")]


@contextmanager
def open_source(block: Block, source: Source, cache: ChunkCache | None = None) -> Iterator[SourceReader]:
    """One source of a block, open for reading; ``cache`` is for inflated chunks.

    Raises:
        SourceError: it cannot be read, changed since the inventory, or is not what its product promises.
    """
    url = block.url(source)
    try:
        with open_file(
            url, source.path, source.bytes, source.mtime_ns, product=block.product, references=block.references
        ) as file:
            try:
                reader = SourceReader(file, block, source, cache)
            except (SourceError, MemoryError):
                raise
            except Exception as error:  # a damaged header makes h5py raise nearly anything
                raise SourceError(f"unreadable: {type(error).__name__}: {error}; download it again") from error
            yield reader
    except SourceError as error:
        raise SourceError(f"{url}: {error}") from error


def read_slabs(block: Block, report: BlockReport, first: int = 0, last: int | None = None) -> Iterator[Slab]:
    """Stored numbers of levels ``first`` to ``last`` (excluded) slab by slab, or the mean over a window's files.

    Slabs are whole disk chunks, and share their memory: each is gone with the next. A file that cannot be read fails
    the block: a mean over fewer days than the archive has would change silently once the file is repaired.

    Raises:
        SourceError: a file cannot be read, changed since the inventory, or is not what its product promises.
    """
    last = block.levels if last is None else last
    window = None if len(block.sources) == 1 else WindowMean((block.latitude.size, block.longitude.size))
    buffer: NDArray[Any] = np.empty(0)
    for source in block.sources:
        with open_source(block, source) as reader:
            report.warnings += [f"{block.url(source)}: {warning}" for warning in reader.warnings]
            report.used.append(source)
            step = reader.levels_per_chunk
            size = min(step, last - first) * block.latitude.size * block.longitude.size
            if buffer.size < size or buffer.dtype != reader.header.dtype:
                buffer = np.empty(size, dtype=reader.header.dtype)
            for low in range(first // step * step, last, step):
                started = time.perf_counter()
                at = max(low, first)
                stored = reader.read(at, min(low + step, last), buffer)
                report.read_seconds += time.perf_counter() - started
                if window is None:
                    yield Slab(at, stored, reader.unpacking)
                elif not window.add(stored[0], reader.unpacking):
                    raise SourceError(no_values(block))
    if window is not None:
        report.days = window.count
        yield Slab(0, window.mean()[None], Unpacking())


def no_values(block: Block) -> str:
    """A raster without a single value is a failure: never a silent blank."""
    variable = find_product(block.product).variable(block.variable)
    low, high = variable.plausible
    return (
        f"no value of {variable.name} is plausible ({low:g} to {high:g} {variable.units}), or none lies on the grid: "
        "check the units that the file declares, its fill value, and the bounds of the grid"
    )


def encode_block(
    block: Block, grid: RasterGrid, stretch: Stretch, *, minimum_valid_fraction: float, codes: Codes, days: bool = False
) -> BlockReport:
    """Make a block as codes.

    Args:
        block: what to make.
        grid: the target grid.
        stretch: the code.
        minimum_valid_fraction: least valid weight of a cell.
        codes: filled: [level, height, width].
        days: count the days behind every pixel.

    Returns:
        Counts per level, files and days used (``days``: [height, width], where asked for), warnings, times.

    Raises:
        SourceError: the sources cannot be read, or have no value at all.
    """
    report = BlockReport()
    weights = block.weights(grid, minimum_valid_fraction)
    report.method = weights.method
    for slab in read_slabs(block, report):
        started = time.perf_counter()
        part = codes[slab.first_level : slab.first_level + slab.stored.shape[0]]
        report.counts += regrid_encode(slab.stored, weights, slab.unpacking, stretch, part)
        report.regrid_seconds += time.perf_counter() - started
    if not any(counts.valid for counts in report.counts):
        raise SourceError(f"{', '.join(block.url(source) for source in report.used)}: {no_values(block)}")
    if not days:
        report.days = None
    elif report.days is not None:
        report.days = regrid_largest(report.days, weights)
        report.days[codes[0] == stretch.nodata] = 0
    else:
        report.days = (codes[0] != stretch.nodata).astype(np.uint8)
    return report


def read_block(
    block: Block, grid: RasterGrid, *, minimum_valid_fraction: float, levels: slice = slice(None)
) -> NDArray[np.float32]:
    """Make levels of a block as values: [level, height, width], float32, NaN where missing.

    Raises:
        SourceError: the sources cannot be read.
    """
    first, last, _ = levels.indices(block.levels)
    weights = block.weights(grid, minimum_valid_fraction)
    out = np.empty((last - first, grid.height, grid.width), dtype=np.float32)
    for slab in read_slabs(block, BlockReport(), first, last):
        at = slab.first_level - first
        out[at : at + slab.stored.shape[0]] = regrid(slab.stored, weights, slab.unpacking)
    return out
