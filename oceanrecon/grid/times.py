"""Target times and windows, on the real calendar."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Sequence

from oceanrecon.errors import ConfigError

#: Days are counted per pixel in one byte.
LONGEST_WINDOW = 255
#: Times in files and stores are days since this date.
EPOCH = dt.date(1950, 1, 1)


def parse_date(text: str | int | dt.date) -> dt.date:
    """A date from ``2012-03-07``, ``20120307`` or a date.

    Raises:
        ConfigError: it is none of these, or not in the calendar.
    """
    if isinstance(text, dt.datetime):
        return text.date()
    if isinstance(text, dt.date):
        return text
    digits = str(text).strip()
    form = "%Y%m%d" if len(digits) == 8 and digits.isdigit() else "%Y-%m-%d"
    try:
        return dt.datetime.strptime(digits, form).date()
    except ValueError:
        raise ConfigError(f"{text!r} is not a date: write it as 2012-03-07 or 20120307") from None


def stepped_dates(start: dt.date, end: dt.date, step_days: int) -> list[dt.date]:
    """Every ``step_days``-th date from ``start`` to ``end``, both included."""
    if step_days < 1:
        raise ConfigError(f"a step of {step_days} days never gets anywhere: give 1 or more")
    return [start + dt.timedelta(days=n) for n in range(0, (end - start).days + 1, step_days)]


def window_days(target: dt.date, days: int) -> list[dt.date]:
    """The ``days`` (odd) dates d with ``|d - target| <= (days - 1) / 2``, ascending.

    Raises:
        ConfigError: ``days`` is even, below 1 or above 255.
    """
    if days < 1 or days % 2 == 0:
        raise ConfigError(f"a window of {days} days has no middle day: give an odd number, such as 1 or 7")
    if days > LONGEST_WINDOW:
        raise ConfigError(f"a window of {days} days is longer than {LONGEST_WINDOW}, the most that are counted")
    half = (days - 1) // 2
    return [target + dt.timedelta(days=n) for n in range(-half, half + 1)]


def nearest_date(dates: Sequence[dt.date], target: dt.date) -> dt.date | None:
    """The nearest of ``dates`` (ascending) in real days, ties to the earlier; ``None`` when there is none."""
    if not dates:
        return None
    after = bisect_left(dates, target)
    candidates = dates[max(after - 1, 0) : after + 1]
    return min(candidates, key=lambda date: (abs((date - target).days), date))


def next_month(date: dt.date) -> dt.date:
    """The first day of the month after."""
    return (date.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
