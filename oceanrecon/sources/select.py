"""Which files make which block: target times, windows and nearest files, from an inventory."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import pandas as pd

from oceanrecon.errors import ArchiveError
from oceanrecon.grid import Axis, nearest_date, stepped_dates, window_days
from oceanrecon.sources.block import Block, Source
from oceanrecon.sources.product import Product, Variable
from oceanrecon.sources.registry import product as find_product


@dataclass(frozen=True)
class Missing:
    """A block that cannot be made because the archive has too few files for it."""

    product: str
    variable: str
    date: dt.date
    message: str


@dataclass(frozen=True, eq=False)
class Holding:
    """The usable files of one product."""

    product: Product
    latitude: Axis
    longitude: Axis
    #: metres, () for surface products
    depth: tuple[float, ...]
    #: names of the variables that the files have
    variables: tuple[str, ...]
    by_date: dict[dt.date, Source]
    #: bytes of one stored number, and chunk shape, by variable
    storage: dict[str, tuple[int, tuple[int, ...] | None]]

    @cached_property
    def dates(self) -> list[dt.date]:
        """Dates that have a file, ascending."""
        return sorted(self.by_date)

    def levels_per_chunk(self, variable: str) -> int:
        """Levels of one disk chunk: the slab that is read at once."""
        chunks = self.storage[variable][1]
        return chunks[-3] if self.depth and chunks is not None and len(chunks) >= 3 else 1


@lru_cache(maxsize=64)
def _axis(text: str) -> Axis:
    return Axis(**json.loads(text))


def holdings(inventory: pd.DataFrame, products: Iterable[str]) -> dict[str, Holding]:
    """The usable files of each product (rows without a problem).

    Raises:
        ArchiveError: a product has none.
    """
    found: dict[str, Holding] = {}
    for name in products:
        product = find_product(name)
        rows = inventory[(inventory["product"] == name) & (inventory["problem"] == "")]
        if rows.empty:
            problems = inventory.loc[inventory["product"] == name, ["path", "problem"]]
            shown = "; ".join(f"{row.path}: {row.problem}" for row in problems.head(3).itertuples())
            raise ArchiveError(
                f"the archive has no usable file of product {name!r}"
                + (f" ({len(problems)} with problems, such as {shown})" if shown else "")
                + ": check archive.root and archive.products in the settings, or leave the product out"
            )
        first = rows.iloc[0]
        headers = json.loads(first["variables"])
        by_date = {
            date.date(): Source(
                path=path,
                date=date.date(),
                time_index=int(index),
                bytes=int(size),
                mtime_ns=int(mtime),
                revision=None if pd.isna(revision) else revision.date(),
            )
            for path, date, index, size, mtime, revision in zip(
                rows["path"],
                rows["date"],
                rows["time_index"],
                rows["bytes"],
                rows["mtime_ns"],
                rows["revision"],
                strict=True,
            )
        }
        depth = tuple(json.loads(first["depth"]) or ()) if first["depth"] else ()
        found[name] = Holding(
            product=product,
            latitude=_axis(first["latitude"]),
            longitude=_axis(first["longitude"]),
            depth=depth,
            variables=tuple(variable.name for variable in product.variables if variable.name in headers),
            by_date=by_date,
            storage={
                key: (
                    np.dtype(header["dtype"]).itemsize,
                    None if header["chunks"] is None else tuple(header["chunks"]),
                )
                for key, header in headers.items()
            },
        )
    return found


def target_dates(
    held: dict[str, Holding],
    *,
    start: dt.date | None = None,
    end: dt.date | None = None,
    dates: Sequence[dt.date] | None = None,
    every_days: int | None = None,
) -> list[dt.date]:
    """The target times: an explicit list, a step in days, or the dates of the GLORYS files.

    Raises:
        ArchiveError: there is none.
    """
    if dates is not None:
        chosen = sorted(set(dates))
    elif every_days is not None and start is not None and end is not None:
        chosen = stepped_dates(start, end, every_days)
    elif "glorys" in held:
        chosen = held["glorys"].dates
    else:
        raise ArchiveError(
            "the targets are the dates of the GLORYS files, but product 'glorys' is not in the settings: give "
            "targets.dates, or targets.every_days with start and end"
        )
    inside = [date for date in chosen if (start is None or date >= start) and (end is None or date <= end)]
    if not inside:
        has = f"they are {chosen[0]}..{chosen[-1]}" if chosen else "there are none"
        raise ArchiveError(f"no target date lies between {start} and {end}: {has}")
    return inside


def select_block(
    root: str,
    holding: Holding,
    variable: Variable,
    date: dt.date,
    *,
    window: int,
    minimum_files: int,
    maximum_distance_days: int,
) -> Block | Missing:
    """The block of one variable at one target, or why there is none.

    Windowed products take every file of the window, also outside the requested range; others the nearest file.
    """
    if holding.product.windowed:
        sources = tuple(holding.by_date[day] for day in window_days(date, window) if day in holding.by_date)
        if len(sources) < minimum_files:
            message = (
                f"{len(sources)} of the {window} files around {date} are in the archive, {minimum_files} are needed: "
                "complete the archive, or set minimum_files or window_days"
            )
            return Missing(holding.product.name, variable.name, date, message)
    else:
        nearest = nearest_date(holding.dates, date)
        if nearest is None or abs((nearest - date).days) > maximum_distance_days:
            message = (
                f"the nearest {holding.product.name} file is of {nearest}, more than {maximum_distance_days} days from "
                f"{date}: complete the archive, or set targets.maximum_distance_days"
            )
            return Missing(holding.product.name, variable.name, date, message)
        sources = (holding.by_date[nearest],)
    return Block(
        root=root,
        product=holding.product.name,
        variable=variable.name,
        date=date,
        sources=sources,
        latitude=holding.latitude,
        longitude=holding.longitude,
        depth=holding.depth if variable.levels else (),
    )
