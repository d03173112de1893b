"""Baselines that know no covariance: climatology, and means weighted by distance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from oceanrecon.training.interpolation import EARTH_KM, Columns
from oceanrecon.training.model.reconstructor import Estimate, Reconstructor
from oceanrecon.training.state.patches import Patches
from oceanrecon.transform.covariance import Covariance

_CLOSEST = 0.01  # km: two places that are no farther apart are one


class Climatology(Reconstructor):
    """No anomaly anywhere, with the deviation that anomalies of profiles have on the level."""

    deviation: Tensor

    def __init__(self, covariances: Sequence[Covariance]) -> None:
        """Of the covariance of each field, in the order of the channels."""
        super().__init__()
        variance = np.concatenate([field.signal + field.noise for field in covariances])
        self.register_buffer("deviation", torch.from_numpy(variance).sqrt(), persistent=False)

    def estimate(self, patches: Patches) -> Estimate:
        """The same for all."""
        mean = torch.zeros_like(patches.observed)
        return Estimate(mean, self.deviation[:, None, None].expand_as(mean))


class InverseDistance(Reconstructor):
    """Mean of all observations of a level in the patch, weighted by the inverse square of the great-circle distance.

    A pixel that is observed keeps its value; a level without observations is climatology.
    """

    def estimate(self, patches: Patches) -> Estimate:
        """It does not say how wrong it is."""
        columns = Columns.of(patches.observed_mask, patches.latitude, patches.longitude)
        distance = 2 * EARTH_KM * (columns.reach / (2 * EARTH_KM)).clamp(max=1).asin()
        weights = 1 / (distance.square() + _CLOSEST**2)
        with torch.autocast(weights.device.type, enabled=False):
            total = columns.mask.to(weights.dtype) @ weights
            values = torch.where(columns.mask, columns.at(patches.observed), 0) @ weights
        return Estimate(columns.assembled(torch.where(total > 0, values / total, 0)))
