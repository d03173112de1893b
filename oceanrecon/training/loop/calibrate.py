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
#: Longest of the shortest waves, pixels of a meridian.
_WAVE = 3.6


@torch.no_grad()
def calibrate(model: Diffusion, patches: Callable[[], Iterable[Patches]], settings: TrainSettings) -> None:
    """Set ``model.spread`` and ``model.smoothing``, level by level.

    The spread is what the mean of many members errs by, over what they differ by. Only of residuals, whose mean is
    about 0: where whole anomalies are sampled, a factor would move the mean, too. Of the squared error of the mean of M
    members, one M-th of their variance is chance.

    The smoothing takes so much of the finest from a member, at most all of it, that it has the variance of the dense
    target at wavelengths below 3.6 pixels of a meridian, where an ocean has a thousandth of its variance or less, and
    neither a network nor a factor for the spread can do it justice. After an ambient stage, and where no patch is water
    throughout, it is 0. Both are of scaled anomalies: a climatology that is rough itself is not seen.

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
        short = _short(task.given.latitude, members.shape[-1]) / _MEMBERS
        # over the patches that are water throughout
        complete = task.mask.flatten(2).all(dim=2).double()
        target = _waves(task.target)
        wanted += _MEMBERS * _products(target, target, short, complete)
        for member in members.unbind(dim=1):
            all_of_it, rough = _waves(member), _waves(finest(member, task.mask))
            whole += _products(all_of_it, all_of_it, short, complete)
            both += _products(all_of_it, rough, short, complete)
            fine += _products(rough, rough, short, complete)
    left = (both.square() - fine * (whole - wanted)).clamp(min=0).sqrt()
    found: Tensor = torch.where(whole > wanted, (both - left) / fine.clamp(min=1e-30), 0.0).clamp(0, 1)
    return found


def _short(latitude: Tensor, width: int) -> Tensor:
    """Which waves of patches are short: of 2 to 3.6 pixels from north to south, and as long ones elsewhere: [B, H, W].

    Args:
        latitude: of pixel centres, degrees: [B, H].
        width: of the patches.
    """
    squeezed = latitude.double().mean(dim=1).deg2rad().cos()[:, None, None]
    down = torch.fft.fftfreq(latitude.shape[1], dtype=torch.float64, device=latitude.device)
    across = torch.fft.fftfreq(width, dtype=torch.float64, device=latitude.device)
    number = (down[:, None].square() + (across / squeezed).square()).sqrt()
    found: Tensor = (number >= 1 / _WAVE) & (number <= 0.5)
    return found.double()


def _waves(fields: Tensor) -> Tensor:
    """Fourier coefficients of fields under a Hann window: [B, C, H, W]."""
    down, across = (torch.hann_window(side, periodic=False, device=fields.device) for side in fields.shape[-2:])
    found: Tensor = torch.fft.fft2((fields - fields.mean(dim=(2, 3), keepdim=True)) * down[:, None] * across)
    return found


def _products(one: Tensor, other: Tensor, short: Tensor, complete: Tensor) -> Tensor:
    """Of short waves of two fields, over complete patches: [C]."""
    found: Tensor = torch.einsum("bchw,bhw,bc->c", (one * other.conj()).real.double(), short, complete)
    return found
