"""Mistakes in a settings file end in one sentence that names the mistake, never in a traceback or in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from oceanrecon.config import ExportSettings, load_settings
from oceanrecon.errors import ConfigError
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.profile_config import ProfilesSettings
from oceanrecon.statistics_config import StatisticsSettings
from oceanrecon.synthetic.config import ArchiveSynthesis
from oceanrecon.train_config import TrainSettings

CONFIGS = Path(__file__).parents[1] / "configs"
GOOD = b"archive: {root: a, products: {sealevel: }}\noutput: b\ngrid: {resolution: 1}\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (GOOD + b"window_days: 7\nwindow_days: 5\n", "the key 'window_days' is given twice"),
        (GOOD + b"targets: {end: 2012-02-30}\n", "day is out of range for month"),
        (GOOD + b"targets: {start: 2012-03-02, end: 2012-03-01}\n", "`end` 2012-03-01 is before `start` 2012-03-02"),
        (GOOD + b"# 0.1\xb0\n", "not a text file in UTF-8"),
        (b"", "is empty"),
        (b"archive:\n\troot: a\n", "indent with spaces, not tabs"),
        (GOOD + b"minimum_files: 9\n", "`minimum_files` 9 is more than the 7 `window_days`"),
        (GOOD.replace(b"resolution: 1", b"mask: m.tif, bounds: [0, 0, 9, 9]"), "`bounds` go with `resolution`"),
        (GOOD + b"windowdays: 7\n", "unknown setting 'windowdays': did you mean 'window_days'"),
        (GOOD.replace(b"resolution", b"resolutoin"), "unknown setting 'grid.resolutoin': did you mean 'resolution'"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "export.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        load_settings(ExportSettings, path)
    assert message in str(raised.value)
    assert "export.yaml" in str(raised.value)


def test_the_good_settings_of_these_are_good(tmp_path: Path) -> None:
    path = tmp_path / "export.yaml"
    path.write_bytes(GOOD)
    assert load_settings(ExportSettings, path, ("grid.resolution=0.5",)).grid.resolution == 0.5


@pytest.mark.parametrize("tag", ["python/object/apply:os.mkdir", "python/name:os.mkdir", "python/module:antigravity"])
def test_a_config_runs_nothing(tmp_path: Path, tag: str) -> None:
    path, made = tmp_path / "export.yaml", tmp_path / "made"
    for content in (f"output: !!{tag} [{made}]\n", f"? !!{tag} [{made}]\n: 1\n"):
        path.write_bytes(GOOD.replace(b"output: b\n", b"") + content.encode())
        with pytest.raises(ConfigError, match="is not YAML: could not determine a constructor for the tag"):
            load_settings(ExportSettings, path)
    with pytest.raises(ConfigError, match="is not YAML"):
        load_settings(ExportSettings, path, (f"output=!!{tag} [{made}]",))
    assert not made.exists()


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("archive", ArchiveSynthesis),
        ("export", ExportSettings),
        ("profiles", ProfilesSettings),
        ("patches", PatchesSettings),
        ("statistics", StatisticsSettings),
    ],
)
def test_the_experiment_can_be_made(name: str, model: type[BaseModel]) -> None:
    assert isinstance(load_settings(model, CONFIGS / "experiment" / f"{name}.yaml"), model)


def test_models_of_the_experiment_can_be_compared() -> None:
    """They learn from the same data, leave the same floats out, and write to folders of their own."""
    experiment = load_settings(StatisticsSettings, CONFIGS / "experiment" / "statistics.yaml")
    found = {path.stem: load_settings(TrainSettings, path) for path in (CONFIGS / "train").glob("*.yaml")}
    assert found["diffusion"].data.floats == experiment.floats
    assert {settings.output for settings in found.values()} == {f"experiment/runs/{name}" for name in found}
    assert all(settings.data == found["diffusion"].data for settings in found.values())
    assert all(settings.scaling.statistics == experiment.output for settings in found.values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.widht=32", "unknown setting 'model.widht': did you mean 'width'"),
        ("scenario=currents", "'temperature', 'salinity' or 'joint' (got 'currents')"),
        ("stages=[]", "`model.kind: diffusion` needs `stages`"),
        ("stages=[{network: estimate}]", "setting 'stages.0.samples' is missing"),
        ("stages=[{network: diffusion, samples: 8}]", "needs a first stage of `network: estimate`"),
        ("model.kind=oi", "`model.kind: oi` has no network to train: leave `stages` out"),
        ("model.kind=regression", "a stage of `network: diffusion` needs `model.kind: diffusion`, not regression"),
        ("model.multipliers=[1, 0]", "model.multipliers.1: Input should be greater than or equal to 1 (got 0)"),
        ("model.attention=4", "`attention` 4 is at more resolutions than there are `multipliers` (3)"),
        ("diffusion.sampler.method=ddim", "edm has dpm and heun, discrete has ddim and ddpm"),
        ("diffusion.space=autoencoder", "`space: autoencoder` and `autoencoder`, the run of one, belong together"),
        ("data.floats.test=0.97", "leave no float to train on"),
        ("diffusion.sampler={method: ddim, steps: 2000}", "which `method: ddim` cannot take 2,000"),
        ("diffusion.sampler={method: ddpm, steps: 50}", "`method: ddpm` takes all 1,000 steps, not 50"),
        ("diffusion.sampler.churn=0.5", "`churn` 0.5 is fresh noise for `method: heun`, and `dpm` has none"),
        ("diffusion.noise={smallest: 2, largest: 2}", "the `largest` noise level (2) down to the `smallest` (2)"),
        (
            "stages=[{samples: 8, objective: ambient, hidden: 0, loss_on: withheld}]",
            "scores the hidden profiles, and with `hidden: 0` there are none",
        ),
        ("stages=[{samples: 8, schedule: inverse_root, warmup: 0}]", "give `warmup` of at least 0.01"),
    ],
)
def test_a_training_that_makes_no_sense_is_refused(change: str, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_settings(TrainSettings, CONFIGS / "train" / "diffusion.yaml", (change,))
    assert message in str(raised.value)
    assert "diffusion.yaml: " in str(raised.value)
