"""Risk: a box is answered from the wrong region, with more files than it touches, or with the wrong day."""

from __future__ import annotations

import datetime as dt
import pickle
from contextlib import AbstractContextManager
from pathlib import Path

import fsspec
import numpy as np
import pytest

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid.octants import OCTANTS, Octant, touched
from oceanrecon.grid.regions import Box
from oceanrecon.pipeline.taco.build import append_taco
from oceanrecon.samples.regional.query import (
    VARIABLES,
    RegionalQuery,
    TacoDataset,
    TacoFile,
    load_queries,
    open_taco,
    save_queries,
)
from oceanrecon.samples.regional.read import AGGREGATIONS, Aggregation, Reading, read_patches
from oceanrecon.samples.regional.statistics import statistics_of
from oceanrecon.samples.regional.window import Method, unrolled
from oceanrecon.stores.tile_file import Tile
from oceanrecon.transform.day import Values
from tests.taco_files import HEIGHT, Regional, plane, small

_FIRST, _LAST = dt.date(2024, 1, 10), dt.date(2024, 1, 11)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("taco")
    small(folder / "regions").build(folder / "dataset")
    return str(folder / "dataset")


@pytest.fixture
def dataset(built: str) -> TacoDataset:
    return open_taco(built)


def _spread(half: float) -> float:
    """How much the values of ``plane`` differ over half a cell, and in its packing."""
    return half * (0.05 + 2 * np.pi / 180) + 1e-3


def _one_day(box: Box) -> RegionalQuery:
    return RegionalQuery(box, _FIRST, _FIRST)


def test_the_network_is_not_needed(built: str, offline: None) -> None:
    dataset = open_taco(built)
    patches, _ = read_patches(dataset, _one_day((-50.0, 0.0, 0.0, 40.0)), ["l4_sst", "argo"], Reading(shape=(8, 8)))
    assert patches["l4_sst"].mask.all() and statistics_of(dataset, ["l4_sst"])["l4_sst"].count > 0


@pytest.mark.parametrize("octant", OCTANTS, ids=lambda octant: octant.name)
def test_the_box_of_a_region_is_answered_from_that_region_alone(dataset: TacoDataset, octant: Octant) -> None:
    # boxes of neighbours touch it, and the first that touched was taken
    files = dataset.files(octant.box, [_FIRST], ["l4_sst"])
    assert [file.region for file in files] == [octant.name]
    patches, opened = read_patches(dataset, _one_day(octant.box), ["l4_sst"])
    assert opened == 1
    patch = patches["l4_sst"]
    assert patch.mask.all()
    np.testing.assert_allclose(patch.data, plane(patch.lats[:, None], patch.lons, 10), atol=6e-4)


def test_no_more_files_are_opened_than_the_box_touches(dataset: TacoDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    before = TacoDataset.open

    def counted(self: TacoDataset, file: TacoFile) -> AbstractContextManager[Tile]:
        opened.append(file.path)
        return before(self, file)

    monkeypatch.setattr(TacoDataset, "open", counted)
    # 10 degrees in one region, three variables of two sources: two files, and not one of each of 8 regions
    _, count = read_patches(dataset, _one_day((-50, 20, -40, 30)), ["l4_sst", "l4_ssh", "l4_ssh:sla"])
    assert opened == [f"2024_01_10/NORTH_ATLANTIC/{name}.nc" for name in ("l4_sst", "l4_ssh")]
    assert count == 2


def test_kelvin_is_not_taken_off_twice(dataset: TacoDataset) -> None:
    patches, _ = read_patches(dataset, _one_day((-50, 20, -40, 30)), ["l4_sst"])
    assert 5 < float(np.mean(patches["l4_sst"].data)) < 20


@pytest.mark.parametrize("box", [(-10, -10, 10, 10), (170, -10, -170, 10), (80, 30, 100, 50)])
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_a_patch_goes_on_across_edges_of_regions(dataset: TacoDataset, tmp_path: Path, box: Box, form: str) -> None:
    if form == "zip":
        small(tmp_path / "regions").build(tmp_path / "one.tacozip", form="zip")
        dataset = open_taco(str(tmp_path / "one.tacozip"))
    patches, _ = read_patches(dataset, _one_day(box), ["l4_sst"], Reading(resolution=1.0))
    patch = patches["l4_sst"]
    assert patch.data.shape == (20, 20)
    assert patch.mask.all()
    # within the curvature of the cosine between cells of 5 degrees
    np.testing.assert_allclose(patch.data, plane(patch.lats[:, None], patch.lons, 10), atol=3e-3)


@pytest.mark.parametrize(("aggregate", "day"), [("first", 10.0), ("last", 11.0), ("mean", 10.5)])
def test_days_are_put_together_as_asked(dataset: TacoDataset, aggregate: Aggregation, day: float) -> None:
    query = RegionalQuery((-50, 20, -40, 30), dt.date(2024, 1, 9), _LAST)
    patches, opened = read_patches(dataset, query, ["l4_sst"], Reading(aggregate=aggregate))
    patch = patches["l4_sst"]
    expected = plane(patch.lats[:, None], patch.lons, 0) + day
    np.testing.assert_allclose(patch.data, expected, atol=6e-4)
    assert opened == (2 if aggregate == "mean" else 1)


def test_stacked_days_have_the_missing_one_too(dataset: TacoDataset) -> None:
    query = RegionalQuery((-50, 20, -40, 30), dt.date(2024, 1, 9), _LAST)
    patches, _ = read_patches(dataset, query, ["l4_sst"], Reading(aggregate="stack", shape=(4, 4)))
    data, mask = patches["l4_sst"].data, patches["l4_sst"].mask
    assert data.shape == (3, 4, 4)
    assert [bool(one.any()) for one in mask] == [False, True, True]
    np.testing.assert_allclose(data[2] - data[1], 1.0, atol=2e-3)


def test_what_is_missing_is_never_an_unmarked_zero(dataset: TacoDataset) -> None:
    query = _one_day((-90, 0, -80, 10))
    for fill in (float("nan"), 0.0):
        patches, _ = read_patches(dataset, query, ["l3_ssh", "l4_wind"], Reading(shape=(10, 10), fill=fill))
        track, wind = patches["l3_ssh"], patches["l4_wind"]
        # two cells of 0.9 by 1.3 degrees have a point, no wind is in the dataset
        assert 0 < track.mask.sum() < 4
        assert not wind.mask.any()
        for patch in (track, wind):
            gone = patch.data[~patch.mask]
            assert (gone == 0).all() if fill == 0 else np.isnan(gone).all()
    assert track.data[0, 0] == np.float32(0.25)


def test_points_come_as_points(dataset: TacoDataset) -> None:
    patches, _ = read_patches(dataset, RegionalQuery((-50, 0, 0, 30), _FIRST, _LAST), ["argo"])
    patch = patches["argo"]
    assert patch.data.tolist() == [20.0, 21.0, 20.0, 21.0]
    assert patch.lats.tolist() == [10.0, 20.5, 10.0, 20.5]
    assert patch.times is not None
    assert patch.times[2] == np.datetime64("2024-01-11T06:00:00")
    assert patch.pressure is not None
    assert patch.pressure.tolist() == [0, 1, 0, 1]
    # the file of the region has none of them near the first meridian
    assert not read_patches(dataset, _one_day((-90, 0, -45, 30)), ["argo"])[1]
    # beyond the dateline, as the box sees it
    turned, _ = read_patches(dataset, _one_day((160, -40, -170, 0)), ["argo"])
    assert turned["argo"].lons.tolist() == [170.0]


def test_every_published_token_names_a_variable(dataset: TacoDataset) -> None:
    query = _one_day((-50, 20, -40, 30))
    patches, _ = read_patches(dataset, query, VARIABLES, Reading(shape=(2, 2)))
    assert set(patches) == set(VARIABLES)
    with pytest.raises(ConfigError, match="there is no variable 'l3_sss_asc'"):
        read_patches(dataset, query, ["l3_sss_asc"])


def test_a_day_on_another_grid_needs_pixels(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 10, {"analysed_sst": plane}, step=5.0)
    regional.gridded("l4_sst", 11, {"analysed_sst": plane}, step=10.0)
    regional.build(tmp_path / "dataset")
    dataset = open_taco(str(tmp_path / "dataset"))
    query = RegionalQuery((-50, 20, -30, 40), _FIRST, _LAST)
    with pytest.raises(ConfigError, match="another grid on 2024-01-11"):
        read_patches(dataset, query, ["l4_sst"])
    patches, _ = read_patches(dataset, query, ["l4_sst"], Reading(shape=(8, 8)))
    assert patches["l4_sst"].mask.all()


def test_a_dataset_travels_to_workers_without_open_files(dataset: TacoDataset) -> None:
    there = pickle.loads(pickle.dumps(dataset))
    query = _one_day((-50, 20, -40, 30))
    one, other = (read_patches(each, query, ["l4_sst"])[0]["l4_sst"].data for each in (dataset, there))
    np.testing.assert_array_equal(one, other)


def test_queries_are_kept(tmp_path: Path) -> None:
    queries = [_one_day((170, -10.25, -170, 10)), RegionalQuery((0, 0, 10, 10), _FIRST, _LAST)]
    save_queries(str(tmp_path / "queries.parquet"), queries)
    assert load_queries(str(tmp_path / "queries.parquet")) == queries
    (tmp_path / "other.parquet").write_bytes(b"nothing")
    with pytest.raises(OutputError, match="no table of queries"):
        load_queries(str(tmp_path / "other.parquet"))


def test_a_folder_that_is_no_dataset_says_so(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"COLLECTION\.json"):
        open_taco(str(tmp_path))
    (tmp_path / "a.tacozip").write_bytes(b"PK\x03\x04 but no more")
    with pytest.raises(OutputError, match="is no TACO file"):
        open_taco(str(tmp_path / "a.tacozip"))


@pytest.mark.parametrize("name", ["dataset", "one.tacozip"])
def test_a_dataset_far_away_is_read_by_its_url(tmp_path: Path, name: str) -> None:
    small(tmp_path / "regions").build(tmp_path / name, form="zip" if name.endswith("zip") else "folder")
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / name), f"/regional/{name}", recursive=True)
    try:
        dataset = open_taco(f"memory://regional/{name}")
        patches, opened = read_patches(dataset, _one_day((-10, -10, 10, 10)), ["l4_sst"])
    finally:
        memory.rm("/regional", recursive=True)
    assert opened == 4
    patch = patches["l4_sst"]
    np.testing.assert_allclose(patch.data, plane(patch.lats[:, None], patch.lons, 10), atol=6e-4)


@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_cells_on_the_edge_of_a_region_are_read_from_the_one_beyond(tmp_path: Path, method: Method) -> None:
    # as GLORYS: centres on edges, so that half of the first cell of a region is in the one before
    grid = np.arange(-240, 241) / 12, -180 + np.arange(4320) / 12
    regional = Regional(tmp_path / "regions")
    regional.gridded("glorys", 10, {"zos": plane}, grid=grid, attributes=HEIGHT)
    regional.build(tmp_path / "dataset")
    dataset = open_taco(str(tmp_path / "dataset"))
    error = 1e-3 if method == "bilinear" else _spread(1 / 24)
    for box, files in (
        ((-10, 0.5, 0, 10), 2), ((170, 0.5, 180, 10), 2), ((-20, -10, -10, 0), 2), ((-10, -10, 0, 0), 4),
        ((-0.06, 5, -0.01, 6), 2), ((0, 0, 10, 10), 1), ((-12, 2, -2, 12), 1), ((-5, 0, 5, 10), 2),
    ):  # fmt: skip
        patches, opened = read_patches(dataset, _one_day(box), ["glorys_ssh"], Reading(shape=(64, 64), method=method))
        patch = patches["glorys_ssh"]
        assert patch.mask.all(), box
        np.testing.assert_allclose(patch.data, plane(patch.lats[:, None], patch.lons, 10), atol=error)
        assert opened == files
        # where cells are asked for, they are those with their centres in the box
        cells, opened = read_patches(dataset, _one_day(box), ["glorys_ssh"])
        assert opened == len(touched(box))
        west, _, east, _ = unrolled(box)
        centres = np.concatenate([grid[1], grid[1] + 360])
        assert cells["glorys_ssh"].lons.size == np.count_nonzero((centres >= west) & (centres < east))


@pytest.mark.parametrize("box", [(-1, 10, 0, 20), (-1, 10, -0.5, 20), (0, 88, 10, 90), (-4, 11, -1, 14)])
@pytest.mark.parametrize("method", ["nearest", "bilinear"])
def test_a_box_within_one_cell_has_its_value(dataset: TacoDataset, box: Box, method: Method) -> None:
    patches, _ = read_patches(dataset, _one_day(box), ["l4_sst"], Reading(shape=(4, 4), method=method))
    patch = patches["l4_sst"]
    assert patch.mask.all()
    np.testing.assert_allclose(patch.data, plane(patch.lats[:, None], patch.lons, 10), atol=_spread(2.5))


@pytest.mark.parametrize("aggregate", AGGREGATIONS)
def test_a_day_that_lacks_a_region_has_the_cells_of_the_box(tmp_path: Path, aggregate: Aggregation) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 10, {"analysed_sst": plane}, regions=["NORTH_ATLANTIC"])
    regional.gridded("l4_sst", 11, {"analysed_sst": plane}, regions=["NORTH_INDIAN"])
    regional.build(tmp_path / "dataset")
    query = RegionalQuery((-10, 0, 10, 10), _FIRST, _LAST)
    patches, _ = read_patches(open_taco(str(tmp_path / "dataset")), query, ["l4_sst"], Reading(aggregate=aggregate))
    patch = patches["l4_sst"]
    assert patch.lons.tolist() == [-7.5, -2.5, 2.5, 7.5]
    first, last = ([True, True, False, False], [False, False, True, True])
    expected = {"first": [first], "last": [last], "mean": [[True] * 4], "stack": [[first], [last]]}[aggregate]
    np.testing.assert_array_equal(patch.mask, np.broadcast_to(np.array(expected), patch.mask.shape))
    if aggregate == "mean":
        days = np.array([10, 10, 11, 11])
        np.testing.assert_allclose(patch.data, plane(patch.lats[:, None], patch.lons, 0) + days, atol=1e-3)


def test_flags_have_no_mean(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    flags = {10: 1, 11: 4, 12: -1}
    for day in flags:
        regional.gridded("l4_sst", day, {"mask": lambda south, east, day: flags[day] + 0 * south * east},
                         attributes={"units": "1"}, missing=-1)  # fmt: skip
    regional.build(tmp_path / "dataset")
    query = RegionalQuery((-20, 0, -10, 10), _FIRST, dt.date(2024, 1, 12))
    for shape in ((2, 2), None):
        patches, _ = read_patches(open_taco(str(tmp_path / "dataset")), query, ["l4_sst:mask"], Reading(shape=shape))
        # the last that there is
        assert patches["l4_sst:mask"].data.tolist() == [[4, 4], [4, 4]]


def test_numbers_of_points_may_be_missing_and_texts_are_refused(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    more = {"CYCLE": Values(np.array([5, 99999], np.int32), {}, 99999), "PLATFORM": Values(np.array(["a", "b"]), {})}
    regional.points(10, [10.0, 11.0], [-40.0, -41.0], [20.0, 21.0], more)
    regional.build(tmp_path / "dataset")
    dataset = open_taco(str(tmp_path / "dataset"))
    query = _one_day((-50, 0, -30, 20))
    patches, _ = read_patches(dataset, query, ["argo:CYCLE"])
    assert patches["argo:CYCLE"].mask.tolist() == [True, False]
    with pytest.raises(ConfigError, match="PLATFORM has texts, such as 'a'"):
        read_patches(dataset, query, ["argo:PLATFORM"])
    with pytest.raises(ConfigError, match="PLATFORM has texts, such as 'a'"):
        statistics_of(dataset, ["argo:PLATFORM"])


@pytest.mark.parametrize("far", [False, True])
def test_a_file_that_took_the_place_of_another_is_refused(tmp_path: Path, far: bool) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 11, {"analysed_sst": plane})
    one = tmp_path / "one.tacozip"
    regional.build(one, form="zip")
    memory = fsspec.filesystem("memory")
    url = "memory://replaced/one.tacozip" if far else str(one)
    try:
        memory.put(str(one), "/replaced/one.tacozip")
        dataset = open_taco(url)
        query = RegionalQuery((-20, 0, -10, 10), _LAST, _LAST)
        read_patches(dataset, query, ["l4_sst"])
        regional.gridded("l4_sst", 10, {"analysed_sst": plane})
        regional.write()
        append_taco(regional.url, str(one))
        memory.put(str(one), "/replaced/one.tacozip")
        # the offsets of the one are days of the other
        with pytest.raises(OutputError, match="was replaced since it was opened: open it again"):
            read_patches(pickle.loads(pickle.dumps(dataset)), query, ["l4_sst"])
        assert len(open_taco(url).dates) == 2
    finally:
        memory.rm("/replaced", recursive=True)
