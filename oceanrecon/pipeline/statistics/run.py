"""Fits statistics on a cluster: columns of floats, sums of bands, seasons, anomalies, and from these what is stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from oceanrecon.errors import PlanError
from oceanrecon.pipeline.statistics.fit import (
    FLOOR,
    LEAST_COLUMNS,
    filled_levels,
    level_deviations,
    spatial_covariance,
    vertical_modes,
)
from oceanrecon.pipeline.statistics.moments import MomentsTask, PairsTask, total
from oceanrecon.pipeline.statistics.plan import GUARD, TERMS_PATH, StatisticsPlan, check_output
from oceanrecon.pipeline.statistics.recipe import Recipe, read_arrays, write_arrays
from oceanrecon.pipeline.statistics.season import (
    ClimateTask,
    ProfilesTask,
    SeasonTask,
    bands,
    blocks,
    month_of,
    name_of,
)
from oceanrecon.pipeline.statistics.steps import Steps
from oceanrecon.pipeline.tasks import Progress, TaskRun
from oceanrecon.samples.form import Field
from oceanrecon.stores.manifest import MANIFEST
from oceanrecon.stores.statistics import Statistics, write_statistics
from oceanrecon.stores.steps import Step, StepFailure, StoredFile
from oceanrecon.transform.covariance import Covariance


@dataclass(frozen=True)
class StatisticsResult:
    """What a run left behind."""

    output: str
    fields: tuple[str, ...]
    surface: tuple[str, ...]
    #: training dates of the dense fields
    dates: int
    #: of training floats
    profiles: int
    #: platforms by side
    platforms: dict[str, int]
    #: of each field: whose pairs its covariance is of (``profiles``, ``reanalysis``), or that it is ``assumed``
    pairs: dict[str, str]
    steps_made: int
    steps_kept: int
    failures: tuple[StepFailure, ...]
    wall_seconds: float
    cpu_seconds: float
    #: largest memory of any worker, bytes
    peak_memory: int

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


def run_statistics(
    planned: StatisticsPlan,
    client: Client,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> StatisticsResult:
    """Fit statistics with the workers of a Dask client; the manifest comes last.

    A run that was killed goes on with ``resume``, which makes only the steps that are missing. Where a step cannot be
    made there are no statistics.

    Raises:
        OutputError: the output exists, belongs to other settings, or cannot be written.
        ConfigError: the statistics of ``bathymetry`` are of another grid.
        PlanError: a variable has no value.
        ClusterError: the cluster went away.
    """
    started = time.perf_counter()
    settings, root = planned.recipe.settings, planned.recipe.root
    check_output(settings, resume=resume, overwrite=overwrite)
    floor = planned.sea_floor() if settings.source == "profiles" else None
    GUARD.prepare(root, settings, overwrite=overwrite)
    GUARD.write(root, settings)
    root.remove(MANIFEST)  # until all is there again
    recipe = planned.shared()
    months = sorted({month_of(date) for date in recipe.dates}) if recipe.days else []
    with TaskRun(client, root) as run:
        steps = Steps(run, recipe, _count(recipe, len(months)), on_progress)
        made = _make(steps, recipe, months, floor)
    pairs: dict[str, str] = {}
    if made is not None:
        statistics, pairs = _statistics(recipe, made, planned.platforms)
        write_statistics(root, statistics)
        root.clear_staging()
    return StatisticsResult(
        output=root.url,
        fields=tuple(field.name for field in recipe.fields),
        surface=tuple(channel.variable for channel in recipe.surface),
        dates=len(recipe.dense_dates) if recipe.dense else 0,
        profiles=0 if made is None else sum(step.counts["profiles"] for step in made.profiles),
        platforms=dict(planned.platforms),
        pairs=pairs,
        steps_made=len(steps.made),
        steps_kept=steps.kept,
        failures=tuple(steps.failures),
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=sum(step.timing["cpu"] for step in steps.made),
        peak_memory=int(max((step.timing["peak_memory_bytes"] for step in steps.made), default=0)),
    )


@dataclass(frozen=True, eq=False)
class _Made:
    """What the steps left."""

    profiles: list[Step]
    terms: dict[str, NDArray[np.float32]]
    deepest: NDArray[np.int8]
    #: of the dense fields and of the profiles, by month
    moments: list[Step]
    pairs: list[Step]


def _count(recipe: Recipe, months: int) -> int:
    """How many steps there are."""
    levels = len(blocks(len(recipe.depth))) * len(recipe.fields)
    dense = 2 * len(bands(recipe.grid)) if recipe.dense else 0
    return 2 * months + dense + levels + len(recipe.surface)


def _make(steps: Steps, recipe: Recipe, months: list[str], floor: NDArray[np.int8] | None) -> _Made | None:
    """All steps; ``None`` where one failed."""
    rows = bands(recipe.grid) if recipe.dense else []
    profiles = steps.make("profiles", [ProfilesTask(month) for month in months])
    season = steps.make("season", [SeasonTask(*band) for band in rows])
    if steps.failures:
        return None
    climate = steps.make("climate", _climate_tasks(recipe, profiles, season))
    if steps.failures:
        return None
    terms = _terms(recipe, climate)
    # named, so that the steps that need it are made again if it changes
    file = write_arrays(recipe.root, TERMS_PATH, terms)
    moments = steps.make("moments", [MomentsTask(*band, file) for band in rows])
    pairs = steps.make(
        "pairs", [PairsTask(month, step.files[0], file) for month, step in zip(months, profiles, strict=True)]
    )
    if steps.failures:
        return None
    if floor is None:
        floor = np.concatenate([read_arrays(recipe.root, _part(step, "deepest"))["deepest"] for step in season])
    return _Made(profiles, terms, floor, moments, pairs)


def _climate_tasks(recipe: Recipe, profiles: list[Step], season: list[Step]) -> list[ClimateTask]:
    tasks = []
    levels = len(recipe.depth)
    for part in recipe.dense:
        name, count = name_of(part), len(blocks(levels if isinstance(part, Field) else 1))
        tasks += [
            ClimateTask(name, number, tuple(_part(step, f"{name}-{number}") for step in season))
            for number in range(count)
        ]
    if recipe.settings.source == "profiles":
        files = tuple(step.files[0] for step in profiles)
        for at, field in enumerate(recipe.fields):
            for number, block in enumerate(blocks(levels)):
                columns = at * levels + block.start, at * levels + block.stop
                tasks.append(ClimateTask(field.name, number, files, columns))
    return tasks


def _part(step: Step, name: str) -> StoredFile:
    return next(file for file in step.files if file.path.endswith(f"/{name}.npz"))


def _terms(recipe: Recipe, climate: list[Step]) -> dict[str, NDArray[np.float32]]:
    """The climatology of all variables, without a hole."""
    found: dict[str, list[NDArray[np.float32]]] = {}
    for step in climate:  # blocks of a variable follow each other
        found.setdefault(step.name.rpartition("-")[0], []).append(read_arrays(recipe.root, step.files[0])["terms"])
    terms = {}
    for name, parts in found.items():
        try:
            whole = filled_levels(np.concatenate(parts, axis=1))
        except ValueError as error:
            raise PlanError(
                f"{name}: {error} of the {len(recipe.dates)} training dates: take more dates, or an index whose "
                "training rows have some"
            ) from error
        terms[name] = whole[:, 0] if name in {channel.variable for channel in recipe.surface} else whole
    return terms


def _statistics(recipe: Recipe, made: _Made, platforms: Mapping[str, int]) -> tuple[Statistics, dict[str, str]]:
    settings, levels = recipe.settings, len(recipe.depth)
    dense, surface = total(recipe, [step.files[0] for step in made.moments])
    profiles, _ = total(recipe, [step.files[0] for step in made.pairs])
    own = dense if settings.source == "reanalysis" else profiles
    assert own is not None  # the source has values: there is a climatology
    deviation: dict[str, NDArray[np.float32]] = {}
    covariance: dict[str, Covariance] = {}
    pairs: dict[str, str] = {}
    least = 0 if settings.source == "reanalysis" else LEAST_COLUMNS
    for number, field in enumerate(recipe.fields):
        at = slice(number * levels, (number + 1) * levels)
        second, weight = np.diag(own.second)[at], np.diag(own.weight)[at]
        try:
            deviation[field.name] = level_deviations(second, weight, FLOOR[field.name], least)
        except ValueError as error:
            raise PlanError(f"{field.name}: {error}; take more dates") from error
        covariance[field.name], pairs[field.name] = spatial_covariance(
            profiles, dense if settings.source == "reanalysis" else None, at, deviation[field.name]
        )
    every = np.concatenate([deviation[field.name] for field in recipe.fields])
    for name, (weight, second) in surface.items():
        if not weight > 0:
            raise PlanError(f"{name} has no value at the training dates: take more dates, or export without it")
        deviation[name] = np.array(max(np.sqrt(second / weight), FLOOR[name]), np.float32)
    return Statistics(
        fields=tuple(field.name for field in recipe.fields),
        surface=tuple(channel.variable for channel in recipe.surface),
        depth=recipe.depth,
        grid=recipe.grid,
        coarse=recipe.coarse,
        terms=made.terms,
        deviation=deviation,
        eof=vertical_modes(own, every, shrink=settings.source == "profiles"),
        deepest=made.deepest,
        covariance=covariance,
        provenance=_provenance(recipe, made, platforms, pairs),
    ), pairs


def _provenance(recipe: Recipe, made: _Made, platforms: Mapping[str, int], pairs: dict[str, str]) -> dict[str, Any]:
    settings = recipe.settings
    return {
        "created_by": f"oceanrecon {version('oceanrecon')}",
        "export": {"url": settings.export, "fingerprint": recipe.fingerprint},
        "index": settings.index,
        "source": settings.source,
        "dates": {"training": list(recipe.dates), "dense": list(recipe.dense_dates) if recipe.dense else []},
        "pixels": "all of the training dates" if recipe.training is None else "those of the training rows",
        "floats": {
            **settings.floats.model_dump(),
            "rule": "side by blake2b of `seed:platform number`",
            "platforms": dict(platforms),
        },
        "profiles": sum(step.counts["profiles"] for step in made.profiles),
        "climatology": {
            "resolution": settings.resolution, "smoothing_km": settings.smoothing_km, "ridge": settings.ridge
        },
        "covariance_of": pairs,
        "bathymetry": settings.bathymetry or ("reanalysis" if settings.source == "reanalysis" else "land mask"),
    }  # fmt: skip
