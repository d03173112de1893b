"""Byte ranges of the files below a root, many at a time: what shards are read by."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oceanrecon.access.passing import told
from oceanrecon.access.ranges import NoRangesError, Part, read_parts
from oceanrecon.access.systems import file_system
from oceanrecon.errors import OutputError
from oceanrecon.stores.files import Root

_KEPT_FILES = 64
#: Of a file of an export that is gone or damaged: resuming looks at sizes alone, so what is damaged is sought first.
REMEDY = "run `oceanrecon verify --discard-bad`, then `oceanrecon export --resume`"
#: Likewise, of its gridded profiles.
GRIDDING = "run `oceanrecon verify --discard-bad`, then `oceanrecon profiles grid CONFIG --resume`"


@dataclass(frozen=True)
class Range:
    """Bytes of a file; from its end where ``start`` is negative."""

    path: str
    start: int
    stop: int | None


class Files:
    """Byte ranges below a root: by descriptors that stay open on a local disk, else by fsspec."""

    def __init__(self, root: Root, remedy: str = REMEDY) -> None:
        """Below ``root``; messages about missing or damaged files end with ``remedy``."""
        self.root, self.remedy = root, remedy
        self._open: OrderedDict[str, int] = OrderedDict()
        self._remote: Any = None
        #: bytes that were read since this was made
        self.bytes_read = 0

    def __del__(self) -> None:
        for descriptor in self._open.values():
            os.close(descriptor)

    def __getstate__(self) -> dict[str, Any]:
        return {"root": self.root, "remedy": self.remedy}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["root"], state["remedy"])  # type: ignore[misc]

    def read(self, ranges: Sequence[Range]) -> list[bytes]:
        """The content of each range.

        Raises:
            OutputError: a file is not there, ends too early or cannot be read; names it.
        """
        read = []
        for part, data in zip(ranges, self.read_if_there(ranges), strict=True):
            if data is None:
                raise OutputError(f"{self.root.url_of(part.path)} is not there; {self.remedy}")
            read.append(data)
        return read

    def read_if_there(self, ranges: Sequence[Range]) -> list[bytes | None]:
        """The content of each range, ``None`` where the file is not there.

        Raises:
            OutputError: a file ends too early or cannot be read; names it.
        """
        if self.root.local_path is not None:
            found = [self._read_local(part) for part in ranges]
        else:
            found = self._read_remote(ranges)
        for part, data in zip(ranges, found, strict=True):
            if data is None:
                continue
            self.bytes_read += len(data)
            wanted = -part.start if part.stop is None else part.stop - part.start
            if len(data) < wanted:
                raise OutputError(
                    f"{self.root.url_of(part.path)} is damaged: {wanted:,} bytes were to be read from it, and it has "
                    f"{len(data):,}; {self.remedy}"
                )
        return found

    def _read_local(self, part: Range) -> bytes | None:
        try:
            descriptor = self._descriptor(part.path)
            if part.stop is None:
                size = os.fstat(descriptor).st_size
                return os.pread(descriptor, -part.start, max(size + part.start, 0))
            return os.pread(descriptor, part.stop - part.start, part.start)
        except FileNotFoundError:
            return None
        except OSError as error:
            url = self.root.url_of(part.path)
            raise OutputError(f"{url} cannot be read ({error.strerror or error}); {self.remedy}") from error

    def _descriptor(self, path: str) -> int:
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        descriptor = os.open(self.root.url_of(path), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self._open[path] = descriptor
        if len(self._open) > _KEPT_FILES:
            os.close(self._open.popitem(last=False)[1])
        return descriptor

    def _read_remote(self, ranges: Sequence[Range]) -> list[bytes | None]:
        if self._remote is None:
            self._remote = file_system(self.root.url)[0]
        parts = [Part(self.root.url_of(part.path), part.start, part.stop) for part in ranges]
        found: list[bytes | None] = []
        for part, data in zip(parts, read_parts(self._remote, parts), strict=True):
            if isinstance(data, bytes | FileNotFoundError):
                found.append(data if isinstance(data, bytes) else None)
                continue
            if isinstance(data, NoRangesError):
                raise OutputError(str(data))
            raise OutputError(f"{part.url} cannot be read: {told(data)}") from data
        return found
