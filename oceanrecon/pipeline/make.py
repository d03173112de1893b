"""The task: makes one block, writes its files, and leaves a receipt."""

from __future__ import annotations

import hashlib
import time
from importlib.metadata import version

import numpy as np
from distributed.scheduler import KilledWorker
from numpy.typing import NDArray

from oceanrecon.access.passing import is_passing
from oceanrecon.errors import OceanreconError, OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.recipe import DENSE, Recipe, raster_path
from oceanrecon.pipeline.tasks import DeadlyTaskError, MayPass
from oceanrecon.sources.block import Block, BlockReport, encode_block, read_block
from oceanrecon.sources.product import Product
from oceanrecon.sources.registry import product as find_product
from oceanrecon.stores.files import Root
from oceanrecon.stores.geotiff import encode_geotiff
from oceanrecon.stores.mask import SOURCE_TAG, encode_land_mask
from oceanrecon.stores.memory import forget_peak, keep_freed_memory, peak_memory
from oceanrecon.stores.receipts import (
    BandStatistics,
    Failure,
    FileRole,
    Receipt,
    SourceUsed,
    WrittenFile,
    receipt_path,
    total_statistics,
    write_failure,
    write_receipt,
)
from oceanrecon.stores.tags import dataset_tags, level_description, level_tags
from oceanrecon.stores.zarr_store import days_shard_key, encode_days_shard, encode_shard, shard_key
from oceanrecon.transform.encode import Codes, Stretch
from oceanrecon.transform.regrid import CodeCounts

_LIBRARIES = ("oceanrecon", "numpy", "rasterio", "zarr", "numcodecs", "h5py", "isal", "numba")


def make_block(block: Block, recipe: Recipe, time_index: int) -> Receipt | Failure | OutputError | MayPass:
    """Make one block and write its files, then its receipt.

    What goes wrong is returned, since dask would log a traceback of what is raised: a failure, which whoever drives
    the run records (``record_failure``), or the error that nothing can be written any more, so that the whole run has
    to stop; in ``MayPass`` where trying again later can help.

    Args:
        block: what to make.
        recipe: how, and where it goes.
        time_index: its place on the time axis of ``dense.zarr``.
    """
    keep_freed_memory()
    forget_peak()
    outcome: Failure | OutputError
    try:
        return _make(block, recipe, time_index)
    except OutputError as error:
        outcome, passing = error, is_passing(error)
    except (OceanreconError, MemoryError, ValueError, OSError, RuntimeError) as error:
        outcome, passing = failure_of(block, error), is_passing(error)
    return MayPass(outcome) if passing else outcome


def failure_of(block: Block, error: BaseException) -> Failure:
    """What is recorded of a block that cannot be made."""
    message = str(error) or repr(error)
    if isinstance(error, KilledWorker | DeadlyTaskError):
        message = (
            "the workers that made it died or had to be restarted, time and again: too little memory, a library that "
            "crashed, or a read that never ends; see their logs"
        )
    return Failure(block.product, block.variable, f"{block.date:%Y%m%d}", type(error).__name__, message)


def record_failure(recipe: Recipe, failure: Failure, time_index: int) -> Failure:
    """Record a failure; what an earlier run wrote for the block goes, so that its time reads as missing.

    Raises:
        OutputError: it cannot be recorded.
    """
    root = Root(recipe.output)
    write_failure(root, failure)
    root.remove(receipt_path(failure.variable, failure.date))
    if recipe.geotiff is not None:
        root.remove(raster_path(failure.product, failure.variable, failure.date))
    if recipe.zarr is not None:
        product = find_product(failure.product)
        dense = recipe.dense_variable(product, product.variable(failure.variable))
        root.remove(shard_key(DENSE, dense, time_index))
        if dense.days:
            root.remove(days_shard_key(DENSE, dense, time_index))
    return failure


def _make(block: Block, recipe: Recipe, time_index: int) -> Receipt:
    started, cpu = time.perf_counter(), time.process_time()
    product = find_product(block.product)
    variable = product.variable(block.variable)
    code = recipe.stretch(variable)
    root = Root(recipe.output)
    codes = np.empty((block.levels, recipe.grid.height, recipe.grid.width), dtype=code.dtype)
    report = encode_block(
        block,
        recipe.grid,
        code,
        minimum_valid_fraction=recipe.minimum_valid_fraction,
        codes=codes,
        days=product.windowed and recipe.zarr is not None,
    )
    statistics = tuple(band_statistics(counts, code) for counts in report.counts)
    writing = time.perf_counter()
    files: list[WrittenFile] = []
    date = f"{block.date:%Y%m%d}"
    if recipe.geotiff is not None:
        data = _geotiff(block, recipe, codes, report, statistics, product)
        files.append(_write(root, raster_path(product.name, variable.name, date), data, "geotiff"))
        del data
    if recipe.zarr is not None:
        dense = recipe.dense_variable(product, variable)
        layout = recipe.layout(block.depth, (), (dense,))
        shard = encode_shard(codes if variable.levels else codes[0], dense, layout)
        files.append(_write(root, shard_key(DENSE, dense, time_index), shard, "zarr"))
        del shard
        if dense.days:
            assert report.days is not None
            shard = encode_days_shard(report.days, layout)
            files.append(_write(root, days_shard_key(DENSE, dense, time_index), shard, "days"))
    receipt = Receipt(
        product=product.name,
        variable=variable.name,
        date=date,
        key=recipe.key(block),
        files=tuple(files),
        sources=tuple(
            SourceUsed(
                path=source.path,
                date=f"{source.date:%Y%m%d}",
                time_index=source.time_index,
                bytes=source.bytes,
                mtime_ns=source.mtime_ns,
                revision=None if source.revision is None else f"{source.revision:%Y%m%d}",
            )
            for source in block.sources
        ),
        statistics=statistics,
        days_used=tuple(f"{source.date:%Y%m%d}" for source in report.used),
        target_distance_days=0 if product.windowed else abs((block.sources[0].date - block.date).days),
        warnings=tuple(report.warnings),
        timing={
            "wall": round(time.perf_counter() - started, 3),
            "cpu": round(time.process_time() - cpu, 3),
            "read": round(report.read_seconds, 3),
            "regrid": round(report.regrid_seconds, 3),
            "write": round(time.perf_counter() - writing, 3),
            "peak_memory_bytes": peak_memory(),
        },
        versions={name: version(name) for name in _LIBRARIES},
        regridding=report.method,
    )
    write_receipt(root, receipt)
    return receipt


def block_codes(block: Block, recipe: Recipe) -> Codes:
    """The codes of a block, made anew: [level, height, width]."""
    code = recipe.stretch(find_product(block.product).variable(block.variable))
    codes = np.empty((block.levels, recipe.grid.height, recipe.grid.width), dtype=code.dtype)
    encode_block(block, recipe.grid, code, minimum_valid_fraction=recipe.minimum_valid_fraction, codes=codes)
    return codes


def band_statistics(counts: CodeCounts, code: Stretch) -> BandStatistics:
    """Counts of a level, and the smallest, largest and mean value that its codes stand for."""
    some = counts.valid > 0
    return BandStatistics(
        valid_count=counts.valid,
        nodata_count=counts.nodata,
        clipped_low_count=counts.clipped_low,
        clipped_high_count=counts.clipped_high,
        minimum=code.minimum + counts.code_min * code.step if some else None,
        maximum=code.minimum + counts.code_max * code.step if some else None,
        mean=code.minimum + counts.code_sum / counts.valid * code.step if some else None,
    )


def _geotiff(
    block: Block,
    recipe: Recipe,
    codes: Codes,
    report: BlockReport,
    statistics: tuple[BandStatistics, ...],
    product: Product,
) -> bytes:
    assert recipe.geotiff is not None
    code = recipe.stretch(product.variable(block.variable))
    tags = dataset_tags(
        product.name,
        block.variable,
        code,
        block.date,
        source_files=[source.path.rsplit("/", 1)[-1] for source in report.used],
        days_used=[source.date for source in report.used],
        aggregate_days=recipe.window_days if product.windowed else None,
        regridding=report.method,
        statistics=None if block.depth else total_statistics(statistics),
    )
    return encode_geotiff(
        codes,
        recipe.grid,
        code,
        tags=tags,
        band_tags=[level_tags(code, depth, band) for depth, band in zip(block.depth, statistics, strict=False)] or [{}],
        descriptions=[level_description(depth) for depth in block.depth] or [block.variable],
        options=recipe.geotiff,
    )


def _write(root: Root, path: str, data: bytes, role: FileRole) -> WrittenFile:
    root.write(path, data)
    return WrittenFile(path, len(data), hashlib.sha256(data).hexdigest(), role)


def land_of(block: Block, grid: RasterGrid, minimum_valid_fraction: float) -> NDArray[np.uint8]:
    """Where the first level of a block is missing: [height, width], 1 there and 0 elsewhere.

    Raises:
        SourceError: the block cannot be read.
    """
    surface = read_block(block, grid, minimum_valid_fraction=minimum_valid_fraction, levels=slice(0, 1))[0]
    return np.asarray(np.isnan(surface), dtype=np.uint8)


def make_land_mask(block: Block, recipe: Recipe, path: str) -> None:
    """Write a land mask (1 land, 0 ocean) made from where the first level of ``block`` is missing.

    Raises:
        SourceError: the block cannot be read.
        OutputError: the mask cannot be written.
    """
    origin = f"missing values of {block.variable} at its first level in {block.sources[0].path}"
    mask = land_of(block, recipe.grid, recipe.minimum_valid_fraction)
    Root(recipe.output).write(path, encode_land_mask(mask, recipe.grid, {SOURCE_TAG: origin}))
