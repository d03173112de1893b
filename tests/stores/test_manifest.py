from __future__ import annotations

import dataclasses
import datetime as dt
from pathlib import Path
from typing import Any

import pytest
import yaml

from oceanrecon.errors import OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import (
    ExportedProduct,
    ExportHeader,
    build_manifest,
    read_manifest,
    write_manifest,
)
from oceanrecon.stores.receipts import BandStatistics, Failure, Receipt, SourceUsed, WrittenFile
from oceanrecon.transform.encode import QUANTITIES, stretch

HEADER = ExportHeader(
    created_by="oceanrecon 0.1",
    created_utc="2026-01-01T00:00:00Z",
    output_dir="/somewhere",
    start=dt.date(2012, 2, 29),
    end=dt.date(2012, 3, 7),
    grid=RasterGrid.from_bounds(0.1, (-180.0, -90.0, 180.0, 90.0)),
    mask_path="masks/land.tif",
    mask_source="land.tif",
    encoding="uint8",
    stretches=tuple(stretch(quantity, "uint8") for quantity in QUANTITIES),
    targets=(dt.date(2012, 2, 29), dt.date(2012, 3, 7)),
    target_rule="dates of glorys",
    window_days=7,
    depth=(0.494025, 10.0),
    products=(
        ExportedProduct("glorys", "g-id", ("thetao", "so"), windowed=False),
        ExportedProduct("sealevel", "s-id", ("adt",), windowed=True),
    ),
    left_out={"sss": "not in the settings"},
    regridding={"minimum_valid_fraction": 0.5},
    compression="ZSTD",
    dense_path="dense.zarr",
    workers=2,
    resume=False,
    versions={"zarr": "3", "numpy": "2"},
)


def make_receipt(product: str, variable: str, date: str, bands: int) -> Receipt:
    sources = tuple(SourceUsed(f"{product}/{day}.nc", day, 0, 9, 10**18 + 1, "20190515") for day in ("20120228", date))
    return Receipt(
        product=product,
        variable=variable,
        date=date,
        key="k",
        files=(
            WrittenFile(f"rasters/{product}/{variable}/{variable}_{date}.tif", 10, "a" * 64, "geotiff"),
            WrittenFile(f"dense.zarr/{variable}/c/0/0/0", 20, "b" * 64, "zarr"),
            WrittenFile(f"dense.zarr/{variable}_days/c/0/0/0", 30, "c" * 64, "days"),
        ),
        sources=sources if product == "sealevel" else sources[1:],
        statistics=(BandStatistics(3, 1, 1, 2, 280.0, 290.0, 285.0),) * bands,
        days_used=("20120228", date) if product == "sealevel" else (date,),
        target_distance_days=0,
        warnings=(),
        timing={},
        versions={},
        regridding="bilinear",
    )


RECEIPTS = [
    make_receipt("glorys", "thetao", "20120307", 2),
    make_receipt("glorys", "thetao", "20120229", 2),
    make_receipt("sealevel", "adt", "20120229", 1),
]
FAILURES = [
    Failure("sealevel", "adt", "20120307", "SourceError", "truncated"),
    Failure("glorys", "so", "20120229", "E", "m"),
]


def make_manifest() -> dict[str, Any]:
    return build_manifest(HEADER, RECEIPTS, FAILURES)


def test_the_keys_that_published_loaders_read_are_there() -> None:
    manifest = make_manifest()
    published = (
        "created_by created_utc output_dir requested_date_range grid stretch surface_temporal_aggregation parallelism "
        "resume depth_axis_m target_dates rasters"
    )
    assert set(published.split()) <= manifest.keys()
    assert manifest["requested_date_range"] == {"start_date": 20120229, "end_date": 20120307}
    assert manifest["target_dates"] == [20120229, 20120307]
    assert manifest["grid"] == {
        "source": "masks/land.tif",
        "source_original": "land.tif",
        "width": 3600,
        "height": 1800,
        "crs": "EPSG:4326",
        "transform_gdal": [-180.0, 0.1, 0.0, 90.0, 0.0, -0.1],
        "resolution": {"x": 0.1, "y": 0.1},
    }
    assert set(manifest["stretch"]) == {"temperature_kelvin", "salinity", "sea_height", "density"}
    assert manifest["stretch"]["salinity"]["maximum"] == 40.0
    assert manifest["surface_temporal_aggregation"] == {"target": "glorys", "window_days": 7}
    assert manifest["parallelism"] == {"raster_workers": 2} and manifest["resume"] == {"skip_existing": False}
    thetao, adt = manifest["rasters"]["glorys"]["thetao"], manifest["rasters"]["sealevel"]["adt"]
    assert [entry["date"] for entry in thetao] == [20120229, 20120307]
    assert thetao[0]["path"] == "rasters/glorys/thetao/thetao_20120229.tif"
    assert (thetao[0]["source_file"], thetao[0]["compression"], thetao[0]["band_count"]) == (
        "glorys/20120229.nc",
        "ZSTD",
        2,
    )
    counts = {"valid_count": 6, "nodata_count": 2, "clipped_low_count": 2, "clipped_high_count": 4}
    assert thetao[0]["stats"] == counts
    assert adt[0]["source_files"] == ["sealevel/20120228.nc", "sealevel/20120229.nc"] and "source_file" not in adt[0]


def test_what_is_missing_is_said() -> None:
    manifest = make_manifest()
    assert manifest["rasters"]["glorys"]["so"] == []
    assert "sss" not in manifest["rasters"] and manifest["products"]["left_out"] == {"sss": "not in the settings"}
    assert [failure["variable"] for failure in manifest["failures"]] == ["so", "adt"]
    assert manifest["failures"][1]["message"] == "truncated"


def test_each_entry_can_be_checked_and_traced() -> None:
    (adt,) = make_manifest()["rasters"]["sealevel"]["adt"]
    assert (adt["bytes"], adt["sha256"], adt["days_used"]) == (10, "a" * 64, [20120228, 20120229])
    assert (adt["regridding"], adt["encoding"]) == ("bilinear", "uint8")
    sources = make_manifest()["sources"]["sealevel"]
    assert sources[adt["source_files"][0]] == {"bytes": 9, "mtime_ns": 10**18 + 1, "revision": 20190515}
    (shard,) = make_manifest()["dense"]["shards"]["sealevel"]["adt"]
    assert shard["path"] == "dense.zarr/adt/c/0/0/0" and shard["days"]["bytes"] == 30


def test_an_export_of_zarr_alone_lists_no_rasters_and_is_traced_as_well() -> None:
    receipt = dataclasses.replace(RECEIPTS[2], files=RECEIPTS[2].files[1:])
    manifest = build_manifest(HEADER, [receipt], [])
    assert manifest["rasters"]["sealevel"]["adt"] == []
    (shard,) = manifest["dense"]["shards"]["sealevel"]["adt"]
    assert shard["stats"]["valid_count"] == 3 and len(shard["source_files"]) == 2 and "band_count" not in shard


def test_only_the_named_keys_differ_between_equal_exports() -> None:
    other = build_manifest(
        dataclasses.replace(HEADER, created_utc="later", output_dir="/elsewhere", workers=4, resume=True),
        RECEIPTS[::-1],
        FAILURES[::-1],
    )
    here = make_manifest()
    assert list(here) == list(other)
    differing = {key for key in here if here[key] != other[key]}
    assert differing == {"created_utc", "output_dir", "parallelism", "resume"}


def test_any_yaml_reader_gets_the_same_manifest(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    write_manifest(root, make_manifest())
    assert read_manifest(root) == make_manifest()
    text = (tmp_path / "manifest.yaml").read_text()
    assert yaml.safe_load(text) == make_manifest()
    assert "&id" not in text


def test_a_missing_damaged_or_newer_manifest_is_named(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    with pytest.raises(OutputError, match=r"no manifest\.yaml.*--resume"):
        read_manifest(root)
    for content, message in (
        (b"a: [1", "is damaged"),
        (b"- 1", "schema_version None"),
        (b"schema_version: 9", "schema_version 9"),
    ):
        root.write("manifest.yaml", content)
        with pytest.raises(OutputError, match=message):
            read_manifest(root)
