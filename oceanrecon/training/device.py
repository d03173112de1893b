"""The device that models run on, and where its memory ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from oceanrecon.errors import OceanreconError

#: What torch says where the machine, not a GPU, has no more.
_MACHINE = "DefaultCPUAllocator"


def default_device() -> str:
    """A GPU where there is one; of processes that train together on a machine, each has its own."""
    if not torch.cuda.is_available():
        return "cpu"
    # Lightning's launchers and SLURM's; a process that sees one GPU only has that one
    rank = int(os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0")))
    return f"cuda:{rank % torch.cuda.device_count()}"


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


@contextmanager
def enough_memory(what: str, advice: str) -> Iterator[None]:
    """Says what needed too much memory, and what to do about it; also a decorator.

    Args:
        what: such as ``batches of 8 patches``.
        advice: such as ``lower data.batch_size``.

    Raises:
        OceanreconError: there is too little memory.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and _MACHINE not in str(error):
            raise
        raise OceanreconError(f"there is too little memory for {what}: {advice}") from error
