"""Eddies: born, drifting, growing and fading, anywhere on the sphere and at any time, from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from oceanrecon.synthetic import climate
from oceanrecon.synthetic.chance import uniform
from oceanrecon.transform.compiled import compiled

COUNT = 9000
_EARTH_KM = 6371.0


@dataclass(frozen=True)
class Eddies:
    """The eddies that live at one time: each array is [eddy].

    ``latitude`` and ``longitude`` in degrees, ``reach`` (where the eddy ends) in radian, ``amplitude``: how far it
    pushes the thermocline down, m, negative in cold ones.
    """

    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    reach: NDArray[np.float64]
    amplitude: NDArray[np.float64]

    def field(self, latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.float32]:
        """Displacement of the thermocline on regular axes (either direction, any longitude range), m: [lat, lon]."""
        out = np.zeros((latitude.size, longitude.size), np.float32)
        _stamp(out, latitude, longitude, self.latitude, self.longitude, self.reach, self.amplitude)
        return _bounded(out)

    def at(self, latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.float32]:
        """Displacement of the thermocline at places, m: [place]."""
        out = np.zeros(latitude.size, np.float32)
        _gather(out, latitude, longitude, self.latitude, self.longitude, self.reach, self.amplitude)
        return _bounded(out)


def _bounded(displacement: NDArray[np.float32]) -> NDArray[np.float32]:
    """Eddies on top of each other push no further than the deepest single one, m."""
    return np.asarray(110.0 * np.tanh(displacement / np.float32(110.0)), np.float32)


@lru_cache(maxsize=32)
def eddies_at(day: float, seed: int) -> Eddies:
    """The eddies at ``day`` (days since 1950-01-01).

    Every slot holds one eddy after another; a life begins and ends with no amplitude, so that nothing jumps.
    """
    slot = np.arange(COUNT, dtype=np.uint64)
    life = 50.0 + 130.0 * uniform(slot, 0, seed, 1)
    age_in_lives = day / life + uniform(slot, 0, seed, 2)
    generation = np.floor(age_in_lives)
    part = age_in_lives - generation
    number = (generation.astype(np.int64) + 10_000).astype(np.uint64)

    latitude = np.rad2deg(np.arcsin(2.0 * uniform(slot, number, seed, 3) - 1.0))
    longitude = 360.0 * uniform(slot, number, seed, 4) - 180.0
    tropical = np.exp(-((latitude / 18.0) ** 2))
    reach_km = (140.0 + 130.0 * uniform(slot, number, seed, 5)) * (1.0 + 0.8 * tropical)
    sign = np.where(uniform(slot, number, seed, 6) < 0.5, -1.0, 1.0)
    strength = 0.5 + 1.2 * uniform(slot, number, seed, 7)
    amplitude = sign * strength * _energy(latitude, longitude) * np.sin(np.pi * part) ** 2

    days_old = part * life
    southern_current = np.exp(-(((latitude + 51.0) / 5.0) ** 2))
    eastward_km = (-1.2 - 6.0 * tropical + 6.0 * southern_current) * days_old
    northward_km = sign * 0.25 * np.tanh(latitude / 10.0) * -days_old
    new_latitude = np.clip(latitude + np.rad2deg(northward_km / _EARTH_KM), -89.5, 89.5)
    turn = np.rad2deg(eastward_km / _EARTH_KM) / np.maximum(np.cos(np.deg2rad(latitude)), 0.15)
    new_longitude = np.mod(longitude + turn + 180.0, 360.0) - 180.0
    return Eddies(new_latitude, new_longitude, reach_km / _EARTH_KM, amplitude)


def _energy(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Usual displacement by an eddy that is born here, m: [eddy]."""
    table = climate.zonal_table()[climate.ENERGY]
    energy = np.interp(latitude, np.linspace(-90.0, 90.0, table.size), table)
    phi, lam = np.deg2rad(latitude), np.deg2rad(longitude)
    for sine, cosine, centre, reach, *effects in climate.regional_table():
        near = 1.0 - sine * np.sin(phi) - cosine * np.cos(phi) * np.cos(lam - centre)
        energy += effects[climate.LIVELIER] * np.maximum(1.0 - near / reach, 0.0) ** 2
    return np.asarray(energy, np.float64)


@compiled
def _stamp(
    out: NDArray[np.float32],
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
    eddy_latitude: NDArray[np.float64],
    eddy_longitude: NDArray[np.float64],
    reach: NDArray[np.float64],
    amplitude: NDArray[np.float64],
) -> None:
    rows, columns = out.shape
    lon_step = (longitude[-1] - longitude[0]) / max(columns - 1, 1) if columns > 1 else 1.0
    degree = np.pi / 180.0
    cos_lon, sin_lon = np.cos(longitude * degree), np.sin(longitude * degree)
    for e in range(reach.size):
        span = reach[e] / degree
        sin0, cos0 = np.sin(eddy_latitude[e] * degree), np.cos(eddy_latitude[e] * degree)
        cos_lon0, sin_lon0 = np.cos(eddy_longitude[e] * degree), np.sin(eddy_longitude[e] * degree)
        cut = 1.0 - np.cos(reach[e])
        # Half the width in longitude of a cap; a cap with the pole in it has every longitude.
        half = 360.0
        if np.sin(reach[e]) < cos0:
            half = np.arcsin(np.sin(reach[e]) / cos0) / degree
        first_turn = np.ceil((longitude[0] - half - eddy_longitude[e]) / 360.0)
        last_turn = np.floor((longitude[-1] + half - eddy_longitude[e]) / 360.0)
        if half >= 180.0:
            last_turn = first_turn
        for row in range(rows):
            if abs(latitude[row] - eddy_latitude[e]) > span:
                continue
            sin_row, cos_row = np.sin(latitude[row] * degree), np.cos(latitude[row] * degree)
            turn = first_turn
            while turn <= last_turn:
                low, high = 0, columns
                if half < 180.0:
                    middle = eddy_longitude[e] + 360.0 * turn
                    low = max(0, int(np.ceil((middle - half - longitude[0]) / lon_step)))
                    high = min(columns, int(np.floor((middle + half - longitude[0]) / lon_step)) + 1)
                for column in range(low, high):
                    cosine = cos_lon[column] * cos_lon0 + sin_lon[column] * sin_lon0
                    part = (1.0 - sin0 * sin_row - cos0 * cos_row * cosine) / cut
                    if part < 1.0:
                        out[row, column] += amplitude[e] * (1.0 - part) ** 3
                turn += 1.0


@compiled
def _gather(
    out: NDArray[np.float32],
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
    eddy_latitude: NDArray[np.float64],
    eddy_longitude: NDArray[np.float64],
    reach: NDArray[np.float64],
    amplitude: NDArray[np.float64],
) -> None:
    degree = np.pi / 180.0
    span, cut = reach / degree, 1.0 - np.cos(reach)
    sin0, cos0 = np.sin(eddy_latitude * degree), np.cos(eddy_latitude * degree)
    for place in range(out.size):
        sin_here, cos_here = np.sin(latitude[place] * degree), np.cos(latitude[place] * degree)
        for e in range(reach.size):
            if abs(latitude[place] - eddy_latitude[e]) > span[e]:
                continue
            cosine = np.cos((longitude[place] - eddy_longitude[e]) * degree)
            part = (1.0 - sin0[e] * sin_here - cos0[e] * cos_here * cosine) / cut[e]
            if part < 1.0:
                out[place] += amplitude[e] * (1.0 - part) ** 3
