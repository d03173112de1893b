"""Risks: members differ more or less than they err, or are rougher than the ocean."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from oceanrecon.training.loop import calibrate
from oceanrecon.training.model.diffusion import Diffusion
from tests.training import tiny


@pytest.mark.parametrize(("error", "spread"), [(0.2, 0.4), (0.5, 0.25)])
def test_members_get_the_spread_of_their_errors(monkeypatch: pytest.MonkeyPatch, error: float, spread: float) -> None:
    """Four members differ by ``spread`` from a mean that errs by ``error``; the mean of four errs by more."""
    model = tiny.model("diffusion")
    assert isinstance(model, Diffusion)
    random = torch.Generator().manual_seed(1)
    given = [tiny.patches(count=8, seed=seed, column=100) for seed in range(8)]

    def members(model: object, patches: object, estimate: object, count: int, *_: object) -> Tensor:
        target = next(some for some in given if some is patches).target
        assert target is not None
        mean = target + error * torch.randn(target.shape, generator=random)
        return torch.stack([mean + spread * torch.randn(mean.shape, generator=random) for _ in range(count)], dim=1)

    monkeypatch.setattr(calibrate, "sampled_members", members)
    calibrate.calibrate(model, lambda: given, tiny.settings("diffusion"))
    torch.testing.assert_close(model.spread, torch.full((6,), error / spread), atol=0.02, rtol=0.02)
    assert (model.smoothing > 0.1).all()  # white noise is rougher than any target
    # profiles alone do not tell
    shape = (8, 4, *given[0].observed.shape[1:])
    monkeypatch.setattr(calibrate, "sampled_members", lambda *_: torch.randn(*shape, generator=random))
    ambient = [{"network": name, "objective": "ambient", "samples": 16} for name in ("estimate", "diffusion")]
    calibrate.calibrate(model, lambda: given, tiny.settings("diffusion", stages=ambient))
    assert not model.smoothing.any()


def test_members_are_smoothed_until_their_short_waves_vary_as_the_target_does() -> None:
    """Waves of three pixels, of which the finest has (1 - exp(-(2 pi / 3)^2 / 2))^3 = 0.70, twice as high as wanted."""
    across = torch.arange(64.0).expand(2, 2, 64, 64)
    coarse, fine = torch.cos(2 * torch.pi * across / 24), torch.cos(2 * torch.pi * across / 3)
    mask = torch.ones(2, 2, 64, 64, dtype=torch.bool)
    mask[0, :, :3] = False  # the first patch has land and does not count
    target = coarse + 0.1 * fine
    target[0] += fine[0]
    task = SimpleNamespace(target=target, mask=mask, given=SimpleNamespace(latitude=torch.zeros(2, 64)))
    members = torch.stack([coarse + 0.2 * fine, coarse - 0.2 * fine], dim=1)
    members[:, :, 1] = coarse[:, None, 1]  # this level is too smooth already
    found = calibrate._smoothing([(task, members.repeat(1, 2, 1, 1, 1))], like=torch.zeros(2, dtype=torch.float64))  # type: ignore[list-item]
    torch.testing.assert_close(found, torch.tensor([0.5 / 0.70, 0.0], dtype=torch.float64), atol=0.02, rtol=0)
    land = SimpleNamespace(target=target[:1], mask=mask[:1], given=SimpleNamespace(latitude=torch.zeros(1, 64)))
    none = calibrate._smoothing([(land, members[:1].repeat(1, 2, 1, 1, 1))], like=torch.zeros(2, dtype=torch.float64))  # type: ignore[list-item]
    assert not none.any()


def test_what_is_finished_has_no_seam_where_it_goes_around() -> None:
    model = tiny.model("diffusion")
    assert isinstance(model, Diffusion)
    model.smoothing.copy_(torch.linspace(0, 1, 6))
    random = torch.Generator().manual_seed(1)
    members, wet = torch.randn(2, 6, 20, 40, generator=random), torch.ones(6, 20, 40, dtype=torch.bool)
    wet[:, 5:8, 10:13] = False
    whole = model.finished(members.clone(), wet, around=True)
    turned = model.finished(members.roll(7, dims=-1), wet.roll(7, dims=-1), around=True)
    torch.testing.assert_close(turned, whole.roll(7, dims=-1))
    assert torch.equal(whole[:, 0], members[:, 0])  # nothing is taken from the first level
    assert torch.equal(whole[:, ~wet], members[:, ~wet])
    assert (whole - model.finished(members.clone(), wet))[..., :3].abs().max() > 0.1


def test_short_waves_are_as_long_in_kilometres_everywhere() -> None:
    """At 60 degrees north a pixel is half as wide: waves of 4 to 7.2 pixels from west to east."""
    lines = calibrate._short(torch.tensor([0.0, 60.0])[:, None].expand(2, 64), 64)
    for line, shortest, longest in ((lines[0, 0], 2, 64 / 18), (lines[1, 0], 4, 64 / 9), (lines[1, :, 0], 2, 64 / 18)):
        waves = 64 / line[:33].nonzero()[:, 0]
        torch.testing.assert_close(torch.stack([waves.min(), waves.max()]), torch.tensor([shortest, longest]))
