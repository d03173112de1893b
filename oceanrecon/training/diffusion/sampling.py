"""From a denoiser to a sample, by the sampler that the settings name."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from oceanrecon.train_config import SamplerSettings
from oceanrecon.training.diffusion.discrete import Discrete
from oceanrecon.training.diffusion.edm import Denoiser, NoiseLevels
from oceanrecon.training.diffusion.samplers import Churn, Noise, Watch, dpm_solver, heun


def sample(
    denoise: Denoiser, noise: Noise, levels: NoiseLevels, sampler: SamplerSettings, watch: Watch | None = None
) -> Tensor:
    """A state without noise.

    Args:
        denoise: of states and their noise levels.
        noise: where it begins; ``Noise``.
        levels: between which (``dpm``, ``heun``).
        sampler: which, and how many steps.
        watch: looks at each step.
    """
    if sampler.method == "dpm":
        return dpm_solver(denoise, noise, levels.even_steps(sampler.steps), watch)
    if sampler.method == "heun":
        return heun(denoise, noise, levels.steps(sampler.steps), Churn(sampler.churn), watch)
    process = replace(Discrete(), prediction="x0")

    def network(state: Tensor, step: Tensor) -> Tensor:
        kept = process.kept.to(state.device)[step[0]]
        return denoise((state / kept.sqrt()).to(state.dtype), ((1 - kept) / kept).sqrt().to(state.dtype))

    if sampler.method == "ddim":
        return process.ddim(network, noise, sampler.steps, watch=watch)
    return process.ddpm(network, noise, watch=watch)


def discrete_denoiser(process: Discrete, network: Denoiser) -> Denoiser:
    """The denoiser of a network that was trained with numbered steps, at any noise level: that of the nearest step.

    Args:
        process: which the network learnt.
        network: takes a state that keeps its variance, and the number of its step as a share of all, [N].
    """
    kept = process.kept
    sigmas = ((1 - kept) / kept).sqrt()

    def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
        levels = sigma.expand(noisy.shape[0]).double()
        step = (sigmas.to(levels.device).log()[None] - levels.clamp(min=1e-12).log()[:, None]).abs().argmin(dim=1)
        state = noisy * kept.to(noisy.device)[step].sqrt().to(noisy.dtype).reshape(-1, *[1] * (noisy.ndim - 1))
        return process.clean(state, network(state, step_level(process, step)), step)

    return denoise


def step_level(process: Discrete, step: Tensor) -> Tensor:
    """What a network is told of numbered steps: float32 [N], between -1 and 1."""
    return (2 * step / (process.steps - 1) - 1).float()


def drawn_steps(process: Discrete, uniform: Tensor) -> Tensor:
    """Steps to learn at: int64 [N] of numbers between 0 and 1."""
    return (uniform * process.steps).long().clamp(max=process.steps - 1)


def with_levels(levels: NoiseLevels, normal: Tensor) -> Tensor:
    """Noise levels to learn at, of standard normal numbers: float32 [N]."""
    return torch.exp(levels.log_mean + levels.log_deviation * normal)
