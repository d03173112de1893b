"""What goes on beside the steps: averaged weights, throughput, progress."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class Average(WeightAveraging):
    """An exponential average of the weights that begins short: after n steps its decay is (1 + n) / (10 + n) at most.

    Validation and the finished model take it.
    """

    def __init__(self, decay: float) -> None:
        """Up to a decay per step."""
        super().__init__(use_buffers=False, multi_avg_fn=_averaging(decay))


def _averaging(decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    @torch.no_grad()
    def average(averaged: Sequence[Tensor], current: Sequence[Tensor], steps: Tensor | int) -> None:
        count = float(steps)
        part = 1 - min(decay, (1 + count) / (10 + count))
        torch._foreach_lerp_(list(averaged), list(current), part)

    return average


class Checkpoints(Callback):
    """After each validation ``last.ckpt``, from which a training goes on exactly, and ``best.ckpt``, of the least loss.

    (Lightning's own takes step-wise checkpoints before the validation of their step, by the loss of the one before.)
    """

    def __init__(self, folder: Path) -> None:
        """In a folder."""
        self.last, self.best = folder / "last.ckpt", folder / "best.ckpt"
        self._least = math.inf

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save."""
        loss = float(trainer.callback_metrics["val/loss"])
        better = loss < self._least
        self._least = min(loss, self._least)
        staged = self.last.with_suffix(".staged")
        trainer.save_checkpoint(staged)  # on all ranks, of which the first writes
        if trainer.is_global_zero:
            if better or not self.best.exists():
                copy = self.best.with_suffix(".staged")
                shutil.copyfile(staged, copy)
                copy.replace(self.best)
            staged.replace(self.last)

    def state_dict(self) -> dict[str, Any]:
        """The least loss."""
        return {"least": self._least}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As it was."""
        self._least = state_dict["least"]


class Throughput(Callback):
    """Logs samples seen, samples per second, and the share of time spent waiting for data."""

    def __init__(self, every: int, told: Callable[[int, int, dict[str, float]], None] | None = None) -> None:
        """Each so many steps.

        Args:
            every: steps between two lines.
            told: hears of it: steps done, steps in all, what is known.
        """
        self._every, self._told = every, told

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._since = self._ended = time.perf_counter()
        self._waited, self._samples = 0.0, 0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """The batch is there: what passed since the last step was waiting."""
        self._waited += time.perf_counter() - self._ended

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The clock stands still until training goes on."""
        self._paused = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """It goes on."""
        pause = time.perf_counter() - self._paused
        self._since += pause
        self._ended += pause

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A step is done."""
        self._ended = time.perf_counter()
        self._samples += len(batch["row"]) * trainer.world_size
        if trainer.global_step % self._every:
            return
        seconds = max(self._ended - self._since, 1e-9)
        found = {"samples_per_second": self._samples / seconds, "waiting_share": self._waited / seconds}
        pl_module.log_dict({f"train/{name}": value for name, value in found.items()})
        pl_module.log("train/samples", float(trainer.global_step * len(batch["row"]) * trainer.world_size))
        self._since, self._waited, self._samples = self._ended, 0.0, 0
        if self._told is not None and trainer.is_global_zero:
            known = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self._told(trainer.global_step, int(trainer.max_steps), {**known, **found})
