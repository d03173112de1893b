"""What is hidden from a network in training: surface fields, some columns of profiles, all of them."""

from __future__ import annotations

import torch
from torch import Tensor

from oceanrecon.train_config import DropSettings
from oceanrecon.training.objectives.chance import Chance
from oceanrecon.training.state.patches import Patches


def hide(patches: Patches, drop: DropSettings, chance: Chance) -> Patches:
    """Patches of which some surface fields and some columns of profiles are left out, by chance.

    A surface field of a patch goes as a whole; of the columns with profiles none, a share that is itself drawn, or all.
    Each column goes by itself: a sample has means of pixels, and does not say which floats they are of.
    """
    surface = chance.uniform("surface", patches.surface.shape[1])[:, :, None, None] >= drop.surface
    draws = chance.uniform("profiles", 3)[:, :, None, None, None]  # whether some go, how many, whether all do
    share = torch.where(draws[:, 0] < drop.some, draws[:, 1], 0.0)
    share = torch.where(draws[:, 2] < drop.everything, 1.0, share)
    kept = chance.uniform("columns", 1, *patches.age.shape[2:]) >= share
    return without_profiles(patches, kept).replace(
        surface=patches.surface * surface, surface_mask=patches.surface_mask & surface
    )


def without_profiles(patches: Patches, kept: Tensor) -> Patches:
    """Patches with the profiles of some columns only; ``kept``: bool [B, 1, H, W]."""
    return patches.replace(
        observed=patches.observed * kept, observed_mask=patches.observed_mask & kept, age=patches.age * kept
    )
