"""Reads stored numbers out of NetCDF-4 files, whole disk chunks at a time.

The chunks of product files are deflated; they are fetched as they lie on disk and inflated with ISA-L, which costs
less than half of what HDF5's own filter does. Whatever that path does not know (other filters, contiguous data)
HDF5 reads. Files are opened through fsspec when they are not local.
"""

from __future__ import annotations

import atexit
import itertools
import math
import re
import weakref
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Container, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
from isal import isal_zlib
from numpy.typing import NDArray

from oceanrecon.access.passing import is_passing, told
from oceanrecon.access.ranges import RangeFile
from oceanrecon.errors import SourceError
from oceanrecon.transform.compiled import Array, compiled

_InflateError = cast("type[Exception]", isal_zlib.error)
_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_DEFLATE, _SHUFFLE = 1, 2
#: Filters, in the order of writing, of chunks that are inflated here.
DIRECT_FILTERS = ([_DEFLATE], [_SHUFFLE, _DEFLATE])
#: What the kernels know; arrays of fewer dimensions get leading ones.
_DIMENSIONS = 4
_Four = tuple[int, ...]
#: Bytes of deflated chunks of a remote file that are held at once.
_AT_ONCE = 32 << 20


@contextmanager
def open_hdf(url: str, size: int | None = None) -> Iterator[h5py.File]:
    """Open a NetCDF-4 file at a path or an fsspec URL for reading; ``size``: its bytes, where they are known.

    Raises:
        SourceError: there is no such file, or HDF5 cannot open it (truncated, NetCDF classic, ...); says what to do.
    """
    with ExitStack() as stack:
        try:
            file = _open(url, size, stack)
        except FileNotFoundError:
            raise SourceError("the file does not exist: restore it, or run `oceanrecon inventory` again") from None
        except OSError as error:
            truncated = re.search(r"truncated file: eof = (\d+).*stored_eof = (\d+)", str(error))
            if truncated:
                message = f"truncated: {truncated[1]} of {truncated[2]} bytes are there; download it again"
                raise SourceError(message) from error
            raise SourceError(f"unreadable: {_reason(error, 'download it again')}") from error
        yield file


class _RemoteFile(h5py.File):  # type: ignore[misc]  # h5py has no types
    """An open file that is not on a disk here."""

    ranges: RangeFile


#: HDF5 closes what is still open when the interpreter is gone, and a file of Python's cannot be read any more then.
_OPEN: weakref.WeakSet[_RemoteFile] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    for file in list(_OPEN):
        file.close()


def _open(url: str, size: int | None, stack: ExitStack) -> h5py.File:
    if "://" in url:
        ranges = stack.enter_context(RangeFile(url, size))
        _check_kind(ranges.read(8))
        ranges.seek(0)
        file = stack.enter_context(_RemoteFile(ranges, "r"))
        file.ranges = ranges
        _OPEN.add(file)
        return file
    with Path(url).open("rb") as stream:
        _check_kind(stream.read(8))
    # locks fail on read-only network file systems, and an archive is not written while it is read
    return stack.enter_context(h5py.File(url, "r", locking=False))


def _reason(error: Exception, otherwise: str) -> str:
    """What went wrong with a file, and what to do: ``otherwise`` where it is not the network."""
    if is_passing(error):
        return told(error)
    return f"{type(error).__name__}: {error}; {otherwise}"


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


class DiskVariable(ABC):
    """One variable of a file, read by index ranges in units of whole disk chunks, wherever these come from."""

    def __init__(
        self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any], chunks: tuple[int, ...] | None,
        filters: Sequence[int], fill: Any, cache: ChunkCache | None, key: Hashable,
    ) -> None:  # fmt: skip
        """Described as HDF5 does; inflated chunks go through ``cache``, where the variable is called ``key``."""
        self.name, self.shape, self.dtype = name, shape, dtype
        self._chunks, self._filters, self._fill = chunks, filters, fill
        self._cache, self._key = cache, key
        #: chunks come over a network: those that are known to be wanted are fetched many at a time
        self.far = False
        self._expected: deque[tuple[int, ...]] = deque()
        self._ahead: dict[tuple[int, ...], tuple[int, bytes]] = {}

    def expect(self, indexes: Iterable[tuple[int | slice, ...]]) -> None:
        """Tell what will be read, part by part in this order, so that chunks of a far file need not come one by one."""
        if not self.far or self._chunks is None:
            return
        self._ahead.clear()
        corners = (
            corner
            for index in indexes
            for corner in itertools.product(
                *(
                    range(low // chunk * chunk, high, chunk)
                    for chunk, (low, high) in zip(self._chunks, self._ranges_of(index), strict=True)
                )
            )
        )
        self._expected = deque(corner for corner in dict.fromkeys(corners) if corner in self._written)

    def _obtain(self, corners: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, bytes]]:
        """``_stored``, of what is expected together with what comes after it."""
        if not self._expected and not self._ahead:
            yield from self._stored(corners)
            return
        assert self._chunks is not None
        most = max(
            1, 2 * _AT_ONCE // (math.prod(self._chunks) * self.dtype.itemsize)
        )  # they are packed to half or less
        for corner in corners:
            if corner not in self._ahead:
                while self._expected and self._expected[0] != corner:
                    self._expected.popleft()
                batch = [self._expected.popleft() for _ in range(min(most, len(self._expected)))] or [corner]
                self._ahead = dict(zip(batch, self._stored(batch), strict=True))
            yield self._ahead.pop(corner)

    def _ranges_of(self, index: tuple[int | slice, ...]) -> list[tuple[int, int]]:
        return [
            (entry, entry + 1) if isinstance(entry, int) else entry.indices(size)[:2]
            for entry, size in zip(index, self.shape, strict=True)
        ]

    def read(self, index: tuple[int | slice, ...], buffer: NDArray[Any] | None = None) -> NDArray[Any]:
        """Stored numbers of ``index`` (an integer or a slice per dimension; integers keep length 1).

        They are a view of ``buffer`` (flat, of the variable's type, long enough) where one is given.

        Raises:
            SourceError: a chunk cannot be read or inflated; names the variable and the chunk.
        """
        ranges = self._ranges_of(index)
        shape = [stop - start for start, stop in ranges]
        if buffer is None:
            buffer = np.empty(math.prod(shape), dtype=self.dtype)
        out = buffer[: math.prod(shape)].reshape(shape)
        try:
            self._read(ranges, out)
        except (OSError, RuntimeError, _InflateError, ValueError) as error:
            if is_passing(error):
                raise SourceError(f"variable {self.name} cannot be read: {told(error)}") from error
            raise SourceError(f"variable {self.name} is damaged ({error}): download the file again") from error
        return out

    def _read(self, ranges: list[tuple[int, int]], out: NDArray[Any]) -> None:
        self._read_chunks(ranges, out)

    @property
    @abstractmethod
    def _written(self) -> Container[tuple[int, ...]]:
        """Corners of the chunks that are there."""

    @abstractmethod
    def _stored(self, corners: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, bytes]]:
        """For each chunk, in order: a bit for each filter that it was not put through, and its bytes as they lie."""

    def _read_chunks(self, ranges: list[tuple[int, int]], out: NDArray[Any]) -> None:
        assert self._chunks is not None
        missing = _DIMENSIONS - len(ranges)
        out = out.reshape((1,) * missing + out.shape)
        chunk = (1,) * missing + self._chunks
        parts = [_parts(length, *bounds) for length, bounds in zip(chunk, [(0, 1)] * missing + ranges, strict=True)]
        wanted: dict[tuple[int, ...], tuple[_Four, _Four, _Four]] = {}
        for along in itertools.product(*parts):
            corner, first, at, size = zip(*along, strict=True)
            kept = None if self._cache is None else self._cache.get((self._key, corner[missing:]))
            if kept is not None:
                _place(kept, chunk, first, at, size, out)
            elif corner[missing:] in self._written:
                wanted[corner[missing:]] = first, at, size
            else:
                out[_slices(at, size)] = self._fill
        for (corner, where), (skipped, data) in zip(wanted.items(), self._obtain(list(wanted)), strict=True):
            inflated = self._inflated(corner, skipped, data, math.prod(chunk) * out.itemsize)
            if self._cache is not None:
                self._cache.put((self._key, corner), inflated)
            _place(inflated, chunk, *where, out)

    def _inflated(self, corner: tuple[int, ...], skipped: int, data: bytes, expected: int) -> _Inflated:
        active = [number for bit, number in enumerate(self._filters) if not skipped >> bit & 1]
        if _DEFLATE in active:
            data = isal_zlib.decompress(data, bufsize=expected)
        if len(data) != expected:
            raise ValueError(f"the chunk at {corner} has {len(data)} bytes instead of {expected}")
        return _SHUFFLE in active, data


def _place(inflated: _Inflated, chunk: _Four, first: _Four, at: _Four, size: _Four, out: NDArray[Any]) -> None:
    """Put the part of a chunk that is wanted into ``out``."""
    shuffled, data = inflated
    if shuffled:
        unshuffle(data, chunk, first, at, size, out)
    else:
        out[_slices(at, size)] = np.frombuffer(data, out.dtype).reshape(chunk)[_slices(first, size)]


class StoredVariable(DiskVariable):
    """A variable of an open HDF5 file."""

    def __init__(
        self, dataset: h5py.Dataset, cache: ChunkCache | None = None, name: Hashable = None,
        ranges: RangeFile | None = None,
    ) -> None:  # fmt: skip
        """Of ``dataset``; its inflated chunks go through ``cache``, where it is called ``name``.

        ``ranges``: of the file, where it is not on a disk here; then many chunks are asked for at once.
        """
        self.dataset, self._ranges = dataset, ranges
        plist = dataset.id.get_create_plist()
        filters = [plist.get_filter(n)[0] for n in range(plist.get_nfilters())]
        super().__init__(
            dataset.name.lstrip("/"), dataset.shape, dataset.dtype, dataset.chunks, filters, dataset.fillvalue,
            cache, name,
        )  # fmt: skip
        self._direct = dataset.chunks is not None and len(dataset.chunks) <= _DIMENSIONS and filters in DIRECT_FILTERS
        self.far = ranges is not None and self._direct

    def _read(self, ranges: list[tuple[int, int]], out: NDArray[Any]) -> None:
        lacking = [number for number in self._filters if not h5py.h5z.filter_avail(number)]
        if lacking:
            raise SourceError(
                f"variable {self.name} is compressed with HDF5 filter {lacking[0]}, which is not installed here: "
                "install hdf5plugin, or convert the file with `nccopy -d 1 OLD NEW`"
            )
        if self._direct:
            self._read_chunks(ranges, out)
        else:
            self.dataset.read_direct(out, tuple(slice(*bounds) for bounds in ranges))

    @cached_property
    def _written(self) -> dict[tuple[int, ...], tuple[int, int, int]]:
        """Offset, bytes and filter mask: one walk over the index of the chunks is cheaper than to ask for each."""
        written: dict[tuple[int, ...], tuple[int, int, int]] = {}

        def add(info: Any) -> None:
            written[info.chunk_offset] = info.byte_offset, info.size, info.filter_mask

        self.dataset.id.chunk_iter(add)
        return written

    def _stored(self, corners: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, bytes]]:
        if self._ranges is None:
            return (self.dataset.id.read_direct_chunk(corner) for corner in corners)
        return self._fetched(self._ranges, corners)

    def _fetched(self, ranges: RangeFile, corners: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, bytes]]:
        """Chunks of a remote file, many at a time."""
        while corners:
            sizes = itertools.accumulate(self._written[corner][1] for corner in corners)
            count = max(1, sum(total <= _AT_ONCE for total in sizes))
            some, corners = corners[:count], corners[count:]
            places = [self._written[corner] for corner in some]
            read = ranges.read_ranges([(offset, offset + size) for offset, size, _ in places])
            yield from zip((mask for _, _, mask in places), read, strict=True)
