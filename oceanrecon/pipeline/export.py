"""Runs an export: plans, submits one task per block, keeps receipts, and writes the manifest last."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from distributed import Client
from distributed.scheduler import KilledWorker

from oceanrecon.errors import OutputError
from oceanrecon.grid import parse_date
from oceanrecon.pipeline.describe import header
from oceanrecon.pipeline.make import failure_of, make_block, make_land_mask, record_failure
from oceanrecon.pipeline.output import GUARD, check_output, has_files, resolved, time_indices, with_depth
from oceanrecon.pipeline.plan import Plan, check_memory
from oceanrecon.pipeline.profiles.grid import GridResult
from oceanrecon.pipeline.profiles.gridded import read_section
from oceanrecon.pipeline.recipe import MASK, Recipe
from oceanrecon.pipeline.tasks import Progress, Task, TaskRun, memory_of
from oceanrecon.sources.block import Block
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.stores.files import Root
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
    #: of the profiles that were put on the grid, where the settings ask for it
    profiles: GridResult | None = None

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return not self.failures and (self.profiles is None or self.profiles.complete)


def run_plan(
    planned: Plan,
    client: Client,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> ExportResult:
    """Carry out a plan with the workers of a Dask client.

    Every file appears under its name complete or not at all. A block that fails is recorded and does not stop the
    others; a run that was killed goes on with ``resume``, which makes only what is missing or whose sources changed.
    With a later end date, or more variables, ``resume`` extends the export.

    Args:
        planned: what to make.
        client: of a local or remote cluster whose workers see the archive and the output.
        resume: go on with an export that is there.
        overwrite: replace an export that is there.
        on_progress: called after each block.

    Raises:
        PlanError: a worker's memory is too small; nothing has been written then.
        OutputError: the output exists, belongs to other settings, or cannot be written (a full disk).
        ClusterError: the cluster went away.
    """
    started = time.perf_counter()
    check_output(planned, resume=resume, overwrite=overwrite)
    check_memory(planned, memory_of(client))
    root = Root(planned.recipe.output)
    GUARD.prepare(root, resolved(planned), overwrite=overwrite)
    if resume:
        planned = with_depth(root, planned)
    done = {(r.variable, r.date): r for r in read_receipts(root).receipts}
    indices = time_indices(root, planned, done.values())
    # only now: settings that the store refuses leave an export as it was
    GUARD.write(root, resolved(planned))
    tasks = [(block, indices[block.date]) for block in sorted(planned.blocks, key=lambda block: block.date)]
    todo = []
    for block, index in tasks:
        receipt = done.get((block.variable, f"{block.date:%Y%m%d}"))
        if receipt is None or receipt.key != planned.recipe.key(block) or not has_files(root, receipt, index):
            todo.append((block, index))
        else:  # a kill between receipt and failure may have left both
            root.remove(failure_path(receipt.variable, receipt.date))
    kept = len(tasks) - len(todo)
    failures = [
        record_failure(
            planned.recipe,
            Failure(gap.product, gap.variable, f"{gap.date:%Y%m%d}", "ArchiveError", gap.message),
            indices[gap.date],
        )
        for gap in planned.missing
        # what was made while the archive still had the files stays
        if gap.unusable or (gap.variable, f"{gap.date:%Y%m%d}") not in done
    ]
    receipts: list[Receipt] = []
    work = [
        Task(block.variable, f"{block.date:%Y%m%d}", make_block, (block, planned.recipe, index))
        for block, index in todo
    ]
    with TaskRun(client, root) as run:
        _land_mask(root, planned, client)
        for number, ended in enumerate(run.outcomes(work), start=1):
            block, recipe, index = ended.task.arguments
            outcome: Receipt | Failure = ended.value
            if ended.error is not None:
                outcome = record_failure(recipe, failure_of(block, ended.error), index)
            if isinstance(outcome, Failure):
                failures.append(outcome)
            else:
                receipts.append(outcome)
            if on_progress is not None:
                on_progress(
                    Progress(kept + number, len(tasks), kept, len(failures), f"{outcome.variable} {outcome.date}")
                )
        _write_manifest(root, planned, resume=resume, workers=len(client.scheduler_info(n_workers=-1)["workers"]))
    return ExportResult(
        output=root.url,
        written=len(receipts),
        kept=kept,
        failures=tuple(failures),
        bytes_written=sum(file.bytes for receipt in receipts for file in receipt.files),
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=sum(receipt.timing["cpu"] for receipt in receipts),
        peak_memory=int(max((receipt.timing["peak_memory_bytes"] for receipt in receipts), default=0)),
        warnings=tuple(dict.fromkeys(warning for receipt in receipts for warning in receipt.warnings)),
    )


def _land_mask(root: Root, planned: Plan, client: Client) -> None:
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
        try:
            made = client.submit(_try_mask, block, planned.recipe, pure=False).result()
        except KilledWorker:  # its own task will say so
            continue
        if isinstance(made, OutputError):
            raise made
        if made:
            return


def _try_mask(block: Block, recipe: Recipe) -> bool | OutputError:
    """Whether the mask could be made; the error, not raised, where nothing can be written."""
    try:
        make_land_mask(block, recipe, MASK)
    except OutputError as error:
        return error
    except Exception:  # its own task will say why
        return False
    return True


def _write_manifest(root: Root, planned: Plan, *, resume: bool, workers: int) -> None:
    receipts, failures = read_receipts(root).receipts, read_failures(root)
    # those of earlier runs too, as in dense.zarr
    earlier = {receipt.date for receipt in receipts} | {failure.date for failure in failures}
    dates = sorted({*planned.targets, *map(parse_date, earlier)})
    described = header(planned, targets=dates, receipts=receipts, resume=resume, workers=workers)
    write_manifest(root, build_manifest(described, receipts, failures, read_section(root)))
