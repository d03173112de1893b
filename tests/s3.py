"""A real S3 server on loopback, and a proxy before it that counts requests and breaks some.

Fixtures (``tests/conftest.py``): ``s3`` is the server, a process of its own, one for all tests; ``bucket`` is a new
bucket of it, as ``s3://name``, with this process's environment pointing to it. By hand::

    with s3_server() as server:
        with environment(server.endpoint):     # AWS_* in os.environ: also for processes that are started inside
            url = server.new_bucket()          # "s3://b1"
        with Proxy(server.endpoint) as proxy, environment(proxy.endpoint):
            proxy.add(Fault(status=503, method="PUT", path=r"\\.tif$", times=2))      # SlowDown, twice
            proxy.add(Fault(delay=0.5, path="c/0/", times=None))                      # slow, until proxy.clear()
            proxy.add(Fault(cut=True, times=None, every=10))                          # each tenth is not answered
            proxy.add(Fault(cut=True, after=1000, method="GET"))                      # 1,000 bytes of an answer
            proxy.add(Fault(cut=True, lost=True, method="PUT"))                       # done, but the answer is lost
            with proxy.counting() as count:
                ...
            count.requests, count.read, count.written, count.seen                     # bytes of bodies, each request

The environment is what s3fs takes all from; nothing of the code knows the server. Start Dask workers inside
``environment``. The workers' clients are theirs: a proxy that is closed is gone for them too.
"""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec

_NO_FILE = os.devnull
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "expect", "content-length"})


@contextmanager
def environment(endpoint: str) -> Iterator[None]:
    """Lets S3 be this endpoint: for this process, and for those that it starts meanwhile."""
    files = fsspec.get_filesystem_class("s3")
    wanted = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": _NO_FILE,
        "AWS_SHARED_CREDENTIALS_FILE": _NO_FILE,
        "NO_PROXY": "127.0.0.1",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    files.clear_instance_cache()  # file systems are kept, with the endpoint that they were made with
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        files.clear_instance_cache()


@dataclass
class Server:
    """A running server."""

    endpoint: str
    process: subprocess.Popen[str]
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def new_bucket(self) -> str:
        """Make a bucket; its URL."""
        name = f"bucket{next(self._numbers)}"
        with urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{name}", method="PUT")):
            return f"s3://{name}"


@contextmanager
def s3_server() -> Iterator[Server]:
    """Start moto's S3 server on a free port of loopback; it is stopped by its process id."""
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1", "NO_COLOR": "1"},
    )  # fmt: skip
    try:
        assert process.stderr is not None
        endpoint = next(
            (found[0] for line in process.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line))), ""
        )
        assert endpoint, "the S3 server did not start"
        # its log would fill the pipe, and then it would wait
        log = threading.Thread(target=process.stderr.read, daemon=True)
        log.start()
        yield Server(endpoint, process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


@dataclass
class Fault:
    """What is done to requests whose method is this and whose path (with query, ``%`` decoded) holds this pattern."""

    method: str | None = None
    path: str = ""
    #: answer this status, and do not forward the request
    status: int = 0
    code: str = "SlowDown"
    #: seconds to wait before anything else
    delay: float = 0.0
    #: close the connection: without forwarding; or after so many bytes of the answer; or when it is done (``lost``)
    cut: bool = False
    after: int | None = None
    lost: bool = False
    #: how many requests it meets; ``None``: all, until ``Proxy.clear``
    times: int | None = 1
    #: only each n-th request that matches
    every: int = 1
    #: requests that matched, and those that it was done to
    matched: int = 0
    hits: int = 0

    def meets(self, method: str, path: str) -> bool:
        """Whether it is done to this request; counts."""
        if self.method not in (None, method) or not re.search(self.path, path):
            return False
        self.matched += 1
        if self.matched % self.every or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True


@dataclass(frozen=True)
class Seen:
    """One request; ``sent`` and ``answered`` are bytes of the bodies."""

    method: str
    path: str
    range: str | None
    status: int
    sent: int
    answered: int


@dataclass
class Count:
    """The requests of a while."""

    seen: list[Seen] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """How many."""
        return len(self.seen)

    @property
    def read(self) -> int:
        """Bytes that were answered."""
        return sum(one.answered for one in self.seen)

    @property
    def written(self) -> int:
        """Bytes that were sent."""
        return sum(one.sent for one in self.seen)

    def __str__(self) -> str:
        lines = [f"{one.method} {one.path} {one.range or ''} {one.status} {one.answered}" for one in self.seen]
        return "\n".join([f"{self.requests} requests, {self.read} bytes read, {self.written} written", *lines])


class Proxy:
    """Forwards to a server what it is asked, counts it, and does faults to it; a context manager."""

    def __init__(self, upstream: str) -> None:
        self._faults: list[Fault] = []
        self._counts: list[Count] = []
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"proxy": self, "upstream": urlsplit(upstream).netloc})
        self._server = _Server(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(self, fault: Fault) -> Fault:
        """Do this from now on; of several that meet a request the first is done."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Do no more faults."""
        with self._lock:
            self._faults.clear()

    @contextmanager
    def counting(self) -> Iterator[Count]:
        """Counts what is asked meanwhile."""
        found = Count()
        with self._lock:
            self._counts.append(found)
        try:
            yield found
        finally:
            with self._lock:
                self._counts = [one for one in self._counts if one is not found]

    def _fault(self, method: str, path: str) -> Fault:
        with self._lock:
            return next((fault for fault in self._faults if fault.meets(method, path)), Fault())

    def _saw(self, seen: Seen) -> None:
        with self._lock:
            for counted in self._counts:
                counted.seen.append(seen)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that close a connection in mid-answer are no news."""


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    upstream: str
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def setup(self) -> None:
        super().setup()
        self.connection_up = http.client.HTTPConnection(self.upstream, timeout=60)

    def finish(self) -> None:
        self.connection_up.close()
        with suppress(OSError):
            super().finish()

    def _serve(self) -> None:
        body = self._body()
        path = unquote(self.path)
        fault = self.proxy._fault(self.command, path)
        time.sleep(fault.delay)
        if fault.cut and fault.after is None and not fault.lost:
            self._tell(0, len(body), 0)
            self.close_connection = True
            return
        if fault.status:
            text = f"<?xml version='1.0'?><Error><Code>{fault.code}</Code><Message>injected</Message></Error>".encode()
            self._answer(fault.status, {"Content-Type": "application/xml"}, text, len(body))
            return
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        status, found, data = self._forward(body, headers)
        if fault.lost:
            self._tell(status, len(body), 0)
            self.close_connection = True
            return
        self._answer(status, found, data, len(body), fault.after)

    def _forward(self, body: bytes, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        for again in (True, False):
            try:
                self.connection_up.request(self.command, self.path, body or None, headers)
                response = self.connection_up.getresponse()
                break
            except (http.client.HTTPException, ConnectionError):  # the server closed an idle connection
                self.connection_up.close()
                if not again:
                    raise
        data = response.read()
        found = {name: value for name, value in response.getheaders() if name.lower() not in _HOP - {"content-length"}}
        return response.status, found, data

    def _answer(self, status: int, headers: dict[str, str], data: bytes, sent: int, cut: int | None = None) -> None:
        self._tell(status, sent, len(data))
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() != "content-length":
                self.send_header(name, value)
        length = next((value for name, value in headers.items() if name.lower() == "content-length"), str(len(data)))
        if status not in (204, 304):
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[:cut])
        if cut is not None:
            self.close_connection = True

    def _tell(self, status: int, sent: int, answered: int) -> None:
        self.proxy._saw(Seen(self.command, unquote(self.path), self.headers.get("Range"), status, sent, answered))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(pieces)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve
