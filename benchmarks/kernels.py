"""Aligning and colocating a week of profiles with everything in memory: the compiled passes and what calls them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Scale
from benchmarks.processes import run_module
from benchmarks.profiles import Places, placed
from oceanrecon.pipeline.profiles.recipe import FieldFiles
from oceanrecon.sources.hdf import StoredVariable
from oceanrecon.sources.header import VariableHeader
from oceanrecon.sources.product import Sampled
from oceanrecon.sources.profile_file import Levels
from oceanrecon.sources.profiles import LevelReader
from oceanrecon.sources.quality import level_acceptance
from oceanrecon.sources.unpack import unpacking_of
from oceanrecon.stores.memory import keep_freed_memory
from oceanrecon.transform.colocate import Footprint, accumulate, finish, footprint
from oceanrecon.transform.depth import align
from oceanrecon.transform.regrid import Unpacking

_REPEATS = 4


@dataclass(frozen=True)
class Kernels:
    """CPU-seconds for a week of profiles."""

    profiles: int
    #: slots of a profile, and how many of them hold a level on average
    slots: int
    levels_per_profile: float
    alignment: float
    #: the same with a level in every slot
    full_alignment: float
    #: by product: all its variables
    colocation: dict[str, float]


def measure_kernels(scale: Scale) -> Kernels:
    """Align and colocate a week in a process of its own."""
    return Kernels(**run_module("benchmarks.kernels", [str(scale.data), "quick" if scale.quick else "full"]))


@dataclass(frozen=True, eq=False)
class _InMemory:
    """A variable as its chunks, inflated, by number along depth, latitude and longitude."""

    chunk: tuple[int, int, int]
    nearest: bool
    levels: int
    unpacking: Unpacking
    chunks: dict[tuple[int, ...], NDArray[Any]]


def _measure(scale: Scale) -> Kernels:
    keep_freed_memory()  # as workers do
    places = Places.of(scale, "week")
    target = np.array(places.planned.recipe.depth)
    with LevelReader(places.file) as reader:
        levels = reader.read(places.rows)
    colocation = {}
    for fields in places.fields:
        memory = _load(places.path(fields.sources[0]), fields)
        colocation[fields.product] = _least(partial(_colocate, places, fields, memory))
    return Kernels(
        profiles=len(places.rows),
        slots=levels.depth.shape[1],
        levels_per_profile=float(np.isfinite(levels.depth).sum(axis=1).mean()),
        alignment=_least(partial(_align, levels, target)),
        full_alignment=_least(partial(_align, _filled(levels), target)),
        colocation=colocation,
    )


def _least(work: Callable[[], None]) -> float:
    """CPU-seconds of the fastest of some runs; the first compiles."""
    seconds = []
    for _ in range(_REPEATS):
        started = time.process_time()
        work()
        seconds.append(time.process_time() - started)
    return min(seconds)


def _align(levels: Levels, target: NDArray[np.float64]) -> None:
    align(
        levels.depth, levels.depth_qc,
        (levels.temp, levels.potm, levels.psal), (levels.temp_qc, levels.potm_qc, levels.psal_qc),
        level_acceptance("en4", "standard"), [np.ones(len(levels.depth), np.bool_)] * 3, target,
    )  # fmt: skip


def _filled(levels: Levels) -> Levels:
    """As many profiles, with a good level in every slot down to 2000 m."""
    shape = levels.depth.shape
    chance = np.random.default_rng(1)
    depth = np.sort(chance.uniform(0.0, 2000.0, shape).astype(np.float32), axis=1)
    values = chance.uniform(0.0, 30.0, shape).astype(np.float32)
    good = np.ones(shape, np.int8)
    return Levels(depth, values, values, values, good, good, good, good, ())


def _load(path: str, fields: FieldFiles) -> list[_InMemory]:
    """Every variable of a file; those with levels are all the first of them: four would take 3.5 GB."""
    found: list[_InMemory] = []
    deep: list[_InMemory] = []
    with h5py.File(path, "r") as file:
        for variable, header, chunk in placed(file, fields):
            if not variable.levels:
                found.append(_inflated(file, fields, variable, header, chunk))
                continue
            deep = deep or [_inflated(file, fields, variable, header, chunk)]
            found += deep
    return found


def _inflated(
    file: h5py.File, fields: FieldFiles, variable: Sampled, header: VariableHeader, chunk: tuple[int, int, int]
) -> _InMemory:
    stored = StoredVariable(file[variable.name])
    shape = max(fields.levels, 1) if variable.levels else 1, fields.latitude.size, fields.longitude.size

    def read(*number: int) -> NDArray[Any]:
        parts = [slice(n * c, min((n + 1) * c, s)) for n, c, s in zip(number, chunk, shape, strict=True)]
        index: dict[str, int | slice] = {"time": 0, **dict(zip(("depth", "latitude", "longitude"), parts, strict=True))}
        values = stored.read(tuple(index[role] for role in header.dimensions))
        return values.reshape(-1, *values.shape[-2:])

    numbers = np.ndindex(*(-(-size // step) for size, step in zip(shape, chunk, strict=True)))
    chunks = {number: read(*number) for number in numbers}
    unpacking, _ = unpacking_of(variable, header, lambda: chunks[0, 0, 0])
    return _InMemory(chunk, variable.nearest, shape[0], unpacking, chunks)


def _colocate(places: Places, fields: FieldFiles, memory: list[_InMemory]) -> None:
    """All variables where the profiles of each file are, as if its files were all the one in memory."""
    for _, latitude, longitude in places.by_source(fields):
        prints: dict[tuple[tuple[int, int], bool], Footprint] = {}
        for field in memory:
            key = field.chunk[1:], field.nearest
            if key not in prints:
                prints[key] = footprint(
                    fields.latitude, fields.longitude, latitude, longitude, field.chunk[1:], nearest=field.nearest
                )
            _sample(field, prints[key])


def _sample(field: _InMemory, place: Footprint) -> NDArray[np.float32]:
    sums, weights = np.zeros((place.count, field.levels)), np.zeros((place.count, field.levels))
    step, height, width = field.chunk
    for (row, column), part in place.chunks():
        for number in range(-(-field.levels // step)):
            slab = field.chunks[number, row, column]
            first = number * step, row * height, column * width
            accumulate(slab, *first, place, part, field.unpacking, sums, weights)
    return finish(sums, weights)


if __name__ == "__main__":
    folder, size = sys.argv[1:]
    json.dump(vars(_measure(Scale(Path(folder), size == "quick"))), sys.stdout)
