"""Writes samples to disk: blocks of rows as tasks, an index that is never torn, and what the readers need."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import pyarrow as pa
from distributed import Client

from oceanrecon.pipeline.holding import held
from oceanrecon.pipeline.patches.write_block import (
    KIND,
    empty_index,
    part_path,
    record_block_failure,
    sample_tables,
    write_block,
)
from oceanrecon.pipeline.patches.write_plan import GUARD, INDEX, ROWS, RowBlock, WritePlan, encode_rows, read_rows
from oceanrecon.pipeline.tasks import Progress, Task, TaskRun
from oceanrecon.samples import written_zarr
from oceanrecon.stores.files import Root
from oceanrecon.stores.lease import Keeper
from oceanrecon.stores.manifest import MANIFEST, SCHEMA_VERSION, write_manifest
from oceanrecon.stores.sample_store import metadata
from oceanrecon.stores.steps import Step, StepFailure, forget_failures, read_failures, read_steps, step_path
from oceanrecon.stores.tables import TableWriter

#: ``kind`` of the manifest.
SAMPLES = "samples"
#: The index is written anew after so many seconds, or ten times what that took.
_EVERY, _SHARE = 5.0, 10.0
#: Rows of the index that are written at once.
_ROWS = 65536
#: Without it there is no store.
_GROUP = f"{written_zarr.STORE}/zarr.json"


@dataclass(frozen=True)
class WriteResult:
    """What a run left behind."""

    output: str
    form: str
    #: side that was asked for; ``all``: every one
    split: str
    index: str
    rows: int
    #: rows that have their files
    written: int
    #: rows with too few observations for a file (GeoTIFF)
    skipped: int
    blocks_made: int
    blocks_kept: int
    bytes: int
    failures: tuple[StepFailure, ...]
    wall_seconds: float
    cpu_seconds: float

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


def check_output(planned: WritePlan, *, resume: bool, overwrite: bool) -> None:
    """Refuse an output that is not ours to write; changes nothing.

    Raises:
        OutputError: see ``Guard.check``.
    """
    settings = planned.recipe.settings
    archive = settings.archive
    reads = (settings.output, settings.export, archive.root if archive else None)
    GUARD.check(Root(planned.recipe.output), planned.kept(), reads, resume=resume, overwrite=overwrite)


def run_write(
    planned: WritePlan,
    client: Client,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> WriteResult:
    """Write samples with the workers of a Dask client.

    However it ends, also by a kill, the index tells of rows whose files are there, and of no other; the manifest is
    there only where a run came to its end.

    Raises:
        LeaseError: another run writes there.
        OutputError: there are written samples, and neither ``resume`` nor ``overwrite`` is given; or nothing can be
            written.
        ClusterError: the cluster went away.
    """
    with held(Root(planned.recipe.output), "patches write") as keeper:
        return _run_write(planned, client, keeper, resume, overwrite, on_progress)


def _run_write(
    planned: WritePlan,
    client: Client,
    keeper: Keeper,
    resume: bool,
    overwrite: bool,
    on_progress: Callable[[Progress], None] | None,
) -> WriteResult:
    started = time.perf_counter()
    check_output(planned, resume=resume, overwrite=overwrite)
    recipe, root = planned.recipe, Root(planned.recipe.output)
    GUARD.prepare(root, planned.kept(), overwrite=overwrite)
    GUARD.write(root, planned.kept())
    kept, stale = _done_before(root, planned)
    todo = [block for block in planned.ordered() if block.name not in kept]
    index = _Index(root, planned, set(kept))
    if todo or stale:
        # no file is removed or written over while something tells of it
        root.remove(MANIFEST)
        index.begin()
        for step in stale:
            for path in (*(file.path for file in step.files), step_path("receipts", KIND, step.name)):
                root.remove(path)
    rows = encode_rows(planned.table)
    if not root.exists(ROWS) or root.read(ROWS) != rows:
        root.write(ROWS, rows)
    again = {block.name for block in todo}
    forget_failures(root, KIND, lambda name: name not in again)
    failures: list[StepFailure] = []
    made: list[Step] = []
    with TaskRun(client, root, check=keeper.check, owns=keeper.owns, hold=keeper.hold) as run:
        try:
            tasks = [Task(f"samples-{recipe.write.form}", block.name, write_block, (block, recipe)) for block in todo]
            for number, outcome in enumerate(run.outcomes(tasks), start=1):
                block: RowBlock = outcome.task.arguments[0]
                value = outcome.value if outcome.error is None else record_block_failure(root, block, outcome.error)
                if isinstance(value, StepFailure):
                    failures.append(value)
                else:
                    made.append(value)
                index.add(block)
                if on_progress is not None:
                    done = len(kept) + number
                    message = f"rows {block.start:,} to {block.stop - 1:,}"
                    on_progress(Progress(done, len(planned.blocks), len(kept), len(failures), message))
        finally:
            index.write()
    steps, _ = read_steps(root, KIND)
    counts = {name: sum(step.counts[name] for step in steps.values()) for name in ("rows", "failed", "skipped")}
    written = counts["rows"] - counts["failed"] - counts["skipped"]
    result = WriteResult(
        output=root.url,
        form=recipe.write.form,
        split=recipe.write.split,
        index=root.url_of(f"{INDEX[recipe.write.form]}.csv"),
        rows=planned.table.num_rows,
        written=written,
        skipped=counts["skipped"],
        blocks_made=len(made),
        blocks_kept=len(kept),
        bytes=sum(file.bytes for step in steps.values() for file in step.files),
        failures=tuple(failures),
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=sum(step.timing["cpu"] for step in made),
    )
    write_manifest(root, _manifest(planned, result))
    root.clear_staging()
    return result


def _done_before(root: Root, planned: WritePlan) -> tuple[dict[str, Step], list[Step]]:
    """The finished blocks by name that stay, and those of other rows or of other inputs."""
    done, _ = read_steps(root, KIND)
    failed = {failure.name for failure in read_failures(root) if failure.kind == KIND}
    keys = {block.name: block.key for block in planned.blocks}
    stale = [step for name, step in done.items() if keys.get(name) != step.key]
    good = {}
    for name, step in done.items():
        whole = keys.get(name) == step.key and name not in failed
        if whole and all(root.size(file.path) == file.bytes for file in step.files):
            good[name] = step
    return good, stale


class _Index:
    """The index of what is written, from the parts of finished blocks; whole at any time."""

    def __init__(self, root: Root, planned: WritePlan, done: set[str]) -> None:
        self._root, self._planned, self._done = root, planned, done
        self._schema = empty_index(planned.recipe, planned.table)
        self._last, self._took = time.monotonic(), 0.0

    def begin(self) -> None:
        """Have it tell only of the blocks that stay, before anything of the others is changed."""
        if self._planned.recipe.write.form == "zarr":  # of several files: there is no store until all are anew
            self._root.remove(_GROUP)
        self.write()

    def add(self, block: RowBlock) -> None:
        """A block has ended, well or not."""
        if self._root.exists(step_path("receipts", KIND, block.name)):
            self._done.add(block.name)
        if time.monotonic() - self._last > max(_EVERY, _SHARE * self._took):
            self.write()

    def write(self) -> None:
        """Write it anew, in the order of the rows; without a row there is none."""
        began = time.monotonic()
        form = self._planned.recipe.write.form
        if not self._done:
            for ending in ("csv", "parquet"):
                self._root.remove(f"{INDEX[form]}.{ending}")
            return
        few = ["position", "point_count", "latitude", "longitude"] if form == "zarr" else []
        written, waiting = [self._schema.empty_table().select(few)], list[pa.Table]()
        with TableWriter(self._root, INDEX[form], self._schema) as writer:
            for block in self._planned.blocks:
                if block.name in self._done:
                    waiting.append(read_rows(self._root, part_path(block)))
                    written.append(waiting[-1].select(few))
                last = block is self._planned.blocks[-1]
                if waiting and (last or sum(part.num_rows for part in waiting) >= _ROWS):
                    writer.add(pa.concat_tables(waiting).combine_chunks())
                    waiting = []
        if form == "zarr":
            self._write_metadata(pa.concat_tables(written))
        self._last = time.monotonic()
        self._took = self._last - began

    def _write_metadata(self, index: pa.Table) -> None:
        planned = self._planned
        layout = written_zarr.layout_of(planned.form, planned.recipe.write.block)
        tables = written_zarr.tables_of(planned.form, sample_tables(planned.table, index))
        for path, data in metadata(layout, planned.table.num_rows, tables).items():
            self._root.write(f"{written_zarr.STORE}/{path}", data)


def _manifest(planned: WritePlan, result: WriteResult) -> Mapping[str, Any]:
    recipe, form = planned.recipe, planned.form
    write = recipe.write
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": SAMPLES,
        "created_by": f"oceanrecon {version('oceanrecon')}",
        "created_utc": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "output_dir": result.output,
        "form": write.form,
        "index": f"{INDEX[write.form]}.csv",
        "scenario": form.scenario,
        "tile": form.tile,
        "depth_axis_m": list(form.depth),
        "surface": list(form.surface),
        "encoding": form.encoding,
        "split": write.split,
        "days": recipe.settings.rows.days,
        "grid": planned.grid.to_dict(),
        "source": planned.kept().export or (recipe.settings.archive and recipe.settings.archive.root),
        "patch_index": recipe.settings.output,
        "counts": {"rows": result.rows, "written": result.written, "skipped": result.skipped},
        "bytes": result.bytes,
        "failures": [vars(failure) for failure in result.failures],
        "versions": {name: version(name) for name in ("numpy", "oceanrecon", "pyarrow", "rasterio", "zarr")},
    }
