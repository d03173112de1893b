"""Whether a file is still the one that was listed: what was planned from it must be what is read."""

from __future__ import annotations

import datetime as dt
import os

from oceanrecon.errors import SourceError


def check_unchanged(url: str, size: int, mtime_ns: int) -> None:
    """Refuse a local file that is gone, or has another size or time than when it was listed.

    Raises:
        SourceError: says which of these, and what to do.
    """
    if "://" in url:
        return
    try:
        found = os.stat(url)
    except FileNotFoundError:
        raise SourceError(
            "it does not exist any more: restore it, or run the command again (after `oceanrecon inventory`, where you "
            "keep one)"
        ) from None
    if (found.st_size, found.st_mtime_ns) != (size, mtime_ns):
        if found.st_size != size:
            difference = f"then {size:,} bytes, now {found.st_size:,}"
        else:
            difference = (
                f"it was written again at {dt.datetime.fromtimestamp(found.st_mtime).isoformat(' ', 'seconds')}"
            )
        raise SourceError(
            f"it changed since it was listed ({difference}): run the same command again with --resume (after "
            "`oceanrecon inventory`, where you keep one)"
        )
