"""Runs an export: plans, submits one task per block, keeps receipts, and writes the manifest last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml
from distributed import Client, Future, as_completed

from oceanrecon.config import ExportSettings, dump_settings
from oceanrecon.errors import OutputError
from oceanrecon.grid import parse_date
from oceanrecon.pipeline.describe import header
from oceanrecon.pipeline.make import make_block, make_land_mask
from oceanrecon.pipeline.plan import Plan, check_memory
from oceanrecon.pipeline.recipe import DENSE, MASK, SETTINGS
from oceanrecon.sources.block import Block
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.sources.registry import product as find_product
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import MANIFEST, build_manifest, write_manifest
from oceanrecon.stores.mask import read_land_mask
from oceanrecon.stores.receipts import Failure, Receipt, read_failures, read_receipts, write_failure
from oceanrecon.stores.zarr_store import create_or_extend, read_times

#: Settings that decide the bytes of every block: an export has one value of each.
_FIXED = ("grid", "encoding", "window_days", "minimum_files", "minimum_valid_fraction", "formats")
#: Blocks in flight per worker thread: one running, one waiting.
_IN_FLIGHT = 2


@dataclass(frozen=True)
class Progress:
    """One step of an export, for whoever shows it."""

    done: int
    total: int
    #: blocks that were there already
    kept: int
    failed: int
    message: str


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

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


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
    """
    started = time.perf_counter()
    check_output(planned, resume=resume, overwrite=overwrite)
    check_memory(planned, _worker_memory(client))
    root = Root(planned.recipe.output)
    _prepare(root, planned, overwrite=overwrite)
    tasks = _tasks(root, planned)
    done = {(r.variable, r.date): r for r in read_receipts(root).receipts}
    todo = []
    for block, index in tasks:
        receipt = done.get((block.variable, f"{block.date:%Y%m%d}"))
        if receipt is None or receipt.key != planned.recipe.key(block) or not _has_files(root, receipt):
            todo.append((block, index))
    kept = len(tasks) - len(todo)
    failures = [
        Failure(gap.product, gap.variable, f"{gap.date:%Y%m%d}", "ArchiveError", gap.message) for gap in planned.missing
    ]
    for failure in failures:
        write_failure(root, failure)
    _land_mask(root, planned, client)
    receipts: list[Receipt] = []
    try:
        for number, outcome in enumerate(_run(client, planned, todo), start=1):
            if isinstance(outcome, Failure):
                failures.append(outcome)
            else:
                receipts.append(outcome)
            if on_progress is not None:
                on_progress(
                    Progress(kept + number, len(tasks), kept, len(failures), f"{outcome.variable} {outcome.date}")
                )
        _write_manifest(root, planned, resume=resume, workers=len(client.scheduler_info(n_workers=-1)["workers"]))
    finally:
        root.clear_staging()
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


def _worker_memory(client: Client) -> int:
    limits = [worker["memory_limit"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()]
    return min((int(limit) for limit in limits if limit), default=2**63)


def check_output(planned: Plan, *, resume: bool, overwrite: bool) -> None:
    """Refuse an output that is not ours to write; changes nothing.

    Raises:
        OutputError: it holds other files; or an export, and neither ``resume`` nor ``overwrite`` is given; or an
            export made with other settings.
    """
    root = Root(planned.recipe.output)
    if not root.exists(SETTINGS):
        if root.local_path is not None and root.local_path.exists() and any(root.local_path.iterdir()):
            raise OutputError(f"{root.url} has files in it but is no export: choose another output, or an empty folder")
        return
    if overwrite:
        return
    if not resume:
        raise OutputError(
            f"{root.url} holds an export: add --resume to complete or extend it, or --overwrite to make it anew"
        )
    before, now = yaml.safe_load(root.read(SETTINGS)), yaml.safe_load(dump_settings(_resolved(planned)))
    for key in _FIXED:
        if before.get(key) != now.get(key):
            raise OutputError(
                f"{root.url} was made with other settings ({key}: {before.get(key)} there, {now.get(key)} here): take "
                "another output, or the same settings, or --overwrite"
            )


def _prepare(root: Root, planned: Plan, *, overwrite: bool) -> None:
    """Make the output ready; what is there is only ever removed for an ``overwrite``."""
    if overwrite and root.exists(SETTINGS):
        root.remove(MANIFEST)
        for path in root.list():
            if path.split("/")[0] in (DENSE, "rasters", "masks", "receipts", "failures"):
                root.remove(path)
    root.clear_staging()
    root.write(SETTINGS, dump_settings(_resolved(planned)).encode())


def _resolved(planned: Plan) -> ExportSettings:
    """The settings with paths that mean the same from any working directory."""
    settings = planned.settings
    mask = settings.grid.mask
    inventory = settings.archive.inventory
    return settings.model_copy(
        update={
            "archive": settings.archive.model_copy(
                update={"root": planned.archive_root, "inventory": inventory and Root(inventory).url}
            ),
            "grid": settings.grid.model_copy(update={"mask": mask and Root(mask).url}),
            "output": planned.recipe.output,
        }
    )


def _tasks(root: Root, planned: Plan) -> list[tuple[Block, int]]:
    """The blocks in the order of time, each with its place on the time axis of ``dense.zarr``, which is made ready."""
    recipe = planned.recipe
    ordered = sorted(planned.blocks, key=lambda block: block.date)
    if recipe.zarr is None:
        return [(block, 0) for block in ordered]
    times = sorted({*read_times(root, DENSE), *planned.targets})
    names = dict.fromkeys((block.product, block.variable) for block in planned.blocks)
    variables = [
        recipe.dense_variable(product, product.variable(name))
        for product, name in ((find_product(product_name), name) for product_name, name in names)
    ]
    create_or_extend(root, DENSE, recipe.layout(planned.depth, tuple(times), tuple(variables)))
    index = {date: number for number, date in enumerate(times)}
    return [(block, index[block.date]) for block in ordered]


def _has_files(root: Root, receipt: Receipt) -> bool:
    return all(root.size(file.path) == file.bytes for file in receipt.files)


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
    first = min(planned.blocks, key=lambda block: (ranks[block.product], block.date))
    failed = client.submit(_try_mask, first, planned.recipe, pure=False).result()
    if failed is not None:
        write_failure(root, failed)


def _try_mask(block: Block, recipe: Any) -> Failure | None:
    try:
        make_land_mask(block, recipe, MASK)
    except OutputError:
        raise
    except Exception as error:
        return Failure(block.product, "land_mask", f"{block.date:%Y%m%d}", type(error).__name__, str(error))
    return None


def _run(client: Client, planned: Plan, todo: list[tuple[Block, int]]) -> Iterator[Receipt | Failure]:
    """Submit the blocks, a bounded number at a time, and yield what becomes of each."""
    waiting = iter(todo)
    blocks: dict[str, Block] = {}

    def submit() -> Future[Any] | None:
        block, index = next(waiting, (None, 0))
        if block is None:
            return None
        key = f"{block.variable}-{planned.recipe.key(block)[:12]}-{block.date:%Y%m%d}"
        blocks[key] = block
        return client.submit(make_block, block, planned.recipe, index, key=key, pure=False)

    threads = sum(worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values())
    running = as_completed([future for _ in range(max(threads, 1) * _IN_FLIGHT) if (future := submit())])
    stopped: OutputError | None = None
    for future in running:
        block = blocks.pop(future.key)
        error = future.exception()
        if isinstance(error, OutputError):
            stopped = stopped or error
        if stopped is not None:
            continue  # let what runs come to an end, so that nothing half-done is left behind
        following = submit()
        if following is not None:
            running.add(following)
        if error is None:
            yield future.result()
        else:
            failure = Failure(
                block.product, block.variable, f"{block.date:%Y%m%d}", type(error).__name__, str(error) or repr(error)
            )
            write_failure(Root(planned.recipe.output), failure)
            yield failure
    if stopped is not None:
        raise stopped


def _write_manifest(root: Root, planned: Plan, *, resume: bool, workers: int) -> None:
    receipts = read_receipts(root).receipts
    dates = sorted({*planned.targets, *(parse_date(receipt.date) for receipt in receipts)})
    described = header(planned, targets=dates, receipts=receipts, resume=resume, workers=workers)
    write_manifest(root, build_manifest(described, receipts, read_failures(root)))
