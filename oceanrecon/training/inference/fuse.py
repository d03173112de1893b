"""A model on a whole canvas: its tiles see the same noise, and what they find is fused at every step.

Members that tiles sample by themselves differ where they overlap, and their mean varies less than either. Here there is
one noisy state for the whole canvas; only its estimate without noise is made tile by tile. After Bar-Tal, Yariv, Lipman
and Dekel, *MultiDiffusion*, 2023.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from oceanrecon.errors import ConfigError
from oceanrecon.train_config import SamplerSettings
from oceanrecon.training.diffusion.edm import Denoiser
from oceanrecon.training.diffusion.noise import cell_noise, key_of
from oceanrecon.training.diffusion.samplers import Noise
from oceanrecon.training.diffusion.sampling import sample
from oceanrecon.training.inference.canvas import Canvas, Fusion
from oceanrecon.training.inference.members import COLUMNS, Guide
from oceanrecon.training.inference.tiles import CanvasPatches
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.model.reconstructor import Estimate, Generator, Reconstructor
from oceanrecon.training.objectives.visible import in_sampling
from oceanrecon.training.state.patches import Patches

#: Normal numbers that are made at once: each takes some 100 bytes on the way.
_DRAWS = 1 << 22


@dataclass(frozen=True, eq=False)
class Fused:
    """What a model expects on a canvas."""

    patches: CanvasPatches
    #: of the tiles that have water
    fusion: Fusion
    #: scaled anomalies: [C, height, width]
    estimate: Estimate
    #: levels above the sea floor: bool [C, height, width]
    wet: Tensor
    #: of the grid of the statistics, as of ``Patches``: int64 [height] and [width]
    rows: Tensor
    columns: Tensor

    @property
    def canvas(self) -> Canvas:
        """The canvas."""
        return self.patches.canvas

    def batches(self, members: int = 1) -> Iterator[tuple[Sequence[int], Patches, Estimate]]:
        """The tiles with water: their numbers, patches, and the estimate there; fewer at a time for many members."""
        for tiles in self.fusion.batches(max(1, self.patches.batch // members)):
            mean, deviation = self.estimate.mean, self.estimate.deviation
            cut = Estimate(
                self.canvas.cut(mean, tiles), None if deviation is None else self.canvas.cut(deviation, tiles)
            )
            yield tiles, self.patches.read(tiles), cut

    def values(self, anomalies: Tensor) -> Tensor:
        """K and PSU of scaled anomalies, NaN on land and below the sea floor: [..., C, height, width]."""

        def parts() -> Iterator[tuple[Sequence[int], Tensor]]:
            for tiles, patches, _ in self.batches():
                yield tiles, self.patches.state.values(self.canvas.cut(anomalies, tiles), patches)

        return torch.where(self.wet, self.fusion.fused(parts()), torch.nan)


@torch.inference_mode()
def estimated(model: Reconstructor, patches: CanvasPatches) -> Fused:
    """What a model expects.

    Raises:
        ConfigError: there is no water.
    """
    canvas = patches.canvas
    everything = range(len(canvas.corners))
    with_water, wet = [], None
    rows, columns = (torch.zeros(size, dtype=torch.int64) for size in (canvas.height, canvas.width))
    for first in everything[:: patches.batch]:
        tiles = everything[first : first + patches.batch]
        here = patches.read(tiles)
        if wet is None:
            wet = torch.zeros(here.wet.shape[1], canvas.height, canvas.width, dtype=torch.bool, device=here.device)
        for tile, part, row, column in zip(tiles, here.wet, here.row.cpu(), here.column.cpu(), strict=True):
            canvas.paste(wet, tile, part)
            down, across = canvas.corners[tile]
            rows[down : down + canvas.tile] = row
            columns[(across + torch.arange(canvas.tile)) % canvas.width] = column
            if part.any():
                with_water.append(tile)
    assert wet is not None  # a canvas has a tile
    if not canvas.crop(wet).any():
        raise ConfigError("the box has no pixel of water: give another one")
    fusion = Fusion(canvas, with_water, patches.device)

    def parts() -> Iterator[tuple[Sequence[int], Tensor]]:
        for tiles in fusion.batches(patches.batch):
            found = model.estimate(patches.read(tiles))
            both = [found.mean] if found.deviation is None else [found.mean, found.deviation]
            yield tiles, torch.stack(both, dim=1)

    fused = fusion.fused(parts())
    estimate = Estimate(fused[0], fused[1] if len(fused) == 2 else None)
    return Fused(patches, fusion, estimate, wet, rows.to(patches.device), columns.to(patches.device))


@torch.inference_mode()
def members(
    model: Generator, fused: Fused, numbers: Sequence[int], *, date: dt.date, seed: int, sampler: SamplerSettings,
    guide: Guide | None = None,
) -> Tensor:  # fmt: skip
    """Some members: scaled anomalies [member, C, height, width].

    The noise of a cell depends on the seed, the date, the member and the cell alone: another canvas that has the cell
    has the same.

    Args:
        model: that samples.
        fused: its estimate.
        numbers: of the members.
        date: of the patches.
        seed: of the ensemble.
        sampler: which, and how many steps.
        guide: changes the denoiser of some patches; default: nothing.
    """
    keys = [key_of(seed, date.toordinal(), number) for number in numbers]
    noise, draws = _noise(fused, model, keys), _draws(model, fused, keys)
    state = sample(_denoiser(model, fused, draws, guide), noise, model.levels, sampler)

    def parts() -> Iterator[tuple[Sequence[int], Tensor]]:
        for tiles, patches, estimate in fused.batches(len(numbers)):
            own = fused.canvas.cut(state, tiles)
            repeated = patches.repeated(len(numbers))
            found = model.decoded(own.flatten(0, 1), repeated, _repeated(estimate, len(numbers)))
            yield tiles, found.reshape(*own.shape[:2], *found.shape[1:])

    return model.finished(fused.fusion.fused(parts()), fused.wet, around=fused.canvas.circle)


def _denoiser(model: Generator, fused: Fused, draws: Tensor | None, guide: Guide | None) -> Denoiser:
    """Of states of the whole canvas: [member, latent, height, width]."""
    canvas = fused.canvas

    def denoise(state: Tensor, sigma: Tensor) -> Tensor:
        count = len(state)

        def parts() -> Iterator[tuple[Sequence[int], Tensor]]:
            for tiles, patches, estimate in fused.batches(count):
                own = canvas.cut(state, tiles)
                repeated, expected = patches.repeated(count), _repeated(estimate, count)
                if draws is None:
                    local = model.denoiser(repeated, expected)
                else:
                    assert isinstance(model, Diffusion)
                    visible = in_sampling(model, repeated, canvas.cut(draws, tiles).flatten(0, 1))
                    local = model.denoiser(repeated, expected, visible)
                if guide is not None:
                    local = guide(local, repeated, expected)
                yield tiles, local(own.flatten(0, 1), sigma).reshape(own.shape)

        return fused.fusion.fused(parts())

    return denoise


def _repeated(estimate: Estimate, times: int) -> Estimate:
    deviation = estimate.deviation
    return Estimate(
        estimate.mean.repeat_interleave(times, dim=0),
        None if deviation is None else deviation.repeat_interleave(times, dim=0),
    )


def _noise(fused: Fused, model: Generator, keys: Sequence[tuple[int, int]]) -> Noise:
    """Noise of the whole canvas by number: [member, latent, height, width]."""
    grid = fused.canvas.grid
    strip = max(1, _DRAWS // (model.latent * len(fused.columns)))
    around = torch.tensor(grid.width, device=fused.columns.device) if grid.periodic else None

    def noise(number: int) -> Tensor:
        return torch.stack(
            [
                torch.cat(
                    [model.noise(rows, fused.columns, around, number, key) for rows in torch.split(fused.rows, strip)],
                    dim=1,
                )
                for key in keys
            ]
        )

    return noise


def _draws(model: Generator, fused: Fused, keys: Sequence[tuple[int, int]]) -> Tensor | None:
    """What decides where a network sees the state, if it learnt to see little: 0 to 1, [member, 1, height, width]."""
    if not isinstance(model, Diffusion) or model.sees_all:
        return None
    noise = torch.stack([cell_noise(fused.rows, fused.columns, 1, COLUMNS, key) for key in keys])
    found: Tensor = torch.special.ndtr(noise)
    return found
