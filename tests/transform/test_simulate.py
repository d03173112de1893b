"""Simulated observations: how many, where, and that there is always an end."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.transform.simulate import Kind, Simulation
from oceanrecon.transform.streams import stream
from oceanrecon.transform.tracks import every_few, tracks

KINDS: tuple[Kind, ...] = ("columns", "tracks", "rectangles")


def coast(side: int = 128) -> NDArray[np.bool_]:
    """Ocean east of a wavy coast, with a lake."""
    row, column = np.mgrid[:side, :side]
    ocean: NDArray[np.bool_] = column > side * (0.3 + 0.1 * np.sin(row / 15))
    ocean[:3, :3] = True
    return ocean


@pytest.mark.parametrize("kind", KINDS)
def test_only_ocean_is_observed_once_and_in_order(kind: Kind) -> None:
    ocean = coast()
    for row in range(20):
        pixels = Simulation(kind).pixels(ocean, stream(1, 0, row, "simulation"))
        assert pixels.dtype == np.int32
        assert (np.diff(pixels) > 0).all()
        assert ocean.ravel()[pixels].all()


def test_columns_are_as_many_as_asked_for_give_or_take_a_tenth() -> None:
    """A normal distribution of a tenth, cut at a tenth: 32 % of the draws are at its ends."""
    ocean = np.ones((64, 64), bool)
    drawn = np.array([Simulation("columns", 200).pixels(ocean, stream(1, 0, row, "a")).size for row in range(2000)])
    assert (drawn.min(), drawn.max()) == (180, 220)
    assert abs(drawn.mean() - 200) < 1.2
    assert abs((drawn == 180).mean() - 0.165) < 0.03
    assert abs((drawn == 220).mean() - 0.165) < 0.03


def test_every_ocean_pixel_is_as_likely_a_column() -> None:
    """100 of 1,000 each time, 400 times: 40 +- 6 each."""
    ocean = np.zeros((50, 40), bool)
    ocean[:, :20] = True
    count = np.zeros(ocean.size)
    for row in range(400):
        count[Simulation("columns", 100).pixels(ocean, stream(2, 0, row, "a"))] += 1
    seen = count[ocean.ravel()]
    assert abs(seen.mean() - 40) < 1
    assert 5 < seen.std() < 7


@pytest.mark.parametrize("columns", [1, 9, 10, 5000])
def test_few_columns_are_exact_and_many_are_all(columns: int) -> None:
    ocean = np.zeros((20, 20), bool)
    ocean[3:7, 3:7] = True
    found = Simulation("columns", columns).pixels(ocean, stream(1, 0, 0, "a"))
    spread = columns // 10
    assert min(columns - spread, 16) <= found.size <= min(columns + spread, 16)


@pytest.mark.parametrize("kind", ["tracks", "rectangles"])
@pytest.mark.parametrize("hidden", [0.99, 0.975, 0.5, 0.29, 0.03])
def test_the_hidden_share_is_exact(kind: Kind, hidden: float) -> None:
    for ocean in (np.ones((100, 100), bool), coast(60), coast(17)):
        total = int(ocean.sum())
        whole = round(hidden * 10000) * total // 10000  # in whole numbers, rounded down
        for row in range(3):
            pixels = Simulation(kind, hidden=hidden, sides=(3, 9)).pixels(ocean, stream(3, 1, row, "a"))
            assert pixels.size == total - whole


def with_land_around(ocean: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return np.pad(ocean, 1)


def test_a_track_is_one_way_over_water_without_jumps() -> None:
    ocean = with_land_around(coast())
    starts = np.flatnonzero(ocean)[:: ocean.sum() // 300]
    pixels, length = tracks(ocean, starts, stream(4, 0, 0, "a"))
    assert length.sum() == pixels.size
    for start, track in zip(starts, np.split(pixels, np.cumsum(length)[:-1]), strict=True):
        assert track[0] == start
        assert ocean.ravel()[track].all()
        assert np.unique(track).size == track.size
        assert track.size <= 2 * 128 + 1
        # a step of one pixel leads to a neighbour; where a track crosses itself, pixels are not counted again
        row, column = np.divmod(track, ocean.shape[1])
        far = np.maximum(abs(np.diff(row)), abs(np.diff(column)))
        assert track.size < 20 or (far == 1).mean() > 0.9


def test_tracks_turn_smoothly_and_go_every_way() -> None:
    """Over eight pixels a track keeps its heading within some 20 degrees; headings at the start are even."""
    ocean = with_land_around(np.ones((201, 201), bool))
    start = 101 * 203 + 101
    pixels, length = tracks(ocean, np.full(400, start), stream(5, 0, 0, "a"))
    ways = np.split(pixels, np.cumsum(length)[:-1])
    assert min(length) > 90  # from the middle to the border
    row, column = np.divmod(np.array([way[:91] for way in ways]), 203)

    def heading(first: int, last: int) -> NDArray[Any]:
        angles: NDArray[Any] = np.arctan2(row[:, last] - row[:, first], column[:, last] - column[:, first])
        return angles

    turned = np.angle(np.exp(1j * (heading(8, 16) - heading(0, 8))))
    assert np.std(turned) < 0.5
    assert np.std(np.angle(np.exp(1j * (heading(80, 88) - heading(0, 8))))) > 1  # curved in the long run
    quarters = np.histogram(heading(0, 8), 4, (-np.pi, np.pi))[0]
    assert quarters.min() > 70


def test_every_second_to_eighth_pixel_of_a_track_is_observed() -> None:
    """On tracks whose pixels are numbered, the gaps are what is between the numbers."""
    length = np.array([1, 2, 3, 300, 40])
    for row in range(50):
        seen = every_few(np.arange(length.sum()), length, stream(6, 0, row, "a"))
        parts = [seen[(seen >= end - size) & (seen < end)] for size, end in zip(length, np.cumsum(length), strict=True)]
        for part, size, end in zip(parts, length, np.cumsum(length), strict=True):
            assert part[0] == end - size
            gaps = np.diff(part)
            assert ((gaps >= 2) & (gaps <= 8)).all()
            assert end - part[-1] <= 8
        if row == 0:
            assert set(np.diff(parts[3]).tolist()) == {2, 3, 4, 5, 6, 7, 8}


def test_boxes_have_the_sides_asked_for_and_reach_the_border() -> None:
    """One box of 4 x 4 hides 16 of 400 pixels; over many draws each pixel is hidden as often as any other."""
    ocean = np.ones((20, 20), bool)
    hidden = np.zeros((20, 20))
    for row in range(2000):
        seen = Simulation("rectangles", hidden=0.04, sides=(4, 4)).pixels(ocean, stream(7, 0, row, "a"))
        gone = np.ones(400)
        gone[seen] = 0
        assert gone.sum() == 16
        hidden += gone.reshape(20, 20)
    assert abs(hidden.mean() - 80) < 1e-9
    # 80 +- 9; boxes that had to lie inside would hide a corner 7 times
    assert 50 < hidden.min()
    assert hidden.max() < 130


def test_what_is_not_hidden_by_the_last_box_is_its_end() -> None:
    """10 of 400 pixels and boxes of 4 x 4 inside: rows of four, the last one cut."""
    ocean = np.ones((20, 20), bool)
    found = 0
    for row in range(30):
        seen = Simulation("rectangles", hidden=0.025, sides=(4, 4)).pixels(ocean, stream(8, 0, row, "a"))
        gone = np.ones((20, 20), bool)
        gone.ravel()[seen] = False
        rows, columns = np.nonzero(gone)
        if np.ptp(columns) == 3 and np.ptp(rows) == 2:
            assert gone.sum(axis=1)[rows.min() : rows.max() + 1].tolist() == [4, 4, 2]
            found += 1
    assert found > 10


@settings(max_examples=60)
@given(
    kind=st.sampled_from(KINDS),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    hidden=st.floats(0.001, 0.999),
    data=st.data(),
)
def test_small_patches_come_to_an_end(kind: Kind, height: int, width: int, hidden: float, data: st.DataObject) -> None:
    ocean = np.array(data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width)), bool)
    ocean = ocean.reshape(height, width)
    pixels = Simulation(kind, columns=5, hidden=hidden, sides=(2, 30)).pixels(ocean, stream(9, 0, 0, "a"))
    total = int(ocean.sum())
    assert ocean.ravel()[pixels].all()
    assert (np.diff(pixels) > 0).all()
    assert (pixels.size > 0) == (total > 0)
    if kind != "columns":
        assert pixels.size == total - int(np.floor(hidden * total + 1e-9))


def test_straight_lines_do_what_tracks_cannot() -> None:
    """Single pixels of ocean far from each other: a track is one pixel; 2,500 of them need more than all tracks."""
    ocean = np.zeros((140, 140), bool)
    ocean[::2, ::2] = True
    pixels = Simulation("tracks", hidden=0.01).pixels(ocean, stream(1, 0, 0, "a"))
    assert pixels.size == 4900 - 49
    # what is hidden lies in one row of the patch, or two
    left = np.setdiff1d(np.flatnonzero(ocean), pixels)
    assert np.unique(left // 140).size <= 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "circles"}, "no simulation of 'circles': it is one of columns, tracks, rectangles"),
        ({"kind": "columns", "columns": 0}, "columns=0"),
        ({"kind": "tracks", "hidden": 1.0}, "hidden=1.0"),
        ({"kind": "tracks", "hidden": float("nan")}, "hidden=nan"),
        ({"kind": "rectangles", "sides": (9, 3)}, r"sides=\(9, 3\)"),
        ({"kind": "rectangles", "sides": (0, 3)}, r"sides=\(0, 3\)"),
    ],
)
def test_impossible_values_are_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Simulation(**values)
