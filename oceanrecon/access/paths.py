"""The one place where a path that a file names (inventory, receipt, manifest, table) is joined to its root."""

from __future__ import annotations

import os
import stat
from pathlib import PurePosixPath
from urllib.parse import unquote

from oceanrecon.errors import OceanreconError


def joined(root: str, rel: str, error: type[OceanreconError]) -> str:
    """The full path or URL of ``rel``, which stays inside ``root``.

    A local root may itself be a symbolic link; below it links may only point to what is inside. The check looks at the
    names at this moment: it protects from what a file says, and not from somebody who may write below the root.

    Args:
        root: absolute folder or URL.
        rel: relative path with ``/``.
        error: class of the error.

    Raises:
        OceanreconError: ``rel`` is absolute, has ``..``, or passes a symbolic link that leaves the root.
    """
    path = PurePosixPath(rel)
    plain = unquote(rel) if "%" in rel and "://" in root else rel  # a web server would take %2e%2e for ..
    if not rel or rel.startswith("/") or "\\" in rel or "://" in rel or ".." in PurePosixPath(plain).parts:
        raise error(f"{rel!r} is not a path inside {root}: give a relative one with '/', without '..'")
    if "://" not in root:
        _refuse_links(root, path, error)
    return f"{root.rstrip('/')}/{path}"


def _refuse_links(root: str, path: PurePosixPath, error: type[OceanreconError]) -> None:
    at = root
    for part in path.parts:
        at = f"{at}/{part}"
        try:
            if not stat.S_ISLNK(os.lstat(at).st_mode):
                continue
        except OSError:  # not there: nothing below it is a link either
            return
        top, target = os.path.realpath(root), os.path.realpath(at)
        if target != top and not target.startswith(top.rstrip("/") + "/"):
            raise error(
                f"{at} is a symbolic link to {target}, which is outside of {root}: give the folder that it points to "
                "as root, or put a copy in the place of the link"
            )
