"""Risk: samples of an archive that mix up days, hide that a file is missing or bad, or do not survive a worker."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import pickle
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest

from oceanrecon.config import ArchiveSettings
from oceanrecon.errors import ConfigError, SourceError
from oceanrecon.grid import PatchGrid, RasterGrid, parse_date
from oceanrecon.profile_config import ProfileFilesSettings
from oceanrecon.samples.archive import ArchiveSource
from oceanrecon.samples.form import Sample
from oceanrecon.samples.rows import Rows, every_row
from oceanrecon.sources.block import Block, encode_block, read_block
from oceanrecon.sources.inventory import scan, write_parquet
from oceanrecon.sources.select import holdings, select_block
from oceanrecon.transform.encode import stretch
from tests.archives import PRODUCTS, WEEKLY, copied, only, settings, truncate
from tests.pipeline.profiles.tiny import FLOAT, days, en4_name
from tests.profile_files import write_argo, write_en4

GRID = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))
PATCHES = PatchGrid(GRID, 20, 20)
LAND = np.zeros((60, 120), np.uint8)
#: 0..60 N, 120..180 E: sea
PATCH = 10 * 120 + 100


def source(
    archive: Path,
    profiles: Path,
    dates: list[int],
    *,
    patch: int | None = PATCH,
    chosen: ArchiveSettings | None = None,
    **more: Any,
) -> ArchiveSource:
    rows = every_row(PATCHES, dates)
    if patch is not None:
        rows = Rows(np.full(len(dates), patch), np.array(dates, np.int32), 20)
    chosen = chosen or settings(archive, "unused").archive
    files: dict[str, Any] = {"en4": ProfileFilesSettings(root=f"{profiles}/en4")} | more
    return ArchiveSource(chosen, rows, grid=GRID, land=LAND, **files)


def week(archive: Path, name: str, date: dt.date) -> np.ndarray[Any, Any]:
    """A reanalysis file on the pixels of the patch."""
    held = holdings(scan(str(archive)), ["glorys"])["glorys"]
    block = select_block(
        str(archive), held, held.product.variable(name), date, window=1, minimum_files=1, maximum_distance_days=0
    )
    assert isinstance(block, Block)
    return read_block(block, GRID, minimum_valid_fraction=0.5)[:, 10:30, 100:120].astype(np.float64)


def test_the_target_of_a_day_between_weeks_is_weighted_by_days(archive: Path, sources_of_profiles: Path) -> None:
    """22 to 28 February: four days are nearest to the 22nd, three to the 29th; of one day it is the nearer week."""
    first, second = (week(archive, "thetao", date) for date in WEEKLY[:2])
    made = source(archive, sources_of_profiles, [20120225]).samples([0])[0]
    np.testing.assert_allclose(made.target["temperature"], (4 * first + 3 * second) / 7, rtol=0, atol=5e-5)
    assert np.nanmax(np.abs(first - second)) > 0.1
    one = source(archive, sources_of_profiles, [20120225], days=1).samples([0])[0]
    np.testing.assert_array_equal(one.target["temperature"], first)
    # sea surface temperature rises by 0.5 K a day: a mean over days around one day is that day's
    assert np.nanmedian(np.abs(made.surface[0] - one.surface[0])) < 1e-3
    # at the end of the archive fewer days exist: the mean is of the earlier ones
    late = source(archive, sources_of_profiles, [20120309], days=7).samples([0])[0]
    alone = source(archive, sources_of_profiles, [20120309], days=1).samples([0])[0]
    assert np.nanmedian(late.surface[0] - alone.surface[0]) == pytest.approx(-0.75, abs=1e-3)  # 6 to 9 March
    np.testing.assert_allclose(late.target["temperature"], week(archive, "thetao", WEEKLY[2]), rtol=0, atol=3e-5)


def test_profiles_of_the_days_in_the_pixels_once(archive: Path, tmp_path: Path) -> None:
    """Four profiles by hand: two share a pixel, one of them is Argo's too; one is a day early, one has a bad level."""
    at = [days(20120227) + 0.5, days(20120228) + 0.5, days(20120229) + 0.6, days(20120226) + 0.9]
    depth = np.array([[0.0, 90.0, 110.0]] * 4)
    potm = np.array([[10.0, 6.0, 4.0], [12.0, 8.0, 6.0], [20.0, 20.0, 20.0], [0.0, 0.0, 0.0]])
    write_en4(
        tmp_path / "en4" / en4_name("2012-02"), 4, depth=depth, temp=potm, potm=potm, psal=np.full((4, 3), 35.0),
        potm_qc=["111", "111", "411", "111"], juld=at, latitude=[31.0, 31.5, 40.0, 31.0],
        longitude=[-179.5 + 330, 150.5, 160.0, 150.5], platform=["S1", FLOAT, "S2", "S1"],
    )  # fmt: skip
    write_argo(
        tmp_path / "argo" / f"{FLOAT}_prof.nc", 1, pressure=[0.0, 90.6, 110.8], temp=[12.0, 8.0, 6.0],
        psal=[35.0] * 3, juld=[at[1]], latitude=[31.5], longitude=[150.5], platform=FLOAT, cycle=(1,), data_mode="D",
    )  # fmt: skip
    argo = ProfileFilesSettings(root=f"{tmp_path}/argo")
    pixel, other = 9 * 20 + 10, 6 * 20 + 13  # 30..33 N, 150..153 E; 39..42 N, 159..162 E

    def temperature(**more: Any) -> dict[int, list[float]]:
        sample = source(archive, tmp_path, [20120228], days=3, **more).samples([0])[0]
        found = sample.observed["temperature"] - 273.15
        return {int(point): values.round(2).tolist() for point, values in zip(sample.points, found, strict=True)}

    # 97.04 m is between 90 and 110 m; 0.49 m is near 0 m
    expected = [(9.978 + 11.978) / 2, (5.296 + 7.296) / 2]
    for more in ({}, {"argo": argo}):
        found = temperature(**more)
        assert sorted(found) == [other, pixel]
        np.testing.assert_allclose(found[pixel][:2], expected, atol=0.02)
        # the level at 0 m is rejected, the others are not
        assert np.isnan(found[other][0])
        assert found[other][1] == 20.0
    np.testing.assert_allclose(temperature(argo=argo, withhold=[FLOAT])[pixel][:2], [9.978, 5.296], atol=0.01)
    np.testing.assert_allclose(temperature(withhold=["S1"])[pixel][:2], [11.978, 7.296], atol=0.01)
    assert other not in temperature(withhold=["S2"])
    # days 27 and 28 in one pixel, 29 in the other: counted from the 28th
    sample = source(archive, tmp_path, [20120228], days=3).samples([0])[0]
    assert dict(zip(sample.points.tolist(), sample.age.tolist(), strict=True)) == {pixel: -0.5, other: 1.0}
    # a float in that month does not stand in for the month of EN4 that is lacking
    float_in_march(tmp_path / "floats", 1)
    floats = ProfileFilesSettings(root=f"{tmp_path}/floats")
    for also in (None, floats):
        with pytest.raises(
            ConfigError, match=r"row 0 .*no EN4 file is of 2012-03, which the 5 days around 20120228 .*: add that month"
        ):
            source(archive, tmp_path, [20120228], days=5, argo=also)
    assert source(archive, tmp_path, [20120303], days=3, en4=None, argo=floats).samples([0])
    with pytest.raises(ConfigError, match=r"row 0 .*no Argo file has profiles of 2012-02, which the 5 days around"):
        source(archive, tmp_path, [20120228], days=5, en4=None, argo=floats)


def float_in_march(folder: Path, profiles: int, **more: Any) -> None:
    """A float in the patch, day after day from 3 March 2012 on, and again."""
    cycle = np.arange(profiles)
    write_argo(
        folder / f"{FLOAT}_prof.nc", profiles, platform=FLOAT, cycle=cycle, juld=days(20120303) + 0.4 + cycle % 20,
        latitude=30 + cycle / 10 % 20, longitude=150.0, **more,
    )  # fmt: skip


def test_an_en4_twin_of_another_month_is_left_out(archive: Path, tmp_path: Path) -> None:
    """Argo says a minute after midnight of 1 March, EN4 a minute before it: one profile, and it is Argo's."""
    midnight = days(20120301)
    potm = np.array([[10.0] * 3, [16.0] * 3])
    write_en4(
        tmp_path / "en4" / en4_name("2012-02"), 2, depth=[0.0, 90.0, 110.0], temp=potm, potm=potm, psal=35.0,
        juld=[midnight - 1 / 1440, midnight - 1], latitude=31.0, longitude=150.5, platform=[f"Q{FLOAT}", "S1"],
    )  # fmt: skip
    copied(tmp_path / "en4", tmp_path / "march")
    (tmp_path / "march" / en4_name("2012-02")).rename(tmp_path / "en4" / en4_name("2012-03"))  # dates of another month
    write_argo(
        tmp_path / "argo" / f"{FLOAT}_prof.nc", 2, pressure=[0.0, 90.6, 110.8], temp=[[12.0] * 3, [30.0] * 3],
        psal=[35.0] * 3, juld=midnight + 1 / 1440, latitude=31.0, longitude=150.5, platform=FLOAT, cycle=(1, 2),
        position_qc="14",
    )  # fmt: skip

    def surface(**more: Any) -> float:
        sample = source(archive, tmp_path, [20120229], days=3, **more).samples([0])[0]
        assert sample.points.tolist() == [9 * 20 + 10]
        return float(sample.observed["temperature"][0, 0] - 273.15)

    assert surface() == pytest.approx((10 + 16) / 2, abs=1e-3)
    # the second profile of the float has a bad position: neither it nor a twin of it counts
    assert surface(argo=ProfileFilesSettings(root=f"{tmp_path}/argo")) == pytest.approx((12 + 16) / 2, abs=1e-3)


def test_little_of_the_profiles_travels_and_nothing_that_was_read_later(archive: Path, tmp_path: Path) -> None:
    """Of an accepted Argo profile 40 bytes, where its whole header takes over 100; of a rejected one nothing."""
    sizes = {}
    for name, profiles, flags in (
        ("few", 400, "1" * 400),
        ("many", 800, "1" * 800),
        ("bad", 800, "1" * 400 + "4" * 400),
    ):
        float_in_march(tmp_path / name, profiles, position_qc=flags)
        made = source(
            archive, tmp_path, [20120306], en4=None, argo=ProfileFilesSettings(root=f"{tmp_path}/{name}"), days=1
        )
        before = len(pickle.dumps(made))
        assert made.samples([0])[0].points.size > 3
        assert len(pickle.dumps(made)) == before
        sizes[name] = before
    assert 10 < (sizes["many"] - sizes["few"]) / 400 <= 40
    assert abs(sizes["bad"] - sizes["few"]) < 200


def test_a_field_without_a_plausible_value_is_refused_as_an_export_does(
    archive: Path, sources_of_profiles: Path, tmp_path: Path
) -> None:
    """Kelvins that are said to be degrees Celsius: a tile without a value is not taken for land."""
    root = copied(archive, tmp_path / "archive")
    bad = next((root / "ostia").glob("20120229*"))
    with netCDF4.Dataset(bad, "a") as file:
        file["analysed_sst"].units = "celsius"
    chosen = settings(root, tmp_path / "export").archive
    held = holdings(scan(str(root)), ["ostia"])["ostia"]
    said = "no value of analysed_sst is plausible"
    for window, around in ((1, [20120229]), (7, [20120229, 20120303])):
        for date in around:
            block = select_block(
                str(root), held, held.product.variable("analysed_sst"), parse_date(date), window=window,
                minimum_files=1, maximum_distance_days=3,
            )  # fmt: skip
            assert isinstance(block, Block)
            with pytest.raises(SourceError, match=said):
                encode(block)
            made = source(root, sources_of_profiles, [date], chosen=chosen, days=window)
            with pytest.raises(SourceError, match=rf"row 0 \(patch {PATCH}, {date}\): .*{bad.name}: {said} "):
                made.samples([0])
    assert source(root, sources_of_profiles, [20120304], chosen=chosen).samples([0])  # four days away


def encode(block: Block) -> None:
    """As an export does."""
    codes = np.empty((1, GRID.height, GRID.width), np.uint8)
    encode_block(block, GRID, stretch("temperature_kelvin", "uint8"), minimum_valid_fraction=0.5, codes=codes)


def test_a_tile_of_land_only_is_no_error(archive: Path, sources_of_profiles: Path) -> None:
    """The south pole: all land; the whole field is looked through once per file."""
    patch = 58 * 120
    rows = Rows(np.full(2, patch), np.array([20120229, 20120229], np.int32), 2)
    made = ArchiveSource(
        settings(archive, "unused").archive, rows, grid=GRID, land=LAND, scenario="joint",
        en4=ProfileFilesSettings(root=f"{sources_of_profiles}/en4"),
    )  # fmt: skip
    for sample in made.samples([0, 1]):
        assert np.isnan(sample.surface).all()
        assert all(np.isnan(values).all() for values in sample.target.values())
    # 3 surface variables of 7 days, 2 variables of the one week that is nearest to all of them
    assert len(made._boxes._valued) == 3 * 7 + 2


def _worker(made: ArchiveSource, rows: list[int]) -> list[Sample]:
    return made.samples(rows)


def test_a_spawned_worker_gives_the_same(archive: Path, sources_of_profiles: Path) -> None:
    argo = ProfileFilesSettings(root=f"{sources_of_profiles}/argo")
    made = source(archive, sources_of_profiles, [20120222, 20120305], patch=None, scenario="joint", argo=argo)
    rows = [30, 2, 30, 17]
    ours = made.samples(rows)
    assert [sample.row for sample in ours] == rows
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        theirs = pool.apply(_worker, (made, rows))
    for one, other in zip(ours, theirs, strict=True):
        for name in ("surface", "points", "land", "coords"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        for field in ("temperature", "salinity"):
            np.testing.assert_array_equal(one.target[field], other.target[field])
            np.testing.assert_array_equal(one.observed[field], other.observed[field])


@pytest.mark.parametrize("harm", ["gone", "damaged"])
@pytest.mark.parametrize("product", ["glorys", "sss", "en4"])
def test_a_file_that_vanished_or_is_damaged_is_named(
    harm: str, product: str, archive: Path, sources_of_profiles: Path, tmp_path: Path
) -> None:
    root, profiles = copied(archive, tmp_path / "archive"), copied(sources_of_profiles, tmp_path / "profiles")
    path = profiles / "en4" / en4_name("2012-02")
    if product != "en4":
        path = next(iter(sorted((root / product).glob("*20120222*"))))
    made = source(root, profiles, [20120229, 20120222])
    if harm == "gone":
        path.unlink()
    else:  # as it was listed, but for what is in it
        state = path.stat()
        data = bytearray(path.read_bytes())
        data[len(data) // 3 :] = bytes(len(data) - len(data) // 3)
        if product == "en4":
            data[:8] = b"rubbish "
        path.write_bytes(data)
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    if product != "en4":  # of another week
        assert made.samples([0])
    with pytest.raises(SourceError, match=rf"row 1 \(patch {PATCH}, 20120222\): .*{path.name}: .*(again|restore)"):
        made.samples([1])


def test_what_cannot_be_made_is_said_before_the_first_sample(
    archive: Path, sources_of_profiles: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"row 1 \(patch \d+, 20120401\): thetao: .*more than 3 days from 2012-04-01"):
        source(archive, sources_of_profiles, [20120307, 20120401])
    with pytest.raises(ConfigError, match=r"row 0 .*: analysed_sst: 0 of the 1 files around 2012-03-10 are in the"):
        source(archive, sources_of_profiles, [20120310], days=1)
    with pytest.raises(ConfigError, match=r"row 0 .*: analysed_sst: 6 of the 7 files .* 7 are needed"):
        source(archive, sources_of_profiles, [20120307], minimum_files=7)
    with pytest.raises(ConfigError, match="days=4 has no middle day"):
        source(archive, sources_of_profiles, [20120307], days=4)
    few = settings(archive, "unused", archive=only("glorys", "ostia", archive=archive)).archive
    with pytest.raises(ConfigError, match=r"archive\.products does not name 'sss', which a sample needs"):
        source(archive, sources_of_profiles, [20120307], chosen=few)
    assert source(archive, sources_of_profiles, [20120307], chosen=few, surface=["analysed_sst"]).samples([0])
    with pytest.raises(ConfigError, match="give `en4`, `argo` or both"):
        source(archive, sources_of_profiles, [20120307], en4=None)
    with pytest.raises(ConfigError, match="no scenario 'all'"):
        source(archive, sources_of_profiles, [20120307], scenario="all")
    with pytest.raises(ConfigError, match=r"surface=\['dos'\]: give a list of some of analysed_sst, sos, adt"):
        source(archive, sources_of_profiles, [20120307], surface=["dos"])
    lacking = copied(archive, tmp_path / "lacking")
    for path in (lacking / "glorys").glob("*.nc"):
        with netCDF4.Dataset(path, "a") as file:
            file.renameVariable("so", "salt")
    with pytest.raises(ConfigError, match=r"glorys files of .* have no so \(they have thetao\): download it"):
        source(lacking, sources_of_profiles, [20120307], scenario="joint")
    broken = copied(archive, tmp_path / "broken")
    truncate(next((broken / "glorys").glob("*_20120229_*")))
    with pytest.raises(ConfigError, match=r"row 0 .*: thetao: glorys/.*20120229.*: truncated.*, or leave the row out"):
        source(broken, sources_of_profiles, [20120229])


def test_a_kept_inventory_spares_the_scan(archive: Path, sources_of_profiles: Path, tmp_path: Path) -> None:
    kept = tmp_path / "inventory.parquet"
    write_parquet(scan(str(archive)), str(kept))
    stated = {"root": str(archive), "products": dict.fromkeys(PRODUCTS), "inventory": str(kept)}
    chosen = settings(archive, "unused", archive=stated).archive
    ours = source(archive, sources_of_profiles, [20120307], chosen=chosen).samples([0])[0]
    np.testing.assert_array_equal(
        ours.surface, source(archive, sources_of_profiles, [20120307]).samples([0])[0].surface
    )
