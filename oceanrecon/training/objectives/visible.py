"""Where a network sees a noisy state: one rule for training and for sampling.

Noise can be added only to what was measured. A network that learns from profiles alone therefore sees a noisy state in
columns whose profile is hidden from it, at the levels that were measured, and never where it is given a profile. When
it samples there is a whole state, of which it is shown as much.
"""

from __future__ import annotations

import torch
from torch import Tensor

from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.objectives.task import Task
from oceanrecon.training.state.patches import Patches


def visible(model: Diffusion, given: Patches, levels: Tensor, chosen: Tensor) -> Tensor:
    """The rule: bool [B, latent, H, W].

    Args:
        model: whose state it is.
        given: what the network sees else: where it has a profile, it sees no state.
        levels: that have a value: bool [B, C, H, W].
        chosen: by chance: bool [B, 1 or latent, H, W].
    """
    profiles = given.observed_mask.any(dim=1, keepdim=True)
    return model.cells(levels & given.wet) & chosen & ~profiles


def in_training(model: Diffusion, task: Task) -> Tensor | None:
    """Of a task: bool [B, latent, H, W]; ``None``: everywhere, where the target is dense."""
    if task.hidden is None:
        return None
    return visible(model, task.given, task.hidden, task.hidden.any(dim=1, keepdim=True))


def in_sampling(model: Diffusion, given: Patches, draws: Tensor) -> Tensor:
    """The same for a whole state, with the shares of the training: bool [B, latent, H, W].

    One number decides for all channels of a column. So levels that fewer profiles reach are seen in fewer columns, and
    only where those are that more profiles reach: as it is with floats.

    Args:
        model: that samples.
        given: of which patches.
        draws: between 0 and 1: [B, 1, H, W].
    """
    return visible(model, given, given.wet, draws < model.share[:, None, None])


def counted(model: Diffusion, task: Task) -> Tensor:
    """Of each channel, the columns in which a network sees the state, and those in which it could: [2, latent]."""
    seen = in_training(model, task)
    everywhere = torch.ones_like(task.given.age, dtype=torch.bool)
    free = visible(model, task.given, task.given.wet, everywhere)
    return torch.stack([(free if seen is None else seen).sum(dim=(0, 2, 3)), free.sum(dim=(0, 2, 3))])
