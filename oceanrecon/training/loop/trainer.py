"""Lightning's trainer of a stage: devices, precision, checkpoints, logs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import LearningRateMonitor
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only

from oceanrecon.errors import OceanreconError, OutputError
from oceanrecon.train_config import LoopSettings, StageSettings, TrainSettings
from oceanrecon.training.data.dataset import PatchDataset
from oceanrecon.training.data.module import PatchDataModule
from oceanrecon.training.loop.callbacks import Average, Checkpoints, Throughput
from oceanrecon.training.loop.module import StageModule
from oceanrecon.training.state.state import PHYSICAL

#: Number of a stage, the stage, steps done, steps in all, what is known.
Told = Callable[[int, StageSettings, int, int, dict[str, float]], None]
#: Name of the checkpoint of a stage that has come to its end.
FINISHED = "finished.ckpt"
#: Warnings of Lightning that are about what is done on purpose here.
_KNOWN = (
    ".*does not have many workers.*", ".*Checkpoint directory.*", ".*srun.*", ".*LeafSpec.*", ".*in eval mode.*",
    ".*num_workers.*", ".*logging interval.*", ".*sync_dist.*",
)  # fmt: skip


def fit_stage(
    module: StageModule, train: PatchDataset, val: PatchDataset, settings: TrainSettings, folder: Path, *, resume: bool,
    told: Told | None,
) -> None:  # fmt: skip
    """Train a stage to its end; what it learnt is in ``folder``, as ``FINISHED``: its best weights in validation.

    Args:
        module: the stage.
        train: rows to learn from.
        val: rows to validate with.
        settings: of the training.
        folder: of its checkpoints.
        resume: go on from the last of them, if there is one.
        told: hears of progress.

    Raises:
        OceanreconError: it was stopped by hand, the loss is not finite, or data cannot be read.
    """
    chosen, number, steps = settings.training, module.number, module.steps
    keep = Checkpoints(folder)
    goes_on = resume and keep.last.exists()

    def tell(done: int, total: int, known: dict[str, float]) -> None:
        if told is not None:
            told(number, settings.stages[number], done, total, known)

    with _quiet():
        trainer = lightning.Trainer(
            accelerator="gpu" if torch.cuda.is_available() else "cpu",
            devices=ranks(chosen),
            # buffers are the same on all ranks
            strategy="auto" if ranks(chosen) == 1 else DDPStrategy(broadcast_buffers=False),
            precision=_precision(chosen),
            max_steps=steps,
            gradient_clip_val=chosen.clip,
            val_check_interval=module.validate_every,
            check_val_every_n_epoch=None,
            num_sanity_val_steps=0,
            log_every_n_steps=chosen.log_every,
            logger=_loggers(folder.parent.parent / "logs", number, goes_on),
            callbacks=[Average(chosen.average), keep, Throughput(chosen.log_every, tell), LearningRateMonitor("step")],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            default_root_dir=str(folder),
        )
        data = PatchDataModule(
            train, val, batch_size=settings.data.batch_size, workers=settings.data.workers, buffer=settings.data.buffer,
            seed=chosen.seed, drop_last=len(train) >= settings.data.batch_size * ranks(chosen), normalisation=PHYSICAL,
        )  # fmt: skip
        if torch.cuda.is_available():
            module.lay_channels_last()
        if _compiles(chosen):
            module.compile_network()
        if goes_on:  # before Lightning does, whose errors do not say what to do
            content = torch.load(keep.last, map_location="cpu", weights_only=False, mmap=True)
            with fitting(keep.last):
                module.load_state_dict(content["state_dict"])
            del content
        try:
            trainer.fit(module, data, ckpt_path=str(keep.last) if goes_on else None, weights_only=False)
        except SystemExit:  # Lightning's answer to Ctrl-C
            if not trainer.interrupted:
                raise
    if trainer.global_step < steps:
        how = "goes on from the last validation" if keep.last.exists() else "begins this stage anew"
        raise OceanreconError(
            f"stopped at step {trainer.global_step} of {steps} of stage {number + 1}: the same command with --resume "
            f"{how}"
        )
    if trainer.is_global_zero:
        keep.best.replace(folder / FINISHED)
    trainer.strategy.barrier()


@contextmanager
def fitting(checkpoint: Path) -> Iterator[None]:
    """While a checkpoint's weights are taken.

    Raises:
        OutputError: they are of another network.
    """
    try:
        yield
    except RuntimeError as error:
        raise OutputError(
            f"{checkpoint} does not fit to the network of these settings: another version of oceanrecon may have "
            "written it; begin anew with --overwrite, or give another output"
        ) from error


def ranks(chosen: LoopSettings) -> int:
    """Processes that train together: one for each device."""
    return max(torch.cuda.device_count(), 1) if chosen.devices == "auto" else chosen.devices


def is_first_rank() -> bool:
    """Whether this process is the one that writes and speaks; Lightning starts the others with the same command."""
    return int(getattr(rank_zero_only, "rank", 0) or 0) == 0


def _loggers(folder: Path, number: int, goes_on: bool) -> list[Any]:
    # Lightning empties the folder of a log that it begins: one that goes on has a folder of its own
    there = len(list(folder.glob(f"{number + 1}*"))) if goes_on else 0
    version = f"{number + 1}" if not there else f"{number + 1}-resumed-{there}"
    return [CSVLogger(folder, name="", version=version), TensorBoardLogger(folder, name="", version=version)]


def _precision(chosen: LoopSettings) -> Any:
    short = chosen.precision == "bfloat16" or (chosen.precision == "auto" and torch.cuda.is_available())
    return "bf16-mixed" if short else "32-true"


def _compiles(chosen: LoopSettings) -> bool:
    return torch.cuda.is_available() if chosen.compile == "auto" else chosen.compile == "yes"


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning says much that the commands here say themselves."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        for text in _KNOWN:
            warnings.filterwarnings("ignore", text)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
