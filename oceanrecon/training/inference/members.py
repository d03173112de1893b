"""Members of an ensemble for patches by themselves; maps are of ``canvas`` and ``fuse``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from oceanrecon.train_config import SamplerSettings
from oceanrecon.training.diffusion.edm import Denoiser
from oceanrecon.training.diffusion.noise import cell_noise, key_of
from oceanrecon.training.diffusion.samplers import Watch
from oceanrecon.training.diffusion.sampling import sample
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.model.reconstructor import Estimate, Generator
from oceanrecon.training.objectives.visible import in_sampling
from oceanrecon.training.state.patches import Patches

#: Number of the noise that chooses visible columns; steps count from 0.
COLUMNS = 2**31
#: Makes another denoiser of one of some patches, such as one that is guided by their profiles.
Guide = Callable[[Denoiser, Patches, Estimate], Denoiser]


def sampled_members(
    model: Diffusion, patches: Patches, estimate: Estimate, count: int, sampler: SamplerSettings, seed: int,
    watch: Watch | None = None, guide: Guide | None = None,
) -> Tensor:  # fmt: skip
    """Members of the ensemble around an estimate: scaled anomalies [B, M, C, H, W].

    The noise of a member is that of (seed, date, member, cell): equal cells of two patches of a date have the same.

    Args:
        model: that samples.
        patches: which.
        estimate: of them.
        count: of members.
        sampler: how.
        seed: of the noise.
        watch: looks at each step of the first member.
        guide: changes the denoiser; default: nothing.
    """
    days = patches.day.tolist()
    members = []
    for member in range(count):

        def noise(number: int, member: int = member) -> Tensor:
            return patch_noise(model, patches, days, number, seed, member)

        visible = visible_columns(model, patches, days, seed, member)
        denoise = model.denoiser(patches, estimate, visible)
        if guide is not None:
            denoise = guide(denoise, patches, estimate)
        state = sample(denoise, noise, model.levels, sampler, watch if member == 0 else None)
        members.append(model.finished(model.decoded(state, patches, estimate), patches.wet))
    return torch.stack(members, dim=1)


def patch_noise(model: Generator, patches: Patches, days: Sequence[int], number: int, seed: int, member: int) -> Tensor:
    """Noise of a step: [B, latent, H, W]."""
    return torch.stack(
        [
            model.noise(
                patches.row[at], patches.column[at], None if patches.around is None else patches.around[at], number,
                key_of(seed, day, member),
            )
            for at, day in enumerate(days)
        ]
    )  # fmt: skip


def white_noise(patches: Patches, days: Sequence[int], channels: int, number: int, seed: int, member: int) -> Tensor:
    """The same without any shape: [B, channels, H, W]."""
    return torch.stack(
        [
            cell_noise(patches.row[at], patches.column[at], channels, number, key_of(seed, day, member))
            for at, day in enumerate(days)
        ]
    )


def visible_columns(model: Diffusion, patches: Patches, days: Sequence[int], seed: int, member: int) -> Tensor | None:
    """Where a member's network sees the state: bool [B, latent, H, W]; ``None``: everywhere."""
    if model.sees_all:
        return None
    draws = white_noise(patches, days, 1, COLUMNS, seed, member)
    return in_sampling(model, patches, torch.special.ndtr(draws))
