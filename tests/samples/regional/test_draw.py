"""Risk: patches are on land, leave the box, stop at the dateline, or are fewer than asked for and nobody says so."""

from __future__ import annotations

import datetime as dt
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from oceanrecon.errors import ConfigError
from oceanrecon.samples.regional.draw import LandMask, _overlap, evaluation_queries, land_of, training_queries
from oceanrecon.samples.regional.query import RegionalQuery, open_taco
from oceanrecon.samples.regional.window import PatchSize, unrolled
from tests.taco_files import Regional

_DATES = (dt.date(2024, 1, 1), dt.date(2024, 1, 10))


def _west_is_land() -> LandMask:
    land = np.zeros((180, 360), bool)
    land[:, :180] = True
    return LandMask(land)


@pytest.mark.parametrize(
    ("box", "fraction"),
    [((-10, 0, 0, 10), 1.0), ((0, 0, 10, 10), 0.0), ((-5, 0, 5, 10), 0.5), ((175, -5, -175, 5), 0.5),
     ((-0.25, 0, 0.75, 1), 0.25), ((10, 0, 5, 10), 180 / 355)],
)  # fmt: skip
def test_the_land_of_a_box_is_its_area(box: tuple[float, float, float, float], fraction: float) -> None:
    assert _west_is_land().fraction(box) == pytest.approx(fraction)


def test_the_same_height_is_less_area_further_north() -> None:
    land = np.zeros((180, 360), bool)
    land[150:] = True
    expected = (1 - np.sin(np.radians(60))) / (1 - np.sin(np.radians(30)))
    assert LandMask(land).fraction((0, 30, 10, 90)) == pytest.approx(expected)


def test_land_is_where_a_complete_source_has_nothing(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    # a continent from 20 to 60 east, in cells of 5 degrees
    regional.gridded("l4_sst", 10, {"analysed_sst": lambda south, east, day: np.where((east > 20) & (east < 60), np.nan,
                                                                                      20.0 + 0 * south)})  # fmt: skip
    regional.build(tmp_path / "dataset")
    land = land_of(open_taco(str(tmp_path / "dataset")))
    assert land.land.mean() == pytest.approx(40 / 360)
    assert land.fraction((20, -40, 60, 40)) == 1
    assert land.fraction((60, -40, 20, 40)) == 0


def test_a_source_with_gaps_does_not_tell_land(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 10, {"analysed_sst": lambda south, east, day: 20 + 0 * south * east},
                     regions=["NORTH_ATLANTIC"])  # fmt: skip
    regional.build(tmp_path / "dataset")
    with pytest.raises(ConfigError, match="all eight regions"):
        land_of(open_taco(str(tmp_path / "dataset")))


def test_drawn_patches_keep_all_limits() -> None:
    queries = training_queries(
        40, PatchSize(10), _DATES, box=(160, -30, -150, 30), days=2, land=_west_is_land(), max_land_fraction=0.4,
        max_overlap=0.2, seed=1,
    )  # fmt: skip
    assert len(queries) == 40
    crossing = 0
    for query in queries:
        west, south, east, north = unrolled(query.box)
        assert east - west == pytest.approx(10)
        assert south >= -30
        assert north <= 30
        assert (west % 360) >= 160
        assert (west % 360) + 10 <= 210
        assert _west_is_land().fraction(query.box) <= 0.4
        assert _DATES[0] <= query.start <= query.end <= _DATES[1]
        assert (query.end - query.start).days == 1
        crossing += east > 180
    assert crossing > 0
    for one, other in combinations(queries, 2):
        if one.start <= other.end and other.start <= one.end:
            (a, b, c, d), (e, f, g, h) = unrolled(one.box), unrolled(other.box)
            turn = 360 * round((a - e) / 360)
            b, d, f, h = np.sin(np.radians([b, d, f, h]))
            shared = max(min(c, g + turn) - max(a, e + turn), 0) * max(min(d, h) - max(b, f), 0)
            assert shared <= 0.2 * (10 * (d - b) + 10 * (h - f) - shared) + 1e-9
    again = training_queries(
        40, PatchSize(10), _DATES, box=(160, -30, -150, 30), days=2, land=_west_is_land(), max_land_fraction=0.4,
        max_overlap=0.2, seed=1,
    )  # fmt: skip
    assert again == queries


def test_boxes_overlap_by_their_area() -> None:
    one, other = (RegionalQuery(box, _DATES[0], _DATES[0]) for box in ((0, 0, 10, 85), (0, 40, 10, 89)))
    from_40_to_85, from_0_to_89 = (
        np.sin(np.radians(high)) - np.sin(np.radians(low)) for low, high in ((40, 85), (0, 89))
    )
    assert _overlap(one, other) == pytest.approx(from_40_to_85 / from_0_to_89)


def test_all_places_of_the_sphere_are_alike() -> None:
    queries = training_queries(2000, PatchSize(1), _DATES, box=(-180, -60, 180, 60))
    centres = np.array([(query.box[1] + query.box[3]) / 2 for query in queries])
    # half of the area between 60 S and 60 N is within asin(sin(60) / 2) of the equator: 25.7 degrees
    assert abs((np.abs(centres) < 25.66).mean() - 0.5) < 0.04


def test_fewer_than_asked_for_is_said() -> None:
    with pytest.raises(ConfigError, match=r"only \d+ of 50 queries .* overlap others by more than 0"):
        training_queries(50, PatchSize(10), (_DATES[0], _DATES[0]), box=(0, 0, 20, 20), max_overlap=0)
    with pytest.raises(ConfigError, match="only 0 of 1 queries"):
        training_queries(1, PatchSize(10), _DATES, box=(-90, 0, -10, 60), land=_west_is_land(), max_land_fraction=0.3)


def test_a_limit_of_land_without_a_mask_is_refused() -> None:
    # it was an option that did nothing
    with pytest.raises(ConfigError, match="where land is has to be known"):
        training_queries(1, PatchSize(10), _DATES, max_land_fraction=0.3)


def test_evaluation_covers_all_of_the_box() -> None:
    queries = evaluation_queries(PatchSize(10), _DATES, box=(170, 0, -165, 15), every_days=4, days=2)
    boxes = [query.box for query in queries if query.start == _DATES[0]]
    assert boxes == [(170, 0, 180, 10), (-180, 0, -170, 10), (-175, 0, -165, 10),
                     (170, 5, 180, 15), (-180, 5, -170, 15), (-175, 5, -165, 15)]  # fmt: skip
    assert sorted({query.start.day for query in queries}) == [1, 5, 9]
    assert all((query.end - query.start).days == 1 for query in queries)
    overlapping = evaluation_queries(PatchSize(10), (_DATES[0], _DATES[0]), box=(0, 0, 20, 10), overlap=0.5)
    assert [query.box[0] for query in overlapping] == [0, 5, 10]


def test_a_patch_in_km_is_wider_in_the_north() -> None:
    # one row of 10 degrees: 1112 km are 10 degrees at the equator, and 15.3 at 49.7 north
    south, north = (
        evaluation_queries(PatchSize(1111.95, "km"), (_DATES[0], _DATES[0]), box=(0, low, 60, low + 10))
        for low in (-5, 45)
    )
    assert len(south) == 6
    assert len(north) == 4
