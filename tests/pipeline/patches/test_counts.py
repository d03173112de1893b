from __future__ import annotations

import numpy as np
import pytest

from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.pipeline.patches.counts import Counter

GRID = RasterGrid.from_bounds(10.0, (-180.0, -90.0, 180.0, 90.0))


@pytest.mark.parametrize(
    ("tile", "stride", "edges", "periodic"),
    [
        (4, 4, "even", False), (5, 2, "even", True), (5, 3, "last", False), (6, 1, "regular", True),
        (18, 7, "even", True), (4, 6, "regular", False),
    ],
)  # fmt: skip
def test_a_profile_counts_in_every_tile_that_holds_its_pixel_and_in_no_other(
    tile: int, stride: int, edges: str, periodic: bool
) -> None:
    patches = PatchGrid(GRID, tile, stride, edges, periodic)  # type: ignore[arg-type]
    random = np.random.default_rng(3)
    day = np.sort(random.integers(100, 112, 150))
    row, column = random.integers(0, 18, 150), random.integers(0, 36, 150)
    counter = Counter.of(patches, row, column, day)
    tops, lefts = patches.corners
    for days in (1, 7):
        for date in (99, 103, 111):
            count, nearest = counter.around(date, days)
            for number, (top, left) in enumerate(zip(tops.tolist(), lefts.tolist(), strict=True)):
                inside = [
                    n for n in range(150)
                    if top <= row[n] < top + tile and (column[n] - left) % 36 < tile
                    and abs(day[n] - date) <= (days - 1) / 2
                ]  # fmt: skip
                assert count[number] == len(inside)
                first = min(inside, key=lambda n: (abs(day[n] - date), day[n], n), default=-1)
                assert nearest[number] == first


def test_no_profiles_are_no_error() -> None:
    none = np.empty(0, np.int64)
    count, nearest = Counter.of(PatchGrid(GRID, 6, 6), none, none, none).around(5, 7)
    assert count.tolist() == [0] * 18 and nearest.tolist() == [-1] * 18
