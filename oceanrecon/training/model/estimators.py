"""Networks that estimate: of columns, of patches, with and without how wrong they expect to be."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from oceanrecon.training.model.conditions import CONTEXT, channels, conditions, context
from oceanrecon.training.model.reconstructor import Estimate, Reconstructor
from oceanrecon.training.model.unet import UNet
from oceanrecon.training.state.patches import Patches

#: Of the logarithm of how much larger than the first guess's deviation an estimate's may be, or smaller.
_LARGEST = 4.0


class Regression(Reconstructor):
    """A U-Net that corrects a first guess, and says how wrong it expects to be."""

    def __init__(self, net: UNet, guess: Reconstructor | None) -> None:
        """Of a network of ``channels(...)`` in and twice the levels out, and what gives the first guess."""
        super().__init__()
        self.net, self.guess = net, guess

    def estimate(self, patches: Patches) -> Estimate:
        """See ``Reconstructor``."""
        guess = None
        if self.guess is not None:
            with torch.no_grad():
                guess = self.guess.estimate(patches)
        found = self.net(conditions(patches, guess), context(patches)).float()
        mean, ratio = found.chunk(2, dim=1)
        deviation = (_LARGEST * torch.tanh(ratio / _LARGEST)).exp()
        if guess is None:
            return Estimate(mean, deviation)
        assert guess.deviation is not None
        return Estimate(guess.mean + mean, guess.deviation * deviation)


class PlainUNet(Reconstructor):
    """A U-Net that sees neither a first guess nor its own errors: a baseline."""

    def __init__(self, net: UNet) -> None:
        """Of a network of ``channels(...)`` in and the levels out."""
        super().__init__()
        self.net = net

    def estimate(self, patches: Patches) -> Estimate:
        """See ``Reconstructor``."""
        return Estimate(self.net(conditions(patches), context(patches)).float())


class ProfileNetwork(Reconstructor):
    """A network that sees one column at a time, what is above it and what was measured in it: a baseline.

    Where nothing was measured, it knows the surface fields, the place and the season.
    """

    def __init__(self, levels: int, surface: int, fields: int, *, width: int = 256, blocks: int = 3) -> None:
        """For ``levels`` of all ``fields`` together and some ``surface`` fields."""
        super().__init__()
        self._fields, self._depth = fields, levels // fields
        self.stem = nn.Conv2d(channels(levels, surface, guess=False) + CONTEXT, width, 1)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.SiLU(), nn.Conv2d(width, width, 1), nn.SiLU(), nn.Conv2d(width, width, 1))
            for _ in range(blocks)
        )
        self.out = nn.Conv2d(width, levels, 1)
        # neighbours in depth smooth each other
        self.along = nn.Parameter(torch.tensor([0.0, 0.0, 1.0, 0.0, 0.0]))
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def estimate(self, patches: Patches) -> Estimate:
        """See ``Reconstructor``."""
        size = patches.observed.shape
        whole = context(patches)[:, :, None, None].expand(-1, -1, *size[2:])
        state = self.stem(torch.cat([conditions(patches), whole], dim=1))
        for block in self.blocks:
            state = state + block(state)
        return Estimate(self._smoothed(self.out(functional.silu(state)).float()))

    def _smoothed(self, found: Tensor) -> Tensor:
        reach = len(self.along) // 2
        parts = []
        for field in found.chunk(self._fields, dim=1):
            padded = torch.cat([field[:, :1]] * reach + [field] + [field[:, -1:]] * reach, dim=1)
            shifted = [padded[:, first : first + self._depth] for first in range(len(self.along))]
            parts.append(sum(weight * part for weight, part in zip(self.along, shifted, strict=True)))
        return torch.cat(parts, dim=1)
