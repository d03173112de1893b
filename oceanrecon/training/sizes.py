"""Fields told apart by the size of what is in them: what filters take, from the finest, and what they leave."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

#: Standard deviations of the filters, which are Gaussian, pixels.
SCALES = (0.7, 1.4, 2.8)
#: A field has a part finer than each, and one that is coarser than all.
PARTS = len(SCALES) + 1
_LEAST = 1e-9


def parts(fields: Tensor, mask: Tensor) -> Tensor:
    """The parts of fields, which are the field together; 0 outside of its mask, which nothing is taken from.

    Args:
        fields: [B, C, H, W].
        mask: of the same shape.

    Returns:
        From the finest: [B, C, PARTS, H, W].
    """
    mask = mask.to(fields.dtype)
    field = torch.where(mask > 0, fields, 0.0)
    found, rest = [], field
    for scale in SCALES:
        smooth = mask * _filtered(field, scale) / _filtered(mask, scale).clamp(min=_LEAST)
        found.append(rest - smooth)
        rest = smooth
    return torch.stack([*found, rest], dim=2)


def _filtered(fields: Tensor, scale: float) -> Tensor:
    reach = round(3 * scale)
    place = torch.arange(-reach, reach + 1, device=fields.device, dtype=fields.dtype)
    kernel = (-((place / scale) ** 2) / 2).exp()
    rows = fields.reshape(-1, 1, *fields.shape[-2:])
    rows = functional.conv2d(rows, kernel.view(1, 1, -1, 1), padding=(reach, 0))
    return functional.conv2d(rows, kernel.view(1, 1, 1, -1), padding=(0, reach)).view_as(fields)
