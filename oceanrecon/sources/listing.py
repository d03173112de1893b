"""Lists the files of a folder and its folders, local or behind an fsspec URL."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Mapping
from typing import Any

import fsspec
import pandas as pd
from fsspec.implementations.local import LocalFileSystem

from oceanrecon.errors import ArchiveError


def is_local(filesystem: Any) -> bool:
    """Whether an fsspec file system is that of this machine."""
    return isinstance(filesystem, LocalFileSystem)


def absolute_root(root_url: str) -> str:
    """``root_url`` as it is stored: local paths made absolute."""
    filesystem, root = fsspec.core.url_to_fs(root_url)
    return str(root) if is_local(filesystem) else root_url.rstrip("/")


def list_files(root_url: str, folder: str = "") -> Iterator[tuple[str, int, int]]:
    """Path relative to the root, bytes and modification time (ns) of every file; hidden ones are left out.

    Raises:
        ArchiveError: there is no such folder, or one in it cannot be read: its files would be missed in silence.
    """
    filesystem, root = fsspec.core.url_to_fs(root_url)
    root = str(root).rstrip("/")
    start = f"{root}/{folder}" if folder else root
    if not filesystem.isdir(start):
        raise ArchiveError(f"there is no folder {start}: correct the path")
    if is_local(filesystem):
        seen: set[str] = set()
        for base, folders, names in os.walk(start, followlinks=True, onerror=_refuse):
            if os.path.realpath(base) in seen:  # a link to a folder above it would never end
                folders.clear()
                continue
            seen.add(os.path.realpath(base))
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(names):
                if not name.startswith("."):
                    full = os.path.join(base, name)
                    try:
                        state = os.stat(full)
                        size, mtime = state.st_size, state.st_mtime_ns
                    except OSError:  # a dangling link: opening it says so
                        size, mtime = 0, 0
                    yield os.path.relpath(full, root).replace(os.sep, "/"), size, mtime
        return
    for full, info in sorted(filesystem.find(start, detail=True).items()):
        path = full.removeprefix(root).lstrip("/")
        if not any(part.startswith(".") for part in path.split("/")):
            yield path, int(info.get("size") or 0), _remote_mtime(info)


def _refuse(error: OSError) -> None:
    raise ArchiveError(
        f"the folder {error.filename} cannot be read ({error.strerror}): change its permissions, or see that it is "
        "mounted"
    ) from error


def _remote_mtime(info: Mapping[str, Any]) -> int:
    """Modification time in ns from whatever the file system calls it; 0 where it tells none."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(key)
        if isinstance(value, dt.datetime):
            return int(pd.Timestamp(value).value)
        if isinstance(value, int | float):
            return round(value * 1e9)
    return 0
