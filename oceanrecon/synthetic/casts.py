"""Casts: what instruments read of the ocean at a place and a time, with their errors, gaps and quality flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import gsw
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from oceanrecon.synthetic.chance import uniform
from oceanrecon.synthetic.floats import Cycles
from oceanrecon.synthetic.truth import Ocean, sea_floor_at

Characters = NDArray[np.bytes_]


@dataclass(frozen=True)
class Kind:
    """A kind of instrument: where in the water it reads, how well, and what archives call it."""

    project: str
    #: WMO code table 1770
    wmo_type: str
    data_centre: str
    #: where it reads: dbar, or m with ``in_metres``
    levels: NDArray[np.float64]
    temperature_error: float
    #: nothing where it does not measure salinity
    salinity_error: float | None
    in_metres: bool = False


def _joined(*ranges: tuple[float, float, float]) -> NDArray[np.float64]:
    return np.concatenate([np.arange(*limits, dtype=np.float64) for limits in ranges])


_FLOAT_ERRORS = (0.002, 0.01)
FLOAT, FINER_FLOAT, FINEST_FLOAT, NEAR_SURFACE, SHIP, XBT, MOORING = range(7)
KINDS = (
    Kind("ARGO", "846", "IF", _joined((5, 200, 10), (200, 1000, 25), (1000, 2000, 50)), *_FLOAT_ERRORS),
    Kind("ARGO", "844", "IF", _joined((4, 100, 4), (100, 480, 10), (480, 2000, 40)), *_FLOAT_ERRORS),
    Kind("ARGO", "838", "IF", _joined((3, 100, 1), (100, 700, 3), (700, 2000, 13)), *_FLOAT_ERRORS),
    Kind("ARGO", "844", "IF", _joined((0.5, 3, 0.5)), *_FLOAT_ERRORS),
    Kind("WOD05", "830", "NO", _joined((3, 300, 3), (300, 1500, 12), (1500, 5500, 40)), 0.002, 0.003),
    Kind("GTSPP", "042", "ME", _joined((2, 760, 5)), 0.05, None, in_metres=True),
    Kind("GTSPP", "820", "ME", np.array([1.0, 5, 10, 20, 40, 60, 80, 100, 120, 140, 180, 300, 500]), 0.01, 0.02,
         in_metres=True),
)  # fmt: skip

#: A profile in so many has levels that are not flagged as good; of its levels, these parts have these flags.
_DOUBTED_PROFILES = 0.16
_DOUBTED_LEVELS = (("2", 0.10), ("0", 0.03), ("3", 0.01), ("5", 0.01), ("6", 0.01), ("7", 0.01), ("8", 0.01),
                   ("9", 0.01))  # fmt: skip
#: In those profiles: parts of levels whose value is a spike, and whose depth is wrong. Both are flagged as bad.
_SPIKES, _WRONG_DEPTHS = 0.03, 0.01
_DEPTH_ERROR = 150.0
#: Of floats' profiles, one in forty each has bad salinity from the deepest level up, in this part of its levels.
_FAILURES = {5: 0.4, 15: 0.65, 25: 0.9, 35: 1.0}
_SALINITY_ERROR = 0.8
_JITTER = 0.2
# Purposes of chance: each of a variable's takes two.
_DEPTHS, _TEMPERATURES, _SALINITIES, _JITTERS, _DOUBTS, _NOISES = 100, 110, 120, 130, 131, 140


@dataclass(frozen=True, eq=False)
class Casts:
    """Profiles to take; each array is [profile].

    ``key`` decides all chance of a profile, so that the same profile in two archives has the same errors; ``kind`` is
    a row of ``KINDS``; ``juld``: days since 1950-01-01; ``limit``: deepest pressure, dbar; ``failed``: part of the
    levels, from the deepest up, whose salinity is bad.
    """

    key: NDArray[np.int64]
    kind: NDArray[np.int64]
    juld: NDArray[np.float64]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    limit: NDArray[np.float64]
    failed: NDArray[np.float64]

    def take(self, rows: NDArray[np.generic] | slice) -> Casts:
        """Some of the profiles: a mask, row numbers or a range of rows."""
        return Casts(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def joined(parts: Sequence[Casts]) -> Casts:
        """One table of several."""
        return Casts(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Casts)))


@dataclass(frozen=True, eq=False)
class Reading:
    """What was read: arrays are [profile, slot], not a number where there is no level or no value.

    ``pressure`` in dbar and ``depth`` in m as they were recorded; ``temperature``: in situ, degC; ``potential``: degC
    at 0 dbar; ``salinity``: practical. Flags are characters of the Argo scale, blank where there is no level.
    """

    pressure: NDArray[np.float64]
    depth: NDArray[np.float64]
    temperature: NDArray[np.float64]
    potential: NDArray[np.float64]
    salinity: NDArray[np.float64]
    depth_flag: Characters
    temperature_flag: Characters
    salinity_flag: Characters


def float_casts(cycles: Cycles, seed: int, near_surface: bool = False) -> Casts:
    """Casts of floats: of their main profiles, or of the few levels that some read close to the surface."""
    chance = uniform(cycles.number, 0, seed, _JITTERS)
    kind = np.select([chance < 0.5, chance < 0.8], [FLOAT, FINER_FLOAT], FINEST_FLOAT)
    limit = np.where(uniform(cycles.number, 1, seed, _JITTERS) < 0.2, 1000.0, 2000.0)
    failed = np.zeros(cycles.slot.size)
    for turn, part in _FAILURES.items():
        failed[(cycles.number // 10 + cycles.cycle) % 40 == turn] = part
    part_of_cycle = np.where(cycles.descending, 1, 2 if near_surface else 0)
    key = (cycles.number * 1000 + cycles.cycle) * 4 + part_of_cycle
    if near_surface:
        kind, failed = np.full_like(kind, NEAR_SURFACE), np.zeros_like(failed)
    return Casts(key, kind, cycles.juld, cycles.latitude, cycles.longitude, limit, failed)


def read(ocean: Ocean, casts: Casts, slots: int) -> Reading:
    """Take the profiles: the ocean at noon of their days, down to the sea floor, in at most ``slots`` levels.

    Instruments with more levels are thinned evenly.
    """
    pressure, depth = _levels(casts, ocean.seed, slots)
    potential, salinity = (
        values.astype(np.float64)
        for values in ocean.profiles(casts.latitude, casts.longitude, np.floor(casts.juld) + 0.5, depth)
    )
    there = np.isfinite(depth)
    temperature = np.full(depth.shape, np.nan)
    where = [np.broadcast_to(column[:, None], depth.shape)[there] for column in (casts.longitude, casts.latitude)]
    absolute = gsw.SA_from_SP(salinity[there], pressure[there], *where)
    # In situ is what water that is this warm at 0 dbar becomes when it is moved to its pressure.
    temperature[there] = gsw.pt_from_t(absolute, potential[there], 0.0, pressure[there])

    key, level = casts.key[:, None], np.arange(depth.shape[1])[None, :]
    error = np.array([[kind.temperature_error, kind.salinity_error or np.nan] for kind in KINDS])[casts.kind]
    noise = [_normal(key, level, ocean.seed, _NOISES + axis) * error[:, axis, None] for axis in (0, 1)]
    salinity += noise[1]
    doubted = uniform(key, 0, ocean.seed, _DOUBTS) < _DOUBTED_PROFILES
    wrong = doubted & (uniform(key, level, ocean.seed, _DEPTHS) < _WRONG_DEPTHS)
    depth_flag = np.where(wrong, b"4", b"1").astype("S1")
    warmer, temperature_flag = _doubts(key, level, ocean.seed, _TEMPERATURES, doubted, 3.0)
    saltier, salinity_flag = _doubts(key, level, ocean.seed, _SALINITIES, doubted, 0.5)
    count = there.sum(axis=1)[:, None]
    failed = there & (level >= np.round(count * (1.0 - casts.failed[:, None])))
    salinity += np.where(failed, _SALINITY_ERROR, saltier)
    salinity_flag[failed] = b"4"
    for values in (temperature, potential):
        values += noise[0] + warmer
        values[temperature_flag == b"9"] = np.nan
    salinity[salinity_flag == b"9"] = np.nan
    for flag in (depth_flag, temperature_flag, salinity_flag):
        flag[~there] = b" "
    salinity_flag[np.isnan(salinity) & (salinity_flag != b"9")] = b" "
    salinity_flag[np.isnan(error[:, 1])] = b" "
    shift = np.where(wrong, _DEPTH_ERROR, 0.0)
    return Reading(
        pressure + shift, depth + shift, temperature, potential, salinity, depth_flag, temperature_flag, salinity_flag
    )


def _levels(casts: Casts, seed: int, slots: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pressure (dbar) and depth (m) of levels: [profile, slot], as many slots as the profiles need."""
    table = np.full((len(KINDS), slots), np.nan)
    for row, kind in enumerate(KINDS):
        size = min(kind.levels.size, slots)
        table[row, :size] = kind.levels[np.linspace(0, kind.levels.size - 1, size).round().astype(int)]
    level = np.arange(slots)[None, :]
    jitter = _JITTER * (2.0 * uniform(casts.key[:, None], level, seed, _JITTERS + 5) - 1.0)
    base = np.round(table[casts.kind] + jitter, 1)
    latitude = np.broadcast_to(casts.latitude[:, None], base.shape)
    in_metres = np.array([kind.in_metres for kind in KINDS])[casts.kind][:, None]
    pressure, depth = base.copy(), base.copy()
    known, wanted = in_metres & np.isfinite(base), ~in_metres & np.isfinite(base)
    pressure[known] = gsw.p_from_z(-base[known], latitude[known])
    depth[wanted] = -gsw.z_from_p(base[wanted], latitude[wanted])
    floor = sea_floor_at(casts.latitude, casts.longitude)
    dry = (depth > floor[:, None]) | (base > casts.limit[:, None])
    pressure[dry], depth[dry] = np.nan, np.nan
    used = int(np.isfinite(depth).sum(axis=1).max(initial=1))
    return pressure[:, :used], depth[:, :used]


def _doubts(
    key: NDArray[np.int64], level: NDArray[np.int64], seed: int, purpose: int, doubted: NDArray[np.bool_], least: float
) -> tuple[NDArray[np.float64], Characters]:
    """Errors to add (none, or spikes of ``least`` to three times as much) and flags: [profile, slot] each."""
    chance = uniform(key, level, seed, purpose)
    flag = np.full(chance.shape, b"1", "S1")
    size = uniform(key, level, seed, purpose + 1)
    spike = doubted & (chance < _SPIKES)
    flag[spike] = b"4"
    low = _SPIKES
    for character, part in _DOUBTED_LEVELS:
        flag[doubted & (chance >= low) & (chance < low + part)] = character.encode()
        low += part
    sign = np.where(chance < 0.5 * _SPIKES, -1.0, 1.0)
    return np.where(spike, sign * least * (1.0 + 2.0 * size), 0.0), flag


def _normal(key: NDArray[np.int64], level: NDArray[np.int64], seed: int, purpose: int) -> NDArray[np.float64]:
    """Normal deviates: [profile, slot]."""
    return np.asarray(ndtri(np.maximum(uniform(key, level, seed, purpose), 1e-12)))
