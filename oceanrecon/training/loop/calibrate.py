"""The spread of an ensemble and its roughness, made right on rows that no network learnt from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from oceanrecon.train_config import DropSettings, TrainSettings
from oceanrecon.training.inference.members import sampled_members
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.objectives.chance import Chance
from oceanrecon.training.objectives.task import Task, ambient_task, weights
from oceanrecon.training.sizes import finest
from oceanrecon.training.state.patches import Patches

_MEMBERS = 4
_NOTHING = DropSettings(surface=0.0, some=0.0, everything=0.0)
#: Nothing is widened or narrowed by more than this.
_MOST = 4.0
#: Longest of the shortest waves, pixels.
_WAVE = 3.6


@torch.no_grad()
def calibrate(model: Diffusion, patches: Callable[[], Iterable[Patches]], settings: TrainSettings) -> None:
    """Set ``model.spread`` and ``model.smoothing``, level by level.

    The spread is what the mean of many members errs by, over what they differ by. Only of residuals, whose mean is
    about 0: where whole anomalies are sampled, a factor would move the mean, too. Of the squared error of the mean of M
    members, one M-th of their variance is chance.

    The smoothing takes so much of the finest from a member, at most all of it, that it has the variance of the dense
    target at wavelengths below 3.6 pixels, where an ocean has a thousandth of its variance or less, and neither a
    network nor a factor for the spread can do it justice. After an ambient stage, and where no patch is water
    throughout, it is 0.

    Args:
        model: whose members are sampled.
        patches: makes those of the validation rows, twice; scored on their target or, after an ambient stage, on
            profiles that are hidden.
        settings: of the training: scenario, objective and sampler.
    """
    model.eval()
    model.spread.fill_(1.0)
    model.smoothing.zero_()
    squares = torch.zeros_like(model.spread, dtype=torch.float64)
    variances = torch.zeros_like(squares)
    for task, members in _sampled(model, patches(), settings):
        weight = weights(task.given, task.mask).double()
        squares += ((members.mean(dim=1) - task.target).double().square() * weight).sum(dim=(0, 2, 3))
        variances += (members.double().var(dim=1) * weight).sum(dim=(0, 2, 3))
    wanted = squares / variances.clamp(min=1e-12) - 1 / _MEMBERS
    model.spread.copy_(torch.where(variances > 0, wanted.clamp(min=0).sqrt(), 1.0).clamp(1 / _MOST, _MOST))
    if settings.stages[-1].objective == "dense":
        model.smoothing.copy_(_smoothing(_sampled(model, patches(), settings), like=squares))


def _sampled(model: Diffusion, patches: Iterable[Patches], settings: TrainSettings) -> Iterator[tuple[Task, Tensor]]:
    """What is to be found in some patches, and members [B, M, C, H, W]."""
    last = settings.stages[-1]
    for rows, some in enumerate(patches):
        if last.objective == "dense":
            assert some.target is not None and some.target_mask is not None
            task = Task(some, some.target, some.target_mask, None)
        else:
            chance = Chance(settings.training.seed, rows, some.row[:, 0] * 2**16 + some.column[:, 0])
            task = ambient_task(some, last.model_copy(update={"loss_on": "withheld"}), _NOTHING, chance)
        estimate = model.estimate(task.given)
        yield (
            task,
            sampled_members(model, task.given, estimate, _MEMBERS, settings.diffusion.sampler, settings.training.seed),
        )


def _smoothing(sampled: Iterable[tuple[Task, Tensor]], like: Tensor) -> Tensor:
    """The part a of the finest F of members M without which they vary as the target does: |M - a F|^2 = |T|^2."""
    whole, both, fine, wanted = (torch.zeros_like(like) for _ in range(4))
    for task, members in sampled:
        complete = task.mask.flatten(2).all(dim=2)
        wanted += _short(task.target, task.target, complete)
        for member in members.unbind(dim=1):
            rough = finest(member, task.mask)
            whole += _short(member, member, complete) / _MEMBERS
            both += _short(member, rough, complete) / _MEMBERS
            fine += _short(rough, rough, complete) / _MEMBERS
    left = (both.square() - fine * (whole - wanted)).clamp(min=0).sqrt()
    found: Tensor = torch.where(whole > wanted, (both - left) / fine.clamp(min=1e-30), 0.0).clamp(0, 1)
    return found


def _short(one: Tensor, other: Tensor, complete: Tensor) -> Tensor:
    """Products of two fields at the shortest waves, over the patches that are water throughout: [C].

    Of half of the plane of wavenumbers, which is enough where fields vary alike in all directions.
    """
    height, width = one.shape[-2:]
    hann = [torch.hann_window(side, periodic=False, device=one.device) for side in (height, width)]
    found = [
        torch.fft.rfft2((field - field.mean(dim=(2, 3), keepdim=True)) * hann[0][:, None] * hann[1])
        for field in (one, other)
    ]
    down, across = torch.fft.fftfreq(height, device=one.device), torch.fft.rfftfreq(width, device=one.device)
    number = (down[:, None].square() + across.square()).sqrt()
    short = (number >= 1 / _WAVE) & (number <= 0.5)
    products: Tensor = (found[0] * found[1].conj()).real.double() * short * complete[:, :, None, None]
    return products.sum(dim=(0, 2, 3))
