"""How the allocator of a process treats the buffers of chunks, and how much memory the process has."""

from __future__ import annotations

import ctypes
import resource
from contextlib import suppress
from functools import cache
from pathlib import Path

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: Buffers below this stay with the process when they are freed: the largest that glibc takes.
_LARGEST_KEPT = 32 << 20


@cache
def keep_freed_memory() -> None:
    """Let this process use freed buffers of chunks again instead of giving each back to the system.

    Dask's nanny sets ``MALLOC_TRIM_THRESHOLD_``, which makes every buffer above 128 kB a mapping of its own: inflating
    a block then spends a third of its time in page faults. Arrays of whole blocks are larger, and are still given back.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc only
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_KEPT)


def forget_peak() -> None:
    """From now on ``peak_memory`` counts anew, where the system can do that: the process did other things before."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Most memory that this process held, ever or since ``forget_peak``, bytes."""
    try:
        # the system's own account begins with what the process that started this one held
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
