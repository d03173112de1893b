"""Risk: parts are not the field, mix sizes, or are others in half precision."""

from __future__ import annotations

import pytest
import torch

from oceanrecon.training import sizes
from oceanrecon.training.sizes import PARTS, finest, parts


def test_the_parts_of_a_field_are_the_field_and_a_wave_is_in_the_part_of_its_size() -> None:
    across = torch.arange(64.0).expand(1, 1, 64, 64)
    mask = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    mask[..., :10, :10] = False
    shares = []
    for wavelength in (2, 6, 12, 64):
        wave = torch.cos(2 * torch.pi * across / wavelength)
        found = torch.stack([*parts(wave, mask)])
        torch.testing.assert_close(found.sum(dim=0), wave * mask, atol=1e-5, rtol=0)
        size = found[..., 20:-20, 20:-20].square().mean(dim=(1, 2, 3, 4))
        shares.append(int(size.argmax()))
    assert shares == list(range(PARTS))
    with torch.autocast("cpu", torch.bfloat16):  # whose rounding is more than what the sea has at its finest
        assert torch.equal(torch.stack([*parts(wave, mask)]), found)


def test_what_is_alike_everywhere_is_coarse_up_to_the_coast() -> None:
    mask = torch.rand(1, 2, 32, 32, generator=torch.Generator().manual_seed(1)) < 0.7
    *_, coarsest = parts(torch.full(mask.shape, 3.0), mask)
    torch.testing.assert_close(coarsest, 3.0 * mask)


def test_the_finest_is_what_is_left_of_short_waves(monkeypatch: pytest.MonkeyPatch) -> None:
    across = torch.arange(300.0).expand(1, 300, 300)
    mask = torch.ones(1, 300, 300, dtype=torch.bool)
    for wavelength, left in ((2, 0.96), (4, 0.36), (8, 0.02)):  # about (1 - exp(-(2 pi / wavelength)^2 / 2))^3
        wave = torch.cos(2 * torch.pi * across / wavelength)
        found = finest(wave, mask)
        inner = (slice(None), slice(20, -20), slice(20, -20))
        torch.testing.assert_close(found[inner], left * wave[inner], atol=0.01, rtol=0)
    monkeypatch.setattr(sizes, "_BLOCK", 10**6)  # at once
    torch.testing.assert_close(finest(wave, mask), found)


def test_slopes_are_not_fine_at_a_coast_either() -> None:
    down, across = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    mask = torch.ones(1, 40, 50, dtype=torch.bool)
    mask[:, 10:20, 20:30] = False
    slope = (3 * down - 2 * across)[None]
    assert finest(slope, mask).abs().max() < 1e-4
    wave = torch.cos(torch.pi * across)[None]  # of two pixels, in the open sea alone
    found = finest(slope + wave, mask).abs()
    assert found[0, 30, 10] > 0.9 and found[0, 30, 45] > 0.9
    assert not found[:, 7:23, 17:33].any() and not found[..., :3].any()
