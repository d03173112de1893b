"""Profiles must hold the ocean's values in the archives' own form, be found in both, and be bad only where flagged."""

import datetime as dt
import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gsw
import netCDF4
import numpy as np
import pytest
from numpy.typing import NDArray

from oceanrecon.config import parse_settings
from oceanrecon.errors import ConfigError
from oceanrecon.synthetic.argo import letters
from oceanrecon.synthetic.coast import coast
from oceanrecon.synthetic.config import ArchiveSynthesis
from oceanrecon.synthetic.floats import Cycles, Fleet
from oceanrecon.synthetic.synthesize import synthesize
from oceanrecon.synthetic.truth import Ocean, noon, sea_floor_at

SEED = 7
DATES = {"start": "2012-02-26", "end": "2012-03-06"}
GLOBE = (-180.0, -90.0, 180.0, 90.0)
FEBRUARY, MARCH = (f"en4/EN.4.2.2.f.profiles.g10.{month}.nc" for month in ("201202", "201203"))
Values = NDArray[Any]


def settings(**changes: Any) -> ArchiveSynthesis:
    data: dict[str, Any] = {
        "seed": SEED,
        "en4": {**DATES, "profiles_per_day": 60, "levels": 400},
        "argo": {**DATES, "floats": 42},
    }
    return parse_settings(ArchiveSynthesis, data | changes, "test")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("profiles")
    synthesize(settings(), root)
    return root


@contextmanager
def opened(path: Path) -> Iterator[netCDF4.Dataset]:
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        file.set_auto_chartostring(False)
        yield file


def contents(path: Path) -> dict[str, Values]:
    with opened(path) as file:
        return {name: variable[:] for name, variable in file.variables.items()}


def digests(root: Path) -> dict[str, str]:
    paths = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def text(rows: Values) -> list[str]:
    return [b"".join(row).decode().strip() for row in rows]


def en4(archive: Path) -> dict[str, Values]:
    """Both months of EN4 as one table."""
    months = [contents(archive / month) for month in (FEBRUARY, MARCH)]
    joined = {name: np.concatenate([month[name] for month in months]) for name in months[0]}
    return joined | {"PLATFORM_NUMBER": np.array(text(joined["PLATFORM_NUMBER"]))}


def float_files(archive: Path) -> list[dict[str, Values]]:
    return [contents(path) for path in sorted(archive.glob("argo/*/*_prof.nc"))]


def truth(profiles: dict[str, Values], depth: Values) -> tuple[Values, Values]:
    """The ocean at the places and days that a file states, at its depths."""
    place = profiles["LATITUDE"], profiles["LONGITUDE"]
    return Ocean(SEED).profiles(*place, np.floor(profiles["JULD"]) + 0.5, np.where(depth > 90_000, np.nan, depth))


def test_scattered_profiles_are_the_columns_of_the_grid() -> None:
    latitude, longitude = np.array([-63.2, 0.0, 12.34, 81.0]), np.array([179.99, -180.0, 65.4, 190.0])
    day = np.array([22_700.5, 22_745.5, 22_700.5, 22_745.5])
    depth = np.array([[0.0, 10.0, np.nan, 900.0]] * 4) + np.arange(4.0)[:, None]
    temperature, salinity = Ocean(SEED).profiles(latitude, longitude, day, depth)
    assert np.array_equal(np.isnan(temperature), np.isnan(depth)) and np.isfinite(salinity[:, [0, 1, 3]]).all()
    for row in range(4):
        nodes = latitude[row] + np.array([0.0, 0.5]), longitude[row] + np.array([0.0, 0.5])
        levels = Ocean(SEED).columns(*nodes, float(day[row])).levels(depth[row])
        np.testing.assert_allclose(temperature[row], levels[0][:, 0, 0], atol=1e-4)
        np.testing.assert_allclose(salinity[row], levels[1][:, 0, 0], atol=1e-4)


@pytest.mark.parametrize(
    ("real", "ours"),
    [("argo/3901897_prof.nc", "argo/*/*_prof.nc"), ("argo/6901929/D6901929_032.nc", "argo/*/profiles/D*_???.nc")],
)
def test_argo_files_have_the_form_of_the_real_ones(real: str, ours: str, real_data: Path, archive: Path) -> None:
    with opened(real_data / real) as theirs, opened(sorted(archive.glob(ours))[0]) as made:
        assert made.data_model == theirs.data_model
        sizes = [
            {name: (size.size, size.isunlimited()) for name, size in file.dimensions.items()} for file in (made, theirs)
        ]
        assert sizes[0].keys() == sizes[1].keys()
        assert {name for name in sizes[0] if sizes[0][name] != sizes[1][name]} <= {"N_PROF", "N_LEVELS", "N_HISTORY"}
        assert sizes[0]["N_HISTORY"][1] == sizes[1]["N_HISTORY"][1]
        assert made.ncattrs() and set(made.ncattrs()) == set(theirs.ncattrs())
        assert set(made.variables) == set(theirs.variables)
        for name, variable in theirs.variables.items():
            mine = made[name]
            assert (mine.dtype, mine.dimensions) == (variable.dtype, variable.dimensions), name
            described = [{key: one.getncattr(key) for key in one.ncattrs()} for one in (mine, variable)]
            assert described[0] == described[1], name
            assert {key: type(value) for key, value in described[0].items()} == {
                key: type(value) for key, value in described[1].items()
            }, name


def test_good_argo_levels_are_the_ocean_within_the_sensors_errors(archive: Path) -> None:
    """By the equation of seawater run backwards, from pressure and temperature in situ."""
    errors: dict[str, list[Values]] = {"temperature": [], "salinity": []}
    for file in float_files(archive):
        adjusted = (file["DATA_MODE"] != b"R")[:, None]
        placed = np.isin(file["POSITION_QC"], [b"1", b"2"]) & np.isin(file["JULD_QC"], [b"1", b"2"])
        pressure, temperature, salinity = (
            np.where(adjusted, file[f"{name}_ADJUSTED"], file[name]).astype(float) for name in ("PRES", "TEMP", "PSAL")
        )
        flags = [
            np.where(adjusted, file[f"{name}_ADJUSTED_QC"], file[f"{name}_QC"]) for name in ("PRES", "TEMP", "PSAL")
        ]
        good = np.logical_and.reduce([np.isin(flag, [b"1", b"2"]) for flag in flags]) & placed[:, None]
        latitude, longitude = (
            np.broadcast_to(file[name][:, None], good.shape)[good] for name in ("LATITUDE", "LONGITUDE")
        )
        absolute = gsw.SA_from_SP(salinity[good], pressure[good], longitude, latitude)
        depth = np.full(good.shape, np.nan)
        depth[good] = -gsw.z_from_p(pressure[good], latitude)
        true = truth(file, depth)
        errors["temperature"].append(gsw.pt0_from_t(absolute, temperature[good], pressure[good]) - true[0][good])
        errors["salinity"].append(salinity[good] - true[1][good])
        floor = sea_floor_at(file["LATITUDE"], file["LONGITUDE"])
        assert (np.nan_to_num(depth).max(axis=1) <= np.minimum(floor + 50, 2050)).all()
    temperature, salinity = (np.concatenate(parts) for parts in errors.values())
    assert temperature.size > 5000
    assert np.std(temperature) == pytest.approx(0.002, rel=0.5) and np.abs(temperature).max() < 0.05
    assert np.std(salinity) == pytest.approx(0.01, rel=0.1) and np.abs(salinity).max() < 0.06


def test_salinity_as_it_came_from_adjusted_floats_has_drifted(archive: Path) -> None:
    """Or a reader that takes the wrong variable would pass."""
    files = [file for file in float_files(archive) if (file["DATA_MODE"] != b"R").all()]
    drifts = []
    for file in files:
        both = (file["PSAL"] < 99_999) & (file["PSAL_ADJUSTED"] < 99_999)
        assert np.median((file["PRES"] - file["PRES_ADJUSTED"])[both]) == pytest.approx(0.3, abs=0.01)
        drifts.append(np.median((file["PSAL"] - file["PSAL_ADJUSTED"])[both]))
    assert len(drifts) > 10 and max(drifts) > 0.03
    came = [file for file in float_files(archive) if (file["DATA_MODE"] == b"R").any()]
    for file in came:
        rows = file["DATA_MODE"] == b"R"
        assert (file["PSAL_ADJUSTED"][rows] == 99_999).all() and (file["PSAL_ADJUSTED_QC"][rows] == b" ").all()
        assert (file["PSAL"][rows, 0] < 50).all()


def test_floats_have_every_direction_mode_and_sampling(archive: Path) -> None:
    singles = sorted(archive.glob("argo/*/profiles/*.nc"))
    assert {path.name[0] for path in singles} == {"R", "D"}
    assert any(path.stem.endswith("D") for path in singles)
    assert {mode for file in float_files(archive) for mode in file["DATA_MODE"].tolist()} == {b"R", b"A", b"D"}
    two = [path for path in singles if contents(path)["PRES"].shape[0] == 2]
    assert two
    file = contents(two[0])
    schemes = text(file["VERTICAL_SAMPLING_SCHEME"])
    assert schemes[1].startswith("Near-surface sampling")
    assert np.median(file["PRES"][1][:5]) < 3.0 and file["PRES"][1][5] == 99_999
    assert file["CYCLE_NUMBER"][0] == file["CYCLE_NUMBER"][1] and file["JULD"][0] == file["JULD"][1]
    blank = [text(one["VERTICAL_SAMPLING_SCHEME"])[0] == "" for one in float_files(archive)]
    assert any(blank) and not all(blank)


def test_a_single_profile_is_the_one_in_the_file_of_its_float(archive: Path) -> None:
    for path in sorted(archive.glob("argo/*/profiles/*.nc")):
        one, whole = contents(path), contents(path.parents[1] / f"{path.parents[1].name}_prof.nc")
        row = np.flatnonzero(
            (whole["CYCLE_NUMBER"] == one["CYCLE_NUMBER"][0]) & (whole["DIRECTION"] == one["DIRECTION"][0])
        )
        assert row.size == 1
        count = int((whole["TEMP"][row[0]] < 99_999).sum())
        for name in ("JULD", "LATITUDE", "POSITION_QC", "PROFILE_PSAL_QC"):
            assert one[name][0] == whole[name][row[0]], (path, name)
        assert np.array_equal(one["TEMP"][0][:count], whole["TEMP"][row[0]][:count])


def test_letters_of_argo_are_the_shares_of_good_levels(archive: Path) -> None:
    by_hand = ["1258", "1114", "1144", "1444", "1444444", "0367", "9999", "1199", "    "]
    flags = np.array([[character.encode() for character in row.ljust(7)] for row in by_hand], "S1")
    assert letters(flags).tolist() == [b"A", b"B", b"C", b"D", b"E", b"F", b" ", b"A", b" "]
    seen: set[bytes] = set()
    for file in float_files(archive):
        for row, letter in enumerate(file["PROFILE_PSAL_QC"].tolist()):
            used = [flag for flag in file["PSAL_QC"][row].tolist() if flag not in (b" ", b"9")]
            share = sum(flag in (b"1", b"2", b"5", b"8") for flag in used) / len(used)
            least = {b"A": 1.0, b"B": 0.75, b"C": 0.5, b"D": 0.25, b"E": 1e-9, b"F": 0.0}[letter]
            assert share >= least and (letter == b"F") == (share == 0.0)
            seen.add(letter)
    assert seen >= {b"A", b"B"} and seen & {b"C", b"D", b"E", b"F"}


def test_en4_has_two_forms_of_files_and_all_instruments(archive: Path) -> None:
    for month, form in ((FEBRUARY, "NETCDF4"), (MARCH, "NETCDF3_CLASSIC")):
        with opened(archive / month) as file:
            assert file.data_model == form
            assert {name: str(file[name].dtype) for name in ("JULD", "TEMP", "POTM_CORRECTED_QC")} == {
                "JULD": "float64", "TEMP": "float32", "POTM_CORRECTED_QC": "|S1",
            }  # fmt: skip
            assert file["PSAL_CORRECTED"]._FillValue == np.float32(99_999)
            assert file.dimensions["N_LEVELS"].size == 400
            assert "CYCLE_NUMBER" not in file.variables
            if form == "NETCDF4":
                assert file["TEMP"].filters()["zlib"] and file["TEMP"].chunking() == [240, 400]
    table = en4(archive)
    assert table["JULD"].size == 10 * 60
    days = np.floor(table["JULD"][table["JULD_QC"] != b"4"])
    assert (days.min(), days.max()) == (noon(dt.date(2012, 2, 26)) - 0.5, noon(dt.date(2012, 3, 6)) - 0.5)
    assert set(text(table["PROJECT_NAME"])) == {"ARGO", "GTSPP", "WOD05"}
    kinds = np.array(text(table["WMO_INST_TYPE"]))
    counts = {kind: (table["DEPH_CORRECTED"][kinds == kind] < 99_999).sum(axis=1).max() for kind in set(kinds)}
    assert counts == {"846": 72, "844": 100, "838": 397, "830": 299, "042": 152, "820": 13}
    assert (table["PSAL_CORRECTED"][kinds == "042"] == 99_999).all()
    assert (table["PSAL_CORRECTED_QC"][kinds == "042"] == b" ").all()


def test_bad_en4_values_are_flagged_and_good_ones_are_the_ocean(archive: Path) -> None:
    table = en4(archive)
    depth = table["DEPH_CORRECTED"].astype(float)
    there = depth < 90_000
    for name in ("DEPH_CORRECTED", "POTM_CORRECTED", "PSAL_CORRECTED"):
        assert (table[f"{name}_QC"][~there] == b" ").all() and (table[name][~there] == 99_999).all()
    placed = (table["JULD_QC"] != b"4") & (table["POSITION_QC"] != b"4")
    probe = np.array(text(table["WMO_INST_TYPE"])) == "042"
    for name, profile, true, plain in (
        ("POTM_CORRECTED", "PROFILE_POTM_QC", truth(table, depth)[0], 0.35),
        ("PSAL_CORRECTED", "PROFILE_PSAL_QC", truth(table, depth)[1], 0.1),
    ):
        flags, known = table[f"{name}_QC"], there & (table[name] < 90_000)
        error = np.where(known, np.abs(table[name] - true), 0.0)
        rejected = ~placed | (table[profile] == b"4")
        moved = table["DEPH_CORRECTED_QC"] == b"4"
        bad = (flags == b"4") | moved
        assert error[~rejected][~bad[~rejected]].max() < plain
        assert error[(flags == b"4") & known & ~moved & ~rejected[:, None]].min() > 0.4
        assert np.median(error[(table[profile] == b"4") & placed][:, 0]) > 0.7
        assert set(np.unique(flags)) == {b" ", *(str(flag).encode() for flag in range(10))}
        assert (flags[known] == b" ").any()
        good = known & (flags == b"1") & ~bad & ~rejected[:, None] & ~probe[:, None]
        assert good.sum() > 20_000
        assert np.std((table[name] - true)[good]) < 0.015
    good = (table["POTM_CORRECTED_QC"] == b"1") & (table["DEPH_CORRECTED_QC"] == b"1")
    good &= (placed & probe & (table["PROFILE_POTM_QC"] != b"4"))[:, None]
    assert np.std((table["POTM_CORRECTED"] - truth(table, depth)[0])[good]) == pytest.approx(0.05, rel=0.1)
    assert (table["TEMP"] - table["POTM_CORRECTED"])[good].min() > -0.001
    assert {b"4"} <= set(table["JULD_QC"].tolist()) | set(table["POSITION_QC"].tolist())


def test_en4_has_most_profiles_of_the_archives_floats(archive: Path) -> None:
    table = en4(archive)
    number = np.array([name.removeprefix("Q") for name in table["PLATFORM_NUMBER"].tolist()])
    assert any(name.startswith("Q59") for name in table["PLATFORM_NUMBER"].tolist())
    found = total = 0
    for file in float_files(archive):
        platform = text(file["PLATFORM_NUMBER"])[0]
        for row in np.flatnonzero(file["DIRECTION"] == b"A"):
            total += 1
            if file["JULD_QC"][row] == b"4" or file["POSITION_QC"][row] == b"4":
                continue
            same = np.flatnonzero((number == platform) & (np.abs(table["JULD"] - file["JULD"][row]) < 1 / 24))
            for copy in same[(table["JULD_QC"][same] != b"4") & (table["POSITION_QC"][same] != b"4")]:
                found += 1
                assert abs(table["JULD"][copy] - file["JULD"][row]) <= 2.01 / 1440
                north = table["LATITUDE"][copy] - file["LATITUDE"][row]
                east = (table["LONGITUDE"][copy] - file["LONGITUDE"][row]) * np.cos(np.deg2rad(file["LATITUDE"][row]))
                assert 111_200 * np.hypot(north, east) < 100
                if table["PROFILE_POTM_QC"][copy] != b"4":
                    count = int((file["TEMP"][row] < 99_999).sum())
                    np.testing.assert_allclose(table["TEMP"][copy][:count], file["TEMP"][row][:count], atol=1e-5)
    assert 0.6 * total < found < total


def test_equal_settings_give_equal_bytes_and_other_dates_the_same_profiles(archive: Path, tmp_path: Path) -> None:
    written = synthesize(settings(), tmp_path / "again")
    assert digests(tmp_path / "again") == digests(archive)
    assert sorted(digests(archive)) == sorted(written)

    longer = {"start": "2012-02-20", "end": "2012-03-02"}
    synthesize(settings(en4={**longer, "profiles_per_day": 60}, argo={**longer, "floats": 42}), tmp_path / "longer")
    rows = [contents(root / FEBRUARY) for root in (archive, tmp_path / "longer")]
    keys = [
        set(zip(text(one["PLATFORM_NUMBER"]), one["JULD"].tolist(), one["TEMP"][:, 3].tolist(), strict=True))
        for one in rows
    ]
    assert keys[0] <= keys[1] and len(keys[1]) == 10 * 60


def fleet_for(years: int = 3) -> Cycles:
    start = noon(dt.date(2010, 1, 1))
    return Fleet(SEED, 800, 10, 5_900_000, GLOBE).cycles(start, start + 365.0 * years)


def test_floats_stay_in_water_and_cross_the_dateline_and_the_equator() -> None:
    cycles = fleet_for()
    assert (cycles.longitude >= -180).all() and (cycles.longitude < 180).all()
    assert np.abs(cycles.latitude).max() <= 80
    assert not coast().is_land(cycles.latitude, cycles.longitude).any()
    step = (np.diff(cycles.slot) == 0) & (np.diff(cycles.number) == 0)
    east, north = np.diff(cycles.longitude)[step], np.diff(cycles.latitude)[step]
    assert (np.abs(east) > 350).sum() > 3
    assert (np.diff(np.sign(cycles.latitude))[step] != 0).sum() > 3
    # A cycle is ten days: a quarter of a knot is 110 km.
    turned = (east + 180) % 360 - 180
    assert np.hypot(north, turned * np.cos(np.deg2rad(cycles.latitude[1:][step]))).max() < 1.0
    assert np.ptp(cycles.latitude[cycles.slot == cycles.slot[0]]) > 0


def test_a_cycle_does_not_depend_on_the_dates_that_were_asked_for() -> None:
    fleet, whole = Fleet(SEED, 800, 10, 5_900_000, GLOBE), fleet_for()
    start = noon(dt.date(2011, 5, 5))
    part = fleet.cycles(start, start + 3.0)
    rows = np.flatnonzero((whole.juld >= start) & (whole.juld < start + 3.0))
    assert rows.size > 200
    for name in ("number", "cycle", "descending", "juld", "latitude", "longitude"):
        assert np.array_equal(getattr(part, name), getattr(whole, name)[rows]), name


def test_instruments_with_too_many_levels_are_thinned_and_still_reach_the_bottom(tmp_path: Path) -> None:
    day = {"start": "2012-02-28", "end": "2012-02-28"}
    synthesize(settings(en4={**day, "profiles_per_day": 60, "levels": 30, "netcdf": "classic"}, argo=None), tmp_path)
    table = contents(tmp_path / FEBRUARY)
    assert table["TEMP"].shape == (60, 30)
    deepest = np.where(table["DEPH_CORRECTED"] < 90_000, table["DEPH_CORRECTED"], 0.0).max(axis=1)
    assert (deepest > 1900).sum() > 10


def faulty(root: Path, faults: Sequence[dict[str, Any]]) -> list[str]:
    return synthesize(settings(faults=faults, argo={**DATES, "floats": 6}), root)


def test_every_fault_of_en4_is_in_its_month(archive: Path, tmp_path: Path) -> None:
    february, march = {"product": "en4", "dates": ["2012-02-28"]}, {"product": "en4", "dates": ["2012-03-01"]}
    first = tmp_path / "first"
    faulty(
        first,
        [{**february, "kind": kind} for kind in ("bad_positions", "bad_dates", "bad_flags", "no_salinity")]
        + [{**march, "kind": "truncated"}],
    )
    table = contents(first / FEBRUARY)
    assert "PSAL_CORRECTED" not in table and "PSAL_CORRECTED_QC" not in table
    assert table["LATITUDE"][:3].tolist() == [169.0, -999.99, 99_999.0]
    assert table["LONGITUDE"][1:3].tolist() == [-999.99, 99_999.0]
    assert table["JULD"][3:6].tolist() == [99_999.0, -1e5, 1e6]
    assert set(table["POSITION_QC"][6:9].tolist()) == {b"x", b":", b"A"}
    assert (table["POTM_CORRECTED_QC"][6, :3] == [b"x", b"x", b"1"]).all()
    whole = (archive / MARCH).stat().st_size
    assert (first / MARCH).stat().st_size == pytest.approx(0.6 * whole, rel=0.05)

    second = tmp_path / "second"
    written = faulty(second, [{**february, "kind": "missing"}, {**march, "kind": "empty"}])
    assert FEBRUARY not in written and not (second / FEBRUARY).exists()
    with opened(second / MARCH) as file:
        assert file.dimensions["N_PROF"].size == 0 and file["TEMP"].shape == (0, 400)


def test_every_fault_of_argo_is_in_its_profile(tmp_path: Path) -> None:
    faulty(
        tmp_path,
        [
            {"product": "argo", "kind": "bad_positions", "floats": [1]},
            {"product": "argo", "kind": "no_position", "floats": [3]},
            {"product": "argo", "kind": "repeated_cycle", "floats": [4]},
        ],
    )
    unknown, _, missing, repeated = (
        contents(path) for path in sorted(tmp_path.glob("argo/*/*_prof.nc"), key=lambda path: path.name)[:4]
    )
    assert (unknown["LATITUDE"][0], unknown["LONGITUDE"][0], unknown["POSITION_QC"][0]) == (-99.999, -999.999, b"9")
    assert (unknown["TEMP"][0] < 40).sum() > 5
    assert (missing["LATITUDE"][0], missing["LONGITUDE"][0], missing["POSITION_QC"][0]) == (99_999.0, 99_999.0, b"9")
    number, cycle = text(repeated["PLATFORM_NUMBER"])[0], repeated["CYCLE_NUMBER"][0]
    (copy,) = tmp_path.glob(f"argo/{number}/profiles/?{number}_{cycle:03d}.nc")
    later = (contents(copy)["JULD"][0] - repeated["JULD"][0]) * 86_400e6
    assert later == pytest.approx(5.0, abs=0.5)
    assert np.array_equal(contents(copy)["TEMP"][0][:5], repeated["TEMP"][0][:5])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"faults": [{"product": "en4", "kind": "celsius", "dates": ["2012-03-01"]}]}, "files of 'en4' can have bad_"),
        (
            {"faults": [{"product": "en4", "kind": "empty", "dates": ["2012-05-01"]}]},
            r"without a file: \['2012-05-01'\]",
        ),
        ({"faults": [{"product": "argo", "kind": "no_position", "floats": [43]}]}, "`floats` from 1 to 42"),
        ({"faults": [{"product": "argo", "kind": "no_position", "floats": [1], "cycles": [9]}]}, "not a profile 9"),
        ({"en4": {**DATES, "profiles_per_day": 6, "end": "2012-01-01"}}, "is before `start`"),
        ({"en4": None, "argo": None}, "nothing to write"),
        ({"region": (0, 15, 10, 25)}, "no water deeper than 1500 m"),
    ],
)
def test_impossible_profiles_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        synthesize(settings(**changes), tmp_path)
