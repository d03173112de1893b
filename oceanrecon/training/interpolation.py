"""Optimal interpolation of observed columns, batched: how a map changes by where observations differ from it.

The covariance of a channel is a variance times ``transform.covariance.correlation``, so that nothing reaches farther
than 3.65 lengths. All columns of a patch are solved for at once, each channel with those that it has. Where there are
very many, the patch falls into blocks, and each takes the columns nearest to its middle.

Method: Bretherton, Davis and Fandry, *A technique for objective analysis*, 1976.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from oceanrecon.transform.covariance import correlation

EARTH_KM = 6371.0
_BLOCKS = (32, 16, 8)  # pixels of a side
_STEP = math.log(1.1)  # channels whose lengths differ less share their correlations
_LEAST_NOISE = 1e-4  # of the variance: so that two columns side by side are told apart


@dataclass(frozen=True)
class Columns:
    """Where columns are observed: the ``P`` of each of ``Q`` blocks of ``N`` pixels; most patches are one block."""

    #: pixel of the patch, row x width + column: int64 [B, Q, P]
    index: Tensor
    #: whether the channel is observed there, False in what fills up: bool [B, Q, C, P]
    mask: Tensor
    #: from column to column, km, straight through the Earth: float64 [B, Q, P, P]
    between: Tensor
    #: from column to pixel of the block, likewise: [B, Q, P, N]
    reach: Tensor
    #: rows and columns of blocks, and of pixels in each
    blocks: tuple[int, int, int, int]
    #: rows and columns of the patch
    shape: tuple[int, int]

    @classmethod
    def of(cls, mask: Tensor, latitude: Tensor, longitude: Tensor, nearest: int | None = None) -> Columns:
        """Find them. The largest number of columns is read back from the device, and nothing else is.

        Args:
            mask: where there are observations: bool [B, C, H, W].
            latitude: of pixel centres, degrees: [B, H].
            longitude: of pixel centres, degrees: [B, W].
            nearest: how many columns a block has at most; default: a patch is one block with all of them.
        """
        height, width = mask.shape[2:]
        some = mask.any(dim=1).flatten(1)
        count = max(1, int(some.sum(dim=1).max()))
        # no two numbers are alike, so that there is one order
        rank = some * (height * width) + torch.arange(height * width, 0, -1, device=mask.device)
        index = rank.topk(count, dim=1).indices[:, None]
        blocks, size = (1, 1, height, width), None
        if nearest is not None and count > nearest:
            # its columns are those of twice its sides, or it is one of the smallest
            sides = (nearest / count * height * width) ** 0.5 / 2
            size = next((size for size in _BLOCKS if size <= sides), _BLOCKS[-1])
            blocks = (-(-height // size), -(-width // size), size, size)
        rows = _blocks_of(latitude.double().deg2rad(), blocks[0], blocks[2]).repeat_interleave(blocks[1], dim=1)
        columns = _blocks_of(longitude.double().deg2rad(), blocks[1], blocks[3]).repeat(1, blocks[0], 1)
        if nearest is not None and size is not None:
            south, east = _places(index, latitude, longitude)
            away = _chords(south, east, rows[:, :, size // 2, None], columns[:, :, size // 2, None])
            away = away.masked_fill(~some.gather(1, index[:, 0])[:, None], math.inf)
            closest = away.topk(nearest, dim=2, largest=False).indices
            index = index.expand(-1, closest.shape[1], -1).gather(2, closest)
        south, east = _places(index, latitude, longitude)
        reach = _chords(
            south[..., None, None], east[..., None, None], rows[:, :, None, :, None], columns[:, :, None, None]
        )
        between = _chords(
            south[..., :, None], east[..., :, None], south[..., None, :], east[..., None, :], torch.float64
        )
        return cls(index, _taken(mask, index), between, reach.flatten(3), blocks, (height, width))

    def at(self, maps: Tensor) -> Tensor:
        """Values of maps [B, C, H, W] in the columns: [B, Q, C, P]."""
        return _taken(maps, self.index)

    def assembled(self, maps: Tensor) -> Tensor:
        """Maps of blocks [B, Q, C, N] as maps of patches: [B, C, H, W]."""
        down, across, height, width = self.blocks
        batch, _, channels, _ = maps.shape
        tiles = maps.reshape(batch, down, across, channels, height, width).permute(0, 3, 1, 4, 2, 5)
        whole = tiles.reshape(batch, channels, down * height, across * width)
        return whole[..., : self.shape[0], : self.shape[1]]


class Interpolation:
    """Of channels with a length each, which is rounded to the next of steps of a tenth."""

    def __init__(self, lengths_km: Sequence[float]) -> None:
        """Of the length of each channel, km: [C]."""
        steps = [round(math.log(length) / _STEP) for length in lengths_km]
        self._groups = [
            (math.exp(step * _STEP), [channel for channel, other in enumerate(steps) if other == step])
            for step in sorted(set(steps))
        ]
        order = [channel for _, channels in self._groups for channel in channels]
        self._back = sorted(range(len(order)), key=order.__getitem__)

    def increments(self, columns: Columns, innovations: Tensor, noise: Tensor) -> Tensor:
        """What observations add to a map.

        Args:
            columns: where they are.
            innovations: how much they differ from the map there: [B, Q, C, P].
            noise: variance of an observation over the variance of the map's error, of a shape that goes with it.

        Returns:
            [B, C, H, W], 0 where nothing is near.
        """
        return self._maps(columns, innovations, noise, False)[0]

    def analysis(self, columns: Columns, innovations: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """As ``increments``, and which part of the variance of the map's error is left: 0 to 1, [B, C, H, W]."""
        mean, error = self._maps(columns, innovations, noise, True)
        assert error is not None
        return mean, error

    @torch.no_grad()
    def _maps(self, columns: Columns, innovations: Tensor, noise: Tensor, wanted: bool) -> tuple[Tensor, Tensor | None]:
        means, errors = [], []
        noise = noise.double().clamp(min=_LEAST_NOISE).expand(columns.mask.shape)
        with torch.autocast(innovations.device.type, enabled=False):
            for length, channels in self._groups:
                mask = columns.mask[:, :, channels]
                # small matrices in double precision: columns side by side are nearly alike
                square = correlation(columns.between, length)[:, :, None]
                square = square * (mask[..., :, None] & mask[..., None, :])
                own = torch.where(mask, noise[:, :, channels], 1.0)
                factor = torch.linalg.cholesky_ex(square + torch.diag_embed(own)).L
                # of each channel a matrix [P, P], one below the other: the rows that a column's correlations meet
                apart = torch.linalg.solve_triangular(factor, torch.diag_embed(mask.double()), upper=False)
                whitened = apart @ torch.where(mask, innovations[:, :, channels], 0).double()[..., None]
                weights = (apart.mT @ whitened)[..., 0].float()
                alike = correlation(columns.reach, length)
                means.append(weights @ alike)
                if wanted:
                    found = apart.float().flatten(2, 3) @ alike
                    errors.append(1 - found.view(*apart.shape[:4], -1).square_().sum(dim=3))
        mean = columns.assembled(torch.cat(means, dim=2)[:, :, self._back])
        error = columns.assembled(torch.cat(errors, dim=2)[:, :, self._back]).clamp(0, 1) if wanted else None
        return mean, error


def _places(index: Tensor, latitude: Tensor, longitude: Tensor) -> tuple[Tensor, Tensor]:
    """Latitude and longitude of pixels, radians: float64 [B, Q, P] each."""
    width = longitude.shape[1]
    flat = index.flatten(1)
    found = (latitude.gather(1, flat // width), longitude.gather(1, flat % width))
    south, east = (degrees.double().deg2rad().view_as(index) for degrees in found)
    return south, east


def _chords(
    latitude: Tensor,
    longitude: Tensor,
    other_latitude: Tensor,
    other_longitude: Tensor,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Straight distance, km, by the haversine formula, in the shape that all go with; float64 radians."""
    north = ((latitude - other_latitude) / 2).sin().square()
    east = ((longitude - other_longitude) / 2).sin().square()
    both = latitude.cos() * other_latitude.cos()
    return 2 * EARTH_KM * (north.to(dtype) + both.to(dtype) * east.to(dtype)).sqrt()


def _blocks_of(coordinates: Tensor, count: int, size: int) -> Tensor:
    """Coordinates [B, n] of each block, the last one repeated to fill up: [B, count, size]."""
    index = torch.arange(count * size, device=coordinates.device).clamp(max=coordinates.shape[1] - 1)
    return coordinates[:, index].view(-1, count, size)


def _taken(maps: Tensor, index: Tensor) -> Tensor:
    """[B, C, H, W] at pixels [B, Q, P]: [B, Q, C, P]."""
    flat = index.flatten(1)[:, None].expand(-1, maps.shape[1], -1)
    return maps.flatten(2).gather(2, flat).view(*maps.shape[:2], *index.shape[1:]).transpose(1, 2)
