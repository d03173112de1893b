"""A model of a few numbers, and a trainer for it, importable in the processes of DDP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor, nn

from oceanrecon.training.data.decode import Tensors


class Learner(lightning.LightningModule):
    """Learns three levels from three surface fields; keeps the rows that each step saw, in a file per rank."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.net = nn.Conv2d(3, 3, 1)

    def training_step(self, batch: Tensors, number: int) -> Tensor:
        self._note("train", batch)
        return self._loss(batch)

    def validation_step(self, batch: Tensors, number: int) -> None:
        if not self.trainer.sanity_checking:
            self._note("val", batch)
        self.log("val", self._loss(batch), sync_dist=True)

    def test_step(self, batch: Tensors, number: int) -> None:
        self._note("test", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01)

    def seen(self, side: str, rank: int = 0) -> list[list[int]]:
        """Rows by step."""
        lines = (self.folder / f"{side}-{rank}").read_text().splitlines()
        return [[int(row) for row in line.split()] for line in lines]

    def _note(self, side: str, batch: Tensors) -> None:
        self.folder.mkdir(exist_ok=True)
        with (self.folder / f"{side}-{self.global_rank}").open("a") as file:
            print(*batch["row"].tolist(), file=file)

    def _loss(self, batch: Tensors) -> Tensor:
        loss: Tensor = ((self.net(batch["eo"]) - batch["y"]) * batch["y_supervision_weight"]).square().mean()
        return loss


def trainer(**more: Any) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False, **more
    )
