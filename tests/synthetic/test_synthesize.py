"""Files must read as the real products' do, byte for byte the same each time, with the faults that were asked for."""

import datetime as dt
import hashlib
from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest
import xarray as xr

from oceanrecon.config import load_settings, parse_settings
from oceanrecon.errors import ConfigError
from oceanrecon.synthetic.coast import coast
from oceanrecon.synthetic.config import ArchiveSynthesis
from oceanrecon.synthetic.synthesize import synthesize
from oceanrecon.synthetic.truth import Ocean, noon

CONFIGS = Path(__file__).parents[2] / "configs"
WEEK = {"start": "2012-02-28", "end": "2012-03-01"}


def settings(**changes: Any) -> ArchiveSynthesis:
    data: dict[str, Any] = {
        "seed": 3,
        "glorys": {"cells_per_degree": 0.5, "start": "2012-02-29", "end": "2012-02-29", "levels": 9},
        "ostia": {"cells_per_degree": 0.5, **WEEK},
        "sealevel": {"cells_per_degree": 0.5, **WEEK, "longitudes": "0..360"},
        "sss": {"cells_per_degree": 0.5, **WEEK, "latitudes": "descending"},
    }
    return parse_settings(ArchiveSynthesis, data | changes, "test")


def digests(root: Path) -> dict[str, str]:
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("archive")
    synthesize(settings(), root)
    return root


def test_equal_settings_give_equal_bytes_and_no_litter(archive: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    written = synthesize(settings(), str(tmp_path), lambda *news: seen.append(news))
    assert digests(tmp_path) == digests(archive)
    assert sorted(digests(tmp_path)) == sorted(written)
    assert seen[-1] == (10, 10, written[-1])


def test_names_times_and_conventions_are_the_products_own(archive: Path) -> None:
    names = {path.parent.name: path.name for path in sorted(archive.rglob("*20120229*"))}
    assert names == {
        "glorys": "mercatorglorys12v1_gl12_mean_20120229_R20120307.nc",
        "ostia": "20120229120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB_REP-v02.0-fv02.0.nc",
        "sealevel": "dt_global_allsat_phy_l4_20120229_20241017.nc",
        "sss": "dataset-sss-ssd-rep-daily_20120229T1200Z_P20240215T0000Z.nc",
    }
    opened = {product: xr.open_dataset(archive / product / name) for product, name in names.items()}
    expected = {"glorys": "2012-02-29T12", "ostia": "2012-02-29T12", "sealevel": "2012-02-29", "sss": "2012-02-29T12"}
    for product, dataset in opened.items():
        assert dataset.time.values[0] == np.datetime64(expected[product]), product
        dataset.close()
    assert opened["glorys"].latitude.values[[0, -1]].tolist() == [-80.0, 90.0]
    assert opened["glorys"].longitude.values[[0, -1]].tolist() == [-180.0, 178.0]
    assert opened["glorys"].thetao.dims == ("time", "depth", "latitude", "longitude")
    assert opened["ostia"].lat.values[[0, -1]].tolist() == [-89.0, 89.0]
    assert opened["sealevel"].longitude.values[[0, -1]].tolist() == [1.0, 359.0]
    assert opened["sss"].lat.values[[0, -1]].tolist() == [89.0, -89.0]
    assert opened["sss"].sos.shape == (1, 1, 90, 180)
    assert set(opened["sealevel"]) == {
        "sla", "err_sla", "ugosa", "err_ugosa", "vgosa", "err_vgosa", "adt", "ugos", "vgos", "flag_ice",
        "tpa_correction",
    }  # fmt: skip


def test_netcdf_library_reads_the_dimensions(archive: Path) -> None:
    with netCDF4.Dataset(next((archive / "glorys").glob("*.nc"))) as dataset:
        assert {name: size.size for name, size in dataset.dimensions.items()} == {
            "time": 1, "depth": 9, "latitude": 86, "longitude": 180,
        }  # fmt: skip
        assert dataset["thetao"].filters()["zlib"] and dataset["thetao"].filters()["shuffle"]
        assert dataset["thetao"].chunking() == [1, 7, 86, 180]
        assert dataset["thetao"].units == "degrees_C"


def test_files_hold_the_truth_within_their_rounding(archive: Path) -> None:
    """HDF5's own filters against the ocean: every chunk, the ones at the edges too, is where it belongs."""
    with xr.open_dataset(next((archive / "glorys").glob("*.nc"))) as dataset:
        latitude, longitude = (dataset[name].values.astype(float) for name in ("latitude", "longitude"))
        temperature, salinity = (
            Ocean(3).columns(latitude, longitude, noon(dt.date(2012, 2, 29))).levels(dataset.depth.values.astype(float))
        )
        assert np.nanmax(np.abs(dataset.thetao.values[0] - temperature)) < 0.0004
        assert np.nanmax(np.abs(dataset.so.values[0] - salinity)) < 0.0008
        assert np.array_equal(np.isnan(dataset.thetao.values[0, 0]), coast().land_at(latitude, longitude))
        assert 0.3 < np.nanmax(np.abs(dataset.uo.values)) < 3.0
    with xr.open_dataset(sorted((archive / "sealevel").glob("*.nc"))[1]) as dataset:
        columns = Ocean(3).columns(
            dataset.latitude.values.astype(float), dataset.longitude.values.astype(float), noon(dt.date(2012, 2, 29))
        )
        assert np.nanmax(np.abs(dataset.adt.values[0] - columns.sea_level)) < 0.00006


def test_small_chunks_and_a_region_across_the_dateline(tmp_path: Path) -> None:
    config = settings(
        region=(170, -50, 200, -20), glorys=None, ostia=None, sss=None,
        sealevel={"cells_per_degree": 4, "start": "2012-02-29", "end": "2012-02-29", "variables": ["adt"]},
    )  # fmt: skip
    (path,) = synthesize(config, tmp_path)
    with h5py.File(tmp_path / path) as file:
        assert file["adt"].shape == (1, 120, 120) and file["adt"].chunks == (1, 50, 50)
        longitude, latitude = (file[name][:].astype(float) for name in ("longitude", "latitude"))
        stored = file["adt"][0] * 1e-4
        assert longitude[[0, -1]].tolist() == [170.125, 199.875]
    columns = Ocean(3).columns(latitude, longitude, noon(dt.date(2012, 2, 29)))
    wet = ~coast().land_at(latitude, longitude)
    assert np.abs(stored - columns.sea_level)[wet].max() < 0.00006


def test_every_fault_is_in_its_file(tmp_path: Path) -> None:
    faults = [
        {"product": "glorys", "kind": "superseded", "dates": ["2012-02-29"]},
        {"product": "ostia", "kind": "missing", "dates": ["2012-02-28"]},
        {"product": "ostia", "kind": "celsius", "dates": ["2012-02-29", "2012-03-01"]},
        {"product": "ostia", "kind": "no_units", "dates": ["2012-03-01"]},
        {"product": "sealevel", "kind": "truncated", "dates": ["2012-02-28"]},
        {"product": "sealevel", "kind": "undeclared_fill", "dates": ["2012-02-29"]},
        {"product": "sealevel", "kind": "undated", "dates": ["2012-03-01"]},
        {"product": "sss", "kind": "several_days", "dates": ["2012-02-29", "2012-03-01"]},
    ]
    synthesize(settings(faults=faults), tmp_path)
    names = {
        product: sorted(path.name for path in (tmp_path / product).iterdir())
        for product in ("glorys", "ostia", "sealevel", "sss")
    }
    assert names["glorys"] == [f"mercatorglorys12v1_gl12_mean_20120229_R{day}.nc" for day in ("20120303", "20120307")]
    old, new = (xr.load_dataset(tmp_path / "glorys" / name).thetao for name in names["glorys"])
    assert float(np.abs(old - new).max()) > 0.5

    assert [name[:8] for name in names["ostia"]] == ["20120229", "20120301"]
    declared, undeclared = (xr.load_dataset(tmp_path / "ostia" / name).analysed_sst for name in names["ostia"])
    assert declared.attrs["units"] == "celsius" and "units" not in undeclared.attrs
    assert 25 < float(declared.max()) < 35 and 25 < float(undeclared.max()) < 35

    undated, truncated, undeclared_fill = names["sealevel"]
    with pytest.raises(OSError, match="truncated"):
        h5py.File(tmp_path / "sealevel" / truncated)
    with xr.open_dataset(tmp_path / "sealevel" / undeclared_fill) as dataset:
        assert float(dataset.adt.min()) == pytest.approx(-214748.3647)
    assert not any(character.isdigit() for character in undated.split("_")[-1].replace("copy1", ""))
    with netCDF4.Dataset(tmp_path / "sealevel" / undated) as dataset:
        assert "time" in dataset.dimensions and "time" not in dataset.variables

    days = xr.load_dataset(tmp_path / "sss" / names["sss"][0])
    assert names["sss"][0].endswith("_2012-02-29-2012-03-01.nc")
    assert days.time.dt.day.values.tolist() == [29, 1]
    assert float(np.abs(days.sos[1] - days.sos[0]).max()) > 0


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("archive-*.yaml")), ids=lambda path: path.stem)
def test_settings_that_users_start_from_are_valid(path: Path) -> None:
    found = load_settings(ArchiveSynthesis, path)
    assert found.products or found.daily


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sead": 1}, "did you mean 'seed'"),
        ({"region": (0, 0, 0.1, 0.1)}, "widen the region"),
        ({"ostia": {"cells_per_degree": 1, **WEEK, "variables": ["sst"]}}, "'sst' is not in this product"),
        ({"faults": [{"product": "ostia", "kind": "missing", "dates": ["2012-04-01"]}]}, "without a file"),
    ],
)
def test_impossible_settings_are_named(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        synthesize(settings(**changes), tmp_path)
