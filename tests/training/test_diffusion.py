"""Risk: what is sampled is not distributed as what was learnt.

For a Gaussian the best denoiser is known. It is linear, and so are the solvers then: feeding them unit vectors gives
the mean and the covariance of what they sample, without sampling.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from oceanrecon.training.diffusion.discrete import Discrete, Prediction
from oceanrecon.training.diffusion.edm import NoiseLevels
from oceanrecon.training.diffusion.samplers import Churn, Noise, dpm_solver, heun

LEVELS = NoiseLevels(smallest=0.002, largest=80.0)
#: Of a prior with correlation, and of an observation of the first number, 1.2 with a deviation of 0.3.
PRIOR = torch.tensor([[1.0, 0.8, 0.1], [0.8, 1.0, 0.3], [0.1, 0.3, 0.25]], dtype=torch.float64)
MEAN = torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)
GAIN = PRIOR[:, 0] / (PRIOR[0, 0] + 0.3**2)
POSTERIOR_MEAN = MEAN + GAIN * (1.2 - MEAN[0])
POSTERIOR = PRIOR - torch.outer(GAIN, PRIOR[0])


def best(noisy: Tensor, sigma: Tensor) -> Tensor:
    """Mean of the posterior, given a noisy one of its states."""
    gain: Tensor = torch.linalg.solve(POSTERIOR + sigma**2 * torch.eye(3, dtype=torch.float64), POSTERIOR)
    return POSTERIOR_MEAN + (noisy - POSTERIOR_MEAN) @ gain


def moments(sample: Callable[[Noise], Tensor], steps: int) -> tuple[Tensor, Tensor]:
    """Mean and covariance of a sampler that is linear in its noises: of none at all, and of each number of each."""
    units = torch.zeros(steps + 1, 1 + 3 * (steps + 1), 3, dtype=torch.float64)
    for number in range(steps + 1):
        units[number, 1 + 3 * number : 4 + 3 * number] = torch.eye(3)
    mean, *rest = sample(lambda number: units[number])
    moved = torch.stack(rest) - mean
    return mean, moved.T @ moved


def errors(sample: Callable[[Noise], Tensor], steps: int = 0) -> tuple[float, float]:
    """Largest errors of mean and covariance, whose largest elements are 1.13 and 0.41."""
    mean, covariance = moments(sample, steps)
    return (mean - POSTERIOR_MEAN).abs().max().item(), (covariance - POSTERIOR).abs().max().item()


@pytest.mark.parametrize("sampler", [heun, dpm_solver])
def test_a_gaussian_posterior_is_sampled_to_second_order(sampler: Callable[..., Tensor]) -> None:
    def found(steps: int) -> tuple[float, float]:
        return errors(lambda noise: sampler(best, noise, LEVELS.steps(steps)))

    (mean18, covariance18), (mean36, covariance36), (mean72, covariance72) = map(found, (18, 36, 72))
    # sampling begins around 0 and not around the mean: 1.13 x 0.29 / 80
    assert max(mean18, mean36, mean72) < 0.006
    assert covariance18 < 0.05 and covariance36 < covariance18 / 3.5 and covariance72 < covariance36 / 3.5


def test_churn_keeps_the_distribution_and_forgets_where_it_began() -> None:
    churn = Churn(amount=20, above=0.05, below=50)
    mean, covariance = errors(lambda noise: heun(best, noise, LEVELS.steps(72), churn), 72)
    assert mean < 1e-5 and covariance < 0.011


@pytest.mark.parametrize("prediction", ["x0", "epsilon", "v"])
def test_the_older_form_samples_the_same_whatever_the_network_predicts(prediction: Prediction) -> None:
    discrete = Discrete(200, prediction)

    def network(noisy: Tensor, step: Tensor) -> Tensor:
        kept = discrete.kept[int(step[0])]
        clean = best(noisy / kept.sqrt(), ((1 - kept) / kept).sqrt())
        noise = (noisy - kept.sqrt() * clean) / (1 - kept).sqrt()
        return discrete.target(clean, noise, step)

    for sample, steps, bound in (
        (lambda noise: discrete.ddim(network, noise, 100), 0, 0.012),
        (lambda noise: discrete.ddim(network, noise, 100, eta=1.0), 100, 0.025),
        (lambda noise: discrete.ddpm(network, noise), 200, 0.002),
    ):
        mean, covariance = errors(sample, steps)
        assert mean < 2e-4 and covariance < bound


@pytest.mark.parametrize(("deviation", "most"), [(2.0, 1.06), (1.0, 1.06), (0.5, 1.06), (0.2, 1.05), (0.05, 1.0)])
def test_twelve_even_steps_keep_the_variance_of_a_gaussian_of_any_size(deviation: float, most: float) -> None:
    levels = NoiseLevels().even_steps(12)
    ratio = levels[1:-1] / levels[:-2]
    assert torch.allclose(ratio, ratio[0]) and levels[[0, -2, -1]].tolist() == pytest.approx([40.0, 0.01, 0.0])

    def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
        return noisy * deviation**2 / (deviation**2 + sigma**2)

    found = dpm_solver(denoise, lambda number: torch.ones(1, dtype=torch.float64), levels).item() / deviation
    assert 0.95 < found**2 < most
