"""A block on some of its pixels: no more of its files is read than these need, and the numbers are those of the whole.

The weights are those of the whole grid, of which the rows and columns in question are taken; what they point to is
read as one range of the source along each axis, or two where the range goes on at the other end of a periodic axis.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import SourceError
from oceanrecon.grid import RasterGrid
from oceanrecon.sources.block import Block, Source, SourceReader, no_values, open_source
from oceanrecon.sources.hdf import ChunkCache
from oceanrecon.transform.regrid import AxisWeights, Unpacking, Weights, regrid, stored_bounds
from oceanrecon.transform.window import WindowMean

#: Source cells that lie further apart are read apart: only the two ends of a periodic axis do.
_GAP = 8
#: A row of tiles across the globe needs 160 MB of the chunks of one variable of the reanalysis.
_CHUNK_BYTES = 256 << 20
#: Variables of files that are remembered to have values: 1 MB.
_REMEMBERED = 4096
#: Of the source, that are looked through at once for a value.
_BAND_ROWS = 256
#: Address of a file, variable, time.
_Key = tuple[str, str, int]


@dataclass(frozen=True, eq=False)
class _Part:
    """What some targets need of an axis of the source: ranges, and weights whose index counts along these."""

    ranges: tuple[tuple[int, int], ...]
    weights: AxisWeights

    @property
    def size(self) -> int:
        return sum(high - low for low, high in self.ranges)

    @classmethod
    def of(cls, whole: AxisWeights, targets: NDArray[np.int64]) -> _Part:
        index, weight = whole.index[:, targets], np.ascontiguousarray(whole.weight[:, targets])
        used = np.unique(index[weight > 0.0])
        if not used.size:  # outside the source
            return cls((), AxisWeights(np.zeros_like(index), weight, whole.method))
        breaks = np.flatnonzero(np.diff(used) > _GAP) + 1
        ranges = tuple((int(some[0]), int(some[-1]) + 1) for some in np.split(used, breaks))
        there = np.concatenate([np.arange(low, high) for low, high in ranges])
        # an index without weight may be anywhere
        index = np.ascontiguousarray(np.minimum(np.searchsorted(there, index), there.size - 1))
        return cls(ranges, AxisWeights(index, weight, whole.method))


class BoxReader:
    """Makes blocks on parts of one grid.

    It keeps what it used last: variables of files open, and their inflated chunks, of which neighbouring tiles need
    other parts. Nothing of that is pickled.
    """

    def __init__(self, grid: RasterGrid, minimum_valid_fraction: float, *, most: int = 64) -> None:
        """Of a grid; at most so many variables of files stay open."""
        self._grid, self._minimum_valid_fraction, self._most = grid, minimum_valid_fraction, most
        self._kept: OrderedDict[_Key, tuple[SourceReader, ExitStack]] = OrderedDict()
        self._chunks = ChunkCache(_CHUNK_BYTES)
        #: those that have a value somewhere
        self._valued: OrderedDict[_Key, None] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": OrderedDict(), "_chunks": ChunkCache(_CHUNK_BYTES), "_valued": OrderedDict()}

    def read(self, block: Block, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """All levels of a block on some pixels, equal to ``read_block`` there: [level, row, column], NaN where missing.

        A source that the block names several times counts so often in the mean. Pixels may all be missing, on land;
        a file without a plausible value anywhere is an error, as it is when a whole block is made.

        Args:
            block: what to make.
            rows: of the grid, neighbours: [row].
            columns: of the grid, neighbours, also across its edge: [column].

        Raises:
            SourceError: a file cannot be read, changed since the inventory, is not what its product promises, or has no
                plausible value; begins with its name.
        """
        whole = block.weights(self._grid, self._minimum_valid_fraction)
        down, across = _Part.of(whole.rows, rows), _Part.of(whole.columns, columns)
        if not (down.ranges and across.ranges):
            for source in dict.fromkeys(block.sources):
                self._check_values(block, source)
            return np.full((block.levels, rows.size, columns.size), np.nan, np.float32)
        weights = Weights(down.weights, across.weights, whole.minimum_valid_fraction)
        days = Counter(block.sources)
        window = WindowMean((block.levels * down.size, across.size)) if len(days) > 1 else None
        for source, times in days.items():
            stored, unpacking = self._stored(block, source, down, across)
            if window is None:
                made = regrid(stored, weights, unpacking)
                if not np.isfinite(made).any():
                    self._check_values(block, source)
                return made
            for _ in range(times):
                added = window.add(stored.reshape(-1, across.size), unpacking)
            if not added:
                self._check_values(block, source)
        assert window is not None  # a block has a source
        return regrid(window.mean().reshape(block.levels, down.size, across.size), weights, Unpacking())

    def _stored(self, block: Block, source: Source, down: _Part, across: _Part) -> tuple[NDArray[Any], Unpacking]:
        """What one file has there: [level, latitude, longitude]."""
        reader = self._open(block, source)
        try:
            parts = [
                [
                    reader.read(0, block.levels, latitude=slice(*latitude), longitude=slice(*longitude))
                    for longitude in across.ranges
                ]
                for latitude in down.ranges
            ]
        except SourceError as error:
            raise SourceError(f"{block.url(source)}: {error}") from error
        return (parts[0][0] if len(parts) == len(parts[0]) == 1 else np.block(parts)), reader.unpacking

    def _check_values(self, block: Block, source: Source) -> None:
        """Whether a file has a plausible value, of any level and anywhere; asked where a tile has none."""
        key = _key(block, source)
        if key not in self._valued:
            reader = self._open(block, source)
            bands = range(0, block.latitude.size, _BAND_ROWS)
            try:
                found = any(
                    _has_values(reader.read(level, level + 1, latitude=slice(row, row + _BAND_ROWS)), reader.unpacking)
                    for level in range(block.levels) for row in bands
                )  # fmt: skip
            except SourceError as error:
                raise SourceError(f"{block.url(source)}: {error}") from error
            if not found:
                raise SourceError(f"{block.url(source)}: {no_values(block)}")
            self._valued[key] = None
            if len(self._valued) > _REMEMBERED:
                self._valued.popitem(last=False)
        self._valued.move_to_end(key)

    def _open(self, block: Block, source: Source) -> SourceReader:
        key = _key(block, source)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        with ExitStack() as stack:
            reader = stack.enter_context(open_source(block, source, self._chunks))
            self._kept[key] = (reader, stack.pop_all())
        if len(self._kept) > self._most:
            _, (_, oldest) = self._kept.popitem(last=False)
            oldest.close()
        return reader


def _key(block: Block, source: Source) -> _Key:
    return block.url(source), block.variable, source.time_index


def _has_values(stored: NDArray[Any], unpacking: Unpacking) -> bool:
    low, high, *fills = stored_bounds(stored.dtype, unpacking)
    good = (stored >= low) & (stored <= high)
    for fill in fills:
        good &= stored != fill
    return bool(good.any())
