"""The order of rows: shuffled so that few files are read at a time, and the same wherever and whenever it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

from oceanrecon.errors import ConfigError
from oceanrecon.training.data.dataset import PatchDataset, Place
from oceanrecon.transform.streams import stream


class ShardShuffle(Sampler[list[Place]]):
    """Batches of (epoch, row), for this rank.

    Every row once per epoch: the shards (of an export: the dates) in random order, dealt out to the ranks one after the
    other, and on each rank the rows of ``buffer`` neighbouring shards shuffled together. All of it depends on the seed
    and the epoch alone. Without ``shuffle`` rows come in the order of the data set, and every epoch is epoch 0: what is
    simulated for validation is the same each time.

    All ranks have the same number of batches. With ``drop_last`` all batches are full, and less than one per rank is
    left out, others in each epoch. Otherwise nothing is left out, and a rank whose rows would fill one batch less than
    those of another repeats one of its rows.

    ``state_dict`` is where a loop is: the epoch, and how many of its batches it was given (``PatchLoader`` counts
    them); it is the same on all ranks.
    """

    def __init__(
        self,
        dataset: PatchDataset,
        batch_size: int,
        *,
        shuffle: bool = True,
        buffer: int = 16,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        drop_last: bool = False,
    ) -> None:
        """Of the rows of a data set.

        Args:
            dataset: whose rows.
            batch_size: rows per batch and rank.
            shuffle: in random order.
            buffer: shards whose rows are shuffled together; what their files take should fit into memory as the
                system's cache.
            seed: of the order.
            rank: of this process.
            world_size: number of processes that train together.
            drop_last: leave out what does not fill a batch on every rank.

        Raises:
            ConfigError: a number is impossible, or there are too few rows.
        """
        for name, value, least in (("batch_size", batch_size, 1), ("buffer", buffer, 1), ("seed", seed, 0)):
            if value < least:
                raise ConfigError(f"{name}={value}: give at least {least}")
        if not 0 <= rank < world_size:
            raise ConfigError(f"rank={rank} is not one of {world_size} processes: they count from 0")
        self._size, least = len(dataset), world_size * (batch_size if drop_last else 1)
        if self._size < least:
            raise ConfigError(
                f"{self._size} rows are too few for {world_size} processes with batches of {batch_size}: give at least "
                f"{least}" + (", or take drop_last=False" if drop_last else "")
            )
        self.batch_size, self._shuffle, self._buffer, self._seed = batch_size, shuffle, buffer, seed
        self._rank, self._world_size, self._drop_last = rank, world_size, drop_last
        by_shard = np.argsort(dataset.shards, kind="stable")
        _, first = np.unique(dataset.shards[by_shard], return_index=True)
        self._shards = np.split(by_shard, first[1:])
        digest = blake2b(digest_size=8)
        for column in (dataset.rows.patch_id, dataset.rows.date):
            digest.update(column.tobytes())
        self._identity: dict[str, Any] = {
            "rows": f"{self._size} rows, {digest.hexdigest()}", "batch_size": batch_size, "shuffle": shuffle,
            "buffer": buffer, "seed": seed, "world_size": world_size, "drop_last": drop_last,
        }  # fmt: skip
        #: of the batches that come next
        self.epoch = 0
        #: batches of this epoch that the loop was given
        self.given = 0
        self._resumed = False

    def __len__(self) -> int:
        """Batches of an epoch, the same on every rank, resumed or not."""
        if self._drop_last:
            return self._size // (self._world_size * self.batch_size)
        return -(-self._size // self._world_size // self.batch_size)

    def __iter__(self) -> Iterator[list[Place]]:
        order, epoch = self.order(self.epoch).tolist(), self.epoch
        for number in range(self.given, len(self)):
            at = number * self.batch_size
            yield [(epoch, row) for row in order[at : at + self.batch_size]]

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The rows of this rank in one epoch: [row]."""
        if not self._shuffle:
            return self._own(np.arange(self._size))
        chosen = stream(self._seed, epoch, 0, "order of shards").permutation(len(self._shards))
        sizes = [self._shards[number].size for number in chosen]
        rows = self._own(np.concatenate([self._shards[number] for number in chosen]))
        place = self._own(np.repeat(np.arange(len(sizes)), sizes))
        buffers = (place - place[0]) // self._buffer
        random = stream(self._seed, epoch, self._rank, "order of rows")
        parts = np.split(rows, np.flatnonzero(np.diff(buffers)) + 1)
        return np.concatenate([random.permutation(part) for part in parts])

    def _own(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Of what there is for each row, this rank's part."""
        ranks, rank = self._world_size, self._rank
        if self._drop_last:
            size = len(self) * self.batch_size
            return values[rank * size : (rank + 1) * size]
        first, last = (self._size * number // ranks for number in (rank, rank + 1))
        own = values[first:last]
        return np.append(own, own[-1:]) if own.size <= (len(self) - 1) * self.batch_size else own

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch, unless the loop was resumed in it."""
        if self._shuffle and (epoch != self.epoch or not self._resumed):
            self.epoch, self.given, self._resumed = epoch, 0, False

    def begin(self) -> None:
        """A loop begins: what comes next is the rest of an epoch that is resumed, or else one that is new."""
        if self.given >= len(self) or (self.given and not self._resumed):
            self.epoch, self.given = self.epoch + self._shuffle, 0
        self._resumed = False

    def state_dict(self) -> dict[str, Any]:
        """Where the loop is, and what it goes through."""
        return {"epoch": self.epoch, "given": self.given, **self._identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a loop was.

        Raises:
            ConfigError: it went through other rows, or in another order.
        """
        other = [
            f"{name} was {state.get(name)!r} and is {value!r}"
            for name, value in self._identity.items()
            if state.get(name) != value
        ]
        if other:
            raise ConfigError(
                f"the loop cannot be resumed in the middle of an epoch: {'; '.join(other)}. Restore that, or start an "
                "epoch of its own, without the state of the loader"
            )
        self.epoch, self.given, self._resumed = int(state["epoch"]), int(state["given"]), True
