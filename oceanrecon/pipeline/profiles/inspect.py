"""The figures of a profile store, read once from end to end, a range of rows at a time: memory does not grow with it.

Percentiles come from histograms: differences are rounded to steps that are finer than the measurements, and the
percentiles of the rounded ones are exact.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oceanrecon.errors import OutputError
from oceanrecon.grid.times import parse_date
from oceanrecon.pipeline.profiles.figures import (
    SALINITY_BINS,
    SHALLOW,
    TEMPERATURE_BINS,
    Counts,
    Difference,
    ProfileFigures,
    Rejected,
)
from oceanrecon.pipeline.profiles.locate import find_store
from oceanrecon.pipeline.profiles.recipe import SETTINGS
from oceanrecon.pipeline.profiles.schema import ENRICHED, MEASURED, STATUS, status_name
from oceanrecon.sources.identity import REASONS
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.stores.columns import Column, ColumnReader
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import MANIFEST, PROFILES, read_manifest
from oceanrecon.stores.part import read_part

#: More profiles than this are not told one by one.
MOST_PLACES = 10_000
#: Rows that are held at once: a shard.
_ROWS = 65536
_IDENTITY = ("source_kind", "data_mode", "platform_number", "profile_date", "latitude", "longitude")
#: Only one source can be rejected for these.
_ONLY = {
    "secondary_sampling": "argo",
    "not_delayed_mode": "argo",
    "duplicate_cycle": "argo",
    "duplicate_of_argo": "en4",
    # Argo profiles outside the dates are not even planned
    "outside_dates": "en4",
}


@dataclass(frozen=True)
class _Compared:
    """A field and what it is compared with; plausible values differ by less than ``most``."""

    field: str
    measured: str
    units: str
    step: float
    most: float
    #: brings the field to the units of the measurement
    offset: float = 0.0

    @property
    def bins(self) -> int:
        """Of the histogram; the middle one is 0."""
        return 2 * round(self.most / self.step) + 1


def _temperature(field: str, measured: str, offset: float = 0.0) -> _Compared:
    return _Compared(field, measured, "K", 0.002, 50.0, offset)


def _salinity(field: str) -> _Compared:
    return _Compared(field, "argo_psal", "PSU", 0.001, 50.0)


_BY_LEVEL = (_temperature("glorys_thetao", "argo_potm"), _salinity("glorys_so"))
_AT_SURFACE = (
    _temperature("ostia_analysed_sst", "argo_temp", -273.15),
    _temperature("glorys_thetao", "argo_potm"),
    _salinity("sss_sos"),
    _salinity("glorys_so"),
)


def inspect_profiles(url: str, on_progress: Callable[[int, int], None] | None = None) -> ProfileFigures:
    """Read a profile store and count what is in it.

    Args:
        url: the store, the output of the enrichment that made it, or a package.
        on_progress: called with how many profiles are read, and how many there are.

    Raises:
        OutputError: there is no profile store, or it is damaged.
    """
    place, prefix = find_store(url)
    reader = ColumnReader(place, prefix)
    manifest = _manifest(place, prefix)
    tally = _Tally(reader)
    missing = [name for name in tally.columns if name not in reader.names]
    if missing:
        raise OutputError(
            f"{reader.url} has no {missing[0]}: it is no store of enriched profiles; give the output of `oceanrecon "
            "profiles enrich`, or a package"
        )
    for start in range(0, reader.rows, _ROWS):
        stop = min(start + _ROWS, reader.rows)
        tally.add(reader.read(tally.columns, start, stop))
        if on_progress is not None:
            on_progress(stop, reader.rows)
    return ProfileFigures(
        store=reader.url,
        output=None if manifest is None else place.url,
        settings=reader.attrs,
        profiles=reader.rows,
        depth=tally.depth,
        rejected=_rejected(place, reader.attrs, manifest),
        notes=() if manifest is None else tuple(_notes(manifest)),
        failures=() if manifest is None else tuple(manifest["failures"]),
        **tally.found(),
    )


def _manifest(place: Root, prefix: str) -> dict[str, Any] | None:
    """Of the enrichment whose output holds the store; ``None`` where the store is elsewhere."""
    if prefix == ENRICHED and place.exists(SETTINGS) and place.exists(MANIFEST):
        return read_manifest(place, PROFILES)
    return None


def _notes(manifest: Mapping[str, Any]) -> list[str]:
    """Every note once."""
    return list(dict.fromkeys(note for month in manifest["months"].values() for note in month["notes"]))


def _rejected(place: Root, attrs: Mapping[str, Any], manifest: Mapping[str, Any] | None) -> tuple[Rejected, ...]:
    """What every check rejects, by source where that is recorded or can be told."""
    found: Counter[tuple[str, str]] = Counter()
    sources = list(attrs.get("profile_sources", {}))
    only = dict.fromkeys(REASONS, sources[0]) | {"outside_dates": sources[0]} if len(sources) == 1 else _ONLY
    if manifest is None:
        months = [attrs.get("counts", {})]
    else:
        found.update({("argo", reason): count for reason, count in manifest["counts_without_date"].items()})
        months = []
        for name, month in manifest["months"].items():
            path = f"months/{name}/rejected.parquet"
            counts = dict(month["counts"])
            if place.exists(path):
                kinds, reasons = (
                    read_part(place, path, Column(column, "string", {}), 0, 2**62).tolist()
                    for column in ("kind", "reason")
                )
                found.update(zip(kinds, reasons, strict=True))
                counts = {"outside_dates": counts.get("outside_dates", 0)}
            months.append(counts)
    for counts in months:
        for reason, count in counts.items():
            if not reason.startswith("accepted"):
                found[only.get(reason, ""), reason] += count
    order = dict.fromkeys([*REASONS[1:], "outside_dates", *sorted(reason for _, reason in found)])
    return tuple(
        Rejected(reason, {source: count for (source, why), count in sorted(found.items()) if why == reason and count})
        for reason in order
    )


class _Tally:
    """Counts of the rows so far."""

    def __init__(self, reader: ColumnReader) -> None:
        names = set(reader.names)
        self._url = reader.url
        self.depth = np.array(reader.depth)
        self._products = [name for name, product in PRODUCTS.items() if status_name(product) in names]
        self._by_level = [pair for pair in _BY_LEVEL if pair.field in names]
        self._at_surface = [pair for pair in _AT_SURFACE if pair.field in names]
        self.columns = [
            *_IDENTITY,
            *(_on_depth(f"argo_{name}") for name, *_ in MEASURED),
            *dict.fromkeys(pair.field for pair in (*self._by_level, *self._at_surface)),
            *(status_name(PRODUCTS[name]) for name in self._products),
        ]
        levels = self.depth.size
        self._modes: Counter[tuple[str, str]] = Counter()
        self._daily: Counter[tuple[str, int]] = Counter()
        self._platforms: dict[str, set[str]] = defaultdict(set)
        self._nameless = 0
        self._cells = np.zeros(180 * 360, np.int64)
        self._ends: list[NDArray[np.float64]] = []
        self._places: dict[str, list[NDArray[np.float64]]] | None = {} if reader.rows <= MOST_PLACES else None
        self._values = {name: np.zeros(levels, np.int64) for name, *_ in MEASURED}
        self._matches = {name: np.zeros(len(STATUS), np.int64) for name in self._products}
        self._diagram = np.zeros((TEMPERATURE_BINS.size - 1, SALINITY_BINS.size - 1), np.int64)
        self._level_counts = [np.zeros((levels, pair.bins), np.int64) for pair in self._by_level]
        self._surface_counts = [np.zeros((1, pair.bins), np.int64) for pair in self._at_surface]

    def add(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Count some rows."""
        self._add_identity(columns)
        finite = {}
        for name, counts in self._values.items():
            finite[name] = np.isfinite(columns[_on_depth(f"argo_{name}")])
            np.add(counts, finite[name].sum(axis=0), out=counts)
        for name, counts in self._matches.items():
            status = columns[status_name(PRODUCTS[name])]
            np.add(counts, np.bincount(status, minlength=len(STATUS)), out=counts)
        both = finite["potm"] & finite["psal"]
        _count(
            self._diagram,
            _bin(columns[_on_depth("argo_potm")][both], TEMPERATURE_BINS),
            _bin(columns[_on_depth("argo_psal")][both], SALINITY_BINS),
        )
        for pair, found in zip(self._by_level, self._level_counts, strict=True):
            _compare(found, pair, columns[pair.field], columns[_on_depth(pair.measured)])
        shallow = int(np.searchsorted(self.depth, SHALLOW, "right"))
        for pair, found in zip(self._at_surface, self._surface_counts, strict=True):
            if shallow:
                measured, field = columns[_on_depth(pair.measured)][:, :shallow], columns[pair.field]
                first = np.isfinite(measured).argmax(axis=1)[:, None]
                beside = field[:, None] if field.ndim == 1 else np.take_along_axis(field, first, axis=1)
                _compare(found, pair, beside, np.take_along_axis(measured, first, axis=1))

    def _add_identity(self, columns: Mapping[str, NDArray[Any]]) -> None:
        kinds, modes, platforms = (np.asarray(columns[name], object) for name in _IDENTITY[:3])
        latitude, longitude = columns["latitude"], columns["longitude"]
        # no profile is stored without them; a shard that is not there reads as fill values
        if not (np.isfinite(latitude + longitude) & (columns["profile_date"] > 0) & (kinds != "")).all():
            raise OutputError(
                f"{self._url} has profiles without a source, a date or a position: files of it are missing; run "
                "`oceanrecon verify` on it"
            )
        self._modes.update(zip(kinds, modes, strict=True))
        self._daily.update(zip(kinds, columns["profile_date"].tolist(), strict=True))
        row = np.clip(latitude + 90.0, 0, 179).astype(np.int64)
        column = np.mod(longitude + 180.0, 360.0).astype(np.int64) % 360
        self._cells += np.bincount(row * 360 + column, minlength=self._cells.size)
        for half in (longitude < 0, longitude >= 0):
            if half.any():
                place = np.stack([latitude[half], longitude[half]])
                self._ends += [place.min(axis=1), place.max(axis=1)]
        for kind in set(kinds):
            mine = kinds == kind
            self._platforms[kind].update(pd.unique(platforms[mine]))
            if self._places is not None:
                self._places.setdefault(kind, []).append(np.stack([latitude[mine], longitude[mine]]))
        self._nameless += int((platforms == "").sum())

    def found(self) -> dict[str, Any]:
        """The fields of ``ProfileFigures`` that are counted."""
        kinds = sorted({kind for kind, _ in self._modes})
        dates = sorted({date for _, date in self._daily})
        platforms = {kind: self._platforms[kind] - {""} for kind in kinds}
        return {
            "modes": {kind: {m: n for (k, m), n in sorted(self._modes.items()) if k == kind} for kind in kinds},
            "platforms": {kind: len(names) for kind, names in platforms.items()},
            "platforms_in_all": len(set().union(*platforms.values())),
            "nameless": self._nameless,
            "days": tuple(parse_date(date) for date in dates),
            "daily": {kind: np.array([self._daily[kind, date] for date in dates], np.int64) for kind in kinds},
            "box": self._box(),
            "cells": self._cells.reshape(180, 360),
            "places": self._places and {k: np.concatenate(v, axis=1) for k, v in sorted(self._places.items())},
            "values": self._values,
            "matches": self._matches,
            "diagram": self._diagram,
            "differences": _differences(self._by_level, self._level_counts),
            "surface": _differences(self._at_surface, self._surface_counts),
        }

    def _box(self) -> tuple[float, float, float, float] | None:
        if not self._ends:
            return None
        latitude, longitude = np.stack(self._ends, axis=1)
        west, east = longitude.min(), longitude.max()
        left, right = longitude[longitude < 0], longitude[longitude >= 0]
        # more than half a turn without a profile has Greenwich in it: the box then goes through the dateline
        if left.size and right.size and right.min() - left.max() > 180:
            west, east = right.min(), left.max()
        return float(west), float(latitude.min()), float(east), float(latitude.max())


def _on_depth(name: str) -> str:
    return f"{name}_on_glorys_depth"


def _compare(counts: Counts, pair: _Compared, field: NDArray[np.floating], measured: NDArray[np.floating]) -> None:
    """Count the rounded differences of [profile, level] by level: ``counts`` is [level, bin]."""
    both = np.isfinite(field) & np.isfinite(measured)
    difference = (field[both].astype(np.float64) + pair.offset) - measured[both]
    bins = np.clip(np.rint(difference / pair.step).astype(np.int64) + pair.bins // 2, 0, pair.bins - 1)
    _count(counts, np.broadcast_to(np.arange(field.shape[1]), field.shape)[both], bins)


def _bin(values: NDArray[np.floating], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin of each value between evenly spaced edges; the outermost take what is beyond."""
    place = (values - edges[0]) / (edges[1] - edges[0])
    return np.asarray(np.clip(place.astype(np.int64), 0, edges.size - 2))


def _count(counts: Counts, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> None:
    """Add 1 to ``counts`` at each place."""
    found = np.bincount(rows * counts.shape[1] + columns, minlength=counts.size)
    np.add(counts, found.reshape(counts.shape), out=counts)


def _differences(pairs: Sequence[_Compared], counts: Sequence[Counts]) -> tuple[Difference, ...]:
    return tuple(
        Difference(pair.field, pair.measured, pair.units, pair.step, found)
        for pair, found in zip(pairs, counts, strict=True)
    )
