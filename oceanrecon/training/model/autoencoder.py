"""An autoencoder of columns: what levels have to say, in fewer channels on the same pixels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class Autoencoder(nn.Module):
    """Convolutions over pixels, levels as channels; it sees which levels there are."""

    def __init__(self, levels: int, channels: int, widths: Sequence[int]) -> None:
        """Of ``levels`` of all fields together, in so many channels, through layers of some widths."""
        super().__init__()
        self.levels, self.channels, self.widths = levels, channels, tuple(widths)
        self.encoder = _layers([2 * levels, *widths, channels])
        self.decoder = _layers([channels, *reversed(widths), levels])

    def encode(self, field: Tensor, mask: Tensor) -> Tensor:
        """[B, levels, H, W] and where it has values to [B, channels, H, W]."""
        found: Tensor = self.encoder(torch.cat([torch.where(mask, field, 0.0), mask.to(field.dtype)], dim=1))
        return found.float()

    def decode(self, code: Tensor) -> Tensor:
        """[B, channels, H, W] to [B, levels, H, W]."""
        found: Tensor = self.decoder(code)
        return found.float()


def _layers(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(widths)):
        last = number == len(widths) - 2
        # the code itself is of single pixels
        layers.append(nn.Conv2d(before, after, 1 if last else 3, padding=0 if last else 1))
        if not last:
            layers.append(nn.GELU())
    return nn.Sequential(*layers)
