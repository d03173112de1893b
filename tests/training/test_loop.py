"""Risk: a training that was interrupted, or runs on two ranks, ends with another model than it would have had."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from oceanrecon.config import dump_settings
from oceanrecon.errors import ConfigError, OceanreconError, OutputError
from oceanrecon.samples.index import read_index
from oceanrecon.stores.files import Root
from oceanrecon.stores.statistics import read_statistics, write_statistics
from oceanrecon.train_config import StageSettings
from oceanrecon.training import device
from oceanrecon.training.loop.data import decoded
from oceanrecon.training.loop.module import StageModule
from oceanrecon.training.loop.run import Training, _check_statistics
from oceanrecon.training.model.stored import load_model
from oceanrecon.training.sizes import PARTS
from tests.training.prepared import settings


class Stop(Exception):
    """As if somebody had pulled the plug."""


def stopped_at(step: int) -> Any:
    def told(number: int, stage: StageSettings, done: int, total: int, known: dict[str, float]) -> None:
        if (number, done) == (1, step):
            raise Stop

    return told


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_model(str(run)).model.state_dict()


def test_a_training_that_was_stopped_goes_on_to_the_same_model(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path
) -> None:
    export = with_profiles["uint16"]
    whole = settings(prepared, export, tmp_path / "whole", "diffusion")
    training, totals = Training(whole), {}
    trained = training.fit(told=lambda number, stage, done, total, known: totals.update({number: total}))
    assert training.plan().steps == tuple(totals.values())  # as many as were said
    assert trained.provenance["samples"] == [4 * total for total in totals.values()]
    assert set(trained.provenance) >= {"export_fingerprint", "git_revision", "samples"}

    again = settings(prepared, export, tmp_path / "again", "diffusion")
    with pytest.raises(Stop):
        Training(again).fit(told=stopped_at(6))
    with pytest.raises(OutputError, match="--resume goes on"):
        Training(again).fit()
    Training(again).fit(resume=True)
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "again")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    # something was learnt, and the spread was fitted
    assert (first["base.net.out.2.weight"] != 0).any() and (first["spread"] != 1).any()

    kept = tmp_path / "again" / "stages" / "1" / "finished.ckpt"
    content = torch.load(kept, weights_only=False)
    content["state_dict"]["model.spread"] = torch.ones(6, 4)  # as an older version had it
    torch.save(content, kept)
    with pytest.raises(OutputError, match=r"finished\.ckpt does not fit .* begin anew"):
        Training(again).fit(resume=True)

    stages = [{"network": "estimate", "samples": 32, "rate": 1e-3}, {"network": "diffusion", "samples": 32}]
    other = settings(prepared, export, tmp_path / "again", "diffusion", training={"seed": 3}, stages=stages)
    changed = r"of other settings \(stages\.0\.rate: 0\.0002 there, 0\.001 here, training\.seed: 0 there, 3 here\): "
    with pytest.raises(OutputError, match=changed):
        Training(other).fit(resume=True)
    last = kept.with_name("last.ckpt")
    content = torch.load(last, weights_only=False)
    content["state_dict"]["visible"] = torch.zeros(2)  # likewise
    torch.save(content, last)
    kept.unlink()
    with pytest.raises(OutputError, match=r"last\.ckpt does not fit .* begin anew"):
        Training(again).fit(resume=True)


def test_errors_count_by_size_where_a_regression_or_a_diffusion_learns(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path
) -> None:
    def sizes(kind: str, **changes: Any) -> list[tuple[int, ...] | None]:
        training = Training(settings(prepared, with_profiles["uint16"], tmp_path / "run", kind, **changes))
        found = [training._sizes(stage) for stage in training.settings.stages]
        return [None if one is None else tuple(one.shape) for one in found]

    assert sizes("diffusion") == [(6, PARTS)] * 2
    assert sizes("diffusion", diffusion={"space": "eof", "modes": 4}) == [(6, PARTS), (4, PARTS)]
    discrete = {"process": "discrete", "sampler": {"method": "ddim"}}
    assert sizes("diffusion", diffusion=discrete) == [(6, PARTS), None]
    assert sizes("unet") == [None]


def test_what_learns_from_profiles_alone_reads_no_dense_target(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path
) -> None:
    stages = [
        {"network": name, "objective": "ambient", "samples": 8, "hidden": 0.9} for name in ("estimate", "diffusion")
    ]
    training = Training(settings(prepared, with_profiles["uint16"], tmp_path / "run", "diffusion", stages=stages))
    sample = training.train[0]
    assert sample["x_valid_mask"].any()
    assert not (sample["y_valid_mask"].any() or sample["y_salinity_valid_mask"].any())
    training.fit()
    share = load_model(str(tmp_path / "run")).model.get_buffer("share")
    assert share.shape == (6,) and 0 < share.max() < 1


def test_two_ranks_are_as_one_with_twice_the_batch(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path
) -> None:
    export = with_profiles["uint16"]
    # every step sees all rows, in whatever order: the sum of two halves
    count = len(Training(settings(prepared, export, tmp_path / "some")).train)
    assert count % 2 == 0
    stages = [{"network": "estimate", "samples": 3 * count, "rate": 1e-2}]
    one = settings(prepared, export, tmp_path / "one", data={"batch_size": count}, stages=stages)
    two = settings(
        prepared, export, tmp_path / "two", data={"batch_size": count // 2}, stages=stages, training={"devices": 2}
    )
    Training(one).fit()
    (tmp_path / "two.yaml").write_text(dump_settings(two))
    command = [str(Path(sys.executable).with_name("oceanrecon")), "train", str(tmp_path / "two.yaml")]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=280, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("the model is in") == 1
    first, second = weights(tmp_path / "one"), weights(tmp_path / "two")
    moved = max((values.abs().max() for name, values in first.items() if "net.out" in name), default=torch.tensor(0))
    assert moved > 1e-3
    for name, values in first.items():
        torch.testing.assert_close(second[name], values, rtol=1e-3, atol=1e-5, msg=name)


def test_settings_that_do_not_fit_are_refused(with_profiles: dict[str, Path], prepared: Path, tmp_path: Path) -> None:
    export = with_profiles["uint16"]
    with pytest.raises(ConfigError, match="withhold other floats"):
        Training(settings(prepared, export, tmp_path, data={"floats": {"seed": 2}}))
    with pytest.raises(ConfigError, match="has no climatology"):
        settings(prepared, export, tmp_path, scaling={"of": "values"})
    # an ocean that differs a tenth as much from its climatology
    known = read_statistics(str(prepared / "statistics"))
    calm = replace(known, deviation={name: values / np.float32(10) for name, values in known.deviation.items()})
    write_statistics(Root(str(tmp_path / "calm")), calm)
    scaling = {"coarse_codes": False, "statistics": str(tmp_path / "calm")}
    with pytest.raises(ConfigError, match="codes of the export are too coarse"):
        Training(settings(prepared, with_profiles["uint8"], tmp_path, scaling=scaling))
    dates = read_index(str(prepared / "patches")).rows("val").date
    with pytest.raises(ConfigError, match="that are no training rows of the index"):
        _check_statistics(settings(prepared, export, tmp_path), read_statistics(str(prepared / "statistics")), dates)
    with pytest.raises(ConfigError, match="needs `stages`"):
        settings(prepared, export, tmp_path, stages=[])
    with pytest.raises(ConfigError, match="patches of 8 pixels cannot be halved 4 times"):
        Training(settings(prepared, export, tmp_path, model={"multipliers": [1, 1, 1, 1, 1]}))


@pytest.mark.parametrize("where", ["step", "validation"])
def test_a_loss_that_is_no_number_is_not_saved(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    training = Training(settings(prepared, with_profiles["uint16"], tmp_path / "run"))
    if where == "step":
        training.state.get_buffer("_terms").fill_(torch.nan)
        says = r"the loss of step 0 is nan, with rows \["
    else:
        says = "the loss of the validation at step 4 is nan"
        monkeypatch.setattr(StageModule, "validation_step", lambda module, *_: module._validated.fill_(torch.nan))
    with pytest.raises(OceanreconError, match=says):
        training.fit()
    assert not list((tmp_path / "run").rglob("*.ckpt"))


def test_convolutions_of_any_network_can_lie_channels_last(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path
) -> None:
    """As they do on a GPU, compiled or not; without another result."""
    for kind in ("unet", "autoencoder"):
        training = Training(settings(prepared, with_profiles["uint16"], tmp_path / "run", kind))
        module = StageModule(training.model, training.state, training.settings, 0, 8, {})
        batch, _ = next(decoded(training.train, training.state, 2, torch.device("cpu")))
        before, *_ = module._sums(batch, 0)
        module.lay_channels_last()
        laid = [
            part.weight.is_contiguous(memory_format=torch.channels_last)
            for part in training.model.modules()
            if isinstance(part, torch.nn.Conv2d)
        ]
        assert laid and all(laid)
        torch.testing.assert_close(module._sums(batch, 0)[0], before)


@pytest.mark.parametrize("every", [2, 100])
def test_the_rows_that_are_named_are_those_of_the_first_loss_that_is_no_number(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """Of a step that no line of the log is of; it is seen at the next line, or before the next validation."""
    seen: dict[int, list[int]] = {}
    sums = StageModule._sums

    def broken(module: StageModule, batch: dict[str, torch.Tensor], step: int) -> Any:
        total, weight, task = sums(module, batch, step)
        seen[step] = batch["row"].tolist()
        return total * (torch.nan if step == 1 else 1.0), weight, task

    monkeypatch.setattr(StageModule, "_sums", broken)
    chosen = settings(prepared, with_profiles["uint16"], tmp_path / "run", training={"log_every": every})
    with pytest.raises(OceanreconError) as raised:
        Training(chosen).fit()
    assert f"the loss of step 1 is nan, with rows {seen[1]}: " in str(raised.value)
    assert max(seen) == (2 if every == 2 else 3)  # of four steps to a validation, which has not begun
    assert not list((tmp_path / "run").rglob("*.ckpt"))


def test_of_several_ranks_the_rows_of_those_at_fault_are_named(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(settings(prepared, with_profiles["uint16"], tmp_path / "run"))
    module = StageModule(training.model, training.state, training.settings, 0, 8, {})
    own, other = torch.tensor([3.0, torch.nan, 0.0, 5.0, 6.0]), torch.tensor([3.0, torch.nan, 1.0, 7.0, -1.0])

    def gathered(into: list[torch.Tensor], _: torch.Tensor) -> None:
        into[0].copy_(own)
        into[1].copy_(other)

    monkeypatch.setattr(torch.distributed, "all_gather", gathered)
    monkeypatch.setattr(StageModule, "trainer", SimpleNamespace(world_size=2))
    module._wrong = own
    with pytest.raises(OceanreconError, match=r"the loss of step 3 is nan, with rows \[7\]: "):
        module._check()
    other[2] = 0.0  # only the sum was none
    with pytest.raises(OceanreconError, match=r"with rows \[5, 6, 7\]: "):
        module._check()


def test_too_little_memory_is_told_before_a_training_begins(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(settings(prepared, with_profiles["uint16"], tmp_path / "run"))
    weights = sum(values.numel() for values in training.model.parameters())
    # gradients, two moments and an average; 4 patches of 8 x 8 pixels and 6 channels, twice, with masks
    least = 16 * weights + 4 * 64 * 6 * 10
    monkeypatch.setattr(device, "free_memory", lambda _: least - 1)
    with pytest.raises(
        OceanreconError, match=r"for batches of 4 patches \(they take at least .* lower data\.batch_size"
    ):
        training.fit()
    assert not (tmp_path / "run").exists()
    monkeypatch.setattr(device, "free_memory", lambda _: least)
    training.fit()


def test_too_little_memory_says_what_to_do(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("none left")

    monkeypatch.setattr(StageModule, "training_step", full)
    with pytest.raises(OceanreconError, match=r"too little memory for batches of 4 patches: lower data\.batch_size"):
        Training(settings(prepared, with_profiles["uint16"], tmp_path / "run")).fit()


def test_half_precision_trains(with_profiles: dict[str, Path], prepared: Path, tmp_path: Path) -> None:
    chosen = settings(
        prepared, with_profiles["uint16"], tmp_path / "run", "diffusion", training={"precision": "bfloat16"}
    )
    Training(chosen).fit()
    assert all(values.isfinite().all() for values in weights(tmp_path / "run").values())
    kept = torch.load(tmp_path / "run/stages/2/finished.ckpt", weights_only=False)
    assert kept["oceanrecon"]["provenance"]["statistics_fingerprint"]


def test_a_folder_of_something_else_is_left_alone(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="is no run, and not empty"):
        Training(settings(prepared, with_profiles["uint16"], tmp_path)).fit(overwrite=True)
    assert (tmp_path / "logs" / "mine.txt").exists()


def test_a_model_is_one_file_that_is_checked(with_profiles: dict[str, Path], prepared: Path, tmp_path: Path) -> None:
    chosen = settings(prepared, with_profiles["uint16"], tmp_path / "run", "oi")
    Training(chosen).fit()
    trained = load_model(str(tmp_path / "run"))
    assert trained.settings == chosen and trained.form.scenario == "joint" and trained.days == 7
    assert yaml.safe_load((tmp_path / "run" / "run.yaml").read_text())["samples"] == []
    path = tmp_path / "run" / "model.pt"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(OutputError, match="damaged or another one"):
        load_model(str(path))
    (tmp_path / "run" / "model.pt.sha256").unlink()
    path.write_bytes(data[:5000])
    with pytest.raises(OutputError, match=r"is no model of oceanrecon, or damaged"):
        load_model(str(path))
    with pytest.raises(OutputError, match="there is no model at"):
        load_model(str(tmp_path))


def test_a_training_that_is_stopped_by_hand_says_how_to_go_on(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path
) -> None:
    def told(number: int, stage: StageSettings, done: int, total: int, known: dict[str, float]) -> None:
        if done == 6:
            raise KeyboardInterrupt

    chosen = settings(prepared, with_profiles["uint16"], tmp_path / "run")
    with pytest.raises(OceanreconError, match=r"stopped at step 6 of 8 of stage 1: .* --resume goes on from the last"):
        Training(chosen).fit(told=told)
    Training(chosen).fit(resume=True)
