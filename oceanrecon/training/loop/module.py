"""One stage of training as Lightning runs it."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional

from oceanrecon.config import dump_settings
from oceanrecon.errors import OceanreconError
from oceanrecon.train_config import StageSettings, TrainSettings
from oceanrecon.training.data.decode import Tensors
from oceanrecon.training.diffusion.shape import HALO
from oceanrecon.training.model.autoencoder import Autoencoder
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.model.reconstructor import Estimate, Reconstructor
from oceanrecon.training.model.unet import UNet
from oceanrecon.training.objectives.chance import Chance
from oceanrecon.training.objectives.losses import (
    deviations_only,
    likelihood,
    mean_of,
    sized_squares,
    squares,
    weighted_likelihood,
)
from oceanrecon.training.objectives.task import Task, ambient_task, dense_task, weights
from oceanrecon.training.objectives.visible import counted, in_training
from oceanrecon.training.state.patches import Patches
from oceanrecon.training.state.state import State

#: Validation hides and draws the same each time: what training has at a step that it never comes to.
_VALIDATION = 2**31


class StageModule(LightningModule):
    """Trains one network of a model for one stage; gives the same gradients on one rank as on several.

    A step's chance depends on seed, stage, step and row alone. Losses of ranks are added up before they are divided by
    the sum of the weights.
    """

    #: [C, PARTS]
    sizes: Tensor | None

    def __init__(
        self, model: nn.Module, state: State, settings: TrainSettings, number: int, steps: int, story: dict[str, Any],
        sizes: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Of a stage.

        Args:
            model: of which a network is trained; the rest stands still.
            state: what samples are scaled by.
            settings: of the training.
            number: of the stage in them.
            steps: how many it has at least.
            story: where data and program come from.
            sizes: of what is to be found (``scale_by_size``); none: errors of all sizes count as they are.
        """
        super().__init__()
        self.model, self.scale = model, state
        self.number = number
        #: steps, and how many there are between two validations, the last of which is the end
        self.steps, self.validate_every = whole_steps(steps, settings.training.validate_every)
        self._settings, self._stage, self._story = settings, settings.stages[number], story
        self._seed = settings.training.seed + 1000 * number
        network = learning(model, self._stage)
        model.requires_grad_(False)
        network.requires_grad_(True)
        self._learning = [network]  # in a list: it is a part of the model, not a second one
        latent = model.latent if isinstance(model, Diffusion) else 0
        self.register_buffer("visible", torch.zeros(2, latent, dtype=torch.float64))
        self.register_buffer("sizes", sizes, persistent=False)
        self._validated = torch.zeros(2)
        # of the first loss that is no number: step, loss, whether it is one of this rank's rows, rows
        self._wrong = torch.zeros(0)

    def lay_channels_last(self) -> None:
        """Let channels lie beside each other in memory where what is trained convolves."""
        for part in self._learning[0].modules():
            if isinstance(part, nn.Conv2d):
                part.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def compile_network(self) -> None:
        """Have torch compile the U-Net that is trained, if it is one."""
        for part in self._learning[0].modules():
            if isinstance(part, UNet):
                part.compile()

    def on_train_start(self) -> None:
        """What is not trained works as it will."""
        self.model.eval()
        self._learning[0].train()
        self._wrong = torch.full((3 + self._settings.data.batch_size,), -1.0, dtype=torch.float64, device=self.device)

    def training_step(self, batch: Tensors, index: int) -> Tensor:
        """The loss of a batch, a dictionary of ``Decode``."""
        if self._settings.model.dropout:  # torch's own chance, which no checkpoint holds
            torch.manual_seed(hash((self._seed, self.global_step, self.global_rank)))
        total, weight, task = self._sums(batch, self.global_step)
        if self._stage.network == "diffusion" and task is not None and task.hidden is not None:
            assert isinstance(self.model, Diffusion)  # the settings see to it
            self.get_buffer("visible").add_(self._added(counted(self.model, task).double()))
        whole, count = self._added(torch.stack([total.detach(), weight]))
        self.log("train/loss", whole / count.clamp(min=1e-12))
        self._note(whole, total.detach(), batch["row"])
        if self.global_step % self._settings.training.log_every == 0:
            self._check()
        loss: Tensor = total * self.trainer.world_size / count.clamp(min=1e-12)
        return loss

    def validation_step(self, batch: Tensors, index: int) -> None:
        """Adds a batch to the loss of validation."""
        total, weight, _ = self._sums(batch, _VALIDATION)
        self._validated = self._validated + torch.stack([total.detach(), weight])

    def on_validation_epoch_start(self) -> None:
        """Begin anew."""
        self._check()
        self._validated = torch.zeros(2, device=self.device)

    def on_validation_epoch_end(self) -> None:
        """The loss over all rows of all ranks."""
        total, weight = self._added(self._validated)
        loss = total / weight.clamp(min=1e-12)
        if not torch.isfinite(loss):  # before it is saved
            raise self._not_finite(f"of the validation at step {self.global_step} is {loss.item()}")
        self.log("val/loss", loss, rank_zero_only=True)

    def configure_optimizers(self) -> Any:
        """AdamW, with a learning rate that rises and falls."""
        chosen = self._settings.training
        optimizer = torch.optim.AdamW(
            self._learning[0].parameters(), lr=self._stage.rate, betas=(0.9, 0.99), weight_decay=chosen.weight_decay,
            fused=self.device.type == "cuda" or None,
        )  # fmt: skip
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(self._stage, step, self.steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Every checkpoint says what it is of."""
        checkpoint["oceanrecon"] = {"settings": dump_settings(self._settings), "provenance": self._story}

    def _note(self, loss: Tensor, own: Tensor, rows: Tensor) -> None:
        """Keep the first loss that is no number, and its rows; nothing waits for the device."""
        step = torch.full_like(loss, self.global_step, dtype=torch.float64)
        now = torch.cat([torch.stack([step, loss.double(), (~torch.isfinite(own)).double()]), rows.double()])
        now = functional.pad(now, (0, len(self._wrong) - len(now)), value=-1.0)
        first = ~torch.isfinite(loss) & (self._wrong[0] < 0)
        self._wrong = torch.where(first, now, self._wrong)

    def _check(self) -> None:
        """Whether all losses so far are numbers; all ranks know of the same."""
        step, loss, *_ = self._wrong.tolist()
        if step < 0:
            return
        of_ranks = [self._wrong.clone() for _ in range(self.trainer.world_size)]
        if len(of_ranks) > 1:
            torch.distributed.all_gather(of_ranks, self._wrong)
        found = [one.tolist() for one in of_ranks]
        # a sum may overflow though none of its parts does
        at_fault = [one for one in found if one[2]] or found
        rows = [int(row) for _, _, _, *given in at_fault for row in given if row >= 0]
        raise self._not_finite(f"of step {step:.0f} is {loss}, with rows {rows}")

    def _not_finite(self, what: str) -> OceanreconError:
        return OceanreconError(
            f"the loss {what}: look at these samples, or begin anew (--overwrite) with a lower learning rate "
            "(stages.rate) or training.precision=float32"
        )

    def _added(self, value: Tensor) -> Tensor:
        """Over all ranks."""
        if self.trainer.world_size == 1:
            return value
        value = value.clone()
        torch.distributed.all_reduce(value)
        return value

    def _sums(self, batch: Tensors, step: int) -> tuple[Tensor, Tensor, Task | None]:
        patches = self.scale.patches(batch)
        chance = Chance(self._seed, step, batch["row"])
        if isinstance(self.model, Autoencoder):
            return *_of_autoencoder(self.model, patches), None
        drop = self._settings.drop
        task = (
            dense_task(patches, drop, chance)
            if self._stage.objective == "dense"
            else ambient_task(patches, self._stage, drop, chance)
        )
        if self._stage.network == "diffusion":
            assert isinstance(self.model, Diffusion)  # the settings see to it
            return *self._of_diffusion(self.model, task, chance), task
        assert isinstance(self.model, Reconstructor)
        base = self.model.base if isinstance(self.model, Diffusion) else self.model
        return *self._of_estimate(base, task, step), task

    def _of_estimate(self, model: Reconstructor, task: Task, step: int) -> tuple[Tensor, Tensor]:
        estimate = model.estimate(task.given)
        if estimate.deviation is None:
            errors = squares(estimate, task.target)
        elif step == _VALIDATION:
            errors = likelihood(estimate, task.target)
        elif step < self._stage.squares * self.steps:
            errors = self._relative(estimate, task) + deviations_only(estimate, task.target)
        else:
            errors = weighted_likelihood(estimate, task.target)
            if self.sizes is not None:
                errors = errors + self._relative(estimate, task)
        return mean_of(errors, weights(task.given, task.mask))

    def _of_diffusion(self, model: Diffusion, task: Task, chance: Chance) -> tuple[Tensor, Tensor]:
        with torch.no_grad():
            estimate = model.estimate(task.given)
            state, mask = model.encoded(task.target, task.mask, estimate)
        draw = torch.cat([chance.normal("level", 1), chance.uniform("step", 1)], dim=1)
        height, width = state.shape[2:]
        noise = model.shape(chance.normal("noise", model.latent, height + 2 * HALO, width + 2 * HALO))
        errors, weight = model.errors(state, noise, draw, task.given, estimate, in_training(model, task))
        return mean_of(weight * self._squares(errors, mask.expand_as(errors)), weights(task.given, mask))

    def _relative(self, estimate: Estimate, task: Task) -> Tensor:
        """Squared errors of the mean; by size, in units of the deviation that it expects."""
        if self.sizes is None:
            return squares(estimate, task.target)
        assert estimate.deviation is not None
        return sized_squares((estimate.mean - task.target) / estimate.deviation.detach(), task.mask, self.sizes)

    def _squares(self, errors: Tensor, mask: Tensor) -> Tensor:
        return errors.square() if self.sizes is None else sized_squares(errors, mask, self.sizes)


def learning(model: nn.Module, stage: StageSettings) -> nn.Module:
    """The network of a model that a stage trains."""
    if stage.network == "diffusion":
        assert isinstance(model, Diffusion)
        return model.net
    return model.base if isinstance(model, Diffusion) else model


def whole_steps(steps: int, every: int) -> tuple[int, int]:
    """At least so many steps, and after how many of them there are validations, so that the last is at the end."""
    validations = max(1, round(steps / every))
    between = math.ceil(steps / validations)
    return between * validations, between


def rate_at(stage: StageSettings, step: int, steps: int) -> float:
    """Part of the learning rate at a step: rises evenly in the warm-up, then falls."""
    warmup = stage.warmup * steps
    if step < warmup:
        return (step + 1) / (warmup + 1)
    if stage.schedule == "inverse_root":
        return math.sqrt(max(warmup, 1) / max(step, 1))
    return 0.5 * (1 + math.cos(math.pi * min((step - warmup) / max(steps - warmup, 1), 1)))


def _of_autoencoder(model: Autoencoder, patches: Patches) -> tuple[Tensor, Tensor]:
    assert patches.target is not None and patches.target_mask is not None
    found = model.decode(model.encode(patches.target, patches.target_mask))
    return mean_of((found - patches.target).square(), weights(patches, patches.target_mask))
