"""One small record at a known place that is changed only by compare-and-swap, on files, S3 and other object stores.

Of several who read the same version and write the next one, exactly one succeeds, whoever is slow, dies or is cut off
in between. Where a store has no such operation there is no register.
"""

from __future__ import annotations

import errno
import os
import re
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from fsspec.asyn import sync

from oceanrecon.errors import OutputError
from oceanrecon.stores.files import Root

_NUMBERED = re.compile(r"(\d{12})\.json")
#: Drivers whose exclusive create is one atomic request; ``memory`` is one process's own.
_EXCLUSIVE = ("gs", "gcs", "az", "abfs", "abfss", "memory")
#: How the kernel says that a file system has no hard links.
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
#: HTTP: not found, conflict, precondition failed
_REFUSALS = (404, 409, 412)
_TRIES = 20
#: Looks at a record that is not whole, and the seconds between them.
_PATIENCE, _PAUSE = 10, 0.02
#: Seconds after which what a killed writer left is removed.
_LITTER = 3600.0
# fsspec's memory store looks first and writes then
_MEMORY = threading.Lock()


@dataclass(frozen=True)
class Seen:
    """What a register held."""

    #: names the record, and is what a swap compares; 0 or "" where there is none yet
    version: int | str
    #: ends with a line end; ``None`` where there is none yet
    data: bytes | None
    #: seconds since 1970 by the store's clock when it was written, asked for only where it matters
    changed: Callable[[], float] = time.time


class Register(ABC):
    """One record; see the module."""

    #: where it is, for messages
    url: str

    @abstractmethod
    def read(self) -> Seen:
        """The record as it is now.

        Raises:
            OutputError: it cannot be read.
        """

    @abstractmethod
    def swap(self, version: int | str, data: bytes) -> int | str | None:
        """Write the next record if it still has this version.

        No two calls may write the same bytes, except in trying again.

        Returns:
            Its new version, or ``None`` where others were first, or have followed already.

        Raises:
            OutputError: it cannot be written, or it is not known whether it was.
        """

    def now(self) -> float:
        """About the store's time, without writing: seconds since 1970."""
        return time.time()

    def stamp(self) -> float:
        """The store's time, so that clocks of machines need not agree; for one who is about to write."""
        return self.now()

    def refuses(self, data: bytes) -> bool:
        """Whether the store really refuses what it should, asked by one who has just written ``data``."""
        return True


def register(root: Root, name: str) -> Register | None:
    """The register ``name`` of an output, or ``None`` where its store has no compare-and-swap."""
    scheme = root.url.partition("://")[0]
    if root.local_path is not None:
        return _Files(root, name)
    if scheme in ("s3", "s3a"):
        return _Conditional(root, name)
    return _Objects(root, name) if scheme in _EXCLUSIVE else None


class _Numbered(Register):
    """Records ``name/000000000001.json``, ...: each is made exclusively and never changed, the highest is the one.

    The highest is never removed, so it never goes down. Whoever makes number n + 1 while n is the highest has
    therefore judged the record that rules. One who read long ago may find n + 1 free again, because it was removed
    since: it looks at the names once more, and finds a higher one.
    """

    def read(self) -> Seen:
        for _ in range(_TRIES):
            with _explained("read", self.url):
                numbers = self._numbers()
                if not numbers:
                    return Seen(0, None)
                with suppress(FileNotFoundError):  # the next one was made meanwhile, and this one removed
                    return self._load(max(numbers))
        raise OutputError(f"cannot read {self.url}: it changes faster than it can be read; try again")

    def swap(self, version: int | str, data: bytes) -> int | None:
        number = int(version) + 1
        with _explained("write", self.url):
            if not self._create(number, data):
                return None
            numbers = self._numbers()
            if max(numbers, default=0) > number:
                self._remove(number)
                return None
            if number not in numbers:
                raise OutputError(f"{self.url}/{_file_name(number)} was written and is not listed: was it removed?")
            for older in numbers:
                if older < number:
                    with suppress(OSError):  # the next one removes it
                        self._remove(older)
        return number

    @abstractmethod
    def _numbers(self) -> list[int]: ...

    @abstractmethod
    def _load(self, number: int) -> Seen: ...

    @abstractmethod
    def _create(self, number: int, data: bytes) -> bool: ...

    @abstractmethod
    def _remove(self, number: int) -> None: ...


class _Files(_Numbered):
    """On a local or network file system: a file gets its number by a hard link, which is exclusive on NFS too."""

    def __init__(self, root: Root, name: str) -> None:
        self.url = root.url_of(name)
        self._folder = Path(self.url)

    def stamp(self) -> float:
        with _explained("write", self.url), self._staged(b"") as staged:
            return staged.stat().st_mtime

    def _numbers(self) -> list[int]:
        try:
            return _numbers_in(os.listdir(self._folder))
        except FileNotFoundError:
            return []

    def _load(self, number: int) -> Seen:
        try:
            for patience in range(_PATIENCE):
                with open(self._folder / _file_name(number), "rb") as file:
                    data, changed = file.read(), os.fstat(file.fileno()).st_mtime
                if data.endswith(b"\n") or patience == _PATIENCE - 1:
                    break
                time.sleep(_PAUSE)  # without hard links its writer may be at it
        except OSError as error:
            if error.errno == errno.ESTALE:  # how NFS says that an open file was removed
                raise FileNotFoundError(number) from error
            raise
        return Seen(number, data, lambda: changed)

    def _create(self, number: int, data: bytes) -> bool:
        target = self._folder / _file_name(number)
        with self._staged(data) as staged:
            try:
                os.link(staged, target)
            except FileExistsError:
                # over NFS the answer to a first try may have been lost
                made = os.stat(staged).st_nlink > 1
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                made = _create_in_place(target, data)
            else:
                made = True
            if made:
                _sync_folder(self._folder)
                self._remove_litter(os.stat(staged).st_mtime - _LITTER)
        return made

    def _remove(self, number: int) -> None:
        (self._folder / _file_name(number)).unlink(missing_ok=True)

    @contextmanager
    def _staged(self, data: bytes) -> Iterator[Path]:
        """A synced file beside the numbered ones; not in the output's staging, which others may clear."""
        self._folder.mkdir(parents=True, exist_ok=True)
        staged = self._folder / f".{uuid.uuid4().hex}"
        try:
            with open(staged, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            yield staged
        finally:
            staged.unlink(missing_ok=True)

    def _remove_litter(self, before: float) -> None:
        for path in self._folder.glob(".*"):
            with suppress(OSError):
                if path.stat().st_mtime < before:
                    path.unlink()


class _Objects(_Numbered):
    """On a store whose driver creates exclusively in one request."""

    def __init__(self, root: Root, name: str) -> None:
        self.url = root.url_of(name)
        self._files = root._remote()
        self._folder = str(self._files._strip_protocol(self.url))
        self._alone = _MEMORY if root.url.startswith("memory:") else nullcontext()

    def _numbers(self) -> list[int]:
        self._files.invalidate_cache()  # drivers keep listings
        try:
            return _numbers_in(str(path).rpartition("/")[2] for path in self._files.ls(self._folder, detail=False))
        except FileNotFoundError:
            return []

    def _load(self, number: int) -> Seen:
        path = self._path(number)
        return Seen(number, self._files.cat_file(path), lambda: self._changed(path))

    def _create(self, number: int, data: bytes) -> bool:
        path = self._path(number)
        try:
            with self._alone:
                self._files.pipe_file(path, data, mode="create")
        except FileExistsError:
            # the answer to a first try may have been lost
            with suppress(FileNotFoundError):
                return bool(self._files.cat_file(path) == data)
            return False
        return True

    def _remove(self, number: int) -> None:
        with suppress(FileNotFoundError):
            self._files.rm_file(self._path(number))

    def _changed(self, path: str) -> float:
        with _explained("read", self.url):
            return float(self._files.modified(path).timestamp())

    def _path(self, number: int) -> str:
        return f"{self._folder}/{_file_name(number)}"


class _Conditional(Register):
    """On S3: one key ``name.json``, put on the condition that its ETag is the one that was read."""

    def __init__(self, root: Root, name: str) -> None:
        self.url = root.url_of(f"{name}.json")
        self._files = root._remote()
        bucket, key, _ = self._files.split_path(self.url)
        self._where = {"Bucket": bucket, "Key": key}
        self._answered = 0.0

    def read(self) -> Seen:
        with _explained("read", self.url):
            try:
                answer, data = sync(self._files.loop, self._get)
            except FileNotFoundError as error:
                answer = _answer_of(error)
                if answer.get("Error", {}).get("Code") == "NoSuchBucket":
                    raise
                seen = Seen("", None)
            else:
                changed = answer["LastModified"].timestamp()
                seen = Seen(answer["ETag"], data, lambda: float(changed))
            self._answered = _date(answer)
        return seen

    def swap(self, version: int | str, data: bytes) -> str | None:
        made = self._put(data, {"IfMatch": version} if version else {"IfNoneMatch": "*"})
        if made is not None:
            return made
        # the answer to a first try may have been lost, and the driver's second try refused
        seen = self.read()
        return str(seen.version) if seen.data == data else None

    def now(self) -> float:
        """When the last read was answered, by the store's clock."""
        return self._answered or time.time()

    def refuses(self, data: bytes) -> bool:
        # Some servers that speak S3 overlook conditions; what they would then write is what is there.
        never = '"00000000000000000000000000000000"'
        return self._put(data, {"IfNoneMatch": "*"}) is None and self._put(data, {"IfMatch": never}) is None

    def _put(self, data: bytes, condition: dict[str, Any]) -> str | None:
        """The new ETag, or ``None`` where the store refuses."""
        with _explained("write", self.url):
            try:
                answer = self._files.call_s3("put_object", **self._where, Body=data, **condition)
            except OSError as error:
                refusal = _answer_of(error)
                if refusal.get("Error", {}).get("Code") == "NoSuchBucket" or _status(refusal) not in _REFUSALS:
                    raise
                return None
        return str(answer["ETag"])

    async def _get(self) -> tuple[dict[str, Any], bytes]:
        answer = await self._files._call_s3("get_object", **self._where)
        async with answer["Body"] as body:
            return answer, await body.read()


def _file_name(number: int) -> str:
    return f"{number:012d}.json"


def _numbers_in(names: Any) -> list[int]:
    return [int(found[1]) for name in names if (found := _NUMBERED.fullmatch(name))]


def _create_in_place(target: Path, data: bytes) -> bool:
    """Make a file exclusively where there are no hard links; a reader may meet it before it is whole."""
    try:
        descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    except FileExistsError:
        return False
    try:
        with open(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _answer_of(error: OSError) -> dict[str, Any]:
    """What the S3 server said, from the error that s3fs made of it."""
    answer: dict[str, Any] = getattr(error.__cause__, "response", None) or {}
    return answer


def _status(answer: dict[str, Any]) -> int:
    return int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _date(answer: dict[str, Any]) -> float:
    stated = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(stated).timestamp() if stated else time.time()


@contextmanager
def _explained(verb: str, url: str) -> Iterator[None]:
    try:
        yield
    except OutputError:
        raise
    except Exception as error:  # remote drivers raise classes of their own
        what = error.strerror if isinstance(error, OSError) and error.strerror else f"{type(error).__name__}: {error}"
        raise OutputError(
            f"cannot {verb} {url}, which keeps two jobs from writing to one output: {what}; check the disk, the "
            "permissions, the credentials and the network"
        ) from error
