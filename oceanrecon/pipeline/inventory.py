"""Scans an archive on all cores and keeps the result."""

from __future__ import annotations

from collections.abc import Mapping

import fsspec
import pandas as pd

from oceanrecon.config import ArchiveSettings
from oceanrecon.errors import ArchiveError
from oceanrecon.pipeline.local import OnDone, map_in_processes
from oceanrecon.sources.inventory import ProductFiles, read_parquet, restrict, scan, write_parquet
from oceanrecon.stores.files import Root


def product_files(archive: ArchiveSettings) -> dict[str, ProductFiles | None]:
    """Which files are which product, from the settings."""
    return {
        name: None if files is None else ProductFiles(path=files.path, files=files.files)
        for name, files in archive.products.items()
    }


def read_inventory(archive: ArchiveSettings) -> pd.DataFrame:
    """The inventory of the archive's products: the one that the settings name, or a scan on all cores.

    Raises:
        ArchiveError: the one named is of another archive, or was made without these products.
    """
    root, products = Root(archive.root).url, product_files(archive)
    url = archive.inventory
    if url is None:
        return scan(root, products, map_function=map_in_processes())
    inventory = restrict(read_parquet(url), products)
    again = f"make it again with `oceanrecon inventory CONFIG --output {url}`"
    for name in products:
        if name not in set(inventory["product"]):
            raise ArchiveError(f"{url} has no file of product {name!r} as archive.products describes it: {again}")
    usable = inventory.loc[inventory["problem"] == "", "path"]
    if len(usable) and not Root(root).exists(usable.iloc[0]):
        raise ArchiveError(
            f"{url} lists {usable.iloc[0]}, which is not in {root}: correct archive.root (the inventory was made of "
            f"{inventory.attrs['root']}), or {again}"
        )
    return inventory


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
        if previous.attrs["root"] != root:
            previous = None  # of another archive: nothing in it can be reused
    table = scan(root, products, previous=previous, map_function=map_in_processes(workers, on_done))
    write_parquet(table, output)
    return table
