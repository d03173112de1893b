"""Risk: a float is counted in an ocean that it is not in, in the wrong season, or as near to what it is far from."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from oceanrecon.training.evaluation.basins import BASINS, basin
from oceanrecon.training.evaluation.groups import DISTANCES, GROUPINGS, SEASONS, groups, nearest_km, season

PLACES: dict[str, list[tuple[float, float]]] = {
    "north_atlantic": [(30, -40), (25, -90), (15, -75), (9.6, -79.7), (9.2, -81.5), (58, 3), (60, -30), (57.9, 10),
                       (20, 320), (0, -20), (44, -4), (36, -7), (50, -1), (45, -65), (4, 5)],
    "south_atlantic": [(-30, -20), (-54, -60), (-34, 17), (-10, 12), (-59, 19)],
    "north_pacific": [(30, -150), (8.5, -79.5), (8.8, -79.2), (7, -81.5), (25, -110), (60, -178), (60, 178), (15, 115),
                      (40, 135), (2, 126), (10, 101), (12, -89), (15.5, -95), (48, -124), (60, -150)],
    "south_pacific": [(-30, -150), (-20, 180), (-20, -180), (-5, 112), (-5, -82), (-40, 155), (-20, 149), (-54, -75),
                      (-7, 120), (-35, 175)],
    "indian": [(-30, 80), (10, 65), (27, 51), (15, 90), (10, 96), (5, 98.5), (3, 100.5), (-11, 115), (-35, 130),
               (-12, 128), (-14, 139), (12, 45), (-40, 22), (-50, 140), (-9.5, 135), (21, 60), (-7, 105)],
    "southern": [(-65, 0), (-70, -180), (-61, 100)],
    "arctic": [(85, 0), (70, 0), (75, -160), (60, -85), (52, -80), (65, 38), (68, -60)],
    "mediterranean": [(36, -4), (43, 4), (38, 20), (34, 30), (45, 13), (40, 25), (31.5, 20), (37, 36), (33, 34.5)],
    "black_sea": [(43, 35), (46, 37), (40.7, 28)],
    "baltic": [(57, 20), (65.5, 23), (60, 25), (54.5, 11), (56.5, 11.5)],
    "red_sea": [(20, 38), (28, 33.5), (29, 34.8), (15, 41.5), (13, 43)],
}  # fmt: skip


@pytest.mark.parametrize("name", BASINS)
def test_seas_that_one_knows(name: str) -> None:
    latitude, longitude = np.array(PLACES[name], float).T
    found = [BASINS[number] for number in basin(latitude, longitude)]
    assert found == [name] * len(found), list(zip(PLACES[name], found, strict=True))


def test_a_turn_of_the_globe_and_shape_make_no_difference() -> None:
    latitude = np.linspace(-89, 89, 90)[:, None]
    longitude = np.linspace(-179, 179, 120)
    np.testing.assert_array_equal(basin(latitude, longitude), basin(latitude, longitude + 360))
    assert set(np.unique(basin(latitude, longitude))) == set(range(len(BASINS)))


def test_seasons_of_both_hemispheres() -> None:
    def named(day: dt.date) -> list[str]:
        return [SEASONS[number] for number in season(day, np.array([40.0, -40.0]))]

    assert named(dt.date(2012, 2, 29)) == ["winter", "summer"]
    assert named(dt.date(2012, 12, 1)) == ["winter", "summer"]
    assert named(dt.date(2012, 3, 1)) == ["spring", "autumn"]
    assert named(dt.date(2012, 11, 30)) == ["autumn", "spring"]


def test_distances_over_the_dateline_and_the_pole() -> None:
    degree = np.pi * 6371 / 180
    found = nearest_km(np.array([0.0, 89.0, 10.0]), np.array([179.5, 0.0, 20.0]), np.array([0.0, 89.0, 10.0]),
                       np.array([-179.5, 180.0, 20.0]))  # fmt: skip
    np.testing.assert_allclose(found, [degree, 2 * degree, 0.0], atol=1e-6)
    nothing = nearest_km(np.zeros(2), np.zeros(2), np.empty(0), np.empty(0))
    classes = groups(dt.date(2012, 2, 29), np.zeros(2), np.zeros(2), nothing)
    assert [DISTANCES[number] for number in classes["distance"]] == ["400 km and more"] * 2


def test_classes_of_distance_are_what_they_are_called() -> None:
    distance = np.array([0.0, 24.9, 25.0, 99.0, 100.0, 399.0, 400.0])
    zeros = np.zeros(7)
    made = groups(dt.date(2012, 2, 29), zeros, zeros, distance)
    assert made["distance"].tolist() == [0, 0, 1, 2, 3, 4, 5]
    assert set(made) == set(GROUPINGS)
