"""Scans an archive on all cores and keeps the result."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import fsspec
import pandas as pd
from dask.base import compute
from dask.delayed import delayed

from oceanrecon.config import ArchiveSettings
from oceanrecon.sources.inventory import ProductFiles, read_parquet, scan, write_parquet
from oceanrecon.stores.files import Root


def product_files(archive: ArchiveSettings) -> dict[str, ProductFiles | None]:
    """Which files are which product, from the settings."""
    return {
        name: None if files is None else ProductFiles(path=files.path, files=files.files)
        for name, files in archive.products.items()
    }


def update_inventory(
    archive: str, output: str, *, products: Mapping[str, ProductFiles | None] | None = None, workers: int | None = None
) -> pd.DataFrame:
    """Scan ``archive`` into the Parquet file ``output``; files that an inventory there knows are not opened again.

    Args:
        archive: folder or fsspec URL.
        output: Parquet file.
        products: which files are which product; default: as their names say.
        workers: processes; default: one per core.

    Raises:
        ArchiveError: there is no such archive, or ``output`` is something else than an inventory.
        OutputError: the inventory cannot be written.
    """
    root = Root(archive).url
    previous = None
    filesystem, path = fsspec.core.url_to_fs(output)
    if filesystem.exists(path):
        previous = read_parquet(output)
        if previous.attrs["root"] != root:
            previous = None  # of another archive: nothing in it can be reused
    table = scan(root, products, previous=previous, map_function=map_in_processes(workers))
    write_parquet(table, output)
    return table


def map_in_processes(workers: int | None = None) -> Callable[..., Iterable[list[dict[str, Any]]]]:
    """Like ``map``, on processes of this machine (HDF5 holds a lock in each); a single item runs here."""

    def run(function: Callable[..., list[dict[str, Any]]], items: Iterable[Any]) -> Iterable[list[dict[str, Any]]]:
        batches = list(items)
        if len(batches) <= 1:
            return [function(batch) for batch in batches]
        count = workers or len(os.sched_getaffinity(0))
        tasks = [delayed(function, pure=False)(batch) for batch in batches]
        return list(compute(*tasks, scheduler="processes", num_workers=count))

    return run
