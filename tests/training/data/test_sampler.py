"""Risk: rows that are seen twice or never, ranks that wait for each other, a resumed epoch that goes on elsewhere."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oceanrecon.errors import ConfigError
from oceanrecon.samples.form import Sample, SampleForm
from oceanrecon.samples.rows import Rows
from oceanrecon.training.data import PatchDataset, ShardShuffle


class Table:
    """Rows without samples: an order needs no more."""

    form = SampleForm("temperature", 4, (0.5,), ("adt",), "uint8")

    def __init__(self, dates: int, patches: int) -> None:
        self.rows = Rows(np.tile(np.arange(patches), dates), np.repeat(np.arange(dates, dtype=np.int32), patches), 4)

    def samples(self, rows: object) -> list[Sample]:
        raise AssertionError("an order reads nothing")


def table(dates: int, patches: int) -> PatchDataset:
    return PatchDataset(Table(dates, patches))


def seen(sampler: ShardShuffle) -> list[list[int]]:
    return [[row for _, row in batch] for batch in sampler]


@settings(max_examples=200)
@given(
    dates=st.integers(1, 7), patches=st.integers(1, 9), batch=st.integers(1, 8), world=st.integers(1, 4),
    buffer=st.integers(1, 3), shuffle=st.booleans(), drop_last=st.booleans(), epoch=st.integers(0, 3),
)  # fmt: skip
def test_ranks_share_the_rows_and_have_as_many_batches(
    dates: int, patches: int, batch: int, world: int, buffer: int, shuffle: bool, drop_last: bool, epoch: int
) -> None:
    rows = dates * patches
    if rows < world * (batch if drop_last else 1):
        with pytest.raises(ConfigError, match=f"{rows} rows are too few for {world} processes"):
            ShardShuffle(table(dates, patches), batch, world_size=world, drop_last=drop_last)
        return
    found = []
    for rank in range(world):
        sampler = ShardShuffle(
            table(dates, patches), batch, shuffle=shuffle, buffer=buffer, seed=5, rank=rank, world_size=world,
            drop_last=drop_last,
        )  # fmt: skip
        sampler.set_epoch(epoch)
        found.append(seen(sampler))
        assert len(found[-1]) == len(sampler)
    assert len({len(batches) for batches in found}) == 1
    counts = Counter(row for batches in found for part in batches for row in part)
    assert all(0 < len(part) <= batch for batches in found for part in batches)
    if drop_last:
        assert set(counts.values()) == {1}
        assert all(len(part) == batch for batches in found for part in batches)
        assert rows - len(counts) < world * batch
    else:
        assert sorted(counts) == list(range(rows))
        assert sum(counts.values()) - rows < world
        if world == 1:
            assert set(counts.values()) == {1}
    if not shuffle and world == 1:
        assert [row for part in found[0] for row in part] == list(range(len(counts)))


def test_few_shards_are_read_at_a_time_and_their_rows_are_mixed() -> None:
    sampler = ShardShuffle(table(dates=40, patches=25), 10, buffer=4, seed=1)
    order = np.concatenate(seen(sampler))

    dates = (order // 25).reshape(10, 100)  # ten buffers of four dates
    assert all(len(set(part)) == 4 for part in dates.tolist())
    assert len(set(order // 25)) == 40
    assert np.mean([len(set(part)) for part in (order // 25).reshape(100, 10).tolist()]) > 3.5
    assert dates[:, 0].tolist() != sorted(dates[:, 0].tolist())


def test_the_order_is_of_the_seed_and_the_epoch() -> None:
    data = table(6, 5)
    first, again, other = (ShardShuffle(data, 4, seed=seed) for seed in (3, 3, 4))

    assert seen(first) == seen(again) != seen(other)
    again.set_epoch(1)
    assert seen(again) != seen(first)
    again.set_epoch(0)
    assert seen(again) == seen(first)


def test_a_loop_is_resumed_where_it_was_on_every_rank() -> None:
    data = table(6, 5)
    whole = [ShardShuffle(data, 4, seed=3, rank=rank, world_size=2) for rank in (0, 1)]
    whole[0].set_epoch(2)
    whole[0].given = 1  # a loader was given one batch
    state = whole[0].state_dict()

    for rank in (0, 1):
        resumed = ShardShuffle(data, 4, seed=3, rank=rank, world_size=2)
        resumed.load_state_dict(state)
        resumed.set_epoch(2)  # as Lightning does before each epoch
        resumed.begin()
        whole[rank].set_epoch(2)
        assert seen(resumed) == seen(whole[rank])[1:]
        assert len(resumed) == 4
        resumed.given = 4
        resumed.begin()
        assert (resumed.epoch, resumed.given) == (3, 0)


def test_a_loop_over_other_rows_is_not_resumed() -> None:
    state = ShardShuffle(table(6, 5), 4).state_dict()

    with pytest.raises(ConfigError, match=r"rows was '30 rows, .*' and is '35 rows, .*'; batch_size was 4 and is 5"):
        ShardShuffle(table(7, 5), 5).load_state_dict(state)


def test_validation_is_the_same_in_every_epoch() -> None:
    sampler = ShardShuffle(table(2, 2), 3, shuffle=False)
    sampler.set_epoch(4)

    assert list(sampler) == [[(0, 0), (0, 1), (0, 2)], [(0, 3)]]
