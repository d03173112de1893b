"""The folder of raw files: what is there already, parts that are continued, and how a whole file gets its name."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from oceanrecon.access.paths import joined
from oceanrecon.errors import OutputError
from oceanrecon.pipeline.download.attempts import CutError, Manner, refuse_full_disk, writing
from oceanrecon.pipeline.download.remote import Outcome, Remote

#: Folder for what is no raw file: the record of what was received, and what is being fetched by other programs.
STATE = ".download"


@dataclass(frozen=True)
class Record:
    """A file as it was received."""

    target: str
    size: int
    mtime_ns: int
    sha256: str
    version: str


class Received:
    """Raw files that are there, by what was recorded when they came; usable by threads."""

    def __init__(self, folder: Path) -> None:
        """Of a folder of raw files, which need not be there yet."""
        self.folder = folder
        self._path = folder / STATE / "received.jsonl"
        self._records: dict[str, Record] = {}
        self._lock = threading.Lock()
        self._whole_lines = True
        if self._path.is_file():
            content = self._path.read_bytes()
            self._whole_lines = content.endswith(b"\n") or not content
            for line in content.splitlines():
                try:
                    record = Record(**json.loads(line))
                except (ValueError, TypeError):  # the last line of a run that was killed
                    continue
                self._records[record.target] = record

    def path(self, target: str) -> Path:
        """Where a file is put.

        Raises:
            OutputError: a source gave it a name that leads out of the folder.
        """
        return Path(joined(str(self.folder), target, OutputError))

    def record(self, target: str) -> Record | None:
        """What is recorded of a file that is there as it came, ``None`` otherwise."""
        record = self._records.get(target)
        try:
            state = self.path(target).stat()
        except OSError:
            return None
        if record is None or state.st_size != record.size:
            return None
        if state.st_mtime_ns == record.mtime_ns or digest(self.path(target)) == record.sha256:
            return record
        return None

    def has(self, remote: Remote) -> bool:
        """Whether a file is there, whole, and as its source has it now.

        A file that no download recorded counts where it has the size and, where the source says one, the checksum.
        """
        record = self.record(remote.target)
        if record is not None:
            same_size = remote.size is None or remote.size == record.size
            return same_size and (not remote.version or record.version == remote.version)
        path = self.path(remote.target)
        if remote.size is None or not path.is_file() or path.stat().st_size != remote.size:
            return False
        if remote.target in self._records:  # it is not what came
            return False
        return remote.md5 is None or digest(path, "md5") == remote.md5

    def adopt(self, remote: Remote) -> Record:
        """Record a file that is there; what is recorded of it."""
        found = self.record(remote.target)
        return found if found is not None else self.add(remote.target, remote.version)

    def add(self, target: str, version: str, sha256: str = "") -> Record:
        """Record a file that has its name now."""
        path = self.path(target)
        state = path.stat()
        record = Record(target, state.st_size, state.st_mtime_ns, sha256 or digest(path), version)
        with self._lock, writing(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "a", encoding="utf-8") as file:
                # a killed run may have left half a line
                file.write(("" if self._whole_lines else "\n") + json.dumps(asdict(record)) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._whole_lines = True
            self._records[target] = record
        return record

    def part(self, remote: Remote) -> Path:
        """Where a file grows. Another content of the same file grows elsewhere, so that two are never mixed."""
        path = self.path(remote.target)
        of = hashlib.blake2b(f"{remote.size}:{remote.version}".encode(), digest_size=4).hexdigest()
        return path.with_name(f"{path.name}.{of}.part")

    def lacking(self, remote: Remote) -> int:
        """Bytes that are still to come, where that is known."""
        part = self.part(remote)
        return max((remote.size or 0) - (part.stat().st_size if part.is_file() else 0), 0)

    def take(self, remote: Remote, part: Path) -> Record:
        """Give a file its name that has come whole.

        Raises:
            CutError: it has not; what came of another content is removed, so that the next try starts afresh.
        """
        size = part.stat().st_size
        if remote.size is not None and size != remote.size:
            if size > remote.size:
                part.unlink()
            raise CutError(f"{size:,} of {remote.size:,} bytes came")
        if remote.md5 is not None and digest(part, "md5") != remote.md5:
            part.unlink()
            raise CutError(f"its content is not what the source says: its MD5 is not {remote.md5}")
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        sha256 = digest(part)
        path = self.path(remote.target)
        path.parent.mkdir(parents=True, exist_ok=True)
        os.replace(part, path)
        record = self.add(remote.target, remote.version, sha256)
        for other in path.parent.glob(f"{_literal(path.name)}.*.part"):
            other.unlink(missing_ok=True)
        return record


def bring(
    remotes: Sequence[Remote], one_try: Callable[[Remote, Path], None], received: Received, manner: Manner
) -> Iterator[Outcome]:
    """Files one by one: continued, checked, named; ``one_try`` brings the rest of one into a part."""
    for remote in remotes:
        started = time.monotonic()
        try:
            record = manner.retried(partial(_whole, remote, one_try, received))
        except Exception as error:
            refuse_full_disk(error)
            seconds = time.monotonic() - started
            yield Outcome(remote.stream, remote.target, remote.day, "failed", seconds=seconds, error=error)
            continue
        seconds = time.monotonic() - started
        yield Outcome(remote.stream, remote.target, remote.day, "fetched", record.size, record.sha256, seconds)


def _whole(remote: Remote, one_try: Callable[[Remote, Path], None], received: Received) -> Record:
    part = received.part(remote)
    one_try(remote, part)
    return received.take(remote, part)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only download into a folder.

    Raises:
        OutputError: there is another one, or the folder cannot be written.
    """
    path = folder / STATE / "lock"
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(
                f"another download writes into {folder}: wait until it is over, or choose another output"
            ) from None
        yield


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Checksum of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _literal(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)
