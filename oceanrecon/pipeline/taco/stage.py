"""Makes a folder or file beside the place where it belongs, and puts it there once it is whole.

What is at that place stays as it is until then, and the kernel swaps the two in one step: whoever opens the place
finds one or the other, whenever the process is killed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oceanrecon.errors import OutputError
from oceanrecon.stores.taco import on_disk

#: Names in the folder beside the target: what is made, what was there, and who is at work where there are no locks.
_NEW, _OLD, _BUSY = "new", "old", "busy"
_HERE, _EXCHANGE = -100, 2
#: How the kernel says that a file system cannot swap.
_NO_SWAP = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A path to make something at; it takes the place of ``target`` at the end, unless the caller raises or made none.

    Beside it there is room for what is needed meanwhile. A folder ``<target>.partial`` holds all of it and is locked;
    one that a killed process left is emptied. Where a file system cannot swap two names (NFS), the place is empty for
    a moment: what an error in that moment leaves is put back at once, and what a kill leaves by the next call.

    Raises:
        OutputError: another process is at work on the target, or it cannot be written.
    """
    partial = target.with_name(f"{target.name}.partial")
    with on_disk(partial):
        partial.mkdir(parents=True, exist_ok=True)
        lock = os.open(partial, os.O_RDONLY)
    try:
        _take(lock, partial)
        try:
            with on_disk(partial):
                _restore(target)
                _empty(partial)
            new = partial / _NEW
            yield new
            if new.exists():
                with on_disk(target):
                    _put(new, target)
        finally:
            (partial / _BUSY).unlink(missing_ok=True)
            with on_disk(target):
                _restore(target)
            # only now, as what was there may have been in it
            shutil.rmtree(partial, ignore_errors=True)
    finally:
        os.close(lock)


def _restore(target: Path) -> None:
    """Put back what a kill or an error between two renames left beside its place."""
    old = target.with_name(f"{target.name}.partial") / _OLD
    if os.path.lexists(old) and not os.path.lexists(target):
        os.rename(old, target)


def _take(lock: int, partial: Path) -> None:
    """Be the only one at work: by a lock, which ends with the process, or by a file where there are no locks."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # it may have been removed by the one who was done while we opened it
        mine = os.fstat(lock).st_ino == os.stat(partial).st_ino
    except (BlockingIOError, FileNotFoundError):
        mine = False
    except OSError:  # such as NFS, which has none of folders
        mine = True
        _take_by_name(partial)
    if not mine:
        raise OutputError(f"another process is at work in {partial}: wait for it, or end it, and try again")


def _take_by_name(partial: Path) -> None:
    busy = partial / _BUSY
    try:
        with on_disk(busy), open(busy, "x") as file:
            file.write(f"process {os.getpid()} of {socket.gethostname()}")
    except OutputError as error:
        if not isinstance(error.__cause__, FileExistsError):
            raise
        who = busy.read_text() if busy.exists() else "another process"
        raise OutputError(
            f"{who} is at work in {partial}: wait for it; if it was killed, remove {busy} and try again"
        ) from error


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != _BUSY:
            path.unlink()


def _put(new: Path, target: Path) -> None:
    """Give what is made its place; what was there is in ``new``'s folder afterwards, and is removed with it."""
    if not target.exists() or (new.is_file() and target.is_file()):
        os.replace(new, target)
    elif not _swap(new, target):
        os.rename(target, new.with_name(_OLD))
        os.rename(new, target)
    sync_folder(target.parent)


def _swap(one: Path, other: Path) -> bool:
    """Swap two names in one step; whether the file system can."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:
        return False
    if call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _NO_SWAP:
        return False
    raise OutputError(f"cannot put {one} in the place of {other}: {os.strerror(code)}")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
