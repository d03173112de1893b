"""The loader: workers that read batches in code form, and a place in the epoch that can be saved and taken up."""

from __future__ import annotations

import os
import pickle
import weakref
from collections.abc import Iterable, Iterator
from multiprocessing import reduction
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from oceanrecon.errors import ConfigError, OceanreconError
from oceanrecon.samples.form import Batch
from oceanrecon.stores.memory import keep_freed_memory
from oceanrecon.training.data.dataset import PatchDataset, Place
from oceanrecon.training.data.decode import Tensors, to_tensors
from oceanrecon.training.data.sampler import ShardShuffle
from oceanrecon.training.data.transport import Parcel, Slots, batch_bytes

Context = Literal["spawn", "forkserver"]


class PatchLoader:
    """Batches in code form, for ``Decode``; ``state_dict`` after a batch is where the next one comes from.

    Each loop over it is an epoch. ``set_epoch`` of its ``sampler`` chooses which, as Lightning does; otherwise they
    count up.
    """

    def __init__(
        self, dataset: PatchDataset, sampler: ShardShuffle, *, workers: int, prefetch: int, context: Context
    ) -> None:
        """See ``make_loader``."""
        self.dataset, self.sampler = dataset, sampler
        # Lightning looks for both, as a DataLoader has them
        self.batch_sampler = sampler
        self._pin = torch.cuda.is_available()
        self._slots: Slots | None = None
        of_workers: dict[str, Any] = {}
        if workers:
            # one batch is copied out while workers have all the others to write
            self._slots = Slots(workers * prefetch + 1, batch_bytes(dataset.form, sampler.batch_size))
            of_workers = {
                "prefetch_factor": prefetch, "multiprocessing_context": context, "persistent_workers": True
            }  # fmt: skip
        # torch gives each worker one thread
        self._batches: DataLoader[Any] = DataLoader(
            _Batches(dataset, self._slots),
            batch_size=None,
            sampler=_Numbered(sampler),
            num_workers=workers,
            collate_fn=_as_it_is,
            **of_workers,
        )

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Tensors]:
        # a generator: nothing starts before the first batch is asked for, so that set_epoch can come after iter()
        self.sampler.begin()
        for number, found in enumerate(explained(self._batches)):
            if isinstance(found, OceanreconError):
                try:
                    raise found
                finally:
                    del found  # or its traceback would keep this frame, and the workers, alive
            if self._slots is None:
                batch = to_tensors(found)
                if self._pin:
                    batch = {name: values.pin_memory() for name, values in batch.items()}
            else:
                batch = self._slots.take(number % self._slots.count, found, pin=self._pin)
            self.sampler.given += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Where the loop is: counts the batches that it was given, not those that workers have ready."""
        return self.sampler.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The next loop goes on from there.

        Raises:
            ConfigError: the state is of other rows, or of another order.
        """
        self.sampler.load_state_dict(state)


def make_loader(
    dataset: PatchDataset,
    batch_size: int = 16,
    *,
    workers: int = 2,
    shuffle: bool = True,
    buffer: int = 16,
    seed: int = 0,
    drop_last: bool = False,
    rank: int = 0,
    world_size: int = 1,
    prefetch: int = 2,
    context: Context = "spawn",
) -> PatchLoader:
    """A loader of batches in code form, in memory that a GPU can copy from where there is one.

    Args:
        dataset: of what.
        batch_size: samples per batch.
        workers: processes that read; 0: this one reads.
        shuffle: in random order: see ``ShardShuffle``. Without, rows come in order, always as in epoch 0.
        buffer: shards (of an export: dates) whose rows are shuffled together.
        seed: of the order.
        drop_last: leave out what does not fill a batch on every rank.
        rank: of this process, where several train together.
        world_size: number of these processes.
        prefetch: batches that each worker has ready.
        context: how workers start; a script that starts any needs ``if __name__ == "__main__":``.

    Raises:
        ConfigError: a number is impossible, or there are too few rows.
    """
    if workers < 0 or prefetch < 1:
        raise ConfigError(f"workers={workers}, prefetch={prefetch}: give at least 0 workers and 1 batch each")
    sampler = ShardShuffle(
        dataset, batch_size, shuffle=shuffle, buffer=buffer, seed=seed, rank=rank, world_size=world_size,
        drop_last=drop_last,
    )  # fmt: skip
    return PatchLoader(dataset, sampler, workers=workers, prefetch=prefetch, context=context)


def explained(batches: Iterable[Any]) -> Iterator[Any]:
    """The batches; a worker that is gone gets a message of its own."""
    try:
        yield from batches
    except RuntimeError as error:
        if "exited unexpectedly" not in str(error):
            raise
        raise OceanreconError(
            f"a worker of the loader has ended ({error}): in a script, put what starts it under `if __name__ == "
            '"__main__":`, since workers are new processes that import it; or it was killed, for want of memory '
            "perhaps: take fewer workers or smaller batches"
        ) from error


class _Numbered(Sampler[tuple[int, list[Place]]]):
    """Batches of a loop with their numbers, which say what slot each is written to."""

    def __init__(self, batches: ShardShuffle) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[tuple[int, list[Place]]]:
        return enumerate(self._batches)


class _Batches(Dataset[Any]):
    """What a worker does: whole batches.

    The data set goes to workers in a file, not through the pipe that they are started with: where a worker ends before
    it has read its pipe (a script without ``if __name__ == "__main__"``), filling that would block for ever.
    """

    def __init__(self, dataset: PatchDataset, slots: Slots | None) -> None:
        self._dataset, self._slots = dataset, slots
        self._file: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        if self._file is None:
            self._file = os.memfd_create("oceanrecon-dataset")
            weakref.finalize(self, os.close, self._file)
            with open(self._file, "wb", closefd=False) as stream:
                pickle.dump(self._dataset, stream, pickle.HIGHEST_PROTOCOL)
        return {"slots": self._slots, "file": reduction.DupFd(self._file)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        keep_freed_memory()  # of a process that does nothing but read chunks
        self._slots, self._file = state["slots"], None
        with open(state["file"].detach(), "rb") as stream:  # all workers have one place in it, so none may seek
            data = os.pread(stream.fileno(), os.fstat(stream.fileno()).st_size, 0)
        self._dataset = pickle.loads(data)

    def __getitem__(self, numbered: tuple[int, list[Place]]) -> Batch | Parcel | OceanreconError:
        number, places = numbered
        try:
            if self._slots is None:
                return self._dataset.codes(places)
            writer = self._slots.writer(number % self._slots.count)
            return writer.parcel(self._dataset.codes(places, writer.empty))
        except OceanreconError as error:
            return error  # raised in the loop: torch would wrap it into the traceback of a worker


def _as_it_is(batch: Any) -> Any:
    return batch
