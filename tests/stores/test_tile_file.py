"""Risk: a file of a region that others cannot read, lacks a row, holds numbers where nothing was, or is half there."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from oceanrecon.errors import OutputError
from oceanrecon.grid.octants import OCTANTS, CellGrid, cut, octant_of
from oceanrecon.stores.files import Root
from oceanrecon.stores.tile_file import (
    About,
    StoredTile,
    open_tile,
    tile_path,
    write_cells,
    write_gridded,
    write_points,
)
from oceanrecon.transform.binning import Binned, DayBins
from oceanrecon.transform.day import GriddedDay, PointDay, Track, Values

_DAY = dt.date(2024, 2, 29)
_START = np.datetime64("2024-02-29T00:00:00", "us")
_ABOUT = About("l4_sst", "Température", _DAY, ("one.nc", "two.nc"), "cut from the daily field")
_SST = {"standard_name": "sea_surface_temperature", "units": "degree_Celsius", "long_name": "Temperature"}
_BITS = {"standard_name": "status_flag", "flag_masks": np.array([1, 1024]), "flag_meanings": "dubious land"}


def _day(latitude: np.ndarray, longitude: np.ndarray, seed: int = 0) -> GriddedDay:
    """A packed field with gaps, one that does not fit its packing, an integer with a fill and one without."""
    random = np.random.default_rng(seed)
    shape = (latitude.size, longitude.size)
    field = random.normal(15, 8, shape).astype(np.float32)
    field[random.random(shape) < 0.3] = np.nan
    height = random.normal(0, 1, shape).astype(np.float32)
    height[::7, ::5] = 40.0
    bits = random.choice(np.array([0, 1, 255, 1024], np.int16), shape)
    bits[random.random(shape) < 0.1] = -1
    values = {
        "sst": Values(field, _SST),
        "sla": Values(height, {"standard_name": "sea_surface_height_above_sea_level", "units": "m"}),
        "qc": Values(bits, _BITS, -1),
        "count": Values(random.integers(0, 5, shape).astype(np.int8), {"units": "1"}),
    }
    return GriddedDay(latitude, longitude, values, _START, _START + np.timedelta64(86_399, "s"))


def _write(root: Path, day: GriddedDay) -> list[StoredTile]:
    return [
        write_gridded(
            Root(str(root)),
            tile_path("l4_sst", OCTANTS[number].name, _DAY),
            OCTANTS[number],
            day,
            rows,
            columns,
            _ABOUT,
        )
        for number, rows, columns in cut(day.latitude, day.longitude)
    ]


_GRIDS = {
    "with both poles, and an equator that is off by a hair": (
        np.where(np.arange(181) == 90, -4.5e-12, np.linspace(-90, 90, 181)), np.linspace(-180, 179, 360),
    ),
    "from the north, 0..360": (np.linspace(89.5, -89.5, 180), np.arange(0.5, 360, 1.0)),
    "of the reanalysis": (np.linspace(-80, 90, 171), np.linspace(-180, 179, 360)),
}  # fmt: skip


@pytest.mark.parametrize("grid", _GRIDS)
def test_every_value_of_the_source_is_in_one_file_and_none_is_added(tmp_path: Path, grid: str) -> None:
    day = _day(*_GRIDS[grid])
    tiles = _write(tmp_path, day)
    assert len(tiles) == 8
    whole = {name: np.full(values.data.shape, -99, values.data.dtype) for name, values in day.values.items()}
    east = (day.longitude + 180) % 360 - 180
    rows = cells = 0
    for tile in tiles:
        with open_tile(tmp_path / tile.path) as opened:
            assert opened.kind == "gridded" and opened.names == ("sst", "sla", "qc", "count")
            assert (np.diff(opened.latitude) > 0).all() and (np.diff(opened.longitude) > 0).all()
            rows += opened.latitude.size
            cells += opened.latitude.size * opened.longitude.size
            # by coordinates, not by how it was cut
            down = np.abs(day.latitude[:, None] - opened.latitude).argmin(axis=0)
            across = np.abs(east[:, None] - opened.longitude).argmin(axis=0)
            for name, field in whole.items():
                field[np.ix_(down, across)] = opened.read(name)
    assert rows == 4 * day.latitude.size and cells == day.latitude.size * day.longitude.size
    for name, values in day.values.items():
        if name == "sst":  # packed
            assert np.array_equal(np.isnan(whole[name]), np.isnan(values.data))
            assert np.nanmax(np.abs(whole[name] - values.data)) <= 0.5e-3 + 4e-6
        else:
            assert np.array_equal(whole[name], values.data)
    there = np.isfinite(day.values["sst"].data)
    assert sum(tile.valid["sst"] for tile in tiles) == there.sum()
    assert sum(tile.valid["qc"] for tile in tiles) == (day.values["qc"].data != -1).sum()
    # a count that says nothing of what is missing is no value in every cell
    assert all(set(tile.valid) == {"sst", "sla", "qc"} for tile in tiles)


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_xarray_reads_what_we_read(tmp_path: Path, engine: str) -> None:
    tile = _write(tmp_path, _day(*_GRIDS["of the reanalysis"]))[5]
    with open_tile(tmp_path / tile.path) as ours:
        field, heights, bits = (ours.read(name) for name in ("sst", "sla", "qc"))
        latitude, when, title, fill = ours.latitude, ours.time, ours.attributes["title"], ours.missing("qc")
    with xr.open_dataset(tmp_path / tile.path, engine=engine) as theirs:
        np.testing.assert_allclose(theirs["sst"].values, field, rtol=0, atol=4e-6)
        assert np.array_equal(theirs["sla"].values, heights)
        assert np.array_equal(theirs["qc"].values, np.where(bits == fill, np.nan, bits), equal_nan=True)
        assert np.array_equal(theirs["lat"].values, latitude) and theirs["sst"].dims == ("lat", "lon")
        assert theirs["time"].values == np.datetime64(_DAY) == when and "time" in theirs.coords
        assert theirs["qc"].attrs["flag_meanings"] == "dubious land" and theirs["qc"].attrs["flag_masks"][1] == 1024
        assert "40" in theirs["sla"].attrs["packing_note"]
        assert theirs.attrs["title"] == f"Température: NORTH_ATLANTIC, {_DAY}" == title
        assert theirs.attrs["source_files"] == "one.nc, two.nc" and theirs.attrs["Conventions"] == "CF-1.11"


def test_the_same_input_gives_the_same_bytes_and_the_digest_is_of_them(tmp_path: Path) -> None:
    first, second = (_write(tmp_path / name, _day(*_GRIDS["of the reanalysis"])) for name in "ab")
    assert first == second
    data = (tmp_path / "a" / first[0].path).read_bytes()
    assert first[0].sha256 == hashlib.sha256(data).hexdigest() and first[0].bytes == len(data)


def test_the_extent_is_that_of_the_values(tmp_path: Path) -> None:
    day = _day(np.arange(-89.5, 90), np.arange(-179.5, 180))
    nothing = np.full((180, 360), np.nan, np.float32)
    nothing[100, 190:193] = 1.0  # 10.5 N, 10.5 .. 12.5 E
    day = GriddedDay(
        day.latitude, day.longitude, {"sst": Values(nothing, _SST), "qc": day.values["qc"]}, _START, _START
    )
    found = {tile.region: tile for tile in _write(tmp_path, day)}
    assert found["NORTH_INDIAN"].extent == (10.0, 10.0, 13.0, 11.0) and found["NORTH_INDIAN"].n_obs == 3
    assert found["SOUTH_INDIAN"].extent is None and found["SOUTH_INDIAN"].n_obs == 0
    assert found["SOUTH_INDIAN"].valid["qc"] > 0 and found["SOUTH_INDIAN"].spacing == (1.0, 1.0)


def test_a_window_is_that_part_of_the_whole(tmp_path: Path) -> None:
    tile = _write(tmp_path, _day(np.arange(-89.75, 90, 0.25), np.arange(-180, 180, 0.25)))[0]
    with open_tile(tmp_path / tile.path) as opened, (tmp_path / tile.path).open("rb") as stream:
        whole = opened.read("sst")
        with open_tile(stream) as again:
            assert np.array_equal(
                again.read("sst", slice(250, 260), slice(100, 300)), whole[250:260, 100:300], equal_nan=True
            )


def _binned(latitude: np.ndarray, longitude: np.ndarray, values: np.ndarray, name: str = "track.nc") -> list[Binned]:
    bins = DayBins(2.0)
    time = _START + np.arange(latitude.size).astype("m8[s]")
    sla = Values(values.astype(np.float32), {"units": "m", "long_name": "Anomaly"})
    bins.add(PointDay(latitude, longitude, time, {"sla": sla}, np.zeros(latitude.size, np.int16), (Track(name, "J"),)))
    return list(bins.finish())


def test_cells_without_points_cost_nothing_and_read_as_nothing(tmp_path: Path) -> None:
    latitude, longitude = np.array([10.0, 10.0, 80.0]), np.array([20.0, 20.0, 70.0])
    (binned,) = _binned(latitude, longitude, np.array([0.5, 0.7, np.nan]))
    grid = CellGrid(OCTANTS[6], 2.0)
    tile = write_cells(Root(str(tmp_path)), "cells.nc", grid, binned, _ABOUT)
    assert tile.bytes < 150_000 and tile.n_obs == 3 and tile.valid == {"sla": 2} and tile.n_tracks == 1
    for engine in ("netcdf4", "h5netcdf"):
        with xr.open_dataset(tmp_path / "cells.nc", engine=engine) as theirs:
            assert theirs["n_obs"].dtype == np.int32 and int(theirs["n_obs"].sum()) == 3
            assert theirs["primary_track"].dtype == np.int16  # no fill makes a float of it
            assert np.isfinite(theirs["sla"].values).sum() == 1
            assert float(theirs["sla"].sel(lat=10, lon=20, method="nearest")) == np.float32(0.6)
            assert float(theirs["sla_std"].max()) == pytest.approx(0.1)
            assert list(theirs["track_ids"].values) == ["track.nc"]
    with open_tile(tmp_path / "cells.nc") as ours:
        assert ours.kind == "cells" and ours.track_ids == ("track.nc",) and ours.track_platforms == ("J",)
        row, column = np.argwhere(ours.read("n_obs") == 2)[0]
        assert abs(ours.latitude[row] - 10.0) < 0.01 and abs(ours.longitude[column] - 20.0) < 0.02
        tracks = ours.read("primary_track")
        assert (tracks == 0).sum() == 2 and (tracks == -1).sum() == tracks.size - 2


def test_cells_are_where_the_points_are_in_every_chunk(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    latitude, longitude = random.uniform(-90, 0, 30_000), random.uniform(-180, -90, 30_000)
    (binned,) = _binned(latitude, longitude, random.normal(size=30_000))
    grid = binned.grid
    write_cells(Root(str(tmp_path)), "cells.nc", grid, binned, _ABOUT)
    expected = np.bincount(grid.cell(latitude, longitude), minlength=grid.shape[0] * grid.shape[1]).reshape(grid.shape)
    means = np.full(grid.shape, np.nan, np.float32)
    means.reshape(-1)[binned.cells] = binned.means["sla"]
    with open_tile(tmp_path / "cells.nc") as opened:
        assert np.array_equal(opened.read("n_obs"), expected)
        assert np.array_equal(opened.read("sla"), means, equal_nan=True)


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_points_keep_numbers_flags_texts_and_instants(tmp_path: Path, engine: str) -> None:
    longitude = np.array([10.0, 370.5, -20.0, 30.0])
    time = _START + np.array([0, 1_500_000, 0, np.iinfo(np.int64).min], "m8[us]")
    values = {
        "TEMP": Values(np.array([1.5, np.nan, 2.0, 3.0], np.float32), {"units": "degree_Celsius"}),
        "TEMP_QC": Values(np.array([1, 4, 1, 99], np.int8), {}, 99),
        "PLATFORM": Values(np.array([b"6901929", b"", b"x", "é".encode()])),
    }
    day = PointDay(np.array([5.0, 6.0, 7.0, 90.0]), longitude, time, values, np.empty(0, np.int16))
    inside = np.flatnonzero(octant_of(day.latitude, day.longitude) == 6)
    tile = write_points(Root(str(tmp_path)), "points.nc", OCTANTS[6], day, inside, _ABOUT)
    assert tile.n_obs == 3 and tile.valid == {"TEMP": 2, "TEMP_QC": 2, "PLATFORM": 2}
    assert tile.extent == (10.0, 5.0, 30.0, 90.0) and tile.end - tile.start == 1_500_000
    with open_tile(tmp_path / "points.nc") as ours:
        assert ours.kind == "points" and ours.names == ("TEMP", "TEMP_QC", "PLATFORM")
        assert ours.longitude.tolist() == [10.0, 10.5, 30.0] and ours.read("TEMP_QC").tolist() == [1, 4, 99]
        assert np.array_equal(ours.time, time[inside], equal_nan=True)
        assert ours.read("PLATFORM", slice(1, 3)).tolist() == ["", "é"]
    with xr.open_dataset(tmp_path / "points.nc", engine=engine) as theirs:
        assert list(theirs["PLATFORM"].values) == ["6901929", "", "é"] and "time" in theirs.coords
        assert np.array_equal(theirs["TEMP"].values, np.array([1.5, np.nan, 3.0], np.float32), equal_nan=True)


def test_files_of_points_are_compressed(tmp_path: Path) -> None:
    """Known fault: they were as large as their numbers."""
    size = 150_000
    values = {
        "TEMP": Values(np.repeat(np.arange(size // 100), 100).astype(np.float32) / 100),
        "QC": Values(np.ones(size, np.int8)),
        "PLATFORM": Values(np.repeat(np.array([b"6901929", b"6901930"]), size // 2)),
    }
    place = np.repeat(np.arange(size // 100) / 100, 100)
    day = PointDay(place, place, np.full(size, _START), values, np.empty(0, np.int16))
    tile = write_points(Root(str(tmp_path)), "points.nc", OCTANTS[6], day, np.arange(size), _ABOUT)
    with h5py.File(tmp_path / "points.nc") as file:
        written = [file[name] for name in ("lat", "lon", "time", *values)]
        assert all(item.compression == "gzip" and item.shuffle for item in written)
        assert [item.chunks[0] for item in written] == [65536] * 5 + [65536 // 7]
        held = sum(item.size * item.dtype.itemsize for item in written)
        assert sum(item.id.get_storage_size() for item in written) < held / 20
    assert held == size * (3 * 8 + 4 + 1 + 7) and tile.bytes < held / 10


def test_cells_of_two_tracks_are_marked_in_the_file_and_all_of_it_is_shuffled(tmp_path: Path) -> None:
    bins, time = DayBins(2.0), np.full(3, _START)
    for name, latitude in (("a.nc", [10.0, 20.0, 30.0]), ("b.nc", [20.0, 40.0, 50.0])):
        sla = Values(np.ones(3, np.float32), {"units": "m"})
        place = np.array(latitude)
        bins.add(PointDay(place, place, time, {"sla": sla}, np.zeros(3, np.int16), (Track(name, "J"),)))
    (binned,) = bins.finish()
    tile = write_cells(Root(str(tmp_path)), "cells.nc", CellGrid(OCTANTS[6], 2.0), binned, _ABOUT)
    with open_tile(tmp_path / tile.path) as opened:
        overlap, count = opened.read("is_overlap"), opened.read("n_tracks")
        row, column = np.nonzero(overlap == 1)
        # of the five places, the one that both have
        assert (
            row.size == 1 and abs(opened.latitude[row[0]] - 20) < 0.01 and abs(opened.longitude[column[0]] - 20) < 0.02
        )
        assert sorted(count[count > 0]) == [1, 1, 1, 1, 2] and (overlap[count == 1] == 0).all()
    with h5py.File(tmp_path / tile.path) as file:
        assert all(file[name].shuffle for name in ("sla", "n_obs", "is_overlap"))
    grid = _write(tmp_path, _day(np.arange(-89.75, 90, 0.25), np.arange(-180, 180, 0.25)))[0]
    with h5py.File(tmp_path / grid.path) as file:
        assert file["sst"].shuffle and file.attrs["Conventions"] == b"CF-1.11"


def test_points_without_a_measurement_are_outside_of_the_extent(tmp_path: Path) -> None:
    nan = np.nan
    place = np.array([1.0, 10.0, 20.0, 80.0])
    measured = np.array([[nan, 1.0, nan, nan], [nan, nan, 2.0, nan]], np.float32)
    values = {
        "TEMP": Values(measured[0]), "PSAL": Values(measured[1]), "QC": Values(np.ones(4, np.int8), {}, 99),
        "JULD": Values(np.full(4, _START)), "NAME": Values(np.array([b"x"] * 4)),
    }  # fmt: skip
    day = PointDay(place, place / 2, np.full(4, _START), values, np.empty(0, np.int16))
    root = Root(str(tmp_path))
    assert write_points(root, "a.nc", OCTANTS[6], day, np.arange(4), _ABOUT).extent == (5.0, 10.0, 10.0, 20.0)
    nothing = write_points(root, "b.nc", OCTANTS[6], day, np.array([0, 3]), _ABOUT)
    assert nothing.extent is None and nothing.n_obs == 2
    (cells,) = _binned(place, place / 2, measured[0])
    assert write_cells(root, "c.nc", cells.grid, cells, _ABOUT).extent == (5.0, 10.0, 5.0, 10.0)
    (cells,) = _binned(place[:1], place[:1], measured[0][:1])
    assert write_cells(root, "d.nc", cells.grid, cells, _ABOUT).extent is None


@pytest.mark.parametrize("content", [b"", b"CDF\x01", b"cut"])
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, content: bytes) -> None:
    whole = (tmp_path / _write(tmp_path, _day(*_GRIDS["of the reanalysis"]))[0].path).read_bytes()
    (tmp_path / "bad.nc").write_bytes(whole[: len(whole) // 2] if content == b"cut" else content)
    with pytest.raises(OutputError, match=r"bad\.nc is damaged .*format that day again"):
        open_tile(tmp_path / "bad.nc")
    with pytest.raises(OutputError, match=r"none\.nc does not exist"):
        open_tile(str(tmp_path / "none.nc"))


def test_a_flipped_byte_is_damage_and_not_a_value(tmp_path: Path) -> None:
    tile = _write(tmp_path, _day(*_GRIDS["of the reanalysis"]))[0]
    path = tmp_path / tile.path
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 64] = bytes(64)
    path.write_bytes(data)
    with open_tile(path) as opened, pytest.raises(OutputError, match="is damaged"):
        for name in opened.names:
            opened.read(name)


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tile = _write(tmp_path, _day(*_GRIDS["of the reanalysis"]))[0]
    before = (tmp_path / tile.path).read_bytes()

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fails)
    with pytest.raises(OutputError, match="disk is full"):
        _write(tmp_path, _day(*_GRIDS["of the reanalysis"], seed=1))
    assert (tmp_path / tile.path).read_bytes() == before
