"""Things that go wrong inside worker processes, put there by a plugin."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distributed import Client, Worker, WorkerPlugin

import oceanrecon.pipeline.make as make


class Harm(WorkerPlugin):
    """Makes one block of an export kill its worker, hang, or fail, ``times`` times, counted on disk; or all slow."""

    name = "harm"

    def __init__(self, what: str, variable: str, date: str, counter: Path, times: int = 10**6) -> None:
        self.what, self.variable, self.date, self.counter, self.times = what, variable, date, counter, times

    def setup(self, worker: Worker) -> None:
        original: Any = vars(make)["encode_block"]
        self._undo = lambda: vars(make).update(encode_block=original)

        def harmed(block: Any, *more: Any, **options: Any) -> Any:
            if self.what == "slow":
                time.sleep(0.4)
            elif block.variable == self.variable and f"{block.date:%Y%m%d}" == self.date:
                with self.counter.open("a") as file:
                    file.write("x")
                if self.counter.stat().st_size <= self.times:
                    self._harm()
            return original(block, *more, **options)

        vars(make).update(encode_block=harmed)

    def teardown(self, worker: Worker) -> None:
        self._undo()  # type: ignore[no-untyped-call]

    def _harm(self) -> None:
        if self.what == "die":
            os._exit(9)
        if self.what == "hang":
            time.sleep(3600)
        raise OSError(errno.EIO, "Input/output error")


@contextmanager
def harm(
    client: Client, what: str, variable: str = "", date: str = "", counter: Path | None = None, times: int = 10**6
) -> Iterator[None]:
    """Harm in all workers, also in those that replace a lost one."""
    if counter is not None:
        counter.touch()
    client.register_plugin(Harm(what, variable, date, counter or Path(), times))
    try:
        yield
    finally:
        client.unregister_worker_plugin("harm")
