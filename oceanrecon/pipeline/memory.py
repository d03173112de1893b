"""How a worker's allocator treats the buffers of chunks."""

from __future__ import annotations

import ctypes
from functools import cache

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
