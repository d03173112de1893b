"""Risk: a profile lands in the wrong week, pixel or code, twice or not at all; or an export forgets its profiles."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import xarray as xr
import yaml
from distributed import Client
from numpy.typing import NDArray

import oceanrecon
from oceanrecon.errors import ConfigError, OutputError, PlanError
from oceanrecon.pipeline.profiles.grid import GridResult
from oceanrecon.pipeline.profiles.gridded import GRIDDED
from oceanrecon.pipeline.profiles.group import assign_targets
from oceanrecon.pipeline.profiles.schema import ENRICHED
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.pipeline.verify import verify
from tests.archives import DEPTH, WEEKLY, copied, files_of, litter
from tests.archives import settings as export_settings
from tests.pipeline.profiles.tiny import config_of, days, enrich, grid, settings, shards_of, write_month

Command = Callable[..., tuple[int, str, str]]
STORE = f"argo/{GRIDDED}"
EPOCH = dt.date(1950, 1, 1)
#: minimum and maximum of temperature (K) and salinity, and the last code
STRETCH = {"uint8": ((270.15, 308.15), (30.0, 40.0), 254), "uint16": ((268.15, 313.15), (0.0, 45.0), 65534)}
#: A grid over the dateline whose targets are four days apart: profiles have two nearest ones, and some have none.
REGION: dict[str, Any] = {
    "grid": {"resolution": 5, "bounds": [120, -60, 240, 60]}, "encoding": "uint16", "window_days": 3,
    "targets": {"dates": ["2012-02-20", "2012-02-22", "2012-02-26", "2012-03-06"]}, "variables": ["thetao"],
    "formats": {"geotiff": {}},
}  # fmt: skip


@pytest.fixture(scope="module")
def crowded(crowd: Path, client: Client) -> Path:
    output = crowd.parent / "enriched"
    assert enrich(settings(crowd, output), client).complete
    return output


@dataclass(frozen=True)
class Made:
    export: Path
    result: GridResult
    gridded: xr.Dataset
    encoding: str
    temperature: str
    window: int


@pytest.fixture(scope="module", params=["globe", "region"])
def made(
    request: pytest.FixtureRequest, crowd: Path, crowded: Path, exported: Path, archive: Path, client: Client
) -> Made:
    export = crowd.parent / request.param
    if request.param == "globe":
        copied(exported, export)
    else:
        assert oceanrecon.export(export_settings(archive, export, **REGION), client=client).complete
    temperature = "potential" if request.param == "globe" else "in-situ"
    chosen = settings(crowd, crowded, grid={"export": str(export), "temperature": temperature})
    result = grid(chosen, client)
    assert result.complete
    gridded = xr.open_zarr(export / STORE, mask_and_scale=False, chunks=None).load()
    encoding, window = ("uint8", 7) if request.param == "globe" else ("uint16", 3)
    return Made(export, result, gridded, encoding, temperature, window)


def wanted_rows(made: Made, store: xr.Dataset) -> tuple[list[tuple[int, int, int, int]], dict[str, int]]:
    """(target, row, column, enriched row) of every profile that belongs in, in order; and how many do not."""
    manifest = yaml.safe_load((made.export / "manifest.yaml").read_text())
    west, step, _, north, _, _ = manifest["grid"]["transform_gdal"]
    targets = manifest["target_dates"]
    kept, left = [], {"outside_windows": 0, "outside_grid": 0, "no_value": 0}
    temp = f"argo_{'potm' if made.temperature == 'potential' else 'temp'}_on_glorys_depth"
    for number in range(store.sizes["profile"]):
        row = store.isel(profile=number)
        distance = [(abs(days(target) - days(int(row["profile_date"]))), target) for target in targets]
        away, target = min(distance)
        column = int(np.floor(((float(row["longitude"]) - west) % 360) / step + 1e-9))
        line = int(np.floor((north - float(row["latitude"])) / step + 1e-9))
        if float(row["latitude"]) == -90.0 and line == manifest["grid"]["height"]:
            line -= 1  # the southern edge belongs to the last row
        if away > (made.window - 1) / 2:
            left["outside_windows"] += 1
        elif not (0 <= column < manifest["grid"]["width"] and 0 <= line < manifest["grid"]["height"]):
            left["outside_grid"] += 1
        elif not (np.isfinite(row[temp]).any() or np.isfinite(row["argo_psal_on_glorys_depth"]).any()):
            left["no_value"] += 1
        else:
            kept.append((target, line, column, number))
    return sorted(kept), left


def test_every_profile_is_in_its_week_and_pixel_or_counted(made: Made, crowded: Path) -> None:
    store = xr.open_zarr(crowded / ENRICHED, chunks=None).load()
    kept, left = wanted_rows(made, store)
    found = made.gridded
    names = ("target_date", "grid_row", "grid_col", "enriched_profile")
    assert list(zip(*(found[name].values.tolist() for name in names), strict=True)) == kept
    assert made.result.left_out == left and left["no_value"] > 0 and left["outside_windows"] > 0
    assert (left["outside_grid"] > 0) == (made.window == 3)
    assert made.result.profiles == len(kept) == found.sizes["profile"]
    at = found["enriched_profile"].values
    for name, source in (("profile_date",) * 2, ("platform_number",) * 2, ("profile_source_file",) * 2,
                         ("source_profile_idx", "profile_idx")):  # fmt: skip
        assert found[name].values.tolist() == store[source].values[at].tolist()
    for name in ("latitude", "longitude"):
        np.testing.assert_array_equal(found[name], store[name].values[at].astype(np.float32))
    assert found["profile"].values.tolist() == list(range(len(kept)))


def test_codes_and_flags_are_those_of_the_values(made: Made, crowded: Path) -> None:
    store = xr.open_zarr(crowded / ENRICHED, chunks=None).load()
    at = made.gridded["enriched_profile"].values
    potential = made.temperature == "potential"
    *stretches, last = STRETCH[made.encoding]
    temperature = "potm" if potential else "temp"
    for name, source, (low, high), add in (
        (f"argo_temp_kelvin_{made.encoding}", temperature, stretches[0], 273.15),
        (f"argo_psal_{made.encoding}", "psal", stretches[1], 0.0),
    ):  # fmt: skip
        values = store[f"argo_{source}_on_glorys_depth"].values[at].astype(np.float64) + add
        scaled = np.clip((values - low) / (high - low), 0, 1) * last
        codes = np.where(np.isnan(values), last + 1, np.rint(np.nan_to_num(scaled)))
        found = made.gridded[name].values
        assert found.dtype == made.encoding
        assert np.abs(found.astype(np.int64) - codes).max() <= 1 and np.mean(found != codes) < 0.002
        np.testing.assert_array_equal(found == last + 1, np.isnan(values))
        short = "temp" if add else "psal"
        np.testing.assert_array_equal(made.gridded[f"argo_{short}_valid"], np.isfinite(values))
        flags = store[f"argo_{source}_qc_on_glorys_depth"].values[at]
        np.testing.assert_array_equal(made.gridded[f"argo_{short}_qc_on_glorys_depth"], flags)
        of_depth = store["argo_depth_qc_on_glorys_depth"].values[at]
        profile = [store[f"argo_{what}_qc"].values[at] for what in
                   ("juld", "position", "profile_depth", f"profile_{'potm' if add else 'psal'}")]  # fmt: skip
        worst = [
            max([flag for flag in (*each, *own, *depth) if not chr(max(flag, 0)).isalpha() or flag == 99])
            for *each, own, depth in zip(*profile, flags, of_depth, strict=True)
        ]
        assert made.gridded[f"argo_{short}_profile_qc"].values.tolist() == worst
        assert {1, 2} <= set(worst) and (99 in worst) == (short == "temp")  # a character that is no flag
        # plain xarray decodes it
        decoded = xr.open_zarr(made.export / STORE, chunks=None)[name].values
        np.testing.assert_allclose(decoded, np.clip(values, low, high), atol=(high - low) / last / 2 + 1e-5)
    # letters are grades, no flags
    floats = made.gridded["platform_number"].values == "5900001"
    assert set(made.gridded["argo_temp_profile_qc"].values[floats].tolist()) <= {1}


def test_the_index_says_where_each_target_is(made: Made) -> None:
    manifest = yaml.safe_load((made.export / "manifest.yaml").read_text())
    found = made.gridded
    assert found["target"].values.tolist() == manifest["target_dates"]
    for target, start, count in zip(
        *(found[name].values for name in ("target", "target_start", "target_count")), strict=True
    ):
        rows = np.flatnonzero(found["target_date"].values == target)
        assert count == rows.size and (not count or (rows[0], rows[-1]) == (start, start + count - 1))
    assert int(found["target_count"].sum()) == found.sizes["profile"]


@pytest.mark.parametrize(
    ("targets", "window", "day", "wanted"),
    [
        ("20120222 20120229", 7, "20120225", 0), ("20120222 20120229", 7, "20120226", 1),
        ("20120222 20120226", 7, "20120224", 0), ("20120222 20120226", 3, "20120224", -1),
        ("20120229", 3, "20120301", 0), ("20120229", 3, "20120302", -1), ("20120229", 1, "20120229", 0),
        ("20120222 20120223", 255, "20111018", 0), ("20120228", 3, "20120301", -1), ("20110228", 3, "20110301", 0),
    ],
)  # fmt: skip
def test_a_day_goes_to_the_nearest_target_the_earlier_of_two(targets: str, window: int, day: str, wanted: int) -> None:
    dates = [EPOCH + dt.timedelta(days=days(int(target))) for target in targets.split()]
    assert assign_targets(np.array([days(int(day))]), dates, window).tolist() == [wanted]


# -- rasterised


def brute(
    gridded: xr.Dataset, name: str, low: float, step: float, nodata: int, target: int, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    total, count = np.zeros((len(DEPTH), *shape)), np.zeros((len(DEPTH), *shape), np.int64)
    for number in np.flatnonzero(gridded["target_date"].values == target):
        row, column = int(gridded["grid_row"][number]), int(gridded["grid_col"][number])
        for level, code in enumerate(gridded[name].values[number].tolist()):
            if code != nodata:
                total[level, row, column] += low + code * step
                count[level, row, column] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), count


def test_observations_are_means_over_pixels(made: Made) -> None:
    observed = oceanrecon.open_observations(str(made.export))
    assert observed.chunksizes["time"] == (1,) * observed.sizes["time"]
    manifest = yaml.safe_load((made.export / "manifest.yaml").read_text())
    shape = (manifest["grid"]["height"], manifest["grid"]["width"])
    *stretches, last = STRETCH[made.encoding]
    most = 0
    for name, stored, (low, high) in (
        ("temperature", f"argo_temp_kelvin_{made.encoding}", stretches[0]),
        ("salinity", f"argo_psal_{made.encoding}", stretches[1]),
    ):
        for number, target in enumerate(manifest["target_dates"]):
            mean, count = brute(made.gridded, stored, low, (high - low) / last, last + 1, target, shape)
            each = observed.isel(time=number).compute(scheduler="sync")
            np.testing.assert_array_equal(each[f"{name}_count"], count)
            np.testing.assert_array_equal(each[f"{name}_valid"], count > 0)
            np.testing.assert_allclose(each[name], mean, rtol=3e-7)
            most = max(most, int(count.max()))
        assert observed[name].attrs["units"] == ("K" if name == "temperature" else "PSU")
    assert most >= 3  # several profiles share a pixel
    dense = oceanrecon.open_export(str(made.export))
    for axis in ("time", "depth", "latitude", "longitude"):
        np.testing.assert_array_equal(observed[axis], dense[axis])


@pytest.mark.parametrize(
    "box", [(170, -10, -170, 10), (-180, -90, 180, 90), (170, -10, 190, 10), (147, 42, 153, 46), (-10, 0, 350, 10)]
)
def test_a_box_is_a_part_of_the_whole(made: Made, box: tuple[float, float, float, float]) -> None:
    with dask.config.set(scheduler="sync"):
        whole = oceanrecon.open_observations(str(made.export)).load()
        part = oceanrecon.open_observations(str(made.export), box=box).load()
    west, south, east, north = box
    inside = ((whole["longitude"] - west) % 360 <= ((east - west) % 360 or 360)) & (np.abs(whole["longitude"]) < 999)
    assert set(part["longitude"].values) == set(whole["longitude"].values[inside])
    between = (whole["latitude"] >= south) & (whole["latitude"] <= north)
    assert part["latitude"].values.tolist() == whole["latitude"].values[between].tolist()
    xr.testing.assert_equal(part, whole.sel(latitude=part["latitude"], longitude=part["longitude"]))
    eastwards = (part["longitude"].values - west) % 360
    assert (np.diff(eastwards) > 0).all()
    assert part["temperature_valid"].any()


def test_a_box_without_a_pixel_and_an_export_without_profiles_are_said_so(made: Made, exported: Path) -> None:
    with pytest.raises(ConfigError, match="no pixel is inside the box"):
        oceanrecon.open_observations(str(made.export), box=(0.1, 0.1, 0.2, 0.2))
    with pytest.raises(OutputError, match="no gridded profiles: run `oceanrecon profiles grid"):
        oceanrecon.open_observations(str(exported))


def test_observations_compute_on_a_cluster(made: Made, client: Client) -> None:
    lazy: Any = oceanrecon.open_observations(str(made.export))["temperature_count"].sum("time")
    np.testing.assert_array_equal(client.compute(lazy).result(), lazy.compute(scheduler="sync"))


# -- the export and its profiles


def section(export: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((export / "manifest.yaml").read_text())["argo"]
    return found


def test_the_manifest_says_what_the_store_holds(made: Made, crowded: Path) -> None:
    said = section(made.export)
    assert said["path"] == STORE and said["profile_count"] == made.result.profiles
    assert (said["encoding"], said["temperature_source"]) == (made.encoding, made.temperature)
    codes = made.gridded[f"argo_temp_kelvin_{made.encoding}"].values
    *_, last = STRETCH[made.encoding]
    stats = said["temperature_stats"]
    assert stats["valid_count"] == int((codes != last + 1).sum()) and stats["nodata_count"] == int((codes > last).sum())
    values = xr.open_zarr(crowded / ENRICHED, chunks=None)[said["temperature_source_variable"]].values + 273.15
    values = values[made.gridded["enriched_profile"].values]
    (low, high), *_ = STRETCH[made.encoding]
    assert (stats["clipped_low_count"], stats["clipped_high_count"]) == ((values < low).sum(), (values > high).sum())
    decoded = xr.open_zarr(made.export / STORE, chunks=None)[f"argo_temp_kelvin_{made.encoding}"]
    assert stats["mean"] == pytest.approx(float(decoded.mean(dtype=np.float64)), abs=1e-3)
    assert said["files"].keys() == files_of(made.export, STORE).keys()
    assert not litter(made.export) and verify(str(made.export)).good


def test_an_export_that_goes_on_keeps_its_profiles(
    crowd: Path, crowded: Path, archive: Path, tmp_path: Path, client: Client
) -> None:
    """First two weeks with profiles, then a third of fields, then its profiles: as if made at once."""
    export, fresh = tmp_path / "export", tmp_path / "fresh"
    only = {"variables": ["thetao"], "formats": {"geotiff": {}}}
    oceanrecon.export(export_settings(archive, export, targets={"end": "2012-02-29"}, **only), client=client)
    chosen = settings(crowd, crowded, grid={"export": str(export)})
    first = grid(chosen, client)
    assert (first.groups_made, first.groups_kept) == (1, 0)
    before = section(export)
    oceanrecon.export(export_settings(archive, export, **only), client=client, resume=True)
    assert section(export) == before and before["profile_count"] == first.profiles
    found = verify(str(export)).problems
    assert [problem.kind for problem in found] == ["unfinished"] and "profiles grid" in found[0].message
    with pytest.raises(OutputError, match="--resume to complete or extend it, or --overwrite"):
        grid(chosen, client)
    assert grid(chosen, client, how="resume").profiles > first.profiles
    oceanrecon.export(
        export_settings(archive, fresh, profiles={"store": str(crowded)}, **only), client=client
    )  # its own setting
    assert files_of(export, STORE) == files_of(fresh, STORE)
    assert section(export) == section(fresh)
    assert verify(str(export)).good and verify(str(fresh)).good
    again = oceanrecon.export(
        export_settings(archive, fresh, profiles={"store": str(crowded)}, **only), client=client, resume=True
    )
    assert again.profiles is not None
    assert (again.written, again.profiles.groups_made, again.profiles.shards_written) == (0, 0, 0)


def test_only_changed_weeks_are_gridded_again(
    crowd: Path, ours: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oceanrecon.pipeline.profiles import grid as module

    shards_of(monkeypatch, 4, 16)
    monkeypatch.setattr(module, "_GROUP_ROWS", 1)  # a group for each week
    mine, store = copied(crowd, tmp_path / "sources"), tmp_path / "store"
    enrich(settings(mine, store), client)
    chosen = settings(mine, store, grid={"export": str(ours)})
    first = grid(chosen, client)
    assert first.groups_made == 3
    nodes = {path: path.stat().st_ino for path in (ours / STORE).rglob("*") if "c" in path.parts and path.is_file()}
    write_month(mine, "2012-03", 12)  # other profiles in March
    enrich(settings(mine, store), client, how="resume")
    again = grid(chosen, client, how="resume")
    assert again.complete and again.groups_kept >= 1 and again.groups_made <= 2
    kept = [path for path, node in nodes.items() if path.exists() and path.stat().st_ino == node]
    assert kept and len(kept) < len(nodes)
    fresh = settings(mine, store, grid={"export": str(copied(ours, tmp_path / "fresh"))})
    grid(fresh, client, how="overwrite")
    assert files_of(ours, STORE) == files_of(tmp_path / "fresh", STORE)
    assert section(ours) == section(tmp_path / "fresh") and verify(str(ours)).good


def test_gridding_that_was_stopped_is_gone_on_with(
    crowd: Path, crowded: Path, ours: Path, tmp_path: Path, client: Client, small_shards: None
) -> None:
    chosen = settings(crowd, crowded, grid={"export": str(ours)})

    def stop(told: Progress) -> None:
        if told.message.startswith("store: 2 of"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        oceanrecon.grid_profiles(chosen, client=client, on_progress=stop)
    assert section(ours) is None and not (ours / STORE / "zarr.json").exists() and not litter(ours)
    assert verify(str(ours)).good  # an export without profiles
    with pytest.raises(OutputError, match="no gridded profiles"):
        oceanrecon.open_observations(str(ours))
    assert grid(chosen, client, how="resume").complete
    fresh = settings(crowd, crowded, grid={"export": str(copied(ours, tmp_path / "fresh"))})
    grid(fresh, client, how="overwrite")
    assert files_of(ours, "argo/parts", STORE) == files_of(tmp_path / "fresh", "argo/parts", STORE)
    assert section(ours) == section(tmp_path / "fresh")


def test_another_temperature_is_refused_and_overwrite_takes_it(
    crowd: Path, crowded: Path, ours: Path, client: Client
) -> None:
    grid(settings(crowd, crowded, grid={"export": str(ours)}), client)
    before = files_of(ours)
    other = settings(crowd, crowded, grid={"export": str(ours), "temperature": "in-situ"})
    with pytest.raises(OutputError, match=r"other settings \(temperature: potential there, in-situ here\)"):
        grid(other, client, how="resume")
    assert files_of(ours) == before
    assert grid(other, client, how="overwrite").complete
    assert section(ours)["temperature_source"] == "in-situ" and verify(str(ours)).good


def test_a_damaged_store_fails_its_weeks_by_name_and_goes_on_once_mended(
    crowd: Path, ours: Path, tmp_path: Path, client: Client, command: Command, shared_cluster: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from oceanrecon.pipeline.profiles import grid as module

    shards_of(monkeypatch, 8, 32)
    monkeypatch.setattr(module, "_GROUP_ROWS", 1)
    store = tmp_path / "store"
    enrich(settings(crowd, store), client)
    bad = store / ENRICHED / "argo_psal_on_glorys_depth/c/3/0"
    content = bad.read_bytes()
    bad.write_bytes(content[: len(content) // 2])
    config = config_of(settings(crowd, store, grid={"export": str(ours)}), tmp_path)
    code, out, err = command("profiles", "grid", config)
    told = " ".join(out.split())
    assert code == 1 and "1 failed" in told and "20120307" in told and "argo_psal_on_glorys_depth" in told
    assert "--resume" in err and "Traceback" not in out + err
    assert {problem.kind for problem in verify(str(ours)).problems} == {"failed"}
    counts = xr.open_zarr(ours / STORE, chunks=None)["target_count"].values
    assert counts[0] > 0 and counts[1] > 0 and counts[2] == 0
    bad.write_bytes(content)
    code, out, _ = command("profiles", "grid", config, "--resume")
    assert code == 0 and verify(str(ours)).good and not list((ours / "argo/failures").rglob("*.json"))


def test_what_does_not_go_together_is_said_before_anything_is_written(
    crowd: Path, crowded: Path, ours: Path, cruise: Path, tmp_path: Path, client: Client
) -> None:
    other = tmp_path / "other"
    enrich(settings(cruise, other, depth=[1.0, 50.0], end="2012-01-31"), client)
    before = files_of(ours)
    for store, said in (
        (other, r"2 depths, 1\.\.50 m, and the export .* has 3, 0\.494025\.\.541\.089 m"),
        (tmp_path / "nowhere", "there is no .*nowhere: correct the path"),
    ):
        with pytest.raises((PlanError, OutputError), match=said):
            grid(settings(cruise, store, grid={"export": str(ours)}), client)
    with pytest.raises(OutputError, match=r"there is no folder .*nothing"):
        grid(settings(crowd, crowded, grid={"export": str(tmp_path / "nothing")}), client)
    with pytest.raises(OutputError, match="is a profile store"):
        grid(settings(crowd, crowded, grid={"export": str(crowded)}), client)
    january = tmp_path / "january"
    enrich(settings(cruise, january, end="2012-01-31"), client)
    with pytest.raises(PlanError, match=r"within 3 days of a target.*2012-02-22\.\.2012-03-07"):
        grid(settings(cruise, january, grid={"export": str(ours)}), client)
    assert files_of(ours) == before


def test_weekly_targets_are_those_of_the_archive() -> None:
    """What the numbers above rely on."""
    assert [f"{date}" for date in WEEKLY] == ["2012-02-22", "2012-02-29", "2012-03-07"]
