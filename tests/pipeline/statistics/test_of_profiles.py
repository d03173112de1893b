"""Risks: a withheld float is in the statistics; profiles are averaged, placed or paired wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
import zarr
from distributed import Client

from oceanrecon.config import parse_settings
from oceanrecon.grid import PatchGrid, RasterGrid, parse_date
from oceanrecon.pipeline.statistics.fit import level_deviations, spatial_covariance, vertical_modes
from oceanrecon.pipeline.statistics.moments import BINS_KM, Moments, points_in_space
from oceanrecon.pipeline.statistics.recipe import TrainingPixels
from oceanrecon.pipeline.statistics.season import fit_seasons
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.rows import every_row
from oceanrecon.samples.withheld import FloatSplit
from oceanrecon.service.statistics import fit_statistics
from oceanrecon.statistics_config import StatisticsSettings
from oceanrecon.stores.manifest import export_grid
from oceanrecon.stores.statistics import ARRAYS, Statistics, read_statistics
from oceanrecon.transform.harmonic import SeasonSums
from tests.archives import copied
from tests.pipeline.statistics.hand import write_rows

DATES = (20120222, 20120229, 20120307)
FLOATS = {"seed": 3, "val": 0.2, "test": 0.3}


def fitted(export: Path, output: Path, client: Client, **more: object) -> Statistics:
    """Of the first two dates."""
    if not (output.parent / "index").exists():
        grid = export_grid(yaml.safe_load((export / "manifest.yaml").read_text()))
        rows = [(0, date, "train" if date < DATES[2] else "val") for date in DATES]
        write_rows(output.parent / "index", export, PatchGrid(grid, 20, 20, "regular"), rows, "year")
    data = {"export": str(export), "index": str(output.parent / "index"), "output": str(output), "floats": FLOATS}
    settings = parse_settings(StatisticsSettings, {**data, "resolution": 6.0, **more}, "test")
    result = fit_statistics(settings, client=client)
    assert result.complete, result.failures
    return read_statistics(str(output))


def warmed(export: Path, folder: Path, side: str) -> Path:
    """A copy whose floats of a side are one code warmer and saltier."""
    copied(export, folder)
    split = FloatSplit(**FLOATS)  # type: ignore[arg-type]
    store: Any = zarr.open_group(folder / "argo" / "argo_profiles_on_grid.zarr", mode="r+")
    names = np.array([str(name) for name in store["platform_number"][:]])
    mine = np.array([split.side(name) == side for name in names])
    assert 20 < mine.sum() < 0.9 * mine.size
    for name in ("argo_temp_kelvin_uint16", "argo_psal_uint16"):
        codes = store[name][:]
        codes[mine[:, None] & (codes != 65535)] += 1000
        store[name][:] = codes
    return folder


def test_withheld_floats_change_nothing_and_training_floats_do(
    with_profiles: dict[str, Path], tmp_path: Path, client: Client
) -> None:
    export = with_profiles["uint16"]
    found = {
        name: fitted(export if name == "as it is" else warmed(export, tmp_path / f"{name} export", name),
                     tmp_path / name / "statistics", client, source="profiles")
        for name in ("as it is", "val", "test", "train")
    }  # fmt: skip
    stored = {name: (tmp_path / name / "statistics" / ARRAYS).read_bytes() for name in found}
    assert stored["as it is"] == stored["val"] == stored["test"] != stored["train"]
    platforms = found["as it is"].provenance["floats"]["platforms"]
    assert platforms == found["val"].provenance["floats"]["platforms"] and sum(platforms.values()) == 100
    # 1000 codes of 45 K / 65534
    warmer = found["train"].terms["temperature"][0] - found["as it is"].terms["temperature"][0]
    np.testing.assert_allclose(warmer.mean(), 0.687, atol=0.01)


def test_statistics_of_profiles_know_what_profiles_know(
    with_profiles: dict[str, Path], tmp_path: Path, client: Client
) -> None:
    export = with_profiles["uint16"]
    found = fitted(export, tmp_path / "profiles", client, source="profiles", ridge=5.0)
    assert found.fields == ("temperature", "salinity") and found.surface == ("analysed_sst", "sos", "adt")
    with np.load(tmp_path / "profiles" / "parts" / "profiles" / "2012-02.npz") as part:
        columns = part["values"]
    # far from all of them a cell has the mean of all; 2 of 31 profiles have the first level: it is that of the second
    common = np.concatenate([np.median(found.terms[name][0], axis=(1, 2)) for name in found.fields])
    assert np.isfinite(columns).sum(axis=0).tolist() == [2, 11, 31, 2, 12, 21]
    np.testing.assert_allclose(common, np.nanmean(columns, axis=0)[[1, 1, 2, 4, 4, 5]], atol=0.05)
    assert (found.deviation["temperature"] < 0.8).all()
    assert found.provenance["covariance_of"]["temperature"] == "assumed"  # of 40 profiles at two dates
    land = {0, 3}
    assert set(np.unique(found.deepest)) == land
    dense = fitted(export, tmp_path / "dense", client)
    assert set(np.unique(dense.deepest)) == {0, 2, 3}  # a shallow sea
    with_floor = fitted(export, tmp_path / "floor", client, source="profiles", bathymetry=str(tmp_path / "dense"))
    np.testing.assert_array_equal(with_floor.deepest, dense.deepest)


def test_geotiff_alone_gives_the_same_bytes(with_profiles: dict[str, Path], tmp_path: Path, client: Client) -> None:
    export = with_profiles["uint16"]
    fitted(export, tmp_path / "zarr" / "statistics", client)
    copied(export, tmp_path / "tiff export")
    path = tmp_path / "tiff export" / "manifest.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"dense": None}))
    fitted(tmp_path / "tiff export", tmp_path / "tiff" / "statistics", client)
    zarr_bytes, tiff_bytes = ((tmp_path / name / "statistics" / ARRAYS).read_bytes() for name in ("zarr", "tiff"))
    assert zarr_bytes == tiff_bytes


def test_columns_of_floats_are_those_that_samples_have(
    with_profiles: dict[str, Path], tmp_path: Path, client: Client
) -> None:
    export = with_profiles["uint16"]
    fitted(export, tmp_path / "statistics", client)
    with np.load(tmp_path / "statistics" / "parts" / "profiles" / "2012-02.npz") as part:
        found = {(date, row, column): values for date, row, column, values in
                 zip(part["date"], part["row"], part["column"], part["values"], strict=True)}  # fmt: skip
    patches = PatchGrid(export_grid(yaml.safe_load((export / "manifest.yaml").read_text())), 20, 20, "regular")
    split = FloatSplit(**FLOATS)  # type: ignore[arg-type]
    source = ExportSource(str(export), every_row(patches, DATES[:2]), scenario="joint", floats=split, sides=("train",))
    count = 0
    for sample in source.samples(range(len(source))):
        top, left = divmod(sample.patch_id, 120)
        for point, temperature in zip(sample.points.tolist(), sample.observed["temperature"], strict=True):
            key = sample.date, top + point // 20, left + point % 20
            np.testing.assert_array_equal(found[key][:3], temperature)
            count += 1
    assert count == len(found) > 30


def test_pairs_by_brute_force() -> None:
    random = np.random.default_rng(5)
    latitude, longitude = random.uniform(-8, 8, 60), random.uniform(172, 188, 60)  # across the dateline
    anomalies = random.normal(size=(3, 60))
    anomalies[1, ::4] = np.nan
    moments = Moments.empty(3)
    moments.add_pairs(anomalies, points_in_space(latitude, (longitude + 180) % 360 - 180))
    pairs, products = np.zeros((2, len(BINS_KM) - 1, 3))
    for one in range(60):
        for other in range(one):
            angle = np.arccos(
                np.sin(np.radians(latitude[one])) * np.sin(np.radians(latitude[other]))
                + np.cos(np.radians(latitude[one])) * np.cos(np.radians(latitude[other]))
                * np.cos(np.radians(longitude[one] - longitude[other]))
            )  # fmt: skip
            chord = 2 * 6371 * np.sin(angle / 2)
            for number in range(len(BINS_KM) - 1):
                if BINS_KM[number] <= chord < BINS_KM[number + 1]:
                    product = anomalies[:, one] * anomalies[:, other]
                    pairs[number] += np.isfinite(product)
                    products[number] += np.nan_to_num(product)
    assert pairs[:, 1].sum() < pairs[:, 0].sum() > 500
    np.testing.assert_array_equal(moments.pairs, pairs)
    np.testing.assert_allclose(moments.products, products)


def test_a_covariance_is_of_profiles_if_there_are_enough() -> None:
    """An anomaly that is one everywhere, and noise of the same variance at each place: the signal is half."""
    random = np.random.default_rng(2)

    def of(places: int, common: float) -> Moments:
        moments = Moments.empty(1)
        for _ in range(30):
            at = points_in_space(random.uniform(-3, 3, places), random.uniform(-3, 3, places))
            anomalies = common * random.normal(size=(1, 1)) + random.normal(size=(1, places))
            moments.add_columns(anomalies, np.ones(places))
            moments.add_pairs(anomalies, at)
        return moments

    few, many, dense = of(3, 1.0), of(40, 1.0), of(40, 0.0)
    found, source = spatial_covariance(many, dense, slice(0, 1), np.array([2.0]))
    assert source == "profiles" and found.length_km[0] > 900
    np.testing.assert_allclose(found.signal / (found.signal + found.noise), 0.5, atol=0.15)
    np.testing.assert_allclose(found.signal + found.noise, 2 / 4, rtol=0.3)  # scaled by the deviation
    found, source = spatial_covariance(few, dense, slice(0, 1), np.array([1.0]))
    assert source == "reanalysis" and found.signal[0] < 0.1
    assert spatial_covariance(few, None, slice(0, 1), np.array([1.0]))[1] == "assumed"


def test_modes_of_levels_that_are_known_pairwise() -> None:
    moments = Moments.empty(3)
    # two columns; the third level is known in none: [[2, 1], [1, 1]] has the variances (3 +- sqrt 5) / 2
    moments.add_columns(np.array([[2.0, 0.0], [1.0, 1.0], [np.nan, np.nan]]), np.ones(2))
    np.testing.assert_array_equal(moments.weight[2], 0)
    assert moments.second[0, 1] == 2
    found = vertical_modes(moments, np.ones(3), shrink=False)
    np.testing.assert_allclose(found.variance, [(3 + 5**0.5) / 2, (3 - 5**0.5) / 2, 0], atol=1e-6)
    np.testing.assert_allclose(found.modes @ found.modes.T, np.eye(3), atol=1e-6)
    half = vertical_modes(moments, np.array([2.0, 1.0, 1.0]), shrink=True)  # [[0.5, 0.45], [0.45, 1]]
    np.testing.assert_allclose(half.variance.sum(), 1.5, atol=1e-6)
    np.testing.assert_allclose(np.prod(half.variance[:2]), 0.5 - 0.45**2, atol=1e-6)


def test_a_level_without_values_has_the_deviation_of_its_neighbours() -> None:
    found = level_deviations(np.array([4.0, 0.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0, 1.0]), floor=0.02)
    # 2 and, for rounding is no deviation, 0.02; between them 0.43 and 0.09, by steps of 100 ** (1/3)
    between = 2 / 100 ** (np.arange(4) / 3)
    np.testing.assert_allclose(found[1:3], between[1:3], rtol=1e-6)
    np.testing.assert_allclose(found[0], between[0] ** 0.75 * between[1] ** 0.25, rtol=1e-6)


def test_few_profiles_are_shared_by_more_cells_the_further_one_looks() -> None:
    """Values are the latitude: 20 profiles in each of two far cells, and 4 in a third."""
    grid = RasterGrid.from_bounds(1.0, (0.0, -30.0, 60.0, 30.0))
    sums = SeasonSums.empty((1, 60, 60))
    weight = np.zeros((1, 60, 60))
    weight[0, 5, 5] = weight[0, 50, 50] = 20.0
    weight[0, 30, 30] = 4.0
    for date in (20110101, 20110401, 20110701, 20111001):
        sums.add(parse_date(date), np.broadcast_to(grid.latitude[:, None], (1, 60, 60)), weight / 4)
    terms = fit_seasons(sums, grid, 100.0, 1.0, least=10.0)[0, 0]
    assert np.isfinite(terms).all()
    np.testing.assert_allclose(terms[[5, 50], [5, 50]], [24.5, -20.5], atol=1e-4)  # their own
    np.testing.assert_allclose(terms[5, 6], 24.5, atol=1e-4)  # a neighbour: 20 exp(-0.6) = 11 of 10
    # alone 4 are too few, so that all of 1000 km and more count, and at last all 44
    assert abs(terms[30, 30] - (20 * 24.5 - 20 * 20.5 + 4 * -0.5) / 44) < 5


def test_pixels_of_training_patches_by_hand() -> None:
    grid = RasterGrid.from_bounds(30.0, (-180.0, -60.0, 180.0, 60.0))  # 4 x 12
    # a patch of two pixels from row 2 and column 11, across the dateline; another at another date
    pixels = TrainingPixels(np.array([2 * 12 + 11, 0]), np.array([20120229, 20120307], np.int32), 2, grid)
    wanted = np.zeros((4, 12), bool)
    wanted[2:, [0, 11]] = True
    np.testing.assert_array_equal(pixels.at(20120229, 0, 4), wanted)
    np.testing.assert_array_equal(pixels.at(20120229, 3, 4), wanted[3:])
    assert not pixels.at(20120229, 0, 2).any() and pixels.at(20120307, 0, 1).sum() == 2


def test_of_a_split_by_place_only_profiles_in_training_patches_count(
    with_profiles: dict[str, Path], tmp_path: Path, client: Client
) -> None:
    export = with_profiles["uint16"]
    grid = export_grid(yaml.safe_load((export / "manifest.yaml").read_text()))
    patches = PatchGrid(grid, 20, 20, "regular")
    rows = [
        (patch, date, "train" if patch % 120 < 60 else "val") for patch in patches.ids.tolist() for date in DATES[:2]
    ]
    write_rows(tmp_path / "index", export, patches, rows, "block")
    fitted(export, tmp_path / "west", client)
    write_rows(tmp_path / "all" / "index", export, patches, [(*row[:2], "train") for row in rows], "block")
    fitted(export, tmp_path / "all" / "statistics", client)
    west, every = (
        np.load(folder / "parts" / "profiles" / "2012-02.npz")
        for folder in (tmp_path / "west", tmp_path / "all" / "statistics")
    )
    inside = every["column"] < 60
    assert 5 < inside.sum() < inside.size
    np.testing.assert_array_equal(west["column"], every["column"][inside])
    np.testing.assert_array_equal(west["values"], every["values"][inside])
