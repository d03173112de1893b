"""Risk: the season is fitted wrongly, or invented where dates are few."""

from __future__ import annotations

import datetime as dt

import numpy as np

from oceanrecon.transform.harmonic import SeasonSums, at_date, season

WEEKS = [dt.date(2010, 1, 6) + dt.timedelta(weeks=week) for week in range(150)]
TRUE = np.array([12.0, -3.0, 1.0, 0.5, 0.25])


def fitted(dates: list[dt.date], ridge: float = 0.0) -> SeasonSums:
    sums = SeasonSums.empty((2, 3))
    for date in dates:
        value = np.full((2, 3), season(date) @ TRUE)
        value[1, 2] = np.nan
        sums.add(date, value, np.array([[1.0, 2.0, 0.5], [1.0, 1.0, 0.0]]))
    return sums


def test_a_known_season_is_found_and_a_cell_without_values_is_missing() -> None:
    found = fitted(WEEKS).solve(0.0)
    np.testing.assert_allclose(found[:, :1].transpose(1, 2, 0), np.broadcast_to(TRUE, (1, 3, 5)), atol=1e-5)
    assert np.isnan(found[:, 1, 2]).all() and np.isfinite(found).sum() == 25
    # by hand: 12 - 3 cos - ... on the epoch's day, where the year begins
    assert abs(at_date(found, dt.date(2000, 1, 1))[0, 0] - (12 - 3 + 0.5)) < 1e-5
    leap = [at_date(found, dt.date(2012, 2, 29) + dt.timedelta(days=step))[0, 0] for step in (-1, 0, 1)]
    assert leap[0] < leap[1] < leap[2] and abs(leap[0] - 2 * leap[1] + leap[2]) < 1e-2


def test_two_parts_add_up_to_the_whole() -> None:
    first, second, whole = fitted(WEEKS[:70]), fitted(WEEKS[70:]), fitted(WEEKS)
    np.testing.assert_allclose(first.squares + second.squares, whole.squares)
    np.testing.assert_allclose(first.values + second.values, whole.values)


def test_one_month_gives_its_mean_and_no_wild_season() -> None:
    found = fitted(WEEKS[:4]).solve(ridge=1.0)
    mean = np.mean([season(date) @ TRUE for date in WEEKS[:4]])
    assert abs(at_date(found, WEEKS[1])[0, 0] - mean) < 0.5
    year = [at_date(found, date)[0, 0] for date in WEEKS[:52]]
    assert max(year) - min(year) < 12  # a free fit of four dates swings by hundreds


def test_neighbours_fill_a_gap_also_across_the_dateline() -> None:
    sums = SeasonSums.empty((3, 8))
    weight = np.zeros((3, 8))
    weight[1, 7] = 4.0
    sums.add(WEEKS[0], np.full((3, 8), 5.0), weight)
    found = sums.smoothed(0.5, np.array([1.0, 1.0, 1.0])).solve(1.0)
    assert abs(at_date(found, WEEKS[0])[1, 0] - at_date(found, WEEKS[0])[1, 6]) < 1e-6
    assert np.isfinite(found[0, 1, 0])
