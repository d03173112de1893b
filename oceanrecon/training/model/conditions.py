"""What a network sees of a patch: channels on its pixels, and numbers that hold for all of it."""

from __future__ import annotations

import torch
from torch import Tensor

from oceanrecon.training.model.reconstructor import Estimate
from oceanrecon.training.state.patches import Patches
from oceanrecon.training.state.state import seasons

#: Numbers that hold for a whole patch: the season without its mean, and its centre on the unit sphere.
CONTEXT = 7
#: Days of the window's half, so that ages are about 1.
_AGE = 3.5


def conditions(patches: Patches, guess: Estimate | None = None) -> Tensor:
    """The channels: [B, ``channels(...)``, H, W].

    Profiles and their masks by level, the age of the profiles; surface fields and their masks; the depth of the sea
    floor as a share of the levels, and the ocean; the place of each pixel on the unit sphere; and, by level, a first
    guess and its deviation.
    """
    parts = [
        patches.observed,
        patches.observed_mask.to(patches.observed.dtype),
        patches.age / _AGE,
        patches.surface,
        patches.surface_mask.to(patches.observed.dtype),
        patches.wet.float().mean(dim=1, keepdim=True),
        patches.wet.any(dim=1, keepdim=True).to(patches.observed.dtype),
        _places(patches),
    ]
    if guess is not None:
        assert guess.deviation is not None
        parts += [guess.mean, guess.deviation]
    return torch.cat(parts, dim=1)


def channels(levels: int, surface: int, *, guess: bool) -> int:
    """How many channels there are.

    Args:
        levels: of all fields together.
        surface: fields.
        guess: whether there is a first guess.
    """
    return 2 * levels + 1 + 2 * surface + 1 + 1 + 3 + (2 * levels if guess else 0)


def context(patches: Patches) -> Tensor:
    """What holds for a whole patch: [B, CONTEXT]."""
    places = _places(patches).mean(dim=(2, 3))
    return torch.cat([seasons(patches.day)[:, 1:].float(), places], dim=1)


def _places(patches: Patches) -> Tensor:
    """Unit vectors of the pixels: [B, 3, H, W]."""
    latitude, longitude = torch.deg2rad(patches.latitude)[:, :, None], torch.deg2rad(patches.longitude)[:, None, :]
    across = latitude.cos()
    return torch.stack(
        [across * longitude.cos(), across * longitude.sin(), latitude.sin().expand_as(across * longitude)], dim=1
    )
