"""What a diffusion model makes of noise: by sampler and steps, by noise level, and on the way."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from oceanrecon.train_config import SamplerSettings
from oceanrecon.training.evaluation.scores import fair_crps
from oceanrecon.training.inference.members import patch_noise, sampled_members, visible_columns
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.model.reconstructor import Estimate
from oceanrecon.training.objectives.losses import mean_of
from oceanrecon.training.objectives.task import weights
from oceanrecon.training.state.patches import Patches

#: Steps that samplers are tried with.
STEPS = (4, 8, 12, 18, 32)
#: Noise levels that are looked at.
_LEVELS = 15
#: A network that leaves so much of the estimate's error adds nothing.
_NOTHING = 0.99
#: Of the noise of ``by_level``.
_SEED = 0


@dataclass(frozen=True)
class Sampled:
    """What a sampler gives; by channel, in scaled anomalies."""

    sampler: SamplerSettings
    #: of the network, for a member
    evaluations: int
    #: for a member of a patch
    seconds: float
    #: sum of the weights of what is compared: [C]
    weight: Tensor
    #: weighted sums of squared errors of the members' mean, of fair CRPS, and of the members' variance: [C]
    square: Tensor
    crps: Tensor
    variance: Tensor
    #: of squared differences from the members of the finest sampler, which begin with the same noise: [C]
    distance: Tensor


@dataclass(frozen=True)
class Level:
    """Mean squared errors of states at a noise level, where a target is."""

    sigma: float
    #: of what the network makes of the noisy state
    error: float
    #: of the state of the estimate, which knows the same observations but no noisy state
    estimate: float
    #: of the best that can be known from the variance of the states and of the noise alone, cell by cell
    blind: float
    #: the error as the training counts it; ``None``: in numbered steps it has another
    loss: float | None


@dataclass(frozen=True)
class Moment:
    """A state on its way through a sampler, as scaled anomalies from the estimate: [C, H, W]."""

    step: int
    #: of the noise that is left; ``None``: after numbered steps
    sigma: float | None
    #: divided so that its variance is that of states without noise
    noisy: Tensor
    #: what the network expected it to be without noise, before the step
    clean: Tensor


def samplers(model: Diffusion) -> list[SamplerSettings]:
    """Those that are compared; the last is the finest."""
    methods = ("dpm", "heun") if model.discrete is None else ("ddim",)
    return [SamplerSettings.model_validate({"method": name, "steps": steps}) for name in methods for steps in STEPS]


@torch.inference_mode()
def by_sampler(model: Diffusion, patches: Patches, members: int, seed: int) -> Iterator[Sampled]:
    """The same members by each of ``samplers``, in another order: the finest is the first.

    Args:
        model: that samples.
        patches: with their dense target.
        members: of each ensemble, 2 at least.
        seed: of the members.
    """
    assert patches.target is not None and patches.target_mask is not None  # of every sample of a split
    estimate = model.estimate(patches)
    weight = weights(patches, patches.target_mask).double()
    finest: Tensor | None = None
    for sampler in reversed(samplers(model)):
        started = time.perf_counter()
        drawn = sampled_members(model, patches, estimate, members, sampler, seed)
        seconds = (time.perf_counter() - started) / members / len(patches)
        finest = drawn if finest is None else finest

        def summed(values: Tensor) -> Tensor:
            return (values.double() * weight).sum(dim=(0, 2, 3)).cpu()

        yield Sampled(
            sampler,
            evaluations=2 * sampler.steps - 1 if sampler.method == "heun" else sampler.steps,
            seconds=seconds,
            weight=weight.sum(dim=(0, 2, 3)).cpu(),
            square=summed((drawn.mean(dim=1) - patches.target).square()),
            crps=summed(fair_crps(drawn.movedim(1, 0), patches.target)),
            variance=summed(drawn.var(dim=1)),
            distance=summed((drawn - finest).square().mean(dim=1)),
        )


@torch.inference_mode()
def by_level(model: Diffusion, patches: Sequence[Patches]) -> list[Level]:
    """How well a network takes noise away, at levels from the smallest to the largest that are sampled at.

    Args:
        model: whose network is looked at.
        patches: with their dense target, some at a time.
    """
    sigmas = torch.logspace(
        torch.tensor(model.levels.smallest).log10().item(), torch.tensor(model.levels.largest).log10().item(), _LEVELS
    )
    sums = torch.zeros(_LEVELS, dtype=torch.float64)
    of_estimate = of_state = weight = 0.0
    for some in patches:
        assert some.target is not None and some.target_mask is not None
        estimate = model.estimate(some)
        state, mask = model.encoded(some.target, some.target_mask, estimate)
        expected, _ = model.encoded(estimate.mean, some.target_mask, estimate)
        days = some.day.tolist()
        noise = patch_noise(model, some, days, 0, _SEED, 0)
        denoise = model.denoiser(some, estimate, visible_columns(model, some, days, _SEED, 0))
        counted = weights(some, mask)

        def summed(errors: Tensor, counted: Tensor = counted) -> tuple[float, float]:
            total, number = mean_of(errors.double(), counted.double())
            return total.item(), number.item()

        for number, sigma in enumerate(sigmas.to(state.device)):
            sums[number] += summed((denoise(state + sigma * noise, sigma) - state).square())[0]
        of_estimate += summed((expected - state).square())[0]
        of_state += summed(state.square())[0]
        weight += summed(torch.zeros_like(state))[1]
    variance = of_state / max(weight, 1e-12)
    return [
        Level(
            sigma=sigma,
            error=error / max(weight, 1e-12),
            estimate=of_estimate / max(weight, 1e-12),
            blind=sigma**2 * variance / (sigma**2 + variance),
            loss=None
            if model.discrete is not None
            else model.levels.weight(torch.tensor(sigma)).item() * error / max(weight, 1e-12),
        )
        for sigma, error in zip(sigmas.tolist(), sums.tolist(), strict=True)
    ]


def nothing_above(levels: Sequence[Level]) -> float | None:
    """The noise level from which on the network adds nothing to the estimate; ``None``: it always does."""
    found = None
    for level in reversed(levels):
        if level.error < _NOTHING * level.estimate:
            break
        found = level.sigma
    return found


@torch.inference_mode()
def on_the_way(
    model: Diffusion, patches: Patches, estimate: Estimate, sampler: SamplerSettings, seed: int, count: int
) -> list[Moment]:
    """Some steps of one member, evenly through the sampler, its last among them.

    Args:
        model: that samples.
        patches: one.
        estimate: of it.
        sampler: how.
        seed: of the member.
        count: of steps, at most.
    """
    steps = model.discrete.steps if sampler.method == "ddpm" and model.discrete is not None else sampler.steps
    chosen = set(torch.linspace(1, steps, min(count, steps)).round().int().tolist())
    sigmas = {"dpm": model.levels.even_steps, "heun": model.levels.steps}.get(sampler.method)
    left = None if sigmas is None else sigmas(steps).tolist()
    found = []

    def anomalies(state: Tensor) -> Tensor:  # as they are before a member is finished
        return (model.decoded(state, patches, estimate) - estimate.mean)[0].cpu()

    def watch(number: int, state: Tensor, clean: Tensor) -> None:
        if number in chosen:
            sigma = None if left is None else left[number]
            size = (1 + (sigma or 0.0) ** 2) ** 0.5
            found.append(Moment(number, sigma, anomalies(state / size), anomalies(clean)))

    sampled_members(model, patches, estimate, 1, sampler, seed, watch)
    return found
