"""Compares a file of a TACO dataset with its row: what it is of, and how many values it has, where and when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid.octants import octant
from oceanrecon.stores.taco import Member, day_of
from oceanrecon.stores.taco_tables import instant
from oceanrecon.stores.tile_file import Tile

Kind = Literal["missing", "truncated", "altered", "unreadable", "extra", "misplaced", "tables", "extent", "inventory"]
#: Degrees that an edge may be off, in the arithmetic of cells.
_SLACK = 1e-6
#: Microseconds.
_SECOND, _DAY = 1_000_000, 86_400_000_000


def differences(member: Member, tile: Tile) -> Iterator[tuple[Kind, str]]:
    """What is wrong with a file that has data, or with its row.

    Args:
        member: its row.
        tile: the file, open.

    Raises:
        OutputError: it is damaged.
    """
    attributes = tile.attributes
    day = f"{member.date[:4]}-{member.date[4:6]}-{member.date[6:]}"
    place = {"source": member.source, "region": member.region, "date": day}
    stated = {name: attributes.get(name) for name in place}
    if stated != place:
        yield "misplaced", f"it says that it is {stated}, and its place is {place}"
        return
    n_obs, valid, there = _counts(tile)
    if (member.n_obs, member.valid) != (n_obs, valid):
        yield (
            "altered",
            (
                f"its row has {member.n_obs:,} observations and {member.valid:,} values, and the file {n_obs:,} and "
                f"{valid:,}"
            ),
        )
    yield from _times(member, attributes)
    yield from _places(member, tile, there)


def _times(member: Member, attributes: dict[str, Any]) -> Iterator[tuple[Kind, str]]:
    """Its row has the times that the file states, and they are of its day."""
    extent = member.extent
    if extent is None:
        return
    first, last = day_of(member.date)
    first, last = first - _DAY, last + _DAY  # fields of a day may be of its eve
    if extent.start > extent.end or extent.start > last or extent.end < first:
        yield (
            "extent",
            (f"its row has data from {instant(extent.start)} to {instant(extent.end)}, and its day is {member.date}"),
        )
    for name, moment in (("time_coverage_start", extent.start), ("time_coverage_end", extent.end)):
        right = f"{np.datetime64(moment // _SECOND, 's')}Z"
        if attributes.get(name) not in (None, right):
            yield "extent", f"its row has {right}, and the file says that its {name} is {attributes[name]}"


def _places(member: Member, tile: Tile, there: tuple[NDArray[np.intp], NDArray[np.intp]]) -> Iterator[tuple[Kind, str]]:
    """Its row has the box of its data: of points exactly, of a grid to the edges of cells, of counted points in them.

    Args:
        member: its row.
        tile: the file, open.
        there: latitudes and longitudes that have data.
    """
    if not there[0].size:
        if member.extent is not None:
            yield "extent", f"its row has data in {list(member.extent.box)}, and the file has no value"
        return
    if member.extent is None:
        yield "extent", "its row has no extent, and the file has data"
        return
    west, south, east, north = octant(member.region).box
    box = member.extent.box
    for name, axis, taken, edges, stated in (
        ("longitudes", tile.longitude, there[1], (west, east), box[::2]),
        ("latitudes", tile.latitude, there[0], (south, north), box[1::2]),
    ):
        used = axis[taken]
        least, most = float(used.min()), float(used.max())
        half = 0.0
        if tile.kind != "points":
            if axis.size == 1:
                continue  # how wide a cell is, is not known
            half = float(axis[-1] - axis[0]) / (axis.size - 1) / 2
        outer = max(least - half, edges[0]), min(most + half, edges[1])
        # points that were counted are anywhere in the outermost cells
        inner = (least + half, most - half) if tile.kind == "cells" else outer
        low = outer[0] - _SLACK <= stated[0] <= inner[0] + _SLACK
        high = inner[1] - _SLACK <= stated[1] <= outer[1] + _SLACK
        if not (low and high):
            yield "extent", f"its row has {name} {stated[0]} to {stated[1]}, and the file {outer[0]} to {outer[1]}"


def _counts(tile: Tile) -> tuple[int, int, tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Observations and values, as the inventory counts them; which latitudes and longitudes have measured values."""
    if tile.kind == "points":
        measured = np.zeros(tile.latitude.size, bool)
        valid = 0
        for name in tile.names:
            known, is_measured = _known(tile, name)
            valid += int(np.count_nonzero(known))
            if is_measured:
                measured |= known
        return measured.size, valid, (np.flatnonzero(measured), np.flatnonzero(measured))
    there = np.zeros((tile.latitude.size, tile.longitude.size), bool)
    n_obs = valid = 0
    for name in tile.names:
        if tile.kind == "gridded":
            known, is_measured = _known(tile, name)
            valid += int(np.count_nonzero(known))
            if is_measured:
                there |= known
        elif name == "n_obs" or name.endswith("_count"):
            # most cells of most tiles are not stored
            for part in tile.parts(name):
                count = tile.read(name, *part)
                if name == "n_obs":
                    n_obs += int(count.sum())
                else:
                    valid += int(count.sum())
                    there[part] |= count > 0
    if tile.kind == "gridded":
        n_obs = int(np.count_nonzero(there))
    return n_obs, valid, (np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0)))


def _known(tile: Tile, name: str) -> tuple[NDArray[np.bool_], bool]:
    """Where a variable has a value or a text, and whether it is measured: no flag, number, text or time.

    Integers that do not say what is missing, such as masks, have no values that count.
    """
    stored = tile.read(name)
    if stored.dtype.kind in "US":
        return np.asarray(np.char.str_len(stored) > 0), False
    if stored.dtype.kind == "f":
        return np.asarray(np.isfinite(stored)), " since " not in str(tile.attributes_of(name).get("units", ""))
    missing = tile.missing(name)
    return np.zeros(stored.shape, bool) if missing is None else np.asarray(stored != missing), False
