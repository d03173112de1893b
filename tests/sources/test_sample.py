"""Risk: a sampled value depends on how a file is laid out, a chunk is read twice, or a fill becomes a number."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from oceanrecon.errors import SourceError
from oceanrecon.grid import Axis
from oceanrecon.sources.block import Source
from oceanrecon.sources.registry import product
from oceanrecon.sources.sample import Samples, matched_dates, sample_file

#: A grid of two degrees: 40 rows from the south, 60 columns of a region over the dateline.
LATITUDE, LONGITUDE = Axis(-39.0, 2.0, 40), Axis(121.0, 2.0, 60)
DATE = dt.date(2012, 2, 29)
LEVELS = 5
Field = NDArray[np.float64]
#: Values and attributes by name.
Variables = Mapping[str, tuple[NDArray[Any], Mapping[str, Any]]]


def write(path: Path, variables: Variables, chunks: tuple[int, ...] | None = None) -> Path:
    """A NetCDF-4 file by h5py: name -> values with as many dimensions as they need, and attributes."""
    sizes = {"time": 1, "depth": LEVELS, "latitude": LATITUDE.size, "longitude": LONGITUDE.size}
    with h5py.File(path, "w") as file:
        for name, size in sizes.items():
            file[name] = np.arange(size, dtype="f4")
            file[name].make_scale(name)
        for name, (values, attributes) in variables.items():
            own: dict[str, Any] = {}
            if chunks is not None and values.ndim > 1:
                own = {"chunks": (1, *chunks[-values.ndim + 1 :]), "compression": "gzip"}
            stored = file.create_dataset(name, data=values, **own)
            wanted = {1: ["time"], 3: ["time", "latitude", "longitude"], 4: list(sizes)}[values.ndim]
            for number, dimension in enumerate(wanted):
                stored.dims[number].attach_scale(file[dimension])
            for key, value in attributes.items():
                stored.attrs[key] = value
    return path


def sample(path: Path, name: str, latitude: Sequence[float] | Field, longitude: Sequence[float] | Field) -> Samples:
    state = path.stat()
    source = Source(path.name, DATE, 0, state.st_size, state.st_mtime_ns)
    levels = LEVELS if name == "glorys" else 0
    return sample_file(
        str(path.parent), source, product(name), (LATITUDE, LONGITUDE), levels,
        np.asarray(latitude, np.float64), np.asarray(longitude, np.float64),
    )  # fmt: skip


def surface(value: float = 0.0) -> NDArray[np.float32]:
    return np.full((1, LATITUDE.size, LONGITUDE.size), value, np.float32)


def places(n: int, seed: int = 2) -> tuple[Field, Field]:
    random = np.random.default_rng(seed)
    return random.uniform(-42, 42, n), random.choice([-360.0, 0.0, 360.0], n) + random.uniform(118, 243, n)


@pytest.mark.parametrize("chunks", [None, (1, 1, 1, 1), (1, 2, 7, 11), (1, 5, 40, 60), (1, 3, 1, 60), (1, 1, 40, 1)])
def test_the_layout_on_disk_does_not_show(tmp_path: Path, chunks: tuple[int, ...] | None) -> None:
    random = np.random.default_rng(1)
    thetao = random.integers(-2000, 8000, (1, LEVELS, LATITUDE.size, LONGITUDE.size)).astype(np.int16)
    thetao[random.random(thetao.shape) < 0.3] = -32767
    packing: dict[str, Any] = {
        "scale_factor": 0.001,
        "add_offset": 10.0,
        "_FillValue": np.int16(-32767),
        "units": "degrees_C",
    }
    zos = random.normal(size=(1, LATITUDE.size, LONGITUDE.size)).astype(np.float32)
    variables: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
        "thetao": (thetao, packing),
        "zos": (zos, {"units": "m"}),
    }
    plain = sample(write(tmp_path / "plain.nc", variables), "glorys", *places(200))
    other = {**variables, "thetao": (thetao.astype(">i2"), packing)}  # written on another machine
    found = sample(write(tmp_path / "other.nc", other, chunks), "glorys", *places(200))
    for name in ("thetao", "zos"):
        np.testing.assert_array_equal(np.isnan(found.values[name]), np.isnan(plain.values[name]))
        np.testing.assert_allclose(found.values[name], plain.values[name], rtol=3e-7, atol=1e-6)
    assert found.values["thetao"].shape == (200, LEVELS) and found.values["zos"].shape == (200,)
    assert 0.3 < np.isfinite(found.values["zos"]).mean() < 1
    # one after the other, they are as all at once
    latitude, longitude = places(200)
    for number in (0, 17, 199):
        alone = sample(tmp_path / "other.nc", "glorys", latitude[[number]], longitude[[number]])
        assert alone.values["thetao"].tobytes() == found.values["thetao"][[number]].tobytes()


def test_each_chunk_that_a_profile_touches_is_read_once_and_no_other(tmp_path: Path) -> None:
    thetao = np.zeros((1, LEVELS, LATITUDE.size, LONGITUDE.size), np.float32)
    path = write(tmp_path / "a.nc", {"thetao": (thetao, {"units": "degC"})}, chunks=(1, 2, 10, 15))
    layers = 3  # of two levels each
    assert sample(path, "glorys", [-38.0], [122.0]).chunks_read == layers
    # between rows 9 and 10 and columns 14 and 15: four chunks
    assert sample(path, "glorys", [-20.0], [150.0]).chunks_read == 4 * layers
    assert sample(path, "glorys", [-21.0], [149.0]).chunks_read == layers  # on a node: its neighbours have no part
    assert sample(path, "glorys", [60.0], [150.0]).chunks_read == 0
    assert sample(path, "glorys", [], []).chunks_read == 0
    latitude, longitude = places(500)
    assert sample(path, "glorys", latitude, longitude).chunks_read == 4 * 4 * layers


def value(tmp_path: Path, name: str, stored: Any, attributes: dict[str, Any], variable: str) -> tuple[float, list[str]]:
    """What a field of one number everywhere is sampled as, and what is said of it."""
    array = np.full((1, LATITUDE.size, LONGITUDE.size), stored)
    if variable == "thetao":
        array = np.repeat(array[:, None], LEVELS, axis=1)
    found = sample(write(tmp_path / "v.nc", {variable: (array, attributes)}), name, [0.1], [150.1])
    notes = [note for note in found.notes if " have no " not in note]
    return float(found.values[variable].ravel()[0]), notes


@pytest.mark.parametrize(
    ("name", "variable", "stored", "attributes", "wanted"),
    [
        ("ostia", "analysed_sst", np.float32(10), {"units": "celsius"}, 283.15),
        ("ostia", "analysed_sst", np.float32(283.15), {"units": "kelvin"}, 283.15),
        ("ostia", "analysed_sst", np.int16(1000), {"units": "K", "scale_factor": 0.01, "add_offset": 273.15}, 283.15),
        ("ostia", "analysis_error", np.float32(0.4), {"units": "celsius"}, 0.4),  # a difference
        ("glorys", "thetao", np.float32(283.15), {"units": "K"}, 10.0),
        ("glorys", "thetao", np.float32(10), {"units": "degrees_C"}, 10.0),
        ("sealevel", "adt", np.float32(35), {"units": "cm"}, 0.35),
        ("sealevel", "adt", np.int32(-2147483647), {"units": "m", "scale_factor": 0.0001}, np.nan),
        ("sealevel", "adt", np.float32(1e20), {"units": "m"}, np.nan),
        ("sealevel", "adt", np.float32(np.nan), {"units": "m"}, np.nan),
        ("sealevel", "adt", np.float32(-1), {"units": "m", "missing_value": np.float32(-1)}, np.nan),
        ("sealevel", "adt", np.float32(-1), {"units": "m", "_FillValue": np.float32(-1)}, np.nan),
        ("sealevel", "flag_ice", np.int8(1), {}, 1.0),
        ("sss", "sos", np.float32(12.5), {"units": "1e-3"}, 12.5),
        ("sss", "sea_ice_fraction", np.float32(0.5), {"units": "percent"}, 0.5),  # it says so, and is a fraction
    ],
)  # fmt: skip
def test_units_and_fills(
    tmp_path: Path, name: str, variable: str, stored: Any, attributes: dict[str, Any], wanted: float
) -> None:
    found, notes = value(tmp_path, name, stored, attributes, variable)
    assert found == pytest.approx(wanted, rel=1e-6, nan_ok=True) and notes == []


def test_missing_units_are_guessed_and_strange_ones_are_not(tmp_path: Path) -> None:
    for stored, wanted, spelled in ((10.0, 10.0, "degrees Celsius"), (283.15, 10.0, "kelvin")):
        found, notes = value(tmp_path, "glorys", np.float32(stored), {}, "thetao")
        assert found == pytest.approx(wanted, rel=1e-6) and len(notes) == 1 and spelled in notes[0]
    found, notes = value(tmp_path, "sealevel", np.float32(1), {"units": "furlong"}, "adt")
    assert np.isnan(found)
    assert "'furlong'" in notes[0] and "it is missing" in notes[0]


def test_a_number_for_the_whole_day_is_for_everywhere(tmp_path: Path) -> None:
    variables = {"tpa_correction": (np.array([125], np.int32), {"scale_factor": 0.0001, "units": "m"})}
    found = sample(write(tmp_path / "a.nc", variables), "sealevel", [0.0, 85.0], [150.0, 0.0])
    np.testing.assert_allclose(found.values["tpa_correction"], [0.0125, 0.0125], rtol=1e-6)
    variables["tpa_correction"][0][0] = -2147483647
    found = sample(write(tmp_path / "a.nc", variables), "sealevel", [0.0], [150.0])
    assert np.isnan(found.values["tpa_correction"]).all()


def test_flags_are_never_a_mean_and_of_equally_near_ones_the_first(tmp_path: Path) -> None:
    mask = np.zeros((1, LATITUDE.size, LONGITUDE.size), np.int8)
    mask[0, :, ::2] = 9
    path = write(tmp_path / "a.nc", {"mask": (mask, {})})
    found = sample(path, "ostia", [0.0, 0.0, 0.0, 0.0], [121.4, 121.99, 122.0, 122.01]).values["mask"]
    assert found.tolist() == [9.0, 9.0, 9.0, 0.0]


def test_variables_that_a_file_lacks_are_missing_and_told(tmp_path: Path) -> None:
    found = sample(write(tmp_path / "a.nc", {"sos": (surface(35.0), {"units": "1e-3"})}), "sss", [0.0], [150.0])
    assert found.notes == ["sss files have no dos, sea_ice_fraction: missing in the store"]
    assert found.values["sos"].tolist() == [35.0] and np.isnan(found.values["dos"]).all()


def test_a_file_that_is_not_the_one_of_the_plan_is_refused_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.nc", {"adt": (surface(), {"units": "m"})})
    state = path.stat()
    source = Source("a.nc", DATE, 0, state.st_size, state.st_mtime_ns)
    axes, at = (LATITUDE, LONGITUDE), (np.zeros(1), np.full(1, 150.0))

    def read(source: Source = source, axes: tuple[Axis, Axis] = axes) -> Samples:
        return sample_file(str(tmp_path), source, product("sealevel"), axes, 0, *at)

    assert read().values["adt"].tolist() == [0.0]
    with pytest.raises(SourceError, match=r"a\.nc: adt has the dimensions .* inventory"):
        read(axes=(Axis(-39.0, 2.0, 41), LONGITUDE))
    with pytest.raises(SourceError, match=r"a\.nc: adt has the dimensions"):
        read(Source("a.nc", DATE, 1, state.st_size, state.st_mtime_ns))
    os.utime(path, ns=(0, 5))
    with pytest.raises(SourceError, match=r"a\.nc: it changed since it was listed"):
        read()
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(SourceError, match=r"a\.nc: .*(truncated|not |HDF)"):
        read(Source("a.nc", DATE, 0, 3000, path.stat().st_mtime_ns))
    path.unlink()
    with pytest.raises(SourceError, match=r"a\.nc: it does not exist any more"):
        read()


def test_damage_inside_a_file_is_told_by_name_and_never_sampled(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    adt = random.normal(size=(1, LATITUDE.size, LONGITUDE.size)).astype(np.float32)
    path = write(tmp_path / "a.nc", {"adt": (adt, {"units": "m"})}, chunks=(1, 40, 60))
    with h5py.File(path) as file:
        chunk = file["adt"].id.get_chunk_info(0)
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset + chunk.size // 3)
        stream.write(b"\xff" * (chunk.size // 3))
    with pytest.raises(SourceError, match=r"a\.nc: .*damaged"):
        sample(path, "sealevel", [0.0], [150.0])


@given(
    days=st.lists(st.integers(-40, 40), min_size=1, max_size=8),
    available=st.sets(st.integers(-30, 30), max_size=8),
    gap=st.integers(0, 20),
)
def test_the_nearest_file_in_real_days(days: list[int], available: set[int], gap: int) -> None:
    files = sorted(available)
    index, status = matched_dates(days, np.array(files, np.int64), gap)
    for day, place, state in zip(days, index.tolist(), status.tolist(), strict=True):
        if not files:
            assert (place, state) == (-1, 2)
            continue
        nearest = min(files, key=lambda file: (abs(file - day), file))
        if abs(nearest - day) > gap:
            assert (place, state) == (-1, 3)
        else:
            assert (files[place], state) == (nearest, 0 if files[0] <= day <= files[-1] else 1)
