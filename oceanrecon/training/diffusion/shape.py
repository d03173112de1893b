"""Noise as smooth as what it is added to.

White noise is rough and the ocean is smooth: a network would first have to learn to take roughness away, at noise
levels where it sees little else. Noise is therefore filtered, channel by channel, to the spatial correlation of the
states that are diffused. A solver walks the same equation, since a filter is a change of variables; and a denoiser
that knows nothing but the variance is already the best one for a Gaussian field of that correlation.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import comb

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
#: Orders of the differences along an axis whose variances are fitted, too: the higher, the shorter their waves.
_ORDERS = (1, 2, 3, 4, 6)
#: What a logarithm of them counts beside a correlation.
_COUNTS = 0.05


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
        """Learn the correlation of states, [B, channel, H, W], where their masks are; along rows and columns alike.

        Correlations say nothing of the shortest waves, where the ocean has a thousandth of its variance or less. So the
        variances of differences along rows and columns are fitted, too.
        """
        channels = len(self.amplitude)
        products, pairs = np.zeros((channels, _LAGS)), np.zeros((channels, _LAGS))
        squares, places = np.zeros((channels, len(_ORDERS))), np.zeros((channels, len(_ORDERS)))
        for state, mask in states:
            values = torch.where(mask, state, 0.0).double()
            known = mask.expand_as(state).double()
            for axis in (2, 3):
                for lag in range(min(_LAGS, values.shape[axis])):
                    size = values.shape[axis] - lag
                    first, second = values.narrow(axis, 0, size), values.narrow(axis, lag, size)
                    both = known.narrow(axis, 0, size) * known.narrow(axis, lag, size)
                    products[:, lag] += _summed(first * second)
                    pairs[:, lag] += _summed(both)
                for number, order in enumerate(_ORDERS):
                    if values.shape[axis] > order:
                        all_known = known.unfold(axis, order + 1, 1).amin(dim=-1)
                        squares[:, number] += _summed((values.diff(order, dim=axis) * all_known).square())
                        places[:, number] += _summed(all_known)
        for channel in range(channels):
            if min(pairs[channel].min(), places[channel].min()) < _PAIRS or products[channel, 0] <= 0:
                continue  # profiles alone: too few are near each other
            covariance = products[channel] / pairs[channel]
            rough = squares[channel] / places[channel] / covariance[0]
            self.amplitude[channel] = torch.from_numpy(_fitted(covariance / covariance[0], rough)).float()


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


def _differences(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variances of the differences along an axis, of each of ``_ORDERS``, by covariances at its lags: [..., order]."""
    found = []
    for order in _ORDERS:
        binomial = [comb(2 * order, order + lag) * (-1) ** lag * (1 if lag == 0 else 2) for lag in range(order + 1)]
        found.append(covariance[..., : order + 1] @ np.array(binomial, dtype=np.float64))
    return np.stack(found, axis=-1)


def _fitted(correlation: NDArray[np.float64], rough: NDArray[np.float64]) -> NDArray[np.float64]:
    """Amplitudes whose noise has that correlation, near lags first, and differences of that variance: [scale]."""
    table = _covariances()
    orders = _differences(table)
    weight = 1 / (1.0 + np.arange(_LAGS))
    wanted = np.log(rough.clip(min=1e-12))

    def misfit(amplitude: NDArray[np.float64]) -> NDArray[np.float64]:
        near = weight * (np.einsum("s,stl,t->l", amplitude, table, amplitude) - correlation)
        fine = np.log(np.einsum("s,sto,t->o", amplitude, orders, amplitude).clip(min=1e-12)) - wanted
        return np.concatenate([near, _COUNTS * fine])

    start = np.array([0.01, 0.03, 0.1, 0.3, 0.4, 0.4])
    amplitude = least_squares(misfit, start, bounds=(0.0, 2.0), x_scale=start).x
    total = np.einsum("s,st,t->", amplitude, table[:, :, 0], amplitude)
    found: NDArray[np.float64] = amplitude / np.sqrt(total)
    return found


def _summed(values: Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = values.sum(dim=(0, 2, 3)).cpu().numpy()
    return found
