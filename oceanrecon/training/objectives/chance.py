"""Chance in training: of the seed, the row and the step, so that it is the same on one rank and on two."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from oceanrecon.training.diffusion.noise import key_of, normals, uniforms


@dataclass(frozen=True)
class Chance:
    """Draws for the patches of one step; what they are for keeps them apart."""

    seed: int
    #: that count up through the whole training
    step: int
    #: of the data set: int64 [B]
    rows: Tensor

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        """Numbers between 0 and 1 for each patch: [B, *shape]."""
        return self._draw(uniforms, purpose, shape)

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """Standard normal numbers for each patch: [B, *shape]."""
        return self._draw(normals, purpose, shape)

    def _draw(self, draw: object, purpose: str, shape: tuple[int, ...]) -> Tensor:
        assert callable(draw)
        size = math.prod(shape)
        quarters = torch.arange(math.ceil(size / 4), device=self.rows.device)
        found: Tensor = draw((quarters[None], self.rows[:, None], self.step, 0), key_of(self.seed, purpose))
        return found.flatten(1)[:, :size].reshape(-1, *shape)
