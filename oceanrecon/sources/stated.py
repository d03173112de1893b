"""The inventory of the archive that settings describe."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from oceanrecon.access.passing import told
from oceanrecon.access.paths import joined
from oceanrecon.access.systems import state_of
from oceanrecon.config import ArchiveSettings
from oceanrecon.errors import ArchiveError, OceanreconError
from oceanrecon.sources.inventory import ProductFiles, moved, read_parquet, restrict, scan
from oceanrecon.sources.listing import absolute_root


def product_files(archive: ArchiveSettings) -> dict[str, ProductFiles | None]:
    """Which files are which product, from the settings."""
    return {
        name: None if files is None else ProductFiles(path=files.path, files=files.files)
        for name, files in archive.products.items()
    }


def stated_inventory(
    archive: ArchiveSettings, map_function: Callable[..., Iterable[list[dict[str, Any]]]] = map
) -> pd.DataFrame:
    """The inventory of the archive's products: the one that the settings name, or a scan.

    Args:
        archive: the settings.
        map_function: see ``scan``.

    Raises:
        ArchiveError: the one named is of another archive, or was made without these products.
    """
    root, products = absolute_root(archive.root), product_files(archive)
    url = archive.inventory
    if url is None:
        return scan(root, products, map_function=map_function)
    inventory = restrict(read_parquet(url), products)
    again = f"make it again with `oceanrecon inventory CONFIG --output {url}`"
    for name in products:
        if name not in set(inventory["product"]):
            raise ArchiveError(f"{url} has no file of product {name!r} as archive.products describes it: {again}")
    inventory = moved(inventory, root)
    usable = inventory.loc[inventory["problem"] == "", "path"]
    if len(usable) and not _exists(joined(root, usable.iloc[0], ArchiveError)):
        raise ArchiveError(
            f"{url} lists {usable.iloc[0]}, which is not in {root}: correct archive.root (the inventory was made of "
            f"{inventory.attrs['root']}), or {again}"
        )
    return inventory


def _exists(url: str) -> bool:
    try:
        state_of(url)
    except FileNotFoundError:
        return False
    except OceanreconError:
        raise
    except Exception as error:  # remote drivers raise classes of their own
        raise ArchiveError(f"{url} cannot be looked at: {told(error)}") from error
    return True
