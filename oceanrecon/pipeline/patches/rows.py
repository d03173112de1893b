"""The dates of the rows, and the files of each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oceanrecon.errors import ArchiveError, ConfigError, PlanError
from oceanrecon.grid import parse_date
from oceanrecon.grid.times import EPOCH
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.patches.match import NONE, Days, Files, day_of, numbers
from oceanrecon.samples.form import CHANNELS, FIELDS
from oceanrecon.samples.held import HeldDays


@dataclass(frozen=True, eq=False)
class Dates:
    """The dates of the rows.

    ``table`` has a row per date, ascending: ``day`` (since 1950-01-01), ``date`` (YYYYMMDD), ``ostia_file_path``,
    ``matched_glorys_date``, ``matched_glorys_file_path``, ``matched_glorys_abs_day_delta``.
    """

    table: pd.DataFrame
    glorys: Files
    ostia: Files
    notes: tuple[str, ...]

    @property
    def dates(self) -> list[dt.date]:
        """As dates."""
        return [EPOCH + dt.timedelta(days=int(day)) for day in self.table["day"]]


def find_dates(settings: PatchesSettings, archive: Mapping[str, Files], export: Mapping[str, Any] | None) -> Dates:
    """The dates of the rows.

    Args:
        settings: of the index.
        archive: files by product; empty where there is none.
        export: its manifest.

    Raises:
        ConfigError: the archive lacks a product that gives the dates, or the export has no field to learn.
        ArchiveError: no date has the files that it needs.
    """
    rows = settings.rows
    notes: list[str] = []
    glorys, ostia = _files("glorys", archive, export), _files("ostia", archive, export)
    if glorys is None:
        raise ConfigError("no GLORYS files: add `glorys` to archive.products, or give an `export` that has thetao")
    if rows.frequency == "daily":
        if "ostia" not in archive:
            raise ConfigError("daily rows are the days of the archive's OSTIA files: add `ostia` to archive.products")
        days, what = archive["ostia"].days, "OSTIA files"
        notes += _bad(archive["ostia"], rows.start, rows.end)
    elif export is not None:
        days, what = _targets(export, notes), "targets of the export"
    else:
        days, what = glorys.known, "GLORYS files"
    days = _between(days, rows.start, rows.end, what)
    nearest = glorys.nearest(days, rows.max_glorys_days)
    far = nearest < 0
    if far.any():
        notes.append(
            f"{_these(days[far])} have no row: their nearest GLORYS file is more than {rows.max_glorys_days} days away "
            "(rows.max_glorys_days)"
        )
    bad = ~far & ~np.isin(nearest, glorys.days)
    if bad.any():
        notes.append(f"{_these(days[bad])} have no row: {glorys.bad[int(nearest[bad][0])]}")
    days, nearest = days[~far & ~bad], nearest[~far & ~bad]
    if not days.size:
        raise ArchiveError(f"no date has a row: {'; '.join(notes)}")
    ostia = NONE if ostia is None else ostia
    table = pd.DataFrame(
        {
            "day": days,
            "date": numbers(days),
            "ostia_file_path": ostia.paths_of(days),
            "matched_glorys_date": numbers(nearest),
            "matched_glorys_file_path": glorys.paths_of(nearest),
            "matched_glorys_abs_day_delta": np.abs(nearest - days).astype(np.int32),
        }
    )
    return Dates(table, glorys, ostia, tuple(notes))


def with_profiles(dates: Dates, section: Mapping[str, Any], days: int) -> Dates:
    """Without the dates around which a gridded store does not hold the profiles of all ``days``.

    Raises:
        PlanError: no date is left.
    """
    held = HeldDays(section)
    around = _around(dates, days) + EPOCH.toordinal()
    near, known = np.all(held.near(around), axis=1), np.all(held.known(around), axis=1)
    return _without(
        dates,
        (
            ~near,
            f"the export's gridded profiles are those of {2 * held.half + 1} days around each of its targets, and "
            f"rows.days is {days}: give fewer, or the files themselves as `en4` and `argo`",
        ),
        (
            near & ~known,
            f"profiles of some of the {days} days around each (rows.days) were not put into the export's gridded "
            "store, or none of EN4 where it has EN4: complete the profiles (`oceanrecon profiles enrich CONFIG "
            "--resume`, then `profiles grid CONFIG --resume`), or give fewer rows.days",
        ),
    )


def with_files(dates: Dates, months: Iterable[dt.date], what: str, days: int) -> Dates:
    """Without the dates whose ``days`` reach into a month without files of profiles.

    Args:
        dates: of rows.
        months: those that have files, by their first days.
        what: the files, for people.
        days: odd number of days around a date.

    Raises:
        PlanError: no date is left.
    """
    around = (np.datetime64(EPOCH) + _around(dates, days)).astype("M8[M]")
    held = np.array([np.datetime64(first, "M") for first in months], "M8[M]")
    there, needed = np.isin(around, held), np.unique(around)
    why = (
        f"the {days} days around each (rows.days) reach into a month without {what}, and loaders take no such row "
        f"({_named(needed, ~np.isin(needed, held))}): add the files of that month, or give fewer rows.days"
    )
    return _without(dates, (~np.all(there, axis=1), why))


def _around(dates: Dates, days: int) -> NDArray[np.int64]:
    """The days around each date, since 1950-01-01: [date, day]."""
    half = (days - 1) // 2
    return dates.table["day"].to_numpy(np.int64)[:, None] + np.arange(-half, half + 1)


def _without(dates: Dates, *lost: tuple[NDArray[np.bool_], str]) -> Dates:
    """The dates but those that have no row for some reason: [date] each, with the reason."""
    number = dates.table["date"].to_numpy()
    notes = [f"no row of {_named(number, some)}: {why}" for some, why in lost if some.any()]
    gone = np.any([some for some, _ in lost], axis=0)
    if not notes:
        return dates
    if gone.all():
        raise PlanError(f"no date has a row: {'; '.join(notes)}")
    return Dates(dates.table[~gone].reset_index(drop=True), dates.glorys, dates.ostia, (*dates.notes, *notes))


def _files(product: str, archive: Mapping[str, Files], export: Mapping[str, Any] | None) -> Files | None:
    if product in archive:
        return archive[product]
    return None if export is None else Files.of_export(export, product)


def _targets(export: Mapping[str, Any], notes: list[str]) -> Days:
    """Targets that have every field and surface variable that the export has at all."""
    held: dict[str, set[int]] = {}
    stores = [export["rasters"], *([] if export["dense"] is None else [export["dense"]["shards"]])]
    for channel in (*FIELDS.values(), *CHANNELS.values()):
        for store in stores:
            entries = store.get(channel.product, {}).get(channel.variable, [])
            if entries:
                held.setdefault(channel.variable, set()).update(day_of(parse_date(entry["date"])) for entry in entries)
    if not {field.variable for field in FIELDS.values()} & held.keys():
        raise ConfigError(f"{export['output_dir']} has no thetao and no so, the fields to learn: export one of them")
    every = {day_of(parse_date(date)) for date in export["target_dates"]}
    whole = set.intersection(*held.values())
    for day in sorted(every - whole):
        lacking = [name for name, days in held.items() if day not in days]
        notes.append(f"{_these(np.array([day]))} has no row: the export has no {', '.join(lacking)} of it")
    return np.array(sorted(whole), np.int64)


def _between(days: Days, start: dt.date | None, end: dt.date | None, what: str) -> Days:
    low = -np.inf if start is None else day_of(start)
    high = np.inf if end is None else day_of(end)
    inside = days[(days >= low) & (days <= high)]
    if not inside.size:
        has = f"they are of {_these(days)}" if days.size else "there are none"
        raise ArchiveError(
            f"no date lies between {start or 'the first'} and {end or 'the last'} of the {what}: {has}; correct "
            "rows.start and rows.end"
        )
    return inside


def _bad(files: Files, start: dt.date | None, end: dt.date | None) -> list[str]:
    some = [
        why for day, why in sorted(files.bad.items())
        if (start is None or day >= day_of(start)) and (end is None or day <= day_of(end))
    ]  # fmt: skip
    return [f"{len(some)} days have no row: {some[0]}"] if some else []


def _named(each: NDArray[Any], some: NDArray[np.bool_]) -> str:
    """``20100101..20100104, 20231228``: some dates or months by their stretches; ten, and how many more there are.

    Args:
        each: number of a date, or month, ascending.
        some: which of them.
    """
    at = np.flatnonzero(some)
    parts = np.split(at, np.flatnonzero(np.diff(at) > 1) + 1)
    stretches = [each[part[[0, -1]]] for part in parts if part.size]
    names = [str(first) if first == last else f"{first}..{last}" for first, last in stretches[:10]]
    more = f" and {len(stretches) - 10} more stretches" if len(stretches) > 10 else ""
    return f"{', '.join(names)}{more}"


def _these(days: Days) -> str:
    """``20120307``, or ``3 dates from 20120307 to 20120321``."""
    first, last = numbers(days[[0, -1]])
    return str(first) if days.size == 1 else f"{days.size} dates from {first} to {last}"
