"""Servers on loopback to fetch from, with the faults that a test wants: HTTP, FTP with and without TLS."""

from __future__ import annotations

import hashlib
import importlib
import socket
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

#: Name and password that the FTP server lets in.
NAME, PASSWORD = "sailor", "s3cret/of the+sea"


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer of a web server."""

    #: of the answer, instead of the content
    status: int = 0
    #: bytes after which the connection ends
    cut: int | None = None
    #: byte by byte, with pauses
    slow: bool = False


@dataclass
class Site:
    """A web server."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    #: of the next answers with content, by path
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    #: method, path and range of each request
    requests: list[tuple[str, str, str]] = field(default_factory=list)
    ranges: bool = True
    #: says of parts of another content that they are
    if_range: bool = True
    #: called with the path before content is sent
    on_get: Callable[[str], None] | None = None
    #: called after each byte of a slow answer, with how many there were
    on_byte: Callable[[int], None] | None = None
    #: bytes of content that were sent
    sent: int = 0

    def asked(self, method: str) -> list[str]:
        """Paths of the requests."""
        return [path for used, path, _ in self.requests if used == method]


@contextmanager
def web_server() -> Iterator[Site]:
    """A web server that knows ranges, and says ETags."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer("HEAD")

        def do_GET(self) -> None:
            self._answer("GET")

        def _answer(self, method: Literal["HEAD", "GET"]) -> None:
            site.requests.append((method, self.path, self.headers.get("Range", "")))
            faults = site.faults.get(self.path, [])
            fault = faults.pop(0) if faults and method == "GET" else Fault()
            content = site.files.get(self.path)
            if fault.status or content is None:
                self.send_response(fault.status or 404)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            etag = f'"{hashlib.md5(content).hexdigest()}"'
            start = 0
            wanted = self.headers.get("Range", "")
            if site.ranges and wanted and self._continues(etag):
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if method == "GET":
                if site.on_get is not None:
                    site.on_get(self.path)
                piece = content[start : None if fault.cut is None else start + fault.cut]
                if fault.slow:
                    self._drip(piece)
                    return
                self.wfile.write(piece)
                site.sent += len(piece)

        def _drip(self, piece: bytes) -> None:
            with suppress(OSError):  # the other side had enough
                for number in range(len(piece)):
                    self.wfile.write(piece[number : number + 1])
                    site.sent += 1
                    if site.on_byte is not None:
                        site.on_byte(site.sent)
                    time.sleep(0.01)

        def _continues(self, etag: str) -> bool:
            return not site.if_range or self.headers.get("If-Range") in (None, etag)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass
class Ftp:
    """An FTP server."""

    folder: Path
    port: int = 0
    #: bytes after which the next transfers end, each
    cuts: list[int] = field(default_factory=list)
    #: each command, without the passwords
    commands: list[str] = field(default_factory=list)
    #: ends the sessions that are open, as a server does with idle ones
    forget: Callable[[], None] = lambda: None


@contextmanager
def ftp_server(folder: Path, certificates: Path | None = None, *, without: Sequence[str] = ()) -> Iterator[Ftp]:
    """An FTP server of a folder: with TLS only where there are certificates, as ``make_certificates`` makes them.

    ``without`` are commands that it does not know.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of asyncore
        authorizers, handlers, servers = (
            importlib.import_module(f"pyftpdlib.{name}") for name in ("authorizers", "handlers", "servers")
        )
        importlib.import_module("pyftpdlib.log").config_logging(level=100)
    ftp = Ftp(folder)
    encrypted = certificates is not None
    base: Any = handlers.TLS_DTPHandler if encrypted else handlers.DTPHandler

    class Data(base):  # type: ignore[misc]
        sent = 0

        def send(self, data: bytes) -> int:
            retrieving = (self.cmd or "") == "RETR"
            if retrieving and ftp.cuts and self.sent >= ftp.cuts[0]:
                ftp.cuts.pop(0)
                self.close()
                return 0
            if retrieving and ftp.cuts:
                data = data[: ftp.cuts[0] - self.sent]
            count = int(super().send(data))
            self.sent += count
            return count

    control: Any = handlers.TLS_FTPHandler if encrypted else handlers.FTPHandler

    sessions: list[Any] = []

    class Handler(control):  # type: ignore[misc]
        def on_login(self, username: str) -> None:
            sessions.append(self)

        def pre_process_command(self, line: str, cmd: str, arg: str) -> None:
            ftp.commands.append(line if cmd != "PASS" else "PASS")
            super().pre_process_command(line, cmd, arg)

    Handler.dtp_handler = Data
    Handler.authorizer = authorizers.DummyAuthorizer()
    Handler.authorizer.add_user(NAME, PASSWORD, str(folder), perm="elr")
    Handler.use_sendfile, Handler.auth_failed_timeout = False, 0
    if certificates is not None:
        Handler.certfile, Handler.keyfile = str(certificates / "scheduler.pem"), str(certificates / "scheduler-key.pem")
        Handler.tls_control_required = Handler.tls_data_required = True
    Handler.proto_cmds = {name: facts for name, facts in Handler.proto_cmds.items() if name not in without}
    server = servers.ThreadedFTPServer(("127.0.0.1", 0), Handler)
    ftp.port = server.address[1]

    def forget() -> None:
        while sessions:
            sessions.pop().socket.shutdown(socket.SHUT_RDWR)

    ftp.forget = forget
    stop = threading.Event()

    def serve() -> None:
        while not stop.is_set():
            server.serve_forever(timeout=0.05, blocking=False, handle_exit=False)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield ftp
    finally:
        # closed when nobody looks at its sockets any more
        stop.set()
        thread.join()
        server.close_all()
