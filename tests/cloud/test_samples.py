"""Risk: a sample from a bucket costs more requests or bytes than it has to; the numbers of ``docs/cloud.md``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import oceanrecon
from oceanrecon.errors import OutputError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.samples.index import read_index
from oceanrecon.samples.rows import every_row
from oceanrecon.service.run import export
from oceanrecon.stores.byte_ranges import Files
from oceanrecon.stores.files import Root
from oceanrecon.stores.shard_reader import open_arrays
from oceanrecon.training.data import ExportPatches
from tests.archives import DEPTH, WEEKLY, only, settings
from tests.cloud.conftest import Cloud
from tests.pipeline.patches.small_index import spatial_table, write_index
from tests.pipeline.profiles.tiny import enrich, threads, write_sources
from tests.pipeline.profiles.tiny import settings as profile_settings
from tests.s3 import Fault, Proxy, Server, environment

#: Tiles of 64 pixels side by side: each is one stored chunk of every variable.
GRID = RasterGrid.from_bounds(1.0, (-180, -90, 180, 90))
PATCHES = PatchGrid(GRID, 64, 64, "regular", periodic=False)
DATES = tuple(int(f"{date:%Y%m%d}") for date in WEEKLY)
ROWS = every_row(PATCHES, DATES)
#: Temperature, and two surface fields.
SURFACE = ("analysed_sst", "adt")


@pytest.fixture(scope="module")
def local(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with profiles on a grid of one degree."""
    top = tmp_path_factory.mktemp("degree")
    sources = write_sources(top / "sources", profiles=60)
    products = only("glorys", "ostia", "sealevel", archive=archive)
    with threads(1) as client:
        chosen = settings(archive, top / "export", archive=products, grid={"resolution": 1},
                          variables=["thetao", "analysed_sst", "adt"])  # fmt: skip
        assert export(chosen, client=client).complete
        grid = {"export": str(top / "export")}
        stored = profile_settings(sources, top / "profiles", depth=list(DEPTH), grid=grid)
        assert enrich(stored, client).complete
        assert oceanrecon.grid_profiles(stored, client=client).complete
    phases = {int(patch): "train" for patch in PATCHES.ids}
    spatial = spatial_table(PATCHES, phases, np.zeros((GRID.height, GRID.width), np.uint8))
    rows = [(int(patch), date, "train", 1) for date in DATES for patch in PATCHES.ids]
    write_index(top / "export-index", PATCHES, spatial, rows, export=str(top / "export"))
    return top


@pytest.fixture(scope="module")
def there(local: Path, s3: Server) -> Iterator[Cloud]:
    """The same in a bucket."""
    with Proxy(s3.endpoint) as proxy, environment(proxy.endpoint):
        cloud = Cloud(proxy, s3.new_bucket())
        for name in ("export", "export-index"):
            cloud.upload(local / name, name)
        yield cloud


def patches(export: str, **more: Any) -> ExportPatches:
    return ExportPatches(export, rows=ROWS, surface=SURFACE, **more)


def test_the_requests_and_bytes_of_a_sample(there: Cloud, local: Path) -> None:
    with there.proxy.counting() as opening:
        data = patches(f"{there.url}/export")
    with there.proxy.counting() as first:
        data[0]
    with there.proxy.counting() as same_date:
        data[1]
    with there.proxy.counting() as again:
        data[0]

    # opened: the manifest, the land mask (its size, and itself), the metadata of both stores, three tables of profiles
    names = [f"{one.method} {one.path.partition('/export/')[2]}" for one in opening.seen]
    assert sorted(names) == sorted([
        "GET manifest.yaml", "HEAD masks/land_mask.tif", "GET masks/land_mask.tif", "GET dense.zarr/zarr.json",
        *(f"GET argo/argo_profiles_on_grid.zarr/{name}" for name in
          ("zarr.json", "target/c/0", "target_start/c/0", "target_count/c/0")),
    ]), str(opening)  # fmt: skip

    # the first sample: of each of three variables the index of its date, then one chunk
    dense = [one for one in first.seen if "/dense.zarr/" in one.path]
    indexes = [one for one in dense if (one.range or "").startswith("bytes=-")]
    chunks = [one for one in dense if one not in indexes]
    # the grid has 3 x 6 chunks: 16 bytes for each, and a checksum of 4
    assert [one.answered for one in indexes] == [3 * 6 * 16 + 4] * 3, str(first)
    assert len(chunks) == 3 and sum(one.answered for one in chunks) == sum(chunk_sizes(local, 0)), str(first)
    # and of the profiles: three places of each target near the date, then values and flags, with their indexes
    assert len([one for one in first.seen if "/argo/" in one.path]) <= 10, str(first)

    # any further patch of that date: its three chunks
    for count, patch in ((same_date, 1), (again, 0)):
        assert count.requests == 3 and count.read == sum(chunk_sizes(local, patch)), str(count)


def chunk_sizes(local: Path, column: int) -> list[int]:
    """Bytes of the chunks of the first row of tiles at the first date, by variable."""
    arrays = open_arrays(Files(Root(str(local / "export"))), "dense.zarr")
    sizes = []
    for name in ("thetao", *SURFACE):
        array = arrays[name]
        levels = ((0, array.shape[1]),) if len(array.shape) == 4 else ()
        box = ((0, 1), *levels, (0, 64), (64 * column, 64 * column + 64))
        (shard,) = array.shards(box)
        data = array._files.read([array.index_range(shard)])[0]
        ((_, _, _, length),) = array.stored(box, {shard: array.take_index(shard, data)})
        sizes.append(length)
    return sizes


def test_a_batch_is_asked_for_together(there: Cloud) -> None:
    data = patches(f"{there.url}/export")
    one_row_of_tiles = list(range(5))
    far_apart = [0, 10, 5 + len(PATCHES.ids), 2 * len(PATCHES.ids)]
    data.codes([*one_row_of_tiles, *far_apart])  # indexes and profiles are known then
    slow = there.proxy.add(Fault(delay=1.0, times=None))
    started = time.monotonic()
    data.codes(one_row_of_tiles)
    assert slow.hits == 3  # neighbouring chunks are one request
    data.codes(far_apart)
    took = time.monotonic() - started
    there.proxy.clear()
    assert 9 < slow.hits <= 3 + 3 * 4 and took < slow.hits * 1.0 / 2, took  # those of a batch wait together


def test_samples_are_those_of_the_folder(there: Cloud, local: Path) -> None:
    for store in ("zarr", "geotiff"):
        one = patches(str(local / "export"), store=store)[7]
        other = patches(f"{there.url}/export", store=store)[7]
        assert one.keys() == other.keys()
        for name, values in one.items():
            if isinstance(values, torch.Tensor):
                assert torch.equal(values, other[name]), name


def test_an_index_in_a_bucket_and_workers_of_a_loader(there: Cloud, local: Path) -> None:
    """Their processes reach the bucket by the environment, and read only the columns that they need."""
    index = f"{there.url}/export-index"
    with there.proxy.counting() as count:
        table = read_index(index)
        assert len(table.rows("train")) == len(ROWS)
    assert {one.path.rsplit("/", 1)[1] for one in count.seen} == {"manifest.yaml", "weekly.parquet"}
    data = ExportPatches(f"{there.url}/export", rows=table.rows("train"), surface=SURFACE)
    loader = DataLoader(data, batch_size=4, num_workers=1, multiprocessing_context="spawn")
    batch = next(iter(loader))
    expected = patches(str(local / "export"))
    assert torch.equal(batch["y"], torch.stack([expected[row]["y"] for row in range(4)]))


def test_opening_and_a_map_cost_few_requests(there: Cloud, local: Path) -> None:
    with there.proxy.counting() as opening:
        opened = oceanrecon.open_export(f"{there.url}/export")
    assert opening.requests == 7 and not [one for one in opening.seen if "list-type" in one.path], str(opening)
    with there.proxy.counting() as computing:
        values = opened.thetao.isel(time=1, depth=0).compute(scheduler="sync").values
    # the index of the shard, and its 18 chunks, which lie side by side
    assert computing.requests == 2, str(computing)
    here = oceanrecon.open_export(str(local / "export")).thetao.isel(time=1, depth=0)
    np.testing.assert_array_equal(values, here.compute(scheduler="sync").values)
    with there.proxy.counting() as box:
        opened.thetao.isel(time=1, latitude=slice(0, 10), longitude=slice(0, 10)).compute(scheduler="sync")
    assert box.requests == 2
    raster = oceanrecon.open_export(f"{there.url}/export", source="geotiff")
    with there.proxy.counting() as tiles:
        raster.thetao.isel(time=1, depth=0).compute(scheduler="sync")
    assert tiles.requests <= 4, str(tiles)


def test_a_shard_that_is_gone_is_named(there: Cloud) -> None:
    root = Root(f"{there.url}/export")
    name = "dense.zarr/adt/c/2/0/0"
    kept = root.read(name)
    root.remove(name)
    row = int(np.flatnonzero(ROWS.date == DATES[2])[0])
    try:
        with pytest.raises(OutputError, match=rf"row {row} \(patch .*: {there.url}/export/{name} is not there; "):
            patches(f"{there.url}/export")[row]
    finally:
        root.write(name, kept)
