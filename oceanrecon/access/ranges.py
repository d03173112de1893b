"""Ranges of bytes of remote files: many at once, or through a file object for libraries that want one."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from oceanrecon.access.healing import healed
from oceanrecon.access.passing import is_passing
from oceanrecon.access.systems import file_system, state_of
from oceanrecon.errors import OceanreconError

#: Bytes of a block: the headers of most files are in one or two, and a request costs as much time as a megabyte.
BLOCK = 1 << 16
#: Blocks that are kept: 4 MB, since readers keep many files open.
_KEPT = 64
#: Blocks that are asked for one after the other, before a file that is not larger than what is kept is fetched whole:
#: the index of its many small chunks lies between them.
_PATIENCE = 4
#: Ranges that are this close are read as one.
GAP = 1 << 16
#: Several requests bring more than this sooner than one.
_MOST = 8 << 20
_REMEDY = "copy the files to a disk, or to a server that does (nginx, Apache and object stores do)"


class NoRangesError(OSError):
    """A server sends whole files where ranges of bytes were asked for."""


@dataclass(frozen=True)
class Part:
    """Bytes of a file at a URL; from its end where ``start`` is negative (then ``stop`` is ``None``); else all."""

    url: str
    start: int | None = None
    stop: int | None = None

    @property
    def size(self) -> int | None:
        """How many bytes; ``None``: all."""
        if self.start is None:
            return None
        return -self.start if self.stop is None else self.stop - self.start


def read_parts(filesystem: Any, parts: Sequence[Part]) -> list[bytes | Exception]:
    """The content of each part, all asked for together; or what went wrong with it after further tries.

    A part may be shorter than it should be, where its file is.
    """
    found: list[bytes | Exception] = [b""] * len(parts)
    left = [number for number, part in enumerate(parts) if part.size != 0]

    def ask() -> None:
        chosen = [parts[number] for number in left]
        answers = filesystem.cat_ranges(
            [part.url for part in chosen], [part.start for part in chosen], [part.stop for part in chosen],
            on_error="return",
        )  # fmt: skip
        for number, answer in zip(left, answers, strict=True):
            found[number] = answer if isinstance(answer, Exception) else _checked(parts[number], bytes(answer))
        left[:] = [number for number in left if isinstance(one := found[number], Exception) and is_passing(one)]
        if left:
            raise _StillLeft from cast(Exception, found[left[0]])

    if left:
        with suppress(_StillLeft):
            healed(ask)
    return found


def read_whole(url: str) -> bytes:
    """The content of a file at a path or URL, elsewhere than on disk by one request.

    Raises:
        FileNotFoundError: there is none.
        Exception: what the driver raises.
    """
    if "://" not in url:
        with open(url, "rb") as file:
            return file.read()
    (found,) = read_parts(file_system(url)[0], [Part(url)])
    if isinstance(found, Exception):
        raise found
    return found


class _StillLeft(Exception):
    """Some parts have errors that may pass."""


def _checked(part: Part, data: bytes) -> bytes | Exception:
    if part.size is not None and len(data) > part.size:
        return NoRangesError(
            f"{part.url} came whole where {part.size:,} bytes of it were asked for: the server knows no ranges of "
            f"bytes; {_REMEDY}"
        )
    return data


class RangeFile(io.RawIOBase):
    """A remote file for reading: small reads come from blocks that are kept, large ones are asked for as they are."""

    def __init__(self, url: str, size: int | None = None) -> None:
        """At a URL; its size is asked for where it is not known.

        Raises:
            FileNotFoundError: there is no such file.
            OSError: it cannot be reached.
        """
        super().__init__()
        self.name = url
        self._filesystem = file_system(url)[0]
        try:
            self.size = state_of(url).bytes if size is None else size
        except (OSError, OceanreconError):
            raise
        except Exception as error:  # drivers raise classes of their own
            raise OSError(f"{url} cannot be read: {type(error).__name__}: {error}") from error
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._misses = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to ``offset`` from the beginning, from here, or from the end."""
        self._at = max(offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence], 0)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` as far as the file goes; how many bytes."""
        view = memoryview(buffer).cast("B")
        stop = min(self._at + len(view), self.size)
        if stop <= self._at:
            return 0
        data = self.read_range(self._at, stop)
        view[: len(data)] = data
        self._at += len(data)
        return len(data)

    def readall(self) -> bytes:
        """All from here on."""
        data = self.read_range(self._at, self.size) if self._at < self.size else b""
        self._at += len(data)
        return data

    def read_range(self, start: int, stop: int) -> bytes:
        """Bytes ``start`` to ``stop`` (excluded), both inside the file.

        Raises:
            OSError: they cannot be read.
        """
        if (kept := self._kept(start, stop)) is not None:
            return kept
        if stop - start >= BLOCK:
            return self._fetched([(start, stop)])[0]
        first, last = start // BLOCK, -(-stop // BLOCK)
        self._misses += 1
        if self._misses > _PATIENCE and self.size <= _KEPT * BLOCK:
            first, last = 0, -(-self.size // BLOCK)
        lacking = [number for number in range(first, last) if number not in self._blocks]
        whole = [(number * BLOCK, min((number + 1) * BLOCK, self.size)) for number in lacking]
        self._blocks |= dict(zip(lacking, self._fetched(whole), strict=True))
        found = self._kept(start, stop)
        assert found is not None
        while len(self._blocks) > _KEPT:
            self._blocks.popitem(last=False)
        return found

    def read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several ranges, asked for together; those that are close are one request.

        Raises:
            OSError: one cannot be read.
        """
        found = [self._kept(start, stop) for start, stop in ranges]
        lacking = [number for number, data in enumerate(found) if data is None]
        for number, data in zip(lacking, self._fetched([ranges[number] for number in lacking]), strict=True):
            found[number] = data
        return [data for data in found if data is not None]

    def _kept(self, start: int, stop: int) -> bytes | None:
        """A range, where all of it is in blocks that are kept."""
        numbers = range(start // BLOCK, -(-stop // BLOCK))
        if not all(number in self._blocks for number in numbers):
            return None
        for number in numbers:
            self._blocks.move_to_end(number)
        pieces = [self._blocks[number] for number in numbers]
        whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        return whole[start - numbers.start * BLOCK : stop - numbers.start * BLOCK]

    def _fetched(self, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        merged: list[tuple[int, int]] = []
        place: dict[int, int] = {}
        for number in sorted(range(len(ranges)), key=lambda number: ranges[number]):
            start, stop = ranges[number]
            if merged and start - merged[-1][1] <= GAP and stop - merged[-1][0] <= _MOST:
                merged[-1] = merged[-1][0], max(merged[-1][1], stop)
            else:
                merged.append((start, stop))
            place[number] = len(merged) - 1
        read = []
        found = read_parts(self._filesystem, [Part(self.name, start, stop) for start, stop in merged])
        for (start, stop), data in zip(merged, found, strict=True):
            if isinstance(data, NoRangesError | FileNotFoundError):
                raise data
            if isinstance(data, Exception):
                raise OSError(f"{self.name} cannot be read: {type(data).__name__}: {data}") from data
            if len(data) < stop - start:
                raise OSError(f"{self.name} ends too early: {len(data):,} bytes came for {start:,} to {stop:,}")
            read.append(data)
        return [
            read[place[number]][start - merged[place[number]][0] : stop - merged[place[number]][0]]
            for number, (start, stop) in enumerate(ranges)
        ]


@contextmanager
def open_binary(url: str, size: int | None = None) -> Iterator[BinaryIO]:
    """A file at a path or URL, open for reading; elsewhere than on disk only what is read is fetched.

    Args:
        url: where it is.
        size: its bytes, where they are known: it saves a request.
    """
    if "://" not in url:
        with open(url, "rb") as file:
            yield file
        return
    with RangeFile(url, size) as remote:
        yield cast(BinaryIO, remote)
