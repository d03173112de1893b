"""Floats: where and when each of them surfaces.

A path is a formula of the float's life, not a walk from a beginning: any cycle can be had without the ones before it,
and asking for other dates moves no float.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.synthetic.chance import uniform
from oceanrecon.synthetic.coast import coast
from oceanrecon.synthetic.truth import sea_floor_at

#: West, south, east, north, degrees.
Region = tuple[float, float, float, float]

#: Nothing is measured poleward of this latitude, degrees.
_POLAR = 75.0
_KM_PER_DEGREE = 111.2
#: Floats are launched over this depth and are never in water shallower than the other, m.
_LAUNCH_DEPTH, _LEAST_DEPTH = 1500.0, 300.0
#: Loops of a path: shortest and longest period in days, radius in km.
_LOOPS = ((35.0, 90.0, 25.0), (120.0, 300.0, 80.0), (500.0, 900.0, 150.0))
#: Fastest mean drift to the east and to the north, km per day.
_DRIFT = (1.0, 0.3)
#: A path that would run aground is drawn in until it does not; in the end the float stays where it was launched.
_EXTENTS = (1.0, 0.5, 0.25, 0.1, 0.0)
#: A float does this many cycles, and up to so many more.
_LEAST_CYCLES, _MORE_CYCLES = 100, 80
#: From the way down to the way up, in cycles.
_WAY_UP = 0.9
_MINUTES = 1440.0


@dataclass(frozen=True, eq=False)
class Cycles:
    """Profiles of floats; each array is [profile], in the order of float, cycle and time.

    ``slot`` is the place of the float in its fleet, ``number`` its platform number, ``cycle`` counts from 1,
    ``descending`` is whether it measured on the way down; ``juld``: days since 1950-01-01, on whole minutes;
    ``latitude`` and ``longitude`` (-180 .. 180) in degrees.
    """

    slot: NDArray[np.int64]
    number: NDArray[np.int64]
    cycle: NDArray[np.int64]
    descending: NDArray[np.bool_]
    juld: NDArray[np.float64]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]

    def take(self, rows: NDArray[np.generic]) -> Cycles:
        """Some of the profiles: a mask or row numbers."""
        return Cycles(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class Fleet:
    """Floats of one ocean: always ``count`` of them are alive, each slot's next is launched when the last one dies."""

    seed: int
    count: int
    cycle_days: int
    #: platform numbers begin here; fleets with different ones have different floats
    first_number: int
    region: Region

    def cycles(self, start: float, end: float) -> Cycles:
        """Profiles from ``start`` until before ``end``, days since 1950-01-01."""
        floats = np.arange(self.count, dtype=np.int64)
        lengths = _LEAST_CYCLES + np.floor(_MORE_CYCLES * self._chance(floats, 0, 0)).astype(np.int64)
        phases = -self._chance(floats, 0, 1) * lengths * self.cycle_days
        first = np.floor((start - phases) / self.cycle_days).astype(np.int64) - 1
        each = int((end - start) // self.cycle_days) + 4
        slot, length, phase = np.repeat(floats, each), np.repeat(lengths, each), np.repeat(phases, each)
        turn = (first[:, None] + np.arange(each)).reshape(-1)
        life, cycle = turn // length, turn % length + 1
        # Every float measures on its first way down, one in six on all of them.
        row = np.concatenate([np.arange(slot.size), np.flatnonzero((cycle == 1) | (slot % 6 == 1))])
        descending = np.arange(row.size) >= slot.size
        up = phase + self.cycle_days * turn
        minutes = 120.0 * self._chance(slot, turn, 2)
        juld = np.where(descending, up[row] - _WAY_UP * self.cycle_days, up[row])
        juld = np.round(juld * _MINUTES + minutes[row]) / _MINUTES
        order = np.lexsort((juld, cycle[row], slot[row]))
        order = order[(juld[order] >= start) & (juld[order] < end)]
        row, descending, juld = row[order], descending[order], juld[order]
        # A float is launched one cycle before it first comes up.
        age = juld - (phase + self.cycle_days * (life * length - 1))[row]
        latitude, longitude = self._places(slot[row], life[row], length[row], age)
        number = self.first_number + 10 * slot[row] + life[row] % 10
        return Cycles(slot[row], number, cycle[row], descending, juld, latitude, longitude)

    def _places(
        self, slot: NDArray[np.int64], life: NDArray[np.int64], length: NDArray[np.int64], age: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latitude and longitude of floats at an age (days): [profile] each; ``length``: cycles of their lives."""
        pairs, first, who = np.unique(np.stack([slot, life]), axis=1, return_index=True, return_inverse=True)
        lives = pairs[0], pairs[1] + 10_000
        north, east = place_in_water(*lives, self.seed, self.first_number, self.region, _LAUNCH_DEPTH)
        # The whole life must be in water, or the path would depend on what was asked for.
        points = length[first] + 1
        owner = np.repeat(np.arange(points.size), points)
        days = self.cycle_days * (np.arange(owner.size) - np.repeat(np.cumsum(points) - points, points)).astype(float)
        extent, trying = np.full(points.size, _EXTENTS[0]), np.full(points.size, True)
        for smaller in _EXTENTS[1:]:
            tried = trying[owner]
            aground = _aground(*self._moved(owner[tried], lives, north, east, extent, days[tried]))
            trying = np.zeros(points.size, np.bool_)
            trying[owner[tried][aground]] = True
            if not trying.any():
                break
            extent[trying] = smaller
        return self._moved(who.reshape(-1), lives, north, east, extent, age)

    def _moved(
        self,
        who: NDArray[np.int64],
        lives: tuple[NDArray[np.int64], NDArray[np.int64]],
        north: NDArray[np.float64],
        east: NDArray[np.float64],
        extent: NDArray[np.float64],
        days: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latitude and longitude ``days`` after the launch: [point] each; ``who`` is the life of each point."""
        drift = [speed * (2.0 * self._chance(*lives, 3 + axis) - 1.0) for axis, speed in enumerate(_DRIFT)]
        x, y = drift[0][who] * days, drift[1][who] * days
        for loop, (short, long, radius) in enumerate(_LOOPS):
            period = short + (long - short) * self._chance(*lives, 5 + 2 * loop)
            begin = 2.0 * np.pi * self._chance(*lives, 6 + 2 * loop)
            angle = begin[who] + 2.0 * np.pi * days / period[who]
            x += radius * (np.cos(angle) - np.cos(begin)[who])
            y += radius * (np.sin(angle) - np.sin(begin)[who])
        latitude = north[who] + extent[who] * y / _KM_PER_DEGREE
        narrow = np.cos(np.deg2rad(np.clip(latitude, -85.0, 85.0)))
        longitude = wrapped(east[who] + extent[who] * x / (_KM_PER_DEGREE * narrow))
        return latitude, longitude

    def _chance(self, slot: NDArray[np.int64], number: NDArray[np.int64] | int, purpose: int) -> NDArray[np.float64]:
        return uniform(slot, number, self.seed, self.first_number + purpose)


def wrapped(longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes from -180 until before 180 degrees."""
    return np.asarray(np.mod(longitude + 180.0, 360.0) - 180.0)


def place_in_water(
    slot: NDArray[np.int64],
    number: NDArray[np.int64] | int,
    seed: int,
    purpose: int,
    region: Region,
    least_depth: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places in water of at least some depth (m), spread evenly over a region: latitude and longitude, [slot] each.

    Raises:
        ConfigError: no such water was found in the region.
    """
    west, south, east, north = region
    low, high = np.sin(np.deg2rad(np.clip([south, north], -_POLAR, _POLAR)))
    number = np.broadcast_to(np.asarray(number, np.int64), slot.shape)
    latitude, longitude = np.empty(slot.size), np.empty(slot.size)
    todo = np.arange(slot.size)
    for attempt in range(500):
        draw = [uniform(slot[todo], number[todo], seed, purpose * 1000 + 2 * attempt + axis) for axis in (0, 1)]
        latitude[todo] = np.rad2deg(np.arcsin(low + (high - low) * draw[0]))
        longitude[todo] = wrapped(west + (east - west) * draw[1])
        here = latitude[todo], longitude[todo]
        todo = todo[coast().is_land(*here) | (sea_floor_at(*here) < least_depth)]
        if todo.size == 0:
            return latitude, longitude
    raise ConfigError(
        f"region {list(region)}: no water deeper than {least_depth:g} m was found between {_POLAR:g} south and "
        f"{_POLAR:g} north for profiles: widen the region or leave `en4` and `argo` out"
    )


def _aground(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.bool_]:
    found = (np.abs(latitude) > _POLAR + 5.0) | coast().is_land(latitude, longitude)
    return np.asarray(found | (sea_floor_at(latitude, longitude) < _LEAST_DEPTH))
