"""Whether a file is still the one that was listed: what was planned from it must be what is read."""

from __future__ import annotations

import datetime as dt

from oceanrecon.access.passing import told
from oceanrecon.access.systems import FileState, state_of
from oceanrecon.errors import OceanreconError, SourceError

_SECOND = 10**9


def changed_since(url: str, size: int, mtime_ns: int) -> bool | None:
    """Whether a file has another size or time than when it was listed; ``None``: it is gone.

    Of a remote file the times are compared where both are known, to the second.

    Raises:
        SourceError: it cannot be looked at.
    """
    try:
        found = _state(url)
    except FileNotFoundError:
        return None
    except SourceError as error:
        raise SourceError(f"{url}: {error}") from error
    return not _same(url, found, size, mtime_ns)


def _state(url: str) -> FileState:
    try:
        return state_of(url)
    except (FileNotFoundError, OceanreconError):
        raise
    except Exception as error:  # remote drivers raise classes of their own
        if "://" in url:
            raise SourceError(f"it cannot be looked at: {told(error)}") from error
        why = getattr(error, "strerror", None) or error
        raise SourceError(f"it cannot be read ({why}): change its permissions, or see that it is mounted") from error


def _same(url: str, found: FileState, size: int, mtime_ns: int) -> bool:
    if "://" not in url:
        return (found.bytes, found.mtime_ns) == (size, mtime_ns)
    known = bool(mtime_ns and found.mtime_ns)
    return found.bytes == size and not (known and found.mtime_ns // _SECOND != mtime_ns // _SECOND)


def check_unchanged(url: str, size: int, mtime_ns: int) -> None:
    """Refuse a file that is gone, or has another size or time than when it was listed (``changed_since``).

    Raises:
        SourceError: says which of these, and what to do.
    """
    try:
        found = _state(url)
    except FileNotFoundError:
        raise SourceError(
            "it does not exist any more: restore it, or run the command again (after `oceanrecon inventory`, where you "
            "keep one)"
        ) from None
    if _same(url, found, size, mtime_ns):
        return
    if found.bytes != size:
        difference = f"then {size:,} bytes, now {found.bytes:,}"
    else:
        moment = dt.datetime.fromtimestamp(found.mtime_ns / _SECOND)
        difference = f"it was written again at {moment.isoformat(' ', 'seconds')}"
    raise SourceError(
        f"it changed since it was listed ({difference}): run the same command again with --resume (after "
        "`oceanrecon inventory`, where you keep one)"
    )
