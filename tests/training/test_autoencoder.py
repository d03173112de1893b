"""Risk: an autoencoder cannot be trained, a latent model that stands on it cannot be opened, or it is of other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from oceanrecon.errors import ConfigError
from oceanrecon.training.diffusion.codecs import NetworkCode
from oceanrecon.training.inference.members import sampled_members
from oceanrecon.training.loop.data import decoded
from oceanrecon.training.loop.run import Training
from oceanrecon.training.model.autoencoder import Autoencoder
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.model.stored import load_model
from tests.training.prepared import settings


@pytest.fixture(scope="module")
def run(with_profiles: dict[str, Path], prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an autoencoder."""
    output = tmp_path_factory.mktemp("autoencoder") / "run"
    chosen = settings(
        prepared, with_profiles["uint16"], output, "autoencoder", autoencoder={"channels": 4, "widths": [16, 8]},
        stages=[{"network": "estimate", "samples": 128, "rate": 5e-3}], training={"average": 0.5},
    )  # fmt: skip
    Training(chosen).fit()
    return output


def latent(prepared: Path, export: Path, output: Path, autoencoder: Path, **changes: Any) -> Training:
    return Training(
        settings(
            prepared, export, output, "diffusion",
            **{
                "diffusion": {"of": "state", "space": "autoencoder", "autoencoder": str(autoencoder)},
                "stages": [{"network": "diffusion", "samples": 32}],
                **changes,
            },
        )
    )  # fmt: skip


def test_an_autoencoder_learns_to_give_columns_back(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path, run: Path
) -> None:
    trained = load_model(str(run))
    assert isinstance(trained.model, Autoencoder)
    assert (trained.model.levels, trained.model.channels, trained.model.widths) == (6, 4, (16, 8))
    training = Training(trained.settings)
    errors = {}
    for name, model in {"trained": trained.model, "untrained": training.model}.items():
        assert isinstance(model, Autoencoder)
        squares, count = 0.0, 0
        for _, patches in decoded(training.val, training.state, 4, torch.device("cpu")):
            assert patches.target is not None and patches.target_mask is not None
            with torch.no_grad():
                found = model.decode(model.encode(patches.target, patches.target_mask))
            squares += float((found - patches.target)[patches.target_mask].square().sum())
            count += int(patches.target_mask.sum())
        errors[name] = squares / count
    assert errors["trained"] < 0.6 * errors["untrained"]


def test_a_latent_model_is_trained_kept_and_sampled(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path, run: Path
) -> None:
    training = latent(prepared, with_profiles["uint16"], tmp_path / "latent", run)
    fitted = training.fit().model
    loaded = load_model(str(tmp_path / "latent")).model
    assert isinstance(loaded, Diffusion) and isinstance(fitted, Diffusion) and isinstance(loaded.codec, NetworkCode)
    assert all(torch.equal(values, loaded.state_dict()[name]) for name, values in fitted.state_dict().items())
    # the autoencoder is that of the run, as it was; its scales and the network learnt
    own = load_model(str(run)).model.state_dict()
    assert all(torch.equal(values, own[name]) for name, values in loaded.codec.autoencoder.state_dict().items())
    weights = loaded.state_dict()
    assert (weights["codec.scale"] != 1).all() and weights["net.out.2.weight"].abs().max() > 0
    _, patches = next(decoded(training.val, training.state, 2, torch.device("cpu")))
    with torch.no_grad():
        estimate = loaded.estimate(patches)
        members = sampled_members(loaded, patches, estimate, 2, training.settings.diffusion.sampler, 3)
        again = sampled_members(fitted, patches, estimate, 2, training.settings.diffusion.sampler, 3)
    assert members.shape == (2, 2, 6, 8, 8) and members.isfinite().all()
    assert torch.equal(members, again)
    assert (members[:, 0] - members[:, 1]).abs().mean() > 1e-3


def test_an_autoencoder_of_something_else_is_refused(
    with_profiles: dict[str, Path], prepared: Path, tmp_path: Path, run: Path
) -> None:
    export = with_profiles["uint16"]
    # as many levels, but of the other field
    other = tmp_path / "salinity"
    chosen = settings(prepared, export, other, "autoencoder", autoencoder={"widths": [8]}, scenario="salinity")
    Training(chosen).fit()
    with pytest.raises(ConfigError, match=r"learnt with another scenario: salinity there, temperature here: train one"):
        latent(prepared, export, tmp_path / "latent", other, scenario="temperature")
    with pytest.raises(ConfigError, match="scenario: joint there, temperature here"):
        latent(prepared, export, tmp_path / "latent", run, scenario="temperature")
    Training(settings(prepared, export, tmp_path / "idw", "idw")).fit()
    with pytest.raises(ConfigError, match=r"idw is no run of an autoencoder: train one with configs/train/autoencoder"):
        latent(prepared, export, tmp_path / "latent", tmp_path / "idw")
    values = settings(
        prepared, export, tmp_path / "values", "autoencoder", autoencoder={"widths": [8]}, scaling={"of": "values"}
    )
    Training(values).fit()
    with pytest.raises(ConfigError, match=r"another scaling\.of: values there, anomalies here: "):
        latent(prepared, export, tmp_path / "latent", tmp_path / "values")
