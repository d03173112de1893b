"""Errors of an estimate, cell by cell."""

from __future__ import annotations

import torch
from torch import Tensor

from oceanrecon.training.model.reconstructor import Estimate

#: How much cells that are expected to be wrong still count: 0 is the likelihood itself, which lets the mean wait for
#: them, 1 is like squared errors (Seitzer, Tavakoli, Antic and Martius, *On the Pitfalls of Heteroscedastic Uncertainty
#: Estimation with Probabilistic Neural Networks*, 2022).
_BETA = 0.5


def squares(estimate: Estimate, target: Tensor) -> Tensor:
    """Squared errors of the mean."""
    return (estimate.mean - target).square()


def likelihood(estimate: Estimate, target: Tensor) -> Tensor:
    """Negative logarithm of a Gaussian's density, without its constant: least, on average, at the true deviation."""
    assert estimate.deviation is not None
    variance = estimate.deviation.square()
    return (squares(estimate, target) / variance + variance.log()) / 2


def weighted_likelihood(estimate: Estimate, target: Tensor) -> Tensor:
    """The same, each cell weighted by a power of its variance (beta-NLL): to learn from; its value says nothing."""
    assert estimate.deviation is not None
    return likelihood(estimate, target) * estimate.deviation.detach() ** (2 * _BETA)


def deviations_only(estimate: Estimate, target: Tensor) -> Tensor:
    """The same, while the mean learns by squared errors: only the deviation learns from this."""
    return weighted_likelihood(Estimate(estimate.mean.detach(), estimate.deviation), target)


def mean_of(errors: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted sum and sum of the weights: what ranks add up before they divide."""
    weight = weight.expand_as(errors)
    return (torch.where(weight > 0, errors, 0.0) * weight).sum(), weight.sum()
