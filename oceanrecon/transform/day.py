"""A day of one source, as it comes from its files, before it is cut into regions: fields on a grid, or points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Values:
    """Values of one variable of a day, and what they are."""

    #: float32 in the units of ``attributes``, NaN where missing; flags, counts and masks are integers
    data: NDArray[Any]
    #: CF: ``standard_name``, ``long_name``, ``units``, and of flags ``flag_values`` and ``flag_meanings``
    attributes: Mapping[str, Any] = field(default_factory=dict)
    #: of integers: what is missing
    missing: int | None = None


@dataclass(frozen=True, eq=False)
class GriddedDay:
    """Fields of a day on one regular grid, whole.

    Rows and columns are as they are in the file: rising or falling, longitudes of any turn.
    """

    #: of rows, degrees: float64 [row]
    latitude: NDArray[np.float64]
    #: of columns, degrees: float64 [column]
    longitude: NDArray[np.float64]
    #: by name: [row, column]
    values: Mapping[str, Values]
    #: first and last instant that the data are of, UTC: datetime64[us]
    start: np.datetime64
    end: np.datetime64
    #: values that no ocean has and that are left out, undeclared fills most of all: by variable of the file
    implausible: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Track:
    """A file of measurements along a track: a day of one altimeter, or half an orbit of SWOT."""

    #: name of the file
    name: str
    #: such as ``Jason-1``
    platform: str


@dataclass(frozen=True, eq=False)
class PointDay:
    """Points of a day, in any order.

    Every point that a file has is here; those whose position is none have NaN there, and are counted.
    """

    #: degrees: float64 [point]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    #: UTC, NaT where missing: datetime64[us] [point]
    time: NDArray[np.datetime64]
    #: by name: [point]
    values: Mapping[str, Values]
    #: place in ``tracks`` of the file of each point: int16 [point]; points that have none, such as of Argo: empty
    track: NDArray[np.int16]
    tracks: tuple[Track, ...] = ()
