"""Risk: a choice that is taken for another one, or rows that lie off the grid."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid
from oceanrecon.samples.choice import GOOD, Choice, check_rows
from oceanrecon.samples.rows import Rows


def choose(**more: Any) -> Choice:
    usual: dict[str, Any] = {
        "scenario": "joint", "surface": ("sos",), "days": 7, "quality": GOOD, "withhold": (),
    }  # fmt: skip
    return Choice.of(**usual | more)


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("withhold", "6901929", "give a list of WMO platform numbers, such as ['6901929']"),
        ("withhold", b"6901929", "give a list of WMO platform numbers"),
        ("withhold", 6901929, "give a list of WMO platform numbers"),
        ("withhold", [6901929.0], "give a list of WMO platform numbers"),
        ("withhold", [None], "give a list of WMO platform numbers"),
        ("withhold", None, "give a list of WMO platform numbers"),
        ("withhold", ["6901929", " "], "give a list of WMO platform numbers"),
        ("quality", "12", "give whole numbers, such as (1, 2)"),
        ("quality", 1, "give whole numbers, such as (1, 2)"),
        ("quality", [1.5], "give whole numbers, such as (1, 2)"),
        ("quality", (1, 100), "flags are whole numbers from 0 to 9, such as (1, 2)"),
        ("quality", (-2,), "flags are whole numbers from 0 to 9, such as (1, 2)"),
        ("days", 7.0, "give an odd whole number, such as 1 or 7"),
        ("days", 0, "give an odd whole number"),
        ("days", -1, "give an odd whole number"),
        ("days", 6, "give an odd whole number"),
        ("days", "7", "give an odd whole number"),
        ("surface", "sos", "give a list of some of analysed_sst, sos, adt"),
        ("surface", (), "give a list of some of analysed_sst, sos, adt"),
    ],
)
def test_what_cannot_be_chosen_names_the_value_and_the_remedy(name: str, value: Any, remedy: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"{name}={value!r}") + ".*" + re.escape(remedy)):
        choose(**{name: value})


def test_a_level_without_a_flag_counts_and_numbers_have_no_blanks() -> None:
    made = choose(quality=[np.int8(2), 1], withhold=[" Q6901929 ", 13001, np.int64(5)])
    assert made.flags.tolist() == [-1, 1, 2]
    assert made.withhold == {"6901929", "13001", "5"}


GLOBE = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))
REGION = RasterGrid.from_bounds(3.0, (0, 0, 90, 60))


def of(grid: RasterGrid, *corners: tuple[int, int], tile: int = 20) -> Rows:
    ids = np.array([row * grid.width + column for row, column in corners], np.int64)
    return Rows(ids, np.full(len(corners), 20120229, np.int32), tile)


def test_rows_end_where_the_grid_does() -> None:
    check_rows(of(GLOBE, (0, 0), (40, 119)), GLOBE)  # across the dateline
    check_rows(of(REGION, (0, 0), (0, 10)), REGION)
    for grid, rows, where in (
        (GLOBE, of(GLOBE, (0, 0), (41, 5)), "20 pixels from row 41, column 5 are not on the grid of 60 rows and 120"),
        (REGION, of(REGION, (0, 0), (0, 11)), "20 pixels from row 0, column 11 are not on the grid of 20 rows and 30"),
        (REGION, of(REGION, (0, 0), (1, 0)), "20 pixels from row 1, column 0 are not"),
        (REGION, of(REGION, (0, 0), (-1, 0)), "20 pixels from row -1, column 0 are not"),
        (REGION, of(REGION, (0, 0), (0, 0), tile=31), "31 pixels from row 0, column 0 are not"),
    ):
        number = 0 if rows.tile == 31 else 1
        with pytest.raises(
            ConfigError,
            match=rf"row {number} \(patch {rows.patch_id[number]}, 20120229\): {where}.*make the index for this",
        ):
            check_rows(rows, grid)
    with pytest.raises(ConfigError, match="there is no row: give rows, or an index and a split that has some"):
        check_rows(of(GLOBE), GLOBE)
