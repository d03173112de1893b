"""Risk: nobody can tell how a training goes, or afterwards how it went and with which program."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from oceanrecon.config import dump_settings
from oceanrecon.train_config import TrainSettings
from oceanrecon.training.loop.provenance import provenance
from tests.training.prepared import settings

ROOT = Path(__file__).parents[2]


def written(chosen: TrainSettings, path: Path) -> Path:
    path.write_text(dump_settings(chosen))
    return path


def test_a_training_tells_samples_and_speed_and_keeps_them(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    config = written(settings(prepared, with_profiles["uint16"], tmp_path / "run"), tmp_path / "train.yaml")
    code, out, _ = command("train", config, "--dry-run")
    assert code == 0 and "32 samples in 8 steps" in out and "nothing was done: --dry-run" in out
    assert not (tmp_path / "run").exists()

    code, out, _ = command("train", config)
    assert code == 0
    assert re.search(r"^32/32 samples of stage 1 of 1, loss .*, samples/s .*, waiting \d+%", out, re.MULTILINE), out
    with (tmp_path / "run/logs/1/metrics.csv").open() as file:
        lines = list(csv.DictReader(file))
    told = [line for line in lines if line["train/samples_per_second"]]
    assert [float(line["train/samples"]) for line in told] == [8, 16, 24, 32]
    assert all(float(line["train/samples_per_second"]) > 0 for line in told)
    assert all(0 <= float(line["train/waiting_share"]) <= 1 for line in told)
    assert len([line for line in lines if line["val/loss"]]) == 2
    events = EventAccumulator(str(tmp_path / "run/logs/1")).Reload()
    for name in ("train/samples_per_second", "train/waiting_share"):
        kept = [float(line[name]) for line in told]
        assert [event.value for event in events.Scalars(name)] == pytest.approx(kept, rel=1e-5)


def test_the_revision_is_that_of_the_clone(with_profiles: dict[str, Path], prepared: Path, tmp_path: Path) -> None:
    head = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    if head.returncode:
        pytest.skip("no clone")
    found = provenance(settings(prepared, with_profiles["uint16"], tmp_path))["git_revision"]
    assert found.removesuffix("-dirty") == head.stdout.strip()
