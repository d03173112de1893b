"""A real OpenSSH server on loopback, with keys of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from getpass import getuser
from pathlib import Path

from tests.programs import program

_CONF = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
"""


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    port: int
    #: private key that it lets in
    key: Path
    #: what a client must know about it
    known_hosts: Path
    user: str


@contextmanager
def sshd() -> Iterator[Server]:
    """An SSH server for this user, which ends with the context; skips where it is not installed, and fails in CI."""
    # it insists on being called by its whole path
    daemon = program("sshd", "openssh-server")
    with tempfile.TemporaryDirectory(prefix="sshd-") as name:
        folder = Path(name)
        for key in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)], check=True)
        shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        kind, public, *_ = (folder / "host_key.pub").read_text().split()
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{port} {kind} {public}\n")
        (folder / "sshd_config").write_text(_CONF.format(port=port, folder=folder))
        if os.geteuid() == 0:
            # a server that runs as root insists on it
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen([daemon, "-D", "-e", "-f", str(folder / "sshd_config")], stderr=log)
        try:
            _wait_for(port, folder / "log")
            yield Server(port, folder / "user_key", known, getuser())
        finally:
            process.terminate()
            process.wait(60)


def _wait_for(port: int, log: Path) -> None:
    end = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < end, f"sshd did not start: {log.read_text()}"
            time.sleep(0.05)
