"""Risks: a point is in no tile or in two; a bad file stops the rest; a second run doubles rows, or does all again."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
from distributed import Client

from oceanrecon.errors import OutputError, PlanError
from oceanrecon.grid.octants import octant
from oceanrecon.service.regions import format_regions
from oceanrecon.stores.tile_inventory import INVENTORY, read_inventory
from tests.pipeline.regions.raw import DAYS, positions, settings, write_raw

#: Columns of the published inventory.
PUBLISHED = [
    "relative_path", "timestamp_file", "timestamp_data", "data_source", "variable", "filename", "_istac_spatial_wkb",
    "_istac_time_start", "_istac_time_end", "sensor", "region", "bbox", "intersects", "resolution_deg_lat",
    "resolution_deg_lon", "resolution_km_lat", "resolution_km_lon", "n_profiles", "satellite_pass", "gridded",
    "n_tracks", "date_str",
]  # fmt: skip


def contents(folder: Path) -> dict[str, str]:
    """sha256 of all tiles and of the inventory."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".nc", ".parquet")
    }


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw(tmp_path_factory.mktemp("regions") / "raw")


@pytest.fixture(scope="module")
def made(raw: Path, client: Client) -> Path:
    output = raw.parent / "tiles"
    assert format_regions(settings(raw, output), client=client).complete
    return output


def test_the_real_day_of_jason_1_is_in_eight_tiles_as_a_whole(real_data: Path, tmp_path: Path, client: Client) -> None:
    folder = tmp_path / "raw" / "l3_ssh" / "any" / "depth"
    folder.mkdir(parents=True)
    source = real_data / "alongtrack" / "COAsT_example_altimetry_data.nc"
    shutil.copyfile(source, folder / "dt_global_j1_phy_l3_20070101_20190220.nc")
    result = format_regions(settings(tmp_path / "raw", tmp_path / "tiles", "l3_ssh"), client=client)
    counted = filtered = 0
    for path in (tmp_path / "tiles" / "l3_ssh").iterdir():
        with xr.open_dataset(path) as tile:
            counted += int(tile["n_obs"].sum())
            filtered += int(tile["sla_filtered_count"].sum())
    assert (counted, filtered) == (52_935, 52_923)
    assert result.files == 8 and result.sources["l3_ssh"].observations == 52_935


def test_every_point_is_in_one_tile_and_the_inventory_says_what_they_hold(raw: Path, made: Path) -> None:
    inventory = read_inventory(str(made))
    assert pq.read_schema(made / INVENTORY).names[: len(PUBLISHED)] == PUBLISHED
    tracks = inventory[inventory["data_source"] == "l3_ssh"]
    for day in DAYS:
        wanted = sum(positions(path) for path in (raw / "l3_ssh").glob(f"*_{day:%Y%m%d}_*.nc"))
        assert tracks.loc[tracks["date_str"] == f"{day:%Y%m%d}", "n_obs"].sum() == wanted
    with xr.open_dataset(raw / "argo" / "argo_20230401.nc") as points:
        floats = inventory[(inventory["data_source"] == "argo") & (inventory["date_str"] == "20230401")]
        assert floats["n_profiles"].sum() == points.sizes["N_POINTS"]
    for row in inventory.to_dict("records"):
        data = (made / row["relative_path"]).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (row["size"], row["sha256"])
        box, (west, south, east, north) = octant(row["region"]).box, row["bbox"]
        assert box[0] - 0.1 <= west <= east <= box[2] + 0.1 and box[1] - 0.1 <= south <= north <= box[3] + 0.1
    # WKB: byte order, type 3 (polygon), one ring of five points, then x and y of its first
    wkb = inventory["_istac_spatial_wkb"][0]
    assert wkb[:13] == bytes([1, 3, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0])
    assert np.frombuffer(wkb[13:29]).tolist() == [inventory["bbox"][0][0], inventory["bbox"][0][1]]


def test_later_days_are_added_and_what_is_there_is_kept(raw: Path, made: Path, tmp_path: Path, client: Client) -> None:
    output = tmp_path / "tiles"
    first = settings(raw, output, end=DAYS[1])
    assert format_regions(first, client=client).made == 4
    with pytest.raises(OutputError, match="--resume"):
        format_regions(first, client=client)
    result = format_regions(settings(raw, output), client=client, resume=True)
    assert (result.made, result.kept) == (2, 4)
    assert contents(output) == contents(made)
    # fewer days than there are: nothing is lost
    again = format_regions(settings(raw, output, "argo", start=DAYS[0], end=DAYS[0]), client=client, resume=True)
    assert (again.made, again.kept) == (0, 1) and contents(output) == contents(made)


def test_a_newer_revision_takes_the_place_of_the_older(raw: Path, tmp_path: Path, client: Client) -> None:
    own = tmp_path / "raw"
    shutil.copytree(raw / "l3_ssh", own / "l3_ssh")
    chosen = settings(own, tmp_path / "tiles", "l3_ssh", end=DAYS[0])
    format_regions(chosen, client=client)
    before = read_inventory(str(tmp_path / "tiles"))
    (old,) = (own / "l3_ssh").glob("*_j3n_*_20230401_*.nc")
    newer = old.with_name(old.name.rpartition("_")[0] + "_20991231.nc")
    shutil.copyfile(next((own / "l3_ssh").glob("*_j3n_*_20230402_*.nc")), newer)
    result = format_regions(chosen, client=client, resume=True)
    after = read_inventory(str(tmp_path / "tiles"))
    assert result.made == 1 and any(old.name in note for note in result.notes)
    assert len(after) == len(before) and set(after["relative_path"]) == set(before["relative_path"])
    assert all(newer.name in files and old.name not in files for files in after["source_files"])


def test_a_bad_file_is_a_failure_of_its_day_alone_and_is_mended_by_a_second_run(
    raw: Path, made: Path, tmp_path: Path, client: Client
) -> None:
    own = tmp_path / "raw"
    shutil.copytree(raw, own)
    bad = next((own / "l3_ssh").glob("*_s3a_*_20230402_*.nc"))
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    output = tmp_path / "tiles"
    result = format_regions(settings(own, output), client=client)
    (failure,) = result.failures
    assert (failure.kind, failure.name) == ("l3_ssh", "20230402") and bad.name in failure.message
    inventory = read_inventory(str(output))
    assert len(inventory) < len(read_inventory(str(made)))
    assert not ((inventory["data_source"] == "l3_ssh") & (inventory["date_str"] == "20230402")).any()
    bad.write_bytes(whole)
    result = format_regions(settings(own, output), client=client, resume=True)
    assert result.complete and result.made == 1
    # but for the times of files, which are part of no tile
    assert contents(output) == contents(made)


def test_names_that_are_none_are_reported_and_nothing_at_all_is_an_error(tmp_path: Path, client: Client) -> None:
    (tmp_path / "raw" / "l3_ssh").mkdir(parents=True)
    (tmp_path / "raw" / "l3_ssh" / "mine.nc").write_bytes(b"")
    with pytest.raises(PlanError, match=r"1 files have other names, such as l3_ssh/mine\.nc"):
        format_regions(settings(tmp_path / "raw", tmp_path / "tiles"), client=client)
    assert not (tmp_path / "tiles").exists()


def test_damaged_tiles_are_made_again(raw: Path, made: Path, tmp_path: Path, client: Client) -> None:
    output = tmp_path / "tiles"
    shutil.copytree(made, output)
    lost, *_ = (output / "argo").iterdir()
    lost.unlink()
    result = format_regions(settings(raw, output), client=client, resume=True)
    assert result.made == 1 and contents(output) == contents(made)


def test_days_are_dates_of_the_calendar() -> None:
    from oceanrecon.sources.daily.alongtrack import SOURCE

    assert SOURCE.match("dt_global_s3a_phy_l3_1hz_20230230_20230801.nc", 1, 0) is None
    found = SOURCE.match("dt_global_s3a_phy_l3_1hz_20240229_20240801.nc", 1, 0)
    assert found is not None and found.day == dt.date(2024, 2, 29)
