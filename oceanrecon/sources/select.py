"""Which files make which block: target times, windows and nearest files, from an inventory."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd

from oceanrecon.errors import ArchiveError
from oceanrecon.grid import Axis, nearest_date, stepped_dates, window_days
from oceanrecon.sources.block import Block, Source
from oceanrecon.sources.product import Product, Variable
from oceanrecon.sources.registry import product as find_product


@dataclass(frozen=True)
class Missing:
    """A block that cannot be made because the archive has too few files for it, or a bad one."""

    product: str
    variable: str
    date: dt.date
    reason: str
    #: for who exports or opens the archive
    remedy: str
    #: a file is there and cannot be used
    unusable: bool = False

    @property
    def message(self) -> str:
        """Reason and remedy."""
        return f"{self.reason}{', or ' if self.unusable else ': '}{self.remedy}"


@dataclass(frozen=True, eq=False)
class Form:
    """What the usable files of a product have in common."""

    latitude: Axis
    longitude: Axis
    #: metres, () for surface products
    depth: tuple[float, ...]
    #: bytes of one stored number, and chunk shape, by variable
    storage: dict[str, tuple[int, tuple[int, ...] | None]]

    def levels_per_chunk(self, variable: str) -> int:
        """Levels of one disk chunk: the slab that is read at once."""
        chunks = self.storage[variable][1]
        return chunks[-3] if self.depth and chunks is not None and len(chunks) >= 3 else 1


@dataclass(frozen=True, eq=False)
class Holding:
    """The files of one product."""

    product: Product
    #: None where no file is usable
    form: Form | None
    by_date: dict[dt.date, Source]
    #: dates whose only files cannot be used -> which file, and why
    unusable: dict[dt.date, str]
    #: where references to the files are (``sources.references``); empty: there are none
    references: str = ""

    @cached_property
    def dates(self) -> list[dt.date]:
        """Dates that have a file, ascending."""
        return sorted(self.by_date)

    @cached_property
    def known_dates(self) -> list[dt.date]:
        """Dates that have a file, usable or not, ascending."""
        return sorted({*self.by_date, *self.unusable})

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables that the files have (that they should have, where none is usable)."""
        names = [variable.name for variable in self.product.variables]
        return tuple(name for name in names if self.form is None or name in self.form.storage)


@lru_cache(maxsize=64)
def _axis(text: str) -> Axis:
    return Axis(**json.loads(text))


def holdings(inventory: pd.DataFrame, products: Iterable[str]) -> dict[str, Holding]:
    """What the archive has of each product.

    Raises:
        ArchiveError: there is no file of a product, or none that has a date.
    """
    found: dict[str, Holding] = {}
    for name in products:
        rows = inventory[inventory["product"] == name]
        usable = rows[rows["problem"] == ""]
        bad = rows[(rows["problem"] != "") & rows["date"].notna()]
        if usable.empty and bad.empty:
            shown = "; ".join(f"{row.path}: {row.problem}" for row in rows.head(3).itertuples())
            raise ArchiveError(
                f"the archive has no usable file of product {name!r}"
                + (f" ({len(rows)} with problems, such as {shown})" if shown else "")
                + ": check archive.root and archive.products in the settings, or leave the product out"
            )
        sources = {source.date: source for source in _sources(usable)}
        reasons = {
            row["date"].date(): f"{row['path']}: {row['problem']}"
            for row in bad.to_dict("records")
            if _matters(row, sources.get(row["date"].date()))
        }
        found[name] = Holding(
            product=find_product(name),
            form=None if usable.empty else _form(usable.iloc[0].to_dict()),
            by_date=sources,
            unusable=reasons,
            references=inventory.attrs.get("references", ""),
        )
    return found


def _matters(bad: dict[Hashable, Any], source: Source | None) -> bool:
    """Whether a file that cannot be used would have been taken: there is no other, or it is a later revision."""
    if source is None or source.revision is None or pd.isna(bad["revision"]):
        return source is None
    return bool(bad["revision"].date() > source.revision) and not str(bad["problem"]).startswith("duplicate of")


def _sources(rows: pd.DataFrame) -> Iterator[Source]:
    # column by column: an archive of 22,000 files is opened in less than a second
    columns = [rows[name].tolist() for name in ("path", "date", "time_index", "bytes", "mtime_ns", "revision")]
    for path, date, time_index, size, mtime_ns, revision in zip(*columns, strict=True):
        yield Source(path, date.date(), time_index, size, mtime_ns, None if revision is pd.NaT else revision.date())


def _form(row: dict[Hashable, Any]) -> Form:
    headers = json.loads(row["variables"])
    return Form(
        latitude=_axis(row["latitude"]),
        longitude=_axis(row["longitude"]),
        depth=tuple(json.loads(row["depth"])),
        storage={
            name: (np.dtype(header["dtype"]).itemsize, header["chunks"] and tuple(header["chunks"]))
            for name, header in headers.items()
        },
    )


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
        # a date whose file is bad stays a target: its blocks are recorded failures until the file is mended
        chosen = held["glorys"].known_dates
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

    Windowed products take every file of the window, also outside the requested range; others the nearest file. A file
    that is there and cannot be used fails the block: without it the numbers would change once it is mended.
    """
    if holding.product.windowed:
        needed = window_days(date, window)
    else:
        nearest = nearest_date(holding.known_dates, date)
        needed = [date] if nearest is None else [nearest]
    bad = [holding.unusable[day] for day in needed if day in holding.unusable]
    if bad:
        return Missing(
            holding.product.name, variable.name, date, "; ".join(bad), "remove it from the archive", unusable=True
        )
    if holding.product.windowed:
        sources = tuple(holding.by_date[day] for day in needed if day in holding.by_date)
        if len(sources) < minimum_files:
            return Missing(
                holding.product.name, variable.name, date,
                f"{len(sources)} of the {window} files around {date} are in the archive, {minimum_files} are needed",
                "complete the archive, or set minimum_files or window_days",
            )  # fmt: skip
    else:
        if nearest is None or abs((nearest - date).days) > maximum_distance_days:
            return Missing(
                holding.product.name, variable.name, date,
                f"the nearest {holding.product.name} file is of {nearest}, more than {maximum_distance_days} days from "
                f"{date}",
                "complete the archive, or set targets.maximum_distance_days",
            )  # fmt: skip
        sources = (holding.by_date[nearest],)
    assert holding.form is not None  # there is a usable file
    return Block(
        root=root,
        product=holding.product.name,
        variable=variable.name,
        date=date,
        sources=sources,
        latitude=holding.form.latitude,
        longitude=holding.form.longitude,
        depth=holding.form.depth if variable.levels else (),
        references=holding.references,
    )
