"""Degraded surface fields: how much, of what, and that each kind of damage has chance of its own."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.transform.degrade import Degradation
from oceanrecon.transform.streams import stream

NAMES = ("analysed_sst",)


def streams(row: int) -> Callable[[str], np.random.Generator]:
    return partial(stream, 1, 0, row)


def field(value: float) -> NDArray[np.float32]:
    values = np.full((60, 60), value, np.float32)
    values[:10, :10] = np.nan
    return values


def test_an_offset_moves_a_whole_field_by_up_to_its_amount() -> None:
    offsets = []
    for row in range(500):
        values, offset, dropped = Degradation(NAMES, offset=2, speckle=0).degrade(
            field(290), "temperature_kelvin", streams(row)
        )
        assert not dropped
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, field(290 + offset), rtol=0, atol=4e-5)
        offsets.append(offset)
    assert -2 <= min(offsets) < -1.95
    assert 1.95 < max(offsets) <= 2
    assert abs(np.mean(offsets)) < 0.16  # 3 standard errors


@pytest.mark.parametrize("quantity", ["salinity", "sea_height"])
def test_only_temperatures_are_moved(quantity: str) -> None:
    degraded = Degradation(NAMES, speckle=0).degrade(field(35), quantity, streams(0))
    assert degraded.offset == 0
    np.testing.assert_array_equal(degraded.values, field(35))


@pytest.mark.parametrize(
    ("quantity", "value", "size"), [("temperature_kelvin", 293.15, 20.0), ("salinity", 35.0, 35.0)]
)
def test_noise_is_in_proportion_to_celsius_or_to_the_value(quantity: str, value: float, size: float) -> None:
    values = Degradation(NAMES, offset=0, speckle=0.01).degrade(field(value), quantity, streams(3)).values
    noise = (values - np.float32(value)) / size
    assert np.isnan(values).sum() == 100
    assert abs(np.nanstd(noise) - 0.01) < 0.0004
    assert abs(np.nanmean(noise)) < 0.0006


def test_noise_has_limits() -> None:
    values = Degradation(NAMES, offset=0, speckle=0.1).degrade(field(30), "salinity", streams(3)).values
    assert (np.nanmin(values), np.nanmax(values)) == pytest.approx((27, 33), abs=1e-5)
    assert abs((values[np.isfinite(values)] > 32.9999).mean() - 0.16) < 0.02


def test_a_dropped_field_is_missing_altogether_as_often_as_asked_for() -> None:
    drop = Degradation(NAMES, dropout=0.3)
    found = [drop.degrade(field(290), "temperature_kelvin", streams(row)) for row in range(600)]
    assert all(np.isnan(one.values).all() == one.dropped for one in found)
    assert abs(np.mean([one.dropped for one in found]) - 0.3) < 0.06
    assert not Degradation(NAMES).degrade(field(290), "temperature_kelvin", streams(0)).dropped


def test_one_kind_of_damage_does_not_change_the_other() -> None:
    def values(**options: float) -> NDArray[np.float32]:
        options = {"offset": 0, "speckle": 0, "dropout": 0} | options
        return Degradation(NAMES, **options).degrade(field(293.15), "temperature_kelvin", streams(5)).values

    moved, noisy, both = values(offset=2), values(speckle=0.01), values(offset=2, speckle=0.01, dropout=1e-9)
    np.testing.assert_allclose(both - field(293.15), moved + noisy - 2 * field(293.15), rtol=0, atol=1e-4)


def test_the_field_given_stays_as_it_is() -> None:
    given = field(290)
    Degradation(NAMES, dropout=0.5).degrade(given, "temperature_kelvin", streams(1))
    np.testing.assert_array_equal(given, field(290))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"channels": ()}, "names no surface field"),
        ({"channels": NAMES, "offset": -1}, "offset=-1"),
        ({"channels": NAMES, "speckle": float("inf")}, "speckle=inf"),
        ({"channels": NAMES, "dropout": 1.2}, "dropout=1.2"),
    ],
)
def test_impossible_values_are_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Degradation(**values)
