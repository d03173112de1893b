"""Things that go wrong inside the workers of a real cluster, at a place that is named beforehand.

Workers load this module before they begin (``dask``'s setting ``distributed.worker.preload``), also those that replace
a lost one, and read before each step what ``orders.json`` in the folder ``DRILL_ORDERS`` says at that moment::

    {"pace": 0.3, "lease": 5, "retries": {"patience": 4}, "faults": [{"what": "die", "at": "named", "path": "so_2012"}]}
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import re
import resource
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

FOLDER = "DRILL_ORDERS"
#: Seconds after which a worker that does not answer is given up.
WORKER_TTL = 60.0
#: The file that keeps blocks from beginning.
_HOLD = "hold"
#: Memory that a block takes at a time.
_BITE = 64 << 20


@dataclass(frozen=True)
class Fault:
    """What happens to a worker, and where."""

    #: ``die``: SIGKILL; ``tear``: the kernel ends the process in the middle of the file that it is about to write;
    #: ``stop``: SIGSTOP; ``hang``: sleep for ever; ``eat``: take memory until somebody minds; ``fail``: an input/output
    #: error
    what: Literal["die", "tear", "stop", "hang", "eat", "fail"]
    #: before a block is read (``path`` is ``so 20120229``); before a file is written, when all of it is and it has no
    #: name yet, when it has its name (``path`` is its own)
    at: Literal["begin", "open", "staged", "named"]
    #: regular expression
    path: str
    #: how often, in all workers together
    times: int = 1
    #: only on a worker that drives a job (or that does not); ``None``: on any
    driver: bool | None = None

    def __str__(self) -> str:
        return f"{self.what} {self.at} {self.path}"


class Orders:
    """What is to go wrong, written by a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.give()

    def give(
        self, *faults: Fault, pace: float = 0.0, lease: float | None = None, retries: dict[str, float] | None = None
    ) -> None:
        """From now on.

        Args:
            faults: what goes wrong.
            pace: seconds that each block takes longer.
            lease: length of drivers' leases, seconds.
            retries: of ``pipeline.tasks.Retries``, for drivers that begin.
        """
        for old in self.folder.glob("*-*"):
            old.unlink()
        # counts of earlier orders must not be taken for those of these
        number = time.monotonic_ns()
        content = {"pace": pace, "lease": lease, "retries": retries or {}, "number": number}
        staged = self.folder / "orders.new"
        staged.write_text(json.dumps({**content, "faults": [asdict(fault) for fault in faults]}))
        staged.replace(self.folder / "orders.json")

    @contextmanager
    def held(self) -> Iterator[None]:
        """No block begins meanwhile."""
        hold = self.folder / _HOLD
        hold.touch()
        try:
            yield
        finally:
            hold.unlink()

    def hits(self) -> list[int]:
        """Process ids of the workers that something happened to."""
        return [int(line) for path in self.folder.glob("hits-*") for line in path.read_text().split()]


def dask_setup(server: Any) -> None:
    """In each worker process, before its first task; and in the scheduler, which is made less patient with workers."""
    folder = os.environ.get(FOLDER)
    if type(server).__name__ == "Scheduler":
        server.worker_ttl = WORKER_TTL
        looks = server.periodic_callbacks["worker-ttl"]
        looks.stop()
        looks.callback_time = 5000  # milliseconds; as often as the configuration says otherwise
        looks.start()
    elif folder is not None and type(server).__name__ == "Worker":
        _Harm(Path(folder), server).put()


class _Harm:
    """In a worker: does what the orders say."""

    def __init__(self, folder: Path, worker: Any) -> None:
        self._folder, self._worker = folder, worker

    def _orders(self) -> Any:
        return json.loads((self._folder / "orders.json").read_text())

    def _meet(self, at: str, path: str, size: int = 0) -> None:
        orders = self._orders()
        for number, fault in enumerate(orders["faults"]):
            if fault["at"] != at or not re.search(fault["path"], path):
                continue
            if fault["driver"] in (None, self._drives()):
                hits = (self._folder / f"hits-{orders['number']}-{number}-{turn}" for turn in range(fault["times"]))
                if any(map(_claim, hits)):
                    _do(fault["what"], size)

    def _drives(self) -> bool:
        return any(str(key).startswith("export-") for key in self._worker.state.tasks)

    def put(self) -> None:
        """Change the functions that blocks and drivers go through."""
        from oceanrecon.pipeline import make, tasks
        from oceanrecon.stores import files
        from oceanrecon.stores.lease import Lease

        encode: Callable[..., Any] = vars(make)["encode_block"]
        write, name, put = files._write_local, files._give_name, files.Root._put
        retries, take = tasks.Retries, Lease.take.__func__  # type: ignore[attr-defined]

        def encode_block(block: Any, *more: Any, **options: Any) -> Any:
            time.sleep(self._orders()["pace"])
            while (self._folder / _HOLD).exists():
                time.sleep(0.02)
            self._meet("begin", f"{block.variable} {block.date:%Y%m%d}")
            return encode(block, *more, **options)

        def write_local(folder: Path, path: Path, data: bytes | memoryview, *more: Any) -> None:
            self._meet("open", str(path), len(data))
            write(folder, path, data, *more)

        def give_name(file: Any, path: Path) -> None:
            self._meet("staged", str(path))
            name(file, path)
            self._meet("named", str(path))

        def put_remote(root: files.Root, url: str, how: Callable[[Any], object]) -> None:
            self._meet("open", url)
            put(root, url, how)
            self._meet("named", url)

        def take_lease(cls: type[Lease], /, root: files.Root, holder: str, **more: Any) -> Lease:
            lease = self._orders()["lease"]
            taken: Lease = take(cls, root, holder, **({} if lease is None else {"seconds": lease}), **more)
            return taken

        vars(make).update(encode_block=encode_block)
        vars(files).update(_write_local=write_local, _give_name=give_name)
        vars(tasks).update(Retries=lambda **more: retries(**self._orders()["retries"] | more))
        setattr(files.Root, "_put", put_remote)  # noqa: B010
        setattr(Lease, "take", classmethod(take_lease))  # noqa: B010


def _claim(hit: Path) -> bool:
    """Whether this turn is ours, of all workers."""
    try:
        with hit.open("x") as file:
            file.write(f"{os.getpid()}\n")
    except FileExistsError:
        return False
    return True


def _do(what: str, size: int) -> None:
    if what in ("die", "stop"):
        os.kill(os.getpid(), signal.SIGKILL if what == "die" else signal.SIGSTOP)
        time.sleep(0.5)  # the kernel stops all threads of a process a moment later
    elif what == "hang":
        time.sleep(3600)
    elif what == "eat":
        _eat()
    elif what == "tear":
        # Python has this signal ignored, and lets no other thread than the first change that
        ctypes.CDLL(None).signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))
    else:
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def _eat() -> None:
    """Take memory, up to 8 GB, until this process is ended for it."""
    taken = []
    for _ in range(128):
        piece = mmap.mmap(-1, _BITE)
        piece.write(b"\1" * _BITE)
        taken.append(piece)
        time.sleep(0.05 if len(taken) < 12 else 0.3)  # the nanny looks ten times a second
    raise MemoryError("nobody minded")
