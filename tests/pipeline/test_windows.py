"""Risk: a date gets the files of another one, or a window is cut at the edge of what was asked for."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import yaml
from distributed import Client

import oceanrecon
from oceanrecon.errors import ArchiveError, ConfigError, OutputError, PlanError
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.open import open_days
from oceanrecon.pipeline.plan import Plan, plan
from oceanrecon.pipeline.verify import verify
from oceanrecon.stores.mask import encode_land_mask, read_land_mask
from tests.archives import (
    DAILY,
    WEEKLY,
    copied,
    glorys,
    only,
    ostia,
    sealevel,
    settings,
    truncate,
    truth,
    write_archive,
)


def day(number: int) -> dt.date:
    return WEEKLY[0] + dt.timedelta(days=number)


def days_of(planned: Plan, variable: str) -> dict[dt.date, list[dt.date]]:
    return {
        block.date: [source.date for source in block.sources] for block in planned.blocks if block.variable == variable
    }


def test_windows_reach_outside_the_requested_range(archive: Path, tmp_path: Path) -> None:
    planned = plan(settings(archive, tmp_path / "export", targets={"start": "2012-02-29", "end": "2012-02-29"}))
    assert planned.targets == (dt.date(2012, 2, 29),)
    assert days_of(planned, "adt") == {WEEKLY[1]: [day(n) for n in range(4, 11)]}
    assert dt.date(2012, 2, 29) in DAILY


def test_days_that_the_archive_lacks_shrink_the_mean_and_are_recorded(exported: Path) -> None:
    manifest = yaml.safe_load((exported / "manifest.yaml").read_text())
    for product, variable in (("sealevel", "adt"), ("ostia", "analysed_sst"), ("sss", "dos")):
        used = {entry["date"]: len(entry["days_used"]) for entry in manifest["rasters"][product][variable]}
        assert used == {20120222: 7, 20120229: 7, 20120307: 6}
        assert [len(entry["source_files"]) for entry in manifest["rasters"][product][variable]] == [7, 7, 6]
    assert manifest["rasters"]["sealevel"]["adt"][2]["days_used"] == list(range(20120304, 20120310))
    # a day is worth 0.05 m: six days are centred half a day before the target
    opened = oceanrecon.open_export(str(exported))["adt"].sel(latitude=-40.5, longitude=-100.5)
    rise = np.diff(opened.values)
    assert rise == pytest.approx([0.35, 0.325], abs=4 / 254)


def test_days_behind_a_pixel_are_counted(exported: Path) -> None:
    days = open_days(str(exported))
    assert set(days.data_vars) == {"analysed_sst_days", "adt_days", "sos_days", "dos_days"}
    adt = days["adt_days"].values
    assert set(np.unique(adt[0])) == {0, 7} and set(np.unique(adt[2])) == {0, 6}
    missing = oceanrecon.open_export(str(exported))["adt"].isnull().values
    np.testing.assert_array_equal(adt == 0, missing)
    # a cell of this row is missing on one day only
    row = days["analysed_sst_days"].sel(latitude=10.5, method="nearest").values[0]
    assert set(np.unique(row)) <= {0, 6, 7}


def test_daily_targets_take_the_nearest_reanalysis_and_say_how_far_it_is(
    archive: Path, tmp_path: Path, client: Client
) -> None:
    output = tmp_path / "export"
    daily = {"start": "2012-02-22", "end": "2012-03-03", "every_days": 1}
    result = oceanrecon.export(
        settings(archive, output, targets=daily, variables=["thetao", "adt"]), client=client
    )  # fmt: skip
    assert result.complete
    rasters = yaml.safe_load((output / "manifest.yaml").read_text())["rasters"]
    far = {entry["date"]: entry["target_distance_days"] for entry in rasters["glorys"]["thetao"]}
    # 25 February is three days after the 22nd and four before the 29th
    assert list(far.values()) == [0, 1, 2, 3, 3, 2, 1, 0, 1, 2, 3]
    assert "R20120229" in rasters["glorys"]["thetao"][3]["source_file"]  # the revision of 22 February's
    assert "mean_20120229" in rasters["glorys"]["thetao"][4]["source_file"]
    opened = oceanrecon.open_export(str(output), source="geotiff")["thetao"]
    np.testing.assert_array_equal(opened.isel(time=0), opened.isel(time=3))
    assert list(opened["time"].values.astype("datetime64[D]").astype(dt.date)) == [day(n) for n in range(11)]


def test_a_reanalysis_too_far_away_is_a_failure(archive: Path, tmp_path: Path) -> None:
    daily = {"start": "2012-02-22", "end": "2012-02-29", "every_days": 1, "maximum_distance_days": 2}
    planned = plan(settings(archive, tmp_path / "export", targets=daily, variables=["so"]))
    assert [gap.date for gap in planned.missing] == [day(3), day(4)]
    assert "nearest glorys file is of 2012-02-22, more than 2 days" in planned.missing[0].message


def test_a_bad_nearest_file_is_not_passed_over_for_a_good_one_farther_away(archive: Path, tmp_path: Path) -> None:
    mine = copied(archive, tmp_path / "archive")
    truncate(next((mine / "glorys").glob(f"*_mean_{WEEKLY[1]:%Y%m%d}_*")))
    daily = {"dates": [f"{day(n)}" for n in (3, 4, 10, 11)], "maximum_distance_days": 7}
    planned = plan(settings(mine, tmp_path / "export", archive=only("glorys", archive=mine), targets=daily))
    assert days_of(planned, "so") == {day(3): [day(0)], day(11): [day(14)]}
    assert {gap.date for gap in planned.missing} == {day(4), day(10)}
    assert all("truncated" in gap.message for gap in planned.missing)


def test_ties_go_to_the_earlier_file(tmp_path: Path) -> None:
    root = write_archive(tmp_path / "archive", weekly=(day(0), day(2)), daily=())
    planned = plan(
        settings(root, tmp_path / "export", archive=only("glorys", archive=root), targets={"dates": [f"{day(1)}"]})
    )
    assert days_of(planned, "thetao") == {day(1): [day(0)]}


def test_the_later_revision_is_exported(archive: Path, tmp_path: Path, client: Client) -> None:
    mine = copied(archive, tmp_path / "archive")
    sealevel(mine, WEEKLY[1], revision="20200101", raised=0.7)
    sealevel(mine, WEEKLY[1], revision="20180101", raised=-5)
    glorys(mine, WEEKLY[1], revision=dt.date(2011, 1, 1))
    output = tmp_path / "export"
    one = {"archive": only("glorys", "sealevel", archive=mine), "targets": {"dates": [str(WEEKLY[1])]}}
    assert oceanrecon.export(settings(mine, output, **one), client=client).complete
    manifest = yaml.safe_load((output / "manifest.yaml").read_text())
    (entry,) = manifest["rasters"]["sealevel"]["adt"]
    assert f"sealevel/dt_global_allsat_phy_l4_{WEEKLY[1]:%Y%m%d}_20200101.nc" in entry["source_files"]
    assert len(entry["source_files"]) == len(entry["days_used"]) == 7
    assert manifest["sources"]["sealevel"][entry["source_files"][3]]["revision"] == 20200101
    assert "R20120307" in manifest["rasters"]["glorys"]["thetao"][0]["source_file"]
    before = float(truth("adt", WEEKLY[1], np.array([-37.5]), np.array([-102.5]))[0, 0])
    opened = oceanrecon.open_export(str(output))["adt"].isel(time=0).load()
    at = opened.sel(latitude=-37.5, longitude=-103.5).item()
    assert at - before == pytest.approx(0.1, abs=0.06)  # one day of seven is 0.7 m higher


def test_units_that_a_file_does_not_state_are_inferred_with_a_warning(
    archive: Path, exported: Path, tmp_path: Path, client: Client
) -> None:
    mine, output = copied(archive, tmp_path / "archive"), tmp_path / "export"
    glorys(mine, WEEKLY[1], units="")
    ostia(mine, WEEKLY[1], units=None)
    chosen = settings(mine, output, archive=only("glorys", "ostia", archive=mine))
    result = oceanrecon.export(chosen, client=client)
    assert result.complete
    assert sum("taken as degrees Celsius" in warning for warning in result.warnings) == 1
    assert sum("taken as kelvin" in warning for warning in result.warnings) == 1
    rasters = yaml.safe_load((output / "manifest.yaml").read_text())["rasters"]
    assert ["Celsius" in str(entry["warnings"]) for entry in rasters["glorys"]["thetao"]] == [False, True, False]
    for source in ("glorys", "ostia"):
        for path in (exported / "rasters" / source).rglob("*.tif"):
            with rasterio.open(path) as one, rasterio.open(output / path.relative_to(exported)) as other:
                np.testing.assert_array_equal(one.read(), other.read())


@pytest.mark.parametrize("layout", [{"cog": True}, {"interleave": "band"}, {"level": 9}])
def test_other_layouts_hold_the_same_codes(
    archive: Path, exported: Path, tmp_path: Path, client: Client, layout: dict[str, Any]
) -> None:
    output = tmp_path / "export"
    chosen = settings(archive, f"file://{output}", formats={"geotiff": layout}, variables=["so"])
    assert oceanrecon.export(chosen, client=client).written == 3
    assert verify(str(output)).good
    for path in output.rglob("so_*.tif"):
        with rasterio.open(path) as one, rasterio.open(exported / path.relative_to(output)) as other:
            np.testing.assert_array_equal(one.read(), other.read())
            assert one.profile["interleave"] == layout.get("interleave", "pixel")


def test_a_product_that_is_not_named_is_left_out_and_said_so(archive: Path, tmp_path: Path, client: Client) -> None:
    output = tmp_path / "export"
    oceanrecon.export(settings(archive, output, archive=only("glorys", "sss", archive=archive)), client=client)
    manifest = yaml.safe_load((output / "manifest.yaml").read_text())
    assert list(manifest["rasters"]) == ["glorys", "sss"]
    assert manifest["products"]["left_out"] == dict.fromkeys(["ostia", "sealevel"], "not in archive.products")
    assert set(manifest["stretch"]) == {"temperature_kelvin", "salinity", "density"}


def test_the_grid_and_the_mask_are_those_of_a_given_raster(archive: Path, tmp_path: Path, client: Client) -> None:
    grid = RasterGrid.from_bounds(4, (-60, -40, 60, 40))
    land = (np.indices((20, 30)).sum(axis=0) % 3 == 0).astype(np.uint8)
    given = tmp_path / "mine.tif"
    given.write_bytes(encode_land_mask(land, grid, {"source": "by hand"}))
    output = tmp_path / "export"
    oceanrecon.export(settings(archive, output, grid={"mask": str(given)}, variables=["adt"]), client=client)
    assert (output / "masks/land_mask.tif").read_bytes() == given.read_bytes()
    with rasterio.open(output / "rasters/sealevel/adt/adt_20120229.tif") as dataset:
        assert (dataset.width, dataset.height, tuple(dataset.bounds)) == (30, 20, (-60.0, -40.0, 60.0, 40.0))
        # the mask is stored and not applied
        assert (dataset.read(1)[land == 1] != 255).any()


def test_the_mask_is_made_of_the_reanalysis(exported: Path) -> None:
    mask = read_land_mask(str(exported / "masks/land_mask.tif"))
    surface = oceanrecon.open_export(str(exported))["thetao"].isel(time=0, depth=0)
    np.testing.assert_array_equal(mask == 1, surface.isnull())
    with rasterio.open(exported / "masks/land_mask.tif") as dataset:
        assert any("thetao" in text and "mean_20120222" in text for text in dataset.tags().values())


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"targets": {"start": "2020-01-01"}}, ArchiveError, "no target date lies between 2020-01-01 and None: they"),
        ({"targets": {"dates": ["2030-01-01"]}}, PlanError, "no block can be made"),
        ({"variables": ["temperature"]}, ConfigError, "'temperature' is in none of the products"),
        ({"cluster": {"memory_limit": "much", "dashboard": "127.0.0.1:0"}}, ConfigError, "write `2 GB`"),
        ({"cluster": {"memory_limit": "300 MB", "dashboard": "127.0.0.1:0"}}, PlanError, "cluster.memory_limit higher"),
    ],
)
def test_what_cannot_be_planned_is_refused_before_anything_is_written(
    archive: Path, tmp_path: Path, more: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        oceanrecon.export(settings(archive, tmp_path / "export", **more))
    assert not (tmp_path / "export").exists()


def test_an_archive_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="no folder"):
        plan(settings(tmp_path / "nowhere", tmp_path / "export"))
    (tmp_path / "empty").mkdir()
    with pytest.raises((ArchiveError, OutputError), match="no usable file of product 'glorys'"):
        plan(settings(tmp_path / "empty", tmp_path / "export"))


def test_products_without_a_reanalysis_need_dates(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"targets\.dates"):
        plan(settings(archive, tmp_path / "export", archive=only("sss", archive=archive)))
