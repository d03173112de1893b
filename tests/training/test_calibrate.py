"""Risk: members differ more or less than they err, or at another size."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from oceanrecon.training.loop import calibrate
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.sizes import PARTS, parts
from tests.training import tiny


def test_the_parts_of_a_field_are_the_field_and_a_wave_is_in_the_part_of_its_size() -> None:
    across = torch.arange(64.0).expand(1, 1, 64, 64)
    mask = torch.ones(1, 1, 64, 64, dtype=torch.bool)
    mask[..., :10, :10] = False
    shares = []
    for wavelength in (2, 6, 12, 64):
        wave = torch.cos(2 * torch.pi * across / wavelength)
        found = parts(wave, mask)
        torch.testing.assert_close(found.sum(dim=2), wave * mask, atol=1e-5, rtol=0)
        size = found[..., 20:-20, 20:-20].square().mean(dim=(0, 1, 3, 4))
        shares.append(int(size.argmax()))
    assert shares == list(range(PARTS))


def test_fine_and_coarse_parts_get_the_spread_of_their_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny.model("diffusion")
    assert isinstance(model, Diffusion)
    random = torch.Generator().manual_seed(1)
    given = [tiny.patches(count=8, seed=seed) for seed in range(8)]

    def two_sizes(like: Tensor, fine: float, coarse: float) -> Tensor:
        """White noise, and a number for each level of each patch."""
        whole = torch.randn(*like.shape[:-2], 1, 1, generator=random)
        return fine * torch.randn(like.shape, generator=random) + coarse * whole

    def members(model: object, patches: object, estimate: object, count: int, *_: object) -> Tensor:
        where = next(some for some in given if some is patches).target
        assert where is not None
        truth = where - two_sizes(where, 0.2, 1.0)
        return torch.stack([truth + two_sizes(where, 0.4, 0.5) for _ in range(count)], dim=1)

    monkeypatch.setattr(calibrate, "sampled_members", members)
    calibrate.calibrate(model, given, tiny.settings("diffusion"))
    # white noise of 0.2 where members have 0.4; a mean that errs by 1 where members have 0.5
    torch.testing.assert_close(model.spread[:, :2], torch.full((6, 2), 0.5), atol=0.05, rtol=0)
    torch.testing.assert_close(model.spread[:, -1], torch.full((6,), 2.0), atol=0.4, rtol=0)


def test_a_spread_changes_only_what_is_of_its_size() -> None:
    model = tiny.model("diffusion")
    assert isinstance(model, Diffusion)
    given = tiny.patches()
    estimate = model.estimate(given)
    state = torch.randn(len(given), model.latent, tiny.SIDE, tiny.SIDE, generator=torch.Generator().manual_seed(2))
    before = model.decoded(state, given, estimate) - estimate.mean
    model.spread[:, 0] = 3.0
    after = model.decoded(state, given, estimate) - estimate.mean
    torch.testing.assert_close((after - before)[given.wet], 2 * parts(before, given.wet)[:, :, 0][given.wet])
