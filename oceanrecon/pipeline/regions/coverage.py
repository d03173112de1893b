"""Which days of which sources and regions an inventory has, which are missing, and which files stand for the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from oceanrecon.errors import ConfigError
from oceanrecon.grid.octants import OCTANTS
from oceanrecon.stores.files import Root
from oceanrecon.stores.tables import encode_parquet, to_arrow
from oceanrecon.stores.taco import SLOTS

#: Columns of a report of duplicates.
_DUPLICATE = ["date", "region", "sample_id", "data_source", "variable", "relative_path", "timestamp_file", "sensor"]
_REGIONS = [octant.name for octant in OCTANTS]
_FILES = {slot.source: slot.file for slot in SLOTS}


@dataclass(frozen=True, eq=False)
class Coverage:
    """What an inventory has between two days."""

    start: dt.date
    end: dt.date
    #: a row for each source and region: ``data_source, region, first, last, n_expected, n_dates, n_missing``, and
    #: ``longest_gap`` in days, ``has_gap``
    table: pd.DataFrame
    #: ``data_source, region, missing_date``, a row for each day that a source lacks in a region where it has others
    missing: pd.DataFrame
    #: ``data_source, date, regions``: in how many regions a source has a file that day
    daily: pd.DataFrame


def chosen(inventory: pd.DataFrame, start: dt.date | None, end: dt.date | None, sources: Sequence[str]) -> pd.DataFrame:
    """The rows of some days, both included, and sources.

    Args:
        inventory: of ``stores.tile_inventory.read_inventory``.
        start: first day; ``None``: all.
        end: last day; ``None``: all.
        sources: names of sources.
    """
    day = pd.to_datetime(inventory["timestamp_file"]).dt.normalize()
    keep = inventory["data_source"].isin(list(sources))
    if start is not None:
        keep &= day >= pd.Timestamp(start)
    if end is not None:
        keep &= day <= pd.Timestamp(end)
    return inventory[keep].assign(date=day[keep].dt.date)


def coverage(
    inventory: pd.DataFrame, start: dt.date | None = None, end: dt.date | None = None, sources: Sequence[str] = ()
) -> Coverage:
    """Coverage and gaps, by source and region.

    A day is missing where a source has none in a region that it has others in, or in any region where it has no file at
    all.

    Args:
        inventory: of ``stores.tile_inventory.read_inventory``.
        start: first day that is expected; default: the first of any source.
        end: last day that is expected; default: the last of any source.
        sources: that are expected; default: those that there are.

    Raises:
        ConfigError: it is empty between these days.
    """
    wanted = list(sources) or sorted(inventory["data_source"].unique())
    rows = chosen(inventory, start, end, wanted)
    if rows.empty:
        raise ConfigError(
            f"the inventory has no file of {', '.join(wanted) or 'any source'} from {start or 'its first day'} to "
            f"{end or 'its last'}: take other days or sources"
        )
    first, last = start or rows["date"].min(), end or rows["date"].max()
    days = [stamp.date() for stamp in pd.date_range(first, last)]
    table, missing = [], []
    for source in wanted:
        own = rows[rows["data_source"] == source]
        for region in [name for name in _REGIONS if own.empty or (own["region"] == name).any()]:
            there = set(own.loc[own["region"] == region, "date"])
            lacking = [day for day in days if day not in there]
            missing += [(source, region, day) for day in lacking]
            gap = _longest(lacking)
            ends = min(there, default=None), max(there, default=None)
            table.append((source, region, *ends, len(days), len(there), len(lacking), gap, gap > 0))
    daily = rows.groupby(["data_source", "date"])["region"].nunique().rename("regions").reset_index()
    columns = [
        "data_source", "region", "first", "last", "n_expected", "n_dates", "n_missing", "longest_gap", "has_gap"
    ]  # fmt: skip
    return Coverage(
        first,
        last,
        pd.DataFrame(table, columns=columns),
        pd.DataFrame(missing, columns=["data_source", "region", "missing_date"]),
        daily,
    )


def _longest(days: Sequence[dt.date]) -> int:
    """Of some days, ascending, how many follow each other at most."""
    longest = length = 0
    before = None
    for day in days:
        length = length + 1 if before is not None and (day - before).days == 1 else 1
        longest, before = max(longest, length), day
    return longest


def duplicates(
    inventory: pd.DataFrame, start: dt.date | None = None, end: dt.date | None = None, sources: Sequence[str] = ()
) -> pd.DataFrame:
    """All files that would take the same place in a dataset as another: the same day, region and slot of the source.

    Args:
        inventory: of ``stores.tile_inventory.read_inventory``.
        start: first day; default: all.
        end: last day, included; default: all.
        sources: default: all.

    Returns:
        Sorted by date, region, sample and path; empty with the same columns where there are none.
    """
    rows = chosen(inventory, start, end, list(sources) or sorted(inventory["data_source"].unique()))
    rows = rows.assign(sample_id=[_FILES.get(source, source) for source in rows["data_source"]])
    for name in ("variable", "sensor"):
        if name not in rows:
            rows[name] = None
    place = ["date", "region", "sample_id"]
    found = rows[rows.duplicated(place, keep=False)]
    return found.sort_values([*place, "relative_path"])[_DUPLICATE].reset_index(drop=True)


def write_table(path: str, table: pd.DataFrame) -> str:
    """Write a table as Parquet, or as CSV where the name ends so; where it is.

    Raises:
        OutputError: it cannot be written.
    """
    folder, _, name = path.rpartition("/")
    root = Root(folder or ".")
    root.write(name, table.to_csv(index=False).encode() if name.endswith(".csv") else encode_parquet(to_arrow(table)))
    return root.url_of(name)
