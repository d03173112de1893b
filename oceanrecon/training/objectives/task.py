"""What a step asks of a network: what it sees, what is right, and where that counts."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from oceanrecon.train_config import DropSettings, StageSettings
from oceanrecon.training.objectives.chance import Chance
from oceanrecon.training.objectives.hide import hide, without_profiles
from oceanrecon.training.state.patches import Patches


@dataclass(frozen=True)
class Task:
    """One step's patches."""

    #: what the network sees
    given: Patches
    #: what is right: [B, C, H, W]
    target: Tensor
    #: where: bool [B, C, H, W]
    mask: Tensor
    #: columns of a noisy state that the network sees: bool [B, 1, H, W]; ``None``: all
    visible: Tensor | None


def dense_task(patches: Patches, drop: DropSettings, chance: Chance) -> Task:
    """To find the dense target of profiles and surface fields, of which some are hidden."""
    assert patches.target is not None and patches.target_mask is not None  # of every training sample
    return Task(hide(patches, drop, chance), patches.target, patches.target_mask, None)


def ambient_task(patches: Patches, stage: StageSettings, drop: DropSettings, chance: Chance) -> Task:
    """To find profiles of other profiles: no dense target is looked at.

    A share of the observed columns is hidden. A diffusion network sees a noisy state in the hidden columns, and nothing
    of it elsewhere; ``sampling_columns`` draws as many when it samples.
    """
    columns = patches.observed_mask.any(dim=1, keepdim=True)
    hidden = columns & (chance.uniform("hidden", 1, *columns.shape[2:]) < stage.hidden)
    given = without_profiles(patches, ~hidden)
    scored = patches.observed_mask & hidden if stage.loss_on == "withheld" else patches.observed_mask
    return Task(hide(given, drop, chance), patches.observed, scored, hidden)


def sampling_columns(wet: Tensor, share: Tensor, draws: Tensor) -> Tensor:
    """Columns of a state that a network sees when it samples: as many as in its training.

    Args:
        wet: bool [B, C, H, W].
        share: of the ocean's columns that it saw in training.
        draws: between 0 and 1: [B, 1, H, W].
    """
    return wet.any(dim=1, keepdim=True) & (draws < share)


def visible_share(task: Task) -> tuple[Tensor, Tensor]:
    """Visible columns of the ocean of these patches, and all of its columns."""
    ocean = task.given.wet.any(dim=1, keepdim=True)
    seen = ocean if task.visible is None else ocean & task.visible
    return seen.sum(), ocean.sum()


def weights(patches: Patches, mask: Tensor) -> Tensor:
    """What each cell counts: the cosine of its latitude, where the mask is: [B, C, H, W]."""
    return mask * torch.deg2rad(patches.latitude).cos()[:, None, :, None]
