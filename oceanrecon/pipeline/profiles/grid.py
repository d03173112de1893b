"""Puts enriched profiles on the grid, the targets and the code of an export: ``argo/argo_profiles_on_grid.zarr``.

Rows are sorted by target, then row and column of the grid, and an index says where each target begins: a reader gets
the profiles of one window of one week by slicing. Groups of targets become parts, then shards, as months do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from oceanrecon.config import Settings, TemperatureSource
from oceanrecon.errors import PlanError
from oceanrecon.grid import parse_date
from oceanrecon.pipeline.guard import Guard
from oceanrecon.pipeline.profiles.assemble import assemble, is_done
from oceanrecon.pipeline.profiles.gridded import (
    ARGO,
    GRIDDED,
    SECTION,
    GridRecipe,
    gridded_columns,
    index_tables,
    write_section,
)
from oceanrecon.pipeline.profiles.group import Group, assign_targets, days_of, make_group, record_group_failure
from oceanrecon.pipeline.profiles.locate import find_store
from oceanrecon.pipeline.tasks import Progress, Task, TaskRun
from oceanrecon.stores.columns import ColumnLayout, ColumnReader
from oceanrecon.stores.files import Root, writing_while
from oceanrecon.stores.lease import Hold
from oceanrecon.stores.manifest import export_grid, read_manifest, surface_window, write_manifest
from oceanrecon.stores.steps import Step, StepFailure, forget_failures, read_steps, step_path

#: Enriched rows that one task reads, unless a single target has more.
_GROUP_ROWS = 65536


class _Kept(Settings):
    """The settings of a gridded store, which mark its folder."""

    store: str
    temperature: TemperatureSource


GUARD = Guard(
    what="gridded profile store",
    name="gridded.yaml",
    fixed=("temperature",),
    folders=("receipts", "failures", "parts", GRIDDED),
    files=(SECTION,),
)


@dataclass(frozen=True)
class GridResult:
    """What gridding left behind."""

    store: str
    profiles: int
    #: profiles of the enriched store that are not in it, by reason
    left_out: dict[str, int]
    groups_made: int
    groups_kept: int
    shards_written: int
    failures: tuple[StepFailure, ...]
    wall_seconds: float
    cpu_seconds: float

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


@dataclass(frozen=True, eq=False)
class GridPlan:
    """The groups of targets of a gridded store."""

    export: str
    recipe: GridRecipe
    groups: tuple[Group, ...]
    #: rows of the enriched store
    rows: int
    #: which ``months`` (2012-03) and ``days_held`` it has, as far as it says so
    held: Mapping[str, Any]
    #: of those, on days that are no target's
    outside_windows: int


def check_depth(store: str, depth: Sequence[float], what: str) -> ColumnReader:
    """The store, where it has these depths (m); an export of surface variables only has none, and takes any.

    Raises:
        OutputError: there is none.
        PlanError: it has others.
    """
    reader = ColumnReader(*find_store(store))
    if len(depth) and not np.array_equal(np.array(depth, np.float32), np.array(reader.depth, np.float32)):
        raise PlanError(
            f"{reader.url} has {len(reader.depth)} depths, {_span(reader.depth)}, and {what} has {len(depth)}, "
            f"{_span(depth)}: enrich the profiles with the same GLORYS files as the export"
        )
    return reader


def plan_grid(export: str, store: str, temperature: TemperatureSource) -> GridPlan:
    """Match the profiles of a store to the targets of an export.

    Args:
        export: folder or fsspec URL of a finished export.
        store: enriched store, or a folder or package that has one.
        temperature: ``potential`` or ``in-situ``.

    Raises:
        OutputError: there is no finished export, or no store.
        PlanError: their depths differ, or no profile is in any window.
    """
    root = Root(export)
    manifest = read_manifest(root)
    reader = check_depth(store, manifest["depth_axis_m"], f"the export {root.url}")
    targets = tuple(parse_date(str(date)) for date in manifest["target_dates"])
    window = surface_window(manifest)
    recipe = GridRecipe(
        output=Root(root.url_of(ARGO)).url,
        store=reader.url,
        grid=export_grid(manifest),
        encoding=manifest["encoding"],
        temperature=temperature,
        depth=reader.depth,
        targets=targets,
        window_days=window,
    )
    days = days_of(reader.read(["profile_date"])["profile_date"])
    if np.any(np.diff(days) < 0):
        raise PlanError(f"{reader.url} is not sorted by date: make it with `oceanrecon profiles enrich`")
    assigned = assign_targets(days, targets, window)
    keys = reader.attrs.get("shard_keys", [])
    shard_rows = ColumnLayout((), reader.depth).shard_rows
    groups: list[Group] = []
    starts = np.searchsorted(_monotonic(assigned), np.arange(len(targets)))
    counts = np.bincount(assigned[assigned >= 0], minlength=len(targets))
    first = 0
    while first < len(targets):
        last = first + 1
        while last < len(targets) and counts[first : last + 1].sum() <= _GROUP_ROWS:
            last += 1
        used = [n for n in range(first, last) if counts[n]]
        if used:
            start, stop = int(starts[used[0]]), int(starts[used[-1]] + counts[used[-1]])
            identity = keys[start // shard_rows : (stop - 1) // shard_rows + 1]
            groups.append(Group(targets[first], tuple(targets[first:last]), start, stop, tuple(identity)))
        first = last
    if not groups:
        raise PlanError(
            f"none of the {reader.rows:,} profiles of {reader.url} is within {(window - 1) // 2} days of a target of "
            f"{root.url} ({targets[0]}..{targets[-1]}): enrich profiles of these dates"
        )
    held: dict[str, Any] = {name: reader.attrs[name] for name in ("months", "days_held") if name in reader.attrs}
    return GridPlan(root.url, recipe, tuple(groups), reader.rows, held, int((assigned < 0).sum()))


def _monotonic(assigned: NDArray[np.int64]) -> NDArray[np.int64]:
    """With the target before in place of -1, so that it can be searched."""
    return np.asarray(np.maximum.accumulate(assigned))


def _span(depth: Sequence[float]) -> str:
    return f"{depth[0]:g}..{depth[-1]:g} m" if len(depth) else "none"


def check_output(export: str, store: str, temperature: TemperatureSource, *, resume: bool, overwrite: bool) -> None:
    """Refuse to touch gridded profiles that are there, unless asked to; changes nothing.

    Raises:
        OutputError: see ``Guard.check``.
    """
    root, place = Root(Root(export).url_of(ARGO)), Root(store).url
    GUARD.check(root, _Kept(store=place, temperature=temperature), (place,), resume=resume, overwrite=overwrite)


def _kept(planned: GridPlan) -> _Kept:
    return _Kept(store=planned.recipe.store, temperature=planned.recipe.temperature)


def run_grid(
    planned: GridPlan,
    client: Client,
    *,
    resume: bool = False,
    overwrite: bool = False,
    job: str | None = None,
    hold: Hold,
    owns: Callable[[], bool],
    check: Callable[[], None],
    on_progress: Callable[[Progress], None] | None = None,
) -> GridResult:
    """Write the gridded store of an export with the workers of a Dask client, then the manifest's ``argo`` section.

    Args:
        planned: what to write.
        client: of the cluster.
        resume: complete or extend what is there.
        overwrite: replace what is there.
        job: names the run in the keys of its tasks.
        hold: the lease of the export, under which it writes.
        owns: whether nobody else may be writing to the export by now.
        check: called about once a second; what it raises ends the run.
        on_progress: called after each group of targets.

    Raises:
        OutputError: there is a gridded store, and neither ``resume`` nor ``overwrite`` is given; or nothing can be
            written.
        ClusterError: the cluster went away.
    """
    with writing_while(hold.check):
        return _run_grid(planned, client, resume, overwrite, job, hold, owns, check, on_progress)


def _run_grid(
    planned: GridPlan,
    client: Client,
    resume: bool,
    overwrite: bool,
    job: str | None,
    hold: Hold,
    owns: Callable[[], bool],
    check: Callable[[], None],
    on_progress: Callable[[Progress], None] | None,
) -> GridResult:
    started = time.perf_counter()
    recipe = planned.recipe
    check_output(planned.export, recipe.store, recipe.temperature, resume=resume, overwrite=overwrite)
    root = Root(recipe.output)
    GUARD.prepare(root, _kept(planned), overwrite=overwrite)
    GUARD.write(root, _kept(planned))
    done, _ = read_steps(root, "groups")
    names = {group.name for group in planned.groups}
    for name in done.keys() - names:  # of other targets
        root.remove(step_path("receipts", "groups", name))
        root.remove_tree(f"parts/{name}")
    todo = [group for group in planned.groups if not is_done(root, done.get(group.name), group.key(recipe))]
    again = {group.name for group in todo}
    forget_failures(root, "groups", lambda name: name not in again)
    failures: list[StepFailure] = []
    made: list[Step] = []
    kept = len(planned.groups) - len(todo)
    with TaskRun(client, root, run=job, check=check, owns=owns, hold=hold) as run:
        tasks = [Task("gridding", group.name, make_group, (group, recipe)) for group in todo]

        def tell(ended: int, message: str) -> None:
            if on_progress is not None:
                on_progress(Progress(kept + ended, len(planned.groups) + 1, kept, len(failures), message))

        for number, outcome in enumerate(run.outcomes(tasks), start=1):
            group: Group = outcome.task.arguments[0]
            value = outcome.value if outcome.error is None else record_group_failure(root, group, outcome.error)
            if isinstance(value, StepFailure):
                failures.append(value)
            else:
                made.append(value)
            tell(number, f"targets from {group.name}")
        groups, _ = read_steps(root, "groups")
        assembled = assemble(
            run, root, GRIDDED, ColumnLayout(gridded_columns(recipe), recipe.depth), groups.values(),
            attributes=lambda _: recipe.attributes(),
            tables=index_tables(recipe, groups),
            on_shard=lambda message: tell(len(todo), message),
        )  # fmt: skip
        failures += assembled.failures
        if not assembled.failures:
            section = write_section(root, recipe, groups, assembled.rows, planned.held)
            export = Root(planned.export)
            write_manifest(export, read_manifest(export) | {"argo": section})
        tell(len(todo) + 1, "store and manifest")
    left: dict[str, int] = {"outside_windows": planned.outside_windows}
    for step in groups.values():
        for name in ("outside_grid", "no_value"):
            left[name] = left.get(name, 0) + step.counts[name]
    return GridResult(
        store=root.url_of(GRIDDED),
        profiles=assembled.rows,
        left_out=left,
        groups_made=len(made),
        groups_kept=kept,
        shards_written=len(assembled.written),
        failures=tuple(failures),
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=sum(step.timing["cpu"] for step in [*made, *assembled.written]),
    )
