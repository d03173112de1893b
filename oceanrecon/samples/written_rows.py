"""What the readers of written samples share: which rows, and which of them a message is about."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.samples.form import Dense, Sample
from oceanrecon.samples.rows import Rows
from oceanrecon.stores.files import Root
from oceanrecon.transform.encode import EncodingName, stretch

SIDES = ("train", "val", "test")
REWRITE = "`oceanrecon patches write CONFIG --resume` makes it again"
_DATE = re.compile(r"(?<!\d)(\d{8}|\d{6})(?!\d)")


def choose(root: Root, split: str, phases: NDArray[np.str_], written: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The written rows on a side of the split, or ``all``: [row].

    Raises:
        ConfigError: there is none, or no such side.
    """
    if split not in ("all", *SIDES):
        raise ConfigError(f"there is no split {split!r}: it is one of all, {', '.join(SIDES)}")
    chosen = written if split == "all" else written & (phases == split)
    if not chosen.any():
        counts = ", ".join(f"{side} {int((written & (phases == side)).sum()):,}" for side in SIDES)
        raise ConfigError(
            f"{root.url} has no samples for split {split!r} ({int(written.sum()):,} in all: {counts}): take another "
            "split, or write rows of that side (`write.split`)"
        )
    return chosen


def naming_rows(read: Callable[[Sequence[int]], list[Sample]], rows: Rows, wanted: Sequence[int]) -> list[Sample]:
    """Read rows together; an error is told with the row that it is of.

    Raises:
        OutputError: a file is not there, or is damaged.
    """
    try:
        return read(wanted)
    except OutputError:
        for row in wanted:  # which of them it is
            try:
                read([row])
            except OutputError as error:
                raise OutputError(f"{rows.name(row)}: {error}") from error
        raise


def read_index(root: Root, name: str, needed: Sequence[str], wanted: Sequence[str]) -> dict[str, list[str]]:
    """Some columns of a CSV index, as text; those of ``wanted`` that it has not are left out.

    Raises:
        OutputError: it lacks a column that is ``needed``, or has no rows.
    """
    lines = csv.reader(io.StringIO(root.read(name).decode("utf-8-sig")))
    header = next(lines, [])
    missing = [column for column in needed if column not in header]
    if missing:
        raise OutputError(f"{root.url_of(name)} has no column {', '.join(missing)}: it has {', '.join(header)}")
    places = [(column, header.index(column)) for column in dict.fromkeys((*needed, *wanted)) if column in header]
    found: dict[str, list[str]] = {column: [] for column, _ in places}
    for line in lines:
        if len(line) != len(header):
            raise OutputError(
                f"{root.url_of(name)} is damaged: a row has {len(line)} values for {len(header)} columns; {REWRITE}"
            )
        for column, at in places:
            found[column].append(line[at])
    if not found[needed[0]]:
        raise OutputError(f"{root.url_of(name)} has no rows: nothing has been written yet; {REWRITE}")
    return found


def date_in(path: str) -> int:
    """YYYYMMDD of the last date in a file's name; of a month, its 15th.

    Raises:
        OutputError: it has none.
    """
    # a revision (R20120314) is no date of the data
    found = _DATE.findall(re.sub(r"[RP]\d{8}", "", path.rpartition("/")[2]))
    if not found:
        raise OutputError(f"{path!r} has no date in its name, and the index has no column `date`: add one")
    return int(found[-1]) if len(found[-1]) == 8 else int(found[-1]) * 100 + 15


def centres_of(columns: Mapping[str, list[str]]) -> NDArray[np.float32]:
    """Latitude and longitude of the centre of each row, from what the index has of it: [row, 2], degrees."""
    for names in (("lat_center", "lon_center"), ("centroid_lat", "centroid_lon")):
        if all(name in columns for name in names):
            return np.stack([np.array(columns[name], np.float64) for name in names], axis=1).astype(np.float32)
    south, north, west, east = (np.array(columns[name], np.float64) for name in ("lat0", "lat1", "lon0", "lon1"))
    middle = west + np.mod(east - west, 360.0) / 2
    return np.stack([(south + north) / 2, (middle + 180.0) % 360.0 - 180.0], axis=1).astype(np.float32)


def decoded(stored: NDArray[Any], part: Dense, encoding: EncodingName | None) -> NDArray[np.float32]:
    """Values in K, PSU or m, NaN where missing, of codes (or of values)."""
    if encoding is None:
        return stored.astype(np.float32)
    return stretch(part.quantity, encoding).decode(stored)


def described_depth(
    root: Root, given: Sequence[float] | None, stated: Sequence[float], levels: int, usual: Sequence[float]
) -> tuple[float, ...]:
    """The depths (m) of samples: as given, as the files state them, or the usual ones where there are as many.

    Raises:
        ConfigError: there are others, or no one knows.
    """
    depth = tuple(stated if given is None else given)
    if not depth and len(usual) == levels:
        depth = tuple(usual)
    if len(depth) != levels:
        raise ConfigError(
            f"the samples of {root.url} have {levels} levels, and {len(depth)} depths are known of them: give `depth`, "
            "their depths in m"
        )
    return depth
