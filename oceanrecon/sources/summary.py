"""What an inventory says about each product, for people: what was inferred, what is missing, what is wrong."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from oceanrecon.grid.axis import Axis
from oceanrecon.sources.agreement import describe_grid
from oceanrecon.sources.registry import PRODUCTS


@dataclass(frozen=True)
class VariableSummary:
    """How a variable is stored in the usable files; several entries where the files differ."""

    name: str
    units: tuple[str, ...]
    dtype: tuple[str, ...]
    fill: tuple[str, ...]
    chunks: tuple[str, ...]


@dataclass(frozen=True)
class ProductSummary:
    """One product of an inventory; ``product`` is empty for files that are none."""

    product: str
    title: str
    files: int
    bytes: int
    #: usable dates
    days: int
    first: dt.date | None
    last: dt.date | None
    #: the commonest distance of neighbouring dates
    cadence_days: int | None
    #: dates between the first and the last that the cadence promises and no usable file has
    missing_dates: tuple[dt.date, ...]
    grid: str
    #: goes once round the globe
    periodic: bool
    longitudes: str
    latitudes: str
    #: metres
    depth: tuple[float, ...]
    variables: tuple[VariableSummary, ...]
    #: path and problem of every row that is left out
    problems: tuple[tuple[str, str], ...]
    #: remark and how many rows have it
    notes: tuple[tuple[str, int], ...]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: dates as text."""
        stated = asdict(self)
        stated["first"], stated["last"] = (str(date) if date else None for date in (self.first, self.last))
        stated["missing_dates"] = [str(date) for date in self.missing_dates]
        return stated


def summary(inventory: pd.DataFrame) -> tuple[ProductSummary, ...]:
    """One summary per product of an inventory, in the order of the registry, files of no product last."""
    order = [*PRODUCTS, ""]
    groups = {str(name): rows for name, rows in inventory.groupby("product", sort=False)}
    return tuple(_summarise(name, groups[name]) for name in order if name in groups)


def _summarise(name: str, rows: pd.DataFrame) -> ProductSummary:
    usable = rows[rows["problem"] == ""]
    dates = [moment.date() for moment in usable["date"]]
    cadence, missing = _gaps(dates)
    grid, periodic, longitudes, latitudes = "", False, "", ""
    depth: tuple[float, ...] = ()
    if len(usable):
        first = usable.iloc[0]
        grid = describe_grid(first["latitude"], first["longitude"])
        longitude, latitude = Axis(**json.loads(first["longitude"])), Axis(**json.loads(first["latitude"]))
        periodic = longitude.period is not None
        longitudes = "-180..180" if min(longitude.values[[0, -1]]) < 0 else "0..360"
        latitudes = "south to north" if latitude.step > 0 else "north to south"
        depth = tuple(json.loads(first["depth"]))
    files = rows.drop_duplicates("path")
    wrong = rows[rows["problem"] != ""]
    notes = Counter(note for text in usable["note"] if text for note in text.split("; "))
    return ProductSummary(
        product=name,
        title=PRODUCTS[name].title if name else "files of no product",
        files=len(files),
        bytes=int(files["bytes"].sum()),
        days=len(dates),
        first=min(dates, default=None),
        last=max(dates, default=None),
        cadence_days=cadence,
        missing_dates=missing,
        grid=grid,
        periodic=periodic,
        longitudes=longitudes,
        latitudes=latitudes,
        depth=depth,
        variables=_variables(usable),
        problems=tuple(zip(wrong["path"], wrong["problem"], strict=True)),
        notes=tuple(sorted(notes.items())),
    )


def _gaps(dates: list[dt.date]) -> tuple[int | None, tuple[dt.date, ...]]:
    """The commonest step in days (the smallest of equals), and the dates that it leaves out."""
    ordered = sorted(set(dates))
    steps = Counter((after - before).days for before, after in pairwise(ordered))
    if not steps:
        return None, ()
    cadence = min(steps, key=lambda step: (-steps[step], step))
    missing = [
        before + dt.timedelta(days=days)
        for before, after in pairwise(ordered)
        for days in range(cadence, (after - before).days, cadence)
    ]
    return cadence, tuple(missing)


def _variables(usable: pd.DataFrame) -> tuple[VariableSummary, ...]:
    stored: dict[str, list[dict[str, Any]]] = {}
    # Thousands of files share a few headers: parse each once.
    for text in usable["variables"].unique():
        for name, header in json.loads(text).items():
            stored.setdefault(name, []).append(header)
    return tuple(
        VariableSummary(
            name=name,
            units=_distinct(header["units"] or "not stated" for header in headers),
            dtype=_distinct(header["dtype"] for header in headers),
            fill=_distinct(_fill(header) for header in headers),
            chunks=_distinct("contiguous" if header["chunks"] is None else header["chunks"] for header in headers),
        )
        for name, headers in stored.items()
    )


def _fill(header: dict[str, Any]) -> str:
    if header["fill_value"] is not None:
        return str(header["fill_value"])
    return "NaN" if header["dtype"][1] == "f" else "not declared"


def _distinct(values: Any) -> tuple[str, ...]:
    return tuple(sorted({str(value) for value in values}))
