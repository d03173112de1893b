"""Reads stored numbers out of NetCDF-4 files, whole disk chunks at a time.

The chunks of product files are deflated; they are fetched as they lie on disk and inflated with ISA-L, which costs
less than half of what HDF5's own filter does. Whatever that path does not know (other filters, contiguous data)
HDF5 reads. Files are opened through fsspec when they are not local.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
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
#: What the kernels know; arrays of fewer dimensions get leading ones.
_DIMENSIONS = 4
_Four = tuple[int, ...]


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
        except SourceError:
            raise
        except Exception as error:  # remote drivers raise classes of their own
            message = f"unreadable: {type(error).__name__}: {error}; check the address, the credentials and the network"
            raise SourceError(message) from error
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
def _join_2(data: Array, part: Array, out: Array) -> None:
    first, chunk, at, size = part
    low, high = data[: data.shape[0] // 2], data[data.shape[0] // 2 :]
    for a in range(size[0]):
        for b in range(size[1]):
            for c in range(size[2]):
                start = (((first[0] + a) * chunk[1] + first[1] + b) * chunk[2] + first[2] + c) * chunk[3] + first[3]
                line = out[at[0] + a, at[1] + b, at[2] + c, at[3] : at[3] + size[3]]
                p0, p1 = low[start : start + size[3]], high[start : start + size[3]]
                for x in range(line.shape[0]):
                    line[x] = np.uint16(p0[x]) | (np.uint16(p1[x]) << np.uint16(8))


@compiled
def _join_4(data: Array, part: Array, out: Array) -> None:
    first, chunk, at, size = part
    count = data.shape[0] // 4
    for a in range(size[0]):
        for b in range(size[1]):
            for c in range(size[2]):
                start = (((first[0] + a) * chunk[1] + first[1] + b) * chunk[2] + first[2] + c) * chunk[3] + first[3]
                line = out[at[0] + a, at[1] + b, at[2] + c, at[3] : at[3] + size[3]]
                p0, p1 = data[start : start + size[3]], data[start + count : start + count + size[3]]
                start += 2 * count
                p2, p3 = data[start : start + size[3]], data[start + count : start + count + size[3]]
                for x in range(line.shape[0]):
                    line[x] = (
                        np.uint32(p0[x])
                        | (np.uint32(p1[x]) << np.uint32(8))
                        | (np.uint32(p2[x]) << np.uint32(16))
                        | (np.uint32(p3[x]) << np.uint32(24))
                    )


#: By bytes of a number: the kernel that joins the planes of a shuffled chunk, and the type it writes.
_JOIN = {2: (_join_2, np.uint16), 4: (_join_4, np.uint32)}


def unshuffle(data: bytes, chunk: _Four, first: _Four, at: _Four, size: _Four, out: NDArray[Any]) -> None:
    """Undo HDF5's shuffle, which keeps bytes of one significance together, straight into where the numbers go.

    Args:
        data: the bytes of a chunk.
        chunk: its shape.
        first: in the chunk, of the part that is wanted.
        at: in ``out``, where that part goes.
        size: of the part.
        out: four dimensions, contiguous.
    """
    planes = np.frombuffer(data, dtype=np.uint8)
    if out.itemsize in _JOIN:
        join, unsigned = _JOIN[out.itemsize]
        join(planes, np.array((first, chunk, at, size)), out.view(unsigned))
    else:
        whole = np.ascontiguousarray(planes.reshape(out.itemsize, -1).T).view(out.dtype)
        out[_slices(at, size)] = whole.reshape(chunk)[_slices(first, size)]


def _slices(start: _Four, size: _Four) -> tuple[slice, ...]:
    return tuple(slice(begin, begin + count) for begin, count in zip(start, size, strict=True))


def _parts(chunk: int, low: int, high: int) -> list[tuple[int, int, int, int]]:
    """Along one dimension, for each chunk in ``low`` to ``high``: its corner; ``first``, ``at``, ``size`` of a part."""
    parts = []
    for corner in range(low // chunk * chunk, high, chunk):
        begin, end = max(corner, low), min(corner + chunk, high)
        parts.append((corner, begin - corner, begin - low, end - begin))
    return parts


#: Whether the bytes of a chunk are still shuffled, and they themselves.
_Inflated = tuple[bool, bytes]


class ChunkCache:
    """Inflated chunks that were used last, for readers that come back for other parts of them."""

    def __init__(self, most: int) -> None:
        """Of at most so many bytes."""
        self._most, self._held = most, 0
        self._chunks: OrderedDict[Hashable, _Inflated] = OrderedDict()

    def get(self, key: Hashable) -> _Inflated | None:
        """The chunk, or ``None`` where it is not kept."""
        if key not in self._chunks:
            return None
        self._chunks.move_to_end(key)
        return self._chunks[key]

    def put(self, key: Hashable, chunk: _Inflated) -> None:
        """Keep a chunk that was not kept; the oldest make room."""
        self._chunks[key] = chunk
        self._held += len(chunk[1])
        while self._held > self._most:
            self._held -= len(self._chunks.popitem(last=False)[1][1])


class StoredVariable:
    """One variable of an open file, read by index ranges in units of whole disk chunks."""

    def __init__(self, dataset: h5py.Dataset, cache: ChunkCache | None = None, name: Hashable = None) -> None:
        """Of ``dataset``; its inflated chunks go through ``cache``, where it is called ``name``."""
        self.dataset = dataset
        self._cache, self._name = cache, name
        plist = dataset.id.get_create_plist()
        filters = [plist.get_filter(n)[0] for n in range(plist.get_nfilters())]
        self._filters = filters
        self._direct = (
            dataset.chunks is not None
            and len(dataset.chunks) <= _DIMENSIONS
            and filters in ([_DEFLATE], [_SHUFFLE, _DEFLATE])
        )

    def read(self, index: tuple[int | slice, ...], buffer: NDArray[Any] | None = None) -> NDArray[Any]:
        """Stored numbers of ``index`` (an integer or a slice per dimension; integers keep length 1).

        They are a view of ``buffer`` (flat, of the variable's type, long enough) where one is given.

        Raises:
            SourceError: a chunk cannot be read or inflated; names the variable and the chunk.
        """
        ranges = [
            (entry, entry + 1) if isinstance(entry, int) else entry.indices(size)[:2]
            for entry, size in zip(index, self.dataset.shape, strict=True)
        ]
        shape = [stop - start for start, stop in ranges]
        if buffer is None:
            buffer = np.empty(math.prod(shape), dtype=self.dataset.dtype)
        out = buffer[: math.prod(shape)].reshape(shape)
        lacking = [number for number in self._filters if not h5py.h5z.filter_avail(number)]
        if lacking:
            raise SourceError(
                f"variable {self.dataset.name.lstrip('/')} is compressed with HDF5 filter {lacking[0]}, which is not "
                "installed here: install hdf5plugin, or convert the file with `nccopy -d 1 OLD NEW`"
            )
        try:
            if self._direct:
                self._read_chunks(ranges, out)
            else:
                self.dataset.read_direct(out, tuple(slice(*bounds) for bounds in ranges))
        except (OSError, RuntimeError, _InflateError, ValueError) as error:
            raise SourceError(
                f"variable {self.dataset.name.lstrip('/')} is damaged ({error}): download the file again"
            ) from error
        return out

    @cached_property
    def _written(self) -> set[tuple[int, ...]]:
        """Corners of the chunks that are there: one walk over their index, which is cheaper than to ask for each."""
        written: set[tuple[int, ...]] = set()
        self.dataset.id.chunk_iter(lambda info: written.add(info.chunk_offset))
        return written

    def _read_chunks(self, ranges: list[tuple[int, int]], out: NDArray[Any]) -> None:
        missing = _DIMENSIONS - len(ranges)
        out = out.reshape((1,) * missing + out.shape)
        chunk = (1,) * missing + self.dataset.chunks
        parts = [_parts(length, *bounds) for length, bounds in zip(chunk, [(0, 1)] * missing + ranges, strict=True)]
        for along in itertools.product(*parts):
            corner, first, at, size = zip(*along, strict=True)
            if corner[missing:] in self._written:
                self._read_chunk(corner[missing:], chunk, first, at, size, out)
            else:
                out[_slices(at, size)] = self.dataset.fillvalue

    def _read_chunk(
        self, corner: tuple[int, ...], chunk: _Four, first: _Four, at: _Four, size: _Four, out: NDArray[Any]
    ) -> None:
        """Inflate the chunk at ``corner`` and put the part of it that is wanted into ``out``."""
        key = (self._name, corner)
        kept = None if self._cache is None else self._cache.get(key)
        shuffled, data = kept or self._inflated(corner, math.prod(chunk) * out.itemsize)
        if self._cache is not None and kept is None:
            self._cache.put(key, (shuffled, data))
        if shuffled:
            unshuffle(data, chunk, first, at, size, out)
        else:
            out[_slices(at, size)] = np.frombuffer(data, out.dtype).reshape(chunk)[_slices(first, size)]

    def _inflated(self, corner: tuple[int, ...], expected: int) -> _Inflated:
        skipped, data = self.dataset.id.read_direct_chunk(corner)
        active = [number for bit, number in enumerate(self._filters) if not skipped >> bit & 1]
        if _DEFLATE in active:
            data = isal_zlib.decompress(data, bufsize=expected)
        if len(data) != expected:
            raise ValueError(f"the chunk at {corner} has {len(data)} bytes instead of {expected}")
        return _SHUFFLE in active, data
