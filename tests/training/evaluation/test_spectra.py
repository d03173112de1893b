"""Risk: variance is lost or invented, found at the wrong wavelength, or a smooth field is called a sharp one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from oceanrecon.training.evaluation.spectra import BANDS_KM, KINDS, Spectra, isotropic_spectrum, narrowest_spacing

_KM = np.pi * 6371 / 180


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(
    ("height", "width", "dy", "dx"), [(32, 32, 10.0, 10.0), (24, 40, 12.0, 7.0), (17, 16, 5.0, 9.0)]
)
def test_the_integral_is_the_variance(height: int, width: int, dy: float, dx: float) -> None:
    fields = noise(3, height, width)
    spacing = 1 / min(height * dy, width * dx)
    found = isotropic_spectrum(fields, dy, dx, spacing)
    # independently: a plane by least squares, the window by its formula
    down, across = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    planes = np.stack([np.ones(down.size), down.ravel(), across.ravel()], axis=1)
    window = np.outer(*(np.sin(np.pi * (np.arange(size) + 1) / (size + 1)) ** 2 for size in (height, width)))
    for field, spectrum in zip(fields.numpy(), found.numpy(), strict=True):
        rest = field.ravel() - planes @ np.linalg.lstsq(planes, field.ravel(), rcond=None)[0]
        windowed = rest.reshape(field.shape) * window / np.sqrt((window**2).mean())
        assert spectrum.sum() * spacing == pytest.approx(windowed.var(), rel=1e-10)


def test_a_wave_keeps_its_variance_and_wavelength() -> None:
    """2 cos(x) has variance 2; whole waves in a window lose next to nothing."""
    dx, dy = 8.0, 10.0
    x = torch.arange(128, dtype=torch.float64) * dx
    spacing = 1 / 1024.0
    found = isotropic_spectrum(2 * torch.cos(2 * torch.pi * x / 102.4 + 0.3).expand(96, 128), dy, dx, spacing)
    assert found.sum().item() * spacing == pytest.approx(2.0, rel=0.02)
    middle = (found.argmax().item() + 0.5) * spacing
    assert abs(1 / 102.4 - middle) <= spacing
    near = slice(int(found.argmax()) - 2, int(found.argmax()) + 3)
    assert found[near].sum() / found.sum() > 0.99


def test_a_plane_has_no_spectrum() -> None:
    down, across = torch.meshgrid(torch.arange(20.0).double(), torch.arange(30.0).double(), indexing="ij")
    assert isotropic_spectrum(280 + 0.5 * down - 0.2 * across, 10.0, 10.0, 1 / 200).max() < 1e-20


def patch(latitude: float, smooth: float, sharp: float) -> dict[str, Tensor]:
    """Waves of 320 km and of 64 km; the mean has ``smooth`` of the first's amplitude, members ``sharp`` of both."""
    dx = 0.25 * _KM * np.cos(np.radians(latitude))
    x = torch.arange(64, dtype=torch.float64) * dx
    long, short = torch.sin(2 * torch.pi * x / 320).expand(64, 64), torch.cos(2 * torch.pi * x / 64).expand(64, 64)
    return {
        "target": torch.stack([long + short, long + short]),
        "mean": torch.stack([smooth * long, smooth * long]),
        "member": sharp * torch.stack([long + short, long + short]).expand(3, -1, -1, -1),
    }


def spectra() -> Spectra:
    return Spectra(("temperature",), (5.0, 50.0), 0.25, 0.25, narrowest_spacing(64, 0.25, 0.25, 60.0))


def test_ratios_by_wavelength_over_latitudes() -> None:
    found = spectra()
    for latitude in (0.0, -45.0, 60.0):
        found.add(latitude, torch.tensor([True, False]), patch(latitude, 0.5, 0.9))
    assert found.patches.tolist() == [3, 0]
    assert found.shortest == pytest.approx(2 * 0.25 * _KM)
    at = {band: number for number, band in enumerate(BANDS_KM)}
    ratios = {kind: found.ratio(kind)[0] for kind in KINDS[1:]}
    np.testing.assert_allclose(ratios["member"][1:-1], 0.81, rtol=1e-6)
    assert ratios["mean"][at[200.0]] == pytest.approx(0.25, rel=0.01)
    assert ratios["mean"][at[50.0]] < 0.01
    assert np.isnan(ratios["mean"][0])  # no wave of less than 55 km everywhere
    assert np.isnan(found.ratio("mean")[1]).all()
    assert found.resolved("member")[0] < 70
    assert np.isinf(found.resolved("mean")[0])
    told = found.summary()["fields"]["temperature"]
    assert told["patches"] == [3, 0]
    assert told["ratio"]["mean"][1] == [None] * 6


def test_nothing_added_is_no_spectrum() -> None:
    found = spectra()
    found.add(0.0, torch.tensor([False, False]), patch(0.0, 1.0, 1.0))
    assert found.summary()["fields"]["temperature"]["patches"] == [0, 0]


def test_land_in_a_complete_patch_is_an_error() -> None:
    values = patch(0.0, 1.0, 1.0)
    values["mean"][0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="lacks some mean"):
        spectra().add(0.0, torch.tensor([True, True]), values)
    spectra().add(0.0, torch.tensor([False, True]), values)
