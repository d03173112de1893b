"""The spread of an ensemble, made right on rows that no network learnt from."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from oceanrecon.train_config import DropSettings, TrainSettings
from oceanrecon.training.inference.members import sampled_members
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.objectives.chance import Chance
from oceanrecon.training.objectives.task import Task, ambient_task, weights
from oceanrecon.training.state.patches import Patches

_MEMBERS = 4
_NOTHING = DropSettings(surface=0.0, some=0.0, everything=0.0)
#: Nothing is widened or narrowed by more than this.
_MOST = 4.0


@torch.no_grad()
def calibrate(model: Diffusion, patches: Iterable[Patches], settings: TrainSettings) -> None:
    """Set ``model.spread``, level by level: what the mean of many members errs by, over their spread.

    Only of residuals, whose mean is about 0: where whole anomalies are sampled, a factor would move the mean, too. Of
    the squared error of the mean of M members, one M-th of their variance is chance.

    Args:
        model: whose members are sampled with a spread of 1.
        patches: of the validation rows; scored on their target or, after an ambient stage, on profiles that are hidden.
        settings: of the training: scenario, objective and sampler.
    """
    model.eval()
    model.spread.fill_(1.0)
    squares = torch.zeros_like(model.spread, dtype=torch.float64)
    variances = torch.zeros_like(squares)
    last = settings.stages[-1]
    for rows, some in enumerate(patches):
        if last.objective == "dense":
            assert some.target is not None and some.target_mask is not None
            task = Task(some, some.target, some.target_mask, None)
        else:
            chance = Chance(settings.training.seed, rows, some.row[:, 0] * 2**16 + some.column[:, 0])
            task = ambient_task(some, last.model_copy(update={"loss_on": "withheld"}), _NOTHING, chance)
        estimate = model.estimate(task.given)
        members = sampled_members(
            model, task.given, estimate, _MEMBERS, settings.diffusion.sampler, settings.training.seed
        )
        weight = weights(some, task.mask).double()
        squares += ((members.mean(dim=1) - task.target).double().square() * weight).sum(dim=(0, 2, 3))
        variances += (members.double().var(dim=1) * weight).sum(dim=(0, 2, 3))
    wanted = squares / variances.clamp(min=1e-12) - 1 / _MEMBERS
    model.spread.copy_(torch.where(variances > 0, wanted.clamp(min=0).sqrt(), 1.0).clamp(1 / _MOST, _MOST))
