"""A real dask-gateway server and its proxy on loopback, by the recipe in ``cluster/gateway``."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_RECIPE = Path(__file__).parents[1] / "cluster" / "gateway" / "try_here.py"


@dataclass(frozen=True)
class Gateway:
    """A server that runs."""

    url: str
    #: of any user; of digits, as passwords may be
    password: str
    log: Path

    @property
    def variables(self) -> dict[str, str]:
        """Environment of its clients."""
        return {
            "DASK_GATEWAY__ADDRESS": self.url,
            "DASK_GATEWAY__AUTH__KWARGS__USERNAME": "ada",
            "DASK_GATEWAY__AUTH__KWARGS__PASSWORD": self.password,
        }


@contextmanager
def gateway(folder: Path) -> Iterator[Gateway]:
    """A gateway, whose clusters are processes of this user; it ends with the context, and they with it."""
    with socket.socket() as one, socket.socket() as other:
        for probe in (one, other):
            probe.bind(("127.0.0.1", 0))
        port, api = one.getsockname()[1], other.getsockname()[1]
    server = Gateway(f"http://127.0.0.1:{port}", "0123", folder / "gateway.log")
    environment = {
        **os.environ,
        # its commands are `dask scheduler` and `dask worker`
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "GATEWAY_PASSWORD": server.password,
        "GATEWAY_PORT": str(port),
        "GATEWAY_API_PORT": str(api),
    }
    command = [str(Path(sys.executable).with_name("dask-gateway-server")), "--config", str(_RECIPE)]
    with server.log.open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 60
        # the proxy has its routes
        while "GET /api/v1/routes" not in server.log.read_text():
            assert process.poll() is None, server.log.read_text()
            assert time.monotonic() < end, server.log.read_text()
            time.sleep(0.1)
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
