"""Optimal interpolation of the anomalies of profiles, with its own map of errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from oceanrecon.training.baselines.surface import SurfaceRegression
from oceanrecon.training.interpolation import Columns, Interpolation
from oceanrecon.training.model.reconstructor import Estimate, Reconstructor
from oceanrecon.training.state.patches import Patches
from oceanrecon.transform.covariance import Covariance

_NEAREST = 64  # columns that a pixel learns from: their small matrices are solved as one
_LEAST_LEFT = 0.05  # of the variance: what surface fields never explain


class OptimalInterpolation(Reconstructor):
    """Profiles correct climatology or, where it is fitted, what surface fields say about the depth.

    Lengths, signal and noise are those of the statistics; what surface fields explain is taken from signal and noise
    alike.
    """

    signal: Tensor
    noise: Tensor

    def __init__(self, covariances: Sequence[Covariance], surface: int = 0) -> None:
        """Of the covariance of each field, in the order of the channels.

        Args:
            covariances: of scaled anomalies.
            surface: surface fields that the background is a regression on; 0: it is climatology.
        """
        super().__init__()
        self._interpolation = Interpolation(np.concatenate([field.length_km for field in covariances]).tolist())
        for name in ("signal", "noise"):
            values = np.concatenate([getattr(field, name) for field in covariances])
            self.register_buffer(name, torch.from_numpy(values)[:, None, None], persistent=False)
        self.regression = SurfaceRegression(len(self.signal), surface) if surface else None

    def fit(self, batches: Iterable[Patches]) -> None:
        """Fit the regression on surface fields to training patches; nothing else is fitted here."""
        if self.regression is not None:
            self.regression.fit(batches)

    @torch.no_grad()
    def estimate(self, patches: Patches) -> Estimate:
        """With the deviation of a profile from it: of what is not known of the signal, and of the noise."""
        columns = Columns.of(patches.observed_mask, patches.latitude, patches.longitude, _NEAREST)
        innovations, noise = columns.at(patches.observed), (self.noise / self.signal)[..., 0]
        if self.regression is None:
            mean, error = self._interpolation.analysis(columns, innovations, noise)
            return Estimate(mean, (self.signal * error + self.noise).sqrt())
        background, explained = self.regression(patches)
        left = (1 - explained / (self.signal + self.noise)).clamp(min=_LEAST_LEFT).sqrt()
        # in units of what the surface fields of a place leave: there are more of them in one than in another
        innovations = (innovations - columns.at(background)) / columns.at(left)
        mean, error = self._interpolation.analysis(columns, innovations, noise)
        return Estimate(background + left * mean, left * (self.signal * error + self.noise).sqrt())
