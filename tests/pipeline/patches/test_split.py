"""No pixel, day or file is on two sides, by looking at all of them; and the same seed gives the same split."""

import datetime as dt
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid, nearest_date, stepped_dates, window_days
from oceanrecon.patch_config import SplitSettings
from oceanrecon.pipeline.patches.footprint import Footprint
from oceanrecon.pipeline.patches.split import GUARDED, PHASES, TEST, TRAIN, VAL, Split
from oceanrecon.pipeline.patches.tiling import Tiling
from tests.pipeline.patches.test_tiling import tiled

SEA = np.zeros((160, 360), np.uint8)
Phases = NDArray[np.uint8]


def split(tiling: Tiling, **settings: Any) -> Split:
    return Split.of(SplitSettings.model_validate(settings), tiling)


def counts(codes: Phases) -> dict[str, int]:
    return dict(zip(PHASES, np.bincount(codes.ravel(), minlength=4).tolist(), strict=True))


def sides_of_pixels(tiling: Tiling, codes: Phases) -> NDArray[np.int64]:
    """How many sides each pixel is on, by painting every patch."""
    grid, tile = tiling.patches.grid, tiling.patches.tile
    painted = np.zeros((3, grid.height, grid.width), bool)
    for (y0, x0), code in zip(tiling.table[["grid_y0", "grid_x0"]].to_numpy(), codes, strict=True):
        if code != GUARDED:
            painted[code, y0 : y0 + tile, np.arange(x0, x0 + tile) % grid.width] = True
    return np.asarray(painted.sum(axis=0))


def test_patches_one_by_one_in_exact_shares(tmp_path: Path) -> None:
    tiling = tiled(tmp_path, SEA, tiling={"tile": 20, "periodic": True})
    drawn = split(tiling, method="patch", val=0.25, test=0.125)
    assert drawn.by_patch is not None
    assert counts(drawn.by_patch) == {"train": 90, "val": 36, "test": 18, "guard": 0}
    assert sides_of_pixels(tiling, drawn.by_patch).max() == 1
    other = split(tiling, method="patch", val=0.25, test=0.125, seed=8).by_patch
    assert other is not None and 0.3 < (drawn.by_patch == other).mean() < 0.8
    # fewer patches: those that are left stay where they were, but for a few at the border of the shares
    land = SEA.copy()
    land[:20, :180] = 1
    fewer = tiled(tmp_path, land, tiling={"tile": 20, "periodic": True})
    stay = np.isin(tiling.table["patch_id"], fewer.table["patch_id"])
    again = split(fewer, method="patch", val=0.25, test=0.125).by_patch
    assert len(fewer.table) == 135 and (drawn.by_patch[stay] == again).mean() > 0.95


@pytest.mark.parametrize("tiling", [{"stride": 10}, {"stride": 30, "edges": "last"}])
def test_patches_that_overlap_are_not_drawn_one_by_one(tmp_path: Path, tiling: dict[str, Any]) -> None:
    made = tiled(tmp_path, SEA, tiling={"tile": 26, **tiling})
    with pytest.raises(ConfigError, match=r"these overlap.*take `method: block`"):
        split(made, method="patch")
    assert split(made, method="patch", strict=False).by_patch is not None


@pytest.mark.parametrize("degrees", [40.0, 50.0, 90.0])
@pytest.mark.parametrize("west", [-180.0, 0.0, 7.0])
def test_overlapping_patches_never_straddle_blocks(tmp_path: Path, degrees: float, west: float) -> None:
    grid = RasterGrid(west, 80.0, 1.0, 1.0, 360, 160)
    tiling = tiled(tmp_path, SEA, grid, tiling={"tile": 20, "stride": 7, "periodic": True})
    drawn = split(tiling, method="block", block_degrees=degrees)
    assert drawn.by_patch is not None
    assert sides_of_pixels(tiling, drawn.by_patch).max() == 1
    found = counts(drawn.by_patch)
    assert min(found["val"], found["test"]) > 20 and found["train"] > found["val"] + found["test"]
    # only what lies across is left out: a patch in one block is on its side
    table = tiling.table
    west_of_it, north_of_it = np.mod(table["lon0"] + 180, 360), 90 - table["lat1"]
    one = (west_of_it % degrees + 20 <= degrees) & (north_of_it % degrees + 20 <= degrees) & (west_of_it + 20 <= 360)
    assert one.sum() > 50 and (drawn.by_patch[one] != GUARDED).all()
    # the shares are of these patches, as near as whole blocks come
    share = (drawn.by_patch[one] == VAL).mean()
    assert abs(share - 0.15) < (degrees / 160) ** 1.5


def test_blocks_of_patches_that_do_not_overlap_leave_none_out(tmp_path: Path) -> None:
    settings = {"method": "block", "block_degrees": 50}
    tiling = tiled(tmp_path, SEA, tiling={"tile": 20, "periodic": True}, split=settings)
    codes = split(tiling, **settings).by_patch
    assert codes is not None and counts(codes)["guard"] == 0
    sides = defaultdict(set)
    for block, code in zip(tiling.table["block"], codes, strict=True):
        sides[block].add(code)
    assert {len(found) for found in sides.values()} == {1}
    assert sides_of_pixels(tiling, codes).max() == 1


def test_a_side_without_a_patch_is_an_error(tmp_path: Path) -> None:
    tiling = tiled(tmp_path, SEA, tiling={"tile": 20, "stride": 10})
    with pytest.raises(ConfigError, match=r"no patch fits into a block of 15 degrees"):
        split(tiling, block_degrees=15)
    with pytest.raises(ConfigError, match=r"no patch is for train \(0 train, .* larger split.block_degrees"):
        split(tiling, block_degrees=180, val=0.49, test=0.5)


def brute_force_years(dates: list[dt.date], sides: list[int], footprint: Footprint, glorys: list[dt.date]) -> list[int]:
    """Sides where those that share a day or a file give way, from sets of days and files."""

    def seen(date: dt.date) -> set[Any]:
        days = set(window_days(date, footprint.days))
        files = {("file", nearest_date(glorys, day)) for day in days}
        targets = {dt.date(1950, 1, 1) + dt.timedelta(days=int(day)) for day in footprint.targets}
        for target in targets & days:
            days |= set(window_days(target, footprint.window_days))
        return days | files

    held = [seen(date) for date in dates]
    found = list(sides)
    for side in (VAL, TRAIN):
        for number in range(len(dates)):
            if sides[number] == side and any(
                side < found[other] < GUARDED and held[number] & held[other] for other in range(len(dates))
            ):
                found[number] = GUARDED
    return found


@pytest.mark.parametrize("days", [1, 7])
@pytest.mark.parametrize("exported", [False, True])
def test_years_leave_out_dates_that_share_a_day_or_a_file(tmp_path: Path, days: int, exported: bool) -> None:
    glorys = stepped_dates(dt.date(2009, 11, 4), dt.date(2012, 2, 20), 7)
    del glorys[20:23]
    dates = stepped_dates(dt.date(2009, 12, 1), dt.date(2012, 1, 31), 1)
    export = {
        "target_dates": [int(f"{date:%Y%m%d}") for date in glorys],
        "surface_temporal_aggregation": {"window_days": 7},
    }
    footprint = Footprint.of(days, glorys, export if exported else None)
    tiling = tiled(tmp_path, SEA, tiling={"tile": 40})
    drawn = split(tiling, method="year", val_years=[2010], test_years=[2011])
    found = drawn.phases(dates, footprint.spans(dates))
    assert found.shape == (len(dates), len(tiling.table)) and drawn.patch_phases() is None
    sides = [{2010: VAL, 2011: TEST}.get(date.year, TRAIN) for date in dates]
    assert found[:, 0].tolist() == brute_force_years(dates, sides, footprint, glorys)
    assert 0 < (found[:, 0] == GUARDED).sum() < 30
    assert (found == found[:, :1]).all()


def test_weekly_rows_of_a_week_share_nothing(tmp_path: Path) -> None:
    glorys = stepped_dates(dt.date(2010, 12, 1), dt.date(2011, 2, 28), 7)
    drawn = split(tiled(tmp_path, SEA, tiling={"tile": 40}), method="year", val_years=[2011])
    spans = Footprint.of(7, glorys).spans(glorys)
    assert GUARDED not in drawn.phases(glorys, spans)
    # nine days around 22 December and around 5 January have a day each that is nearest to the file of the 29th
    wide = drawn.phases(glorys, Footprint.of(9, glorys).spans(glorys))[:, 0]
    assert [str(date) for date, code in zip(glorys, wide, strict=True) if code == GUARDED] == [
        "2010-12-22",
        "2010-12-29",
    ]
    with pytest.raises(ConfigError, match=r"no date is for test \(5 train, .*correct split.val_years"):
        missing = split(tiled(tmp_path, SEA, tiling={"tile": 40}), method="year", val_years=[2011], test_years=[2013])
        missing.phases(glorys, spans)


def test_a_footprint_survives_the_manifest() -> None:
    glorys = [dt.date(2012, 2, 29), dt.date(2012, 3, 7)]
    export = {"target_dates": [20120307], "surface_temporal_aggregation": {"window_days": 9}}
    for footprint in (Footprint.of(7, glorys), Footprint.of(3, glorys, export)):
        again = Footprint.from_dict(footprint.to_dict())
        np.testing.assert_array_equal(footprint.spans(glorys), again.spans(glorys))
    assert footprint.to_dict()["glorys_dates"] == [20120229, 20120307]


def test_lists_of_patches_and_of_rows(tmp_path: Path) -> None:
    tiling = tiled(tmp_path, SEA, tiling={"tile": 80})
    ids = tiling.table["patch_id"].tolist()
    assert len(ids) == 8
    places = tmp_path / "places.csv"
    places.write_text(f"patch_id,phase\n{ids[3]},val\n{ids[0]},train\n{ids[5]},test\n")
    found = split(tiling, method="list", table=str(places)).patch_phases()
    assert found is not None
    assert found.tolist() == ["train", "guard", "guard", "val", "guard", "test", "guard", "guard"]
    dates = [dt.date(2012, 2, 29), dt.date(2012, 3, 7)]
    rows = pd.DataFrame({"patch_id": ids[:2] * 2, "date": [20120229] * 2 + [20120307, 19990101], "phase": "train"})
    rows.loc[1, "phase"] = "val"
    rows.to_parquet(tmp_path / "rows.parquet")
    drawn = split(tiling, method="list", table=str(tmp_path / "rows.parquet"))
    codes = drawn.phases(dates, np.zeros((2, 2, 2), np.int64))
    assert codes[:, :3].tolist() == [[TRAIN, VAL, GUARDED], [TRAIN, GUARDED, GUARDED]]
    assert drawn.patch_phases() is None
    # a side that is listed, but not at these dates
    rows.loc[3, "phase"] = "test"
    rows.to_parquet(tmp_path / "rows.parquet")
    drawn = split(tiling, method="list", table=str(tmp_path / "rows.parquet"))
    with pytest.raises(ConfigError, match=r"no row is for test .*parquet; 1 of its 4 rows are of dates without rows"):
        drawn.phases(dates, np.zeros((2, 2, 2), np.int64))


def test_a_date_that_gave_way_takes_no_other_with_it(tmp_path: Path) -> None:
    dates = [dt.date(2010, 1, 6), dt.date(2011, 1, 5), dt.date(2012, 1, 4), dt.date(2012, 6, 6), dt.date(2013, 1, 2)]
    drawn = split(tiled(tmp_path, SEA, tiling={"tile": 80}), method="year", val_years=[2012], test_years=[2013])
    # in a row: training, validation and test, each of which meets the next
    spans = np.array([[[0, 1], [10, 20], [70, 80], [20, 30], [30, 40]]])
    assert drawn.phases(dates, spans)[:, 0].tolist() == [TRAIN, TRAIN, VAL, GUARDED, TEST]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("patch_id,phase\n0,train\n1,val\n", "lists 1 patches that these tables do not have, such as 1"),
        ("patch_id,phase\n0,training\n", "has the phase 'training': known are train, val, test, guard"),
        ("patch_id,phase\n0,train\n0,val\n", r"lists \{'patch_id': .*0.*\} twice"),
        ("patch_id,phase\n0,val\n", r"no patch is for train \(0 train, 1 val"),
        ("patch_id,side\n0,val\n", "has no column phase: it has patch_id, side"),
        ("patch_id,phase\nzero,val\n", "whole numbers are needed"),
        ("patch_id,phase,date\n0,train,20120230\n", r"list\.csv: 20120230 is not a date"),
        ("patch_id,phase\n0,train\n80,\n", r"list\.csv has 1 rows without a phase: .*\(weekly.csv or daily.csv\)"),
        ("patch_id,phase\n0,train\n80,invalid\n", "has the phase 'invalid': .*leave out the tiles over the thresholds"),
        ("", "cannot read the split from .*No columns"),
    ],
)
def test_a_wrong_list_is_refused(tmp_path: Path, lines: str, message: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(lines)
    with pytest.raises(ConfigError, match=message):
        split(tiled(tmp_path, SEA, tiling={"tile": 80}), method="list", table=str(path))
