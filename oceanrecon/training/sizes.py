"""Fields told apart by the size of what is in them: what filters take, from the finest, and what they leave."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

#: Standard deviations of the filters, which are Gaussian, pixels.
SCALES = (0.7, 1.4, 2.8)
#: A field has a part finer than each, and one that is coarser than all.
PARTS = len(SCALES) + 1
#: Pixels that the finest of fields is filtered from on either side.
REACH = 9
#: Standard deviation of the filter that leaves the finest out, pixels, and how often it does.
_SHORTEST, _TIMES = 1.0, 3
#: Part of the filter that may lie beyond an edge: rounding.
_EDGE = 1e-5
_LEAST = 1e-9
#: Pixels that are filtered by one matrix.
_BLOCK = 256


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


def finest(fields: Tensor, mask: Tensor) -> Tensor:
    """What of fields is at their shortest waves, some two to four pixels.

    What a Gaussian filter takes off, of that again, and again: of waves of two pixels it is all but 4 %, of four a
    third, of eight 2 %. Where the filter would reach beyond the mask or the fields, nothing is: it would take slopes
    for waves.

    Args:
        fields: [..., H, W].
        mask: of a shape that goes with it.
    """
    reach = round(3 * _SHORTEST)
    whole = sum(math.exp(-((place / _SHORTEST) ** 2) / 2) for place in range(-reach, reach + 1)) ** 2
    inside = _filtered(mask.to(fields.dtype), _SHORTEST) > (1 - _EDGE) * whole
    found = torch.where(mask > 0, fields, 0.0)
    for _ in range(_TIMES):
        found = torch.where(inside, found - _filtered(found, _SHORTEST) / whole, 0.0)
    return found


def _filtered(fields: Tensor, scale: float) -> Tensor:
    # products of matrices: convolutions of single channels are ten times slower; of half precision too little is left
    with torch.autocast(fields.device.type, enabled=False):
        return _along(_along(fields, scale).mT, scale).mT


def _along(fields: Tensor, scale: float) -> Tensor:
    """The last axis, filtered with a Gaussian that is cut off at three deviations."""
    side, reach = fields.shape[-1], round(3 * scale)
    place = torch.arange(side, device=fields.device, dtype=fields.dtype)
    done = []
    for first in range(0, side, _BLOCK):
        last = min(first + _BLOCK, side)
        near = slice(max(first - reach, 0), last + reach)
        away = (place[near, None] - place[first:last]).abs()
        band = torch.where(away <= reach, (-((away / scale) ** 2) / 2).exp(), 0.0)
        done.append(fields[..., near] @ band)
    return torch.cat(done, dim=-1) if len(done) > 1 else done[0]
