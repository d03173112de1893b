"""The processes of a drill: a cluster, and the commands of whoever uses it; each is ended by its process id."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from typing import IO, Any

import psutil
import yaml

from tests.clocks import wait_for
from tests.drills.harm import FOLDER, Orders

ROOT = Path(__file__).parents[2]
PROGRAM = str(Path(sys.executable).parent / "oceanrecon")
#: Seconds that a loaded machine may need for what takes a moment.
PATIENCE = 90.0
#: Workers and schedulers load the module that does harm to them.
_HARMED = {
    "PYTHONPATH": str(ROOT),
    "DASK_DISTRIBUTED__WORKER__PRELOAD": "['tests.drills.harm']",
    "DASK_DISTRIBUTED__SCHEDULER__PRELOAD": "['tests.drills.harm']",
}


def command(
    *words: object, prefix: Sequence[str] = (), env: Mapping[str, str] | None = None, errors: IO[str] | int = PIPE
) -> subprocess.Popen[str]:
    """``oceanrecon`` with these words, in a process of its own."""
    return subprocess.Popen(
        [*prefix, PROGRAM, *map(str, words)], stdout=PIPE, stderr=errors, text=True,
        env={**os.environ, **(env or {})}, start_new_session=True,
    )  # fmt: skip


def ran(process: subprocess.Popen[str], seconds: float = PATIENCE) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command, once it has ended."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"{process.args!r} did not end: {out}{err}") from None
    assert "Traceback" not in out + err, f"{process.args!r}: {out}{err}"
    return process.returncode, out, err


class Cluster:
    """``oceanrecon cluster start``, its scheduler, and its workers."""

    def __init__(self, process: subprocess.Popen[str], facts: Mapping[str, Any], orders: Orders) -> None:
        self.process, self.orders = process, orders
        self.address = str(facts["scheduler"])

    def workers(self) -> list[psutil.Process]:
        """The worker processes that live."""
        try:
            return _workers(psutil.Process(self.process.pid))
        except psutil.NoSuchProcess:
            return []

    def worker(self, address: str) -> psutil.Process:
        """The worker process that listens at an address."""
        port = int(address.rpartition(":")[2])
        for worker in self.workers():
            sockets = worker.net_connections("tcp")
            if any(one.status == psutil.CONN_LISTEN and one.laddr.port == port for one in sockets):
                return worker
        raise AssertionError(f"no worker listens at {address}")

    def kill(self) -> None:
        """SIGKILL to the scheduler's process, alone."""
        self.process.kill()
        self.process.wait()


@contextmanager
def cluster(
    folder: Path,
    *,
    workers: int = 2,
    memory: str | None = None,
    env: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    options: Sequence[str] = (),
) -> Iterator[Cluster]:
    """A cluster that runs until this ends.

    Args:
        folder: for its settings and orders.
        workers: how many.
        memory: of each.
        env: further environment.
        prefix: what runs the command.
        settings: further settings of it.
        options: of the command.
    """
    folder.mkdir(parents=True, exist_ok=True)
    orders = Orders(folder / "orders")
    config = {
        "kind": "local", "workers": {"count": workers, **({} if memory is None else {"memory": memory})},
        "scheduler": {"port": 0}, "dashboard": "127.0.0.1:0", **(settings or {}),
    }  # fmt: skip
    (folder / "cluster.yaml").write_text(yaml.safe_dump(config))
    log = folder / "cluster.log"
    with log.open("w") as errors:  # no pipe: nobody reads it, and workers that stand still would keep it open
        process = command(
            "cluster", "start", folder / "cluster.yaml", "--json", *options, errors=errors,
            prefix=prefix, env={**_HARMED, FOLDER: str(orders.folder), **(env or {})},
        )  # fmt: skip
    known: list[psutil.Process] = []
    try:
        running = Cluster(process, json.loads(_first_line(process, log)), orders)
        known += running.workers()
        yield running
    finally:
        known += Cluster(process, {"scheduler": ""}, orders).workers()
        _end(process, known)


@contextmanager
def far_worker(address: str, folder: Path, orders: Orders) -> Iterator[list[psutil.Process]]:
    """A worker that is no child of its scheduler, as on another machine: its nanny's process, and its own."""
    nanny = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--host", "127.0.0.1",
         "--no-dashboard", "--local-directory", str(folder)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
        env={**os.environ, **_HARMED, FOLDER: str(orders.folder)}, start_new_session=True,
    )  # fmt: skip
    found = [psutil.Process(nanny.pid)]
    try:
        wait_for(lambda: _workers(found[0]), "the worker to start")
        found += _workers(found[0])
        yield found
    finally:
        _end(nanny, found)


def _first_line(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        if not selector.select(PATIENCE):
            process.kill()
    line = process.stdout.readline()
    assert line, f"the cluster did not start: {log.read_text()}"
    return line


def _workers(process: psutil.Process) -> list[psutil.Process]:
    found = []
    for child in process.children(recursive=True):
        with suppress(psutil.Error):
            if any("spawn_main" in word for word in child.cmdline()):
                found.append(child)
    return found


def _end(process: subprocess.Popen[str], workers: Sequence[psutil.Process]) -> None:
    """End a cluster; workers that a drill has stopped do not hear anything else."""
    for worker in workers:
        with suppress(psutil.Error):
            worker.send_signal(signal.SIGCONT)
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()
    for worker in workers:
        with suppress(psutil.Error):
            worker.kill()
