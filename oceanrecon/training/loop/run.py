"""A training from start to end: stages one after the other, into the folder of a run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray

from oceanrecon.config import dump_settings
from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.stores.files import Root
from oceanrecon.stores.statistics import Statistics, read_statistics
from oceanrecon.train_config import StageSettings, TrainSettings
from oceanrecon.training.baselines.oi import OptimalInterpolation
from oceanrecon.training.data.dataset import PatchDataset
from oceanrecon.training.device import check_memory, default_device, enough_memory
from oceanrecon.training.diffusion.codecs import Masked
from oceanrecon.training.loop.calibrate import calibrate
from oceanrecon.training.loop.data import Data, decoded, spread
from oceanrecon.training.loop.module import StageModule, learning, whole_steps
from oceanrecon.training.loop.provenance import SAME, differences, provenance
from oceanrecon.training.loop.trainer import Told, fit_stage, fitting, is_first_rank, ranks
from oceanrecon.training.model.autoencoder import Autoencoder
from oceanrecon.training.model.build import build
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.model.estimators import Regression
from oceanrecon.training.model.reconstructor import Reconstructor
from oceanrecon.training.model.stored import CHECKSUM, MODEL, Trained, load_model, save_model
from oceanrecon.training.objectives.losses import scale_by_size
from oceanrecon.training.state.patches import Patches
from oceanrecon.training.state.state import State
from oceanrecon.transform.encode import stretch

SETTINGS, STORY = "train.yaml", "run.yaml"
_FOLDERS = ("stages", "logs")
#: Patches that scales and regressions are fitted to before a stage.
_FITTED = 256
#: Part of the deviation of a level that a code step may be.
_COARSEST = 0.25


@dataclass(frozen=True)
class Plan:
    """What a training would do."""

    rows: dict[str, int]
    steps: tuple[int, ...]
    #: of a step, of all ranks
    samples_per_step: int
    parameters: int
    levels: int
    device: str


class Training:
    """A training of some settings."""

    def __init__(self, settings: TrainSettings) -> None:
        """Reads statistics and index, opens the data, and builds the model.

        Raises:
            ConfigError: something is missing or does not go together; a code step is too coarse.
            OutputError: export, index or statistics are not there.
        """
        self.settings = settings
        self.data = Data(settings.data, settings.scenario)
        self.statistics: Statistics = read_statistics(settings.scaling.statistics)
        needs: dict[str, Any] = {"profiles_only": self._needs_profiles(), "target": not self._ambient()}
        self.train = self.data.patches("train", **needs)
        self.val = spread(self.data.patches("val", **needs), settings.data.validation)
        self.state = State(self.statistics, self.train.form, self.data.grid, settings.scaling.of)
        _check_statistics(settings, self.statistics, self.data.index.rows("train", False).date)
        if not settings.scaling.coarse_codes:
            check_codes(self.state)
        self.model = build(settings, self.state, partial(_autoencoder, settings))
        self._surface_days = self.data.surface_days
        self.run = Root(settings.output)
        self._device = torch.device(default_device())

    @property
    def steps(self) -> tuple[int, ...]:
        """Of each stage, in whole validations."""
        every = self.settings.training.validate_every
        return tuple(whole_steps(self._least(stage), every)[0] for stage in self.settings.stages)

    def _least(self, stage: StageSettings) -> int:
        return math.ceil(stage.samples / self._each)

    @property
    def _each(self) -> int:
        """Samples of a step, of all ranks."""
        return self.settings.data.batch_size * ranks(self.settings.training)

    def plan(self) -> Plan:
        """What it would do."""
        return Plan(
            rows={"train": len(self.train), "val": len(self.val)},
            steps=self.steps,
            samples_per_step=self._each,
            parameters=sum(values.numel() for values in self.model.parameters()),
            levels=self.state.channels,
            device=torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        )

    def fit(self, *, resume: bool = False, overwrite: bool = False, told: Told | None = None) -> Trained:
        """Run all stages that are not finished; write the model.

        Args:
            resume: go on with what is there.
            overwrite: remove what is there.
            told: hears of progress.

        Raises:
            OutputError: there is a run already; it is of other settings or data; or it cannot be written.
            OceanreconError: the loss is not finite, or there is too little memory.
        """
        what = f"batches of {self.settings.data.batch_size} patches"
        advice = f"lower data.batch_size, or take a smaller network (model.width is {self.settings.model.width})"
        if self._device.type == "cpu" and is_first_rank():
            check_memory(self._least_bytes(), self._device, what, advice)
        story = self._begin(resume, overwrite) if is_first_rank() else provenance(self.settings)
        with enough_memory(what, advice):
            self._fit_scales()
            for number, stage in enumerate(self.settings.stages):
                self._stage(number, stage, story, resume, told)
            residual = isinstance(self.model, Diffusion) and self.model.of == "residual"
            if residual and self.settings.training.calibrate and is_first_rank():
                assert isinstance(self.model, Diffusion)
                calibrate(self.model.to(self._device), lambda: self._some(self.val), self.settings)
        story["samples"] = [steps * self._each for steps in self.steps]
        trained = Trained(
            self.model.cpu().eval(), self.settings, self.statistics, self.train.form, self.data.days,
            self._surface_days, story, self.data.quality,
        )  # fmt: skip
        if is_first_rank():
            save_model(self.run, trained)
            self.run.write(STORY, yaml.safe_dump(story, sort_keys=False).encode())
        return trained

    def _begin(self, resume: bool, overwrite: bool) -> dict[str, Any]:
        if self.run.local_path is None:
            raise ConfigError(
                f"output {self.run.url} is no folder of this machine: checkpoints need one; copy the run after"
            )
        story = provenance(self.settings)
        there = self.run.read_if_there(STORY)
        if there is not None and not (resume or overwrite):
            raise OutputError(
                f"{self.run.url} holds a run: --resume goes on with it, --overwrite starts anew, and another `output` "
                "keeps it"
            )
        if there is not None and resume:
            before = self._kept(STORY)
            differ = [name for name in SAME if before.get(name) != story[name]]
            changed = list(differences(self._kept(SETTINGS), self.settings.model_dump(mode="json")))
            differ += [f"settings ({', '.join(changed)})"] if changed else []
            if differ:
                raise OutputError(
                    f"{self.run.url} holds a run of other {', '.join(differ)}: go on with what it was started with, or "
                    "give another `output`"
                )
            return dict(before)
        if there is None and self.run.names():
            raise OutputError(
                f"{self.run.url} is no run, and not empty (it holds {', '.join(sorted(self.run.names())[:3])}): give a "
                "new folder as `output`"
            )
        for name in _FOLDERS:
            self.run.remove_tree(name)
        for name in (MODEL, CHECKSUM):
            self.run.remove(name)
        self.run.write(SETTINGS, dump_settings(self.settings).encode())
        self.run.write(STORY, yaml.safe_dump(story, sort_keys=False).encode())
        return story

    def _kept(self, name: str) -> dict[str, Any]:
        """What a file says that the run was started with.

        Raises:
            OutputError: it is damaged.
        """
        try:
            return dict(yaml.safe_load(self.run.read_if_there(name) or b"{}"))
        except (yaml.YAMLError, TypeError, ValueError) as error:
            raise OutputError(
                f"{self.run.url}/{name} is damaged ({error}): begin anew with --overwrite, or give another output"
            ) from error

    def _least_bytes(self) -> int:
        """What training takes beside the weights that are there: gradients, moments, their average, and patches.

        What a network keeps on its way depends on the network, and comes on top.
        """
        stages = self.settings.stages
        learnt = [sum(values.numel() for values in learning(self.model, stage).parameters()) for stage in stages]
        weights = sum(values.numel() for values in self.model.parameters())
        form = self.train.form
        # values and masks, of observations and of the target
        patches = self._each * (5 if self._ambient() else 10) * self.state.channels * form.tile**2
        return ranks(self.settings.training) * (12 * max(learnt) + 4 * weights) + patches if stages else 0

    def _fit_scales(self) -> None:
        """What is fitted before the first stage: the regression of the first guess on surface fields."""
        for part in self.model.modules():
            if isinstance(part, OptimalInterpolation):
                part.fit(self._some(spread(self.train, _FITTED)))

    def _stage(self, number: int, stage: StageSettings, story: dict[str, Any], resume: bool, told: Told | None) -> None:
        if stage.network == "diffusion":
            self._fit_codec()
        folder = Path(self.run.local_path or "") / "stages" / str(number + 1)
        finished = folder / "finished.ckpt"
        steps = self._least(stage)
        done = resume and finished.exists()
        sizes = None if done or stage.objective == "ambient" else self._sizes(stage)
        module = StageModule(self.model, self.state, self.settings, number, steps, story, sizes)
        if not done:
            fit_stage(module, self.train, self.val, self.settings, folder, resume=resume, told=told)
        content = torch.load(finished, map_location="cpu", weights_only=False)
        with fitting(finished):
            module.load_state_dict(content["state_dict"])
        if stage.network == "diffusion":
            assert isinstance(self.model, Diffusion)
            seen, free = module.get_buffer("visible")
            share = seen / free.clamp(min=1)
            self.model.share.copy_(share if stage.objective == "ambient" else torch.ones_like(share))

    def _fit_codec(self) -> None:
        """Scales of what is diffused, of training patches."""
        assert isinstance(self.model, Diffusion)
        model = self.model.to(self._device).eval()

        def fields() -> Iterator[Masked]:
            for patches in self._some(spread(self.train, _FITTED)):
                target, mask = self._right(patches)
                yield model.diffused(target, mask, model.estimate(patches)), mask

        with torch.no_grad():
            model.codec.fit(fields())
            if model.discrete is None:
                model.shape.fit(model.codec.encode(field, mask) for field, mask in fields())

    @torch.no_grad()
    def _sizes(self, stage: StageSettings) -> torch.Tensor | None:
        """What errors of each size count: by what there is of it in states, or in what an estimate leaves so far."""
        model = self.model.to(self._device).eval()
        if stage.network == "estimate":
            sized = isinstance(model.base if isinstance(model, Diffusion) else model, Regression)
        else:
            sized = isinstance(model, Diffusion) and model.discrete is None
        if not sized:
            return None

        def fields() -> Iterator[Masked]:
            for patches in self._some(spread(self.train, _FITTED)):
                target, mask = self._right(patches)
                if stage.network == "diffusion":
                    assert isinstance(model, Diffusion)
                    yield model.encoded(target, mask, model.estimate(patches))
                else:
                    assert isinstance(model, Reconstructor)
                    estimate = model.estimate(patches)
                    assert estimate.deviation is not None  # of every regression
                    yield (target - estimate.mean) / estimate.deviation, mask

        return scale_by_size(fields())

    def _right(self, patches: Patches) -> Masked:
        """What is to be found, and where it is known."""
        if self._ambient():
            return patches.observed, patches.observed_mask
        assert patches.target is not None and patches.target_mask is not None
        return patches.target, patches.target_mask

    def _some(self, dataset: PatchDataset) -> Iterator[Patches]:
        for _, patches in decoded(dataset, self.state.to(self._device), self.settings.data.batch_size, self._device):
            yield patches.replace(target=None, target_mask=None) if self._ambient() else patches

    def _ambient(self) -> bool:
        """Whether no stage, nor what is fitted before, looks at the dense target."""
        stages = self.settings.stages
        return bool(stages) and all(stage.objective == "ambient" for stage in stages)

    def _needs_profiles(self) -> bool:
        return any(stage.objective == "ambient" for stage in self.settings.stages)


def check_codes(state: State) -> None:
    """Whether the codes of the samples are fine enough for what is learnt.

    Raises:
        ConfigError: a code step is more than a quarter of the deviation of a level; names the levels.
    """
    encoding = state.form.encoding
    if encoding is None:
        return
    coarse = []
    for part in state.form.fields:
        step = stretch(part.quantity, encoding).step
        deviation = state.statistics.deviation[part.name]
        levels = [depth for depth, one in zip(state.form.depth, deviation, strict=True) if step > _COARSEST * one]
        if levels:
            coarse.append(f"{part.name} at {len(levels)} levels from {levels[0]:.0f} m (step {step:.2g})")
    if coarse:
        finer = "" if encoding == "uint16" else "export with encoding: uint16, or "
        raise ConfigError(
            f"the {encoding} codes of the export are too coarse for {' and '.join(coarse)}: a step is more than a "
            f"quarter of the deviation there; {finer}set scaling.coarse_codes=true to train all the same"
        )


def _check_statistics(settings: TrainSettings, statistics: Statistics, dates: NDArray[np.int32]) -> None:
    """Whether statistics know nothing but what is learnt from.

    Raises:
        ConfigError: they withhold other floats, or know other dates than those of the training rows.
    """
    wanted = settings.data.floats.model_dump(mode="json")
    fitted = {name: statistics.provenance["floats"][name] for name in wanted}
    if fitted != wanted:
        raise ConfigError(
            f"the statistics withhold other floats ({fitted}) than data.floats ({wanted}), so that they may know "
            "floats that the model is tested with: give both the same"
        )
    others = sorted(set(statistics.provenance["dates"]["training"]) - set(dates.tolist()))
    if others:
        raise ConfigError(
            f"the statistics know {len(others)} dates, such as {others[0]}, that are no training rows of the index: "
            f"fit them to {settings.data.index} (`oceanrecon statistics`)"
        )


def _autoencoder(settings: TrainSettings, run: str) -> Autoencoder:
    """The autoencoder of a run.

    Raises:
        ConfigError: it is none, or learnt another scenario, or from other scales or dates.
    """
    trained = load_model(run)
    if not isinstance(trained.model, Autoencoder):
        raise ConfigError(f"{run} is no run of an autoencoder: train one with configs/train/autoencoder.yaml")
    mine, theirs = (
        {
            "scenario": found.scenario, "scaling.of": found.scaling.of,
            "data.floats": found.data.floats.model_dump(mode="json"),
            **{name: story[name] for name in ("statistics_fingerprint", "index_fingerprint")},
        }
        for found, story in ((settings, provenance(settings)), (trained.settings, trained.provenance))
    )  # fmt: skip
    differ = list(differences(theirs, mine))
    if differ:
        raise ConfigError(
            f"the autoencoder of {run} learnt with another {', '.join(differ)}: train one with the same scenario, "
            "index, statistics, floats and scaling"
        )
    return trained.model
