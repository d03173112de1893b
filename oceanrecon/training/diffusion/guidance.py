"""Observations that pull on every step of sampling, as far as their error and what is still uncertain allow.

At a noise level the denoiser gives the mean of the states that are possible. With an observation it would be another
one: the mean moves by an optimal interpolation of what the observation differs by, with the covariance that is left at
this level (the score of a linear-Gaussian likelihood, as in Rozet and Louppe, *Score-based Data Assimilation*, 2023,
without derivatives of the network). Values of observations are never pasted.

That covariance is modelled. What is generated has a deviation and correlations of a length; white noise hides its long
waves last. Of a Gaussian spectrum ``S = A exp(-q)`` (``q``: half the square of wavenumber x length; ``A``: pixels in
2 pi squared lengths) the level ``s`` leaves ``S s^2 / (S + s^2)``: the less noise there is, the smaller and the
shorter is what is uncertain.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from oceanrecon.training.diffusion.edm import Denoiser
from oceanrecon.training.interpolation import EARTH_KM, Columns, Interpolation
from oceanrecon.training.state.patches import Patches

_NEAREST = 64  # columns that a pixel is pulled by
_LENGTH_KM = 100.0  # of what members differ by: 50 to 150 km in the ocean


@dataclass(frozen=True)
class Linear:
    """How states become scaled anomalies, and back."""

    #: affine: states [B, K, H, W] to scaled anomalies [B, C, H, W]
    decode: Callable[[Tensor], Tensor]
    #: linear: changes of scaled anomalies to changes of states
    encode: Callable[[Tensor], Tensor]


def guided(
    denoise: Denoiser,
    patches: Patches,
    space: Linear,
    deviation: Tensor,
    noise: Tensor,
    strength: float,
    *,
    alike: float = 1.0,
) -> Denoiser:
    """A denoiser whose states come close to the profiles of some patches.

    A network that has seen the same profiles has used them already: only what it left is pulled at, but that counts
    twice.

    Args:
        denoise: without guidance, of states [B, K, H, W] whose numbers are about 1.
        patches: whose profiles count; below the sea floor and on land nothing is pulled at.
        space: of the states.
        deviation: of members from the estimate, in scaled anomalies: [B, C, H, W].
        noise: variance of an observation, of its instrument and of what is smaller than pixels: [C].
        strength: variances of observations are divided by it; above 0.
        alike: channels of the state that vary as one, so that noise hides them later; 1 of vertical modes.
    """
    columns = Columns.of(patches.observed_mask, patches.latitude, patches.longitude, _NEAREST)
    observed, scale = columns.at(patches.observed), columns.at(deviation)
    error = noise[:, None] / strength / scale.square()
    pixels = 2 * math.pi * _LENGTH_KM**2 / _pixel(patches) * alike
    interpolation = Interpolation([_LENGTH_KM] * deviation.shape[1])
    some = columns.mask.flatten(1).any(dim=1)[:, None, None, None]

    def pulled(noisy: Tensor, sigma: Tensor) -> Tensor:
        clean = denoise(noisy, sigma)
        left, shorter = _left(pixels / sigma.double().square())
        at_level = dataclasses.replace(
            columns, between=columns.between * shorter, reach=columns.reach * shorter.float()
        )
        innovations = (observed - columns.at(space.decode(clean))) / scale
        change = deviation * interpolation.increments(at_level, innovations, error / left)
        return torch.where(some, clean + space.encode(change * patches.wet), clean)

    return pulled


def _left(ratio: Tensor) -> tuple[Tensor, Tensor]:
    """Of the variance the part that is uncertain, and by which factor its length is shorter: [B, 1, 1, 1] each.

    Args:
        ratio: of the largest variance of a wave to that of the noise, ``A / s^2``: [B].
    """
    # the integral of 1 / (1 + exp(q) / ratio) is log(1 + ratio)
    q = torch.linspace(0, 60, 601, dtype=ratio.dtype, device=ratio.device)
    waves = 1 / (1 + q.exp() / ratio[:, None])
    steep = (waves * q).sum(dim=1) / waves.sum(dim=1)
    shape = (-1, 1, 1, 1)
    return (ratio.log1p() / ratio).view(shape), steep.sqrt().view(shape)


def _pixel(patches: Patches) -> Tensor:
    """Area of the pixel in the middle of each patch, km2: float64 [B]."""
    latitude, longitude = patches.latitude.double().deg2rad(), patches.longitude.double().deg2rad()
    middle = latitude[:, latitude.shape[1] // 2].cos()
    east = (longitude[:, 1] - longitude[:, 0]).remainder(2 * math.pi)
    return EARTH_KM**2 * middle * east * (latitude[:, 0] - latitude[:, 1])
