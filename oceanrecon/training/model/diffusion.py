"""The diffusion model: an ensemble around an estimate."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from oceanrecon.training.diffusion.codecs import Codec, Levels
from oceanrecon.training.diffusion.discrete import Discrete
from oceanrecon.training.diffusion.edm import Denoiser, NoiseLevels
from oceanrecon.training.diffusion.noise import cell_noise
from oceanrecon.training.diffusion.sampling import discrete_denoiser, drawn_steps, step_level, with_levels
from oceanrecon.training.diffusion.shape import HALO, NoiseShape
from oceanrecon.training.model.conditions import conditions, context
from oceanrecon.training.model.reconstructor import Estimate, Generator, Reconstructor
from oceanrecon.training.model.unet import UNet
from oceanrecon.training.sizes import REACH, finest
from oceanrecon.training.state.patches import Patches

#: What is diffused: what the estimate leaves, in its deviations; or the whole anomaly.
Of = Literal["residual", "state"]


class Diffusion(Generator):
    """Samples members around the estimate of another model."""

    #: how much larger a residual has to be than it was sampled, by level: 1, until it is calibrated
    spread: Tensor
    #: what part of the finest of a member is taken away, by level: 0, until it is calibrated
    smoothing: Tensor
    #: of each channel, in what share of the columns without a profile the network sees the state; 1, where it learnt
    #: from dense fields: [latent]
    share: Tensor

    def __init__(
        self,
        base: Reconstructor,
        net: UNet,
        codec: Codec,
        *,
        of: Of = "residual",
        levels: NoiseLevels | None = None,
        discrete: Discrete | None = None,
        channels: int,
    ) -> None:
        """Of some parts.

        Args:
            base: gives the estimate; it is not trained with this.
            net: of ``inputs(...)`` channels in and the codec's out, told of a noise level.
            codec: of what is diffused.
            of: what is diffused.
            levels: noise levels; default ones.
            discrete: the numbered steps that the network learns, instead of noise levels.
            channels: levels of all fields together.
        """
        super().__init__()
        self.base, self.net, self.codec, self.of = base, net, codec, of
        self.levels = levels or NoiseLevels()
        self.discrete = discrete
        self.latent = codec.channels
        self.shape = NoiseShape(codec.channels)
        self.register_buffer("spread", torch.ones(channels))
        self.register_buffer("smoothing", torch.zeros(channels))
        self.register_buffer("share", torch.ones(codec.channels))

    @property
    def sees_all(self) -> bool:
        """Whether its network sees the state everywhere: it learnt from dense fields."""
        return bool((self.share >= 1).all())

    def estimate(self, patches: Patches) -> Estimate:
        """See ``Reconstructor``."""
        return self.base.estimate(patches)

    def denoiser(self, patches: Patches, estimate: Estimate, visible: Tensor | None = None) -> Denoiser:
        """See ``Generator``.

        Args:
            patches: of which states are denoised.
            estimate: of them.
            visible: where the network sees the state (``objectives.visible``): bool [B, latent, H, W]; default:
                everywhere.
        """
        network = self._network(patches, estimate, visible)
        if self.discrete is not None:
            return discrete_denoiser(self.discrete, network)
        return self.levels.denoiser(network)

    def noise(self, rows: Tensor, columns: Tensor, around: Tensor | None, number: int, key: tuple[int, int]) -> Tensor:
        """See ``Generator``."""
        reach = torch.arange(-HALO, rows.shape[-1] + HALO, device=rows.device)
        across = columns[..., :1] + torch.arange(-HALO, columns.shape[-1] + HALO, device=columns.device)
        across = across if around is None else across % around
        shaped: Tensor = self.shape(cell_noise(rows[..., :1] + reach, across, self.latent, number, key))
        return shaped

    def decoded(self, state: Tensor, patches: Patches, estimate: Estimate) -> Tensor:
        """See ``Generator``."""
        field = self.codec.decode(state)
        if self.of == "residual":
            return estimate.mean + self.spread[:, None, None] * _deviation(estimate) * field
        return field

    def finished(self, members: Tensor, wet: Tensor, *, around: bool = False) -> Tensor:
        """See ``Generator``: without what members have too much of at their shortest waves."""
        for level in self.smoothing.nonzero()[:, 0].tolist():  # one by one: of a globe they are large
            field, mask = members[..., level, :, :], wet[..., level, :, :]
            if around:
                columns = torch.arange(-REACH, field.shape[-1] + REACH, device=field.device) % field.shape[-1]
                rough = finest(field[..., columns], mask[..., columns])[..., REACH:-REACH]
            else:
                rough = finest(field, mask)
            field -= self.smoothing[level] * rough
        return members

    def encoded(self, target: Tensor, mask: Tensor, estimate: Estimate) -> tuple[Tensor, Tensor]:
        """The state of a field of scaled anomalies, and where it counts."""
        return self.codec.encode(self.diffused(target, mask, estimate), mask)

    def diffused(self, target: Tensor, mask: Tensor, estimate: Estimate) -> Tensor:
        """What of a field of scaled anomalies is diffused: [B, C, H, W]."""
        if self.of == "residual":
            return torch.where(mask, (target - estimate.mean) / _deviation(estimate), 0.0)
        return torch.where(mask, target, 0.0)

    def cells(self, levels: Tensor) -> Tensor:
        """Where a state has values, of the levels that a field has: bool [B, C, H, W] to [B, latent, H, W]."""
        if isinstance(self.codec, Levels):
            return levels
        return levels.any(dim=1, keepdim=True).expand(-1, self.latent, -1, -1)  # other codecs fill columns

    def errors(
        self, state: Tensor, noise: Tensor, draw: Tensor, patches: Patches, estimate: Estimate,
        visible: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Errors of denoising, [B, latent, H, W], and what their squares count, [B, 1, 1, 1].

        Args:
            state: without noise.
            noise: of ``shape``, like it.
            draw: two numbers per patch, [B, 2]: standard normal, which decides the noise level; between 0 and 1, which
                decides the numbered step.
            patches: whose states they are.
            estimate: of them.
            visible: as of ``denoiser``.
        """
        network = self._network(patches, estimate, visible)
        if self.discrete is not None:
            step = drawn_steps(self.discrete, draw[:, 1])
            found = network(self.discrete.noisy(state, noise, step), step_level(self.discrete, step))
            return found - self.discrete.target(state, noise, step), torch.ones_like(draw[:, :1, None, None])
        sigma = with_levels(self.levels, draw[:, 0])
        clean = self.levels.denoiser(network)(state + noise * sigma[:, None, None, None], sigma)
        return clean - state, self.levels.weight(sigma)[:, None, None, None]

    def _network(self, patches: Patches, estimate: Estimate, visible: Tensor | None) -> Denoiser:
        seen = conditions(patches, Estimate(estimate.mean, _deviation(estimate).log()))
        whole = context(patches)
        if visible is None:
            visible = torch.ones_like(patches.age, dtype=torch.bool)
        shown = visible.to(seen.dtype)
        part = shown.mean(dim=1, keepdim=True)

        def network(noisy: Tensor, level: Tensor) -> Tensor:
            found: Tensor = self.net(torch.cat([noisy * shown, part, seen], dim=1), whole, level)
            return found.float()

        return network


def inputs(latent: int, conditions: int) -> int:
    """Channels of the network of a diffusion model: the state, what part of a column is visible, and the conditions."""
    return latent + 1 + conditions


def _deviation(estimate: Estimate) -> Tensor:
    assert estimate.deviation is not None  # models that diffuse stand on estimates that say it
    return estimate.deviation
