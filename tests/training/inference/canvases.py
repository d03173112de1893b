"""Canvases without files: patches of nothing but places, and a model whose samples are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from oceanrecon.grid import RasterGrid
from oceanrecon.training.diffusion.edm import Denoiser, NoiseLevels
from oceanrecon.training.diffusion.noise import cell_noise
from oceanrecon.training.inference.canvas import Canvas
from oceanrecon.training.model.reconstructor import Estimate, Generator
from oceanrecon.training.state.patches import Patches

#: 7.5 degrees
GLOBE = RasterGrid.from_bounds(7.5, (-180, -90, 180, 90))
CHANNELS = 4


def not_zero(model: nn.Module) -> None:
    """Random weights where an untrained network has zeros, and would ignore its conditions."""
    torch.manual_seed(7)
    for values in model.parameters():
        if not values.any():
            nn.init.normal_(values, std=0.05)


class Places:
    """Stands for ``CanvasPatches``: water everywhere, or where it is said to be, and no observation."""

    def __init__(self, canvas: Canvas, *, channels: int = CHANNELS, surface: int = 1, batch: int = 4,
                 wet: Tensor | None = None) -> None:  # fmt: skip
        self.canvas, self.batch, self.device = canvas, batch, torch.device("cpu")
        self.state: Any = self
        self._channels, self._surface = channels, surface
        everywhere = torch.ones(channels, canvas.height, canvas.width, dtype=torch.bool)
        self._wet = everywhere if wet is None else wet

    def read(self, tiles: Sequence[int]) -> Patches:
        size, count = self.canvas.tile, len(tiles)
        corners = torch.tensor([self.canvas.corners[tile] for tile in tiles])
        along = torch.arange(size)
        nothing = torch.zeros(count, self._channels, size, size)
        grid = self.canvas.grid
        rows = self.canvas.row + corners[:, :1] + along
        columns = (self.canvas.column + corners[:, 1:] + along) % grid.width
        return Patches(
            day=torch.full((count,), 737_000),
            latitude=(grid.north - (rows + 0.5) * grid.dy).float(),
            longitude=(grid.west + (columns + 0.5) * grid.dx).float(),
            row=rows,
            column=columns,
            observed=nothing,
            observed_mask=nothing.bool(),
            age=nothing[:, :1],
            surface=nothing[:, : self._surface],
            surface_mask=nothing[:, : self._surface].bool(),
            wet=self.canvas.cut(self._wet, tiles),
        )

    def values(self, anomalies: Tensor, patches: Patches) -> Tensor:
        """As of ``State``, where the climatology is the latitude."""
        assert patches.latitude.shape[1] == anomalies.shape[-2]
        place = patches.latitude.reshape(len(patches), *[1] * (anomalies.ndim - 3), -1, 1)
        return anomalies + place


class Gaussian(Generator):
    """Knows the answer: fields of variance 1 whose covariance falls off as a Gaussian, alike in all channels."""

    def __init__(self, tile: int, length: float, channels: int = CHANNELS) -> None:
        super().__init__()
        self.latent, self.levels = channels, NoiseLevels()
        places = torch.cartesian_prod(torch.arange(tile), torch.arange(tile)).double()
        covariance = (-0.5 * (torch.cdist(places, places) / length).square()).exp()
        values, self.vectors = torch.linalg.eigh(covariance)
        self.variances = values.clamp(min=0)

    def estimate(self, patches: Patches) -> Estimate:
        return Estimate(patches.observed, torch.ones_like(patches.observed))

    def denoiser(self, patches: Patches, estimate: Estimate) -> Denoiser:
        def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
            assert noisy.shape[0] == len(patches) == len(estimate.mean)
            kept = self.variances / (self.variances + sigma.double().square())
            smooth: Tensor = self.vectors * kept @ self.vectors.T
            return (noisy.double().flatten(2) @ smooth).reshape(noisy.shape).float()

        return denoise

    def noise(self, rows: Tensor, columns: Tensor, around: Tensor | None, number: int, key: tuple[int, int]) -> Tensor:
        return cell_noise(rows, columns, self.latent, number, key)

    def decoded(self, state: Tensor, patches: Patches, estimate: Estimate) -> Tensor:
        return estimate.mean[:, :1] + state
