"""The manifest's numbers, added up for people."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from oceanrecon.grid.times import parse_date

_COUNTERS = ("valid_count", "nodata_count", "clipped_low_count", "clipped_high_count")


@dataclass(frozen=True)
class VariableFacts:
    """One variable of an export; counts are of stored values, all dates and levels together."""

    product: str
    variable: str
    #: dates that are there, and target dates that are not
    dates: int
    absent: int
    files: int
    bytes: int
    valid: int
    missing: int
    clipped_low: int
    clipped_high: int
    #: fewest and most days behind a file
    days_used: tuple[int, int]
    #: furthest that a file's date is from its target, days
    distance: int
    #: files that were made with a warning
    warned: int

    @property
    def clipped(self) -> tuple[float, float]:
        """Shares of the valid values clipped low and high, as fractions."""
        return self.clipped_low / max(self.valid, 1), self.clipped_high / max(self.valid, 1)


@dataclass(frozen=True)
class ExportFacts:
    """An export as its manifest describes it."""

    targets: tuple[dt.date, ...]
    variables: tuple[VariableFacts, ...]

    @property
    def files(self) -> int:
        """Number of GeoTIFFs and zarr shards."""
        return sum(variable.files for variable in self.variables)

    @property
    def bytes(self) -> int:
        """Bytes of those files."""
        return sum(variable.bytes for variable in self.variables)

    def of(self, name: str) -> VariableFacts | None:
        """The facts of a variable, if the manifest has it."""
        return next((variable for variable in self.variables if variable.variable == name), None)


def export_facts(manifest: Mapping[str, Any]) -> ExportFacts:
    """Add up a manifest of ``stores.manifest``; a block in both formats counts twice as files, once as values."""
    targets = tuple(parse_date(date) for date in manifest["target_dates"])
    shards = (manifest.get("dense") or {}).get("shards", {})
    facts = []
    for product, rasters in manifest["rasters"].items():
        for variable, entries in rasters.items():
            dense = shards.get(product, {}).get(variable, [])
            facts.append(_variable(product, variable, entries, dense, len(targets)))
    return ExportFacts(targets, tuple(facts))


def _variable(
    product: str, variable: str, rasters: list[dict[str, Any]], shards: list[dict[str, Any]], targets: int
) -> VariableFacts:
    blocks = list({entry["date"]: entry for entry in (*shards, *rasters)}.values())
    days = [entry["days"] for entry in shards if "days" in entry]
    total = {name: sum(entry["stats"][name] for entry in blocks) for name in _COUNTERS}
    used = [len(entry["days_used"]) for entry in blocks]
    return VariableFacts(
        product=product,
        variable=variable,
        dates=len(blocks),
        absent=targets - len(blocks),
        files=len(rasters) + len(shards) + len(days),
        bytes=sum(entry["bytes"] for entry in (*rasters, *shards, *days)),
        valid=total["valid_count"],
        missing=total["nodata_count"],
        clipped_low=total["clipped_low_count"],
        clipped_high=total["clipped_high_count"],
        days_used=(min(used, default=0), max(used, default=0)),
        distance=max((entry["target_distance_days"] for entry in blocks), default=0),
        warned=sum(bool(entry["warnings"]) for entry in blocks),
    )
