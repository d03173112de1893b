"""Fields told apart by the size of what is in them: what filters take, from the finest, and what they leave."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

#: Standard deviations of the filters, which are Gaussian, pixels.
SCALES = (0.7, 1.4, 2.8)
#: A field has a part finer than each, and one that is coarser than all.
PARTS = len(SCALES) + 1
_LEAST = 1e-9


def parts(fields: Tensor, mask: Tensor) -> Iterator[Tensor]:
    """The ``PARTS`` of fields, which are the field together; 0 outside of its mask, which nothing is taken from.

    Args:
        fields: [B, C, H, W].
        mask: of the same shape.

    Yields:
        From the finest: [B, C, H, W].
    """
    field = rest = torch.where(mask > 0, fields, 0.0)
    mask = mask.to(fields.dtype)
    for scale in SCALES:
        smooth = _filtered(field, scale) * (mask / _filtered(mask, scale).clamp(min=_LEAST))
        yield rest - smooth
        rest = smooth
    yield rest


def _filtered(fields: Tensor, scale: float) -> Tensor:
    # products of matrices: convolutions of single channels are ten times slower; of half precision too little is left
    with torch.autocast(fields.device.type, enabled=False):
        down, across = (_band(side, scale, fields) for side in fields.shape[-2:])
        return down @ fields @ across


def _band(side: int, scale: float, like: Tensor) -> Tensor:
    """A Gaussian along one axis, cut off at three deviations, as a matrix."""
    place = torch.arange(side, device=like.device, dtype=like.dtype)
    away = (place[:, None] - place).abs()
    return torch.where(away <= round(3 * scale), (-((away / scale) ** 2) / 2).exp(), 0.0)
