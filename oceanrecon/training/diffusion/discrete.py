"""The older form of diffusion, in a thousand numbered steps; to read and to compare with models that learnt so.

DDPM (Ho, Jain and Abbeel 2020), its cosine schedule (Nichol and Dhariwal 2021), DDIM (Song, Meng and Ermon 2020), and
prediction of v (Salimans and Ho 2022).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from oceanrecon.training.diffusion.samplers import Noise, Watch

Prediction = Literal["x0", "epsilon", "v"]
#: Of a noisy state [N, ...] and the number of its step [N], whatever the network was trained to give.
Network = Callable[[Tensor, Tensor], Tensor]
_OFFSET, _LARGEST = 0.008, 0.999


@dataclass(frozen=True)
class Discrete:
    """A schedule that keeps the variance, and what the network predicts."""

    steps: int = 1000
    prediction: Prediction = "x0"

    @cached_property
    def kept(self) -> Tensor:
        """Part of the variance that is signal after each step (alpha bar), cosine: float64 [steps]."""
        times = torch.arange(self.steps + 1, dtype=torch.float64) / self.steps
        curve = torch.cos((times + _OFFSET) / (1 + _OFFSET) * math.pi / 2) ** 2
        betas = (1 - curve[1:] / curve[:-1]).clamp(max=_LARGEST)
        return torch.cumprod(1 - betas, dim=0)

    def noisy(self, clean: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """A state after some steps of noise; ``step``: int64 [N]."""
        signal, spread = self._parts(step, clean)
        return signal * clean + spread * noise

    def target(self, clean: Tensor, noise: Tensor, step: Tensor) -> Tensor:
        """What the network has to give for ``noisy``."""
        signal, spread = self._parts(step, clean)
        return {"x0": clean, "epsilon": noise, "v": signal * noise - spread * clean}[self.prediction]

    def clean(self, noisy: Tensor, predicted: Tensor, step: Tensor) -> Tensor:
        """The state without noise, of what the network gave."""
        signal, spread = self._parts(step, noisy)
        if self.prediction == "epsilon":
            return (noisy - spread * predicted) / signal
        return signal * noisy - spread * predicted if self.prediction == "v" else predicted

    def ddim(
        self, network: Network, noise: Noise, count: int, *, eta: float = 0.0, watch: Watch | None = None
    ) -> Tensor:
        """A state from noise in ``count`` evenly spaced steps; ``eta`` 0 adds no noise on the way, 1 as much as DDPM.

        Raises:
            ValueError: there are no such steps.
        """
        if not 1 <= count <= self.steps:
            raise ValueError(f"there are {self.steps} steps, so that {count} of them cannot be taken")
        state = noise(0)
        numbers = torch.linspace(self.steps - 1, 0, count).round().long().tolist()
        for number, (step, following) in enumerate(zip(numbers, [*numbers[1:], -1], strict=True), 1):
            now = self.kept[step].item()
            later = self.kept[following].item() if following >= 0 else 1.0
            estimate = self._estimate(network, state, step)
            direction = (state - now**0.5 * estimate) / (1 - now) ** 0.5
            spread = eta * ((1 - later) / (1 - now) * (1 - now / later)) ** 0.5
            state = later**0.5 * estimate + max(1 - later - spread**2, 0.0) ** 0.5 * direction
            if spread > 0:
                state = state + spread * noise(number)
            if watch is not None:
                watch(number, state, estimate)
        return state

    def ddpm(self, network: Network, noise: Noise, *, watch: Watch | None = None) -> Tensor:
        """A state from noise in all steps, with the larger of the two usual variances."""
        state = noise(0)
        for step in range(self.steps - 1, -1, -1):
            now = self.kept[step].item()
            later = self.kept[step - 1].item() if step else 1.0
            alpha = now / later
            estimate = self._estimate(network, state, step)
            state = (later**0.5 * (1 - alpha) * estimate + alpha**0.5 * (1 - later) * state) / (1 - now)
            if step:
                state = state + (1 - alpha) ** 0.5 * noise(self.steps - step)
            if watch is not None:
                watch(self.steps - step, state, estimate)
        return state

    def _estimate(self, network: Network, state: Tensor, step: int) -> Tensor:
        steps = torch.full((state.shape[0],), step, device=state.device)
        return self.clean(state, network(state, steps), steps)

    def _parts(self, step: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        kept = self.kept.to(like.device)[step].reshape(-1, *[1] * (like.ndim - 1))
        return kept.sqrt().to(like.dtype), (1 - kept).sqrt().to(like.dtype)
