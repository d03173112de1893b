"""Which errors pass by themselves: a busy server, a cut connection, a file server that is away for a minute."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

_ERRNOS = frozenset(
    {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNRESET}
)
#: Answers of servers that are busy or half down; 520 to 524 are those of a cache before a server that is.
_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 509, 520, 521, 522, 523, 524, 598, 599})
#: Codes of object stores whose status says less.
_CODES = frozenset(
    {"InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown", "Throttling",
     "ThrottlingException", "RequestLimitExceeded", "503", "500"}
)  # fmt: skip
#: Classes of network libraries that are no ``ConnectionError`` or ``TimeoutError`` of Python, by module and name: the
#: libraries are not loaded for it, and their subclasses count.
_CLASSES = frozenset(
    {
        ("aiohttp.client_exceptions", "ClientConnectionError"),
        ("aiohttp.client_exceptions", "ClientPayloadError"),
        ("azure.core.exceptions", "IncompleteReadError"),
        ("azure.core.exceptions", "ServiceRequestError"),
        ("azure.core.exceptions", "ServiceResponseError"),
        ("botocore.exceptions", "ConnectionError"),
        ("botocore.exceptions", "HTTPClientError"),
        ("botocore.exceptions", "IncompleteReadError"),
        ("botocore.parsers", "ResponseParserError"),
        ("google.auth.exceptions", "TransportError"),
        ("http.client", "IncompleteRead"),
        ("http.client", "RemoteDisconnected"),
        ("requests.exceptions", "ChunkedEncodingError"),
        ("requests.exceptions", "ConnectionError"),
        ("requests.exceptions", "Timeout"),
        ("urllib3.exceptions", "NewConnectionError"),
        ("urllib3.exceptions", "ProtocolError"),
        ("urllib3.exceptions", "TimeoutError"),
    }
)
#: Answers that stay: to ask again gives them again.
_FINAL = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError)
#: Of a name that no server of names knows, which is mostly mistyped.
_UNKNOWN_NAMES = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


def is_passing(error: BaseException) -> bool:
    """Whether trying again later can help: the error, or what caused it, is of the network or of a file server.

    No network library is loaded for it; their errors are known by the status of the answer, or by name.
    """
    chain = list(_chain(error))
    if any(isinstance(one, ssl.SSLCertVerificationError) or _is_unknown_name(one) for one in chain):
        return False
    for one in chain:
        if isinstance(one, _FINAL):
            return False
        status, code = _answer(one)
        if status in _STATUSES or code in _CODES:
            return True
        if isinstance(one, TimeoutError | ConnectionError):
            return True
        if isinstance(one, OSError) and one.errno in _ERRNOS and status is None:
            return True
        if isinstance(one, socket.gaierror) and one.errno == socket.EAI_AGAIN:
            return True
        if any((base.__module__, base.__name__) in _CLASSES for base in type(one).__mro__):
            return True
    return False


def told(error: Exception) -> str:
    """What a driver says of a remote file, and what to do."""
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, PermissionError) or _answer(error)[0] in (401, 403):
        return f"{said}; check the credentials, and what they may do there"
    if is_passing(error):
        return f"{said}; several tries failed: see that the server and the network are up, and run it again"
    return f"{said}; check the address, the credentials and the network"


def real_absence(error: FileNotFoundError) -> bool:
    """Whether a file is not there, as far as a driver knows: that of the web says so of any answer that it got."""
    cause = error.__cause__
    if cause is None or isinstance(cause, FileNotFoundError):
        return True
    status, _ = _answer(cause)
    return status in (404, 410) or (status is None and not is_passing(cause))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)


def _answer(error: BaseException) -> tuple[int | None, str]:
    """Status and code of what a server answered, where the error has them in one of the ways of the libraries."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        stated, described = response.get("ResponseMetadata"), response.get("Error")
        status = stated.get("HTTPStatusCode") if isinstance(stated, dict) else None
        code = str(described.get("Code", "")) if isinstance(described, dict) else ""
        return (status if isinstance(status, int) else None), code
    # aiohttp; azure and requests; google
    for holder, name in ((error, "status"), (error, "status_code"), (response, "status_code"), (error, "code")):
        value = getattr(holder, name, None)
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600:
            return int(value), ""
    return None, ""


def _is_unknown_name(error: BaseException) -> bool:
    inner = getattr(error, "os_error", None)  # aiohttp keeps it there
    return any(isinstance(one, socket.gaierror) and one.errno in _UNKNOWN_NAMES for one in (error, inner))
