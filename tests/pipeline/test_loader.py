"""Risk: what already reads exports of this layout cannot read ours. A loader that knows manifest and rasterio alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
import yaml

import oceanrecon

#: product -> variable -> name of its stretch, as the layout has it
STRETCH = {
    "glorys": {"thetao": "temperature_kelvin", "so": "salinity"},
    "ostia": {"analysed_sst": "temperature_kelvin"},
    "sealevel": {"adt": "sea_height"},
    "sss": {"sos": "salinity", "dos": "density"},
}


def test_a_loader_of_the_layout_reads_ours(exported: Path) -> None:
    manifest = yaml.safe_load((exported / "manifest.yaml").read_text())
    grid, axis = manifest["grid"], manifest["depth_axis_m"]
    whole = oceanrecon.open_export(str(exported))
    with rasterio.open(exported / grid["source"]) as mask:
        assert (mask.width, mask.height) == (grid["width"], grid["height"]) == (120, 60)
        assert list(mask.transform.to_gdal()) == grid["transform_gdal"]
        assert set(np.unique(mask.read(1))) == {0, 1} and mask.dtypes == ("uint8",)
    assert {name: list(variables) for name, variables in manifest["rasters"].items()} == {
        name: list(variables) for name, variables in STRETCH.items()
    }
    for product, variables in STRETCH.items():
        for variable, name in variables.items():
            stretch = manifest["stretch"][name]
            assert (stretch["storage_dtype"], stretch["nodata"], stretch["valid_code_max"]) == ("uint8", 255, 254)
            entries = manifest["rasters"][product][variable]
            assert [entry["date"] for entry in entries] == manifest["target_dates"]
            for number, entry in enumerate(entries):
                assert entry["path"] == f"rasters/{product}/{variable}/{variable}_{entry['date']}.tif"
                with rasterio.open(exported / entry["path"]) as raster:
                    assert raster.count == entry["band_count"] == (len(axis) if product == "glorys" else 1)
                    assert raster.crs.to_string() == grid["crs"] == "EPSG:4326"
                    codes, tags = raster.read(), raster.tags()
                    bands = [raster.tags(band) for band in raster.indexes]
                    described = raster.descriptions
                    assert (raster.nodata, raster.profile["compress"].upper()) == (255.0, entry["compression"])
                values = stretch["minimum"] + codes / 254 * (stretch["maximum"] - stretch["minimum"])
                values[codes == stretch["nodata"]] = np.nan
                np.testing.assert_allclose(
                    values.squeeze(), whole[variable].isel(time=number).values.squeeze(), atol=1e-3
                )
                # counters: of the bands where there are several, of the dataset where there is one; never of both
                counted = [part for part in (tags, *bands) if "valid_count" in part]
                assert len(counted) == (len(axis) if product == "glorys" else 1)
                for key, count in (("valid_count", (codes != 255).sum()), ("nodata_count", (codes == 255).sum())):
                    assert sum(int(part[key]) for part in counted) == entry["stats"][key] == count
                assert (tags["source_product"], tags["variable"], tags["date"]) == (
                    product, variable, str(entry["date"])
                )  # fmt: skip
                assert tags["stretch_name"] == name and float(tags["stretch_min"]) == stretch["minimum"]
                if product == "glorys":
                    assert described == ("depth_0.494025_m", "depth_97.0413_m", "depth_541.089_m")
                    assert [float(band["depth_m"]) for band in bands] == axis
                    assert tags["source_file"] == entry["source_file"].split("/")[-1]
                else:
                    assert described == (variable,)
                    assert tags["source_files"].split(",") == [p.split("/")[-1] for p in entry["source_files"]]
                    assert tags["aggregate_days"] == "7"


def test_every_checksum_in_the_manifest_is_of_the_file(exported: Path) -> None:
    import hashlib

    manifest = yaml.safe_load((exported / "manifest.yaml").read_text())
    listed = dict(manifest["files"])
    for products in (manifest["rasters"], manifest["dense"]["shards"]):
        for variables in products.values():
            for entries in variables.values():
                for entry in entries:
                    listed |= {part["path"]: part for part in (entry, entry.get("days")) if part}
    for path, described in listed.items():
        content = (exported / path).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (described["bytes"], described["sha256"])
    on_disk = {
        path.relative_to(exported).as_posix() for top in ("rasters", "dense.zarr", "masks")
        for path in (exported / top).rglob("*") if path.is_file()
    }  # fmt: skip
    assert on_disk == set(listed)
