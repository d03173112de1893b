"""Samples the gridded products where profiles are, reading each disk chunk that a profile touches once.

A file's chunks are taken one after the other; each adds its share to the weighted sums of all profiles around it. So
a day's profiles cost the chunks that they lie in, and never the globe, and no field is ever held whole.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.access.paths import joined
from oceanrecon.errors import SourceError
from oceanrecon.grid import Axis
from oceanrecon.sources.block import Source
from oceanrecon.sources.header import VariableHeader
from oceanrecon.sources.opened import OpenFile, open_file
from oceanrecon.sources.product import Product, Sampled
from oceanrecon.sources.unpack import unpacking_of
from oceanrecon.transform.colocate import Footprint, accumulate, finish, footprint

#: Rows of a variable that is not chunked on disk which are read at once.
_ROWS = 128
#: Rows and columns at the corner of a field by which units are guessed.
_CORNER = 64


@dataclass
class Samples:
    """What one file gave: by variable, [profile] or [profile, level], float32, NaN where missing."""

    values: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    #: what the file lacks or leaves unsaid
    notes: list[str] = field(default_factory=list)
    chunks_read: int = 0
    #: of CPU
    read_seconds: float = 0.0


def sample_file(
    root: str,
    source: Source,
    product: Product,
    axes: tuple[Axis, Axis],
    levels: int,
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
    references: str = "",
) -> Samples:
    """Every sampled variable of one file at some places.

    Bilinear over the four nodes around a place, over those that have a value (nearest node for flags); periodic in
    longitude. A variable that the file does not have is missing, and noted.

    Args:
        root: the archive.
        source: the file, and which of its times.
        product: whose it is.
        axes: latitude and longitude of its grid.
        levels: of its variables with a depth dimension.
        latitude: of the places, degrees: [profile].
        longitude: the same.
        references: of the archive, see ``references``; empty: there are none.

    Raises:
        SourceError: the file changed, cannot be read, or is not what the inventory says.
    """
    url = joined(root, source.path, SourceError)
    found = Samples()
    prints = _Footprints(axes, latitude, longitude)
    try:
        with open_file(
            url, source.path, source.bytes, source.mtime_ns, product=product.name, references=references
        ) as file:
            absent = [variable.name for variable in product.sampled if variable.name not in file.names]
            if absent:
                found.notes.append(f"{product.name} files have no {', '.join(absent)}: missing in the store")
            for variable in product.sampled:
                found.values[variable.name] = _sample(file, source, product, variable, levels, prints, found)
    except SourceError as error:
        raise SourceError(f"{url}: {error}") from error
    return found


class _Footprints:
    """Which nodes the places need, by how a variable is chunked: most variables of a file share one."""

    def __init__(self, axes: tuple[Axis, Axis], latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> None:
        self._axes, self._places = axes, (latitude, longitude)
        self._made: dict[tuple[tuple[int, int], bool], Footprint] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return self._axes[0].size, self._axes[1].size

    @property
    def count(self) -> int:
        """Number of places."""
        return self._places[0].size

    def of(self, chunk: tuple[int, int], nearest: bool) -> Footprint:
        """The footprint for chunks of this shape."""
        key = chunk, nearest
        if key not in self._made:
            self._made[key] = footprint(*self._axes, *self._places, chunk, nearest=nearest)
        return self._made[key]


def _sample(
    file: OpenFile,
    source: Source,
    product: Product,
    variable: Sampled,
    levels: int,
    prints: _Footprints,
    found: Samples,
) -> NDArray[np.float32]:
    shape = (prints.count, levels if variable.levels else 1)
    nothing = np.full(shape if variable.levels else shape[:1], np.nan, np.float32)
    if variable.name not in file.names:
        return nothing
    header = file.header(variable.name, product)
    stored = file.variable(variable.name)
    sizes = dict(zip(header.dimensions, header.shape, strict=True))
    expected = dict(zip(("latitude", "longitude"), prints.shape, strict=True))
    if variable.levels:
        expected["depth"] = levels
    if "latitude" not in sizes and "longitude" not in sizes and sizes.get("time", 1) > source.time_index:
        expected = {}  # one number for the whole day
    if any(sizes.get(role) != size for role, size in expected.items()) or sizes.get("time", 1) <= source.time_index:
        raise SourceError(
            f"{variable.name} has the dimensions {sizes}, but the inventory says {expected}: run `oceanrecon "
            "inventory` again"
        )
    ranges: dict[str, Any] = {"time": source.time_index, "depth": slice(0, expected.get("depth", 1))}

    def index(rows: slice, columns: slice, depth: slice) -> tuple[Any, ...]:
        by_role = ranges | {"latitude": rows, "longitude": columns, "depth": depth}
        return tuple(by_role[role] for role in header.dimensions)

    def read(rows: slice, columns: slice, depth: slice, buffer: NDArray[Any] | None = None) -> NDArray[Any]:
        values = stored.read(index(rows, columns, depth), buffer)
        if not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
        return values.reshape(-1, *values.shape[-2:]) if expected else values.reshape(1, 1, 1)

    corner = slice(0, _CORNER)
    try:
        unpacking, notes = unpacking_of(variable, header, lambda: read(corner, corner, slice(0, 1)))
    except SourceError as error:
        found.notes.append(f"{product.name}: {error}: it is missing")
        return nothing
    found.notes += [f"{product.name}: {note}" for note in notes]
    if not expected:
        value = float(read(corner, corner, slice(0, 1))[0, 0, 0])
        valid = unpacking.low <= value <= unpacking.high and value not in unpacking.fills
        return nothing if not valid else np.full_like(nothing, value * unpacking.scale + unpacking.offset)
    chunk = _chunk(header)
    place = prints.of(chunk[1:], variable.nearest)
    sums, weights = np.zeros(shape), np.zeros(shape)
    buffer: NDArray[Any] = np.empty(int(np.prod(chunk)), dtype=header.dtype)
    slabs = [
        (part, slice(row * chunk[1], min((row + 1) * chunk[1], prints.shape[0])),
         slice(column * chunk[2], min((column + 1) * chunk[2], prints.shape[1])),
         slice(first, min(first + chunk[0], shape[1])))
        for (row, column), part in place.chunks() for first in range(0, shape[1], chunk[0])
    ]  # fmt: skip
    stored.expect(index(*box) for _, *box in slabs)
    for part, rows, columns, depth in slabs:
        started = time.process_time()
        slab = read(rows, columns, depth, buffer)
        found.read_seconds += time.process_time() - started
        found.chunks_read += 1
        accumulate(slab, depth.start, rows.start, columns.start, place, part, unpacking, sums, weights)
    values = finish(sums, weights)
    return values if variable.levels else values[:, 0]


def _chunk(header: VariableHeader) -> tuple[int, int, int]:
    """Levels, rows and columns of what is read at once: a disk chunk, or rows of a variable that has none."""
    sizes = dict(zip(header.dimensions, header.shape, strict=True))
    if header.chunks is None:
        return 1, min(_ROWS, sizes["latitude"]), sizes["longitude"]
    chunks = dict(zip(header.dimensions, header.chunks, strict=True))
    return chunks.get("depth", 1), chunks["latitude"], chunks["longitude"]


def matched_dates(
    days: Sequence[int], available: NDArray[np.int64], maximum_gap: int
) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """For each day, the place of the nearest file in ``available``, and the status of that match.

    Args:
        days: of profiles, days since 1950-01-01.
        available: days that have a file, ascending.
        maximum_gap: a file further away, in days, is not taken.

    Returns:
        The index of the file (-1 where none is taken), ties to the earlier; and 0 exact or nearest, 1 before the first
        or after the last file, 2 no files, 3 the nearest is too far away.
    """
    wanted = np.asarray(days, np.int64)
    if available.size == 0:
        return np.full(wanted.shape, -1, np.int64), np.full(wanted.shape, 2, np.int8)
    after = np.clip(np.searchsorted(available, wanted), 0, available.size - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(available[before] - wanted) <= np.abs(available[after] - wanted)
    index = np.where(nearer, before, after)
    status = np.where((wanted < available[0]) | (wanted > available[-1]), 1, 0).astype(np.int8)
    far = np.abs(available[index] - wanted) > maximum_gap
    return np.where(far, -1, index), np.where(far, np.int8(3), status)
