"""Noise as smooth as what it is added to.

White noise is rough and the ocean is smooth: a network would first have to learn to take roughness away, at noise
levels where it sees little else. Noise is therefore filtered, channel by channel, to the spatial correlation of the
states that are diffused. A solver walks the same equation, since a filter is a change of variables; and a denoiser
that knows nothing but the variance is already the best one for a Gaussian field of that correlation.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares
from torch import Tensor, nn
from torch.nn import functional

#: Standard deviations of the Gaussian filters that are added, pixels; 0: white.
SCALES = (0.0, 0.7, 1.0, 2.0, 4.0, 8.0)
#: Pixels that filters reach beyond a patch.
HALO = 20
#: Lags that correlations are fitted at, pixels, and pairs without which nothing is fitted.
_LAGS, _PAIRS = 12, 1000
#: Pixels that are filtered by one matrix.
_BLOCK = 128
#: Square of its amplitude below which a white part is taken for a misfit of the others: it would be what is seen most
#: in fields that have next to no variance at the shortest waves.
_WHITE = 0.05


class NoiseShape(nn.Module):
    """Filters white noise; until it is fitted, it leaves noise white."""

    #: of each filter: [channel, scale]; the noise has a variance of 1
    amplitude: Tensor

    def __init__(self, channels: int) -> None:
        """Of so many channels."""
        super().__init__()
        self.register_buffer("amplitude", torch.zeros(channels, len(SCALES)))
        self.amplitude[:, 0] = 1.0
        self.register_buffer("_kernels", torch.from_numpy(_kernels()).float(), persistent=False)

    def forward(self, white: Tensor) -> Tensor:
        """Noise [..., channel, H, W] of white noise [..., channel, H + 2 HALO, W + 2 HALO]."""
        inner = white[..., HALO:-HALO, HALO:-HALO]
        found = self.amplitude[:, 0, None, None] * inner
        with torch.autocast(white.device.type, enabled=False):
            for number in range(1, len(SCALES)):
                kernel = self.get_buffer("_kernels")[number]
                smooth = _filtered(_filtered(white, kernel).mT, kernel).mT
                found = found + self.amplitude[:, number, None, None] * smooth
        return found

    def fit(self, states: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Learn the correlation of states, [B, channel, H, W], where their masks are; along rows and columns alike."""
        channels = len(self.amplitude)
        products, pairs = np.zeros((channels, _LAGS)), np.zeros((channels, _LAGS))
        for state, mask in states:
            values = torch.where(mask, state, 0.0).double()
            known = mask.expand_as(state).double()
            for lag in range(_LAGS):
                for axis in (2, 3):
                    if values.shape[axis] <= lag:
                        continue
                    size = values.shape[axis] - lag
                    first, second = values.narrow(axis, 0, size), values.narrow(axis, lag, size)
                    both = known.narrow(axis, 0, size) * known.narrow(axis, lag, size)
                    products[:, lag] += (first * second).sum(dim=(0, 2, 3)).cpu().numpy()
                    pairs[:, lag] += both.sum(dim=(0, 2, 3)).cpu().numpy()
        for channel in range(channels):
            if pairs[channel].min() < _PAIRS or products[channel, 0] <= 0:
                continue  # profiles alone: too few are near each other
            covariance = products[channel] / pairs[channel]
            self.amplitude[channel] = torch.from_numpy(_fitted(covariance / covariance[0])).float()


def _filtered(fields: Tensor, kernel: Tensor) -> Tensor:
    """Along the last axis, which loses its halo; as products of matrices, which are ten times as fast."""
    size = fields.shape[-1] - 2 * HALO
    blocks = [(first, min(first + _BLOCK, size)) for first in range(0, size, _BLOCK)]
    return torch.cat([fields[..., first : last + 2 * HALO] @ _band(kernel, last - first) for first, last in blocks], -1)


def _band(kernel: Tensor, side: int) -> Tensor:
    """A filter as a matrix: [side + 2 HALO, side]."""
    rows = functional.pad(kernel, (0, side)).repeat(side)[: side * (side + 2 * HALO)]
    return rows.view(side, side + 2 * HALO).T


def _kernels() -> NDArray[np.float64]:
    """Gaussians along one axis, so that filtered white noise has a variance of 1: [scale, 2 HALO + 1]."""
    place = np.arange(-HALO, HALO + 1)
    found = np.stack([np.exp(-((place / scale) ** 2) / 2) if scale else 1.0 * (place == 0) for scale in SCALES])
    normal: NDArray[np.float64] = found / np.sqrt((found**2).sum(axis=1, keepdims=True))
    return normal


def _covariances() -> NDArray[np.float64]:
    """Of noise filtered by two kernels, at the lags along one axis: [scale, scale, lag]."""
    kernels = _kernels()
    found = np.zeros((len(SCALES), len(SCALES), _LAGS))
    for one in range(len(SCALES)):
        for other in range(len(SCALES)):
            along = np.correlate(kernels[one], kernels[other], "full")
            middle = len(along) // 2
            found[one, other] = along[middle] * along[middle : middle + _LAGS]  # the other axis has no lag
    return found


def _fitted(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amplitudes whose noise has that correlation, as nearly as they can: [scale]; near lags count most."""
    table = _covariances()
    weight = 1 / (1.0 + np.arange(_LAGS))

    def misfit(amplitude: NDArray[np.float64]) -> NDArray[np.float64]:
        wanted: NDArray[np.float64] = weight * (np.einsum("s,stl,t->l", amplitude, table, amplitude) - correlation)
        return wanted

    start = np.full(len(SCALES), 0.4)
    amplitude = least_squares(misfit, start, bounds=(0.0, 2.0)).x
    if amplitude[0] ** 2 < _WHITE:
        most = np.array([1e-9, *[2.0] * (len(SCALES) - 1)])
        amplitude = least_squares(misfit, np.minimum(start, most / 2), bounds=(0.0, most)).x
        amplitude[0] = 0.0
    total = np.einsum("s,st,t->", amplitude, table[:, :, 0], amplitude)
    found: NDArray[np.float64] = amplitude / np.sqrt(total)
    return found
