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
    #: values of profiles that are hidden, to be found: bool [B, C, H, W]; ``None``: the target is dense
    hidden: Tensor | None


def dense_task(patches: Patches, drop: DropSettings, chance: Chance) -> Task:
    """To find the dense target of profiles and surface fields, of which some are hidden."""
    assert patches.target is not None and patches.target_mask is not None  # of every training sample
    return Task(hide(patches, drop, chance), patches.target, patches.target_mask, None)


def ambient_task(patches: Patches, stage: StageSettings, drop: DropSettings, chance: Chance) -> Task:
    """To find profiles of other profiles: no dense target is looked at.

    A share of the observed columns is hidden; ``visible`` says where a diffusion network sees a noisy state then.
    """
    columns = chance.uniform("hidden", 1, *patches.age.shape[2:]) < stage.hidden
    hidden = patches.observed_mask & columns
    scored = hidden if stage.loss_on == "withheld" else patches.observed_mask
    return Task(hide(without_profiles(patches, ~columns), drop, chance), patches.observed, scored, hidden)


def weights(patches: Patches, mask: Tensor) -> Tensor:
    """What each cell counts: the cosine of its latitude, where the mask is: [B, C, H, W]."""
    return mask * torch.deg2rad(patches.latitude).cos()[:, None, :, None]
