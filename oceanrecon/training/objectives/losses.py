"""Errors of an estimate, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from oceanrecon.training.model.reconstructor import Estimate
from oceanrecon.training.sizes import parts

#: How much cells that are expected to be wrong still count: 0 is the likelihood itself, which lets the mean wait for
#: them, 1 is like squared errors (Seitzer, Tavakoli, Antic and Martius, *On the Pitfalls of Heteroscedastic Uncertainty
#: Estimation with Probabilistic Neural Networks*, 2022).
_BETA = 0.5
#: Part of the variance of a field that each size has at least.
_LEAST = 1e-3


def squares(estimate: Estimate, target: Tensor) -> Tensor:
    """Squared errors of the mean."""
    return (estimate.mean - target).square()


def sized_squares(errors: Tensor, mask: Tensor, scale: Tensor) -> Tensor:
    """Squared errors that count more where there is less of their size: those of parts of ``errors``, over ``scale``.

    The ocean has next to no variance at its shortest waves, so that plain squares never see that a network adds some.
    What is best on average is the same as with plain squares.

    Args:
        errors: [B, C, H, W].
        mask: where they count, of the same shape.
        scale: of each part: [C, PARTS].
    """
    total = torch.zeros_like(errors)
    for part, factor in zip(parts(errors, mask), (1 / scale).unbind(dim=1), strict=True):
        total = total + part.square() * factor[:, None, None]
    return total


def scale_by_size(fields: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """What squares of errors are to be divided by, size by size: [C, PARTS].

    It is the root of a part's share of the variance. The share itself would have networks learn to be smooth first.

    Args:
        fields: what is to be found, [B, C, H, W], with masks.
    """
    total: Tensor | int = 0
    count: Tensor | int = 0
    for field, mask in fields:
        mask = mask.expand_as(field)
        squared = [part.double().square().sum(dim=(0, 2, 3)) for part in parts(field, mask)]
        total = total + torch.stack(squared, dim=1)
        count = count + mask.sum(dim=(0, 2, 3))[:, None]
    assert isinstance(total, Tensor) and isinstance(count, Tensor)  # a training has patches
    variance = total / count.clamp(min=1)
    whole = variance.sum(dim=1, keepdim=True)
    found: Tensor = torch.where(whole > 0, (variance / whole.clamp(min=1e-30)).clamp(min=_LEAST).sqrt(), 1.0).float()
    return found


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
