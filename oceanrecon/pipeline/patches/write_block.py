"""The task of written samples: one block of rows, read and written, its index rows beside it, then its receipt."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from oceanrecon.errors import OceanreconError, OutputError
from oceanrecon.pipeline.patches.write_plan import ROWS, ROWS_OF, RowBlock, WriteRecipe, read_block, read_rows, rows_of
from oceanrecon.pipeline.patches.write_source import MonthlyOstia, Origin, open_source, origin_of
from oceanrecon.samples import written_bands, written_triplets, written_zarr
from oceanrecon.samples.archive import ArchiveSource
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.form import Sample
from oceanrecon.stores.files import Root
from oceanrecon.stores.memory import keep_freed_memory
from oceanrecon.stores.sample_store import encode_shard, shard_path
from oceanrecon.stores.steps import Step, StepFailure, StoredFile, step_path, write_failure, write_step
from oceanrecon.stores.tables import encode_parquet

#: Of steps.
KIND = "blocks"
#: Samples that are read together: enough to share what is read of a date, and few beside a block.
_TOGETHER = 16
_TEXT, _INT, _FLOAT, _SINGLE = pa.string(), pa.int64(), pa.float64(), pa.float32()
#: By form: what the index has beside the columns of the table.
RECORDS: Mapping[str, Mapping[str, pa.DataType]] = {
    "zarr": {"position": _INT, "point_count": pa.int32(), "latitude": _SINGLE, "longitude": _SINGLE},
    "geotiff": {
        "sample_basename": _TEXT, "filename": _TEXT, "centroid_lat": _FLOAT, "centroid_lon": _FLOAT,
        "geometry_wkt": _TEXT,
        **{f"{kind}_tif_path": _TEXT for kind in written_triplets.KINDS},
        **{f"{kind}_filename": _TEXT for kind in written_triplets.KINDS},
        "crs": _TEXT, "tile_size": _INT, "output_units": _TEXT, "argo_depth_semantics": _TEXT,
        **{f"{kind}_band_count": _INT for kind in written_triplets.KINDS},
        "files_written": _INT, "temporal_window_days": _INT, "temporal_rows_count": _INT,
        **{f"temporal_{kind}_days_used": _INT for kind in ("ostia", "glorys", "argo")},
        "valid_mask_1d_pixels": _INT, "argo_valid_spatial_observation_count": _INT, "export_skipped_reason": _TEXT,
    },
    "npy": {
        "source_file": _TEXT, "y0": _INT, "x0": _INT, "edge_size": _INT, "nodata_fraction": _FLOAT,
        "template_valid_fraction": _FLOAT, "sample_idx": _INT, "y_npy_path": _TEXT, "valid_fraction": _FLOAT,
        "variable": _TEXT, "bands": _TEXT, "selected_depth_indices": _TEXT, "selected_depth_values": _TEXT,
        "num_channels": _INT, "split": _TEXT, "ostia_month_key": _INT, "ostia_nc_path": _TEXT,
        "ostia_timestamp_utc": _TEXT, "ostia_npy_path": _TEXT,
    },
}  # fmt: skip


@dataclass(eq=False)
class _Opened:
    """What a worker keeps between the blocks of one run."""

    source: ExportSource | ArchiveSource
    origin: Origin
    months: MonthlyOstia | None


@dataclass(frozen=True, eq=False)
class _Made:
    """What a form makes of the samples of a block: its files, and a record per sample, by row."""

    files: Iterator[tuple[str, bytes]]
    records: Mapping[int, Mapping[str, Any]]


#: By the identity of a run, one at most: opening reads the manifest of an export.
_OPEN: dict[str, _Opened] = {}


def _opened(root: Root, recipe: WriteRecipe) -> _Opened:
    if recipe.identity not in _OPEN:
        # two columns: a worker for each core would otherwise hold all of a long table
        source = open_source(recipe.settings, rows_of(read_rows(root, ROWS, ROWS_OF), recipe.tile))
        write = recipe.write
        origin = Origin({}, {}, {})
        if write.form != "zarr":
            origin = origin_of(recipe.settings, np.unique(source.rows.date).tolist())
        months = MonthlyOstia(recipe.settings, source.grid) if write.form == "npy" else None
        _OPEN.clear()
        _OPEN[recipe.identity] = _Opened(source, origin, months)
    return _OPEN[recipe.identity]


def write_block(block: RowBlock, recipe: WriteRecipe) -> Step | StepFailure | OutputError:
    """Write one block and its receipt; a failure or what stops the run is returned.

    Rows that cannot be read are left out and recorded as the block's failure; the others are written.
    """
    keep_freed_memory()
    root = Root(recipe.output)
    try:
        try:
            opened = _opened(root, recipe)
        except (OceanreconError, MemoryError, ValueError, OSError, RuntimeError) as error:
            return record_block_failure(root, block, error)
        return _write(root, block, recipe, opened)
    except OutputError as error:
        return error


def record_block_failure(root: Root, block: RowBlock, error: BaseException) -> StepFailure:
    """Record that a block cannot be written.

    Raises:
        OutputError: it cannot be recorded.
    """
    failure = StepFailure(KIND, block.name, type(error).__name__, str(error) or repr(error))
    write_failure(root, failure)
    return failure


def _write(root: Root, block: RowBlock, recipe: WriteRecipe, opened: _Opened) -> Step | StepFailure:
    started, cpu = time.perf_counter(), time.process_time()
    samples, problems = _read(opened.source, range(block.start, block.stop))
    if not samples:
        return record_block_failure(root, block, problems[0])
    table = read_block(root, block)
    root.remove(step_path("receipts", KIND, block.name))  # nothing tells of a file that is being replaced
    try:
        made = _FORMS[recipe.write.form](block, recipe, opened, table, samples)
    except OceanreconError as error:  # of what else is read, such as the OSTIA file of a month
        return record_block_failure(root, block, error)
    stored = [_store(root, path, data) for path, data in made.files]
    stored.append(_store(root, part_path(block), encode_parquet(_index(recipe, table, block.start, made.records))))
    step = Step(
        kind=KIND,
        name=block.name,
        key=block.key,
        files=tuple(stored),
        counts={
            "rows": block.stop - block.start,
            "failed": len(problems),
            "skipped": sum(bool(record.get("export_skipped_reason")) for record in made.records.values()),
        },
        timing={"wall": round(time.perf_counter() - started, 3), "cpu": round(time.process_time() - cpu, 3)},
    )
    write_step(root, step)
    if not problems:
        return step
    first, more = problems[0], len(problems) - 1
    told = str(first) + (f" (and {more} more rows of its block)" if more else "")
    failure = StepFailure(KIND, block.name, type(first).__name__, told)
    write_failure(root, failure, keep=True)
    return failure


def part_path(block: RowBlock) -> str:
    """Where the index rows of a block are."""
    return f"parts/{block.name}.parquet"


def _store(root: Root, path: str, data: bytes) -> StoredFile:
    root.write(path, data)
    return StoredFile(path, len(data), hashlib.sha256(data).hexdigest())


def _read(source: ExportSource | ArchiveSource, rows: Sequence[int]) -> tuple[dict[int, Sample], list[Exception]]:
    """The samples of some rows, and what is wrong with the others."""
    samples: dict[int, Sample] = {}
    problems: list[Exception] = []

    def read(some: Sequence[int]) -> None:
        try:
            samples.update(zip(some, source.samples(some), strict=True))
        except (OceanreconError, ValueError, OSError, RuntimeError) as error:
            if len(some) == 1:
                named = isinstance(error, OceanreconError)
                problems.append(error if named else OceanreconError(f"{source.rows.name(some[0])}: {error}"))
                return
            for row in some:
                read([row])

    for start in range(0, len(rows), _TOGETHER):
        read(rows[start : start + _TOGETHER])
    return samples, problems


def _as_zarr(
    block: RowBlock, recipe: WriteRecipe, opened: _Opened, table: pa.Table, samples: Mapping[int, Sample]
) -> _Made:
    form = opened.source.form
    layout = written_zarr.layout_of(form, recipe.write.block)
    placed = {row - block.start: sample for row, sample in samples.items()}

    def files() -> Iterator[tuple[str, bytes]]:
        for member in layout.members:
            values = written_zarr.values_of(member, form, placed, block.stop - block.start)
            data = encode_shard(layout, member, values)
            yield shard_path(written_zarr.STORE, member, block.number), data

    records = {
        row: {"position": row, "point_count": sample.points.size, "latitude": float(sample.coords[0]),
              "longitude": float(sample.coords[1])}
        for row, sample in samples.items()
    }  # fmt: skip
    return _Made(files(), records)


def _as_triplets(
    block: RowBlock, recipe: WriteRecipe, opened: _Opened, table: pa.Table, samples: Mapping[int, Sample]
) -> _Made:
    source, days = opened.source, opened.origin.days_used
    made = {}
    for row, sample in samples.items():
        used = {product: found[sample.date] for product, found in days.items() if sample.date in found}
        made[row] = written_triplets.encode(sample, source.form, source.grid, recipe.settings.rows.days, used)
    files = ((path, data) for triplet in made.values() for path, data in triplet.files.items())
    return _Made(files, {row: triplet.record for row, triplet in made.items()})


def _as_bands(
    block: RowBlock, recipe: WriteRecipe, opened: _Opened, table: pa.Table, samples: Mapping[int, Sample]
) -> _Made:
    source = opened.source
    assert opened.months is not None
    matched, phase = (table[name].to_pylist() for name in ("matched_glorys_file_path", "phase"))
    made, records = {}, {}
    for row, sample in samples.items():
        path = matched[row - block.start] or opened.origin.glorys.get(sample.date, "")
        month = opened.months.field(sample, source.form)
        made[row] = written_bands.encode(sample, source.form, source.grid, recipe.write.bands, row, path, month)
        records[row] = {**made[row].record, "split": phase[row - block.start]}
    files = ((path, data) for patch in made.values() for path, data in patch.files.items())
    return _Made(files, records)


_FORMS = {"zarr": _as_zarr, "geotiff": _as_triplets, "npy": _as_bands}


def _index(recipe: WriteRecipe, table: pa.Table, start: int, records: Mapping[int, Mapping[str, Any]]) -> pa.Table:
    """The rows of the index: the columns of the table, then those of the form; a value of '' is none.

    Args:
        recipe: what is written.
        table: rows from ``start`` on.
        start: number of its first row.
        records: by row: what the form says of it.
    """
    rows = sorted(records)
    found = table.take(pa.array([row - start for row in rows], pa.int64()))
    types = RECORDS[recipe.write.form]
    for name, kind in types.items():
        values = [records[row][name] for row in rows]
        if kind != _TEXT:
            values = [None if value == "" else value for value in values]
        if name in found.column_names:
            found = found.drop_columns([name])
        found = found.append_column(name, pa.array(values, kind))
    return found


def empty_index(recipe: WriteRecipe, table: pa.Table) -> pa.Schema:
    """The columns of the index."""
    return _index(recipe, table, 0, {}).schema


def sample_tables(table: pa.Table, index: pa.Table) -> dict[str, np.ndarray[Any, Any]]:
    """What a store says of each of the rows of a table, of which the index has those that are written."""
    size = table.num_rows
    at = index["position"].to_numpy()
    found: dict[str, np.ndarray[Any, Any]] = {
        "patch_id": table["patch_id"].to_numpy(),
        "date": table["date"].to_numpy(),
        "export_index": table["export_index"].to_numpy(),
        "phase": np.array(
            pc.fill_null(pc.index_in(table["phase"], pa.array(written_zarr.PHASES)), 0).to_pylist(), np.int8
        ),
    }
    for name, fill in (("point_count", -1), ("latitude", np.nan), ("longitude", np.nan)):
        values = index[name].to_numpy()
        found[name] = np.full(size, fill, values.dtype)
        found[name][at] = values
    return found
