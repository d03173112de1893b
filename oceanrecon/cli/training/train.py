"""``oceanrecon train``: trains a model."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from oceanrecon.cli.common import (
    ConfigPath,
    JsonOption,
    OverwriteOption,
    ResumeOption,
    SetOption,
    console,
    facts,
    refuse_both,
    show_json,
)
from oceanrecon.cli.progress import ProgressBar
from oceanrecon.train_config import StageSettings, TrainSettings


def train_command(
    config: ConfigPath,
    scenario: Annotated[
        str | None, typer.Option("--scenario", help="temperature, salinity or joint; default: as the settings say.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Open the data, build the model, say what would be done, and stop.")
    ] = False,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train a model to reconstruct temperature and salinity at depth; or fit a baseline.

    A run that was interrupted goes on with `--resume`, from its last checkpoint.

    Example: `oceanrecon train configs/train/diffusion.yaml --scenario joint --set model.width=32`
    """
    from oceanrecon.config import load_settings
    from oceanrecon.training.loop.run import Training
    from oceanrecon.training.loop.trainer import is_first_rank

    refuse_both(resume, overwrite)
    chosen = (*(overrides or ()), *([f"scenario={scenario}"] if scenario else []))
    settings = load_settings(TrainSettings, config, chosen)
    training = Training(settings)
    plan = training.plan()
    if as_json and dry_run:
        show_json({**vars(plan), "output": settings.output})
        return
    silent = as_json or not is_first_rank()
    if not silent:
        stages = ", then ".join(
            f"{stage.network} ({stage.objective}): {stage.samples:,} samples in {steps:,} steps"
            for stage, steps in zip(settings.stages, plan.steps, strict=True)
        )
        facts(
            {
                "model": f"{settings.model.kind}, {plan.parameters:,} parameters, {settings.scenario}: {plan.levels} "
                "levels",
                "data": ", ".join(f"{count:,} patches of {side}" for side, count in plan.rows.items()),
                "stages": stages or "none: nothing is trained",
                "device": plan.device,
                "output": settings.output,
            }
        )
    if dry_run:
        console.print("nothing was done: --dry-run")
        return
    with _Shown(len(settings.stages), plan.samples_per_step, silent=silent) as shown:
        trained = training.fit(resume=resume, overwrite=overwrite, told=shown)
    if not is_first_rank():
        return
    if as_json:
        show_json({"output": settings.output, **trained.provenance})
        return
    console.print(
        f"the model is in {settings.output}/model.pt; score it with `oceanrecon evaluate {settings.output}`",
        soft_wrap=True,
    )


class _Shown:
    """A bar for each stage, in samples seen, with loss and speed."""

    def __init__(self, stages: int, each: int, *, silent: bool) -> None:
        self._stages, self._each, self._silent = stages, each, silent
        self._bar: ProgressBar | None = None
        self._number = -1

    def __enter__(self) -> _Shown:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, number: int, stage: StageSettings, done: int, total: int, known: dict[str, float]) -> None:
        if number != self._number:
            self.__exit__()
            self._bar = ProgressBar(f"samples of stage {number + 1} of {self._stages}", silent=self._silent)
            self._number = number
        assert self._bar is not None
        parts: dict[str, Any] = {
            "loss": known.get("train/loss"),
            "val": known.get("val/loss"),
            "samples/s": known.get("samples_per_second"),
        }
        text = ", ".join(f"{name} {value:.4g}" for name, value in parts.items() if value is not None)
        self._bar.show(done * self._each, total * self._each, f"{text}, waiting {known['waiting_share']:.0%}")
