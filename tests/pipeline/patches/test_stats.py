"""Risk: a share of the ocean, an overlap or a support that is off, or counted twice at the dateline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from oceanrecon.errors import OutputError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.pipeline.patches import stats
from oceanrecon.pipeline.patches.examples import choose
from oceanrecon.pipeline.patches.figures import PatchFigures, Support, layers
from oceanrecon.pipeline.patches.output import index_folder
from oceanrecon.pipeline.patches.stats import middle_date, patch_figures, read_date
from oceanrecon.stores.files import Root
from oceanrecon.stores.mask import encode_land_mask
from tests.pipeline.patches.small_index import PATCHES, PHASES, ROWS, make


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> PatchFigures:
    return patch_figures(str(make(tmp_path_factory.mktemp("index") / "index")))


def test_a_patch_across_the_dateline_counts_on_both_sides_of_it() -> None:
    expected = np.zeros((4, 12), int)
    expected[0:2, 0:2] += 1
    expected[0:2, [11, 0]] += 1
    np.testing.assert_array_equal(layers(PATCHES, np.array([0, 11])), expected)
    wide = PatchGrid(RasterGrid.from_bounds(30.0, (-180.0, -90.0, 180.0, 90.0)), 6, 5, periodic=True)
    every = np.zeros((6, 12), int)
    for row, column in zip(*wide.corners, strict=True):
        for y in range(row, row + 6):
            for x in range(column, column + 6):
                every[y, x % 12] += 1
    np.testing.assert_array_equal(layers(wide, wide.ids), every)


def test_overlap_and_shares_of_the_ocean_are_those_of_the_hand(figures: PatchFigures) -> None:
    # used: 0 (rows 0-1, columns 0-1), 11 (columns 11, 0), 4 (columns 4, 5), 26 (rows 2-3, columns 2-3)
    assert figures.overlap_spread == (16 / 14, 2)
    # 30-60 degrees weigh cos(45), 0-30 cos(15): ten columns of ocean in two rows of each
    high, low = np.cos(np.radians([45.0, 15.0]))
    whole = 20 * (high + low)
    expected = {
        "train": 3 * (high + low) / whole,
        "val": (high + low) / whole,  # its other column is land
        "test": 2 * (high + low) / whole,
        "all": 6 * (high + low) / whole,
        "guard": 2 * low / whole,  # of 14, in rows 1-2, columns 2-3, the second row is in 26
        "shared": 0.0,
    }
    assert figures.coverage == pytest.approx(expected)
    assert figures.summary()["share_of_the_ocean"]["all"] == 0.3


def test_rows_profiles_and_quantiles_are_counted_by_side(figures: PatchFigures) -> None:
    assert {side: one.rows for side, one in figures.support.items()} == {"train": 5, "val": 2, "test": 2, "guard": 1}
    train = figures.support["train"]
    assert (train.counts.tolist(), train.profiles, train.empty, train.mean) == ([1, 3, 0, 0, 0, 1], 8, 1, 1.6)
    assert (figures.all_rows.rows, figures.all_rows.empty, figures.all_rows.profiles) == (9, 2, 16)
    told = figures.summary()["rows"]["train"]["profiles_per_row"]
    assert told["histogram"] == {"0": 1, "1": 3, "5": 1} and (told["p50"], told["maximum"]) == (1, 5)
    by_patch = figures.table.set_index("patch_id")
    assert by_patch["rows"].to_dict() == {0: 2, 4: 2, 11: 3, 14: 1, 26: 2, 29: 0}
    assert by_patch["profiles"].to_dict() == {0: 5, 4: 6, 11: 3, 14: 4, 26: 2, 29: 0}
    assert [date.day for date in figures.dates] == [29, 7, 14]
    assert figures.daily_rows["train"].tolist() == [2, 2, 1]
    assert figures.daily_profiles["val"].tolist() == [3, 3, 0]


def test_percentiles_are_numbers_that_rows_have() -> None:
    random = np.random.default_rng(3)
    numbers = random.poisson(4.0, 1001)
    one = Support(np.bincount(numbers))
    for share in (5, 25, 50, 75, 95):
        assert one.percentile(share) == np.percentile(numbers, share, method="inverted_cdf")
    assert Support(np.zeros(1, np.int64)).percentile(50) is None


def test_patches_are_told_by_phase_and_what_is_missing_is_noted(figures: PatchFigures) -> None:
    summary = figures.summary()
    assert summary["patches"] == {
        "in_the_tiling": 36, "used": 4, "train": 2, "val": 1, "test": 1, "guard": 1, "invalid": 1,
        "across_the_dateline": 1, "force_included": {},
    }  # fmt: skip
    assert summary["land_fraction"]["maximum"] == 0.5 and summary["valid_fraction"] is None
    assert figures.notes[0] == "a <note>" and "without an export" in figures.notes[1]


def test_more_rows_than_are_held_at_once_give_the_same(
    figures: PatchFigures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stats, "_ROWS", 2)
    told: list[tuple[int, int]] = []
    again = patch_figures(str(make(tmp_path / "index")), lambda done, total: told.append((done, total)))
    assert len(told) > 3 and told[-1] == (10, 10)
    assert again.summary() | {"index": ""} == figures.summary() | {"index": ""}


def test_a_split_by_date_has_every_place_on_its_sides(tmp_path: Path) -> None:
    rows = [(patch, date, "val" if date == 20120314 else "train", n) for patch, date, _, n in ROWS]
    found = patch_figures(str(make(tmp_path / "index", dict.fromkeys(PHASES, ""), rows)))
    assert found.by_date and found.members["val"].sum() == 1 and found.members["train"].sum() == 5
    assert found.coverage["val"] == pytest.approx(0.1) and found.coverage["shared"] == pytest.approx(0.1)
    assert list(found.groups) == ["all sides"]


def test_an_index_without_rows_is_counted_too(tmp_path: Path) -> None:
    found = patch_figures(str(make(tmp_path / "index", rows=[])))
    assert found.all_rows.rows == 0 and found.dates == () and found.summary()["rows"]["used"]["rows"] == 0


def test_tables_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"weekly.parquet has patch 7, which is not in patches.parquet"):
        patch_figures(str(make(tmp_path / "one", rows=[*ROWS, (7, 20120314, "train", 1)])))
    with pytest.raises(OutputError, match="has phase 'training'"):
        patch_figures(str(make(tmp_path / "two", rows=[(0, 20120314, "training", 1)])))
    gone = make(tmp_path / "three")
    (gone / "weekly.parquet").unlink()
    with pytest.raises(OutputError, match=r"has no weekly\.parquet: make the tables with"):
        patch_figures(str(gone))
    damaged = make(tmp_path / "four")
    (damaged / "weekly.parquet").write_bytes(b"PAR1")
    with pytest.raises(OutputError, match=r"weekly.parquet.*patches index"):
        patch_figures(str(damaged))


def test_one_date_is_read_without_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path / "index")
    read: list[list[int]] = []
    of_groups = pq.ParquetFile.read_row_groups

    def listening(self: Any, groups: list[int], **more: Any) -> Any:
        read.append(groups)
        return of_groups(self, groups, **more)

    monkeypatch.setattr(pq.ParquetFile, "read_row_groups", listening)
    rows = read_date(Root(str(folder)), "weekly.parquet", 20120314)
    assert read == [[2]] and rows["patch_id"].tolist() == [11]
    assert middle_date([20120229, 20120307, 20120314], {20120307, 20120314}) == 20120307
    assert middle_date([], {1}) is None


def test_the_examples_are_the_dateline_the_extremes_and_the_middle(figures: PatchFigures) -> None:
    rows = read_date(Root(figures.index), "weekly.parquet", 20120307)
    assert choose(figures, rows) == {
        "dateline": 11,
        "profiles": 0,
        "coast": 4,
    }
    assert choose(figures, rows.iloc[:0]) == {"dateline": 11}


def test_settings_name_the_folder_of_their_index(tmp_path: Path) -> None:
    folder = make(tmp_path / "index")
    assert index_folder(str(folder / "patches.yaml")) == str(folder) and index_folder(str(folder)) == str(folder)


@pytest.mark.parametrize("grid", [None, RasterGrid.from_bounds(60.0, (-180.0, -60.0, 180.0, 60.0))])
def test_a_mask_that_is_gone_or_another_costs_what_is_said_of_land(
    grid: RasterGrid | None, figures: PatchFigures, tmp_path: Path
) -> None:
    folder, mask = make(tmp_path / "index"), tmp_path / "index.tif"
    mask.unlink()
    if grid is not None:
        mask.write_bytes(encode_land_mask(np.zeros((2, 6), np.uint8), grid, {}))
    found = patch_figures(str(folder))
    assert found.notes[-1].startswith("no land is drawn, and shares of the ocean are not known: ")
    assert (str(mask) if grid is None else "has another grid by now") in found.notes[-1]
    told, whole = found.summary(), figures.summary()
    assert set(told.pop("share_of_the_ocean").values()) == {None}
    assert told | {"index": ""} == {key: whole[key] for key in told} | {"index": ""}
