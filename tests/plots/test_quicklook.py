from __future__ import annotations

import base64
import datetime as dt
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.plots.colours import LAND, MISSING, look
from oceanrecon.plots.facts import export_facts
from oceanrecon.plots.fields import check_seams, choose_dates, choose_levels, grid_of, make_layer, shrink
from oceanrecon.plots.maps import Background, depth_edges, draw_maps, limits, png_bytes
from oceanrecon.plots.quicklook import draw_export
from oceanrecon.plots.report import render_page
from oceanrecon.stores.manifest import ExportedProduct, ExportHeader, build_manifest
from oceanrecon.stores.receipts import BandStatistics, Failure, Receipt, SourceUsed, WrittenFile
from oceanrecon.transform.encode import stretch

GRID = RasterGrid.from_bounds(5.0, (-180.0, -90.0, 180.0, 90.0))
DEPTH = np.array([0.5, 97.0, 510.0, 2100.0, 4000.0])
DATES = (dt.date(2012, 2, 29), dt.date(2012, 3, 7))


def ocean() -> xr.Dataset:
    """Temperature falls with latitude and depth; 20W..20E is land, south of 60S the sea is 1000 m deep."""
    warm = np.broadcast_to(300.0 - np.abs(GRID.latitude)[:, None] / 4, (GRID.height, GRID.width))
    field = np.stack([warm - 5 * np.log1p(metres / 100) for metres in DEPTH]).astype(np.float32)
    field[:, :, np.abs(GRID.longitude) < 20] = np.nan
    field[3:, GRID.latitude < -60] = np.nan
    levels = np.stack([field, field + 1])
    level, surface = ("time", "depth", "latitude", "longitude"), ("time", "latitude", "longitude")
    return xr.Dataset(
        {"thetao": (level, levels), "analysed_sst": (surface, levels[:, 0]), "adt": (surface, levels[:, 0] - 290)},
        {
            "time": ("time", np.array(DATES, dtype="datetime64[ns]")),
            "depth": DEPTH,
            "latitude": GRID.latitude,
            "longitude": GRID.longitude,
        },
    )


def land() -> NDArray[np.uint8]:
    return np.broadcast_to(np.abs(GRID.longitude) < 20, (GRID.height, GRID.width)).astype(np.uint8)


def manifest() -> dict[str, Any]:
    receipts = [
        Receipt(
            product="glorys" if name == "thetao" else "ostia",
            variable=name,
            date=f"{date:%Y%m%d}",
            key="k",
            files=(
                WrittenFile(f"rasters/{name}_{date:%Y%m%d}.tif", 1_000_003, "0" * 64, "geotiff"),
                WrittenFile(f"dense.zarr/{name}/c/{n}", 2_000_000, "1" * 64, "zarr"),
            ),
            sources=(SourceUsed("a.nc", f"{date:%Y%m%d}", 0, 10, 20, None),),
            statistics=(BandStatistics(100, 28, 3, 4, 270.0, 300.0, 285.0),) * bands,
            days_used=tuple(f"2012030{day}" for day in range(1, days + 1)),
            target_distance_days=n,
            warnings=("odd units",) if n else (),
            timing={},
            versions={},
        )
        for n, (date, days) in enumerate(zip(DATES, (7, 4), strict=True))
        for name, bands in (("thetao", 5), ("analysed_sst", 1))
    ]
    header = ExportHeader(
        created_by="oceanrecon 0.1.0",
        created_utc="2026-01-01T00:00:00Z",
        output_dir="out",
        start=DATES[0],
        end=DATES[-1],
        grid=GRID,
        mask_path="masks/land_mask.tif",
        mask_source="made",
        encoding="uint8",
        stretches=(stretch("temperature_kelvin", "uint8"), stretch("sea_height", "uint8")),
        targets=DATES,
        target_rule="dates of glorys",
        window_days=7,
        depth=tuple(DEPTH.tolist()),
        products=(
            ExportedProduct("glorys", "g", ("thetao",), False),
            ExportedProduct("ostia", "o", ("analysed_sst",), True),
            ExportedProduct("sealevel", "s", ("adt",), True),
        ),
        left_out={"sss": "it is not in the <config>"},
        regridding={"method": "separable"},
        compression="ZSTD",
        dense_path="dense.zarr",
        workers=2,
        resume=False,
        versions={},
    )
    failures = [Failure("sealevel", "adt", f"{date:%Y%m%d}", "SourceError", "no <file> has it") for date in DATES]
    return build_manifest(header, receipts, failures)


def pixels(png: bytes) -> NDArray[np.float64]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.float64) / 255.0


def where(picture: NDArray[np.float64], colour: tuple[float, ...]) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = np.abs(picture - np.array(colour[:3])).max(axis=-1) < 0.01
    return near


def test_the_map_is_north_up_west_left_and_shows_land_and_missing_sea_as_what_they_are() -> None:
    # quarters: north-west cold, north-east land, south-west warm, south-east missing sea
    field = np.full((40, 80), np.nan, dtype=np.float32)
    field[:20, :40], field[20:, :40] = 275.15, 295.15
    background = np.zeros((40, 80), dtype=bool)
    background[:20, 40:] = True
    grid = RasterGrid.from_bounds(1.0, (-40.0, -20.0, 40.0, 20.0))
    layer = make_layer(field, grid, DATES[0], None, np.linspace(270.15, 308.15, 11))
    shown = look("temperature_kelvin")
    picture = pixels(png_bytes(draw_maps("t", [layer], [(0.0, 30.0)], shown, Background(background, layer.extent))))
    # 275.15 K is 2 of 30 degC, whatever unit the file has
    quarters = {
        "cold": shown.colours(2 / 30), "warm": shown.colours(22 / 30), "land": to_rgb(LAND), "missing": to_rgb(MISSING)
    }  # fmt: skip
    found = {name: np.argwhere(where(picture[:, : picture.shape[1] * 4 // 5], rgb)) for name, rgb in quarters.items()}
    centre = {name: np.median(places, axis=0) for name, places in found.items()}
    assert min(len(places) for places in found.values()) > 10_000
    assert centre["cold"][0] < centre["warm"][0] and centre["land"][0] < centre["missing"][0]
    assert centre["cold"][1] < centre["land"][1] and centre["warm"][1] < centre["missing"][1]


def test_means_of_blocks_use_what_is_there_and_keep_the_edges() -> None:
    field = np.array([[1, 3, 5, 7, 9], [np.nan, np.nan, np.nan, 7, 9], [2, 2, np.nan, np.nan, 4]], dtype=np.float32)
    small = shrink(field, 2)
    np.testing.assert_array_equal(small, np.array([[2, 19 / 3, 9], [2, np.nan, 4]], dtype=np.float32))


def test_a_lost_column_and_a_jump_at_the_dateline_are_told() -> None:
    smooth = np.tile(np.sin(np.radians(GRID.longitude)), (GRID.height, 1)).astype(np.float32)
    assert not any(seam.suspicious for seam in check_seams(smooth, GRID))
    lost = smooth.copy()
    lost[:, 0] = np.nan
    dateline, zero = check_seams(lost, GRID)
    assert dateline.valid_share == (1.0, 1.0, 0.0, 1.0) and dateline.suspicious and not zero.suspicious
    ramp = np.tile(np.arange(GRID.width, dtype=np.float32), (GRID.height, 1))
    dateline, zero = check_seams(ramp, GRID)
    assert (dateline.step_ratio, zero.step_ratio) == (GRID.width - 1, 1.0) and dateline.suspicious
    assert check_seams(smooth[:, :20], RasterGrid.from_bounds(5.0, (0.0, -90.0, 100.0, 90.0))) == []


def test_levels_and_dates_are_the_nearest_without_repeats_and_unknown_dates_are_refused() -> None:
    assert choose_levels(DEPTH, None) == [0, 1, 2, 3]
    assert choose_levels(DEPTH[:2], None) == [0, 1]
    assert choose_levels(DEPTH, [100.0, 90.0, 9000.0]) == [1, 4]
    assert choose_dates([dt.date(2020, 1, n) for n in (1, 2, 3, 4)], None) == [dt.date(2020, 1, n) for n in (1, 2, 4)]
    with pytest.raises(ConfigError, match="no date 2012-03-01: the nearest is 2012-02-29"):
        choose_dates(DATES, [dt.date(2012, 3, 1)])


def test_a_south_up_dataset_is_refused_instead_of_drawn_upside_down() -> None:
    assert grid_of(ocean()).transform_gdal == GRID.transform_gdal
    with pytest.raises(ConfigError, match="not north-up"):
        grid_of(ocean().isel(latitude=slice(None, None, -1)))


def test_section_cells_meet_half_way_between_levels() -> None:
    np.testing.assert_array_equal(depth_edges(np.array([1.0, 3.0, 7.0])), [0.0, 2.0, 5.0, 9.0])


def test_colour_limits_survive_fields_without_values_and_are_even_around_zero_for_sea_level() -> None:
    empty = np.full((2, 2), np.nan, dtype=np.float32)
    assert limits([empty], look("salinity")) == (0.0, 1.0)
    low, high = limits([np.array([-0.1, 0.4], dtype=np.float32)], look("sea_height"))
    assert low == -high and high == pytest.approx(0.395)


def test_the_numbers_are_those_of_the_manifest_and_a_block_in_both_formats_counts_its_values_once() -> None:
    facts = export_facts(manifest())
    thetao, sst, adt = facts.variables
    assert (thetao.valid, thetao.missing, thetao.clipped_low, thetao.clipped_high) == (1000, 280, 30, 40)
    assert (thetao.files, thetao.bytes, thetao.dates, thetao.absent) == (4, 6_000_006, 2, 0)
    assert (sst.days_used, sst.distance, sst.warned) == ((4, 7), 1, 1)
    assert (adt.files, adt.absent, adt.days_used) == (0, 2, (0, 0))
    assert (facts.files, facts.bytes) == (8, 12_000_012)


def test_the_page_stands_alone_shows_the_manifest_and_escapes_what_it_quotes() -> None:
    page = render_page(manifest(), None, [])
    for text in ("2012-02-29 to 2012-03-07", "72 x 36", "12.0 MB", "280", "30 (3.000 %)", "40 (4.000 %)", "4 to 7",
                 "0.149606", "no &lt;file&gt; has it", "not in the &lt;config&gt;", "SourceError"):  # fmt: skip
        assert text in page, text
    assert not re.search(r"https?:|<script|<link rel=.stylesheet|src=\"(?!data:)|@import", page)


def test_an_export_is_drawn_whole_with_every_picture_in_the_page(tmp_path: Path) -> None:
    page = draw_export(ocean(), manifest(), land(), tmp_path)
    expected = {f"{name}_{date:%Y%m%d}.png" for name in ("thetao", "analysed_sst", "adt") for date in DATES}
    expected |= {f"{name}_{kind}.png" for name in ("thetao", "analysed_sst", "adt") for kind in ("histogram", "seams")}
    expected |= {"thetao_section.png", "overview.png", "index.html"}
    assert {path.name for path in tmp_path.iterdir()} == expected
    html = page.read_text(encoding="utf-8")
    embedded = {base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', html)}
    assert embedded == {path.read_bytes() for path in tmp_path.glob("*.png")}
    assert all(pixels(png).std() > 0.05 for png in embedded)
    assert "http" not in html


def test_a_date_without_any_value_is_drawn_as_missing_and_a_foreign_mask_is_refused(tmp_path: Path) -> None:
    dataset = ocean()[["adt"]] * np.nan
    draw_export(dataset, manifest(), None, tmp_path, [DATES[1]])
    assert (tmp_path / "adt_20120307.png").stat().st_size > 1000
    with pytest.raises(OutputError, match="land mask has shape"):
        draw_export(ocean(), manifest(), land()[:, 1:], tmp_path)
