"""Risk: a sample whose pixels, days or profiles are not those of the export, or that hides that a file is gone."""

from __future__ import annotations

import datetime as dt
import os
import pickle
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
import rasterio
import xarray as xr
import yaml

import oceanrecon
from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.form import Sample, Scenario
from oceanrecon.samples.rows import Rows, every_row
from oceanrecon.samples.stored import Store
from oceanrecon.stores.files import Root
from oceanrecon.transform.encode import stretch
from tests.archives import copied
from tests.pipeline.profiles.tiny import FLOAT

DATES = (20120222, 20120229, 20120307)
#: 3 degree cells: 120 columns, 60 rows; tiles of 20 every 15, across the dateline
PATCHES = PatchGrid(RasterGrid.from_bounds(3.0, (-180, -90, 180, 90)), 20, 15, "regular", periodic=True)


def rows(dates: tuple[int, ...] = DATES) -> Rows:
    return every_row(PATCHES, dates)


def source(export: Path, wanted: Rows | None = None, **more: Any) -> ExportSource:
    return ExportSource(str(export), rows() if wanted is None else wanted, scenario="joint", **more)


def place(sample: Sample) -> dict[str, Any]:
    """Where xarray has the pixels of a sample."""
    row, column = divmod(sample.patch_id, 120)
    columns = (column + np.arange(20)) % 120
    return {"time": DATES.index(sample.date), "latitude": slice(row, row + 20), "longitude": columns}


def raster(sample: Sample, name: str) -> np.ndarray[Any, Any]:
    """The profiles of a sample as [level, row, column]."""
    values = np.full((3, 400), np.nan, np.float32)
    values[:, sample.points] = sample.observed[name].T  # type: ignore[index]
    return values.reshape(3, 20, 20)


@pytest.mark.parametrize("store", ["zarr", "geotiff"])
def test_dense_fields_are_those_that_xarray_opens(with_profiles: dict[str, Path], store: Store) -> None:
    with dask.config.set(scheduler="threads"):
        for encoding in ("uint8", "uint16"):
            opened = oceanrecon.open_export(str(with_profiles[encoding])).load()
            found = source(with_profiles[encoding], store=store)
            assert len(found) == 3 * len(PATCHES.ids)
            for sample in found.samples(list(range(0, len(found), 7))):
                at = place(sample)
                fields = {"thetao": sample.target["temperature"], "so": sample.target["salinity"]}
                fields |= {name: sample.surface[n] for n, name in enumerate(("analysed_sst", "sos", "adt"))}
                for name, codes in fields.items():
                    quantity = {"so": "salinity", "sos": "salinity", "adt": "sea_height"}.get(
                        name, "temperature_kelvin"
                    )
                    assert codes.dtype == encoding
                    decoded = stretch(quantity, found.form.encoding or "uint8").decode(codes)
                    np.testing.assert_allclose(decoded, opened[name].isel(at), rtol=1e-6)


def test_profiles_are_those_of_open_observations(with_profiles: dict[str, Path]) -> None:
    with dask.config.set(scheduler="threads"):
        opened: xr.Dataset = oceanrecon.open_observations(str(with_profiles["uint16"])).load()
    some = 0
    for sample in source(with_profiles["uint16"], quality=range(-1, 10)).samples(range(len(rows()))):
        assert (np.diff(sample.points) > 0).all()
        for name in ("temperature", "salinity"):
            np.testing.assert_array_equal(raster(sample, name), opened[name].isel(place(sample)))
            some += int(np.isfinite(raster(sample, name)).sum())
    assert some > 200


def test_a_patch_across_the_dateline_has_both_sides(with_profiles: dict[str, Path]) -> None:
    last = int(PATCHES.column_starts[-1])
    assert last + 20 > 120  # 105: columns 105..119 and 0..4
    patch = 15 * 120 + last
    wanted = Rows(np.array([patch]), np.array([20120229], np.int32), 20)
    sample = source(with_profiles["uint16"], wanted).samples([0])[0]
    np.testing.assert_allclose(sample.coords, [90 - 3 * 25, -180 + 3 * 115], atol=1e-5)  # 165 E
    code = stretch("temperature_kelvin", "uint16")
    top = code.decode(sample.target["temperature"])[0]
    # the tiny ocean is smooth in longitude: no step across 180 degrees is larger than elsewhere in the patch
    steps = np.nanmax(np.abs(np.diff(top, axis=1)), axis=0)
    assert np.isfinite(top).all()
    others = np.delete(steps, 14)
    assert steps[14] < 1.5 * np.median(others)
    # nor anywhere else, as it would be if the two sides had changed places
    assert others.max() < 1.5 * np.median(others)


def test_land_is_that_of_the_mask(with_profiles: dict[str, Path]) -> None:
    url = with_profiles["uint8"]
    with rasterio.open(next(url.glob("masks/*.tif"))) as opened:
        mask = opened.read(1)
    assert {*np.unique(mask)} == {0, 1}
    across = mixed = 0
    for sample in source(url, rows(DATES[:1])).samples(range(len(PATCHES.ids))):
        row, column = divmod(sample.patch_id, 120)
        columns = (column + np.arange(20)) % 120
        np.testing.assert_array_equal(sample.land, mask[row : row + 20, columns])
        across += column + 20 > 120
        mixed += 0 < sample.land.mean() < 1
    assert across == 3
    assert mixed > 5


def test_land_across_the_dateline_has_both_sides(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    """The tiny ocean has no coast there: a mask that says the number of each column, odd or even."""
    url = copied(with_profiles["uint8"], tmp_path / "export")
    path = next(url.glob("masks/*.tif"))
    with rasterio.open(path) as opened:
        profile, shape = opened.profile, opened.shape
    mask = np.random.default_rng(0).integers(0, 2, shape, np.uint8)
    with rasterio.open(path, "w", **profile) as opened:
        opened.write(mask, 1)
    patch = 15 * 120 + 105
    sample = source(url, Rows(np.array([patch]), np.array([20120229], np.int32), 20)).samples([0])[0]
    np.testing.assert_array_equal(sample.land, np.hstack([mask[15:35, 105:], mask[15:35, :5]]))


@pytest.mark.parametrize("harm", ["order", "middle"])
def test_the_time_of_a_shard_is_not_its_place_in_the_manifest(
    harm: str, with_profiles: dict[str, Path], tmp_path: Path
) -> None:
    url = with_profiles["uint16"]
    manifest = copied(url, tmp_path / "export") / "manifest.yaml"
    content = yaml.safe_load(manifest.read_text())
    for variables in content["dense"]["shards"].values():
        for shards in variables.values():
            assert [int(shard["date"]) for shard in shards] == list(DATES)
            if harm == "order":
                shards.reverse()
            else:
                del shards[1]
    manifest.write_text(yaml.safe_dump(content))
    some = rows(DATES[::2] if harm == "middle" else DATES)
    for one, other in zip(
        source(manifest.parent, some).samples(range(0, len(some), 5)),
        source(url, some).samples(range(0, len(some), 5)),
        strict=True,
    ):
        np.testing.assert_array_equal(one.target["temperature"], other.target["temperature"])
        np.testing.assert_array_equal(one.surface, other.surface)
    if harm == "middle":
        with pytest.raises(ConfigError, match=r"row 0 .*has no thetao of 20120229: it has 2 dates"):
            source(manifest.parent, rows((20120229,)))


def test_days_at_load_time_are_real_days_and_lacking_ones_are_an_error(with_profiles: dict[str, Path]) -> None:
    url = with_profiles["uint16"]
    store = xr.open_zarr(url / "argo/argo_profiles_on_grid.zarr", mask_and_scale=False, chunks=None).load()
    dates = [dt.datetime.strptime(str(date), "%Y%m%d") for date in store.profile_date.values]
    for days in (1, 3, 7):
        found = source(url, days=days, quality=range(-1, 10)).samples(range(len(rows())))
        for sample in found:
            middle = dt.datetime.strptime(str(sample.date), "%Y%m%d")
            near = np.array([abs((date - middle).days) <= (days - 1) // 2 for date in dates])
            row, column = divmod(sample.patch_id, 120)
            inside = (store.grid_row.values >= row) & (store.grid_row.values < row + 20)
            inside &= (store.grid_col.values - column) % 120 < 20
            pixels = (store.grid_row.values - row) * 20 + (store.grid_col.values - column) % 120
            assert sample.points.tolist() == sorted({*pixels[near & inside].tolist()})
    # the store has three days around each target: the middle one of three has all days of a window of 21, no more
    middle_row = every_row(PATCHES, [20120229])
    source(url, middle_row, days=21)
    with pytest.raises(ConfigError, match=r"row 0 \(patch 0, 20120229\): .*no profiles of 2012-02-18, 11 days from"):
        source(url, middle_row, days=23)
    # the last target has three days after it, and many before it
    last = every_row(PATCHES, [20120307])
    source(url, last, days=7)
    with pytest.raises(ConfigError, match=r"row 0 \(patch 0, 20120307\): .*no profiles of 2012-03-11, 4 days from"):
        source(url, last, days=9)
    first = every_row(PATCHES, [20120222])
    with pytest.raises(ConfigError, match=r"row 0 \(patch 0, 20120222\): .*no profiles of 2012-02-18, 4 days from"):
        source(url, first, days=9)


def test_a_month_that_the_profiles_lack_is_an_error(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    manifest = copied(with_profiles["uint8"], tmp_path / "export") / "manifest.yaml"
    content = yaml.safe_load(manifest.read_text())
    assert {"2012-02", "2012-03"} <= {*content["argo"]["months"]}
    assert content["argo"].pop("days_held") == [[20120101, 20120430]]  # older exports know months instead
    content["argo"]["months"].remove("2012-03")
    manifest.write_text(yaml.safe_dump(content))
    source(manifest.parent, rows((20120222,)))
    source(manifest.parent, rows((20120229,)), days=1)
    with pytest.raises(
        ConfigError, match=r"row 24 .*no profiles of 2012-03-01, 1 days from 20120229: no profiles of that day"
    ):
        source(manifest.parent, rows((20120222, 20120229)))
    del content["argo"]["months"]  # older exports do not say
    manifest.write_text(yaml.safe_dump(content))
    source(manifest.parent)


def test_in_situ_temperatures_are_no_inputs_for_potential_ones(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    manifest = copied(with_profiles["uint8"], tmp_path / "export") / "manifest.yaml"
    content = yaml.safe_load(manifest.read_text())
    assert content["argo"]["temperature_source"] == "potential"
    content["argo"]["temperature_source"] = "in-situ"
    manifest.write_text(yaml.safe_dump(content))
    scenarios: tuple[Scenario, ...] = ("temperature", "joint")
    for scenario in scenarios:
        with pytest.raises(
            ConfigError, match=r"temperature_source 'in-situ', .*profiles grid .*grid.temperature: potential, or"
        ):
            ExportSource(str(manifest.parent), rows(), scenario=scenario)
    assert ExportSource(str(manifest.parent), rows(), scenario="salinity").samples([0])


def test_observations_are_shared_by_neighbouring_rows(with_profiles: dict[str, Path]) -> None:
    url, wanted = with_profiles["uint16"], every_row(PATCHES, [20120229])
    seven, wide = (
        source(url, wanted).samples(range(len(wanted))),
        source(url, wanted, days=15).samples(range(len(wanted))),
    )
    assert sum(sample.points.size for sample in wide) > 1.5 * sum(sample.points.size for sample in seven)


def test_withheld_floats_and_rejected_levels_are_no_inputs(with_profiles: dict[str, Path]) -> None:
    url = with_profiles["uint16"]
    store = xr.open_zarr(url / "argo/argo_profiles_on_grid.zarr", mask_and_scale=False, chunks=None).load()
    platforms = {*store.platform_number.values[::2].tolist()}
    keep = ~np.isin(store.platform_number.values, sorted(platforms))
    assert 0 < keep.sum() < keep.size
    flags = store["argo_temp_qc_on_glorys_depth"].values
    good = np.isin(flags, (1, -1)) & (store["argo_temp_kelvin_uint16"].values != 65535)
    wanted = 0
    # S00001 of the file is 00001: some data centres put a letter before the number
    plain = [platform.lstrip("S") for platform in platforms]
    for sample in source(url, withhold=plain, quality=(1,)).samples(range(len(rows()))):
        row, column = divmod(sample.patch_id, 120)
        inside = keep & (store.target_date.values == sample.date)
        inside &= (store.grid_row.values >= row) & (store.grid_row.values < row + 20)
        inside &= (store.grid_col.values - column) % 120 < 20
        pixels = ((store.grid_row.values - row) * 20 + (store.grid_col.values - column) % 120)[inside]
        expected = np.zeros((400, 3), bool)
        np.logical_or.at(expected, pixels, good[inside])
        np.testing.assert_array_equal(np.isfinite(raster(sample, "temperature")).reshape(3, 400), expected.T)
        wanted += int(expected.sum())
    assert wanted > 30


def test_platforms_are_numbers_or_texts_with_blanks(with_profiles: dict[str, Path]) -> None:
    url = with_profiles["uint8"]

    def of(withhold: Any) -> list[int]:
        return [sample.points.size for sample in source(url, withhold=withhold).samples(range(len(rows())))]

    expected = of([FLOAT])
    assert sum(expected) < sum(of(()))
    for other in ([int(FLOAT)], [np.int64(FLOAT)], [f"  {FLOAT} "], {FLOAT}, (name for name in [FLOAT])):
        assert of(other) == expected
    # a list for several archives may have more than this one; and one that is mistyped must not pass in silence
    with pytest.warns(
        UserWarning, match=r"1 of 2 platforms in `withhold` have no profile in .*: 690192; one that it has"
    ):
        assert of(["690192", FLOAT]) == expected


def test_a_file_that_vanished_or_is_damaged_names_row_file_and_remedy(
    with_profiles: dict[str, Path], tmp_path: Path
) -> None:
    export = copied(with_profiles["uint8"], tmp_path / "export")
    first = source(export)
    row = next(n for n, sample in enumerate(first.samples(range(len(PATCHES.ids)))) if sample.points.size)
    number = len(PATCHES.ids) + 3  # in the second date
    name = rf"row {number} \(patch {PATCHES.ids[3]}, 20120229\)"
    shard = export / "dense.zarr/so/c/1/0/0/0"
    kept = shard.read_bytes()
    shard.unlink()
    for found in (source(export), pickle.loads(pickle.dumps(first))):
        assert len(found.samples([3])) == 1
        with pytest.raises(OutputError, match=rf"{name}: .*/dense.zarr/so/c/1/0/0/0 is not there; .*export --resume"):
            found.samples([3, number])
    shard.write_bytes(kept[:-4] + b"\0\0\0\0")
    with pytest.raises(
        OutputError, match=rf"{name}: .*/so/c/1/0/0/0 is damaged: .*verify --discard-bad`, then `oceanrecon export"
    ):
        source(export).samples([3, number])
    profiles = export / "argo/argo_profiles_on_grid.zarr/argo_psal_uint8/c/0/0"
    os.truncate(profiles, 10)
    with pytest.raises(OutputError, match=rf"row {row} \(.*argo_psal_uint8/c/0/0 is damaged.*profiles grid CONFIG"):
        source(export).samples([row])
    tiff = export / "rasters/ostia/analysed_sst/analysed_sst_20120222.tif"
    tiff.unlink()
    with pytest.raises(OutputError, match=r"row 3 \(.*analysed_sst_20120222.tif cannot be read \(.*export --resume"):
        source(export, store="geotiff").samples([3])


def test_what_the_export_lacks_is_said_when_it_is_opened(
    with_profiles: dict[str, Path], exported: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"no gridded profiles.*scenario 'joint': run `oceanrecon profiles grid"):
        source(exported)
    url = str(with_profiles["uint8"])
    with pytest.raises(
        ConfigError, match=r"row 0 .*has no thetao of 20120314: it has 3 dates from 20120222 to 20120307"
    ):
        ExportSource(url, every_row(PATCHES, [20120314]))
    with pytest.raises(ConfigError, match=r"no scenario 'temp': it is one of temperature, salinity, joint"):
        ExportSource(url, rows(), scenario="temp")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"surface=\('sst',\): give a list of some of analysed_sst, sos, adt"):
        ExportSource(url, rows(), surface=("sst",))
    with pytest.raises(ConfigError, match=r"there is no store 'tiff'"):
        ExportSource(url, rows(), store="tiff")  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="nowhere"):
        ExportSource(str(tmp_path / "nowhere"), rows())
    manifest = copied(with_profiles["uint8"], tmp_path / "export") / "manifest.yaml"
    content = yaml.safe_load(manifest.read_text())
    del content["dense"]["shards"]["glorys"]["so"]
    manifest.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=r"has no so in this form \(it has thetao, analysed_sst, adt, dos, sos\)"):
        source(manifest.parent)
    assert len(ExportSource(str(manifest.parent), rows(), scenario="temperature").samples([0])) == 1


def test_any_fsspec_url_gives_the_same_samples(with_profiles: dict[str, Path]) -> None:
    memory, folder = Root("memory://samples/export"), Root(str(with_profiles["uint8"]))
    for path in folder.list():
        if not path.startswith("receipts/"):
            memory.write(path, folder.read(path))
    some = [0, 30, len(PATCHES.ids) + 7]
    stores: tuple[Store, ...] = ("zarr", "geotiff")
    for store in stores:
        here = source(with_profiles["uint8"], store=store).samples(some)
        there = ExportSource(memory.url, rows(), scenario="joint", store=store).samples(some)
        for one, other in zip(here, there, strict=True):
            for name in ("temperature", "salinity"):
                np.testing.assert_array_equal(one.target[name], other.target[name])
                np.testing.assert_array_equal(one.observed[name], other.observed[name])
            np.testing.assert_array_equal(one.surface, other.surface)
            np.testing.assert_array_equal(one.land, other.land)
