"""Risk: a remote archive is downloaded whole for a little of it, or read after it changed."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dask
import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

import oceanrecon
from oceanrecon.access.ranges import BLOCK
from oceanrecon.errors import SourceError
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.inventory import update_inventory
from oceanrecon.pipeline.plan import plan
from oceanrecon.sources.block import Block, Source, open_source, read_block
from oceanrecon.sources.box import BoxReader
from oceanrecon.sources.flags import read_flagged
from oceanrecon.sources.hdf import StoredVariable, open_hdf
from oceanrecon.sources.inventory import read_parquet, scan, write_parquet
from oceanrecon.sources.unchanged import changed_since
from oceanrecon.stores.files import Root
from tests.archives import WEEKLY, only, settings
from tests.cloud.conftest import Cloud
from tests.s3 import Fault
from tests.sources.test_flags import write as write_flagged

TARGETS = {"dates": [str(date) for date in WEEKLY]}
GRID = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))


def blocks(cloud: Cloud, name: str, **more: Any) -> list[Block]:
    archive = {"root": f"{cloud.url}/archive", "products": {name: None}}
    return list(plan(settings(Path(), "/nowhere", archive=archive, targets=TARGETS, **more)).blocks)


def test_a_scan_reads_the_beginning_of_each_file(cloud: Cloud, archive: Path) -> None:
    root = cloud.upload(archive, "archive")
    with cloud.proxy.counting() as count:
        table = scan(root)
    assert set(table["problem"]) == {""}
    lists = [one for one in count.seen if "list-type" in one.path]
    assert len(lists) == 2 and count.requests == 2 + len(table), str(count)
    assert all(one.answered <= BLOCK for one in count.seen)
    again = scan(root)
    with cloud.proxy.counting() as count:
        assert scan(root, previous=again).equals(again)
    assert count.requests == 2  # nothing is opened again


def test_a_block_takes_three_requests_for_each_of_its_files(cloud: Cloud, archive: Path) -> None:
    """Is it still the one that was listed; its header; its chunks (which are in the header's block, if it is small)."""
    cloud.upload(archive / "sealevel", "archive/sealevel")
    block = blocks(cloud, "sealevel", variables=["adt"])[1]
    with cloud.proxy.counting() as count:
        there = read_block(block, GRID, minimum_valid_fraction=0.5)
    files = {one.path for one in count.seen}
    assert len(files) == len(block.sources) == 7
    assert sorted(one.method for one in count.seen) == ["GET"] * 7 + ["HEAD"] * 7
    chosen = only("sealevel", archive=archive)
    here = settings(archive, "/nowhere", archive=chosen, targets=TARGETS, variables=["adt"])
    np.testing.assert_array_equal(there, read_block(plan(here).blocks[1], GRID, minimum_valid_fraction=0.5))


@pytest.fixture
def large(cloud: Cloud, tmp_path: Path) -> tuple[str, Path, NDArray[Any]]:
    """A file like those of the reanalysis: many chunks of a few kB each, whose index lies behind them."""
    random = np.random.default_rng(4)
    values = random.integers(-3000, 3000, (1, 10, 400, 500)).astype("i2")
    path = tmp_path / "large.nc"
    with h5py.File(path, "w") as file:
        for name in ("thetao", "so"):
            file.create_dataset(name, data=values, chunks=(1, 5, 50, 100), compression=1, shuffle=True)
    cloud.upload(tmp_path, "large")
    return f"{cloud.url}/large/large.nc", path, values


def test_chunks_are_read_as_ranges_many_at_a_time(cloud: Cloud, large: tuple[str, Path, NDArray[Any]]) -> None:
    url, path, values = large
    size = path.stat().st_size
    with cloud.proxy.counting() as opening, open_hdf(url, size) as file:
        variable = StoredVariable(file["so"], ranges=file.ranges)
        assert variable.far
        with cloud.proxy.counting() as reading:
            np.testing.assert_array_equal(variable.read((0, slice(0, 5), slice(None), slice(None))), values[:, :5])
        wanted = sum(info[1] for corner, info in variable._written.items() if corner[1] == 0)
        with cloud.proxy.counting() as corner:
            variable.read((0, slice(0, 10), slice(0, 10), slice(0, 10)))
        with cloud.proxy.counting() as nothing:
            variable.read((0, slice(0, 0), slice(0, 10), slice(0, 10)))
    assert size > 5_000_000
    index = [one for one in opening.seen if one not in reading.seen]
    assert sum(one.answered for one in index[:2]) <= 2 * BLOCK
    # the 40 chunks of half of the levels lie side by side; some of them came with a block of the index
    data = [one for one in reading.seen if one.answered > BLOCK]
    assert len(data) == 1 and 0.9 * wanted < data[0].answered < 1.1 * wanted, str(reading)
    assert reading.read < wanted * 1.1 + 4 * BLOCK
    assert corner.requests <= 2 and corner.read < 2.2 * wanted / 40
    assert nothing.requests == 0


def test_parts_that_are_announced_come_many_at_a_time(cloud: Cloud, large: tuple[str, Path, NDArray[Any]]) -> None:
    """As profiles read them: chunk by chunk, here and there."""
    url, path, values = large
    parts = [(0, slice(0, 5), slice(row, row + 50), slice(column, column + 100))
             for row in (0, 100, 350) for column in (0, 200, 400)]  # fmt: skip
    with open_hdf(url, path.stat().st_size) as file:
        variable = StoredVariable(file["thetao"], ranges=file.ranges)
        variable.expect(parts)
        with cloud.proxy.counting() as count:
            for part in parts:
                np.testing.assert_array_equal(variable.read(part)[0], values[part])
        assert count.requests == 3, str(count)  # three rows of chunks, in which one between two is read over
        slow = cloud.proxy.add(Fault(delay=1.0, times=None))
        variable.expect(parts)
        begun = time.monotonic()
        for part in parts:
            variable.read(part)
        assert slow.hits == 3 and time.monotonic() - begun < 3 * 1.0  # at the same time
        cloud.proxy.clear()
        # what was not announced is read all the same
        variable.expect(parts[:2])
        other = (0, slice(5, 10), slice(50, 60), slice(0, 10))
        np.testing.assert_array_equal(variable.read(other)[0], values[other])
        np.testing.assert_array_equal(variable.read(parts[1])[0], values[parts[1]])


def test_an_archive_opens_from_its_inventory_and_computes_what_is_asked_for(cloud: Cloud, archive: Path) -> None:
    root, table = cloud.upload(archive, "archive"), f"{cloud.url}/inventory.parquet"
    update_inventory(root, table, workers=1)
    with cloud.proxy.counting() as count:
        opened = oceanrecon.open_archive(root, inventory=table, grid=GRID)
    assert count.requests == 1, str(count)
    here = oceanrecon.open_archive(str(archive), grid=GRID)
    with dask.config.set(scheduler="sync"), cloud.proxy.counting() as count:
        got = opened.thetao.isel(time=1, depth=0).values
    assert len({one.path for one in count.seen}) == 1 and count.requests <= 3, str(count)
    with dask.config.set(scheduler="sync"):
        np.testing.assert_array_equal(got, here.thetao.isel(time=1, depth=0).values)


def test_a_part_of_a_block_is_a_part_of_its_requests(cloud: Cloud, archive: Path) -> None:
    cloud.upload(archive / "glorys", "archive/glorys")
    block = blocks(cloud, "glorys", variables=["thetao"])[0]
    reader = BoxReader(GRID, 0.5)
    rows, columns = np.arange(10, 14), np.arange(20, 24)
    with cloud.proxy.counting() as count:
        part = reader.read(block, rows, columns)
        reader.read(block, rows + 1, columns)
    assert count.requests <= 3, str(count)  # the second needs the same chunks, and the file stays open
    whole = read_block(block, GRID, minimum_valid_fraction=0.5)
    np.testing.assert_array_equal(part, whole[:, 10:14, 20:24])


def test_files_that_changed_since_the_inventory_are_refused(cloud: Cloud, archive: Path) -> None:
    cloud.upload(archive / "glorys", "archive/glorys")
    first, second, third = blocks(cloud, "glorys", variables=["thetao"])
    path = first.sources[0].path
    Root(f"{cloud.url}/archive").write(path, (archive / path).read_bytes() + b"and more")
    with pytest.raises(SourceError, match=r"20120222.*: it changed since it was listed \(then [\d,]+ bytes, now"):
        read_block(first, GRID, minimum_valid_fraction=0.5)
    (source,) = second.sources
    assert source.mtime_ns > 1_700_000_000 * 10**9
    earlier = Source(source.path, source.date, source.time_index, source.bytes, source.mtime_ns - 5 * 10**9)
    with pytest.raises(SourceError, match="it was written again at"), open_source(second, earlier):
        pass
    unknown = Source(source.path, source.date, source.time_index, source.bytes, 0)
    with open_source(second, unknown):
        pass
    fraction = Source(source.path, source.date, source.time_index, source.bytes, source.mtime_ns + 999_000_000)
    with open_source(second, fraction):  # listings know fractions of a second, single answers may not
        pass
    (source,) = third.sources
    assert changed_since(third.url(source), source.bytes, source.mtime_ns) is False
    assert changed_since(third.url(source) + "x", source.bytes, source.mtime_ns) is None
    cloud.proxy.add(Fault(status=403, code="AccessDenied", times=None))
    with pytest.raises(SourceError, match=r"PermissionError: .*; check the credentials"):
        read_block(third, GRID, minimum_valid_fraction=0.5)


def test_an_inventory_of_a_folder_serves_its_copy_in_a_bucket(cloud: Cloud, archive: Path, tmp_path: Path) -> None:
    """Copies have other times; sizes are what tells."""
    cloud.upload(archive, "archive")
    table = str(tmp_path / "inventory.parquet")
    inventory = scan(str(archive))
    write_parquet(inventory, table)
    chosen = settings(Path(), "/nowhere", archive=cloud.archive(inventory=table), variables=["adt"])
    block = plan(chosen).blocks[0]
    assert block.sources[0].mtime_ns == 0
    assert np.isfinite(read_block(block, GRID, minimum_valid_fraction=0.5)).any()
    assert (read_parquet(table)["mtime_ns"] > 0).all()
    opened = oceanrecon.open_archive(f"{cloud.url}/archive", inventory=table, grid=GRID)
    with dask.config.set(scheduler="sync"):
        assert np.isfinite(opened.adt.isel(time=0).values).any()


def test_a_process_ends_well_with_remote_files_open(cloud: Cloud, archive: Path) -> None:
    """HDF5 closes files after Python's own end, and would call what is no more."""
    url = f"{cloud.upload(archive / 'ostia', 'ostia')}/{sorted(path.name for path in (archive / 'ostia').iterdir())[0]}"
    program = (
        "from contextlib import ExitStack; from oceanrecon.sources.hdf import open_hdf; stack = ExitStack();"
        f"file = stack.enter_context(open_hdf({url!r})); file['analysed_sst'][0, 0, 0]; kept = stack"
    )
    done = subprocess.run([sys.executable, "-X", "dev", "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not re.search("Unclosed|Traceback|Fatal", done.stderr), done.stderr


def test_flags_are_read_there(cloud: Cloud, tmp_path: Path) -> None:
    here = write_flagged(
        tmp_path / "flags.nc", flag_masks=np.array([1, 2, 4, 8], np.int8), flag_meanings="water land lake ice"
    )
    there = f"{cloud.upload(tmp_path, 'flags')}/flags.nc"
    np.testing.assert_array_equal(read_flagged(there, ("land",)).flagged, read_flagged(here, ("land",)).flagged)


def test_a_small_file_whose_index_is_all_over_it_is_fetched_whole(cloud: Cloud, tmp_path: Path) -> None:
    """As those of daily products: hundreds of small chunks, written one by one."""
    values = np.random.default_rng(1).integers(-3000, 3000, (1, 500, 1400)).astype("i2")
    with h5py.File(tmp_path / "x.nc", "w") as file:
        for name in ("adt", "err"):
            file.create_dataset(name, shape=values.shape, dtype="i2", chunks=(1, 10, 50), compression=1, shuffle=True)
        for row in range(0, 500, 10):
            for name in ("adt", "err"):
                file[name][:, row : row + 10] = values[:, row : row + 10]
    size = (tmp_path / "x.nc").stat().st_size
    assert 2_000_000 < size < 4_000_000
    cloud.upload(tmp_path, "small")
    with cloud.proxy.counting() as count, open_hdf(f"{cloud.url}/small/x.nc", size) as file:
        np.testing.assert_array_equal(StoredVariable(file["adt"], ranges=file.ranges).read((slice(None),) * 3), values)
    assert count.requests <= 8 and count.read <= 1.1 * size, str(count)
