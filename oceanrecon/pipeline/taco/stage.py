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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oceanrecon.errors import OutputError

#: Names in the folder beside the target: what is made, and what was there.
_NEW, _OLD = "new", "old"
_HERE, _EXCHANGE = -100, 2
#: How the kernel says that a file system cannot swap.
_NO_SWAP = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """A path to make something at; it takes the place of ``target`` at the end, unless the caller raises or made none.

    Beside it there is room for what is needed meanwhile. A folder ``<target>.partial`` holds all of it and is locked;
    one that a killed process left is emptied. Where a file system cannot swap two names (NFS), the place is empty for
    a moment; what a kill in that moment leaves is put back by the next call.

    Raises:
        OutputError: another process is at work on the target, or it cannot be written.
    """
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock = os.open(partial, os.O_RDONLY)
    except OSError as error:
        raise OutputError(f"cannot write {partial}: {error.strerror}; choose another output") from error
    try:
        _take(lock, partial)
        _restore(target)
        _empty(partial)
        try:
            new = partial / _NEW
            yield new
            if new.exists():
                _put(new, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    finally:
        os.close(lock)


def _restore(target: Path) -> None:
    """Put back what a kill between two renames left beside its place."""
    old = target.with_name(f"{target.name}.partial") / _OLD
    if old.exists() and not target.exists():
        os.rename(old, target)


def _take(lock: int, partial: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # it may have been removed by the one who was done while we opened it
        mine = os.fstat(lock).st_ino == os.stat(partial).st_ino
    except (BlockingIOError, FileNotFoundError):
        mine = False
    if not mine:
        raise OutputError(f"another process is at work in {partial}: wait for it, or end it, and try again")


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
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
