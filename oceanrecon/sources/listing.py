"""Lists the files of a folder and its folders, local or behind an fsspec URL."""

from __future__ import annotations

import os
from collections.abc import Iterator

from oceanrecon.access.healing import healed
from oceanrecon.access.paths import joined
from oceanrecon.access.systems import file_system, is_local, mtime_of
from oceanrecon.errors import ArchiveError


def absolute_root(root_url: str) -> str:
    """``root_url`` as it is stored: local paths made absolute."""
    filesystem, root = file_system(root_url)
    return root if is_local(filesystem) else root_url.rstrip("/")


def list_files(root_url: str, folder: str = "") -> Iterator[tuple[str, int, int]]:
    """Path relative to the root, bytes and modification time (ns) of every file; hidden ones are left out.

    Raises:
        ArchiveError: there is no such folder, or one in it cannot be read: its files would be missed in silence; or
            ``folder`` leaves the root.
    """
    if folder:
        joined(absolute_root(root_url), folder, ArchiveError)
    filesystem, root = file_system(root_url)
    root = root.rstrip("/")
    start = f"{root}/{folder}" if folder else root
    if not healed(lambda: filesystem.isdir(start)):
        where = start if is_local(filesystem) else filesystem.unstrip_protocol(start)
        raise ArchiveError(f"there is no folder {where}: correct the path")
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
    for full, info in sorted(healed(lambda: filesystem.find(start, detail=True)).items()):
        path = full.removeprefix(root).lstrip("/")
        if path and not any(part.startswith(".") for part in path.split("/")):
            yield path, int(info.get("size") or 0), mtime_of(info)


def _refuse(error: OSError) -> None:
    raise ArchiveError(
        f"the folder {error.filename} cannot be read ({error.strerror}): change its permissions, or see that it is "
        "mounted"
    ) from error
