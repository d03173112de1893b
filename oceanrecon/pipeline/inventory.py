"""Scans an archive on all cores and keeps the result."""

from __future__ import annotations

from collections.abc import Mapping

import fsspec
import pandas as pd

from oceanrecon.config import ArchiveSettings
from oceanrecon.errors import OutputError
from oceanrecon.pipeline.local import OnDone, map_in_processes
from oceanrecon.sources.inventory import ProductFiles, read_parquet, scan, write_parquet
from oceanrecon.sources.stated import stated_inventory
from oceanrecon.stores.files import Root


def read_inventory(archive: ArchiveSettings) -> pd.DataFrame:
    """The inventory of the archive's products: the one that the settings name, or a scan on all cores.

    Raises:
        ArchiveError: see ``stated_inventory``.
    """
    return stated_inventory(archive, map_in_processes())


def update_inventory(
    archive: str,
    output: str,
    *,
    products: Mapping[str, ProductFiles | None] | None = None,
    workers: int | None = None,
    on_done: OnDone | None = None,
) -> pd.DataFrame:
    """Scan ``archive`` into the Parquet file ``output``; files that an inventory there knows are not opened again.

    Args:
        archive: folder or fsspec URL.
        output: Parquet file.
        products: which files are which product; default: as their names say.
        workers: processes; default: one per core.
        on_done: called with how many batches of files are scanned, and how many there are.

    Raises:
        ArchiveError: there is no such archive, or ``output`` is something else than an inventory.
        OutputError: the inventory cannot be written.
    """
    root = Root(archive).url
    previous = None
    filesystem, path = fsspec.core.url_to_fs(output)
    if filesystem.exists(path):
        previous = read_parquet(output)
        if previous.attrs["references"]:
            raise OutputError(f"{output} belongs to references: run `oceanrecon virtualize`, or give another --output")
        if previous.attrs["root"] != root:
            previous = None  # of another archive: nothing in it can be reused
    table = scan(root, products, previous=previous, map_function=map_in_processes(workers, on_done))
    write_parquet(table, output)
    return table
