"""Risk: a schedule or a sampler is not the published one, so that models from elsewhere mean something else here.

``diffusers`` is the oracle, with the same network and the same noise. Where the two differ on purpose:

* Sampling by noise levels begins here with noise times the largest level, and there with the root of its square plus 1;
  both are the same to 1 in 3,000. The last step of DPM-Solver++ is of first order here as there, and all of
  them are in float64 here, in float32 there.
* DDIM in few steps goes evenly from the last step to the first here. There the even spacing is only of the steps that
  are evaluated, and the next one is always ``1000 // steps`` below, so that the two are the same where ``steps - 1``
  divides 999.
* Neither is clipped: anomalies have no bounds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EDMDPMSolverMultistepScheduler, HeunDiscreteScheduler
from torch import Tensor

from oceanrecon.train_config import SamplerSettings
from oceanrecon.training.diffusion.discrete import Discrete, Prediction
from oceanrecon.training.diffusion.edm import NoiseLevels
from oceanrecon.training.diffusion.samplers import dpm_solver, heun
from oceanrecon.training.diffusion.sampling import discrete_denoiser, sample

STEPS = 1000
NAMES: dict[Prediction, str] = {"x0": "sample", "epsilon": "epsilon", "v": "v_prediction"}
RANDOM = torch.Generator().manual_seed(3)
MIXING = 0.4 * torch.randn(4, 4, generator=RANDOM, dtype=torch.float64)
TURNING = torch.randn(4, generator=RANDOM, dtype=torch.float64)
BEGIN = torch.randn(5, 4, generator=RANDOM, dtype=torch.float64)


def linear(state: Tensor, level: Tensor) -> Tensor:
    """A network of no use, but that it depends on the state and on what it is told of the noise, [N]."""
    found: Tensor = state @ MIXING + torch.cos(3 * level.double())[:, None] * TURNING
    return found


def by_step(state: Tensor, step: Tensor) -> Tensor:
    """The same, of the number of a step."""
    return linear(state, 2 * step / (STEPS - 1) - 1)


@pytest.mark.parametrize("count", [4, 12, 18])
@pytest.mark.parametrize("data", [1.0, 0.5])
@pytest.mark.parametrize("schedule", ["exponential", "karras"])
def test_dpm_solver_and_what_it_walks_through_are_those_of_diffusers(count: int, data: float, schedule: str) -> None:
    levels = NoiseLevels(data=data)
    sigmas = levels.even_steps(count) if schedule == "exponential" else levels.steps(count)
    oracle = EDMDPMSolverMultistepScheduler(
        sigma_min=levels.smallest, sigma_max=levels.largest, sigma_data=data, sigma_schedule=schedule
    )
    oracle.set_timesteps(count)
    torch.testing.assert_close(oracle.sigmas, sigmas.float(), rtol=1e-5, atol=0)

    theirs: list[Tensor] = []
    state = BEGIN * levels.largest
    for at in oracle.timesteps:
        given = oracle.scale_model_input(state, at)
        state = oracle.step(linear(given, at.expand(len(given))), at, state).prev_sample
        theirs.append(state)
    ours: list[Tensor] = []
    dpm_solver(levels.denoiser(linear), lambda _: BEGIN, sigmas, lambda number, at, clean: ours.append(at))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other.double(), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_heun_takes_the_steps_of_diffusers() -> None:
    """Theirs has no levels as ours: it is given ours, and what our denoiser makes."""
    levels = NoiseLevels()
    denoise, sigmas = levels.denoiser(linear), levels.steps(12)
    oracle = HeunDiscreteScheduler(prediction_type="sample")
    oracle.set_timesteps(12)
    oracle.sigmas = torch.cat([sigmas[:1], sigmas[1:-1].repeat_interleave(2), sigmas[-1:]])
    oracle.set_begin_index(0)
    state = BEGIN * levels.largest
    for at, sigma in zip(oracle.timesteps, [sigmas[0], *sigmas[1:-1].repeat_interleave(2)], strict=True):
        state = oracle.step(denoise(state, sigma), at, state).prev_sample
    torch.testing.assert_close(heun(denoise, lambda _: BEGIN, sigmas), state, rtol=1e-10, atol=1e-10)


def test_the_cosine_schedule_is_that_of_diffusers() -> None:
    oracle = DDIMScheduler(STEPS, beta_schedule="squaredcos_cap_v2")
    # theirs is a product of a thousand numbers in float32
    torch.testing.assert_close(oracle.alphas_cumprod.double(), Discrete().kept, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("prediction", ["x0", "epsilon", "v"])
def test_noise_and_targets_are_those_of_diffusers(prediction: Prediction) -> None:
    discrete = Discrete(prediction=prediction)
    oracle = DDPMScheduler(STEPS, beta_schedule="squaredcos_cap_v2")
    oracle.alphas_cumprod = discrete.kept
    clean, noise, step = BEGIN, BEGIN.flip(0), torch.tensor([0, 1, 500, 998, 999])
    wanted = {"x0": clean, "epsilon": noise, "v": oracle.get_velocity(clean, noise, step)}
    noisy = oracle.add_noise(clean, noise, step)
    torch.testing.assert_close(discrete.noisy(clean, noise, step), noisy)
    torch.testing.assert_close(discrete.target(clean, noise, step), wanted[prediction])


@pytest.mark.parametrize("prediction", ["x0", "epsilon", "v"])
@pytest.mark.parametrize("count", [112, 10])
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_ddim_is_that_of_diffusers(prediction: Prediction, count: int, eta: float) -> None:
    discrete = Discrete(prediction=prediction)
    found = discrete.ddim(by_step, noises(), count, eta=eta)
    close(found, ddim(discrete, count, eta))


@pytest.mark.parametrize("prediction", ["x0", "epsilon", "v"])
def test_ddpm_is_that_of_diffusers(prediction: Prediction) -> None:
    discrete = Discrete(prediction=prediction)
    oracle = DDPMScheduler(
        STEPS, beta_schedule="squaredcos_cap_v2", prediction_type=NAMES[prediction], clip_sample=False,
        variance_type="fixed_large",
    )  # fmt: skip
    oracle.alphas_cumprod = discrete.kept
    random = torch.Generator().manual_seed(7)
    state = torch.randn(BEGIN.shape, generator=random, dtype=BEGIN.dtype)
    for at in oracle.timesteps.tolist():
        state = oracle.step(by_step(state, torch.full((5,), at)), at, state, generator=random).prev_sample
    close(discrete.ddpm(by_step, noises()), state)


@pytest.mark.parametrize("prediction", ["x0", "epsilon", "v"])
def test_a_denoiser_of_numbered_steps_samples_as_diffusers_does(prediction: Prediction) -> None:
    """The way that models go: the network becomes a denoiser of noise levels, which ``sample`` asks."""
    discrete = Discrete(prediction=prediction)
    denoise = discrete_denoiser(discrete, linear)
    found = sample(denoise, noises(), NoiseLevels(), SamplerSettings(method="ddim", steps=10))
    close(found, ddim(discrete, 10, 0.0), 1e-6)  # what a network is told of a step is float32


def noises() -> Callable[[int], Tensor]:
    """Noise in the order in which it is asked for, as a generator gives it to diffusers."""
    random = torch.Generator().manual_seed(7)
    return lambda number: torch.randn(BEGIN.shape, generator=random, dtype=BEGIN.dtype)


def ddim(discrete: Discrete, count: int, eta: float) -> Tensor:
    """What diffusers samples of ``by_step``."""
    oracle = DDIMScheduler(
        STEPS, beta_schedule="squaredcos_cap_v2", prediction_type=NAMES[discrete.prediction], clip_sample=False
    )
    oracle.alphas_cumprod = discrete.kept
    numbers = np.linspace(STEPS - 1, 0, count).round().astype(int).tolist()
    oracle.set_timesteps(STEPS // (numbers[0] - numbers[1]))
    random = torch.Generator().manual_seed(7)
    state = torch.randn(BEGIN.shape, generator=random, dtype=BEGIN.dtype)
    for at in numbers:
        found = by_step(state, torch.full((5,), at))
        # the last step asks for no noise here, and for noise times 0 there
        state = oracle.step(found, at, state, eta=eta, generator=random if at else None).prev_sample
    return state


def close(found: Tensor, wanted: Tensor, tolerance: float = 1e-9) -> None:
    scale = wanted.abs().max().item()
    assert scale > 0.1
    torch.testing.assert_close(found / scale, wanted / scale, rtol=0, atol=tolerance)
