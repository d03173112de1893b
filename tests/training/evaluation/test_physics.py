"""Risk: a quantity that people compare products by is not what they mean by it."""

from __future__ import annotations

import math

import gsw
import numpy as np
import pytest

from oceanrecon.training.evaluation.physics import (
    PhysicsScores,
    Water,
    at_depth,
    heat_content,
    inversions,
    isotherm,
    mixed_layer,
    physics,
)

DEPTH = np.array([0.5, 5.0, 20.0, 50.0, 100.0, 500.0, 1000.0])
_NAN = math.nan


def kelvin(*celsius: float) -> np.ndarray:
    return np.array([celsius], np.float32) + np.float32(273.15)


def water(temperature: np.ndarray, salinity: float | np.ndarray = 35.0) -> Water:
    salt = np.broadcast_to(np.asarray(salinity, np.float32), temperature.shape)
    places = np.zeros(len(temperature))
    return Water.of(temperature, salt, DEPTH, places + 30.0, places - 40.0)


def test_water_of_teos_10() -> None:
    """The buoyancy frequency of the library is positive where we see no inversion, and negative where we do."""
    temperature = kelvin(20, 19, 18, 18.5, 12, 8, 5)
    one = water(temperature)
    frequency, _ = gsw.Nsquared(one.absolute[0], one.conservative[0], one.pressure[0], 30.0)
    assert ((frequency < 0) == [False, False, True, False, False, False]).all()
    assert inversions(one)[0] == pytest.approx(1 / 6)


def test_an_even_column_is_stable_and_nothing_known_is_not() -> None:
    columns = np.concatenate([kelvin(10, 10, 10, 10, 10, 10, 10), kelvin(10, 12, *[_NAN] * 5), kelvin(10, *[_NAN] * 6)])
    found = inversions(water(columns))
    assert found[0] == 0.0
    assert found[1] == 1.0  # one pair
    assert np.isnan(found[2])


def test_salt_decides_too() -> None:
    """Colder above, but fresher: stable, as in polar seas."""
    temperature = kelvin(-1, -1, -1, 2, 3, 3, 2)
    assert inversions(water(temperature))[0] > 0
    assert inversions(water(temperature, np.array([[32, 32, 32, 34, 34.8, 34.9, 34.9]])))[0] == 0.0


def test_mixed_layer_of_temperature_by_hand() -> None:
    columns = np.concatenate(
        [
            kelvin(20, 20, 20, 19, 15, 8, 4),  # 0.2 of the kelvin between 20 and 50 m
            kelvin(20.6, 20.3, 20, 19, 15, 8, 4),  # 20.2 at 10 m: it is 20.0 at 20 m
            kelvin(10, 10, 10, 10.5, 10.5, 10.5, 10.5),  # warmer below counts, too: 0.4 of 30 m
            kelvin(10, 10, 10, 10, 10, _NAN, _NAN),  # to the bottom
            kelvin(10, 10, _NAN, _NAN, _NAN, _NAN, _NAN),  # too shallow
        ]
    )
    np.testing.assert_allclose(mixed_layer(DEPTH, columns)[:4], [26, 20, 32, 100], atol=0.01)
    assert np.isnan(mixed_layer(DEPTH, columns)[4])


def test_mixed_layer_of_density() -> None:
    temperature = kelvin(20, 20, 20, 19, 15, 8, 4)
    one = water(temperature)
    sigma = gsw.sigma0(one.absolute[0], one.conservative[0])
    wanted = 20 + 30 * (sigma[0] + 0.03 - sigma[2]) / (sigma[3] - sigma[2])
    assert mixed_layer(DEPTH, temperature, one)[0] == pytest.approx(wanted, abs=0.01)
    # a barrier layer: fresh water above, in water of one temperature
    even = kelvin(20, 20, 20, 20, 20, 20, 20)
    fresh = water(even, np.array([[34, 34, 34, 35, 35, 35, 35]]))
    assert 20 < mixed_layer(DEPTH, even, fresh)[0] < 22
    assert mixed_layer(DEPTH, even)[0] == 1000


def test_heat_by_hand() -> None:
    columns = np.concatenate([kelvin(*[10] * 7), kelvin(10, 10, 10, 10, 10, 10, 0), kelvin(*[10] * 6, _NAN)])
    per_degree_metre = 1026 * 3991.86795711963 / 1e9
    # 500 m of 10 degrees, then 200 m that cool by 4 from there
    np.testing.assert_allclose(heat_content(DEPTH, columns)[:2] / per_degree_metre, [7000, 5000 + 1600], rtol=1e-5)
    assert np.isnan(heat_content(DEPTH, columns)[2])


def test_isotherm_by_hand() -> None:
    columns = np.concatenate(
        [
            kelvin(25, 25, 24, 22, 18, 10, 5),  # half of the way from 50 to 100 m
            kelvin(19, 25, 24, 22, 18, 10, 5),  # cold above
            kelvin(25, 25, 24, 22, 21, _NAN, _NAN),  # warm to the bottom
            kelvin(25, 25, 20, 22, 18, 10, 5),  # the first of several
        ]
    )
    np.testing.assert_allclose(isotherm(DEPTH, columns), [75, _NAN, _NAN, 20], rtol=1e-5)


def test_between_levels_and_beyond() -> None:
    columns = np.array([[1.0, 2.0, 4.0]])
    found = [at_depth(columns, [5, 10, 20], wanted)[0] for wanted in (0, 5, 7.5, 10, 12.5, 20)]
    assert found == [1.0, 1.0, 1.5, 2.0, 2.5, 4.0]
    assert np.isnan(at_depth(columns, [5, 10, 20], 21)[0])


def test_a_member_is_judged_not_the_mean_of_fields() -> None:
    """Two members with inversions in opposite places: their mean is stable, they are not."""
    up, down = kelvin(20, 19, 18, 18.5, 12, 8, 5), kelvin(20, 19, 18, 17.5, 12, 8, 5)
    down[0, 1] = kelvin(21)[0, 0]
    up[0, 1] = kelvin(18)[0, 0]
    salinity = np.full_like(up, 35.0)
    at = (DEPTH, np.zeros(1), np.zeros(1))
    members = [physics(one, salinity, *at) for one in (up, down)]
    mean = physics((up + down) / 2, salinity, *at)
    target = physics(kelvin(20, 19.5, 19, 18, 12, 8, 5), salinity, *at)
    found = PhysicsScores()
    found.add("20120229", target, members)
    told = found.summary()
    assert mean["inversions"][0] == 0.0
    assert told["inversions"]["estimate"] == pytest.approx((1 / 6 + 1 / 6) / 2, rel=1e-5)
    assert told["inversions"]["target"] == 0.0
    assert told["mixed_layer"]["columns"] == 1
    assert set(told) == {"inversions", "mixed_layer", "heat_content", "isotherm"}
    assert set(physics(up, None, *at)) == {"mixed_layer", "heat_content", "isotherm"}


def test_what_members_lack_is_counted_and_dates_are_resampled() -> None:
    """Columns that one member has no number for count by the others, and what lacks is told."""
    nan = _NAN
    found = PhysicsScores()
    for day in range(20):
        off = 10.0 if day % 2 else 30.0
        found.add(
            f"{day:02}",
            {"isotherm": np.array([100.0, 100.0, 100.0, nan])},
            [{"isotherm": np.array([100 + off, nan, nan, 80.0])}, {"isotherm": np.array([100 + off, 90.0, nan, 80.0])}],
        )
    told = found.summary()["isotherm"]
    assert told["columns"] == 40  # of 60 that the target has
    assert told["missing"] == pytest.approx(3 / 6)
    assert told["target"] == 100.0 and told["estimate"] == pytest.approx((2400 + 1800) / 40)
    assert told["mae"]["value"] == pytest.approx((20 + 10) / 2)
    assert told["rmse"]["value"] == pytest.approx(math.sqrt((500 + 100) / 2), rel=1e-5)
    # half of 20 dates err by 20 on the mean, half by 10: 15 +- 1.96 x 5 / sqrt(20)
    assert [told["mae"]["low"], told["mae"]["high"]] == pytest.approx([12.8, 17.2], abs=0.5)
    one = PhysicsScores()
    one.add("00", {"isotherm": np.array([100.0])}, [{"isotherm": np.array([nan])}])
    assert one.summary()["isotherm"] | {"units": ""} == {
        "units": "", "columns": 0, "missing": 1.0, "target": None, "estimate": None,
        "mae": {"value": None, "low": None, "high": None}, "rmse": {"value": None, "low": None, "high": None},
    }  # fmt: skip
