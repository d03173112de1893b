"""The device that models run on, and where its memory ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from oceanrecon.errors import OceanreconError

#: What torch says where there is no more, of errors that are not of a class of their own: on the machine itself, and in
#: the libraries of a GPU.
_FULL = ("DefaultCPUAllocator", "STATUS_ALLOC_FAILED", "CUDA error: out of memory")


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
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # torch uses it again
        return int(torch.cuda.mem_get_info(device)[0]) + kept
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
        known = isinstance(error, MemoryError | torch.OutOfMemoryError) or any(text in str(error) for text in _FULL)
        if not known:
            raise
        raise OceanreconError(f"there is too little memory for {what}: {advice}") from error


def check_memory(needed: int, device: torch.device, what: str, advice: str) -> None:
    """Whether what is needed is free, before work begins.

    For a CPU, where torch is given memory that is not there, and the process is killed when it comes to use it.

    Args:
        needed: bytes, at least.
        device: where.
        what: as of ``enough_memory``.
        advice: as of ``enough_memory``.

    Raises:
        OceanreconError: there is too little memory.
    """
    free = free_memory(device)
    if needed > free:
        raise OceanreconError(
            f"there is too little memory for {what} (they take at least {needed / 1e9:,.1f} GB, and "
            f"{free / 1e9:,.1f} GB are free): {advice}"
        )
