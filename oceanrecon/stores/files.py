"""Whole files under one root, local or any fsspec URL: what has its final name is complete, always."""

from __future__ import annotations

import builtins
import errno
import os
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from oceanrecon.access.healing import healed
from oceanrecon.access.passing import is_passing, told
from oceanrecon.access.paths import joined
from oceanrecon.access.ranges import Part, open_binary, read_parts
from oceanrecon.access.systems import file_system, has_folders, info_of
from oceanrecon.errors import OceanreconError, OutputError

#: Where local files are written before they get their names; on the same file system, so that a rename is atomic.
STAGING = ".staging"
_STAGED = re.compile("[0-9a-f]{32}")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
#: Paths that are removed between two looks at whether they may be.
_BATCH = 1000
_CHECK: ContextVar[Callable[[], None] | None] = ContextVar("oceanrecon-may-write", default=None)


@contextmanager
def writing_while(check: Callable[[], None]) -> Iterator[None]:
    """Ask ``check`` before each change that this thread makes to any root inside; what it raises prevents the change.

    A staged file is asked for when it has its content already, right before it gets its name.
    """
    token = _CHECK.set(check)
    try:
        yield
    finally:
        _CHECK.reset(token)


def _ask() -> None:
    check = _CHECK.get()
    if check is not None:
        check()


@dataclass(frozen=True)
class Root:
    """A folder (``/data/export``, ``file:///data/export``) or an fsspec URL (``s3://bucket/export``).

    Paths given to its methods are relative, with ``/``. A local root becomes absolute at once, so that workers in
    another working directory mean the same place.
    """

    url: str

    def __post_init__(self) -> None:
        scheme, separator, rest = self.url.partition("://")
        if not separator:
            url = os.path.abspath(os.path.expanduser(self.url))
        elif scheme in ("file", "local"):
            url = os.path.abspath(rest)
        else:
            url = self.url.rstrip("/")
        object.__setattr__(self, "url", url)

    @property
    def local_path(self) -> Path | None:
        """The folder, or ``None`` where the root is not on a local file system."""
        return None if "://" in self.url else Path(self.url)

    def url_of(self, rel: str) -> str:
        """The full path or URL of ``rel``.

        Raises:
            OutputError: ``rel`` is absolute or leaves the root, by ``..`` or by a symbolic link.
        """
        return joined(self.url, rel, OutputError)

    def read(self, rel: str) -> bytes:
        """The content of ``rel``.

        Raises:
            OutputError: it is missing or cannot be read.
        """
        url = self.url_of(rel)
        with explained("read", url):
            if self.local_path is not None:
                return Path(url).read_bytes()
            (data,) = read_parts(self._remote(), [Part(url)])
            if isinstance(data, Exception):
                raise data
            return data

    def read_if_there(self, rel: str) -> bytes | None:
        """The content of ``rel``, ``None`` where there is no such file: one request, where ``exists`` is two.

        Raises:
            OutputError: it is there and cannot be read.
        """
        return self.read_many([rel]).get(rel)

    @contextmanager
    def open(self, rel: str) -> Iterator[BinaryIO]:
        """The file ``rel``, open for reading; elsewhere than on disk only what is read of it is fetched.

        What goes wrong is left as it is.
        """
        with open_binary(self.url_of(rel)) as file:
            yield file

    def read_many(self, rels: Sequence[str]) -> dict[str, bytes]:
        """The content of many small files, those left out that are gone; concurrently where each costs a round trip.

        Raises:
            OutputError: one is there and cannot be read.
        """
        if self.local_path is not None or not rels:
            found = {}
            for rel in rels:
                try:
                    found[rel] = self.read(rel)
                except OutputError as error:  # removed since they were listed: a worker replaces a step
                    if not isinstance(error.__cause__, FileNotFoundError):
                        raise
            return found
        there = {}
        for rel, content in zip(
            rels, read_parts(self._remote(), [Part(self.url_of(rel)) for rel in rels]), strict=True
        ):
            if isinstance(content, bytes):
                there[rel] = content
            elif not isinstance(content, FileNotFoundError):
                with explained("read", self.url_of(rel)):
                    raise content
        return there

    def exists(self, rel: str) -> bool:
        """Whether there is a file ``rel``."""
        return self.size(rel) is not None

    def size(self, rel: str) -> int | None:
        """Bytes of the file ``rel``, or ``None`` where there is none."""
        url = self.url_of(rel)
        try:
            with explained("look at", url):
                if self.local_path is not None:
                    return os.stat(url).st_size if os.path.isfile(url) else None
                info = info_of(self._remote(), url)
        except OutputError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        return int(info["size"]) if info["type"] == "file" else None

    def write(self, rel: str, data: bytes | memoryview) -> None:
        """Write a whole file: afterwards ``rel`` is there complete, or as it was before.

        Locally: a staged file, synced, renamed over ``rel``, and the folder synced. Elsewhere: one put, which is tried
        again where that may help.

        Raises:
            OutputError: the disk is full, the place is not writable, or the connection failed.
        """
        url = self.url_of(rel)
        folder = self.local_path
        if folder is not None:
            with explained("write", url, len(data), folder):
                _write_local(folder, Path(url), data)
            return
        content = bytes(data)
        with explained("write", url):
            self._put(url, lambda remote: remote.pipe_file(url, content))

    @contextmanager
    def writer(self, rel: str) -> Iterator[Writer]:
        """A file to write piece by piece: afterwards ``rel`` is there complete, or as it was before.

        It is as before where the caller raises, whose error is left as it is. Elsewhere than on a local disk the file
        is put together in a temporary one here.

        Raises:
            OutputError: see ``write``.
        """
        url = self.url_of(rel)
        folder = self.local_path
        explaining = partial(explained, "write", url, folder=folder)
        with ExitStack() as stack:
            with explaining():
                file = stack.enter_context(_staged(folder))
            yield Writer(file, explaining)
            with explaining():
                if folder is not None:
                    _give_name(file, Path(url))
                    return
                file.flush()
            self.upload(file.name, rel)

    def upload(self, path: str, rel: str) -> None:
        """Write ``rel`` from a file of this machine, where the root is not on a local disk.

        Raises:
            OutputError: see ``write``.
        """
        url = self.url_of(rel)
        with explained("write", url):
            self._put(url, lambda remote: remote.put_file(path, url))

    def remove(self, rel: str) -> None:
        """Remove the file ``rel`` if it is there."""
        url = self.url_of(rel)
        with explained("remove", url):
            _ask()
            try:
                if self.local_path is not None:
                    os.unlink(url)
                else:
                    _refuse_web(url)
                    healed(lambda: self._remote().rm_file(url))
            except FileNotFoundError:
                pass

    def remove_tree(self, rel: str) -> None:
        """Remove the folder ``rel`` and all that is in it, if it is there."""
        url = self.url_of(rel)
        with explained("remove", url):
            try:
                if self.local_path is not None:
                    for part in list(Path(url).iterdir()):
                        _ask()
                        if part.is_dir() and not part.is_symlink():
                            shutil.rmtree(part)
                        else:
                            part.unlink()
                    os.rmdir(url)
                    return
                _refuse_web(url)
                remote = self._remote()
                found = healed(lambda: remote.find(url))
                for first in range(0, len(found), _BATCH):
                    _ask()
                    healed(partial(remote.rm, found[first : first + _BATCH]))
                if has_folders(url):
                    remote.rm(url, recursive=True)
            except FileNotFoundError:
                pass

    def list(self, rel: str = "") -> builtins.list[str]:
        """Paths, relative to the root, of all files under the folder ``rel``, sorted; none if it is not there."""
        top = self.url_of(rel) if rel else self.url
        with explained("list", top):
            if self.local_path is not None:
                found = [Path(folder, name) for folder, _, names in os.walk(top) for name in names]
                rels = [path.relative_to(self.local_path).as_posix() for path in found]
            else:
                remote = self._remote()
                base = str(remote._strip_protocol(self.url)).rstrip("/")
                rels = [str(path)[len(base) + 1 :] for path in healed(lambda: remote.find(top))]
        # object stores may have files that stand for folders
        return sorted(path for path in rels if not path.startswith(f"{STAGING}/") and path and not path.endswith("/"))

    def names(self) -> set[str]:
        """Names of the files and folders that are right below the root; none where it is not there."""
        with explained("list", self.url):
            try:
                if self.local_path is not None:
                    return set(os.listdir(self.local_path))
                remote = self._remote()
                found = healed(lambda: remote.ls(self.url, detail=False))
            except (FileNotFoundError, NotADirectoryError):
                return set()
        return {name for path in found if (name := str(path).rstrip("/").rpartition("/")[2])}

    def clear_staging(self) -> None:
        """Remove what killed writers left behind; only while nobody writes here."""
        if self.local_path is None:
            return
        staging = Path(self.url_of(STAGING))
        with explained("remove", str(staging)):
            try:
                names = os.listdir(staging)
            except (FileNotFoundError, NotADirectoryError):
                return
            for name in names:
                if _STAGED.fullmatch(name):
                    (staging / name).unlink(missing_ok=True)
            with suppress(OSError):  # a worker that outlived its client may be writing still
                staging.rmdir()

    def _put(self, url: str, put: Callable[[Any], object]) -> None:
        """Write a remote file by ``put``."""
        _refuse_web(url)
        _ask()
        remote = self._remote()
        try:
            healed(lambda: put(remote))
        except FileNotFoundError:
            # Only drivers with real folders need them made, and asking first would cost object stores a request. These
            # say it of a put in parts that was done by a try whose answer was lost.
            if has_folders(url):
                remote.makedirs(url.rpartition("/")[0], exist_ok=True)
            healed(lambda: put(remote))

    def _remote(self) -> Any:
        return file_system(self.url)[0]


class Writer:
    """A file that is being written; its errors say what to do."""

    def __init__(self, file: BinaryIO, explained: Callable[[], AbstractContextManager[None]]) -> None:
        self._file, self._explained = file, explained

    def write(self, data: bytes) -> int:
        """Some more of it; how many bytes.

        Raises:
            OutputError: the disk is full.
        """
        with self._explained():
            return self._file.write(data)


def _write_local(folder: Path, path: Path, data: bytes | memoryview) -> None:
    with _staged(folder) as file:
        file.write(data)
        _give_name(file, path)


@contextmanager
def _staged(folder: Path | None) -> Iterator[BinaryIO]:
    """A new file below ``folder``, or in the system's folder for temporary ones; gone afterwards unless renamed."""
    if folder is None:
        descriptor, temporary = tempfile.mkstemp()
        os.close(descriptor)
    else:
        staging = Path(joined(str(folder), STAGING, OutputError))
        staging.mkdir(parents=True, exist_ok=True)
        temporary = str(staging / uuid.uuid4().hex)
    try:
        file = open(temporary, "wb")
        try:
            yield file
        finally:
            with suppress(OSError):  # what is not flushed by now is not wanted
                file.close()
    finally:
        Path(temporary).unlink(missing_ok=True)


def _give_name(file: BinaryIO, path: Path) -> None:
    """Sync a staged file and rename it to ``path``."""
    file.flush()
    os.fsync(file.fileno())
    _make_folder(path.parent)
    _ask()
    os.replace(file.name, path)
    _sync_folder(path.parent)


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    # A rename survives a power cut only once the folder that holds the name is synced.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def explained(verb: str, url: str, needed: int | None = None, folder: Path | None = None) -> Iterator[None]:
    """What the system refuses becomes an error that says what to do.

    Args:
        verb: what is done, such as ``write``.
        url: with what.
        needed: bytes that are to be written, if known.
        folder: on whose disk.

    Raises:
        OutputError: instead of what was raised.
    """
    try:
        yield
    except FileNotFoundError as error:
        if "://" in url and verb == "write":
            raise OutputError(f"cannot write {url}: {error}; make the bucket or folder, or correct the name") from error
        raise OutputError(f"cannot {verb} {url}: it does not exist") from error
    except OceanreconError:
        raise
    except NotImplementedError as error:
        raise OutputError(
            f"cannot {verb} {url}: {url.partition('://')[0]}:// is for reading files by their names only; give a "
            "folder, or the URL of an object store"
        ) from error
    except OSError as error:
        if "://" in url:
            raise OutputError(f"cannot {verb} {url}: {_remote_reason(verb, url, error)}") from error
        if error.errno in _DISK_FULL:
            need = f" it needs {needed:,} bytes," if needed is not None else ""
            room = f" {_free_bytes(folder):,} are free;" if folder is not None else ""
            raise OutputError(
                f"cannot {verb} {url}: the disk is full;{need}{room} free some space or choose another output, then "
                "run the same command again with --resume"
            ) from error
        if error.errno in _FORBIDDEN:
            raise OutputError(
                f"cannot {verb} {url}: {error.strerror or error}; choose an output that this user may write, or change "
                "its permissions"
            ) from error
        raise OutputError(f"cannot {verb} {url}: {error.strerror or error}") from error
    except Exception as error:  # remote drivers raise classes of their own, such as NoCredentialsError
        raise OutputError(f"cannot {verb} {url}: {_remote_reason(verb, url, error)}") from error


def _refuse_web(url: str) -> None:
    if url.startswith(("http://", "https://")):
        raise NotImplementedError  # the driver would post the content


def _remote_reason(verb: str, url: str, error: Exception) -> str:
    """What a driver says, and what to do."""
    if verb == "list" and url.startswith("http") and not is_passing(error):
        said = f"{type(error).__name__}: {error}"
        return f"{said}; web servers do not say what is in a folder, and this has to know: give a folder or a bucket"
    return told(error)


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
