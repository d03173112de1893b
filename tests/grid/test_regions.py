"""Forced regions keep the patches that the published tables keep, also across the dateline."""

import numpy as np
import pytest

from oceanrecon.errors import ConfigError
from oceanrecon.grid.regions import Region, find_region


def test_the_boxes_and_caps_are_the_published_ones() -> None:
    found = {name: find_region(name) for name in ("mediterranean", "baltic", "red_sea", "hudson_bay")}
    assert [(*region.box, region.max_land_fraction) for region in found.values()] == [
        (-6, 30, 37, 46, 0.60),
        (9, 53, 31, 66, 0.85),
        (32, 12, 44, 30, 0.85),
        (-96, 50, -74, 65, 0.95),
    ]


def test_a_box_holds_its_edges_and_any_turn_of_longitude() -> None:
    latitude = np.array([30.0, 46.0, 29.9, 40.0, 40.0, 40.0, 40.0])
    longitude = np.array([-6.0, 37.0, 0.0, 354.0, 37.1, -6.1, 360.0])
    inside = find_region("mediterranean").contains(latitude, longitude)
    assert inside.tolist() == [True, True, False, True, False, False, True]


def test_a_box_across_the_dateline() -> None:
    bering = Region("bering", (170.0, 50.0, -160.0, 66.0), 0.5)
    longitude = np.array([169.9, 170.0, 180.0, -180.0, -160.0, -159.9, 200.0, 0.0])
    inside = bering.contains(60.0, longitude)
    assert inside.tolist() == [False, True, True, True, True, False, True, False]
    assert Region("all", (-180.0, -90.0, 180.0, 90.0), 0.5).contains([-90, 0, 90], [-180, 179.99, 180]).all()


def test_what_is_wrong_is_said() -> None:
    with pytest.raises(ConfigError, match=r"unknown region 'mediteranean': did you mean 'mediterranean'\?"):
        find_region("mediteranean")
    with pytest.raises(ConfigError, match=r"known are .*hudson_bay.*`box` and `max_land_fraction`"):
        find_region("x")
    with pytest.raises(ConfigError, match=r"\[0, 50, 10, 40\] of region 'mine'.*south < north"):
        Region("mine", (0, 50, 10, 40), 0.5)
