"""Risk: a trainer sees other rows than were given, the same on two ranks, or others after it was interrupted."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from oceanrecon.errors import ConfigError
from oceanrecon.training.data import Decode, PatchDataModule
from tests.training.data.learner import Learner, trainer
from tests.training.data.probe import patches


def module(export: Path, **more: Any) -> PatchDataModule:
    data = patches(export)
    return PatchDataModule(data, data, data, batch_size=8, buffer=1, seed=3, **{"workers": 0} | more)


def checkpoints(folder: Path) -> ModelCheckpoint:
    """After every step."""
    return ModelCheckpoint(folder, filename="{step}", save_top_k=-1, every_n_train_steps=1)


def flat(steps: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(steps))


@pytest.mark.filterwarnings("ignore:The dirpath has changed")  # by design: each run keeps its own checkpoints
def test_a_run_that_was_interrupted_goes_on_with_the_same_rows(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    export = with_profiles["uint8"]
    kept = checkpoints(tmp_path / "kept")
    whole = Learner(tmp_path / "whole")
    trainer(max_epochs=2, callbacks=[kept]).fit(whole, module(export))
    steps = whole.seen("train")
    assert [len(rows) for rows in steps] == [8, 8, 8, 8, 8, 8, 6] * 2
    assert sorted(flat(steps[:7])) == sorted(flat(steps[7:])) == list(range(54))
    assert steps[:7] != steps[7:]
    assert flat(whole.seen("val")) == [*range(54)] * 2

    for done in (3, 7, 9):  # in an epoch, at the end of one, in the second
        rest = Learner(tmp_path / f"rest-{done}")
        run = trainer(max_epochs=2, callbacks=[checkpoints(tmp_path / f"more-{done}")])
        run.fit(rest, module(export), ckpt_path=tmp_path / f"kept/step={done}.ckpt")
        assert rest.seen("train") == steps[done:]
        assert all(torch.equal(*pair) for pair in zip(rest.parameters(), whole.parameters(), strict=True))
    changed = trainer(max_epochs=2, callbacks=[checkpoints(tmp_path / "none")])
    other = PatchDataModule(patches(export), batch_size=8, buffer=1, seed=4, workers=0)
    with (
        pytest.warns(UserWarning, match="have no `val_dataloader`"),
        pytest.raises(ConfigError, match="seed was 3 and is 4"),
    ):
        changed.fit(Learner(tmp_path / "other"), other, ckpt_path=tmp_path / "kept/step=3.ckpt")


def test_two_ranks_share_the_rows(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    model = Learner(tmp_path / "ranks")
    run = trainer(max_epochs=1, devices=2, strategy="ddp_spawn", enable_checkpointing=False)
    run.fit(model, module(with_profiles["uint8"]))

    for side in ("train", "val"):
        first, second = (model.seen(side, rank) for rank in (0, 1))
        assert [len(rows) for rows in first] == [len(rows) for rows in second] == [8, 8, 8, 3]
        assert sorted(flat(first + second)) == list(range(54))
    assert flat(model.seen("train")) != sorted(flat(model.seen("train")))


def test_a_batch_is_decoded_as_decode_does(with_profiles: dict[str, Path]) -> None:
    data = module(with_profiles["uint8"])
    codes = next(iter(data.test_dataloader()))
    batch = data.on_after_batch_transfer(codes, 0)

    ours = Decode(patches(with_profiles["uint8"]).form)(codes)
    assert all(torch.equal(values, batch[name]) for name, values in ours.items())


def test_sides_of_other_kinds_or_none_are_errors(with_profiles: dict[str, Path]) -> None:
    one, other = (patches(with_profiles[encoding]) for encoding in ("uint8", "uint16"))
    with pytest.raises(ConfigError, match="`train` and `val` do not give the same kind of samples"):
        PatchDataModule(one, other)
    with pytest.raises(ConfigError, match="has no data"):
        PatchDataModule()
    with pytest.raises(ConfigError, match="give PatchDataModule one as `test`"):
        PatchDataModule(one).test_dataloader()
