"""Writes NetCDF-4 files chunk by chunk, always the same bytes for the same values."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import DTypeLike, NDArray

from oceanrecon.transform.compiled import compiled

Attributes = Mapping[str, str | int | float | np.generic | NDArray[Any]]


@compiled
def _pack(
    values: NDArray[np.floating[Any]], out: NDArray[np.integer[Any]], scale: float, offset: float, fill: int, limit: int
) -> None:
    for index in range(values.size):
        value = values[index]
        if np.isnan(value):
            out[index] = fill
        else:
            out[index] = np.int64(min(max(np.rint((value - offset) / scale), -limit), limit))


def pack(
    values: NDArray[np.floating[Any]], dtype: DTypeLike, scale: float, offset: float, fill: int
) -> NDArray[np.integer[Any]]:
    """``values`` as integers of ``dtype``: rounded, stopped one short of the extremes, NaN as ``fill``."""
    out = np.empty(values.shape, dtype)
    limit = int(np.iinfo(out.dtype).max) - 1
    _pack(np.ascontiguousarray(values).reshape(-1), out.reshape(-1), scale, offset, fill, limit)
    return out


class NetcdfFile:
    """A NetCDF-4 file that is being written; use it in a ``with`` statement."""

    def __init__(self, path: str, attributes: Attributes) -> None:
        # The order of creation is what NetCDF shows; times of creation would differ from run to run.
        self._file = h5py.File(path, "w", libver=("earliest", "v110"), track_order=True)
        self._sizes: dict[str, int] = {}
        _set(self._file, attributes)

    def __enter__(self) -> NetcdfFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def dimension(self, name: str, values: NDArray[Any] | int, attributes: Attributes) -> None:
        """A dimension with its coordinate values, or of a size, without coordinates."""
        if isinstance(values, int):
            dataset = self._file.create_dataset(name, (values,), ">f4")
            dataset.make_scale(f"This is a netCDF dimension but not a netCDF variable.{values:10d}")
        else:
            dataset = self._file.create_dataset(name, data=values)
            dataset.make_scale(name)
        self._sizes[name] = dataset.shape[0]
        dataset.attrs["_Netcdf4Dimid"] = np.int32(len(self._sizes) - 1)
        _set(dataset, attributes)

    def variable(
        self,
        name: str,
        dtype: DTypeLike,
        dimensions: Sequence[str],
        chunks: Sequence[int],
        fill: Any,
        attributes: Attributes,
    ) -> None:
        """A variable, shuffled and deflated in chunks of at most ``chunks``; ``fill`` is declared by ``attributes``."""
        shape = tuple(self._sizes[dimension] for dimension in dimensions)
        dataset = self._file.create_dataset(
            name,
            shape,
            dtype,
            chunks=tuple(min(chunk, size) for chunk, size in zip(chunks, shape, strict=True)),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
            fillvalue=fill,
        )
        for axis, dimension in enumerate(dimensions):
            dataset.dims[axis].attach_scale(self._file[dimension])
        _set(dataset, attributes)

    def write(self, name: str, start: Sequence[int], values: NDArray[Any]) -> None:
        """Write a block whose start is on chunk boundaries and whose end is, too, or is the end of the array.

        Chunks are deflated here by ISA-L, several times faster than by HDF5's own filter.
        """
        dataset = self._file[name]
        if dataset.chunks is None:
            dataset[...] = values
            return
        ranges = [range(0, size, chunk) for size, chunk in zip(values.shape, dataset.chunks, strict=True)]
        for corner in itertools.product(*ranges):
            inside = tuple(slice(at, at + chunk) for at, chunk in zip(corner, dataset.chunks, strict=True))
            chunk = values[inside]
            if chunk.shape != dataset.chunks:
                part = chunk
                chunk = np.full(dataset.chunks, dataset.fillvalue, values.dtype)
                chunk[tuple(slice(size) for size in part.shape)] = part
            planes = np.ascontiguousarray(chunk).view(np.uint8).reshape(-1, values.dtype.itemsize)
            data = isal_zlib.compress(np.ascontiguousarray(planes.T), 1)
            dataset.id.write_direct_chunk([a + b for a, b in zip(start, corner, strict=True)], data)


def _set(item: Any, attributes: Attributes) -> None:
    for name, value in attributes.items():
        if isinstance(value, str):
            # NetCDF character attributes are strings of a fixed length.
            item.attrs.create(name, np.bytes_(value.encode("utf-8") or b"\0"))
        else:
            item.attrs.create(name, np.atleast_1d(value))
