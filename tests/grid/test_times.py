"""Days are counted on the real calendar: across month ends, and on 29 February."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oceanrecon.errors import ConfigError
from oceanrecon.grid import nearest_date, parse_date, stepped_dates, window_days


def test_the_leap_day_is_a_day() -> None:
    window = window_days(dt.date(2012, 2, 29), 7)
    assert [f"{day:%m%d}" for day in window] == ["0226", "0227", "0228", "0229", "0301", "0302", "0303"]
    assert stepped_dates(dt.date(2012, 2, 22), dt.date(2012, 3, 8), 7)[1] == dt.date(2012, 2, 29)
    assert parse_date("20120229") == parse_date("2012-02-29") == dt.date(2012, 2, 29)
    with pytest.raises(ConfigError, match="'2013-02-29' is not a date"):
        parse_date("2013-02-29")


def test_the_nearest_is_nearest_in_days_not_in_digits() -> None:
    # 20180131 and 20180205 as integers are 74 apart, 20180201 and 20180131 are 70: digits would choose wrongly
    dates = [dt.date(2018, 1, 31), dt.date(2018, 2, 5)]
    assert nearest_date(dates, dt.date(2018, 2, 1)) == dt.date(2018, 1, 31)
    assert nearest_date(dates, dt.date(2018, 2, 3)) == dt.date(2018, 2, 5)


@given(st.lists(st.dates(dt.date(2000, 1, 1), dt.date(2030, 1, 1)), max_size=20, unique=True), st.dates())
def test_nearest_agrees_with_looking_at_all_and_ties_are_earlier(dates: list[dt.date], target: dt.date) -> None:
    ordered = sorted(dates)
    expected = min(ordered, key=lambda date: (abs((date - target).days), date)) if ordered else None
    assert nearest_date(ordered, target) == expected


@pytest.mark.parametrize("days", [0, 2, -1])
def test_a_window_has_a_middle(days: int) -> None:
    with pytest.raises(ConfigError, match="odd"):
        window_days(dt.date(2012, 1, 1), days)
