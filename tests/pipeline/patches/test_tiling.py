"""What is a patch: land and flags are counted right, thresholds and regions keep what they say, and every run alike."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from oceanrecon.config import dump_settings
from oceanrecon.errors import ConfigError
from oceanrecon.grid import Axis, PatchGrid, RasterGrid
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.patches.flags import flagged_mask, invalid_fraction
from oceanrecon.pipeline.patches.spatial import write_grid
from oceanrecon.pipeline.patches.tiling import Tiling, make_tiling
from oceanrecon.sources.flags import FlaggedCells
from oceanrecon.stores.mask import encode_land_mask
from oceanrecon.synthetic.coast import coast
from tests.conftest import Ran

GRID = RasterGrid.from_bounds(1.0, (-180, -80, 180, 80))


def masked(folder: Path, land: NDArray[np.uint8], grid: RasterGrid = GRID, **groups: Any) -> PatchesSettings:
    """Settings of patches on a mask."""
    path = folder / "mask.tif"
    path.write_bytes(encode_land_mask(land, grid, {}))
    tiling = {"mask": str(path), **groups.pop("tiling", {})}
    data = {"archive": {"root": str(folder), "products": {"ostia": None}}, "output": str(folder / "out")}
    return PatchesSettings.model_validate({**data, "tiling": tiling, **groups})


def tiled(folder: Path, land: NDArray[np.uint8], grid: RasterGrid = GRID, **groups: Any) -> Tiling:
    return make_tiling(masked(folder, land, grid, **groups))


def half_land() -> NDArray[np.uint8]:
    """Everything east of 0 is land."""
    land = np.zeros((160, 360), np.uint8)
    land[:, 180:] = 1
    return land


def test_thresholds_and_regions_with_their_own_caps(tmp_path: Path) -> None:
    tiling = {"tile": 40, "stride": 20, "edges": "regular"}
    open_sea = tiled(tmp_path, half_land(), tiling=tiling)
    # columns of tiles start at -180, -160, ...: the last without land at -40, that at -20 is half land
    assert sorted(set(open_sea.table["lon0"])) == list(range(-180, -39, 20))
    assert len(open_sea.table) == 8 * 7
    assert len(open_sea.left_out) == 7 * 17 - 56
    # the threshold itself is kept
    half = tiled(tmp_path, half_land(), tiling={**tiling, "max_land_fraction": 0.5})
    assert sorted(set(half.table["lon0"])) == list(range(-180, -19, 20))
    # centres of the half-land column are at 0 E: rows at 60, 40, 20, ...
    region = {"name": "mine", "box": (-10, 15, 10, 45), "max_land_fraction": 0.5}
    forced = tiled(tmp_path, half_land(), tiling={**tiling, "force": [region]})
    added = forced.table[forced.table["force_included"] == 1]
    assert (added["lat_center"].tolist(), added["lon_center"].unique().tolist()) == ([40.0, 20.0], [0.0])
    assert set(added["force_include_region"]) == {"mine"}
    assert len(forced.table) == 56 + 2
    # 40 N, 0 E is in the Mediterranean's box, whose cap is 0.6; with a lower one nothing is kept
    assert len(tiled(tmp_path, half_land(), tiling={**tiling, "force": [{"name": "mediterranean"}]}).table) == 56 + 1
    low = {"name": "mediterranean", "max_land_fraction": 0.4}
    assert len(tiled(tmp_path, half_land(), tiling={**tiling, "force": [low]}).table) == 56


def test_of_two_regions_the_first_is_named(tmp_path: Path) -> None:
    tiling = {"tile": 40, "stride": 20, "edges": "regular"}
    both = [
        {"name": name, "box": box, "max_land_fraction": 0.5}
        for name, box in (("north", (-10, 15, 10, 45)), ("far", (-10, -5, 10, 25)))
    ]
    found = tiled(tmp_path, half_land(), tiling={**tiling, "force": both}).table
    named = found[found["force_included"] == 1].set_index("lat_center")["force_include_region"]
    assert named.to_dict() == {40.0: "north", 20.0: "north", 0.0: "far"}


def test_a_threshold_that_is_read_from_the_table_keeps_what_it_is_read_from(tmp_path: Path) -> None:
    land = np.zeros((160, 360), np.uint8)
    land[0, 0] = 1  # a ninth of a tile, which has no end in decimals
    tiling = {"tile": 3, "edges": "regular"}
    share = tiled(tmp_path, land, tiling=tiling).table["land_fraction"].max()
    assert share == 0.1111111111
    kept = tiled(tmp_path, land, tiling={**tiling, "max_land_fraction": share})
    assert len(kept.left_out) == 0 and kept.table["land_fraction"].iloc[0] == share


def test_flags_of_a_file_are_a_second_threshold(tmp_path: Path) -> None:
    flagged = np.zeros((160, 360), np.int8)
    flagged[-40:, :20] = 2  # the file runs from the south: half of the first tile, which has no land
    flagged[-40:, 320:360] = 8  # ice is no land
    file = tmp_path / "ostia.nc"
    with netCDF4.Dataset(file, "w") as dataset:
        for name, first, size in (("lat", -79.5, 160), ("lon", -179.5, 360)):
            dataset.createDimension(name, size)
            dataset.createVariable(name, "f4", (name,))[:] = first + np.arange(size)
        dataset.createDimension("time", 1)
        dataset.createVariable("time", "i4", ("time",)).units = "seconds since 1981-01-01"
        dataset["time"][:] = 0
        dataset.createVariable("analysed_sst", "i2", ("time", "lat", "lon"), fill_value=-32768).units = "kelvin"
        mask = dataset.createVariable("mask", "i1", ("time", "lat", "lon"), fill_value=-128)
        mask.setncatts({"flag_masks": np.array([1, 2, 4, 8], np.int8), "flag_meanings": "water land lake ice"})
        mask[0] = np.where(flagged == 0, 1, flagged)
    settings: dict[str, Any] = {"tile": 40, "invalid": {"file": str(file)}}
    found = tiled(tmp_path, np.zeros((160, 360), np.uint8), tiling=settings)
    assert found.left_out["patch_id"].tolist() == [0] and len(found.table) == 35
    assert found.left_out.iloc[0][["land_fraction", "invalid_fraction"]].tolist() == [0.0, 0.5]
    assert (found.table["invalid_fraction"] == 0).all()
    settings["invalid"]["max_fraction"] = 0.5
    assert len(tiled(tmp_path, np.zeros((160, 360), np.uint8), tiling=settings).table) == 36
    with_ice = {**settings, "invalid": {"file": str(file), "flags": ["ice"]}}
    assert tiled(tmp_path, np.zeros((160, 360), np.uint8), tiling=with_ice).left_out["grid_x0"].tolist() == [320]


def test_a_row_of_the_table_by_hand(tmp_path: Path) -> None:
    land = np.zeros((160, 360), np.uint8)
    land[80:90, 340:350] = 1
    table = tiled(tmp_path, land, tiling={"tile": 40, "periodic": True, "edges": "regular"}).table
    row = table[table["patch_id"] == 80 * 360 + 320].iloc[0].to_dict()
    assert row == {
        "patch_id": 29120, "grid_y0": 80, "grid_x0": 320, "lat_center": -20.0, "lon_center": 160.0,
        "lat0": -40.0, "lat1": 0.0, "lon0": 140.0, "lon1": 180.0, "land_fraction": 0.0625, "ocean_fraction": 0.9375,
        "invalid_fraction": 0.0625, "invalid_percentage": 6.25, "force_included": 0, "force_include_region": "",
        "block": 2 * 9 + 8, "wkt": "POLYGON ((140 -40, 180 -40, 180 0, 140 0, 140 -40))",
    }  # fmt: skip


def test_lengths_in_degrees_are_whole_pixels(tmp_path: Path) -> None:
    grid = RasterGrid.from_bounds(0.25, (-20, -20, 20, 20))
    land = np.zeros((160, 160), np.uint8)
    found = tiled(tmp_path, land, grid, tiling={"tile_degrees": 8, "stride_degrees": 2.5}).patches
    assert (found.tile, found.stride) == (32, 10)
    with pytest.raises(ConfigError, match=r"tile_degrees 12.8 is 51.2 pixels.*12.75 \(51 pixels\) or 13 \(52 pixels\)"):
        tiled(tmp_path, land, grid, tiling={"tile_degrees": 12.8})
    with pytest.raises(ConfigError, match="does not fit into a grid of 160 x 160"):
        tiled(tmp_path, land, grid, tiling={"tile": 200})
    with pytest.raises(ConfigError, match=r"none of 1 tiles is within the thresholds: the least land in one is 100.0%"):
        tiled(tmp_path, land + np.uint8(1), grid)


def test_one_grid_only(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"`tiling.resolution` is for patches without an `export`"):
        PatchesSettings.model_validate({"export": "x", "output": "y", "tiling": {"resolution": 1}})


@pytest.mark.parametrize(("first", "step"), [(-179.75, 0.5), (0.25, 0.5), (-0.1, 0.2)])
@pytest.mark.parametrize("south_up", [True, False])
def test_invalid_share_is_the_count_of_the_files_cells(first: float, step: float, south_up: bool) -> None:
    """Whatever way the file runs and wherever it begins; edges of patches are edges of its cells."""
    columns, rows = round(360 / step), round(160 / step)
    latitude = Axis(-80 + step / 2, step, rows) if south_up else Axis(80 - step / 2, -step, rows)
    # a file that begins half a cell west of Greenwich has its cells' edges on whole degrees, too
    longitude = Axis(first, step, columns, 360.0)
    flagged = np.random.default_rng(1).random((rows, columns)) < 0.3
    patches = PatchGrid(GRID, 40, 25, periodic=True)
    found = invalid_fraction(FlaggedCells(latitude, longitude, flagged), patches)
    south, north, _, _ = patches.bounds()
    west = -180.0 + patches.corners[1]
    for number in range(0, found.size, 7):
        inside_rows = (latitude.values > south[number]) & (latitude.values < north[number])
        east_of_west = np.mod(longitude.values - west[number], 360.0)
        inside = flagged[inside_rows][:, east_of_west < 40.0]
        assert inside.size == pytest.approx((40 / step) ** 2)
        assert found[number] == pytest.approx(inside.mean(), abs=1e-12)


def test_what_a_regional_file_does_not_cover_is_invalid() -> None:
    flagged = np.zeros((40, 80), bool)
    flagged[:20] = True  # the southern half
    cells = FlaggedCells(Axis(0.25, 0.5, 40), Axis(0.25, 0.5, 80), flagged)  # 0..20 N, 0..40 E
    patches = PatchGrid(GRID, 40, 20, "regular")
    found = invalid_fraction(cells, patches).reshape(patches.shape)
    assert found.shape == (7, 17)
    # 0..40 N, 0..40 E has 20 x 40 of its 40 x 40 degrees in the file, and half of them are flagged
    assert found[2, 9] == pytest.approx(1 - 10 * 40 / 1600)
    assert found[3, 8] == pytest.approx(1 - 10 * 20 / 1600)
    assert found[0, 0] == 1.0
    mask = flagged_mask(cells, GRID)
    assert mask[60:80, 180:220].tolist() == [[0] * 40] * 10 + [[1] * 40] * 10
    assert mask.sum() == mask.size - 400


def test_the_tables_are_the_same_every_time(tmp_path: Path) -> None:
    settings = masked(
        tmp_path, half_land(), tiling={"tile": 20, "stride": 10}, rows={"keep_invalid": True}, split={"seed": 3}
    )
    first = write_grid(settings)
    csv = pd.read_csv(tmp_path / "out" / "patches.csv", keep_default_na=False)
    parquet = pd.read_parquet(tmp_path / "out" / "patches.parquet")
    pd.testing.assert_frame_equal(csv, parquet, check_dtype=False, check_exact=True)
    assert first.patches < len(csv) == first.tiles
    assert csv["patch_id"].is_monotonic_increasing
    assert set(csv["phase"]) == {"train", "val", "test", "guard", "invalid"}
    assert write_grid(settings, overwrite=True).files == first.files


def test_counts_at_a_tenth_of_a_degree(tmp_path: Path) -> None:
    """Of the coarser coast of the synthetic archive; docs/patches.md has those of the 1 km coastline (3,507, 3,538)."""
    grid = RasterGrid.from_bounds(0.1, (-180, -90, 180, 90))
    land = coast().land[::-1].astype(np.uint8)
    last = {"stride": 32, "edges": "last"}
    forced = {**last, "force": [{"name": "mediterranean"}]}
    counts = [len(tiled(tmp_path, land, grid, tiling=tiling).table) for tiling in (last, forced)]
    assert counts == [3507, 3537]
    apart = tiled(tmp_path, land, grid, tiling={"edges": "regular", "max_land_fraction": 0.2})
    assert (len(apart.table), len(apart.left_out)) == (213, 179)


def test_the_command_says_what_it_wrote(tmp_path: Path, command: Callable[..., Ran]) -> None:
    settings = masked(tmp_path, half_land(), tiling={"tile": 20, "stride": 10})
    config = tmp_path / "patches.yaml"
    config.write_text(dump_settings(settings))
    code, out, _ = command("patches", "grid", config)
    assert code == 0
    assert "525 (15 rows of 35)" in out and "255, of which 0 by forced regions" in out
    code, _, err = command("patches", "grid", config, "--set", "tiling.stride=20", "--resume")
    assert code == 1 and "was made with other settings (tiling.stride: 10 there, 20 here)" in err
    code, out, _ = command("patches", "grid", config, "--overwrite", "--json")
    assert code == 0 and json.loads(out)["shape"] == [15, 35]
