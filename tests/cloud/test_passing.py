"""Risk: an error that heals ends a block, or one that never does is tried for minutes."""

from __future__ import annotations

import errno
import http.client
import importlib
import socket
import ssl
import subprocess
import sys
from typing import Any

import aiohttp
import pytest
import requests
from aiohttp.client_reqrep import ConnectionKey, RequestInfo
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from oceanrecon.access import healing
from oceanrecon.access.healing import healed
from oceanrecon.access.passing import is_passing, told
from oceanrecon.errors import OutputError
from tests.clocks import set_clock

# libraries without types
boto_errors: Any = importlib.import_module("botocore.exceptions")
boto_parsers: Any = importlib.import_module("botocore.parsers")
s3fs_errors: Any = importlib.import_module("s3fs.errors")


def boto(code: str, status: int) -> Exception:
    response = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = boto_errors.ClientError(response, "PutObject")
    return error


def answer(status: int) -> aiohttp.ClientResponseError:
    url = URL("http://h/x")
    info = RequestInfo(url, "GET", CIMultiDictProxy(CIMultiDict()), url)
    return aiohttp.ClientResponseError(info, (), status=status)


def fetched(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(response=response)


def connector(error: OSError) -> aiohttp.ClientConnectorError:
    return aiohttp.ClientConnectorError(ConnectionKey("h", 80, False, True, None, None, None), error)


class GoogleError(Exception):
    """What gcsfs raises has ``code``."""

    def __init__(self, code: int) -> None:
        self.code = code


class AzureError(Exception):
    """What azure.core raises has ``status_code``."""

    def __init__(self, status_code: int) -> None:
        self.status_code = status_code


def chained(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


PASSING = [
    boto("SlowDown", 503), boto("InternalError", 500), boto("RequestTimeout", 400), boto("OperationAborted", 409),
    s3fs_errors.translate_boto_error(boto("SlowDown", 503)),
    s3fs_errors.translate_boto_error(boto("RequestTimeout", 400)),
    s3fs_errors.translate_boto_error(boto("InternalError", 500)), s3fs_errors.translate_boto_error(boto("502", 502)),
    boto_errors.EndpointConnectionError(endpoint_url="http://h"),
    boto_errors.ConnectionClosedError(endpoint_url="http://h"),
    boto_errors.ConnectTimeoutError(endpoint_url="http://h"),
    boto_errors.ReadTimeoutError(endpoint_url="http://h"),
    boto_errors.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    boto_parsers.ResponseParserError("no XML"),
    answer(503), answer(429), answer(504), aiohttp.ServerDisconnectedError(), aiohttp.ClientPayloadError("short"),
    aiohttp.ClientOSError(errno.EPIPE, "gone"), aiohttp.ServerTimeoutError(), connector(ConnectionRefusedError()),
    fetched(502), requests.ConnectionError("refused"), requests.exceptions.ChunkedEncodingError(),
    requests.ReadTimeout(), http.client.IncompleteRead(b""), http.client.RemoteDisconnected("gone"),
    GoogleError(503), AzureError(500), TimeoutError(), ConnectionResetError(), BrokenPipeError(),
    OSError(errno.EIO, "io"), OSError(errno.ESTALE, "stale"), OSError(errno.ETIMEDOUT, "timed out"),
    socket.gaierror(socket.EAI_AGAIN, "try again"),
    chained(OutputError("cannot write"), chained(OSError("outer"), boto("SlowDown", 503))),
]  # fmt: skip

LASTING = [
    boto("AccessDenied", 403), boto("NoSuchKey", 404), boto("InvalidRange", 416), boto("PreconditionFailed", 412),
    boto("SignatureDoesNotMatch", 403), s3fs_errors.translate_boto_error(boto("AccessDenied", 403)),
    s3fs_errors.translate_boto_error(boto("NoSuchBucket", 404)),
    boto_errors.NoCredentialsError(), boto_errors.ParamValidationError(report="x"),
    answer(403), answer(404), answer(405), answer(416), fetched(401), aiohttp.InvalidURL("x"),
    connector(socket.gaierror(socket.EAI_NONAME, "no such name")),
    chained(boto_errors.EndpointConnectionError(endpoint_url="http://h"),
            connector(socket.gaierror(socket.EAI_NONAME, "no such name"))),
    chained(requests.exceptions.SSLError("bad"), ssl.SSLCertVerificationError("not trusted")),
    GoogleError(404), AzureError(409), FileNotFoundError(), PermissionError(), OSError(errno.ENOSPC, "full"),
    OSError(errno.EBUSY, "busy"), ValueError("damaged"), MemoryError(), OutputError("damaged"),
    chained(OutputError("gone"), chained(FileNotFoundError(), ConnectionResetError())),
]  # fmt: skip


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_passes(error: Exception) -> None:
    assert is_passing(error)
    assert "several tries failed" in told(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_lasts(error: Exception) -> None:
    assert not is_passing(error)
    assert "check" in told(error)


def test_a_context_that_was_dismissed_does_not_count() -> None:
    try:
        try:
            raise ConnectionResetError
        except ConnectionResetError:
            raise ValueError("damaged") from None
    except ValueError as error:
        assert not is_passing(error)
        error.__suppress_context__ = False
        assert is_passing(error)


def test_a_circle_of_causes_ends() -> None:
    one, other = ValueError(1), ValueError(2)
    one.__cause__, other.__cause__ = other, one
    assert not is_passing(one)


def test_no_network_library_is_loaded_for_it() -> None:
    program = (
        "import sys, oceanrecon.access.passing as p; assert not p.is_passing(ValueError());"
        "assert not {'botocore', 'aiohttp', 'requests', 's3fs'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_passes_is_tried_again_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    set_clock(monkeypatch, healing.__name__, sleep=waited.append)
    errors: list[Exception] = [TimeoutError(), boto("SlowDown", 503)]

    def action() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    assert healed(action) == "done"
    assert len(waited) == 2 and waited[0] <= healing.WAITS[0] and waited[1] <= healing.WAITS[1]
    errors[:] = [PermissionError()] * 2
    with pytest.raises(PermissionError):
        healed(action)
    assert len(errors) == 1
    errors[:] = [TimeoutError()] * 9
    with pytest.raises(TimeoutError):
        healed(action)
    assert len(errors) == 9 - 1 - len(healing.WAITS)


def test_a_server_that_hangs_is_not_waited_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 91.0])
    set_clock(monkeypatch, healing.__name__, monotonic=lambda: next(clock))
    calls = []

    def action() -> None:
        calls.append(1)
        raise TimeoutError

    with pytest.raises(TimeoutError):
        healed(action)
    assert len(calls) == 1
