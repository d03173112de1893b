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
from oceanrecon.stores.files import Root, writing_while
from oceanrecon.stores.lease import Hold
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
    hold: Hold,
    owns: Callable[[], bool],
    check: Callable[[], None],
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> RegionResult:
    """Make the tiles that are missing with the workers of a Dask client; then the inventory of all that there are.

    A file that cannot be read is a recorded failure of its day of its source; the others are made, and are in the
    inventory. The inventory is written whole, also when the run is stopped: a row for each file, whatever was there.

    Args:
        planned: what is to be there.
        client: of the cluster.
        hold: the lease of the output, under which it writes.
        owns: whether nobody else may be writing to the output by now.
        check: called about once a second; what it raises ends the run.
        resume: complete or extend tiles that are there.
        overwrite: replace tiles that are there.
        on_progress: called after each day of a source.

    Raises:
        OutputError: the output exists, belongs to other settings, or cannot be written.
        LeaseError: the lease is lost.
        ClusterError: the cluster went away.
    """
    with writing_while(hold.check):
        started = time.perf_counter()
        root = Root(planned.settings.output)
        check_output(planned.settings, resume=resume, overwrite=overwrite)
        GUARD.prepare(root, planned.settings, overwrite=overwrite)
        GUARD.write(root, planned.settings)
        kept = _kept(root, planned)
        made: list[Step] = []
        failures: list[StepFailure] = []
        try:
            with TaskRun(client, root, check=check, owns=owns, hold=hold) as run:
                todo = [task for task in planned.tasks if (task.source, task.name) not in kept]
                submitted = (Task(task.source, task.name, make_day, (task, root.url)) for task in todo)
                for outcome in run.outcomes(submitted):
                    value = outcome.value
                    if outcome.error is not None:
                        value = record(root, outcome.task.arguments[0], outcome.error)
                    (failures if isinstance(value, StepFailure) else made).append(value)
                    if on_progress is not None:
                        count = len(kept) + len(made) + len(failures)
                        message = f"{outcome.task.group} of {outcome.task.label}"
                        on_progress(Progress(count, len(planned.tasks), len(kept), len(failures), message))
        finally:
            steps, notes = _whole(root)
            files = write_inventory(root, rows_of(steps))
        root.clear_staging()
    return RegionResult(
        output=root.url,
        inventory=root.url_of(INVENTORY),
        files=files,
        sources=_sums(steps),
        made=len(made),
        kept=len(kept),
        failures=tuple(failures),
        notes=(*_notes(planned, made), *notes),
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=sum(step.timing["cpu"] for step in made),
        peak_memory=int(max((step.timing["peak_memory_bytes"] for step in made), default=0)),
    )


def _kept(root: Root, planned: RegionPlan) -> set[tuple[str, str]]:
    """Source and name of the days that are there as they are planned; failures of these are forgotten."""
    kept = set()
    for source in {task.source for task in planned.tasks}:
        done, _ = read_steps(root, source)
        own = {
            task.name
            for task in planned.tasks
            if task.source == source and is_done(root, done.get(task.name), task.key)
        }
        forget_failures(root, source, own.__contains__)
        kept |= {(source, name) for name in own}
    return kept


def _whole(root: Root) -> tuple[list[Step], list[str]]:
    """The days whose tiles are all there, of this run or of earlier ones; and what is said of the others."""
    steps, notes = [], []
    for source in DAILY:
        done, damaged = read_steps(root, source)
        notes += [f"{root.url_of(path)} is damaged: run this again for its day, with --resume" for path in damaged]
        for step in done.values():
            lost = [file.path for file in step.files if root.size(file.path) != file.bytes]
            if lost:
                notes.append(
                    f"{source} of {step.name}: {', '.join(lost)} is gone or was changed, and the day is not in the "
                    "inventory: run this again for it, with --resume"
                )
            else:
                steps.append(step)
    return steps, notes


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
    for step in made:
        notes += [f"{step.kind} of {step.name}: {note}" for note in step.notes]
        for what, count in step.counts.items():
            if what == "without position" and count:
                notes.append(f"{step.kind} of {step.name}: {count:,} points have no position and are in no region")
            elif what.startswith("implausible "):
                name = what.removeprefix("implausible ")
                notes.append(
                    f"{step.kind} of {step.name}: {count:,} values of {name} are impossible, and taken as missing"
                )
    return tuple(notes)
