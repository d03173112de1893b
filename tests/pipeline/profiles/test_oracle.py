"""Risk: the numbers. Every column of the store against plain loops in float64 that share no code with the pipeline."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
import pytest
import xarray as xr
from distributed import Client
from numpy.typing import NDArray

from oceanrecon.pipeline.profiles.enrich import EnrichResult
from tests.archives import DEPTH, WEEKLY, copied
from tests.pipeline.profiles.tiny import EPOCH, SLOTS, en4_name, enrich, settings
from tests.profile_files import write_en4

Field = NDArray[np.float64]
#: A gridded file further away than this is not taken.
GAP = 4
#: Sea level: 02-22 is as far from the first as from the second; 02-29 is five days from either side.
SEALEVEL = tuple(dt.date(2012, 2, 20) + dt.timedelta(days=n) for n in (0, 4, 14, 15))
LONELY_OSTIA = dt.date(2012, 2, 25)
NEAREST = ("ostia_mask", "sealevel_flag_ice")
SAMPLED = {
    "glorys": ("thetao", "so", "uo", "zos"), "ostia": ("analysed_sst", "mask"),
    "sealevel": ("adt", "flag_ice", "tpa_correction"), "sss": ("sos", "dos"),
}  # fmt: skip
#: Position and what is special there; EN4 has longitudes of both conventions.
PLACES = (
    (0.0, 180.0), (12.5, -180.0), (33.3, 179.9), (33.3, -179.9), (-60.1, 359.9), (-60.1, 0.1), (51.0, 300.4),
    (89.9, 10.0), (90.0, 100.0), (-89.9, 10.0), (-79.0, -150.0), (-82.0, -150.0), (-83.0, -150.0),
    (10.0, 31.5), (10.0, -31.5), (41.0, 0.0), (43.0, 5.0), (-20.0, 12.0), (45.0, 20.0), (44.9, 22.4), (0.0, 0.0),
    (-70.0, -100.0), (62.5, 147.5), (-87.5, 2.5),
)  # fmt: skip


@pytest.fixture(scope="module")
def fields(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny archive with fewer days and more variables: other layouts on disk, masks, one number for a day."""
    mine = copied(archive, tmp_path_factory.mktemp("oracle") / "archive")
    random = np.random.default_rng(5)
    for path in sorted(mine.rglob("*.nc")):
        product = path.parent.name
        if product == "sealevel" and not any(f"_l4_{date:%Y%m%d}_" in path.name for date in SEALEVEL):
            path.unlink()
            continue
        if path.name.startswith(f"{LONELY_OSTIA:%Y%m%d}"):
            path.unlink()
            continue
        with netCDF4.Dataset(path, "a") as file:
            dimensions = tuple(file.dimensions)
            surface = tuple(name for name in dimensions if name != "depth")
            shape = tuple(len(file.dimensions[name]) for name in surface)
            if product == "glorys":
                gaps = random.random(shape) < 0.2
                _add(file, "zos", np.where(gaps, 9e36, random.normal(0, 1, shape)).astype("f4"), surface, "m", 9e36)
                shape = tuple(len(file.dimensions[name]) for name in dimensions)
                speed = random.integers(-3000, 3000, shape).astype("i2")
                _add(file, "uo", speed, dimensions, "m s-1", -32767, scale=0.001, chunksizes=(1, 3, 11, 7))
            if product == "ostia":
                _add(file, "mask", random.choice([1, 2, 5, 9, -128], shape).astype("i1"), surface, None, -128)
            if product == "sealevel":
                _add(file, "flag_ice", random.integers(0, 2, shape).astype("i4"), surface, None, -2147483647)
                drift = np.array([random.integers(1, 90)], "i4")
                _add(file, "tpa_correction", drift, surface[:1], "m", -2147483647, scale=0.0001)
    return mine


def _add(
    file: netCDF4.Dataset, name: str, stored: NDArray[Any], dimensions: Sequence[str], units: str | None, fill: float,
    *, scale: float | None = None, **storage: Any,
) -> None:  # fmt: skip
    variable = file.createVariable(name, stored.dtype, tuple(dimensions), fill_value=fill, **storage)
    variable.set_auto_maskandscale(False)
    if units is not None:
        variable.units = units
    if scale is not None:
        variable.scale_factor = scale
    variable[:] = stored


@dataclass(frozen=True)
class Profile:
    """What one row must come from."""

    file: str
    index: int
    juld: float
    latitude: float
    longitude: float
    depth: Field
    values: dict[str, Field]
    flags: dict[str, str]
    profile_flags: dict[str, str]

    @property
    def day(self) -> dt.date:
        return EPOCH + dt.timedelta(days=int(self.juld // 1))


def make_profiles(month: str, folder: Path, seed: int) -> list[Profile]:
    """Write a month of EN4, and tell what is in it."""
    random = np.random.default_rng(seed)
    places = [*PLACES, *zip(random.uniform(-90, 90, 6), random.uniform(-180, 360, 6), strict=True)]
    n = len(places)
    first = (dt.date.fromisoformat(f"{month}-01") - EPOCH).days
    # the days whose match is special, then any of them
    special = [23, 22, 24, 10, 28, 27, 14] if month == "2012-02" else [0, 1, 6, 10, 11, 30, 12]
    days = np.array([*special, *random.integers(0, 29, n - len(special))]) + random.random(n)
    days[0], days[1] = special[0], special[1] + 1 - 1e-6  # the first and the last moment of a day
    depth = random.choice([60.0, 600.0], (n, 1)) * random.random((n, SLOTS))
    depth[::2] = np.sort(depth[::2], axis=1)
    depth[1::5] = np.round(depth[1::5], -1)
    depth[2::7, 3] = -2.0
    depth[:, 5] = np.float32(DEPTH[1])  # exactly on a level
    depth[random.random(depth.shape) < 0.1] = np.nan
    depth[n - 1] = np.nan
    values = {name: random.normal(mean, 2, depth.shape) for name, mean in (("temp", 14), ("potm", 13), ("psal", 35))}
    for value in values.values():
        value[random.random(depth.shape) < 0.1] = np.nan
    values["psal"][3] = np.nan
    flags = {
        name: ["".join(random.choice(list("1112 403"), SLOTS)) for _ in range(n)]
        for name in ("depth", "temp", "potm", "psal")
    }
    flags["depth"] = ["1" * SLOTS if number % 3 else text for number, text in enumerate(flags["depth"])]
    profile_flags = {name: "".join(random.choice(list("1112 4"), n)) for name in ("depth", "potm", "psal")}
    measured: dict[str, Any] = values | {f"{name}_qc": text for name, text in flags.items()}
    measured |= {f"profile_{name}_qc": text for name, text in profile_flags.items()}
    write_en4(
        folder / en4_name(month), n, depth=depth, **measured,
        juld=first + days, latitude=[y for y, _ in places], longitude=[x for _, x in places],
        platform=[f"S{number}" for number in range(n)],
    )  # fmt: skip
    return [
        Profile(
            en4_name(month), i, float(first + days[i]), places[i][0], places[i][1],
            depth[i].astype(np.float32).astype(np.float64),
            {name: value[i].astype(np.float32).astype(np.float64) for name, value in values.items()},
            {name: text[i] for name, text in flags.items()},
            {name: text[i] for name, text in profile_flags.items()},
        )
        for i in range(n)
    ]  # fmt: skip


@dataclass(frozen=True)
class Made:
    profiles: list[Profile]
    store: xr.Dataset
    result: EnrichResult


@pytest.fixture(scope="module")
def made(fields: Path, client: Client, tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("oracle-profiles")
    told = [profile for seed, month in enumerate(("2012-02", "2012-03")) for profile in
            make_profiles(month, folder / "en4", seed)]  # fmt: skip
    assert len(told) == 60
    chosen = settings(folder, folder / "out", fields, argo=None, max_gap_days=GAP)
    result = enrich(chosen, client)
    assert result.complete
    # by day, then file, then place in it
    told.sort(key=lambda profile: (profile.juld // 1, profile.file, profile.index))
    return Made(told, xr.open_zarr(result.store, chunks=None).load(), result)


def flag(character: str) -> int:
    return -1 if character == " " else int(character)


def aligned(profile: Profile, name: str) -> tuple[Field, list[int]]:
    """The rule, level by level: values and worst flags."""
    values = profile.depth if name == "depth" else profile.values[name]
    good = {flag("1"), flag("2"), flag(" ")}
    good_depth = good | {flag("0"), flag("3")}  # of depths, EN4 rejects those flagged 4
    own, of_depth = [[flag(c) for c in profile.flags[key]] for key in (name, "depth")]
    rejected = name != "depth" and profile.profile_flags["psal" if name == "psal" else "potm"] == "4"
    kept = [
        (profile.depth[i], values[i], max(own[i], of_depth[i]) if name == "depth" else own[i])
        for i in range(SLOTS)
        if np.isfinite(profile.depth[i]) and np.isfinite(values[i]) and profile.depth[i] >= 0
        and own[i] in (good_depth if name == "depth" else good) and of_depth[i] in good_depth and not rejected
    ]  # fmt: skip
    out, worst = np.full(len(DEPTH), np.nan), [-1] * len(DEPTH)
    if not kept:
        return out, worst
    x = sorted({d for d, _, _ in kept})
    y = [np.mean([v for d, v, _ in kept if d == at]) for at in x]
    f = [max(c for d, _, c in kept if d == at) for at in x]
    for level, depth in enumerate(DEPTH):
        z = float(np.float32(depth))
        near = min(abs(z - at) for at in x)
        if x[0] <= z <= x[-1] and near <= max(0.1 * z, 10.0):
            out[level] = np.interp(z, x, y)
            used = [i for i, at in enumerate(x) if abs(at - z) <= 1e-6] or [
                max(i for i, at in enumerate(x) if at < z), min(i for i, at in enumerate(x) if at > z)
            ]  # fmt: skip
            worst[level] = max(f[i] for i in used)
    return out, worst


@pytest.mark.parametrize("name", ["temp", "potm", "psal", "depth"])
def test_measured_values_and_flags_are_those_of_the_rule(made: Made, name: str) -> None:
    wanted = [aligned(profile, name) for profile in made.profiles]
    flags = np.array([worst for _, worst in wanted])
    np.testing.assert_array_equal(made.store[f"argo_{name}_qc_on_glorys_depth"], flags)
    assert {-1, 1, 2} <= set(flags.ravel().tolist())
    if name == "depth":
        return
    values = np.array([value for value, _ in wanted])
    assert 30 < np.isfinite(values).sum() < 140
    np.testing.assert_allclose(made.store[f"argo_{name}_on_glorys_depth"], values, rtol=2e-7)
    np.testing.assert_array_equal(made.store[f"argo_{name}_valid_on_glorys_depth"], np.isfinite(values))


def test_identity_and_order(made: Made) -> None:
    store, told = made.store, made.profiles
    assert store["profile"].values.tolist() == list(range(60))
    assert store["profile_source_file"].values.tolist() == [profile.file for profile in told]
    assert store["profile_idx"].values.tolist() == [profile.index for profile in told]
    assert store["profile_date"].values.tolist() == [int(f"{profile.day:%Y%m%d}") for profile in told]
    np.testing.assert_array_equal(store["profile_juld"], [profile.juld for profile in told])
    np.testing.assert_array_equal(store["latitude"], [profile.latitude for profile in told])
    inside = [profile.longitude - 360 if profile.longitude >= 180 else profile.longitude for profile in told]
    np.testing.assert_allclose(store["longitude"], inside, rtol=0, atol=1e-12)
    assert store["longitude"].min() >= -180 and store["longitude"].max() < 180
    assert store["valid_observed_depth_count"].values.tolist() == [int((p.depth >= 0).sum()) for p in told]
    for name in ("depth", "potm", "psal"):
        wanted = [flag(profile.profile_flags[name]) for profile in told]
        assert store[f"argo_profile_{name}_qc"].values.tolist() == wanted
    assert set(store["source_kind"].values.tolist()) == {"en4"}
    assert set(store["cycle_number"].values.tolist()) <= {-1}
    assert store["platform_number"].values.tolist() == [f"S{profile.index}" for profile in told]


def dates_of(product: str) -> list[dt.date]:
    if product == "glorys":
        return list(WEEKLY)
    if product == "sealevel":
        return list(SEALEVEL)
    days = [WEEKLY[0] + dt.timedelta(days=n) for n in range(-3, 17)]
    return [day for day in days if product != "ostia" or day != LONELY_OSTIA]


def match(product: str, day: dt.date) -> tuple[dt.date | None, int]:
    dates = dates_of(product)
    nearest = min(dates, key=lambda date: (abs((date - day).days), date))
    if abs((nearest - day).days) > GAP:
        return None, 3
    return nearest, 0 if dates[0] <= day <= dates[-1] else 1


def decoded(fields: Path, product: str, name: str, date: dt.date) -> tuple[Field, Field, Field]:
    """By the netCDF library: [level, y, x], NaN where missing, and the nodes."""
    mark = {"glorys": "_mean_{}_R", "ostia": "{}120000-", "sealevel": "_l4_{}_", "sss": "daily_{}T"}[product]
    (path,) = (path for path in (fields / product).glob("*.nc") if mark.format(f"{date:%Y%m%d}") in path.name)
    with netCDF4.Dataset(path) as file:
        file.set_auto_maskandscale(False)
        variable = file[name]
        stored = variable[:].astype(np.float64)
        attributes = {key: variable.getncattr(key) for key in variable.ncattrs()}
        fill = float(attributes.get("_FillValue", -2147483647))
        values = stored * attributes.get("scale_factor", 1.0) + attributes.get("add_offset", 0.0)
        values[stored == fill] = np.nan
        y, x = (file[file[SAMPLED[product][0]].dimensions[n]][:].astype(np.float64) for n in (-2, -1))
    return values.reshape(-1, y.size, x.size) if values.ndim > 1 else values.reshape(1, 1, 1), y, x


def around(nodes: Field, at: float, periodic: bool) -> list[tuple[int, float]]:
    """The nodes next to a place and their weights; beyond the ends, within half a cell, the end itself."""
    step, size = nodes[1] - nodes[0], nodes.size
    position = (at - nodes[0]) / step
    if periodic:
        position %= size
    elif not -0.5 <= position <= size - 0.5:
        return []
    else:
        position = min(max(position, 0.0), size - 1.0)
    low = int(np.floor(position + 1e-9))
    part = max(position - low, 0.0)
    return [(low % size, 1 - part), ((low + 1) % size if periodic else min(low + 1, size - 1), part)]


def sampled(fields: Path, product: str, name: str, profile: Profile) -> Field:
    date, _ = match(product, profile.day)
    levels = len(DEPTH) if name in ("thetao", "so", "uo") else 1
    if date is None:
        return np.full(levels, np.nan)
    values, y, x = decoded(fields, product, name, date)
    if values.size == 1:
        return np.full(levels, values.item())
    rows, columns = around(y, profile.latitude, False), around(x, profile.longitude, True)
    corners = [(r, c, a * b) for r, a in rows for c, b in columns if a * b > 1e-9]
    if f"{product}_{name}" in NEAREST and corners:
        corners = [max(corners, key=lambda corner: round(corner[2], 9))]  # of equals the first on its axis
    out = np.full(levels, np.nan)
    for level in range(levels):
        valid = [(values[level, r, c], w) for r, c, w in corners if np.isfinite(values[level, r, c])]
        if valid:
            out[level] = sum(v * w for v, w in valid) / sum(w for _, w in valid)
    return out


@pytest.mark.parametrize("product", list(SAMPLED))
def test_fields_beside_the_profiles_are_those_of_plain_loops(made: Made, fields: Path, product: str) -> None:
    for name in SAMPLED[product]:
        wanted = np.array([sampled(fields, product, name, profile) for profile in made.profiles])
        found = made.store[f"{product}_{name}"].values.reshape(wanted.shape)
        with_value = np.isfinite(wanted)
        assert 0.05 < with_value.mean() < 0.8
        np.testing.assert_array_equal(np.isfinite(found), with_value, err_msg=name)
        np.testing.assert_allclose(found, wanted, rtol=3e-7, atol=1e-7, err_msg=name)
    for other in (str(name) for name in made.store if str(name).startswith(f"{product}_")):
        if other.removeprefix(f"{product}_") not in (*SAMPLED[product], "temporal_status"):  # these files have none
            assert np.isnan(made.store[other]).all()


@pytest.mark.parametrize("product", list(SAMPLED))
def test_the_nearest_file_in_time_and_what_is_said_of_it(made: Made, product: str) -> None:
    wanted = [match(product, profile.day)[1] for profile in made.profiles]
    assert made.store[f"{product}_temporal_status"].values.tolist() == wanted
    assert {0, 1, 3} <= set(wanted)


def test_a_day_as_near_to_two_files_takes_the_earlier(made: Made, fields: Path) -> None:
    """Told by the one number of a day: 02-22 is two days from 02-20 and from 02-24."""
    assert match("ostia", LONELY_OSTIA)[0] == dt.date(2012, 2, 24)
    days = made.store["profile_date"].values
    drift = made.store["sealevel_tpa_correction"].values
    early, late = (decoded(fields, "sealevel", "tpa_correction", date)[0].item() for date in SEALEVEL[:2])
    assert early != late
    for day, wanted in ((20120211, np.nan), (20120223, late), (20120224, late), (20120225, late)):
        np.testing.assert_allclose(drift[days == day], wanted, rtol=1e-6)
    assert (days == 20120225).any() and (days == 20120224).any()


def test_files_without_a_variable_are_told(made: Made) -> None:
    assert any("sealevel files have no sla, err_sla" in note for note in made.result.notes)
    assert any("glorys files have no vo, mlotst" in note for note in made.result.notes)
