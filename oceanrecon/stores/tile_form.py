"""NetCDF-4 files that are put together in memory, chunk by chunk: the same values give the same bytes.

Chunks are shuffled and deflated here, faster than by HDF5's own filters, and those that hold nothing but the fill are
not written: a reader gets the fill for them.
"""

from __future__ import annotations

import uuid
import zlib
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np
from numpy.typing import DTypeLike, NDArray

from oceanrecon.transform.compiled import Array, compiled

#: Rows and columns of a chunk, and points of one.
CHUNK, POINTS = 256, 65536
#: How netCDF marks a dimension that has no coordinate variable.
_BARE_DIMENSION = "This is a netCDF dimension but not a netCDF variable."
#: Higher ones make files 4 % smaller and take a third longer. ISA-L is ten times as quick, and no choice: its bytes
#: depend on what was in memory before.
_LEVEL = 1
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


@compiled
def _shuffle(block: Array, fill: Any, out: Array) -> bool:
    """Bytes of one significance together, as HDF5's filter keeps them; whether any number is not the fill."""
    differs = False
    for row in range(block.shape[0]):
        line = block[row]
        for column in range(line.shape[0]):
            if line[column] != fill:
                differs = True
        for byte in range(out.shape[0]):
            plane = out[byte, row]
            shift = np.uint64(8 * byte)
            for column in range(line.shape[0]):
                plane[column] = np.uint8((np.uint64(line[column]) >> shift) & np.uint64(255))
    return differs


@compiled
def _scatter(values: Array, places: Array, out: Array) -> None:
    """Likewise, of numbers that have a place each."""
    for byte in range(out.shape[0]):
        plane = out[byte]
        shift = np.uint64(8 * byte)
        for index in range(values.size):
            plane[places[index]] = np.uint8((np.uint64(values[index]) >> shift) & np.uint64(255))


class CellChunks:
    """Which cells of a grid are in which chunk: found once for all variables of a file."""

    def __init__(self, cells: NDArray[np.int64], shape: tuple[int, int]) -> None:
        """Of cells (row x columns + column): [cell] of a grid of ``shape``."""
        row, column = cells // shape[1], cells % shape[1]
        self._size = (min(CHUNK, shape[0]), min(CHUNK, shape[1]))
        across = -(-shape[1] // self._size[1])
        number = (row // self._size[0]) * across + column // self._size[1]
        self._order = np.argsort(number, kind="stable")
        ordered = number[self._order]
        starts = np.flatnonzero(np.diff(ordered, prepend=-1)).tolist()
        places = (row % self._size[0]) * self._size[1] + column % self._size[1]
        self._places = places[self._order].astype(np.int32)
        self._parts = [
            (int(ordered[start]) // across * self._size[0], int(ordered[start]) % across * self._size[1], start, end)
            for start, end in zip(starts, [*starts[1:], cells.size], strict=True)
        ]

    def write(self, dataset: Any, values: NDArray[Any], fill: Any) -> None:
        """Write the chunks that hold a cell: ``values`` of the cells, ``fill`` elsewhere."""
        bits = _UNSIGNED[values.dtype.itemsize]
        ordered = np.ascontiguousarray(values[self._order]).view(bits)
        empty = np.repeat(_bytes_of(fill, values.dtype)[:, None], self._size[0] * self._size[1], axis=1)
        planes = np.empty_like(empty)
        for row, column, start, end in self._parts:
            planes[...] = empty
            _scatter(ordered[start:end], self._places[start:end], planes)
            dataset.id.write_direct_chunk((row, column), zlib.compress(planes.data, _LEVEL))


class NetcdfImage:
    """A NetCDF-4 file in memory; use it in a ``with`` statement, and take its bytes by ``finish``."""

    def __init__(self, attributes: Mapping[str, Any]) -> None:
        # the order of creation is what NetCDF shows; no times of creation
        self._file = h5py.File(
            uuid.uuid4().hex, "w", driver="core", backing_store=False, libver=("earliest", "v110"), track_order=True
        )
        self._sizes: dict[str, int] = {}
        _set(self._file, attributes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def finish(self) -> bytes:
        """The file."""
        self._file.flush()
        return bytes(self._file.id.get_file_image())

    def dimension(self, name: str, size: int) -> None:
        """A dimension without coordinates, if there is none of this name yet."""
        if name not in self._sizes:
            dataset = self._file.create_dataset(name, (size,), ">f4")
            self._scale(dataset, name, f"{_BARE_DIMENSION}{size:10d}")

    def coordinate(self, name: str, values: NDArray[Any], attributes: Mapping[str, Any]) -> None:
        """A dimension with its coordinates."""
        dataset = self._file.create_dataset(name, data=values)
        self._scale(dataset, name, name)
        _set(dataset, attributes)

    def _scale(self, dataset: Any, name: str, label: str) -> None:
        dataset.make_scale(label)
        self._sizes[name] = dataset.shape[0]
        dataset.attrs["_Netcdf4Dimid"] = np.int32(len(self._sizes) - 1)

    def small(self, name: str, dimensions: Sequence[str], values: Any, attributes: Mapping[str, Any]) -> None:
        """A variable that is not worth chunks, or a single number (no dimensions)."""
        dataset = self._file.create_dataset(name, data=values)
        self._attach(dataset, dimensions)
        _set(dataset, attributes)

    def texts(self, name: str, dimension: str, values: NDArray[np.bytes_], attributes: Mapping[str, Any]) -> None:
        """A text in UTF-8 for each place of a dimension, as characters, which deflate well and every reader joins."""
        width = max(values.dtype.itemsize, 1)
        self.dimension(f"string{width}", width)
        characters = np.ascontiguousarray(values.astype(f"S{width}")).view("S1").reshape(values.size, width)
        self.dense(name, (dimension, f"string{width}"), characters, None, {**attributes, "_Encoding": "utf-8"})

    def dense(
        self, name: str, dimensions: Sequence[str], values: NDArray[Any], fill: Any, attributes: Mapping[str, Any]
    ) -> None:
        """A variable of which all values are given, [row, column] or [point]; chunks that are all fill are left out.

        Without a fill, every chunk is written.
        """
        dataset = self._create(name, dimensions, values.dtype, fill, attributes)
        plane = values if values.ndim == 2 else values[:, None]
        size = (*dataset.chunks, 1)[:2]
        bits = _UNSIGNED[values.dtype.itemsize]
        missing = np.zeros(1, bits) if fill is None else np.array([fill], values.dtype).view(bits)
        planes = np.empty((values.dtype.itemsize, *size), np.uint8)
        for row in range(0, plane.shape[0], size[0]):
            for column in range(0, plane.shape[1], size[1]):
                block = plane[row : row + size[0], column : column + size[1]]
                if block.shape != size:
                    planes[...] = missing.view(np.uint8)[:, None, None]
                if _shuffle(block.view(bits), missing[0], planes) or fill is None:
                    corner = (row, column)[: values.ndim]
                    dataset.id.write_direct_chunk(corner, zlib.compress(planes.data, _LEVEL))

    def sparse(
        self, name: str, dimensions: Sequence[str], cells: CellChunks, values: NDArray[Any], fill: Any,
        attributes: Mapping[str, Any],
    ) -> None:  # fmt: skip
        """A variable of a grid that has values in some cells: [cell]; the others are ``fill``."""
        cells.write(self._create(name, dimensions, values.dtype, fill, attributes), values, fill)

    def _create(
        self, name: str, dimensions: Sequence[str], dtype: DTypeLike, fill: Any, attributes: Mapping[str, Any]
    ) -> Any:
        shape = tuple(self._sizes[dimension] for dimension in dimensions)
        most = (POINTS,) if len(shape) == 1 else (CHUNK, CHUNK)
        if np.dtype(dtype).kind == "S":
            most = (POINTS // shape[1] or 1, shape[1])
        dataset = self._file.create_dataset(
            name, shape, dtype, chunks=tuple(map(min, most, shape)), compression="gzip", compression_opts=_LEVEL,
            shuffle=True, fillvalue=fill,
        )  # fmt: skip
        self._attach(dataset, dimensions)
        _set(dataset, attributes)
        return dataset

    def _attach(self, dataset: Any, dimensions: Sequence[str]) -> None:
        for axis, dimension in enumerate(dimensions):
            dataset.dims[axis].attach_scale(self._file[dimension])


def _bytes_of(number: Any, dtype: np.dtype[Any]) -> NDArray[np.uint8]:
    return np.array([number], dtype).view(np.uint8)


def _set(item: Any, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        if isinstance(value, str):
            # character attributes of NetCDF are strings of a fixed length
            text = value.encode() or b"\0"
            item.attrs.create(name, text, dtype=h5py.string_dtype("ascii" if value.isascii() else "utf-8", len(text)))
        else:
            item.attrs.create(name, np.atleast_1d(value))
