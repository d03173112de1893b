"""Risk: members differ more or less than they err."""

from __future__ import annotations

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
    given = [tiny.patches(count=8, seed=seed) for seed in range(8)]

    def members(model: object, patches: object, estimate: object, count: int, *_: object) -> Tensor:
        target = next(some for some in given if some is patches).target
        assert target is not None
        mean = target + error * torch.randn(target.shape, generator=random)
        return torch.stack([mean + spread * torch.randn(mean.shape, generator=random) for _ in range(count)], dim=1)

    monkeypatch.setattr(calibrate, "sampled_members", members)
    calibrate.calibrate(model, given, tiny.settings("diffusion"))
    torch.testing.assert_close(model.spread, torch.full((6,), error / spread), atol=0.02, rtol=0.02)
