"""Numbers and times as people read them."""

from __future__ import annotations

import datetime as dt

#: For what is not known.
UNKNOWN = "\N{EN DASH}"


def duration(seconds: float | None) -> str:
    """``45 s``, ``12 min``, ``2 h 13 min`` or ``3 d 4 h``."""
    if seconds is None:
        return UNKNOWN
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def size(count: float | None) -> str:
    """``84.2 GB``: powers of 1,000, three digits."""
    if count is None:
        return UNKNOWN
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 999.5 or unit == "TB":
            break
        count /= 1000
    digits = 0 if unit == "B" or abs(count) >= 100 else 1 if abs(count) >= 10 else 2
    return f"{count:.{digits}f} {unit}"


def number(value: float | None) -> str:
    """``8.4`` or ``1,240``."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if value >= 99.5 or value == round(value) else f"{value:.1f}"


def moment(when: str | dt.datetime | None, now: dt.datetime) -> str:
    """``10:37 UTC``, with its date where that is not today's; a record's ``2026-11-21T10:37:48Z`` is taken too."""
    if when is None:
        return UNKNOWN
    if isinstance(when, str):
        when = dt.datetime.fromisoformat(when)
    return f"{when:%H:%M}" + ("" if when.date() == now.date() else f" on {when:%Y-%m-%d}") + " UTC"
