"""Makes an index: the spatial table, a task per month of profiles and per month of rows, then one table of each."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distributed import Client

from oceanrecon.errors import OutputError, PlanError
from oceanrecon.pipeline.holding import held
from oceanrecon.pipeline.patches.assemble import TABLES, assemble, table_key
from oceanrecon.pipeline.patches.manifest import index_manifest
from oceanrecon.pipeline.patches.month import (
    ROWS,
    SEEN,
    IndexRecipe,
    RowsTask,
    SeenTask,
    make_rows,
    make_seen,
    record_failure,
)
from oceanrecon.pipeline.patches.output import FREQUENCIES, GUARD, PROFILES, PROOF, both, check_output
from oceanrecon.pipeline.patches.plan import IndexPlan
from oceanrecon.pipeline.patches.proof import prove, write_proof
from oceanrecon.pipeline.patches.schema import PROFILE_COLUMNS, PROFILE_NUMBER, ROW_COLUMNS, ROW_NUMBER
from oceanrecon.pipeline.patches.spatial import INVALID, write_spatial
from oceanrecon.pipeline.patches.split import PHASES
from oceanrecon.pipeline.profiles.assemble import is_done
from oceanrecon.pipeline.tasks import Progress, Task, TaskRun
from oceanrecon.stores.files import Root
from oceanrecon.stores.lease import Keeper
from oceanrecon.stores.manifest import MANIFEST, write_manifest
from oceanrecon.stores.steps import (
    Step,
    StepFailure,
    forget_failures,
    read_failures,
    read_steps,
    step_path,
    write_failure,
)
from oceanrecon.stores.tables import Described, described

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class IndexResult:
    """What a run left behind."""

    output: str
    patches: int
    #: rows of the table by phase
    rows: dict[str, int]
    profiles: int
    #: months of profiles and months of rows
    steps_made: int
    steps_kept: int
    notes: tuple[str, ...]
    failures: tuple[StepFailure, ...]
    wall_seconds: float
    cpu_seconds: float
    #: largest memory of any worker, bytes
    peak_memory: int

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


def run_index(
    planned: IndexPlan,
    client: Client,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> IndexResult:
    """Write the tables of an index with the workers of a Dask client; the manifest comes last.

    A run that was killed goes on with ``resume``, which makes only the months that are missing or whose sources
    changed. Where a month cannot be made, or the proof fails, there are no tables of rows and profiles, also none of an
    earlier run.

    Raises:
        LeaseError: another run writes there.
        OutputError: the output exists, belongs to other settings, or cannot be written.
        PlanError: no row has a profile; or the split is strict, and a side that is asked for has no row with one, or a
            pixel, a file or a profile is on two sides.
        ClusterError: the cluster went away.
    """
    with held(Root(planned.settings.output), "patches index") as keeper:
        return _run_index(planned, client, keeper, resume, overwrite, on_progress)


def _run_index(
    planned: IndexPlan, client: Client, keeper: Keeper, resume: bool, overwrite: bool, on_progress: OnProgress | None
) -> IndexResult:
    started = time.perf_counter()
    settings = planned.settings
    root = Root(settings.output)
    check_output(settings, resume=resume, overwrite=overwrite)
    GUARD.prepare(root, settings, overwrite=overwrite)
    GUARD.write(root, settings)
    # what is there is no index until it is one again
    for path in (MANIFEST, PROOF):
        root.remove(path)
    for name in FREQUENCIES:
        if name != settings.rows.frequency:  # an overwrite that was killed may have left one
            _remove_table(root, name)
    files: Described = write_spatial(root, planned.spatial)
    recipe = planned.recipe(str(files["patches.parquet"]["sha256"]))
    forget_failures(root, "files", lambda _: True)
    for failure in planned.failures:
        write_failure(root, failure)
    with TaskRun(client, root, check=keeper.check, owns=keeper.owns, hold=keeper.hold) as run:
        seen_tasks = planned.seen_tasks(root)
        months = _Months(run, root, recipe, on_progress, len(seen_tasks) + planned.months_of_rows + 1)
        seen = months.make(SEEN, seen_tasks)
        # rows without the profiles of a month would look as if there were none
        rows = {} if months.failures else months.make(ROWS, planned.rows_tasks(seen))
        by_phase: Counter[str] = Counter()
        for step in rows.values():
            by_phase.update(step.counts)
        notes = planned.notes if months.failures else (*planned.notes, *_empty_sides(root, planned, by_phase))
        tables = [] if months.failures else _assemble(run, root, settings.rows.frequency, seen, rows)
        months.tell("tables")
    bad_files = [failure for failure in read_failures(root) if failure.kind == "files"]
    profiles = sum(step.counts["profiles"] for step in seen.values())
    if tables:
        for step in tables:
            files |= described(step.files)
        manifest = index_manifest(planned, files, by_phase, profiles, bad_files, notes)
        if settings.split.strict:
            _prove(root, manifest)
            manifest["files"] |= _described(root, PROOF)
        write_manifest(root, manifest)
        root.clear_staging()
    steps = [*months.made, *tables]
    return IndexResult(
        output=root.url,
        patches=int((planned.spatial["phase"] != INVALID).sum()),
        rows=dict(by_phase),
        profiles=profiles,
        steps_made=len(months.made),
        steps_kept=months.kept,
        notes=notes,
        failures=(*months.failures, *bad_files),
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=sum(step.timing["cpu"] for step in steps),
        peak_memory=int(max((step.timing["peak_memory_bytes"] for step in steps), default=0)),
    )


class _Months:
    """Runs the tasks of months, those that are not done yet."""

    def __init__(
        self, run: TaskRun, root: Root, recipe: IndexRecipe, on_progress: OnProgress | None, total: int
    ) -> None:
        self.made: list[Step] = []
        self.kept = 0
        self.failures: list[StepFailure] = []
        self._run, self._root, self._recipe = run, root, recipe
        self._on_progress, self._total, self._done = on_progress, total, 0

    def make(self, kind: str, tasks: Sequence[SeenTask] | Sequence[RowsTask]) -> dict[str, Step]:
        """Make what is missing; the receipts of all of ``tasks`` by name, but for those that failed."""
        root, recipe = self._root, self._recipe
        done, _ = read_steps(root, kind)
        wanted = {task.name: task for task in tasks}
        for name in done.keys() - wanted.keys():  # of other dates
            root.remove(step_path("receipts", kind, name))
            root.remove(f"parts/{kind}/{name}.parquet")
        todo = [task for name, task in wanted.items() if not is_done(root, done.get(name), task.key(recipe))]
        if todo or done.keys() - wanted.keys():  # the tables will be others, or none
            _remove_tables(root)
        again = {task.name for task in todo}
        forget_failures(root, kind, lambda name: name not in again)
        self.kept += len(wanted) - len(todo)
        self._done += len(wanted) - len(todo)
        function = make_seen if kind == SEEN else make_rows
        submitted = (Task(kind, task.name, function, (task, recipe)) for task in todo)
        for outcome in self._run.outcomes(submitted):
            name = outcome.task.label
            value = outcome.value
            if outcome.error is not None:
                value = record_failure(root, kind, name, outcome.error)
            if isinstance(value, StepFailure):
                self.failures.append(value)
            else:
                self.made.append(value)
            self.tell(f"{kind} of {name}")
        steps, _ = read_steps(root, kind)
        return {name: steps[name] for name in wanted if name in steps}

    def tell(self, message: str) -> None:
        """One step more is done."""
        self._done += 1
        if self._on_progress is not None:
            self._on_progress(Progress(self._done, self._total, self.kept, len(self.failures), message))


def _assemble(
    run: TaskRun, root: Root, frequency: str, seen: Mapping[str, Step], rows: Mapping[str, Step]
) -> list[Step]:
    """The two tables; a table of the same parts as before is left alone."""
    done, _ = read_steps(root, TABLES)
    tasks, kept = [], []
    for name, number, columns, steps in (
        (frequency, ROW_NUMBER, ROW_COLUMNS, rows),
        (PROFILES, PROFILE_NUMBER, PROFILE_COLUMNS, seen),
    ):
        parts = tuple(step.files[0] for step in steps.values())
        if is_done(root, done.get(name), table_key(parts)):
            kept.append(done[name])
        else:
            _remove_table(root, name)
            tasks.append(Task("table", name, assemble, (root.url, name, number, columns, parts)))
    made: list[Step] = []
    for outcome in run.outcomes(tasks):
        if outcome.error is not None:
            raise PlanError(
                f"{outcome.task.label}.csv could not be put together ({outcome.error!r}): give workers more memory "
                "(cluster.memory_limit), and run the command with --resume"
            )
        made.append(outcome.value)
    return [*made, *kept]


def _empty_sides(root: Root, planned: IndexPlan, rows: Mapping[str, int]) -> tuple[str, ...]:
    """What is said of the sides that are asked for and have no row.

    Args:
        root: the index.
        planned: what it is of.
        rows: how many there are by phase.

    Raises:
        PlanError: there is no row at all; or the split is strict, and one side has none.
    """
    settings = planned.settings
    lost = "".join(f"; {note}" for note in planned.dates.notes)
    if not any(rows.values()):
        _remove_tables(root)
        raise PlanError(
            f"no row has an accepted profile, so that {root.url} is no index: correct rows.days or rows.quality, or "
            f"keep rows without profiles with rows.keep_empty, and run the command with --overwrite{lost}"
        )
    empty = [side for side in planned.sides if not rows[side]]
    if not empty:
        return ()
    has = ", ".join(f"{rows[phase]:,} {phase}" for phase in PHASES)
    said = (
        f"no row of {' or '.join(empty)} has an accepted profile ({has}): change `split` (its shares, seed, years or "
        "table), give profiles of these places and dates, or keep rows without profiles with rows.keep_empty"
    )
    if not settings.split.strict:
        return (said,)
    _remove_tables(root)
    raise PlanError(f"{said}; or go without that side with split.strict=false; run the command with --overwrite{lost}")


def _prove(root: Root, manifest: Mapping[str, Any]) -> None:
    """Tables that cannot be proven are removed, the proof that says why is kept."""
    try:
        proof = prove(root, manifest)
    except OutputError:
        _remove_tables(root)
        raise
    write_proof(root, proof)
    if not proof.holds:
        _remove_tables(root)
        raise PlanError(
            f"the sides of the split share something ({root.url_of(PROOF)}): {proof.message}; change `split`, or give "
            "up the proof with split.strict=false; run the command with --overwrite"
        )


def _remove_tables(root: Root) -> None:
    """The tables of rows and of profiles: without them nothing looks like an index."""
    for name in (*FREQUENCIES, PROFILES):
        _remove_table(root, name)


def _remove_table(root: Root, name: str) -> None:
    for path in (step_path("receipts", TABLES, name), *both(name)):
        root.remove(path)


def _described(root: Root, path: str) -> Described:
    data = root.read(path)
    return {path: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
