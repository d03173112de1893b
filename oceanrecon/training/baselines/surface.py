"""Temperature and salinity at depth as surface fields tell them: linear, of each level, of whatever fields there are.

The first step of ARMOR3D (Guinehut, Dhomps, Larnicol and Le Traon 2012), with the same coefficients everywhere. A field
is told apart by size, since targets are smoother than satellites.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from oceanrecon.training.sizes import PARTS, parts
from oceanrecon.training.state.patches import Patches

_RIDGE = 0.01  # of the variance of each part
_PIXELS = 100.0  # of as many the coefficients are pulled halfway to 0
_LEAST = 1e-9


class SurfaceRegression(nn.Module):
    """Coefficients for each of the ``2^S`` sets of fields that a pixel may have; 0 until they are fitted."""

    #: [set, C, S x part], from the finest; bit s of a set's number says whether it has field s
    coefficients: Tensor
    #: variance of the scaled anomalies that the fields of a set explain: [set, C]
    explained: Tensor

    def __init__(self, channels: int, surface: int) -> None:
        """Of channels to estimate, and of surface fields."""
        super().__init__()
        self.register_buffer("coefficients", torch.zeros(2**surface, channels, PARTS * surface))
        self.register_buffer("explained", torch.zeros(2**surface, channels))

    def forward(self, patches: Patches) -> tuple[Tensor, Tensor]:
        """Scaled anomalies, and which variance they explain: [B, C, H, W] each."""
        surface = _parts(patches).flatten(2).to(self.coefficients.dtype)
        bits = 2 ** torch.arange(patches.surface.shape[1], device=surface.device)
        number = (patches.surface_mask * bits[:, None, None]).sum(dim=1).flatten(1)
        has = (number[:, None] == torch.arange(len(self.explained), device=number.device)[:, None]).to(surface.dtype)
        with torch.autocast(surface.device.type, enabled=False):
            inputs = (has[:, :, None] * surface[:, None]).flatten(1, 2)
            mean = self.coefficients.transpose(0, 1).flatten(1) @ inputs
            explained = self.explained.T @ has
        shape = (*mean.shape[:2], *patches.surface.shape[2:])
        return mean.view(shape), explained.view(shape)

    @torch.no_grad()
    def fit(self, batches: Iterable[Patches]) -> None:
        """Fit to training patches by least squares: to their dense target, or else to their profiles.

        Raises:
            ValueError: no patch has a value where there is a surface field.
        """
        channels, fields = self.coefficients.shape[1:]  # here each part is a field of its own
        shapes = ((channels, fields, fields), (channels, fields, fields), (channels, fields), (channels, fields))
        squares, pairs, crosses, pixels = (torch.zeros(shape, dtype=torch.float64) for shape in shapes)
        for patches in batches:
            values, mask = patches.observed, patches.observed_mask
            if patches.target is not None and patches.target_mask is not None:
                values, mask = patches.target, patches.target_mask
            known = _flat(mask).double()
            values = known * _flat(values)
            there = _flat(patches.surface_mask.repeat_interleave(PARTS, dim=1)).double()
            surface = there * _flat(_parts(patches))
            squares += (known @ _products(surface)).cpu().view_as(squares)
            pairs += (known @ _products(there)).cpu().view_as(pairs)
            crosses += (values @ surface.T).cpu()
            pixels += (known @ there.T).cpu()
        if not pixels.any():
            raise ValueError(
                "no training patch has a profile or a target where it has a surface field: "
                "fit with more patches, or without surface fields"
            )
        covariance, with_fields = squares / pairs.clamp(min=1), crosses / pixels.clamp(min=1)
        size = covariance.diagonal(dim1=1, dim2=2).clamp(min=_LEAST)
        ridge = torch.diag_embed(size * (_RIDGE + _PIXELS / pixels.clamp(min=1)))
        for number in range(1, len(self.explained)):
            some = [field for field in range(fields) if number >> field // PARTS & 1]
            here, aim = covariance[:, some][:, :, some], with_fields[:, some]
            found = torch.linalg.solve(here + ridge[:, some][:, :, some], aim)
            gained = 2 * found * aim - found * (here @ found[..., None])[..., 0]
            self.coefficients[number][:, some] = found.to(self.coefficients)
            self.explained[number] = gained.sum(dim=1).clamp(min=0).to(self.explained)


def _parts(patches: Patches) -> Tensor:
    """Surface fields by size, from the finest, 0 where one is missing: [B, S x part, H, W]."""
    return torch.stack([*parts(patches.surface, patches.surface_mask)], dim=2).flatten(1, 2)


def _flat(maps: Tensor) -> Tensor:
    """[B, C, H, W] as [C, pixels of all]."""
    return maps.transpose(0, 1).flatten(1)


def _products(fields: Tensor) -> Tensor:
    """Of each two of [S, pixels]: [pixels, S x S]."""
    return (fields[:, None] * fields).flatten(0, 1).T
