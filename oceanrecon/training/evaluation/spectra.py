"""At which wavelengths fields have their variance: isotropic spectra of patches, and their ratio to the target's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oceanrecon.training.evaluation.groups import EARTH_KM
from oceanrecon.training.evaluation.summary import rounded

#: What has spectra: the dense target, single members, and the best single estimate, which is smoother.
KINDS = ("target", "member", "mean")
#: Limits of bands of wavelength, km, between which ratios are told.
BANDS_KM = (25.0, 50.0, 100.0, 200.0, 400.0, 800.0, 1600.0)
#: Kilometres of a degree of latitude.
_DEGREE_KM = np.pi * EARTH_KM / 180.0


def isotropic_spectrum(fields: Tensor, dy: float, dx: float, spacing: float) -> Tensor:
    """Power density by wavenumber, whatever the direction; its sum times ``spacing`` is the variance.

    A plane is taken away (least squares), and the rest is multiplied by a Hann window in both directions and divided
    by the window's root mean square, so that a field that is alike everywhere keeps its variance. That is the variance
    which the sum over all wavenumbers has (Parseval), about the mean of the windowed field.

    Args:
        fields: complete: [..., H, W].
        dy: distance of rows, km.
        dx: distance of columns, km.
        spacing: width of the classes of wavenumber, cycles per km; the first begins at 0.

    Returns:
        Units squared times km, float64: [..., K]; class k holds wavenumbers from k to k + 1 times ``spacing``, and the
        last one the shortest wave along the diagonal.
    """
    height, width = fields.shape[-2:]
    windowed = _without_plane(fields.double()) * _hann(height, width, fields.device)
    power = torch.fft.fft2(windowed).abs().square() / (height * width) ** 2
    power[..., 0, 0] = 0.0
    number = _classes(height, width, dy, dx, spacing).to(fields.device)
    total = torch.zeros(*fields.shape[:-2], int(number.max()) + 1, dtype=torch.float64, device=fields.device)
    total.index_add_(-1, number.ravel(), power.flatten(-2))
    found: Tensor = total / spacing
    return found


@dataclass
class Spectra:
    """Mean spectra of patches that are ocean throughout, by channel.

    Patches of a grid in degrees are narrower in kilometres the nearer the pole: their spectra share classes of
    wavenumber, which have to be wide enough for the narrowest (``spacing``).
    """

    #: ("temperature", "salinity") or one of them
    fields: tuple[str, ...]
    #: m
    depth: tuple[float, ...]
    #: width and height of cells, degrees
    dx: float
    dy: float
    #: width of classes of wavenumber, cycles per km: one over the narrowest patch
    spacing: float
    #: by kind, sums of densities: [C, K]
    sums: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    #: how many patches have been added: [C]
    patches: NDArray[np.int64] = field(init=False)
    #: shortest wavelength that all patches have in all directions, km
    shortest: float = 0.0

    def __post_init__(self) -> None:
        self.patches = np.zeros(len(self.fields) * len(self.depth), np.int64)

    def add(self, latitude: float, complete: Tensor, values: Mapping[str, Tensor]) -> None:
        """Count one patch.

        Args:
            latitude: of its middle, degrees north.
            complete: channels that are ocean throughout, in all that is compared; others are left out: bool [C].
            values: K and PSU, by each of ``KINDS``: [C, H, W]; of members [M, C, H, W], whose mean spectrum counts; of
                an estimate without members, itself.

        Raises:
            ValueError: a value is missing in a channel that is complete.
        """
        dx, dy = self.dx * _DEGREE_KM * np.cos(np.radians(latitude)), self.dy * _DEGREE_KM
        counts = complete.cpu().numpy()
        if not counts.any():
            return
        for kind in KINDS:
            chosen = values[kind][..., complete, :, :]
            if not bool(chosen.isfinite().all()):
                raise ValueError(f"a patch at {latitude:.1f} degrees north was to be complete, but lacks some {kind}")
            density = isotropic_spectrum(chosen, float(dy), float(dx), self.spacing)
            density = density.mean(dim=0) if density.ndim == 3 else density
            before = self.sums.get(kind, np.zeros((len(self.patches), 0)))
            classes = max(before.shape[1], density.shape[1])
            now = np.zeros((len(self.patches), classes))
            now[:, : before.shape[1]] = before
            now[counts, : density.shape[1]] += density.cpu().numpy()
            self.sums[kind] = now
        self.patches += counts
        self.shortest = max(self.shortest, 2 * float(max(dx, dy)))

    def density(self, kind: str) -> NDArray[np.float64]:
        """Mean spectrum, K² km and PSU² km, NaN where there was no patch: [C, K]."""
        known = self.patches > 0
        found = np.full((len(self.patches), self.sums[kind].shape[1] if self.sums else 0), np.nan)
        if known.any():
            found[known] = self.sums[kind][known] / self.patches[known, None]
        return found

    def wavenumber(self) -> NDArray[np.float64]:
        """Middles of the classes, cycles per km: [K]."""
        classes = self.sums["target"].shape[1] if self.sums else 0
        return (np.arange(classes, dtype=np.float64) + 0.5) * self.spacing

    def ratio(self, kind: str) -> NDArray[np.float64]:
        """Variance in each of ``BANDS_KM`` over the target's: 1 where neither is smoother: [C, band].

        Only whole classes of wavenumber count, by their middles, and no wavelength below ``shortest``; NaN where that
        leaves none.
        """
        wavelength = 1 / self.wavenumber()
        found = np.full((len(self.patches), len(BANDS_KM) - 1), np.nan)
        for number, (low, high) in enumerate(pairwise(BANDS_KM)):
            band = (wavelength >= max(low, self.shortest)) & (wavelength < high)
            ours, target = (self.density(one)[:, band].sum(axis=1) for one in (kind, "target"))
            found[:, number] = np.divide(ours, target, out=np.full(ours.shape, np.nan), where=target > 0)
        return found

    def resolved(self, kind: str, within: tuple[float, float] = (0.8, 1.25)) -> NDArray[np.float64]:
        """Wavelength down to which the ratio, class by class from the longest, stays within limits, km: [C].

        Infinity where even the longest waves are not.
        """
        ours, target = self.density(kind), self.density("target")
        wavelength = 1 / self.wavenumber()
        # the first classes have few waves or none
        usable = (wavelength >= self.shortest) & (np.nansum(target, axis=0) > 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            good = (ours / target >= within[0]) & (ours / target <= within[1])
        found = np.full(len(self.patches), np.inf)
        for channel in range(len(found)):
            for number in np.flatnonzero(usable):
                if not good[channel, number]:
                    break
                found[channel] = wavelength[number]
        return np.where(self.patches > 0, found, np.nan)

    def summary(self) -> dict[str, Any]:
        """What ``evaluation.json`` has: densities, ratios by band, and what is resolved, by field."""
        levels = len(self.depth)
        found: dict[str, Any] = {
            "wavenumber": rounded(self.wavenumber()),
            "shortest_km": rounded(self.shortest),
            "bands_km": list(BANDS_KM),
            "fields": {},
        }
        for number, name in enumerate(self.fields):
            part = slice(number * levels, (number + 1) * levels)
            found["fields"][name] = {
                "patches": self.patches[part].tolist(),
                "density": {kind: rounded(self.density(kind)[part]) for kind in KINDS if kind in self.sums},
                "ratio": {kind: rounded(self.ratio(kind)[part]) for kind in KINDS[1:] if kind in self.sums},
                "resolved_km": {kind: rounded(self.resolved(kind)[part]) for kind in KINDS[1:] if kind in self.sums},
            }
        return found


def narrowest_spacing(pixels: int, dx: float, dy: float, furthest: float) -> float:
    """The spacing that patches of so many pixels need, cycles per km.

    Args:
        pixels: along a side.
        dx: width of cells, degrees.
        dy: height of cells, degrees.
        furthest: from the equator, of the middles of patches, degrees.
    """
    return float(1 / (pixels * _DEGREE_KM * min(dx * np.cos(np.radians(furthest)), dy)))


def _without_plane(fields: Tensor) -> Tensor:
    height, width = fields.shape[-2:]
    # about their means, rows, columns and a constant are orthogonal on a rectangle
    down = (torch.arange(height, dtype=fields.dtype, device=fields.device) - (height - 1) / 2)[:, None]
    across = torch.arange(width, dtype=fields.dtype, device=fields.device) - (width - 1) / 2
    rest = fields - fields.mean(dim=(-2, -1), keepdim=True)
    for axis in (down.expand(height, width), across.expand(height, width)):
        rest = rest - (rest * axis).sum(dim=(-2, -1), keepdim=True) / axis.square().sum() * axis
    return rest


def _hann(height: int, width: int, device: torch.device) -> Tensor:
    """Of mean square 1, without zeros at the ends: [H, W]."""
    sides = [torch.hann_window(size + 2, periodic=False, dtype=torch.float64)[1:-1] for size in (height, width)]
    window = torch.outer(*sides)
    found: Tensor = (window / window.square().mean().sqrt()).to(device)
    return found


def _classes(height: int, width: int, dy: float, dx: float, spacing: float) -> Tensor:
    """The class of each wave of the transform: [H, W]."""
    down = torch.fft.fftfreq(height, dy, dtype=torch.float64)
    across = torch.fft.fftfreq(width, dx, dtype=torch.float64)
    return (torch.hypot(down[:, None], across) / spacing + 1e-9).long()
