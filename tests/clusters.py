"""A cluster that ``oceanrecon cluster start`` runs in a process of its own, on loopback and free ports.

with cluster({"workers": {"count": 2}}) as running:
    connect(running.address, ClusterSettings(), tls=running.tls)
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml

_LOCAL = {
    "kind": "local",
    "workers": {"count": 1, "memory": "1 GB"},
    "scheduler": {"port": 0},
    "dashboard": "127.0.0.1:0",
}


@dataclass(frozen=True)
class Cluster:
    """One that runs."""

    process: subprocess.Popen[str]
    described: dict[str, Any]

    @property
    def address(self) -> str:
        return str(self.described["scheduler"])

    @property
    def tls(self) -> str | None:
        folder: str | None = self.described["tls"]
        return folder

    def processes(self) -> list[psutil.Process]:
        """Of scheduler, nannies and workers."""
        main = psutil.Process(self.process.pid)
        return [main, *main.children(recursive=True)]


def arguments(config: Mapping[str, Any], folder: Path, *options: str) -> list[str]:
    """The command line that starts the cluster of ``config``, over the defaults of this module."""
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump({**_LOCAL, **config}))
    return [sys.executable, "-c", "from oceanrecon.cli import main; main()", "cluster", "start", str(path), *options]


@contextmanager
def cluster(config: Mapping[str, Any], folder: Path) -> Iterator[Cluster]:
    """A cluster, whose config and log go to ``folder``; at the end it gets SIGTERM, if it still runs."""
    with (folder / "cluster.log").open("w") as log:
        process = subprocess.Popen(
            arguments(config, folder, "--json"), stdout=subprocess.PIPE, stderr=log, text=True, cwd=folder
        )
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise AssertionError(f"the cluster did not start: {(folder / 'cluster.log').read_text()}")
        yield Cluster(process, json.loads(line))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            process.stdout.close()
