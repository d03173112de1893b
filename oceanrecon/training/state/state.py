"""From decoded batches to patches of scaled anomalies, and back to K and PSU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid
from oceanrecon.samples.form import SampleForm
from oceanrecon.stores.statistics import Statistics
from oceanrecon.training.data.decode import Tensors
from oceanrecon.training.state.patches import Patches
from oceanrecon.transform.covariance import Covariance
from oceanrecon.transform.harmonic import EPOCH, TERMS, YEAR
from oceanrecon.transform.normalise import PUBLISHED, Normalisation

#: ``anomalies``: from the climatology, by level; ``values``: with one mean and deviation for all levels.
Scaling = Literal["anomalies", "values"]
#: What ``Decode`` has to be made with: K, PSU and m as they are.
PHYSICAL = {quantity: Normalisation(0.0, 1.0) for quantity in PUBLISHED}


class State(nn.Module):
    """Scales samples of a form by the statistics of an export, and knows where the sea floor is."""

    def __init__(
        self, statistics: Statistics, form: SampleForm, grid: RasterGrid, scaling: Scaling = "anomalies"
    ) -> None:
        """Of samples on a grid.

        Args:
            statistics: of the export that is learnt from.
            form: of the samples.
            grid: that they are on: that of the statistics, or a part of it.
            scaling: what a scaled anomaly is.

        Raises:
            ConfigError: the statistics are of other levels, lack a field, or the grid is no part of theirs.
        """
        super().__init__()
        _check(statistics, form, grid)
        self.form, self.statistics, self.scaling = form, statistics, scaling
        self.levels = len(form.depth)
        self.channels = self.levels * len(form.fields)
        self._width, self._row, self._column = grid.width, *_offset(statistics.grid, grid)
        self._dy, self._dx = grid.dy, grid.dx
        self._periodic = statistics.grid.periodic
        fields, surface = [part.name for part in form.fields], list(form.surface)
        if scaling == "anomalies":
            terms = np.concatenate([statistics.terms[name] for name in fields], axis=1)
            above = np.stack([statistics.terms[name] for name in surface], axis=1)
            deviation = np.concatenate([statistics.deviation[name] for name in fields])
            over = np.array([statistics.deviation[name] for name in surface])
        else:
            published = [PUBLISHED[part.quantity] for part in form.fields for _ in range(self.levels)]
            of_surface = [PUBLISHED[part.quantity] for part in form.channels]
            terms, above = _constant(published), _constant(of_surface)
            deviation, over = (np.array([one.std for one in some]) for some in (published, of_surface))
        self._coarse = (terms.shape[-2] / statistics.grid.height, terms.shape[-1] / statistics.grid.width)
        self._keep("deviation", deviation)
        self._keep("_surface_deviation", over)
        self._keep("_terms", terms)
        self._keep("_surface_terms", above)
        # int32, as ranks cannot exchange int16
        self.register_buffer("_deepest", torch.from_numpy(statistics.deepest.astype(np.int32)), persistent=False)

    def _keep(self, name: str, values: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(values, np.float32)), persistent=False)

    def patches(self, decoded: Tensors) -> Patches:
        """What models look at.

        Args:
            decoded: a batch of ``Decode(form, PHYSICAL)``.
        """
        # anomalies are small differences of large numbers: never in half precision
        with torch.autocast(decoded["eo"].device.type, enabled=False):
            return self._patches(decoded)

    def _patches(self, decoded: Tensors) -> Patches:
        rows, columns = self._cells(decoded)
        width = self.statistics.grid.width
        day = ordinals(decoded["date"])
        climatology, surface_climatology = self._climatologies(day, rows, columns)
        scale = self.get_buffer("deviation").reshape(1, -1, 1, 1)

        def fields(name: str) -> Tensor:
            parts = [decoded[f"{name[0]}{part.suffix}{name[1:]}"] for part in self.form.fields]
            return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

        def scaled(values: Tensor, mask: Tensor) -> Tensor:
            return torch.where(mask, (values - climatology) / scale, 0.0)

        observed_mask, target_mask = fields("x_valid_mask"), fields("y_valid_mask")
        over = self.get_buffer("_surface_deviation").reshape(1, -1, 1, 1)
        anomaly = (decoded["eo"] - surface_climatology) / over
        surface_mask = decoded["eo_valid_mask"]
        north, west = self.statistics.grid.north, self.statistics.grid.west
        longitude = west + (columns % width + 0.5) * self._dx
        return Patches(
            day=day,
            latitude=(north - (rows + 0.5) * self._dy).float(),
            longitude=((longitude + 180.0) % 360.0 - 180.0).float(),
            row=rows,
            column=columns % width,
            observed=scaled(fields("x"), observed_mask),
            observed_mask=observed_mask,
            age=decoded["x_age"],
            surface=torch.where(surface_mask, anomaly, 0.0),
            surface_mask=surface_mask,
            wet=self._wet(rows, columns),
            around=torch.full_like(day, width) if self._periodic else None,
            target=scaled(fields("y"), target_mask),
            target_mask=target_mask,
        )

    def values(self, anomalies: Tensor, patches: Patches) -> Tensor:
        """K and PSU of scaled anomalies: [B, ..., C, H, W]; of members of patches, [B, M, C, H, W]."""
        with torch.autocast(anomalies.device.type, enabled=False):
            climatology, _ = self._climatologies(patches.day, patches.row, self._unwrapped(patches.column))
            middle = [1] * (anomalies.ndim - 4)
            climatology = climatology.reshape(len(patches), *middle, *climatology.shape[1:])
            return anomalies.float() * self.get_buffer("deviation").reshape(-1, 1, 1) + climatology

    def covariances(self) -> list[Covariance]:
        """Of each field: how its scaled anomalies are alike at a distance."""
        found = []
        for part in self.form.fields:
            covariance = self.statistics.covariance[part.name]
            scale: Any = 1.0
            if self.scaling == "values":
                # that of the statistics is of anomalies in parts of the deviation of their level
                scale = (self.statistics.deviation[part.name] / PUBLISHED[part.quantity].std) ** 2
            found.append(Covariance(covariance.length_km, covariance.signal * scale, covariance.noise * scale))
        return found

    def modes(self) -> tuple[Tensor, Tensor]:
        """Variances, falling, [C], and vertical modes as rows, [C, C], of the scaled anomalies.

        Raises:
            ConfigError: values are not scaled as the statistics' anomalies are.
        """
        if self.scaling != "anomalies":
            raise ConfigError("the vertical modes of the statistics are of anomalies: take `scaling.of: anomalies`")
        wanted = [
            level
            for number, name in enumerate(self.statistics.fields)
            if name in {part.name for part in self.form.fields}
            for level in range(number * self.levels, (number + 1) * self.levels)
        ]
        eof = self.statistics.eof
        covariance = (eof.modes[:, wanted].T * eof.variance) @ eof.modes[:, wanted]
        variance, modes = torch.linalg.eigh(torch.from_numpy(covariance).double())
        return variance.flip(0), modes.flip(1).T

    def _cells(self, decoded: Tensors) -> tuple[Tensor, Tensor]:
        """Rows [B, H] and columns [B, W] of the grid of the statistics; columns go on beyond its width."""
        first = torch.div(decoded["patch_id"], self._width, rounding_mode="floor") + self._row
        left = decoded["patch_id"] % self._width + self._column
        along = torch.arange(decoded["eo"].shape[-1], device=first.device)
        return first[:, None] + along, left[:, None] + along

    def _unwrapped(self, columns: Tensor) -> Tensor:
        """Columns of a patch that rise from its first: [B, W]."""
        return columns[:, :1] + torch.arange(columns.shape[1], device=columns.device)

    def _climatologies(self, day: Tensor, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Of fields [B, C, H, W] and of surface fields [B, S, H, W], in K, PSU and m."""
        terms, above = self.get_buffer("_terms"), self.get_buffer("_surface_terms")
        now = seasons(day).float()
        cells, down = _splines(rows, self._coarse[0], terms.shape[-2], periodic=False)
        across_cells, across = _splines(columns, self._coarse[1], terms.shape[-1], self._periodic)

        def at(coefficients: Tensor) -> Tensor:
            near = coefficients[:, :, cells[:, :, None], across_cells[:, None, :]]  # [term, C, B, r, c]
            anew = torch.einsum("bt,tkbrc->bkrc", now, near)
            return torch.einsum("bhr,bkrc,bwc->bkhw", down, anew, across)

        return at(terms), at(above)

    def _wet(self, rows: Tensor, columns: Tensor) -> Tensor:
        deepest = self.get_buffer("_deepest")
        count = deepest[rows[:, :, None], (columns % deepest.shape[1])[:, None, :]]
        level = torch.arange(self.levels, device=count.device).repeat(len(self.form.fields))
        return count[:, None] > level[:, None, None]


def ordinals(dates: Tensor) -> Tensor:
    """Proleptic ordinals (1 is 0001-01-01) of YYYYMMDD: int64 [B], on their device, as ``date.toordinal`` has them."""
    year, month, day = dates // 10_000, dates // 100 % 100, dates % 100
    # years begin in March, so that the leap day is their last
    year = torch.where(month > 2, year, year - 1)
    since_march = (month + 9) % 12
    return year * 365 + year // 4 - year // 100 + year // 400 + (153 * since_march + 2) // 5 + day - 306


def seasons(day: Tensor) -> Tensor:
    """The terms of ``transform.harmonic.season`` at ordinals [B]: float64 [B, TERMS]."""
    angle = (day - EPOCH.toordinal()).double() * (2 * torch.pi / YEAR)
    return torch.stack([torch.ones_like(angle), angle.cos(), angle.sin(), (2 * angle).cos(), (2 * angle).sin()], dim=1)


def _splines(pixels: Tensor, cells_per_pixel: float, cells: int, periodic: bool) -> tuple[Tensor, Tensor]:
    """The cells around pixels, and how much each counts: ``grid.coarse.Nesting`` for patches.

    Args:
        pixels: rising by one: [B, n].
        cells_per_pixel: coarse cells in a pixel.
        cells: coarse cells along the axis.
        periodic: whether the last is beside the first.

    Returns:
        Cells, int64 [B, m], and weights, float32 [B, n, m].
    """
    place = (pixels.double() + 0.5) * cells_per_pixel - 0.5
    count = int((pixels.shape[1] - 1) * cells_per_pixel) + 5
    reach = place[:, :1].floor() + torch.arange(-1, count - 1, device=pixels.device)
    far = (place[:, :, None] - reach[:, None, :]).abs()
    weights = torch.where(far < 1, 2 / 3 - far**2 + far**3 / 2, (2 - far).clamp(min=0) ** 3 / 6)
    index = reach.long()
    return index % cells if periodic else index.clamp(0, cells - 1), weights.float()


def _constant(normalisations: Sequence[Normalisation]) -> np.ndarray:
    """Terms of a season that has none: [5, channel, 1, 1]."""
    terms = np.zeros((TERMS, len(normalisations), 1, 1), np.float32)
    terms[0, :, 0, 0] = [one.mean for one in normalisations]
    return terms


def _offset(whole: RasterGrid, part: RasterGrid) -> tuple[int, int]:
    """Row and column of the whole at which the part begins."""
    column = (part.west - whole.west) / whole.dx
    if whole.periodic:
        column %= whole.width
    return round((whole.north - part.north) / whole.dy), round(column)


def _check(statistics: Statistics, form: SampleForm, grid: RasterGrid) -> None:
    wanted: list[str] = [part.name for part in form.fields]
    lacking = [name for name in wanted if name not in statistics.fields]
    lacking += [name for name in form.surface if name not in statistics.surface]
    if lacking:
        raise ConfigError(
            f"the statistics have no {', '.join(lacking)} (they have "
            f"{', '.join((*statistics.fields, *statistics.surface))}): fit them to an export that does, or choose a "
            "scenario and surface fields without"
        )
    if len(statistics.depth) != len(form.depth) or not np.allclose(statistics.depth, form.depth, rtol=1e-4):
        raise ConfigError(
            f"the statistics have {len(statistics.depth)} levels from {statistics.depth[0]:g} to "
            f"{statistics.depth[-1]:g} m, the samples {len(form.depth)} from {form.depth[0]:g} to {form.depth[-1]:g} "
            "m: fit statistics to this export"
        )
    whole = statistics.grid
    row, column = _offset(whole, grid)
    east = (whole.west + column * whole.dx - grid.west + 180.0) % 360.0 - 180.0
    south = whole.north - row * whole.dy - grid.north
    aligned = np.allclose([grid.dx - whole.dx, grid.dy - whole.dy, east, south], 0.0, atol=1e-6)
    inside = 0 <= row and row + grid.height <= whole.height and 0 <= column
    inside = inside and (whole.periodic or column + grid.width <= whole.width)
    if not aligned or not inside:
        raise ConfigError(
            f"the samples are on a grid of {grid.to_dict()}, which is no part of that of the statistics, "
            f"{whole.to_dict()}: take an export on the same cells, or fit statistics to this one"
        )
