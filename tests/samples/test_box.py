"""Pixels of a tile are those of the whole grid, bit by bit, whatever the source's axes; a mean counts days."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import netCDF4
import numpy as np
import pytest
from numpy.typing import NDArray

from oceanrecon.errors import SourceError
from oceanrecon.grid import RasterGrid
from oceanrecon.sources.block import Block, read_block
from oceanrecon.sources.box import BoxReader
from oceanrecon.sources.inventory import scan
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.sources.select import holdings, select_block
from tests.archives import VARIABLES, WEEKLY, copied, truncate

GRIDS = {
    "finer": RasterGrid.from_bounds(3, (-180, -90, 180, 90)),
    "area-weighted": RasterGrid.from_bounds(15, (-180, -90, 180, 90)),
    # centres on every other centre of sea level, whose cells are 5 degrees
    "selected": RasterGrid(-182.5, 90.0, 10.0, 5.0, 36, 36),
    "regional": RasterGrid.from_bounds(3, (100, -30, 190, 60)),
}


def blocks(root: Path) -> list[Block]:
    """One block of each variable, at a date whose window has six of seven days."""
    held = holdings(scan(str(root)), VARIABLES)
    found = [
        select_block(
            str(root), held[product], PRODUCTS[product].variable(name), WEEKLY[-1], window=7, minimum_files=1,
            maximum_distance_days=3,
        )
        for product, names in VARIABLES.items() for name in names
    ]  # fmt: skip
    return [block for block in found if isinstance(block, Block)]


def tiles(grid: RasterGrid, size: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Corners, the middle, and, where the grid goes round the globe, across its edge."""
    last = grid.height - size
    starts = [(0, 0), (last, grid.width - size), (last // 2, grid.width // 2)]
    if grid.periodic:
        starts += [(1, grid.width - 2), (last, grid.width - size + 1)]
    return [(y + np.arange(size), (x + np.arange(size)) % grid.width) for y, x in starts]


@pytest.mark.parametrize("name", GRIDS)
def test_a_tile_is_cut_from_the_whole_grid(name: str, archive: Path) -> None:
    grid = GRIDS[name]
    reader = BoxReader(grid, 0.5)
    methods = set()
    for block in blocks(archive):
        whole = read_block(block, grid, minimum_valid_fraction=0.5)
        methods.add(block.weights(grid, 0.5).method)
        for rows, columns in tiles(grid, 7):
            made = reader.read(block, rows, columns)
            assert made.shape == (block.levels, 7, 7)
            np.testing.assert_array_equal(made, whole[:, rows][:, :, columns], err_msg=block.name)
        assert np.isfinite(whole).any()
    assert ("area" in methods) == (name == "area-weighted")


def test_a_regional_source_ends_where_its_files_end(archive: Path, tmp_path: Path) -> None:
    """Longitudes 150..210, north first: tiles on both sides of the dateline, at its edges, and where it has nothing."""
    folder = tmp_path / "archive/sealevel"
    folder.mkdir(parents=True)
    for path in sorted((archive / "sealevel").glob("*201203*")):
        with netCDF4.Dataset(path) as old, netCDF4.Dataset(folder / path.name, "w") as new:
            old.set_auto_maskandscale(False)
            for dimension, part in (
                ("time", slice(None)),
                ("latitude", slice(29, 9, -1)),
                ("longitude", slice(30, 42)),
            ):
                values = old[dimension][part]
                new.createDimension(dimension, len(values))
                new.createVariable(dimension, "f4", (dimension,))[:] = values
            new["time"].units = old["time"].units
            stored = new.createVariable("adt", "i4", ("time", "latitude", "longitude"), zlib=True, chunksizes=(1, 7, 5))
            stored.set_auto_maskandscale(False)
            stored.units, stored.scale_factor = "m", old["adt"].scale_factor
            stored[:] = old["adt"][:, 29:9:-1, 30:42]
    held = holdings(scan(str(tmp_path / "archive")), ["sealevel"])
    variable = PRODUCTS["sealevel"].variable("adt")
    block = select_block(
        str(tmp_path / "archive"), held["sealevel"], variable, WEEKLY[-1], window=7, minimum_files=1,
        maximum_distance_days=3,
    )  # fmt: skip
    assert isinstance(block, Block)
    assert block.longitude.period is None
    grid = GRIDS["finer"]
    whole = read_block(block, grid, minimum_valid_fraction=0.5)
    reader = BoxReader(grid, 0.5)
    for column in (105, 108, 115, 118, 8, 50):
        rows, columns = 15 + np.arange(9), (column + np.arange(9)) % grid.width
        np.testing.assert_array_equal(reader.read(block, rows, columns), whole[:, rows][:, :, columns])
    assert np.isfinite(whole[:, 20, 119]).all()
    assert np.isfinite(whole[:, 20, 0]).all()
    assert np.isnan(whole[:, 20, 50]).all()


def test_a_file_named_twice_counts_twice(archive: Path) -> None:
    """Of levels too: two weeks, of which the second is nearest to two of three days."""
    grid, weeks = GRIDS["finer"], []
    held = holdings(scan(str(archive)), ["glorys"])["glorys"]
    for date in WEEKLY[:2]:
        block = select_block(
            str(archive), held, held.product.variable("thetao"), date, window=1, minimum_files=1,
            maximum_distance_days=0,
        )  # fmt: skip
        assert isinstance(block, Block)
        weeks.append(block)
    both = replace(weeks[0], sources=(*weeks[0].sources, *weeks[1].sources, *weeks[1].sources))
    first, second = (read_block(block, grid, minimum_valid_fraction=0.5).astype(np.float64) for block in weeks)
    rows, columns = 12 + np.arange(20), (110 + np.arange(20)) % grid.width
    made = BoxReader(grid, 0.5).read(both, rows, columns)
    expected = ((first + 2 * second) / 3)[:, rows][:, :, columns]
    np.testing.assert_allclose(made, expected, rtol=0, atol=3e-5)
    # the same file for all days is no mean: it is that file
    same = replace(weeks[0], sources=weeks[0].sources * 7)
    np.testing.assert_array_equal(
        BoxReader(grid, 0.5).read(same, rows, columns), first[:, rows][:, :, columns].astype(np.float32)
    )


def test_times_of_one_file_are_told_apart(archive: Path, tmp_path: Path) -> None:
    """Sea level of three days in one file, read in turn: 0.05 m a day; the second has no plausible value."""
    block = next(block for block in blocks(archive) if block.variable == "adt")
    path = tmp_path / "archive" / "three.nc"
    path.parent.mkdir()
    with netCDF4.Dataset(block.url(block.sources[0])) as old, netCDF4.Dataset(path, "w") as new:
        new.createDimension("time", 3)
        for name in ("latitude", "longitude"):
            new.createDimension(name, old.dimensions[name].size)
            new.createVariable(name, "f4", (name,))[:] = old[name][:]
        new.createVariable("time", "f4", ("time",)).units = old["time"].units
        new["time"][:] = old["time"][0] + np.arange(3)
        stored = new.createVariable("adt", "i4", ("time", "latitude", "longitude"), zlib=True, chunksizes=(1, 9, 9))
        old["adt"].set_auto_maskandscale(False)
        stored.set_auto_maskandscale(False)
        stored.units, stored.scale_factor = "m", old["adt"].scale_factor
        for time in range(3):
            whole = old["adt"][0]
            stored[time] = np.where(np.abs(whole) < 10**6, whole + 500 * time, whole)
        stored[1] = 2 * 10**9
    state = path.stat()
    days = [
        replace(
            block, root=str(path.parent),
            sources=(replace(block.sources[0], path=path.name, time_index=time, bytes=state.st_size,
                             mtime_ns=state.st_mtime_ns),),
        )
        for time in range(3)
    ]  # fmt: skip
    grid = GRIDS["finer"]
    reader = BoxReader(grid, 0.5)
    rows, columns = tiles(grid, 7)[2]
    first, last = (reader.read(days[time], rows + 20, columns + 40) for time in (0, 2))
    np.testing.assert_allclose(last - first, 0.1, atol=1e-5)
    np.testing.assert_array_equal(reader.read(days[0], rows + 20, columns + 40), first)
    with pytest.raises(SourceError, match=r"three.nc: no value of adt is plausible"):
        reader.read(days[1], rows + 20, columns + 40)
    pole = np.array([58, 59])  # land, of a time that has values elsewhere, and of one that has none
    assert np.isnan(reader.read(days[2], pole, columns)).all()
    with pytest.raises(SourceError, match=r"three.nc: no value of adt is plausible"):
        reader.read(days[1], pole, columns)


def test_files_stay_open_but_do_not_travel(archive: Path) -> None:
    grid = GRIDS["finer"]
    reader = BoxReader(grid, 0.5, most=2)
    rows, columns = tiles(grid, 5)[2]
    made = [reader.read(block, rows, columns) for block in blocks(archive)]
    assert len(reader._kept) == 2
    other = pickle.loads(pickle.dumps(reader))
    assert not other._kept
    for block, expected in zip(blocks(archive), made, strict=True):
        np.testing.assert_array_equal(other.read(block, rows, columns), expected)


@pytest.mark.parametrize("harm", ["gone", "changed", "cut"])
def test_a_file_that_is_not_what_was_listed_is_named(harm: str, archive: Path, tmp_path: Path) -> None:
    root = copied(archive, tmp_path / "archive")
    block = blocks(root)[0]
    path = Path(block.url(block.sources[0]))
    if harm == "gone":
        path.unlink()
    else:
        truncate(path)
    if harm == "cut":  # before it was listed
        state = path.stat()
        block = replace(block, sources=(replace(block.sources[0], bytes=state.st_size, mtime_ns=state.st_mtime_ns),))
    rows, columns = tiles(GRIDS["finer"], 5)[2]
    with pytest.raises(SourceError, match=rf"{path.name}: .*(restore it|--resume|download it again)"):
        BoxReader(GRIDS["finer"], 0.5).read(block, rows, columns)
