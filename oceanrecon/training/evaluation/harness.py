"""Models scored side by side on the rows and floats that none of them has learnt from."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.samples.form import SCENARIOS, FieldName, Scenario
from oceanrecon.samples.references import FloatReferences
from oceanrecon.samples.withheld import FLOAT_SIDES
from oceanrecon.stores.files import Root
from oceanrecon.training.device import default_device, enough_memory
from oceanrecon.training.evaluation.checks import checks
from oceanrecon.training.evaluation.contenders import Contender, Sampling, contenders, shared_fields
from oceanrecon.training.evaluation.examples import Examples
from oceanrecon.training.evaluation.floats import SCORED, FloatTruth
from oceanrecon.training.evaluation.goals import goals
from oceanrecon.training.evaluation.scene import observation_error, scenes
from oceanrecon.training.evaluation.selection import apart, evenly
from oceanrecon.training.evaluation.spectra import narrowest_spacing
from oceanrecon.training.evaluation.summary import rounded
from oceanrecon.training.evaluation.tally import REANALYSIS, SIDE, Tally
from oceanrecon.training.loop.data import float_split
from oceanrecon.training.state.state import State

NUMBERS, ARRAYS = "evaluation.json", "examples.npz"
#: Rows that are done, and all.
Told = Callable[[int, int], None]
_UNITS = {"temperature": "K", "salinity": "PSU"}


@dataclass(frozen=True)
class Evaluation:
    """What was found."""

    #: what ``evaluation.json`` has
    numbers: Mapping[str, Any]
    #: of its examples, by name
    arrays: Mapping[str, NDArray[Any]]

    @property
    def broken(self) -> tuple[str, ...]:
        """Checks that do not hold; where there is one, scores may be too good."""
        return tuple(f"{one['what']}: {one['found']}" for one in self.numbers["checks"] if not one["holds"])

    def write(self, output: str) -> None:
        """Write ``evaluation.json`` and ``examples.npz``.

        Args:
            output: folder or fsspec URL, made where it is not there.

        Raises:
            OutputError: nothing can be written there.
        """
        root = Root(output)
        stream = io.BytesIO()
        np.savez_compressed(stream, **self.arrays)  # type: ignore[arg-type]
        root.write(ARRAYS, stream.getbuffer())
        root.write(NUMBERS, (json.dumps(self.numbers, indent=1, allow_nan=False) + "\n").encode())


@enough_memory("this evaluation", "take fewer members (--members), or --device cpu")
def evaluate(
    runs: Sequence[str],
    split: str = "test",
    *,
    members: int = 16,
    rows: int = 256,
    seed: int = 0,
    sampling: Sampling | None = None,
    sha256: Sequence[str] | None = None,
    device: str | None = None,
    told: Told | None = None,
) -> Evaluation:
    """Score models against withheld floats and the dense target.

    The same runs, rows, members and seed give the same numbers on one device.

    Args:
        runs: where they are; the evaluation is about the first, and compares it with the others.
        split: ``test`` or ``val``: which rows, and which floats.
        members: of each ensemble.
        rows: at most; they are spread evenly through the dates.
        seed: of members, observation errors and resampling.
        sampling: how models that sample do; default: as each was trained for, without guidance.
        sha256: checksums that the files of the models have to have, one for each run, as of ``load_model``.
        device: such as ``cuda``; default: a GPU where there is one.
        told: hears of progress.

    Raises:
        ConfigError: there is no such side, or no row of it; runs do not go together; members or rows are too few.
        OutputError: a model, the export or the index is gone or damaged.
    """
    side = next((name for name in SCORED if name == split), None)
    if side is None:
        raise ConfigError(f"there is no split {split!r} to score on: it is test or val")
    if members < 2 or rows < 1 or not runs:
        raise ConfigError(
            f"{len(runs)} runs, members={members}, rows={rows}: give a run, 2 members (a spread needs them) and 1 row, "
            "or more"
        )
    models = contenders(runs, side, device or default_device(), sampling or Sampling(), sha256)
    main, fields = models[0], shared_fields(models)
    whole = len(main.dataset)
    free = apart(main.dataset.rows, main.data.grid)
    chosen = free[evenly(free.size, rows)]
    for model in models:
        model.choose(chosen)
    floats = _floats(main, fields, side)
    reference = State(main.trained.statistics, main.dataset.form, main.data.grid).to(main.trained.device)
    tally = _tally(models, fields, reference, seed)
    examples = Examples(fields, main.dataset.form.depth, floats, main.name, main.samples)
    for scene in scenes(models, reference, fields, floats, members, seed):
        tally.add(scene)
        examples.add(scene)
        if told is not None:
            told(scene.row + 1, len(chosen))
    dates = np.unique(main.dataset.rows.date)
    numbers: dict[str, Any] = {
        "run": main.run,
        "split": split,
        "export": main.export,
        "index": main.data.settings.index,
        **main.fingerprints,
        "created_by": f"oceanrecon {version('oceanrecon')}",
        "created_utc": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "device": str(main.trained.device),
        "seed": seed,
        "dates": {"first": _iso(dates[0]), "last": _iso(dates[-1]), "count": len(dates)},
        "rows": {"of the split": whole, "without overlap": int(free.size), "scored": len(chosen)},
        "floats": {"platforms": floats.platforms, "profiles": floats.profiles},
        "fields": {name: _UNITS[name] for name in fields},
        "depth": list(main.dataset.form.depth),
        "observation_error": {
            name: rounded(part.cpu().numpy()) for name, part in zip(fields, tally.noise.chunk(len(fields)), strict=True)
        },
        "models": _models(models, tally),
        "references": {
            "floats": {"title": "withheld floats", "units": "floats"},
            "target": {"title": "the dense target", "units": "dates"},
        },
        "notes": _notes(models, fields, floats, len(chosen), int(free.size), main.dataset.form.tile),
        "checks": checks(models, floats, frozenset(dates.tolist())),
        **tally.summary(main.name),
        "examples": examples.summary(),
    }
    numbers["goals"] = goals(numbers)
    return Evaluation(numbers, examples.arrays)


def _floats(main: Contender, fields: Sequence[FieldName], side: Any) -> FloatTruth:
    scenario: Scenario = next(name for name, parts in SCENARIOS.items() if parts == tuple(fields))
    split = float_split(main.trained.settings.data.floats)
    references = FloatReferences(
        main.export, main.dataset.rows, floats=split, sides=FLOAT_SIDES, scenario=scenario, days=main.data.days,
        quality=main.trained.quality,
    )  # fmt: skip
    return FloatTruth.read(references, split, side, fields)


def _tally(models: Sequence[Contender], fields: tuple[FieldName, ...], reference: State, seed: int) -> Tally:
    main = models[0]
    grid, rows = main.data.grid, main.dataset.rows
    middle = grid.north - (rows.patch_id // grid.width + rows.tile / 2) * grid.dy
    return Tally(
        fields=fields,
        depth=main.dataset.form.depth,
        deviation=reference.get_buffer("deviation")[main.channels(fields)],
        noise=observation_error(main, reference, fields),
        cell=(grid.dx, grid.dy),
        spacing=narrowest_spacing(rows.tile, grid.dx, grid.dy, float(np.abs(middle).max())),
        sampling=frozenset(model.name for model in models if model.samples),
        seed=seed,
    )


def _models(models: Sequence[Contender], tally: Tally) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for model in models:
        members = tally.scores["target"][model.name].members
        found[model.name] = {
            "kind": model.trained.settings.model.kind, "members": members, "samples": model.samples,
            "what": model.described(members),
        }  # fmt: skip
        if model.samples:
            found[model.name] |= {"sampler": model.sampler.model_dump(mode="json"), "guidance": model.guidance}
    found[REANALYSIS] = {
        "kind": REANALYSIS, "members": 1, "samples": False, "what": "the dense target itself, where floats judge it"
    }  # fmt: skip
    return found


def _notes(
    models: Sequence[Contender], fields: Sequence[FieldName], floats: FloatTruth, rows: int, free: int, tile: int
) -> list[str]:
    notes = [
        f"{rows:,} of {free:,} patches that share no pixel at a date were scored, evenly through the dates",
        "floats are compared with the pixel that they are in, at levels where the dense target is known too",
    ]
    if tile > SIDE:
        notes.append(
            f"of the {tile} pixels along a side of a patch, {SIDE} were compared with the dense target, evenly"
        )
    left = sorted({name for model in models for name in model.fields} - set(fields))
    if left:
        notes.append(f"{' and '.join(left)} was not scored: not all of these runs reconstruct it")
    if "salinity" not in fields:
        notes.append("without salinity, the mixed layer is by temperature, and stability is not known")
    if not floats.profiles:
        notes.append("no float that was withheld has a profile in these rows: nothing was scored on floats")
    return notes


def _iso(date: Any) -> str:
    return dt.datetime.strptime(str(date), "%Y%m%d").replace(tzinfo=dt.UTC).date().isoformat()
