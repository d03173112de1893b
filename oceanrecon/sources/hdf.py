"""Reads stored numbers out of NetCDF-4 files, whole disk chunks at a time.

The chunks of product files are deflated; they are fetched as they lie on disk and inflated with ISA-L, which costs
less than half of what HDF5's own filter does. Whatever that path does not know (other filters, contiguous data)
HDF5 reads. Files are opened through fsspec when they are not local.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import fsspec
import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from oceanrecon.errors import SourceError
from oceanrecon.transform.compiled import Array, compiled

_InflateError = cast("type[Exception]", isal_zlib.error)
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_DEFLATE, _SHUFFLE = 1, 2


@contextmanager
def open_hdf(url: str) -> Iterator[h5py.File]:
    """Open a NetCDF-4 file at a path or an fsspec URL for reading.

    Raises:
        SourceError: there is no such file, or HDF5 cannot open it (truncated, NetCDF classic, ...); says what to do.
    """
    with ExitStack() as stack:
        try:
            file = _open(url, stack)
        except FileNotFoundError:
            raise SourceError("the file does not exist: restore it, or run `oceanrecon inventory` again") from None
        except OSError as error:
            truncated = re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", str(error))
            if truncated:
                message = f"truncated: {truncated[1]} of {truncated[2]} bytes are there; download it again"
                raise SourceError(message) from error
            raise SourceError(f"unreadable: {type(error).__name__}: {error}; download it again") from error
        yield file


def _open(url: str, stack: ExitStack) -> h5py.File:
    if "://" in url:
        # metadata is scattered over the file: blocks that are kept serve the many small reads
        handle = stack.enter_context(fsspec.open(url, "rb", cache_type="blockcache", block_size=1 << 20))
        _check_kind(handle.read(8))
        handle.seek(0)
        return stack.enter_context(h5py.File(handle, "r"))
    with Path(url).open("rb") as stream:
        _check_kind(stream.read(8))
    # locks fail on read-only network file systems, and an archive is not written while it is read
    return stack.enter_context(h5py.File(url, "r", locking=False))


def _check_kind(start: bytes) -> None:
    if not start:
        raise SourceError("empty file: download it again")
    if start[:3] == b"CDF":
        raise SourceError("classic NetCDF, not NetCDF-4: convert it with `nccopy -k nc4 FILE NEW_FILE`")
    if start != _HDF5_MAGIC:
        raise SourceError(f"not a NetCDF-4 (HDF5) file: it starts with {start!r}; download it again")


@compiled
def _unshuffle_2(planes: Array, out: Array) -> None:
    half = planes.shape[0] // 2
    low, high = planes[:half], planes[half:]
    for i in range(half):
        out[i] = np.uint16(low[i]) | (np.uint16(high[i]) << np.uint16(8))


def _unshuffled(data: NDArray[np.uint8], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.itemsize == 2 and dtype.isnative and data.size % 2 == 0:
        out = np.empty(data.size // 2, dtype=np.uint16)
        _unshuffle_2(data, out)
        return out.view(dtype)
    return np.ascontiguousarray(data.reshape(dtype.itemsize, -1).T).reshape(-1).view(dtype)


class StoredVariable:
    """One variable of an open file, read by index ranges in units of whole disk chunks."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        """Of ``dataset``."""
        self.dataset = dataset
        plist = dataset.id.get_create_plist()
        filters = [plist.get_filter(n)[0] for n in range(plist.get_nfilters())]
        self._filters = filters
        self._direct = dataset.chunks is not None and _DEFLATE in filters and set(filters) <= {_DEFLATE, _SHUFFLE}

    def read(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        """Stored numbers of ``index`` (an integer or a slice per dimension; integers keep length 1).

        Raises:
            SourceError: a chunk cannot be read or inflated; names the variable and the chunk.
        """
        ranges = [
            (entry, entry + 1) if isinstance(entry, int) else entry.indices(size)[:2]
            for entry, size in zip(index, self.dataset.shape, strict=True)
        ]
        out = np.empty([stop - start for start, stop in ranges], dtype=self.dataset.dtype)
        try:
            if self._direct:
                self._read_chunks(ranges, out)
            else:
                self.dataset.read_direct(out, tuple(slice(*bounds) for bounds in ranges))
        except (OSError, _InflateError, ValueError) as error:
            raise SourceError(
                f"variable {self.dataset.name.lstrip('/')} is damaged ({error}): download the file again"
            ) from error
        return out

    def _read_chunks(self, ranges: list[tuple[int, int]], out: NDArray[Any]) -> None:
        chunks = self.dataset.chunks
        starts = [range(low // size * size, high, size) for (low, high), size in zip(ranges, chunks, strict=True)]
        for corner in np.ndindex(*(len(steps) for steps in starts)):
            offset = tuple(steps[n] for steps, n in zip(starts, corner, strict=True))
            inside, target = [], []
            for at, size, (low, high) in zip(offset, chunks, ranges, strict=True):
                first, last = max(at, low), min(at + size, high)
                inside.append(slice(first - at, last - at))
                target.append(slice(first - low, last - low))
            out[tuple(target)] = self._chunk(offset)[tuple(inside)]

    def _chunk(self, offset: tuple[int, ...]) -> NDArray[Any]:
        chunks = self.dataset.chunks
        dtype = self.dataset.dtype
        if self.dataset.id.get_chunk_info_by_coord(offset).byte_offset is None:
            return np.full(chunks, self.dataset.fillvalue, dtype=dtype)
        skipped, data = self.dataset.id.read_direct_chunk(offset)
        active = [number for bit, number in enumerate(self._filters) if not skipped >> bit & 1]
        expected = int(np.prod(chunks)) * dtype.itemsize
        values = None
        for number in reversed(active):
            if number == _DEFLATE:
                data = isal_zlib.decompress(data, bufsize=expected)
            else:
                values = _unshuffled(np.frombuffer(data, dtype=np.uint8), dtype)
        if values is None:
            values = np.frombuffer(data, dtype=dtype)
        if values.size * dtype.itemsize != expected:
            raise ValueError(f"the chunk at {offset} has {values.size} values instead of {expected // dtype.itemsize}")
        return values.reshape(chunks)
