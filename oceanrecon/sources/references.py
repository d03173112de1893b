"""Reads the files of an archive through a store of references, which says where their chunks lie.

``oceanrecon virtualize`` writes the store once. From then on no file is opened to find out what is in it: a chunk is
one range of bytes of a file, fetched and inflated as ``hdf`` does. The store is a folder:

* ``inventory.parquet``: the inventory of the archive, with its root;
* ``files.parquet``: what each file was when it was read, and which group it is in, at which place;
* one folder per group, such as ``glorys``: kerchunk references in their Parquet form, with paths relative to the
  root. The files of a group are stored alike: same grid, types, packing, chunks and filters.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from oceanrecon.access.healing import healed
from oceanrecon.access.passing import told
from oceanrecon.access.ranges import RangeFile, read_whole
from oceanrecon.access.systems import file_system, is_local, mtime_of
from oceanrecon.errors import ArchiveError, OceanreconError, SourceError
from oceanrecon.sources.hdf import ChunkCache, DiskVariable
from oceanrecon.sources.header import VariableHeader
from oceanrecon.sources.product import Product

#: The table of the files of a store.
FILES = "files.parquet"
#: References in one Parquet file: some 100 kB, fetched at once.
RECORD = 10_000
#: Key of the Parquet metadata of ``FILES``, and the version of the store.
METADATA = b"oceanrecon"
FORMAT = 1
#: What pyarrow says of a file that is no Parquet file, or of none.
_DAMAGED = (pa.ArrowException, OSError)
#: Bytes of chunks that are fetched together, in requests side by side.
_BATCH = 32 << 20
#: Record files that stay in memory, 0.2 MB each: the windows of six variables need twice as many.
_RECORDS = 64


@dataclass(frozen=True)
class VariableForm:
    """How one variable is stored in every file of a group."""

    header: VariableHeader
    #: what one reference is: a disk chunk, or a plane of a variable that is not chunked
    chunks: tuple[int, ...]
    #: the stored number of chunks that were never written, in hexadecimal
    fill: str

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """How many chunks there are along each dimension of one file."""
        return tuple(-(-size // chunk) for size, chunk in zip(self.header.shape, self.chunks, strict=True))

    @property
    def count(self) -> int:
        """How many chunks one file has."""
        return math.prod(self.grid)

    @property
    def fill_number(self) -> Any:
        """``fill`` as a number of the variable's type."""
        return np.frombuffer(bytes.fromhex(self.fill), self.header.dtype)[0]

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> VariableForm:
        """From ``asdict``, by way of JSON."""
        header: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in found["header"].items()
        }
        return cls(VariableHeader(**header), tuple(found["chunks"]), str(found["fill"]))


@dataclass(frozen=True)
class Form:
    """What all files of a group have in common."""

    product: str
    #: of the axes, see ``inventory.grid_hash``
    grid: str
    #: times in one file
    times: int
    variables: Mapping[str, VariableForm]

    def to_json(self) -> str:
        """Equal for equal forms."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def of(cls, text: str) -> Form:
        """From ``to_json``."""
        found = json.loads(text)
        variables = {name: VariableForm.of(form) for name, form in found.pop("variables").items()}
        return cls(**found, variables=variables)


@dataclass(frozen=True)
class ListedFile:
    """A file as it was when the store was written."""

    product: str
    path: str
    bytes: int
    mtime_ns: int
    #: of an object store; empty elsewhere
    etag: str
    #: empty: there are no references, ``reason`` says why, and the file is opened instead
    group: str
    #: among the files of the group
    place: int
    reason: str


#: Offsets and sizes of the chunks of one variable of one file, in C order; a chunk of 0 bytes was never written.
Chunks = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class _Record:
    """One Parquet file of references."""

    paths: list[str]
    #: place in ``paths``, offset, size
    columns: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

    @classmethod
    def of(cls, content: bytes) -> _Record:
        """From the content of the file."""
        table = pq.read_table(pa.BufferReader(content), columns=["path", "offset", "size"], read_dictionary=["path"])
        path = table["path"].combine_chunks()
        path = path.chunk(0) if isinstance(path, pa.ChunkedArray) else path
        codes = path.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        offset, size = (table[name].to_numpy().astype(np.int64) for name in ("offset", "size"))
        return cls(path.dictionary.to_pylist(), (codes, offset, size))


@dataclass(frozen=True, eq=False)
class ReferenceStore:
    """An open store; of its references only those that are asked for are read."""

    url: str
    root: str
    groups: Mapping[str, Form]
    files: Mapping[tuple[str, str], ListedFile]
    #: Parquet files of references that were read; kept with the table that they were read for
    records: dict[str, _Record] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, url: str) -> ReferenceStore:
        """The store at a path or an fsspec URL.

        Raises:
            ArchiveError: there is none, or it is of another version.
        """
        try:
            content = _content(f"{url}/{FILES}")
        except FileNotFoundError:
            raise ArchiveError(f"there are no references at {url}: make them with `oceanrecon virtualize`") from None
        try:
            table = pq.read_table(pa.BufferReader(content))
        except _DAMAGED as error:
            raise ArchiveError(f"{url}/{FILES} is damaged ({error}): {_again(url)}") from error
        stated = json.loads((table.schema.metadata or {}).get(METADATA, b"{}"))
        if stated.get("format") != FORMAT:
            raise ArchiveError(f"{url} has no references of this version: {_again(url)}")
        rows = (ListedFile(**row) for row in table.to_pylist())
        groups = {name: Form.of(text) for name, text in stated["groups"].items()}
        return cls(url, str(stated["root"]), groups, {(row.product, row.path): row for row in rows})

    def chunks(self, file: ListedFile, variable: str) -> Chunks:
        """Where the chunks of a variable of a file lie.

        Raises:
            SourceError: the references are gone or damaged, or the store was written again since it was loaded.
        """
        form = self.groups[file.group].variables[variable]
        first = file.place * form.count
        offsets, sizes = np.zeros(form.count, np.int64), np.zeros(form.count, np.int64)
        at = first
        while at < first + form.count:
            number, low = divmod(at, RECORD)
            high = min(low + first + form.count - at, RECORD)
            found = self._record(f"{file.group}/{variable}/refs.{number}.parq")
            path, offset, size = (column[low:high] for column in found.columns)
            names = set(np.unique(path[size > 0]).tolist())
            if len(path) != high - low or any(found.paths[name] != file.path for name in names):
                forget()
                raise SourceError(
                    f"the references in {self.url} were written again meanwhile: run the same command again"
                )
            offsets[at - first : at - first + high - low] = offset
            sizes[at - first : at - first + high - low] = size
            at += high - low
        return offsets, sizes

    def _record(self, path: str) -> _Record:
        found = self.records.pop(path, None)
        if found is None:
            try:
                found = _Record.of(_content(f"{self.url}/{path}"))
            except _DAMAGED as error:
                raise SourceError(
                    f"the references {self.url}/{path} are damaged ({error}): {_again(self.url)}"
                ) from error
        self.records[path] = found  # the last one; the first goes
        if len(self.records) > _RECORDS:
            del self.records[next(iter(self.records))]
        return found


_load = lru_cache(maxsize=4)(ReferenceStore.load)


def forget() -> None:
    """Read stores anew from now on."""
    _load.cache_clear()


def _again(url: str) -> str:
    return f"run `oceanrecon virtualize ARCHIVE --output {url}` again, which reads only files that are new or changed"


def _content(url: str) -> bytes:
    try:
        return read_whole(url)
    except (FileNotFoundError, OceanreconError):
        raise
    except Exception as error:  # remote drivers raise classes of their own
        raise SourceError(f"{url} cannot be read: {told(error)}") from error


@contextmanager
def open_referenced(
    url: str, store_url: str, product: str, path: str, size: int, mtime_ns: int
) -> Iterator[ReferencedFile | None]:
    """A file that is read through references, as ``opened.OpenFile``; ``None`` where there are none for it.

    Args:
        url: of the file.
        store_url: of the references.
        product: the file's.
        path: of the file, relative to the archive's root.
        size: bytes, when the file was listed.
        mtime_ns: modification time, when it was listed; 0: not known, and the size alone tells a change.

    Raises:
        SourceError: the file changed since the references were made, is gone, or cannot be reached.
        ArchiveError: there is no such store.
    """
    store, listed = _find(store_url, product, path, size, mtime_ns)
    if not listed.group:
        yield None
        return
    filesystem, full = file_system(url)
    if is_local(filesystem):
        with _opened(full, store_url) as descriptor:
            state = os.fstat(descriptor)
            same = state.st_mtime_ns == mtime_ns
            _check_unchanged(listed, state.st_size, same, "it was written again", store_url)
            yield ReferencedFile(store, listed, _LocalRanges(descriptor))
        return
    with _reached(store_url):
        info = healed(lambda: filesystem.info(full))
    tag, now = etag_of(info), mtime_of(info)
    if mtime_ns and tag and listed.etag:
        same, how = tag == listed.etag, "its ETag is another"
    else:  # what a server lists and what it tells of one file may differ in fractions of a second
        same, how = not (now and mtime_ns) or abs(now - mtime_ns) < 10**9, "it was written again"
    _check_unchanged(listed, int(info.get("size") or 0), same, how, store_url)
    with RangeFile(url, listed.bytes) as file:
        yield ReferencedFile(store, listed, _RemoteRanges(file))


def _find(store_url: str, product: str, path: str, size: int, mtime_ns: int) -> tuple[ReferenceStore, ListedFile]:
    for fresh in (False, True):
        store = _load(store_url)
        listed = store.files.get((product, path))
        if listed is not None and listed.bytes == size and mtime_ns in (0, listed.mtime_ns):
            return store, listed
        if not fresh:  # this process may have read the store before it was written again
            forget()
    raise SourceError(f"the references in {store_url} do not know it as it was listed: {_again(store_url)}")


def etag_of(info: Mapping[str, Any]) -> str:
    """What an object store calls this content; empty where it has no name for it."""
    return str(info.get("ETag") or info.get("etag") or "")


def _check_unchanged(listed: ListedFile, size: int, same: bool, how: str, store_url: str) -> None:
    change = f"then {listed.bytes:,} bytes, now {size:,}" if size != listed.bytes else how
    if size != listed.bytes or not same:
        raise SourceError(f"it changed since the references in {store_url} were made ({change}): {_again(store_url)}")


@contextmanager
def _reached(store_url: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise SourceError(f"it does not exist any more: restore it, or {_again(store_url)}") from error
    except (SourceError, MemoryError):
        raise
    except Exception as error:  # remote drivers raise classes of their own
        raise SourceError(f"unreadable: {told(error)}") from error


@contextmanager
def _opened(path: str, store_url: str) -> Iterator[int]:
    with _reached(store_url):
        descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class _Ranges(Protocol):
    """Reads bytes of one file."""

    def read(self, places: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        """The bytes at each (offset, size), in order."""


@dataclass(frozen=True)
class _LocalRanges:
    descriptor: int

    def read(self, places: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        return (os.pread(self.descriptor, size, offset) for offset, size in places)


@dataclass(frozen=True)
class _RemoteRanges:
    file: RangeFile

    def read(self, places: Sequence[tuple[int, int]]) -> Iterator[bytes]:
        waiting: list[tuple[int, int]] = []
        for offset, size in places:
            if waiting and sum(stop - start for start, stop in waiting) + size > _BATCH:
                yield from self._fetch(waiting)
                waiting = []
            waiting.append((offset, offset + size))
        yield from self._fetch(waiting)

    def _fetch(self, ranges: list[tuple[int, int]]) -> list[bytes]:
        try:
            return self.file.read_ranges(ranges)
        except OSError as error:  # not damage: the file is as it was a moment ago
            raise SourceError(f"unreadable: {told(error)}") from error


class ReferencedFile:
    """A file whose header and chunks the references know."""

    def __init__(self, store: ReferenceStore, listed: ListedFile, ranges: _Ranges) -> None:
        self._store, self._listed, self._ranges = store, listed, ranges
        self._form = store.groups[listed.group]

    @property
    def names(self) -> Sequence[str]:
        """The product's variables that the file has."""
        return list(self._form.variables)

    def header(self, name: str, product: Product) -> VariableHeader:
        """How a variable is stored."""
        return self._form.variables[name].header

    def variable(self, name: str, cache: ChunkCache | None = None, key: Any = None) -> DiskVariable:
        """A variable, to be read.

        Raises:
            SourceError: the references are gone or damaged, or the store was written again meanwhile.
        """
        chunks = self._store.chunks(self._listed, name)
        return _ReferencedVariable(name, self._form.variables[name], chunks, self._ranges, cache, key)


class _ReferencedVariable(DiskVariable):
    """One variable of a file, by ranges of bytes."""

    def __init__(
        self, name: str, form: VariableForm, chunks: Chunks, ranges: _Ranges, cache: ChunkCache | None, key: Any
    ) -> None:
        header = form.header
        super().__init__(
            name, header.shape, np.dtype(header.dtype), form.chunks, header.filters, form.fill_number, cache, key
        )
        self._ranges = ranges
        self.far = isinstance(ranges, _RemoteRanges)
        corners = (
            tuple(number * chunk for number, chunk in zip(index, form.chunks, strict=True))
            for index in np.ndindex(form.grid)
        )
        self._places = {
            corner: (offset, size)
            for corner, offset, size in zip(corners, *(column.tolist() for column in chunks), strict=True)
            if size
        }

    @property
    def _written(self) -> Mapping[tuple[int, ...], tuple[int, int]]:
        return self._places

    def _stored(self, corners: Sequence[tuple[int, ...]]) -> Iterator[tuple[int, bytes]]:
        return ((0, data) for data in self._ranges.read([self._places[corner] for corner in corners]))
