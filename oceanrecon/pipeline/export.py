"""Runs an export: plans, submits one task per block, keeps receipts, and writes the manifest last."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field

from distributed import Client

from oceanrecon.access.passing import is_passing
from oceanrecon.errors import OutputError
from oceanrecon.grid import parse_date
from oceanrecon.pipeline.describe import header
from oceanrecon.pipeline.make import failure_of, make_block, make_land_mask, record_failure
from oceanrecon.pipeline.output import GUARD, check_output, resolved, standing, time_indices, with_depth
from oceanrecon.pipeline.plan import Plan, check_memory
from oceanrecon.pipeline.profiles.grid import GridResult
from oceanrecon.pipeline.profiles.gridded import read_section
from oceanrecon.pipeline.recipe import MASK, Recipe
from oceanrecon.pipeline.tasks import MayPass, Progress, Retries, Task, TaskRun, memory_of, more_memory
from oceanrecon.sources.block import Block
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.stores.files import Root, writing_while
from oceanrecon.stores.lease import Hold
from oceanrecon.stores.manifest import build_manifest, write_manifest
from oceanrecon.stores.mask import read_land_mask
from oceanrecon.stores.receipts import Failure, Receipt, failure_path, read_failures, read_receipts

#: Blocks that are tried for the land mask, one after the other.
_MASK_TRIES = 5


@dataclass(frozen=True)
class ExportResult:
    """What a run left behind."""

    output: str
    written: int
    kept: int
    failures: tuple[Failure, ...]
    bytes_written: int
    wall_seconds: float
    cpu_seconds: float
    #: largest memory of any worker, bytes
    peak_memory: int
    warnings: tuple[str, ...] = field(default=())
    #: whether there is a land mask
    masked: bool = True
    #: of the profiles that were put on the grid, where the settings ask for it
    profiles: GridResult | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing failed, and nothing is missing."""
        return not self.failures and self.masked and (self.profiles is None or self.profiles.complete)


class ExportWatch:
    """Whoever watches a run; every method may be overridden, and does nothing here."""

    def begins(self, kept: Sequence[Receipt], failures: Sequence[Failure]) -> None:
        """What is there already, and what cannot be made, before the first block."""

    def ended(self, outcome: Receipt | Failure, progress: Progress, seconds: float) -> None:
        """A block was made, or failed for good, which took a worker so long."""

    def retried(self, text: str) -> None:
        """A block is tried again, or suspected."""

    def lost(self, worker: str) -> None:
        """A worker is gone: it died, was retired, or cannot be reached; what it was making is made elsewhere."""

    def check(self) -> None:
        """About once a second; what it raises ends the run."""

    def owns(self) -> bool:
        """Whether nobody else may be writing to the output by now."""
        return True

    #: address of the worker that drives the run, if one does
    driver: str | None = None
    #: one block at a time, each told to ``admits`` first: some block ends whoever drives the run
    careful = False

    def admits(self, variable: str, date: str) -> bool:
        """Whether a block may be tried (again); ``date`` is YYYYMMDD."""
        return True


def prepare_output(planned: Plan, client: Client, *, resume: bool = False, overwrite: bool = False) -> Plan:
    """Refuse what cannot be carried out, and make the output ready for ``run_plan``.

    Args:
        planned: what to make.
        client: of the cluster that is to make it.
        resume: go on with an export that is there.
        overwrite: replace an export that is there.

    Returns:
        The plan, with the depths of the export that is there where it has none of its own.

    Raises:
        PlanError: a worker's memory is too small; nothing has been written then.
        OutputError: the output exists, belongs to other settings, or cannot be written.
    """
    check_output(planned, resume=resume, overwrite=overwrite)
    check_memory(planned, memory_of(client), more_memory(client))
    root = Root(planned.recipe.output)
    GUARD.prepare(root, resolved(planned), overwrite=overwrite)
    planned = with_depth(root, planned)
    time_indices(root, planned, read_receipts(root).receipts)
    # only now: settings that the store refuses leave an export as it was
    GUARD.write(root, resolved(planned))
    return planned


def run_plan(
    planned: Plan,
    client: Client,
    *,
    job: str | None = None,
    hold: Hold | None = None,
    start: int = 1,
    resume: bool = False,
    watch: ExportWatch | None = None,
    retries: Retries | None = None,
) -> ExportResult:
    """Carry out a plan with the workers of a Dask client, in an output that ``prepare_output`` made ready.

    Every file appears under its name complete or not at all. What is there and whose sources did not change is kept:
    a run that was killed goes on where it was, and one with a later end date, or more variables, extends the export.
    A block that fails is recorded and does not stop the others.

    Args:
        planned: what to make.
        client: of a local or remote cluster whose workers see the archive and the output.
        job: names the run in the keys of its tasks.
        hold: the lease under which it writes, on the workers and here; ``None``: nobody else writes there.
        start: which attempt at the job it is.
        resume: what the manifest says of it.
        watch: told how it goes.
        retries: how often and when a block is tried again.

    Raises:
        OutputError: the output cannot be written (a full disk), or another job holds it.
        ClusterError: the cluster went away.
    """
    with nullcontext() if hold is None else writing_while(hold.check):
        return _run_plan(planned, client, job, hold, start, resume, watch or ExportWatch(), retries)


def _run_plan(
    planned: Plan,
    client: Client,
    job: str | None,
    hold: Hold | None,
    start: int,
    resume: bool,
    watch: ExportWatch,
    retries: Retries | None,
) -> ExportResult:
    started = time.perf_counter()
    root = Root(planned.recipe.output)
    done = read_receipts(root).receipts
    indices = time_indices(root, planned, done)
    found = standing(root, planned, done, indices)
    there = found.kept
    for receipt in there:  # a kill between receipt and failure may have left both
        root.remove(failure_path(receipt.variable, receipt.date))
    failures = [
        record_failure(
            planned.recipe,
            Failure(gap.product, gap.variable, f"{gap.date:%Y%m%d}", "ArchiveError", gap.message),
            indices[gap.date],
        )
        for gap in found.gaps
    ]
    watch.begins(there, failures)
    receipts: list[Receipt] = []
    work = [
        Task(
            block.variable,
            f"{block.date:%Y%m%d}",
            make_block,
            (block, planned.recipe, indices[block.date]),
            {"oceanrecon": {"job": job, "product": block.product, "variable": block.variable, "date": str(block.date)}},
        )
        for block in found.todo
    ]
    title = f"export {job}" if job else "export"
    with TaskRun(
        client, root, run=job, start=start, title=title, check=watch.check, on_note=watch.retried, on_lost=watch.lost,
        retries=retries, admits=lambda task: watch.admits(task.group, task.label), one_by_one=lambda: watch.careful,
        avoid=watch.driver, owns=watch.owns, hold=hold,
    ) as run:  # fmt: skip
        _land_mask(root, planned, run)
        for number, ended in enumerate(run.outcomes(work), start=1):
            block, recipe, index = ended.task.arguments
            outcome: Receipt | Failure = ended.value if ended.error is None else failure_of(block, ended.error)
            if isinstance(outcome, Failure):
                failures.append(record_failure(recipe, outcome, index))
            else:
                receipts.append(outcome)
            message = f"{outcome.variable} {outcome.date}"
            progress = Progress(len(there) + number, planned.tasks, len(there), len(failures), message)
            watch.ended(outcome, progress, ended.seconds)
        _land_mask(root, planned, run)  # what it could not be made of may be there now
        done = read_receipts(root).receipts
        for failure in _vanished(planned, done, failures):
            failures.append(record_failure(planned.recipe, failure, indices[parse_date(failure.date)]))
            message = f"{failure.variable} {failure.date}"
            watch.ended(failure, Progress(planned.tasks, planned.tasks, len(there), len(failures), message), 0.0)
        _write_manifest(root, planned, done, resume=resume, workers=len(client.nthreads()))
    return ExportResult(
        output=root.url,
        written=len(receipts),
        kept=len(there),
        failures=tuple(failures),
        bytes_written=sum(file.bytes for receipt in receipts for file in receipt.files),
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=sum(receipt.timing["cpu"] for receipt in receipts),
        peak_memory=int(max((receipt.timing["peak_memory_bytes"] for receipt in receipts), default=0)),
        warnings=tuple(dict.fromkeys(warning for receipt in receipts for warning in receipt.warnings)),
        masked=root.exists(MASK),
    )


def _vanished(planned: Plan, done: Iterable[Receipt], failures: Iterable[Failure]) -> list[Failure]:
    """Blocks that were there, or were made, and are there no more: nobody may take the export for a whole one."""
    known = {(one.variable, one.date) for part in (done, failures) for one in part}
    message = "its receipt is gone: something else removed it while the export ran; run it again with --resume"
    return [
        Failure(block.product, block.variable, f"{block.date:%Y%m%d}", "OutputError", message)
        for block in planned.blocks
        if (block.variable, f"{block.date:%Y%m%d}") not in known
    ]


def _land_mask(root: Root, planned: Plan, run: TaskRun) -> None:
    """Copy the mask that gives the grid, or make one from where the first block of the best product is missing."""
    if root.exists(MASK):
        return
    given = planned.settings.grid.mask
    if given is not None:
        read_land_mask(given)  # a mask that cannot be read is not worth copying
        folder, _, name = Root(given).url.rpartition("/")
        root.write(MASK, Root(folder).read(name))
        return
    # the registry lists a reanalysis before satellites, whose gaps are not all land; its first variable, first date
    ranks = {name: rank for rank, name in enumerate(PRODUCTS)}
    for block in sorted(planned.blocks, key=lambda block: (ranks[block.product], block.date))[:_MASK_TRIES]:
        task = Task("landmask", f"{block.variable}-{block.date:%Y%m%d}", _try_mask, (block, planned.recipe))
        for ended in run.outcomes([task]):  # a worker that died of it is for the block's own task to report
            if ended.error is None and ended.value is None:
                return


def _try_mask(block: Block, recipe: Recipe) -> str | OutputError | MayPass | None:
    """Make the mask; why it could not be made, not raised: an ``OutputError`` where nothing can be written."""
    why: str | OutputError
    try:
        make_land_mask(block, recipe, MASK)
        return None
    except OutputError as error:
        why, passing = error, is_passing(error)
    except Exception as error:  # the block's own task will say it again
        why, passing = str(error), is_passing(error)
    return MayPass(why) if passing else why


def _write_manifest(root: Root, planned: Plan, receipts: Sequence[Receipt], *, resume: bool, workers: int) -> None:
    failures = read_failures(root)
    # those of earlier runs too, as in dense.zarr
    earlier = {receipt.date for receipt in receipts} | {failure.date for failure in failures}
    dates = sorted({*planned.targets, *map(parse_date, earlier)})
    described = header(planned, targets=dates, receipts=receipts, resume=resume, workers=workers)
    write_manifest(root, build_manifest(described, receipts, failures, read_section(root)))
