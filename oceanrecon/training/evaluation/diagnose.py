"""Looks into a trained model: how its training went, and what its sampler does with steps and noise levels."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.samples.index import SIDES
from oceanrecon.stores.files import Root
from oceanrecon.train_config import TrainSettings
from oceanrecon.training.device import default_device, enough_memory
from oceanrecon.training.evaluation.denoising import (
    Sampled,
    by_level,
    by_sampler,
    nothing_above,
    on_the_way,
    samplers,
)
from oceanrecon.training.evaluation.summary import rounded
from oceanrecon.training.loop.data import Data, decoded, spread
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.model.stored import MODEL, Trained, load_model
from oceanrecon.training.objectives.task import weights
from oceanrecon.training.state.patches import Patches
from oceanrecon.training.state.state import State

NUMBERS = "diagnosis.json"
#: What is done, of how much, and what it was.
Told = Callable[[int, int, str], None]
_UNITS = {"temperature": "K", "salinity": "PSU"}
#: Patches that are worked on together.
_BATCH = 4
#: Steps of a sampler that are shown.
_SHOWN = 5
#: Of maps, m, or the level nearest to it.
_MAP_DEPTH = 100.0
#: Columns of the log of a training, and what they are called here.
_CURVES = {
    "loss": "train/loss",
    "validation": "val/loss",
    "rate": "lr-AdamW",
    "samples_per_second": "train/samples_per_second",
    "waiting_share": "train/waiting_share",
}
_NO_DIFFUSION = "there is no diffusion in a model of kind {kind}: only its training is shown"


@dataclass(frozen=True)
class Diagnosis:
    """What was found."""

    #: what ``diagnosis.json`` has
    numbers: Mapping[str, Any]
    #: of its maps and sections, by name
    arrays: Mapping[str, NDArray[Any]]

    def write(self, output: str) -> None:
        """Write ``diagnosis.json``.

        Args:
            output: folder or fsspec URL, made where it is not there.

        Raises:
            OutputError: nothing can be written there.
        """
        Root(output).write(NUMBERS, (json.dumps(self.numbers, indent=1, allow_nan=False) + "\n").encode())


@enough_memory("this diagnosis", "take fewer members (--members), or --device cpu")
def diagnose(
    run: str,
    split: str = "val",
    *,
    rows: int = 4,
    members: int = 8,
    seed: int = 0,
    device: str | None = None,
    told: Told | None = None,
) -> Diagnosis:
    """Look into a trained model. Of one without diffusion, only its training is there to look at.

    Args:
        run: folder or fsspec URL of a run.
        split: side whose rows are sampled: ``train``, ``val`` or ``test``.
        rows: patches at most, evenly through the side.
        members: of the ensembles.
        seed: of the members.
        device: such as ``cuda``; default: a GPU where there is one.
        told: hears of progress.

    Raises:
        ConfigError: there is no such side or no row of it; there are too few rows or members; the export has another
            contract; or nothing was ever trained.
        OutputError: the run, the export or the index is gone or damaged.
    """
    if split not in SIDES or rows < 1 or members < 2:
        raise ConfigError(
            f"split {split!r}, rows={rows}, members={members}: give train, val or test, 1 row, and 2 members (a spread "
            "needs them), or more"
        )
    trained = load_model(run, device or default_device())
    kind = trained.settings.model.kind
    if not trained.settings.stages:
        raise ConfigError(f"{run} is a model of kind {kind}: it was not trained and does not sample, so that there is "
                          "nothing to diagnose; score it with `oceanrecon evaluate`")  # fmt: skip
    numbers: dict[str, Any] = {
        "run": run,
        "kind": kind,
        "created_by": f"oceanrecon {version('oceanrecon')}",
        "created_utc": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "device": str(trained.device),
        "curves": curves(Root(run.removesuffix(MODEL).rstrip("/")), trained.settings),
        "notes": [],
        "sampling": None,
    }
    if not any(numbers["curves"]):
        numbers["notes"].append("the logs of the training are not in the folder of the run: there are no curves")
    if not isinstance(trained.model, Diffusion):
        numbers["notes"].append(_NO_DIFFUSION.format(kind=kind))
        return Diagnosis(numbers, {})
    data = Data(trained.settings.data, trained.settings.scenario)
    side = next(name for name in SIDES if name == split)
    dataset = spread(data.patches(side, quality=trained.quality), rows)
    state = trained.state(data.grid, dataset.form)
    patches = [some for _, some in decoded(dataset, state, _BATCH, trained.device)]
    numbers["sampling"], arrays = sampling(trained, trained.model, state, patches, members, seed, told)
    numbers["sampling"] |= {"split": split, "rows": len(dataset)}
    return Diagnosis(numbers, arrays)


def sampling(
    trained: Trained,
    model: Diffusion,
    state: State,
    patches: Sequence[Patches],
    members: int,
    seed: int,
    told: Told | None = None,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What sampling some patches shows: numbers, and the arrays that they name.

    Args:
        trained: the model and its settings.
        model: the same.
        state: what its patches are scaled by.
        patches: with their dense target, some at a time.
        members: of the ensembles.
        seed: of the members.
        told: hears of progress.

    Raises:
        ConfigError: no patch has a dense target.
    """
    if not any(bool(some.target_mask.any()) for some in patches if some.target_mask is not None):
        raise ConfigError(
            "none of these patches has a dense target to compare with: take another --split or more --rows"
        )
    total = len(samplers(model)) * len(patches) + 2
    done = 0

    def step(what: str) -> None:
        nonlocal done
        done += 1
        if told is not None:
            told(done, total, what)

    tried: dict[str, list[Sampled]] = {}
    for some in patches:
        for found in by_sampler(model, some, members, seed):
            name = _name(found.sampler.method, found.sampler.steps)
            tried.setdefault(name, []).append(found)
            step(name)
    levels = by_level(model, patches)
    step("noise levels")
    way, arrays = _way(trained, model, state, patches, seed)
    step("a member on its way")
    numbers = {
        "members": members,
        "seed": seed,
        "fields": {part.name: _UNITS[part.name] for part in state.form.fields},
        "depth": list(state.form.depth),
        "estimate": _of_estimate(model, state, patches),
        "finest": _name(samplers(model)[-1].method, samplers(model)[-1].steps),
        "usual": _name(trained.settings.diffusion.sampler.method, trained.settings.diffusion.sampler.steps),
        "samplers": [_of_sampler(state, tried[_name(one.method, one.steps)], members) for one in samplers(model)],
        "levels": [{name: rounded(value) if value is not None else None for name, value in vars(level).items()}
                   for level in levels],
        "nothing_above": nothing_above(levels),
        "way": way,
    }  # fmt: skip
    return numbers, arrays


def curves(run: Root, settings: TrainSettings) -> list[dict[str, Any]]:
    """What the log of each stage has: ``title``, and lists ``step`` and ``value`` of each curve; ``{}`` without log."""
    found = []
    for number, stage in enumerate(settings.stages, 1):
        text = run.read_if_there(f"logs/{number}/metrics.csv")
        lines = [] if text is None else list(csv.DictReader(io.StringIO(text.decode())))
        kept: dict[str, Any] = {}
        for name, column in _CURVES.items():
            points = [(int(line["step"]), float(line[column])) for line in lines if line.get(column)]
            points = [(step, value) for step, value in points if math.isfinite(value)]
            if points:
                kept[name] = {"step": [step for step, _ in points], "value": [value for _, value in points]}
        if kept:
            kept["title"] = f"{number}: {stage.network}, {stage.objective}, {stage.samples:,} samples"
        found.append(kept)
    return found


def _of_sampler(state: State, parts: Sequence[Sampled], members: int) -> dict[str, Any]:
    """Sums of all patches, as scores by field in K and PSU."""
    square = state.get_buffer("deviation").double().cpu().square()
    fields = {}
    for number, part in enumerate(state.form.fields):
        own = slice(number * state.levels, (number + 1) * state.levels)

        def total(name: str, scale: torch.Tensor, own: slice = own) -> float:
            return float(sum((getattr(one, name) * scale)[own].sum() for one in parts))

        weight = max(total("weight", torch.ones_like(square)), 1e-12)
        error, variance = total("square", square) / weight, total("variance", square) / weight
        fields[part.name] = {
            "rmse": rounded(math.sqrt(error)),
            "crps": rounded(total("crps", square.sqrt()) / weight),
            "spread": rounded(math.sqrt(variance)),
            "spread_skill": rounded(math.sqrt((members + 1) / members * variance / max(error, 1e-12))),
            "distance": rounded(math.sqrt(total("distance", square) / weight)),
        }
    return {
        **parts[0].sampler.model_dump(include={"method", "steps"}),
        "evaluations": parts[0].evaluations,
        "seconds": rounded(float(np.mean([one.seconds for one in parts]))),
        "fields": fields,
    }


@torch.inference_mode()
def _of_estimate(model: Diffusion, state: State, patches: Sequence[Patches]) -> dict[str, dict[str, Any]]:
    """Errors of the estimate that members are sampled around, by field, K and PSU."""
    deviation = state.get_buffer("deviation").double().cpu()
    sums = torch.zeros(3, state.channels, dtype=torch.float64)
    for some in patches:
        assert some.target is not None and some.target_mask is not None
        error = (model.estimate(some).mean - some.target).double()
        weight = weights(some, some.target_mask).double()
        for number, values in enumerate((torch.ones_like(error), error.abs(), error.square())):
            sums[number] += (values * weight).sum(dim=(0, 2, 3)).cpu()
    sums *= torch.stack([torch.ones_like(deviation), deviation, deviation.square()])
    found: dict[str, dict[str, Any]] = {}
    for number, part in enumerate(state.form.fields):
        weight, absolute, square = sums[:, number * state.levels : (number + 1) * state.levels].sum(dim=1).tolist()
        found[part.name] = {
            "rmse": rounded(math.sqrt(square / max(weight, 1e-12))),
            "mae": rounded(absolute / max(weight, 1e-12)),
        }
    return found


@torch.inference_mode()
def _way(
    trained: Trained, model: Diffusion, state: State, patches: Sequence[Patches], seed: int
) -> tuple[list[dict[str, Any]], dict[str, NDArray[Any]]]:
    """A member of the patch with the most profiles, by field: a map and a section at each of some steps."""
    observed = [int(one) for some in patches for one in some.observed_mask.any(dim=1).sum(dim=(1, 2))]
    batch, row = divmod(int(np.argmax(observed)), len(patches[0]))
    some = patches[batch].take([row])
    estimate = model.estimate(some)
    sampler = trained.settings.diffusion.sampler
    moments = on_the_way(model, some, estimate, sampler, seed, _SHOWN)
    assert some.target is not None and some.target_mask is not None
    known = some.target_mask[0].cpu()
    truth = (some.target - estimate.mean)[0].cpu()
    deviation = state.get_buffer("deviation").cpu()[:, None, None]
    level = int(np.abs(np.array(state.form.depth) - _MAP_DEPTH).argmin())
    latitude, longitude = some.latitude[0].double().cpu().numpy(), some.longitude[0].double().cpu().numpy()
    step = abs(latitude[1] - latitude[0]), (longitude[1] - longitude[0]) % 360.0
    place = longitude[0] + step[1] * np.arange(len(longitude))  # on across the dateline
    found, arrays = [], {"place": place, "land": ~known.any(dim=0).numpy()}
    for number, part in enumerate(state.form.fields):
        own = slice(number * state.levels, (number + 1) * state.levels)
        along = int(known[own].sum(dim=(0, 2)).argmax())

        def kept(name: str, anomalies: torch.Tensor, own: slice = own, along: int = along) -> dict[str, str]:
            values = (anomalies * deviation).masked_fill(~known, float("nan"))[own].numpy()
            arrays[f"{name} map"], arrays[f"{name} section"] = values[level], values[:, along]
            return {"map": f"{name} map", "section": f"{name} section"}

        found.append(
            {
                "field": part.name,
                "sampler": _name(sampler.method, sampler.steps),
                "date": dt.date.fromordinal(int(some.day[0])).isoformat(),
                "depth": state.form.depth[level],
                "at": float(latitude[along]),
                "extent": [place[0] - step[1] / 2, place[-1] + step[1] / 2,
                           latitude[-1] - step[0] / 2, latitude[0] + step[0] / 2],
                "place": "place",
                "land": "land",
                "moments": [
                    {"step": one.step, "sigma": one.sigma,
                     "noisy": kept(f"{part.name} {one.step} noisy", one.noisy),
                     "clean": kept(f"{part.name} {one.step} clean", one.clean)}
                    for one in moments
                ],
                "truth": kept(f"{part.name} truth", truth),
            }
        )  # fmt: skip
    return found, arrays


def _name(method: str, steps: int) -> str:
    """``dpm, 12 steps``."""
    return f"{method}, {steps} steps"
