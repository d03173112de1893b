"""Risks: a point is in no tile or in two; a bad file stops the rest; a second run doubles rows, or does all again."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pyarrow.parquet as pq
import pytest
import xarray as xr
from distributed import Client

from oceanrecon.errors import LeaseError, OutputError, PlanError
from oceanrecon.grid.octants import octant
from oceanrecon.pipeline.regions.day import make_day
from oceanrecon.pipeline.regions.plan import plan_regions
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.service.regions import format_regions
from oceanrecon.stores.steps import StepFailure
from oceanrecon.stores.tile_inventory import INVENTORY, read_inventory
from oceanrecon.synthetic.daily.smos import smos_jobs
from tests.pipeline.regions.raw import DAYS, positions, settings, write_raw

ROOT = Path(__file__).parents[3]
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
    schema = pq.read_schema(made / INVENTORY)
    assert schema.names[: len(PUBLISHED)] == PUBLISHED
    names = ("timestamp_file", "bbox", "_istac_time_start", "intersects")
    assert [str(schema.field(name).type) for name in names] == [
        "timestamp[us]", "list<element: double>", "int64", "bool"
    ]  # fmt: skip
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

    # a revision that cannot be read takes nothing away
    kept = contents(tmp_path / "tiles")
    newer.with_name(newer.name.replace("20991231", "20991232")).write_bytes(newer.read_bytes()[:1000])
    again = format_regions(chosen, client=client, resume=True)
    assert len(again.failures) == 1 and contents(tmp_path / "tiles") == kept
    newer.with_name(newer.name.replace("20991231", "20991232")).unlink()
    assert format_regions(chosen, client=client, resume=True).kept == 1


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


def test_tiles_that_are_gone_are_made_again(raw: Path, made: Path, tmp_path: Path, client: Client) -> None:
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


def points(path: Path, *places: tuple[float, float]) -> None:
    """A file along a track with points at some places (latitude, longitude)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("time", len(places))
        for name, units, values in (
            ("time", "days since 1950-01-01", [26753.5] * len(places)),
            ("latitude", "degrees_north", [y for y, _ in places]),
            ("longitude", "degrees_east", [x for _, x in places]), ("sla_filtered", "m", [0.1] * len(places)),
        ):  # fmt: skip
            variable = file.createVariable(name, "f8", ("time",))
            variable.units = units
            variable[:] = values


def test_a_region_that_has_no_points_any_more_has_no_tile(tmp_path: Path, client: Client) -> None:
    chosen = settings(tmp_path / "raw", tmp_path / "tiles", "l3_ssh")
    points(tmp_path / "raw" / "l3_ssh" / "dt_global_s3a_phy_l3_1hz_20230401_20230801.nc", (10, 10), (-10, -10))
    format_regions(chosen, client=client)
    points(tmp_path / "raw" / "l3_ssh" / "dt_global_s3a_phy_l3_1hz_20230401_20230901.nc", (10, 10))
    # killed when its receipt was gone: a second run still knows what has to go
    (tmp_path / "tiles" / "receipts" / "l3_ssh" / "20230401.json").unlink()
    assert format_regions(chosen, client=client, resume=True).files == 1
    assert [path.name for path in (tmp_path / "tiles" / "l3_ssh").iterdir()] == ["l3_ssh_NORTH_INDIAN_20230401.nc"]


def test_columns_of_the_inventory_by_hand(tmp_path: Path, client: Client) -> None:
    raw = tmp_path / "raw"
    for code in ("s3a", "j3n"):
        points(raw / "l3_ssh" / f"dt_global_{code}_phy_l3_1hz_20230401_20230801.nc", (10, 20), (11, 21))
    for job in smos_jobs(1, DAYS[0], 0.2):
        path = raw / job.path
        path.parent.mkdir(exist_ok=True)
        job.write(str(path))
    chosen = settings(raw, tmp_path / "tiles", "l3_ssh", "l3_sss_smos_asc", "l3_sss_smos_desc")
    assert format_regions(chosen, client=client).files == 1 + 2 * 8
    # both kinds of passes are replaced, not added, by a newer version
    for path in list((raw / "l3_sss_smos").iterdir()):
        newer = path.with_name(path.name.replace("_7.nc", "_10.nc"))
        assert newer != path
        shutil.copyfile(path, newer)
    second = format_regions(chosen, client=client, resume=True)
    assert (second.files, second.made, second.kept) == (1 + 2 * 8, 2, 1)
    rows = read_inventory(str(tmp_path / "tiles")).set_index("filename").to_dict("index")
    row = rows["l3_ssh_NORTH_INDIAN_20230401.nc"]
    assert "_10" in rows["l3_sss_smos_asc_NORTH_INDIAN_20230401.nc"]["source_version"]
    known = {
        "variable": "ssh", "sensor": "altimeter", "gridded": True, "n_tracks": 2, "n_obs": 4, "valid": 4,
        "source_version": "dt 20230801", "date_str": "20230401", "intersects": True,
        # noon of 1 April 2023, which is 26753.5 days after 1950 began
        "_istac_time_start": 1680350400 * 10**6, "_istac_time_end": 1680350400 * 10**6,
    }  # fmt: skip
    assert {name: row[name] for name in known} == known
    # 90 degrees in 1014 cells; 7 km at 45 degrees
    assert row["resolution_deg_lon"] == pytest.approx(90 / 1014) and row["resolution_km_lon"] == pytest.approx(
        7, abs=0.05
    )
    west, south, east, north = row["bbox"]
    ring = np.frombuffer(row["_istac_spatial_wkb"][13:]).reshape(5, 2).tolist()
    assert ring == [[west, south], [east, south], [east, north], [west, north], [west, south]]
    assert rows["l3_sss_smos_asc_NORTH_INDIAN_20230401.nc"]["satellite_pass"] == "ascending"
    assert rows["l3_sss_smos_desc_SOUTH_INDIAN_20230401.nc"]["satellite_pass"] == "descending"


def test_what_is_lost_of_other_days_is_said_and_is_not_in_the_inventory(
    raw: Path, made: Path, tmp_path: Path, client: Client
) -> None:
    output = tmp_path / "tiles"
    shutil.copytree(made, output)
    before = len(read_inventory(str(output)))
    (output / "receipts" / "argo" / "20230401.json").write_text("{")
    next((output / "l3_ssh").glob("*20230402.nc")).unlink()
    result = format_regions(settings(raw, output, "argo", start=DAYS[2]), client=client, resume=True)
    assert result.made == 0 and len(result.notes) == 2
    assert "20230401.json is damaged" in result.notes[1] and "l3_ssh of 20230402" in result.notes[0]
    after = read_inventory(str(output))
    assert len(after) < before and all((output / path).exists() for path in after["relative_path"])


def test_two_runs_do_not_write_to_one_output_and_a_stopped_one_leaves_an_inventory(
    raw: Path, tmp_path: Path, client: Client
) -> None:
    output = tmp_path / "tiles"
    seen: list[str] = []

    def stop(progress: Progress) -> None:
        with pytest.raises(LeaseError, match="being written by a run of `oceanrecon regions format`"):
            format_regions(settings(raw, output), client=client, resume=True)
        seen.append(progress.message)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        format_regions(settings(raw, output, "argo"), client=client, on_progress=stop)
    assert len(seen) == 1
    there = read_inventory(str(output))
    assert set(there["data_source"]) == {"argo"} and 1 <= there["date_str"].nunique() <= 3


def test_a_file_that_changes_after_it_was_listed_is_a_failure_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "raw" / "l3_ssh" / "dt_global_s3a_phy_l3_1hz_20230401_20230801.nc"
    points(path, (10, 10))
    (task,) = plan_regions(settings(tmp_path / "raw", tmp_path / "tiles", "l3_ssh")).tasks
    points(path, (10, 10), (11, 11))
    failure = make_day(task, str(tmp_path / "tiles"))
    assert isinstance(failure, StepFailure) and path.name in failure.message and "changed" in failure.message


def test_bytes_do_not_depend_on_what_was_in_memory(raw: Path, made: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.pipeline.regions.raw import settings;"
        "from oceanrecon.pipeline.regions.plan import plan_regions;"
        "from oceanrecon.pipeline.regions.day import make_day;"
        "raw, out = map(Path, sys.argv[1:]);"
        "print(*sorted(f.sha256 for task in plan_regions(settings(raw, out, 'argo')).tasks"
        " for f in make_day(task, str(out)).files))"
    )
    wanted = sorted(sha256 for path, sha256 in contents(made).items() if path.startswith("argo/"))
    for fill in ("1", "200"):  # what glibc puts into memory that it hands out
        command = [sys.executable, "-c", program, str(raw), str(tmp_path / fill)]
        environment = {**os.environ, "MALLOC_PERTURB_": fill}
        ran = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True)
        assert ran.stdout.split() == wanted
