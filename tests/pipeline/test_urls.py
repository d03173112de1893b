"""Everything that takes a path takes an fsspec URL: an archive and an export on no disk have the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dask
import fsspec
import numpy as np
import pytest
from distributed import Client, LocalCluster

from oceanrecon import open_archive, open_export
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.explain import explain
from oceanrecon.pipeline.inventory import update_inventory
from oceanrecon.pipeline.verify import verify
from oceanrecon.service.run import export
from tests.archives import PRODUCTS, files_of, settings

GRID = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))


@pytest.fixture
def remote(archive: Path) -> Iterator[str]:
    """The tiny archive in fsspec's memory."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for path in archive.rglob("*.nc"):
        memory.pipe_file(f"/archive/{path.relative_to(archive)}", path.read_bytes())
    yield "memory://archive"
    memory.store.clear()


@pytest.fixture
def threads() -> Iterator[Client]:
    """Workers in this process, which share its memory file system."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address="127.0.0.1:0") as cluster,
        Client(cluster) as client,
    ):
        yield client


def test_an_archive_at_a_url_is_the_archive(remote: str, archive: Path) -> None:
    there, here = open_archive(remote, grid=GRID), open_archive(str(archive), grid=GRID)
    assert list(there.data_vars) == list(here.data_vars)
    with dask.config.set(scheduler="threads"):  # this process has the memory
        for name in here.data_vars:
            np.testing.assert_array_equal(there[name].values, here[name].values)


def test_an_export_to_a_url_has_the_bytes_of_one_on_disk(remote: str, exported: Path, threads: Client) -> None:
    update_inventory(remote, "memory://inventory.parquet")
    files = {"root": remote, "inventory": "memory://inventory.parquet", "products": dict.fromkeys(PRODUCTS)}
    url = "memory://made/export"
    result = export(settings(Path(), url, archive=files), client=threads)
    assert result.complete
    memory = fsspec.filesystem("memory")
    folders = ("rasters", "dense.zarr", "masks")
    there = {
        path.removeprefix("/made/export/"): memory.cat_file(path)
        for path in memory.find("/made/export")
        if path.removeprefix("/made/export/").startswith(folders)
    }
    assert there == files_of(exported, *folders)
    again = export(settings(Path(), url, archive=files), client=threads, resume=True)
    assert (again.written, again.kept) == (0, result.written)
    assert verify(url).good
    with open_export(url) as dataset:
        assert np.isfinite(dataset.adt.values).any()
    assert explain(url, "adt", "2012-02-29", 179.9, 0.5).agrees
