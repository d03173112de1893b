"""What a read or a write took: elapsed time, CPU time, requests, bytes, memory."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil

from oceanrecon.pipeline.chunking.delayed import TRAFFIC
from oceanrecon.stores.memory import peak_memory

Result = TypeVar("Result")


@dataclass(frozen=True)
class Cost:
    """Of one thing that was done once."""

    wall_seconds: float
    #: of the whole process
    cpu_seconds: float
    #: of a far store; on a local disk calls of the system
    requests: int
    bytes: int


@dataclass(frozen=True)
class Spread:
    """The middle of some measurements, and the quarters beside it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one value at least."""
        low, median, high = np.percentile(values, (25, 50, 75)).tolist()
        return cls(median, low, high)


@dataclass(frozen=True)
class Meter:
    """Measures what this process does."""

    #: what is asked goes through a ``DelayedFileSystem``
    far: bool
    #: it is done by other threads than the one that asks for it
    threads: bool
    writes: bool

    def measure(self, work: Callable[[], Result]) -> tuple[Result, Cost]:
        """Do some work."""
        requests, size, own = self._count()
        cpu, began = time.process_time(), time.perf_counter()
        result = work()
        wall, used = time.perf_counter() - began, time.process_time() - cpu
        after, size_after, _ = self._count()
        # the first count was a read itself
        calls = 0 if self.far or self.writes else 1
        return result, Cost(wall, used, after - requests - calls, size_after - size - (own if calls else 0))

    def _count(self) -> tuple[int, int, int]:
        """Requests and bytes so far; and bytes that finding out took."""
        if self.far:
            return TRAFFIC.requests, TRAFFIC.bytes, 0
        with open(f"/proc/{'self' if self.threads else 'thread-self'}/io", "rb", buffering=0) as file:
            data = os.pread(file.fileno(), 4096, 0)
        counts = dict(line.split(b": ") for line in data.splitlines())
        names = (b"syscw", b"wchar") if self.writes else (b"syscr", b"rchar")
        return int(counts[names[0]]), int(counts[names[1]]), len(data)


class PeakMemory:
    """How far the memory of this process rises above where it is now."""

    def __init__(self) -> None:
        with suppress(OSError):  # without it, the peak is that of the process since it began
            Path("/proc/self/clear_refs").write_text("5")
        self._before = psutil.Process().memory_info().rss

    @property
    def bytes(self) -> int:
        """So far."""
        return max(peak_memory() - self._before, 0)
