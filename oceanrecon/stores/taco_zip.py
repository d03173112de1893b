"""A TACO dataset in one file: an uncompressed ZIP, whose tables say where each file begins in it."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, BinaryIO

from oceanrecon.access.systems import file_system, info_of, mtime_of
from oceanrecon.errors import OutputError
from oceanrecon.stores.files import Root
from oceanrecon.stores.tables import encode_parquet
from oceanrecon.stores.taco import COLLECTION, LEVELS, ZIP_SUFFIX, Description, FolderStore, Member, TacoStore, on_disk
from oceanrecon.stores.taco_tables import collection, folder_tables, level_table

HEADER = "TACO_HEADER"
#: Pairs of offset and size that a header has room for, after the number of those that it has.
_PAIRS = 7
_HEADER_SIZE = 4 + _PAIRS * 16
#: Bytes before the name of a file in its own header, as ZIP has it.
_LOCAL = 30
#: Larger ones get a longer header.
_LARGEST = 2_000_000_000
_PIECE = 1 << 20
#: The clock is not in the file: the same content is the same bytes.
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def write_zip(
    path: Path, members: Sequence[Member], pieces: Callable[[Member], Iterator[bytes]], about: Description
) -> None:
    """Write a dataset as one file, from its beginning to its end.

    Args:
        path: of the new file.
        members: as of ``taco.completed``.
        pieces: content of a member, piece by piece.
        about: what the dataset says of itself.

    Raises:
        OutputError: the content of a member is not what its size and checksum say, or it is too large; or the file
            cannot be written.
    """
    plan = _Plan()
    for member in members:
        if member.size > _LARGEST:
            raise OutputError(
                f"{member.path} has {member.size:,} bytes, and a file in a {path.suffix} has {_LARGEST:,} at most: "
                "build the dataset as a folder"
            )
        plan.add(f"DATA/{member.path}", member.size)
    files = level_table(members, 2, plan.spans)
    small = {name: encode_parquet(table) for name, table in folder_tables(files, 1)}
    plan.add_all(small)
    regions = level_table(members, 1, plan.spans)
    more = {name: encode_parquet(table) for name, table in folder_tables(regions, 0)}
    plan.add_all(more)
    dates = level_table(members, 0, plan.spans)
    tables = {name: encode_parquet(table) for name, table in zip(LEVELS, (dates, regions, files), strict=True)}
    plan.add_all(tables)
    last = {COLLECTION: collection(about, members, tables)}
    plan.add_all(last)
    header = _header([plan.spans[name] for name in (*LEVELS, COLLECTION)])
    with on_disk(path), open(path, "xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        _put(archive, HEADER, len(header), iter([header]))
        for member in members:
            _put(archive, f"DATA/{member.path}", member.size, _checked(member, pieces(member)))
        for name, content in {**small, **more, **tables, **last}.items():
            _put(archive, name, len(content), iter([content]))
        for entry in archive.infolist():
            assert entry.filename == HEADER or plan.spans[entry.filename] == span_of(entry)
        archive.close()
        file.flush()
        os.fsync(file.fileno())


class ZipStore:
    """A dataset in one file, here or at an fsspec URL: only what is asked for is read.

    Where things are in it is known from when it was opened: a file that took its place since is refused.
    """

    def __init__(self, url: str) -> None:
        """Of the file.

        Raises:
            OutputError: it is not there, or is no such file.
        """
        plain = Root(url).url
        folder, _, self._name = plain.rpartition("/")
        self._root = Root(folder or "/")
        self.url = plain
        self._entries: dict[str, tuple[int, int]] | None = None
        if not self._root.exists(self._name):
            raise OutputError(f"cannot read {plain}: it does not exist")
        self._seen: tuple[Any, ...] | None = None
        with self._file() as file:
            self._spans = dict(zip((*LEVELS, COLLECTION), read_header(file, plain), strict=True))

    def read(self, path: str) -> bytes:
        """See ``taco.TacoStore``."""
        offset, size = self._spans.get(path) or self.entries()[path]
        with self._file() as file:
            file.seek(offset)
            content = file.read(size)
        if len(content) != size:
            raise OutputError(f"{self.url} is cut off: it ends before {path} does; fetch or build it again")
        return content

    def entries(self) -> dict[str, tuple[int, int]]:
        """See ``taco.TacoStore``."""
        if self._entries is None:
            try:
                with self._file() as file, zipfile.ZipFile(file) as archive:
                    self._entries = {
                        entry.filename: span_of(entry) for entry in archive.infolist() if entry.filename != HEADER
                    }
            except zipfile.BadZipFile as error:
                raise OutputError(f"{self.url} is cut off or damaged ({error}); fetch or build it again") from error
        return self._entries

    @contextmanager
    def open(self, path: str, span: tuple[int, int] | None) -> Iterator[BinaryIO]:
        """See ``taco.TacoStore``."""
        assert span is not None, path
        with self._file() as file:
            yield io.BufferedReader(Window(file, *span))

    def damaged(self) -> Iterator[tuple[str, str]]:
        """Files that other readers of ZIP would refuse, each with the reason: header or checksum of ZIP are wrong.

        Raises:
            OutputError: the directory at the end cannot be read.
        """
        self.entries()
        with self._file() as file, zipfile.ZipFile(file) as archive:
            for entry in archive.infolist():
                right = copy(entry)
                right.extra = b""  # of the directory alone: large offsets
                header = right.FileHeader(zip64=False)
                file.seek(entry.header_offset)
                if file.read(len(header)) != header:
                    yield entry.filename, "its header in the ZIP is not what the directory at the end has of it"
                content = Window(file, entry.header_offset + len(header), entry.file_size)
                checksum = 0
                while piece := content.read(_PIECE):
                    checksum = zlib.crc32(piece, checksum)
                if checksum != entry.CRC:
                    yield entry.filename, "its checksum in the ZIP is another"

    @contextmanager
    def _file(self) -> Iterator[BinaryIO]:
        """The file that was opened first.

        Raises:
            OutputError: there is another one.
        """
        with self._root.open(self._name) as file:
            if self._root.local_path is not None:
                stat = os.fstat(file.fileno())
                seen: tuple[Any, ...] = stat.st_ino, stat.st_size, stat.st_mtime_ns
            else:
                info = info_of(file_system(self.url)[0], self.url)
                seen = info.get("ETag"), info.get("size"), mtime_of(info)
            if self._seen is None:
                self._seen = seen
            elif self._seen != seen:
                raise OutputError(f"{self.url} was replaced since it was opened: open it again")
            yield file


def open_store(url: str) -> TacoStore:
    """The dataset in a folder or in a file ``*.tacozip``.

    Raises:
        OutputError: it is a file, and not there or no such file.
    """
    return ZipStore(url) if url.endswith(ZIP_SUFFIX) else FolderStore(url)


class Window(io.RawIOBase):
    """A part of an open file as a file of its own."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        """From ``offset`` on, ``size`` bytes."""
        self._file, self._offset, self._size = file, offset, size
        self._place = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte is."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go somewhere."""
        self._place = offset + (0, self._place, self._size)[whence]
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Some of it; how many bytes."""
        view = memoryview(buffer).cast("B")
        length = max(min(len(view), self._size - self._place), 0)
        self._file.seek(self._offset + self._place)
        content = self._file.read(length)
        view[: len(content)] = content
        self._place += len(content)
        return len(content)


def read_header(file: BinaryIO, url: str) -> list[tuple[int, int]]:
    """Offset and size of the tables and of ``COLLECTION.json``.

    Raises:
        OutputError: the file is no dataset.
    """
    begin = file.read(_LOCAL + len(HEADER) + _HEADER_SIZE)
    name, content = begin[_LOCAL : _LOCAL + len(HEADER)], begin[_LOCAL + len(HEADER) :]
    if not begin.startswith(b"PK\x03\x04") or name != HEADER.encode() or len(content) != _HEADER_SIZE:
        raise OutputError(f"{url} is no TACO file: it does not begin with {HEADER}")
    if content[0] != len(LEVELS) + 1:
        raise OutputError(f"{url} has {content[0]} tables, and ours have {len(LEVELS) + 1}: it is of another tool")
    numbers = struct.unpack(f"<{2 * _PAIRS}Q", content[4:])
    return [(numbers[2 * pair], numbers[2 * pair + 1]) for pair in range(content[0])]


def span_of(entry: zipfile.ZipInfo) -> tuple[int, int]:
    """Offset and size of the content of a file in a ZIP that ``write_zip`` made."""
    return entry.header_offset + _LOCAL + len(entry.filename.encode()), entry.file_size


class _Plan:
    """Where each file will be, before any is written."""

    def __init__(self) -> None:
        self.spans: dict[str, tuple[int, int]] = {}
        self._end = _LOCAL + len(HEADER) + _HEADER_SIZE

    def add(self, path: str, size: int) -> None:
        begin = self._end + _LOCAL + len(path.encode())
        self.spans[path] = begin, size
        self._end = begin + size

    def add_all(self, files: Mapping[str, bytes]) -> None:
        for path, content in files.items():
            self.add(path, len(content))


def _header(spans: Sequence[tuple[int, int]]) -> bytes:
    numbers = [number for span in spans for number in span]
    numbers += [0] * (2 * _PAIRS - len(numbers))
    return struct.pack(f"<B3x{2 * _PAIRS}Q", len(spans), *numbers)


def _put(archive: zipfile.ZipFile, path: str, size: int, pieces: Iterator[bytes]) -> None:
    entry = zipfile.ZipInfo(path, _NO_DATE)
    entry.file_size = size
    entry.external_attr = 0o644 << 16
    with archive.open(entry, "w") as file:
        for piece in pieces:
            file.write(piece)


def _checked(member: Member, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The pieces, if together they are what the member says."""
    size, checksum = 0, hashlib.sha256()
    for piece in pieces:
        size += len(piece)
        checksum.update(piece)
        yield piece
    if (size, checksum.hexdigest()) != (member.size, member.sha256):
        raise OutputError(
            f"{member.path}: its file is not what its row says (it has {size:,} bytes, {member.size:,} are right): run "
            "`oceanrecon regions format` again, and build the dataset of what that writes"
        )
