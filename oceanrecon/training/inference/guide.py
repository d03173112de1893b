"""Guidance of a diffusion model by the profiles of its patches."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from oceanrecon.errors import ConfigError
from oceanrecon.samples.form import FieldName
from oceanrecon.training.diffusion.codecs import Levels, NetworkCode
from oceanrecon.training.diffusion.edm import Denoiser
from oceanrecon.training.diffusion.guidance import Linear, guided
from oceanrecon.training.inference.members import Guide
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.model.reconstructor import Estimate, Reconstructor
from oceanrecon.training.state.patches import Patches
from oceanrecon.training.state.state import State

#: Of a float's sensors, K and PSU: of delayed-mode data of Argo, Wong et al., *Argo Data 1999-2019*, 2020.
_INSTRUMENT: dict[FieldName, float] = {"temperature": 0.002, "salinity": 0.01}


def guide(model: Reconstructor, state: State, strength: float) -> Guide | None:
    """Pulls members towards profiles, by their errors and by the deviation of members from the estimate.

    Args:
        model: whose members.
        state: that scales profiles.
        strength: variances of profiles are divided by it; 0: no guidance, ``None``.

    Raises:
        ConfigError: the strength is below 0; or the model samples no members around an estimate, or diffuses the code
            of a network, which is not linear in what is observed.
    """
    if not 0 <= strength < math.inf:
        raise ConfigError(f"guidance={strength}: give 0, for none, or more")
    if strength == 0:
        return None
    if not isinstance(model, Diffusion):
        raise ConfigError(
            f"guidance={strength} pulls the members of a diffusion model, and this is none: leave guidance out"
        )
    codec = model.codec
    if isinstance(codec, NetworkCode):
        raise ConfigError(
            "profiles cannot guide a model that diffuses an autoencoder's code, which is not linear in them: "
            "sample without guidance, or train with `diffusion.space: levels` or `eof`"
        )
    noise = profile_noise(state)
    # modes are independent of each other; levels vary together, as if they were fewer
    variance = state.statistics.eof.variance.astype(np.float64)
    alike = len(variance) * np.sum(variance**2) / np.sum(variance) ** 2 if isinstance(codec, Levels) else 1.0

    def changed(denoise: Denoiser, patches: Patches, estimate: Estimate) -> Denoiser:
        assert estimate.deviation is not None  # models that diffuse stand on estimates that say it
        residual = model.of == "residual"
        deviation = model.spread[:, None, None] * estimate.deviation if residual else estimate.deviation

        def encode(change: Tensor) -> Tensor:
            return codec.encode(change / deviation if residual else change, patches.wet)[0]

        space = Linear(lambda found: model.decoded(found, patches, estimate), encode)
        return guided(denoise, patches, space, deviation, noise.to(patches.device), strength, alike=alike)

    return changed


def profile_noise(state: State) -> Tensor:
    """Variance of a profile's values about what a pixel has, in squares of scaled anomalies: [C].

    The noise of the statistics, and that of the instrument where their covariance is not of pairs of profiles: of a
    reanalysis it has nothing of instruments.
    """
    of_pairs = state.statistics.provenance["covariance_of"]
    fitted = np.concatenate([field.noise for field in state.covariances()])
    sensors = [0.0 if of_pairs[part.name] == "profiles" else _INSTRUMENT[part.name] for part in state.form.fields]
    scale = state.get_buffer("deviation")
    instrument = torch.tensor(np.repeat(sensors, state.levels)).to(scale) / scale
    return torch.from_numpy(fitted).to(scale) + instrument.square()
