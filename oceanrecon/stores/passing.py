"""Which errors pass by themselves: a busy server, a cut connection, a file server that is away for a minute."""

from __future__ import annotations

import errno

_ERRNOS = frozenset(
    {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNRESET}
)


def is_passing(error: BaseException) -> bool:
    """Whether trying again later can help: the error, or what caused it, is of the network or of a file server."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, TimeoutError | ConnectionError):
            return True
        if isinstance(seen, OSError) and seen.errno in _ERRNOS:
            return True
        seen = seen.__cause__ or seen.__context__
    return False
