"""Risk: a written sample that is not the one of the export, or that other people's programs read as something else."""

from __future__ import annotations

import csv
import datetime as dt
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import xarray as xr
from distributed import Client
from rasterio.transform import Affine

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.pipeline.patches.write import run_write
from oceanrecon.pipeline.patches.write_plan import rows_of
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.form import Sample, collate
from oceanrecon.samples.written import open_written
from oceanrecon.samples.written_bands import resized
from oceanrecon.transform.encode import stretch
from tests.archives import copied, truth
from tests.samples.written_rows import PATCHES, planned, table_of

KELVIN = 273.15


def same(one: Sample, other: Sample) -> None:
    assert (one.row, one.patch_id, one.date) == (other.row, other.patch_id, other.date)
    assert one.target.keys() == other.target.keys() == one.observed.keys() == other.observed.keys()
    for name in ("coords", "surface", "land", "points", "age"):
        assert getattr(one, name).dtype == getattr(other, name).dtype
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for field in one.target:
        np.testing.assert_array_equal(one.target[field], other.target[field])
        np.testing.assert_array_equal(one.observed[field], other.observed[field])


def records(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def kelvin(sample: Sample) -> dict[str, Any]:
    """Values of a sample of an export of 16 bits."""
    code = stretch("temperature_kelvin", "uint16")
    return {
        "target": code.decode(sample.target["temperature"]),
        "surface": code.decode(sample.surface[0]),
        "observed": sample.observed["temperature"],
    }


@pytest.fixture(scope="module")
def source(with_profiles: dict[str, Path]) -> ExportSource:
    """What was written, as the export has it."""
    rows = rows_of(table_of(), 20)
    return ExportSource(str(with_profiles["uint16"]), rows, surface=("analysed_sst",))


@pytest.fixture(scope="module")
def written(
    with_profiles: dict[str, Path], archive: Path, tmp_path_factory: pytest.TempPathFactory, client: Client
) -> dict[str, Path]:
    """Samples in all forms, for reading; a test that changes them takes a copy."""
    top = tmp_path_factory.mktemp("written")
    for form, more in (("zarr", {"scenario": "joint"}), ("geotiff", {}), ("npy", {"archive": archive})):
        plan = planned(with_profiles["uint16"], top / form, form, **more)
        assert run_write(plan, client).complete
    return {form: top / form for form in ("zarr", "geotiff", "npy")}


# -- zarr


def test_a_sample_in_zarr_is_that_of_the_export(written: dict[str, Path], with_profiles: dict[str, Path]) -> None:
    reader = pickle.loads(pickle.dumps(open_written(str(written["zarr"]))))
    rows = rows_of(table_of(), 20)
    export = ExportSource(str(with_profiles["uint16"]), rows, scenario="joint")
    assert reader.form == export.form
    some = [23, 0, 7, 7]  # another order, twice
    assert len(reader) == len(rows) == 24
    for read, wanted in zip(reader.samples(range(24)), export.samples(range(24)), strict=True):
        same(read, wanted)
    for read, wanted in zip(reader.samples(some), export.samples(some), strict=True):
        same(read, wanted)
        assert read.info == {"row": 1000 + read.row}
    assert sum(sample.points.size for sample in reader.samples(range(24))) > 50


def test_samples_that_were_written_before_ages_were_known_have_none(written: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(written["zarr"], tmp_path / "older")
    described = folder / "samples.zarr/zarr.json"
    group = json.loads(described.read_text())
    del group["consolidated_metadata"]["metadata"]["age"]
    described.write_text(json.dumps(group))
    known = [open_written(str(url)).samples(range(24)) for url in (folder, written["zarr"])]
    for older, newer in zip(*known, strict=True):
        np.testing.assert_array_equal(older.age, np.zeros(newer.points.size, np.float32))
    assert any(newer.age.any() for newer in known[1])


def test_plain_xarray_reads_physical_values(written: dict[str, Path], with_profiles: dict[str, Path]) -> None:
    samples = xr.open_zarr(written["zarr"] / "samples.zarr", chunks=None)
    dense = xr.open_zarr(with_profiles["uint16"] / "dense.zarr", chunks=None)
    place = int(np.flatnonzero((samples.patch_id == 15 * 120 + 105) & (samples.date == 20120307))[0])
    one = samples.isel(sample=place)
    across = np.arange(105, 125) % 120  # over the dateline
    wanted = dense.isel(time=2, latitude=slice(15, 35), longitude=across)
    np.testing.assert_array_equal(samples.depth, dense.depth)
    np.testing.assert_allclose(one.y, wanted.thetao, atol=1e-4)
    np.testing.assert_allclose(one.y_salinity, wanted.so, atol=1e-4)
    channel = samples.eo.attrs["channels"][2]
    assert channel["name"] == "adt"
    codes = one.eo.values[2]
    decoded = np.where(
        codes == samples.eo.attrs["missing"], np.nan, codes * channel["scale_factor"] + channel["add_offset"]
    )
    np.testing.assert_allclose(decoded, wanted.adt, atol=1e-5)
    table = pq.read_table(written["zarr"] / "samples.parquet").to_pylist()
    listed = records(written["zarr"] / "samples.csv")
    assert [int(row["position"]) for row in listed] == [row["position"] for row in table] == list(range(24))
    assert listed[place]["ostia_file_path"] == "ostia/with, comma.nc"
    assert int(listed[place]["point_count"]) == int(one.point_count)


def test_a_side_of_the_split_and_what_it_lacks(written: dict[str, Path]) -> None:
    for form in ("zarr", "npy"):
        sides = {side: open_written(str(written[form]), side) for side in ("train", "val")}
        assert [len(side) for side in sides.values()] == [12, 12]
        assert set(sides["val"].rows.patch_id % 120 // 15 % 2) == {1}
        assert sides["val"].samples([0])[0].patch_id == sides["val"].rows.patch_id[0]
    for form in written:
        with pytest.raises(ConfigError, match=r"no samples for split 'test'.*train .*val .*test 0"):
            open_written(str(written[form]), "test")
    with pytest.raises(ConfigError, match="no split 'valid'"):
        open_written(str(written["zarr"]), "valid")
    with pytest.raises(OutputError, match=r"has no written samples.*patches write"):
        open_written(str(written["zarr"].parent))


def test_a_damaged_or_vanished_file_names_row_and_remedy(written: dict[str, Path], tmp_path: Path) -> None:
    damage = {"zarr": "samples.zarr/y/c/1/0/0/0", "npy": "y_npy/00000007.npy"}
    triplet = records(written["geotiff"] / "manifest.csv")
    lost = next(row for row in triplet if row["glorys_tif_path"])
    damage["geotiff"] = lost["glorys_tif_path"]
    for form, path in damage.items():
        folder = copied(written[form], tmp_path / form)
        reader = open_written(str(folder))
        rows = list(range(len(reader)))
        whole = (folder / path).read_bytes()
        for content in (None, whole[: len(whole) // 2]):
            (folder / path).unlink()
            if content is not None:
                (folder / path).write_bytes(content)
            with pytest.raises(
                OutputError, match=rf"row \d+ \(patch \d+, \d+\): .*{path}.*patches write CONFIG --resume"
            ):
                pickle.loads(pickle.dumps(reader)).samples(rows)
            (folder / path).write_bytes(b"")


# -- GeoTIFF


def test_triplets_hold_the_sample_to_half_a_hundredth(written: dict[str, Path], source: ExportSource) -> None:
    index = records(written["geotiff"] / "manifest.csv")
    assert [int(row["export_index"]) for row in index] == list(range(1000, 1024))
    few = [row for row, sample in zip(index, source.samples(range(24)), strict=True) if sample.points.size < 4]
    assert {row["export_index"] for row in few} == {
        row["export_index"] for row in index if row["export_skipped_reason"]
    }
    assert 0 < len(few) < 24
    assert {row["export_skipped_reason"] for row in few} == {"valid_mask_1d_pixels_lt_4"}
    assert all(row["files_written"] == "0" and row["argo_tif_path"] == "" for row in few)
    reader = pickle.loads(pickle.dumps(open_written(str(written["geotiff"]))))
    assert (reader.form.encoding, reader.form.surface, reader.form.depth) == (
        None,
        ("analysed_sst",),
        source.form.depth,
    )
    kept = [number for number, row in enumerate(index) if not row["export_skipped_reason"]]
    assert len(reader) == len(kept)
    for read, wanted in zip(reader.samples(range(len(kept))), source.samples(kept), strict=True):
        values = kelvin(wanted)
        assert (read.patch_id, read.date) == (wanted.patch_id, wanted.date)
        np.testing.assert_array_equal(read.coords, wanted.coords)
        np.testing.assert_allclose(read.target["temperature"], values["target"], rtol=0, atol=0.00501)
        np.testing.assert_allclose(read.surface[0], values["surface"], rtol=0, atol=1e-4)
        np.testing.assert_array_equal(read.points, wanted.points)
        np.testing.assert_allclose(read.observed["temperature"], values["observed"], rtol=0, atol=1e-4)


def test_rasterio_alone_reads_a_triplet(written: dict[str, Path], with_profiles: dict[str, Path]) -> None:
    index = records(written["geotiff"] / "manifest.csv")
    row = next(row for row in index if row["files_written"] == "3")
    top, left = divmod(int(row["patch_id"]), 120)
    assert row["filename"] == f"{row['date']}_patch_{row['patch_id']}.tif"
    assert {row["geometry_wkt"].partition(" ")[0] for row in index if int(row["patch_id"]) % 120 == 105} == {
        "MULTIPOLYGON"  # 135 E to 165 W
    }
    with rasterio.open(written["geotiff"] / row["glorys_tif_path"]) as file:
        packed, tags = file.read(), file.tags()
        assert (file.dtypes[0], file.nodata, file.count) == ("int16", -32768, 3)
        assert tags["value_encoding"] == "packed_int16_celsius_x100"
        assert (float(tags["scale_factor"]), float(tags["add_offset"]), int(tags["packed_nodata"])) == (0.01, 0, -32768)
        assert tuple(file.transform)[:6] == (3.0, 0, 3.0 * left - 180, 0, -3.0, 90 - 3.0 * top)
        assert file.crs == "EPSG:4326"
    with rasterio.open(written["geotiff"] / row["argo_tif_path"]) as file:
        argo = file.read()
        assert (file.dtypes[0], file.compression.value, file.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"]) == (
            "float32", "DEFLATE", "3"
        )  # fmt: skip
        assert np.isfinite(argo).any(axis=0).sum() == int(row["valid_mask_1d_pixels"]) >= 4
    dense = xr.open_zarr(with_profiles["uint16"] / "dense.zarr", chunks=None).sel(
        time=f"{row['date'][:4]}-{row['date'][4:6]}-{row['date'][6:]}"
    )
    wanted = (
        dense.thetao.isel(latitude=slice(top, top + 20), longitude=np.arange(left, left + 20) % 120).values - KELVIN
    )
    assert ((packed == -32768) == np.isnan(wanted)).all()
    np.testing.assert_allclose(packed[packed != -32768] / 100, wanted[packed != -32768], rtol=0, atol=0.00501)


def test_triplets_of_another_tool(tmp_path: Path) -> None:
    target = np.array([[[1.25, -1.0], [np.nan, 3.0]], [[0.5, np.nan], [np.nan, 2.0]]])
    argo = np.full((2, 2, 2), np.nan, "f4")
    argo[1, 1, 0] = 7.5
    for kind, values, more in (
        ("ostia", np.array([[[1.0, 2.0], [3.0, np.nan]]], "f4"), {"nodata": np.nan, "predictor": 3}),
        ("argo", argo, {"nodata": np.nan, "predictor": 3}),
        ("glorys", np.where(np.isnan(target), -32768, np.rint(target * 100)).astype("i2"), {"nodata": -32768}),
    ):
        (tmp_path / kind).mkdir()
        with rasterio.open(
            tmp_path / kind / "20120307_patch_5.tif", "w", driver="GTiff", width=2, height=2, count=len(values),
            dtype=values.dtype, crs="EPSG:4326", transform=Affine(0.1, 0, 10, 0, -0.1, 50),
            compress="deflate", **more,
        ) as file:  # fmt: skip
            file.write(values)
            if kind == "glorys":
                file.update_tags(value_encoding="packed_int16_celsius_x100", scale_factor="0.01", add_offset="0.0",
                                 packed_nodata="-32768")  # fmt: skip
    (tmp_path / "manifest.csv").write_text(
        "patch_id,date,phase,filename,centroid_lat,centroid_lon,output_units,export_skipped_reason\n"
        "5,20120307,train,20120307_patch_5.tif,49.9,10.1,celsius,\n"
        "6,20120307,train,20120307_patch_6.tif,49.9,10.3,celsius,valid_mask_1d_pixels_lt_4\n"
    )
    with pytest.raises(ConfigError, match=r"2 levels.*give `depth`"):
        open_written(str(tmp_path))
    reader = open_written(str(tmp_path), "train", depth=(0.5, 100.0))
    (sample,) = reader.samples([0])
    assert (len(reader), sample.patch_id, sample.date) == (1, 5, 20120307)
    np.testing.assert_allclose(sample.coords, [49.9, 10.1], rtol=1e-6)
    np.testing.assert_allclose(sample.target["temperature"], target + KELVIN, rtol=1e-6)
    np.testing.assert_allclose(sample.surface[0], [[274.15, 275.15], [276.15, np.nan]], rtol=1e-6)
    assert sample.points.tolist() == [2]
    np.testing.assert_allclose(sample.observed["temperature"], [[np.nan, 280.65]], rtol=1e-6)
    assert sample.land.tolist() == [[0, 0], [0, 0]]


# -- npy


def test_band_patches_and_the_ostia_of_their_month(written: dict[str, Path], source: ExportSource) -> None:
    index = records(written["npy"] / "patch_index_with_paths.csv")
    assert list(index[0])[:1] == ["export_index"]
    published = (
        "source_file,y0,x0,edge_size,lat0,lat1,lon0,lon1,nodata_fraction,template_valid_fraction,sample_idx,y_npy_path,"
        "valid_fraction,variable,bands,selected_depth_indices,selected_depth_values,num_channels,split,ostia_month_key,"
        "ostia_nc_path,ostia_timestamp_utc,ostia_npy_path"
    )
    assert set(published.split(",")) <= set(index[0])
    reader = open_written(str(written["npy"]))
    assert reader.form.depth == (source.form.depth[2],)
    for number, (row, wanted) in enumerate(zip(index, source.samples(range(24)), strict=True)):
        stored = np.load(written["npy"] / row["y_npy_path"])
        values = kelvin(wanted)["target"][[0, 2]] - np.float32(KELVIN)
        assert stored.dtype == np.float32
        np.testing.assert_array_equal(stored, np.nan_to_num(values, nan=0.0))
        assert float(row["nodata_fraction"]) == pytest.approx(1 - np.isfinite(values).all(axis=0).mean())
        assert float(row["valid_fraction"]) == pytest.approx(np.isfinite(values).mean())
        assert (int(row["y0"]), int(row["x0"])) == divmod(wanted.patch_id, 120)
        assert row["source_file"] == f"rasters/glorys/thetao/thetao_{wanted.date}.tif"
        (read,) = reader.samples([number])
        np.testing.assert_allclose(read.target["temperature"], values[1:] + KELVIN, rtol=1e-6)
        assert (read.points.size, read.observed["temperature"].shape) == (0, (0, 1))
        # the last day of the month that the archive has, whatever the week of the row
        day = "20120229" if wanted.date < 20120301 else "20120309"
        assert row["ostia_month_key"] == day[:6]
        assert row["ostia_timestamp_utc"] == f"{day[:4]}-{day[4:6]}-{day[6:]}T12:00:00Z"
        assert row["ostia_nc_path"].startswith(f"ostia/{day}120000")
        tile = np.load(written["npy"] / row["ostia_npy_path"])
        place = np.unravel_index(20 * 10 + 10, (20, 20))
        latitude = PATCHES.grid.latitude[wanted.patch_id // 120 + place[0]]
        longitude = PATCHES.grid.longitude[(wanted.patch_id % 120 + place[1]) % 120]
        date = dt.datetime.strptime(day, "%Y%m%d").date()
        expected = truth("analysed_sst", date, np.array([latitude]), np.array([longitude]))[0, 0]
        assert abs(tile[place] - expected) < 0.4  # a day is 0.5 degrees
        sea = read.land == 0
        np.testing.assert_allclose(read.surface[0][sea], tile[sea] + KELVIN, rtol=1e-6)
        assert np.isnan(read.surface[0][~sea]).all()


def test_band_patches_of_another_tool(tmp_path: Path) -> None:
    (tmp_path / "y_npy").mkdir()
    elsewhere = tmp_path.parent / "tiles"
    elsewhere.mkdir()
    patch = np.array([[[10, 11], [0, 13]], [[5, 6], [0, 8]], [[2, 0], [0, 4]]], "f4")
    np.save(tmp_path / "y_npy/00000000.npy", patch)
    np.save(tmp_path / "y_npy/00000001.npy", patch + 1)
    np.save(elsewhere / "a.npy", np.arange(16, dtype="f4").reshape(4, 4))
    (tmp_path / "patch_index_with_paths.csv").write_text(
        "source_file,y0,x0,edge_size,lat0,lat1,lon0,lon1,y_npy_path,selected_depth_values,split,ostia_npy_path\n"
        f"/data/glorys_monthly_201203.nc,0,0,2,10,20,170,-170,y_npy/00000000.npy,0.5|10.0|20.0,train,{elsewhere}/a.npy\n"
        "/data/glorys_monthly_201204.nc,0,2,2,10,20,0,20,y_npy/00000001.npy,0.5|10.0|20.0,val,\n"
    )
    first, second = open_written(str(tmp_path)).samples([0, 1])
    assert (first.date, second.date, first.patch_id, second.patch_id) == (20120315, 20120415, 0, 1)
    assert first.coords.tolist() == [15.0, -180.0]
    assert second.coords.tolist() == [15.0, 10.0]
    expected = np.array([[[5, 6], [np.nan, 8]], [[2, np.nan], [np.nan, 4]]])
    np.testing.assert_allclose(first.target["temperature"] - KELVIN, expected, atol=1e-4)
    # halves of 0 1 4 5 and so on; the pixel without any band is land
    np.testing.assert_allclose(first.surface[0] - KELVIN, [[2.5, 4.5], [np.nan, 12.5]], atol=1e-4)
    np.testing.assert_allclose(second.surface[0] - KELVIN, np.where(first.land, 1.0, patch[0] + 1), atol=1e-4)
    assert first.land.tolist() == [[0, 0], [1, 0]]
    assert open_written(str(tmp_path)).form.depth == (10.0, 20.0)
    # the same in kelvin, as --save-units of older tools wrote it: file by file, and 0 stays what is missing
    np.save(elsewhere / "a.npy", np.arange(16, dtype="f4").reshape(4, 4) + np.float32(KELVIN))
    np.save(tmp_path / "y_npy/00000001.npy", np.where(patch == 0, 0, patch + 1 + np.float32(KELVIN)))
    other, whole = open_written(str(tmp_path)).samples([0, 1])
    np.testing.assert_allclose(other.surface, first.surface, atol=1e-4)
    np.testing.assert_allclose(other.target["temperature"], first.target["temperature"], atol=1e-4)
    expected = np.where(patch[1:] == 0, np.nan, patch[1:] + 1 + KELVIN)
    np.testing.assert_allclose(whole.target["temperature"], expected, atol=1e-4)


def test_resizing_is_linear_and_leaves_out_what_is_missing() -> None:
    ramp = np.add.outer(np.arange(4.0), 10 * np.arange(4.0)).astype("f4")
    np.testing.assert_allclose(resized(ramp, (8, 8))[3, 3], 1.25 + 12.5)
    np.testing.assert_allclose(resized(ramp, (8, 8))[0, 0], 0.0)
    ramp[0, 0] = np.nan
    small = resized(ramp, (2, 2))
    np.testing.assert_allclose(small[0, 0], (1 + 10 + 11) / 3)
    assert np.isnan(resized(ramp, (8, 8))[0, 0])


def test_every_form_decodes_to_the_same_keys(written: dict[str, Path], source: ExportSource) -> None:
    from oceanrecon.training.data.decode import Decode, to_tensors

    def decode(reader: Any) -> dict[str, Any]:
        found: dict[str, Any] = Decode(reader.form)(to_tensors(collate(reader.samples([0, 1]), reader.form.fields)))
        return found

    wanted = decode(source)
    for form in ("geotiff", "npy"):
        reader = open_written(str(written[form]))
        found = decode(reader)
        assert found.keys() == wanted.keys()
        levels = len(reader.form.depth)
        for name, values in found.items():
            assert values.dtype == wanted[name].dtype
            assert [size if size != 3 else levels for size in wanted[name].shape] == list(values.shape), name
    joint = decode(open_written(str(written["zarr"])))
    assert joint.keys() == wanted.keys() | {name.replace(letter, f"{letter}_salinity", 1) for name in wanted
                                            for letter in "xy" if name[0] == letter and name != "x_age"}  # fmt: skip
    for name in ("x", "y", "y_valid_mask", "x_valid_mask_1d"):
        assert (joint[name] == wanted[name]).all()
