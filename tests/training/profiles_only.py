"""Patches of observations by hand: nothing else is known of them."""

from __future__ import annotations

import datetime as dt

import torch
from torch import Tensor

from oceanrecon.training.state.patches import Patches


def observed(mask: Tensor, values: Tensor, *, west: float, north: float, step: float) -> Patches:
    """Of masked values [B, C, H, W]; the first pixel at ``west`` and ``north``, longitudes in -180..180, degrees."""
    batch, _, height, width = mask.shape
    longitude = (west + step * torch.arange(width) + 180) % 360 - 180
    return Patches(
        day=torch.full((batch,), dt.date(2012, 2, 29).toordinal()),
        latitude=(north - step * torch.arange(height)).expand(batch, -1),
        longitude=longitude.expand(batch, -1),
        row=torch.arange(height).expand(batch, -1),
        column=torch.arange(width).expand(batch, -1),
        observed=values * mask,
        observed_mask=mask,
        age=torch.zeros(batch, 1, height, width),
        surface=torch.zeros(batch, 3, height, width),
        surface_mask=torch.zeros(batch, 3, height, width, dtype=torch.bool),
        wet=torch.ones_like(mask),
    )
