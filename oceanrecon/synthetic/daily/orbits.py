"""Where satellites with altimeters are at a time: circular orbits that repeat, over an Earth that turns."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DAY = 86400.0
_EARTH_KM = 6371.0
#: Orbits are counted from here.
ORIGIN = dt.datetime(2000, 1, 1)


@dataclass(frozen=True)
class Mission:
    """A satellite: ``revolutions`` in ``days``, and then the same ground track again."""

    platform: str
    #: of the orbit against the equator, degrees
    inclination: float
    revolutions: int
    days: float
    #: where it crosses the equator northwards at ``ORIGIN``, degrees east
    crossing: float

    @property
    def period(self) -> float:
        """Of a revolution, s."""
        return self.days * _DAY / self.revolutions

    def track(self, seconds: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latitude and longitude (0..360), degrees, below the satellite so many seconds after ``ORIGIN``."""
        return _degrees(self._below(seconds))

    def swath(
        self, seconds: NDArray[np.float64], offsets: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latitude and longitude (0..360), degrees, at right angles to the track: [time, offset] each.

        Args:
            seconds: after ``ORIGIN``: [time].
            offsets: from the track to its left, km: [offset].
        """
        below = self._below(seconds)
        ahead = self._below(seconds + 1.0) - self._below(seconds - 1.0)
        left = np.cross(below, ahead / np.linalg.norm(ahead, axis=1)[:, None])
        angle = offsets / _EARTH_KM
        return _degrees(below[:, None] * np.cos(angle)[:, None] + left[:, None] * np.sin(angle)[:, None])

    def _below(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Unit vectors: [time, 3]."""
        along = 2.0 * np.pi * seconds / self.period
        tilt = np.deg2rad(self.inclination)
        east = np.arctan2(np.cos(tilt) * np.sin(along), np.cos(along))
        turned = east + np.deg2rad(self.crossing) - 2.0 * np.pi * seconds / _DAY
        north = np.sin(tilt) * np.sin(along)
        flat = np.sqrt(1.0 - north**2)
        return np.stack([flat * np.cos(turned), flat * np.sin(turned), north], axis=-1)


def seconds_of(day: dt.date) -> float:
    """Of the beginning of a day, after ``ORIGIN``."""
    return (day - ORIGIN.date()).days * _DAY


def _degrees(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y, z = np.moveaxis(vectors, -1, 0)
    latitude = np.rad2deg(np.arctan2(z, np.hypot(x, y)))
    longitude = np.mod(np.rad2deg(np.arctan2(y, x)), 360.0)
    return latitude, longitude
