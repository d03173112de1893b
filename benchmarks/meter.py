"""What a piece of work took: CPU, elapsed time, what was read, and what else the machine did meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Pass:
    """Some samples that were read."""

    samples: int
    #: of this process and those below it
    cpu_seconds: float
    wall_seconds: float
    #: handed over by the system, from the disk or from memory
    bytes_read: int
    #: of that, what came from the disk, as far as this (perhaps virtual) machine can tell
    bytes_from_disk: int
    #: cores that were busy with something else, on average
    others: float
    #: of several, whose middle this is: from the cheapest to the dearest, as part of the middle
    spread: float = 0.0

    @property
    def per_cpu_second(self) -> float:
        """Samples per CPU-second."""
        return self.samples / self.cpu_seconds

    @property
    def per_second(self) -> float:
        """Samples per second of elapsed time."""
        return self.samples / self.wall_seconds


def metered(work: Callable[[], int]) -> Pass:
    """Do some work, which says how many samples it read, in this process and in those that are below it already."""
    read, disk = _bytes_read()
    busy, cpu, started = _busy(), _cpu_seconds(), time.perf_counter()
    samples = work()
    wall, used, total = time.perf_counter() - started, _cpu_seconds() - cpu, _busy() - busy
    read_after, disk_after = _bytes_read()
    return Pass(
        samples=samples,
        cpu_seconds=used,
        wall_seconds=wall,
        bytes_read=read_after - read,
        bytes_from_disk=disk_after - disk,
        others=max(total - used, 0.0) / wall,
    )


def middle(passes: Sequence[Pass], cost: Callable[[Pass], float]) -> Pass:
    """The one with the middle cost, which says how far apart they are and what else the machine did at worst."""
    ordered = sorted(passes, key=cost)
    one = ordered[len(ordered) // 2]
    spread = (cost(ordered[-1]) - cost(ordered[0])) / cost(one)
    return replace(one, spread=spread, others=max(each.others for each in passes))


def forget(folder: Path) -> None:
    """Ask the system to drop what it has in memory of every file below a folder.

    It drops clean pages that no process has mapped. It knows nothing of what lies below it: the cache of a disk, or of
    the host of a virtual machine, stays warm.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)


def _cpu_seconds() -> float:
    """Of this process, finely, and of those below it, in hundredths."""
    children = psutil.Process().children(recursive=True)
    return time.process_time() + sum(sum(child.cpu_times()[:2]) for child in children)


def _busy() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _bytes_read() -> tuple[int, int]:
    """By read calls, and from the disk, of this process and those below it."""
    me = psutil.Process()
    counters = [process.io_counters() for process in (me, *me.children(recursive=True))]
    return sum(part.read_chars for part in counters), sum(part.read_bytes for part in counters)
