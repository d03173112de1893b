"""Cuts days of sources into regions on a cluster, and writes the inventory of what there is."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from distributed import Client

from oceanrecon.pipeline.profiles.assemble import is_done
from oceanrecon.pipeline.regions.day import make_day, record, rows_of
from oceanrecon.pipeline.regions.plan import GUARD, RegionPlan, check_output
from oceanrecon.pipeline.tasks import Progress, Task, TaskRun
from oceanrecon.sources.daily.registry import DAILY
from oceanrecon.stores.files import Root
from oceanrecon.stores.steps import Step, StepFailure, forget_failures, read_steps
from oceanrecon.stores.tile_inventory import INVENTORY, write_inventory


@dataclass(frozen=True)
class SourceSum:
    """What there is of a source."""

    days: int
    files: int
    bytes: int
    #: cells with a value, or points
    observations: int
    #: values of all variables
    valid: int


@dataclass(frozen=True)
class RegionResult:
    """What a run left behind."""

    output: str
    inventory: str
    #: rows of the inventory
    files: int
    sources: Mapping[str, SourceSum]
    made: int
    kept: int
    failures: tuple[StepFailure, ...]
    #: files that were left out, and why
    notes: tuple[str, ...]
    wall_seconds: float
    cpu_seconds: float
    #: largest memory of any worker, bytes
    peak_memory: int

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


def run_regions(
    planned: RegionPlan,
    client: Client,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> RegionResult:
    """Make the tiles that are missing with the workers of a Dask client; then the inventory of all that there are.

    A file that cannot be read is a recorded failure of its day of its source; the others are made, and are in the
    inventory. The inventory is written whole, also when the run is stopped: a row for each file, whatever was there.

    Raises:
        OutputError: the output exists, belongs to other settings, or cannot be written.
        ClusterError: the cluster went away.
    """
    started = time.perf_counter()
    settings = planned.settings
    root = Root(settings.output)
    check_output(settings, resume=resume, overwrite=overwrite)
    GUARD.prepare(root, settings, overwrite=overwrite)
    GUARD.write(root, settings)
    done = {source: read_steps(root, source)[0] for source in {task.source for task in planned.tasks}}
    todo = [task for task in planned.tasks if not is_done(root, done[task.source].get(task.name), task.key)]
    again = {(task.source, task.name) for task in todo}
    wanted = {(task.source, task.name) for task in planned.tasks}
    for source in done:
        forget_failures(root, source, lambda name, of=source: (of, name) in wanted - again)  # type: ignore[misc]
    made: list[Step] = []
    failures: list[StepFailure] = []
    kept = len(planned.tasks) - len(todo)
    try:
        with TaskRun(client, root) as run:
            submitted = (Task(task.source, task.name, make_day, (task, root.url)) for task in todo)
            for outcome in run.outcomes(submitted):
                value = outcome.value
                if outcome.error is not None:
                    value = record(root, outcome.task.arguments[0], outcome.error)
                (failures if isinstance(value, StepFailure) else made).append(value)
                if on_progress is not None:
                    count = kept + len(made) + len(failures)
                    message = f"{outcome.task.group} of {outcome.task.label}"
                    on_progress(Progress(count, len(planned.tasks), kept, len(failures), message))
    finally:
        steps = [step for source in DAILY for step in read_steps(root, source)[0].values()]
        files = write_inventory(root, rows_of(steps))
    root.clear_staging()
    return RegionResult(
        output=root.url,
        inventory=root.url_of(INVENTORY),
        files=files,
        sources=_sums(steps),
        made=len(made),
        kept=kept,
        failures=tuple(failures),
        notes=_notes(planned, made),
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=sum(step.timing["cpu"] for step in made),
        peak_memory=int(max((step.timing["peak_memory_bytes"] for step in made), default=0)),
    )


def _sums(steps: Iterable[Step]) -> dict[str, SourceSum]:
    by_source: dict[str, list[Step]] = {}
    for step in steps:
        by_source.setdefault(step.kind, []).append(step)
    found = {}
    for source, some in by_source.items():
        rows = rows_of(some)
        found[source] = SourceSum(
            len(some), len(rows), sum(row.size for row in rows), sum(row.observations for row in rows),
            sum(row.valid for row in rows),
        )  # fmt: skip
    return found


def _notes(planned: RegionPlan, made: Iterable[Step]) -> tuple[str, ...]:
    notes = [f"no file of {source} was found" for source in planned.absent]
    notes += [f"{path}: its name is none that files of its source have; it is left out" for path in planned.unknown]
    notes += [f"{step.kind} of {step.name}: {note}" for step in made for note in step.notes]
    notes += [
        f"{step.kind} of {step.name}: {step.counts['without position']:,} points have no position and are in no region"
        for step in made
        if step.counts.get("without position")
    ]
    return tuple(notes)
