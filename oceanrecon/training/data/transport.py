"""How batches come from workers: through memory that is shared once and written again and again.

torch makes new shared memory for each tensor of each batch. To get, clear and give back its pages takes 0.6 ms of CPU
for a sample of 50 levels, a third of what reading it takes; to write in place and copy out takes a quarter of that. Nor
does the size of ``/dev/shm`` matter here, which is 64 MB in many containers.
"""

from __future__ import annotations

import mmap
import os
import weakref
from collections.abc import Mapping
from multiprocessing import reduction
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from oceanrecon.samples.form import Batch, SampleForm
from oceanrecon.training.data.decode import Tensors

#: Arrays begin at multiples of this.
_ALIGN = 64
#: Of each array of a batch: its offset, shape and type in a slot, or itself where there was no room.
Parcel = dict[str, tuple[int, tuple[int, ...], str] | NDArray[Any]]


class Slots:
    """Places for batches in memory that this process shares with the workers that it starts."""

    def __init__(self, count: int, size: int) -> None:
        """``count`` places of ``size`` bytes; pages that are never written take no memory."""
        self.count, self._size = count, _aligned(size)
        file = os.memfd_create("oceanrecon")
        os.ftruncate(file, self.count * self._size)
        self._memory = mmap.mmap(file, self.count * self._size)
        self._file = file
        weakref.finalize(self, os.close, file)

    def __getstate__(self) -> dict[str, Any]:
        return {"count": self.count, "size": self._size, "file": reduction.DupFd(self._file)}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.count, self._size = state["count"], state["size"]
        file = state["file"].detach()
        self._memory = mmap.mmap(file, self.count * self._size)
        os.close(file)  # the mapping stays

    def writer(self, slot: int) -> Writer:
        """Writes a batch to a slot."""
        start = slot * self._size
        return Writer(np.frombuffer(self._memory, np.uint8, self._size, start))

    def take(self, slot: int, parcel: Parcel, *, pin: bool) -> Tensors:
        """A copy of the batch in a slot, which is free then.

        Args:
            slot: which.
            parcel: what is there.
            pin: copy to memory that a GPU can copy from by itself.
        """
        sizes = {
            name: int(np.prod(place[1])) * np.dtype(place[2]).itemsize
            for name, place in parcel.items()
            if isinstance(place, tuple)
        }
        used = max((parcel[name][0] + size for name, size in sizes.items()), default=0)
        copied = torch.empty(used, dtype=torch.uint8, pin_memory=pin)
        copied.numpy()[:] = np.frombuffer(self._memory, np.uint8, used, slot * self._size)
        batch = {}
        for name, place in parcel.items():
            if isinstance(place, tuple):
                offset, shape, dtype = place
                # parts of one tensor: torch keeps its pinned memory until a copy of any part to a GPU has come through
                part = copied[offset : offset + sizes[name]]
                batch[name] = part.view(torch.from_numpy(np.empty(0, dtype)).dtype).reshape(shape)
            else:
                batch[name] = torch.from_numpy(place).pin_memory() if pin else torch.from_numpy(place)
        return batch


class Writer:
    """Gives out parts of a slot."""

    def __init__(self, slot: NDArray[np.uint8]) -> None:
        """Of a slot as bytes."""
        self._slot, self._used = slot, 0
        self._start = slot.ctypes.data

    def empty(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array in the slot, or a new one where there is no room."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if self._used + size > self._slot.size:
            return np.empty(shape, dtype)
        part = self._slot[self._used : self._used + size].view(dtype).reshape(shape)
        self._used += _aligned(size)
        return part

    def parcel(self, batch: Batch) -> Parcel:
        """A batch, some arrays of which this gave out; the others are copied."""
        parcel: Parcel = {}
        for name, values in batch.items():
            if not self._holds(values):
                placed = self.empty(values.shape, values.dtype)
                if not self._holds(placed):
                    parcel[name] = values
                    continue
                placed[...] = values
                values = placed
            parcel[name] = values.ctypes.data - self._start, values.shape, values.dtype.str
        return parcel

    def _holds(self, values: NDArray[Any]) -> bool:
        return 0 <= values.ctypes.data - self._start < self._slot.size


def batch_bytes(form: SampleForm, batch_size: int) -> int:
    """What a batch takes at most, if it has profiles in no more than an eighth of its pixels."""
    area, levels = form.tile**2, len(form.depth)
    coded = {None: 4, "uint8": 1, "uint16": 2}[form.encoding]
    fields = len(form.fields)
    # degraded surface fields are float32
    dense = area * (fields * levels * coded + len(form.channels) * 4 + 1)
    profiles = area // 8 * (12 + fields * levels * 4)
    return batch_size * (dense + profiles + _ALIGN) + 16 * _ALIGN


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN
