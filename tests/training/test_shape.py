"""Risk: the noise is not of the correlation that was measured, or not of variance 1, or another one in each tile."""

from __future__ import annotations

import pytest
import torch

from oceanrecon.training.diffusion.noise import normals
from oceanrecon.training.diffusion.shape import HALO, NoiseShape


def white(count: int, channels: int, side: int) -> torch.Tensor:
    size = side + 2 * HALO
    counter = (torch.arange(count * channels * size * size // 4), 0, 0, 0)
    return normals(counter, (1, 2)).reshape(count, channels, size, size)


def correlation(fields: torch.Tensor, lag: int) -> float:
    return ((fields[..., lag:] * fields[..., : fields.shape[-1] - lag]).mean() / fields.square().mean()).item()


def test_noise_has_a_variance_of_one_and_the_correlation_of_the_states() -> None:
    made = NoiseShape(2)
    assert torch.equal(made(white(1, 2, 16)), white(1, 2, 16)[..., HALO:-HALO, HALO:-HALO])  # white until it is fitted
    made.amplitude.copy_(torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0], [0.3, 0.0, 0.0, 0.0, 0.954, 0.0]]))
    states = made(white(30, 2, 64))
    # white noise under a Gaussian of deviation 2 has the correlation exp(-lag^2 / 16)
    assert correlation(states[:, 0], 2) == pytest.approx(0.7788, abs=0.02)
    assert correlation(states[:, 0], 6) == pytest.approx(0.1054, abs=0.03)
    mask = torch.ones(30, 1, 64, 64, dtype=torch.bool)
    mask[:, :, :, 20:30] = False
    found = NoiseShape(2)
    found.fit([(torch.where(mask, states, torch.nan).nan_to_num(99.0), mask)])
    noise = found(white(30, 2, 64))
    for channel in range(2):
        assert noise[:, channel].var().item() == pytest.approx(1, abs=0.1)
        for lag in (1, 2, 4):
            wanted = correlation(states[:, channel], lag)
            assert correlation(noise[:, channel], lag) == pytest.approx(wanted, abs=0.04)


def test_the_shortest_waves_of_the_noise_are_those_of_the_states() -> None:
    """Where there is a ten-thousandth of the variance, which correlations do not tell from nothing."""
    made = NoiseShape(2)
    made.amplitude.copy_(torch.tensor([[0.01, 0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 0.03, 0.0, 0.0, 0.0, 1.0]]))
    states = made(white(30, 2, 64))
    found = NoiseShape(2)
    found.fit([(states, torch.ones(30, 1, 64, 64, dtype=torch.bool))])
    noise = found(white(30, 2, 64))
    for order in (1, 2, 4, 6):
        rough = [fields.diff(order, dim=-1).square().mean(dim=(0, 2, 3)) for fields in (noise, states)]
        torch.testing.assert_close(rough[0] / rough[1], torch.ones(2), atol=0.15, rtol=0)


def test_too_few_pairs_leave_noise_white() -> None:
    found = NoiseShape(1)
    found.fit([(torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.bool))])
    assert found.amplitude.tolist() == [[1.0, *[0.0] * 5]]
