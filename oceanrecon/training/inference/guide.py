"""Guidance of a diffusion model by the profiles of its patches."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from oceanrecon.errors import ConfigError
from oceanrecon.training.diffusion.codecs import Levels, NetworkCode
from oceanrecon.training.diffusion.edm import Denoiser
from oceanrecon.training.diffusion.guidance import Guidance, Linear, guided
from oceanrecon.training.inference.fuse import Guide
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.model.reconstructor import Estimate
from oceanrecon.training.state.patches import Patches
from oceanrecon.training.state.state import State


def guide(model: Diffusion, state: State, guidance: Guidance) -> Guide:
    """Pulls members towards profiles, which err by the noise of the statistics; members by the estimate's deviation.

    Raises:
        ConfigError: the model diffuses the code of a network, which is not linear in what is observed.
    """
    codec = model.codec
    if isinstance(codec, NetworkCode):
        raise ConfigError(
            "profiles cannot guide a model that diffuses an autoencoder's code, which is not linear in them: "
            "sample without guidance, or train with `diffusion.space: levels` or `eof`"
        )
    noise = torch.from_numpy(np.concatenate([field.noise for field in state.covariances()]))
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
        return guided(denoise, patches, space, deviation, noise.to(patches.device), guidance, alike=alike)

    return changed
