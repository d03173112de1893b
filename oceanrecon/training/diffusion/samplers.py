"""From noise to a state: solvers of the probability-flow equation, in the units of ``edm``.

What they walk through is one tensor, which may be a patch or a whole map whose denoiser goes tile by tile. Noise is
asked for by number, so that it can be the same wherever two tiles overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from oceanrecon.training.diffusion.edm import Denoiser

#: Standard normal noise in the shape of the state; each number another one. Number 0 is where sampling begins.
Noise = Callable[[int], Tensor]
#: Told after each step: its number, the state, the estimate without noise.
Watch = Callable[[int, Tensor, Tensor], None]


@dataclass(frozen=True)
class Churn:
    """Fresh noise on the way, which takes errors of earlier steps away: algorithm 2 of Karras et al. 2022."""

    #: in all; 0 is none
    amount: float = 0.0
    #: of noise levels at which there is some
    above: float = 0.0
    below: float = float("inf")
    #: of its standard deviation
    inflation: float = 1.0

    def next(self, sigma: float, steps: int) -> float:
        """The level up to which noise is added before a step."""
        if not self.above <= sigma <= self.below:
            return sigma
        return sigma * (1 + min(self.amount / steps, 2**0.5 - 1))


def heun(
    denoise: Denoiser, noise: Noise, sigmas: Tensor, churn: Churn | None = None, watch: Watch | None = None
) -> Tensor:
    """Second order, two evaluations for each step but the last.

    Args:
        denoise: the denoiser.
        noise: where it begins, and what ``churn`` adds.
        sigmas: noise levels, falling, the last of them 0: [steps + 1].
        churn: none by default, so that all depends on ``noise(0)`` alone.
        watch: looks at each step.

    Returns:
        A state without noise, in the shape of ``noise(0)``.
    """
    churn = churn or Churn()
    levels = sigmas.tolist()
    state: Tensor = noise(0) * levels[0]
    for number, (sigma, following) in enumerate(pairwise(levels), 1):
        raised = churn.next(sigma, len(levels) - 1)
        if raised > sigma:
            state = state + noise(number) * (churn.inflation * (raised**2 - sigma**2) ** 0.5)
        clean = denoise(state, _as_tensor(raised, state))
        slope = (state - clean) / raised
        moved = state + (following - raised) * slope
        if following > 0:
            clean = denoise(moved, _as_tensor(following, state))
            moved = state + (following - raised) * (slope + (moved - clean) / following) / 2
        state = moved
        if watch is not None:
            watch(number, state, clean)
    return state


def dpm_solver(denoise: Denoiser, noise: Noise, sigmas: Tensor, watch: Watch | None = None) -> Tensor:
    """DPM-Solver++(2M): second order in the logarithm of the level, one evaluation for each step.

    Lu, Zhou, Bao, Chen, Li and Zhu, *DPM-Solver++*, 2022, algorithm 2, where the state is not scaled. The first and
    the last step are of first order. Arguments and result as of ``heun``.
    """
    levels = sigmas.tolist()
    state: Tensor = noise(0) * levels[0]
    before: tuple[Tensor, float] | None = None
    for number, (sigma, following) in enumerate(pairwise(levels), 1):
        clean = denoise(state, _as_tensor(sigma, state))
        aim = clean
        if following > 0:
            stride = torch.log(torch.tensor(sigma / following, dtype=torch.float64)).item()
            if before is not None:
                ratio = before[1] / stride
                aim = (1 + 1 / (2 * ratio)) * clean - 1 / (2 * ratio) * before[0]
            before = clean, stride
        state = following / sigma * state + (1 - following / sigma) * aim
        if watch is not None:
            watch(number, state, clean)
    return state


def _as_tensor(sigma: float, like: Tensor) -> Tensor:
    return torch.tensor(sigma, dtype=like.dtype, device=like.device)
