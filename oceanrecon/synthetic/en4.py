"""Monthly files of EN4: profiles of floats, ships, moorings and falling probes on depths, with their own flags."""

from __future__ import annotations

import calendar
import datetime as dt
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oceanrecon.grid.times import EPOCH
from oceanrecon.synthetic.argo import archive_cycles
from oceanrecon.synthetic.casts import KINDS, MOORING, SHIP, XBT, Casts, float_casts, read
from oceanrecon.synthetic.chance import uniform
from oceanrecon.synthetic.config import ArchiveSynthesis, En4Synthesis
from oceanrecon.synthetic.floats import Cycles, Fleet, place_in_water
from oceanrecon.synthetic.job import Job
from oceanrecon.synthetic.profile_file import FILL, Form, characters, new_file, stored
from oceanrecon.synthetic.truth import Ocean

_FIRST_NUMBER = 1_900_000
#: Parts of a day's profiles that are of floats outside the archive, and of moorings; ships and probes share the rest.
_FLOATS, _MOORINGS, _SHIPS = 0.45, 0.15, 0.4
_SHALLOWEST, _MOORED_DEPTH = 40.0, 500.0
#: What keys begin at; those of floats are smaller.
_MOORING_KEY, _SHIP_KEY = 1 << 41, 1 << 42
_BATCH = 2000
_MINUTES = 1440.0
# Purposes of chance.
_SHARE, _CLOCKS, _WHERE, _HOURS, _WHICH, _REJECTS, _BLANKS = 300, 301, 302, 304, 305, 310, 320
#: Parts of the profiles whose date, place, temperature and salinity are rejected as a whole, and wrong.
_REJECTED = {"JULD": 0.005, "POSITION": 0.007, "POTM": 0.01, "PSAL": 0.01}
_WRONG_DEGREES, _WARMER, _SALTIER = 5.0, 1.5, 0.8
#: Part of the levels that nobody flagged.
_UNFLAGGED = 0.002
_BAD_POSITIONS = ((169.0, 25.0), (-999.99, -999.99), (FILL, FILL))
_BAD_DATES = (FILL, -1.0e5, 1.0e6)
_BAD_FLAGS = (b"x", b":", b"A")

SIZES = {"STRING2": 2, "STRING4": 4, "STRING8": 8, "STRING64": 64, "DATE_TIME": 14}
ATTRIBUTES = {
    "title": "EN4 quality controlled ocean data: profiles",
    "institution": "Met Office Hadley Centre",
    "source": "profiles of temperature and salinity",
}
_DAYS = {
    "long_name": "Date of the profile",
    "units": "days since 1950-01-01 00:00:00 utc",
    "conventions": "Relative julian days with decimal part (as parts of day)",
}
_QUALITY = {"conventions": "1: accepted, 4: rejected", "long_name": "Quality"}
_BITS = "1: temperature rejected, 2: salinity rejected"
_LEVELS = ("N_PROF", "N_LEVELS")
FORMS = (
    Form("REFERENCE_DATE_TIME", "S1", ("DATE_TIME",), {"long_name": "Date of reference for Julian days"}),
    Form("PLATFORM_NUMBER", "S1", ("N_PROF", "STRING8"), {"long_name": "Platform identifier"}),
    Form("PROJECT_NAME", "S1", ("N_PROF", "STRING64"), {"long_name": "Where the profile is from"}),
    Form("DIRECTION", "S1", ("N_PROF",), {"long_name": "A: ascending, D: descending"}),
    Form("DATA_CENTRE", "S1", ("N_PROF", "STRING2"), {"long_name": "Data centre"}),
    Form("DATA_MODE", "S1", ("N_PROF",), {"long_name": "R: real time, D: delayed mode"}),
    Form("WMO_INST_TYPE", "S1", ("N_PROF", "STRING4"), {"long_name": "Coded instrument type"}),
    Form("JULD", "f8", ("N_PROF",), _DAYS),
    Form("JULD_QC", "S1", ("N_PROF",), _QUALITY),
    Form("LATITUDE", "f8", ("N_PROF",), {"units": "degree_north", "valid_min": -90.0, "valid_max": 90.0}),
    Form("LONGITUDE", "f8", ("N_PROF",), {"units": "degree_east", "valid_min": -180.0, "valid_max": 180.0}),
    Form("POSITION_QC", "S1", ("N_PROF",), _QUALITY),
    Form("PROFILE_DEPH_QC", "S1", ("N_PROF",), _QUALITY),
    Form("PROFILE_POTM_QC", "S1", ("N_PROF",), _QUALITY),
    Form("PROFILE_PSAL_QC", "S1", ("N_PROF",), _QUALITY),
    Form("QC_FLAGS_PROFILES", "i4", ("N_PROF",), {"long_name": "Quality decisions, bits", "conventions": _BITS}),
    Form("DEPH_CORRECTED", "f4", _LEVELS, {"long_name": "Depth", "units": "metre"}),
    Form("DEPH_CORRECTED_QC", "S1", _LEVELS, _QUALITY),
    Form("TEMP", "f4", _LEVELS, {"long_name": "Temperature in situ", "units": "degree_Celsius"}),
    Form("POTM_CORRECTED", "f4", _LEVELS, {"long_name": "Potential temperature", "units": "degree_Celsius"}),
    Form("POTM_CORRECTED_QC", "S1", _LEVELS, _QUALITY),
    Form("PSAL_CORRECTED", "f4", _LEVELS, {"long_name": "Practical salinity", "units": "psu"}),
    Form("PSAL_CORRECTED_QC", "S1", _LEVELS, _QUALITY),
    Form("QC_FLAGS_LEVELS", "i4", _LEVELS, {"long_name": "Quality decisions, bits", "conventions": _BITS}),
)


@dataclass(frozen=True, eq=False)
class _Month:
    """What a file holds: the casts of a month in the order of time, and each one's platform and error of the clock."""

    casts: Casts
    platforms: list[str]
    #: days
    late: NDArray[np.float64]

    def take(self, rows: slice) -> _Month:
        """A range of rows."""
        return _Month(self.casts.take(rows), self.platforms[rows], self.late[rows])


def en4_jobs(config: ArchiveSynthesis) -> list[Job]:
    """One file per month that the dates are in."""
    settings = config.en4
    if settings is None:
        return []
    found = []
    for month in settings.months:
        wrong = frozenset(
            fault.kind
            for fault in config.faults
            if fault.product == "en4" and month in [date.replace(day=1) for date in fault.dates]
        )
        if "missing" not in wrong:
            path = f"en4/EN.4.2.2.f.profiles.g10.{month:%Y%m}.nc"
            found.append(Job(path, partial(_write, config, settings, month, wrong), truncated="truncated" in wrong))
    return found


def _month(config: ArchiveSynthesis, settings: En4Synthesis, month: dt.date) -> _Month:
    """All profiles of a month; each day's depend on the day alone, and on which floats the archive has."""
    last = month.replace(day=calendar.monthrange(month.year, month.month)[1])
    first, last = max(month, settings.start), min(last, settings.end)
    days = np.arange((first - EPOCH).days, (last - EPOCH).days + 1)
    copied = archive_cycles(config, first, last)
    key = copied.number * 1000 + copied.cycle
    rows = ~copied.descending & (uniform(key, 0, config.seed, _SHARE) < settings.argo_share)
    copied, key = copied.take(rows), key[rows]
    fleet = Fleet(config.seed, round(_FLOATS * 10 * settings.profiles_per_day), 10, _FIRST_NUMBER, config.region)
    others = fleet.cycles(float(days[0]), float(days[-1] + 1))
    others = others.take(~others.descending)
    taken = np.bincount((np.concatenate([copied.juld, others.juld]) - days[0]).astype(int), minlength=days.size)
    moorings, mooring_names = _of_moorings(config, settings, days)
    ships, ship_names = _of_ships(config, days, settings.profiles_per_day - moorings.key.size // days.size - taken)
    parts = [float_casts(copied, config.seed), float_casts(others, config.seed), moorings, ships]
    casts, names = Casts.joined(parts), _names(copied) + _names(others) + mooring_names + ship_names
    # Clocks of the two archives differ by up to two minutes, and never in the day.
    late = np.zeros(casts.key.size)
    late[: key.size] = (np.round(4.0 * uniform(key, 0, config.seed, _CLOCKS)) - 2.0) / _MINUTES
    late[np.floor(casts.juld + late) != np.floor(casts.juld)] = 0.0
    order = np.argsort(casts.juld, kind="stable")
    return _Month(casts.take(order), [names[row] for row in order], late[order])


def _names(cycles: Cycles) -> list[str]:
    """Numbers of floats; what came through the global telecommunication system has a letter before it."""
    return [
        f"Q{number}" if slot % 7 == 6 else str(number) for slot, number in zip(cycles.slot, cycles.number, strict=True)
    ]


def _of_moorings(config: ArchiveSynthesis, settings: En4Synthesis, days: NDArray[np.int64]) -> tuple[Casts, list[str]]:
    """Moorings report once a day, at noon."""
    size = round(_MOORINGS * settings.profiles_per_day)
    latitude, longitude = place_in_water(np.arange(size), 0, config.seed, _WHERE, config.region, _MOORED_DEPTH)
    day, mooring = np.repeat(days, size), np.tile(np.arange(size), days.size)
    casts = _casts(_MOORING_KEY + day * 100_000 + mooring, MOORING, day + 0.5, latitude[mooring], longitude[mooring])
    return casts, [f"{51_000 + number}" for number in mooring]


def _of_ships(config: ArchiveSynthesis, days: NDArray[np.int64], free: NDArray[np.int64]) -> tuple[Casts, list[str]]:
    """Ships lower an instrument or drop a probe, for what is ``free`` of each day's profiles: [day]."""
    free = np.maximum(free, 0)
    day, index = np.repeat(days, free), np.arange(free.sum()) - np.repeat(np.cumsum(free) - free, free)
    kind = np.where(uniform(day, index, config.seed, _WHICH) < _SHIPS, SHIP, XBT)
    juld = day + np.floor(_MINUTES * uniform(day, index, config.seed, _HOURS)) / _MINUTES
    place = place_in_water(day, index, config.seed, _WHERE + 1, config.region, _SHALLOWEST)
    return _casts(_SHIP_KEY + day * 100_000 + index, kind, juld, *place), [f"SHIP{row % 900:03d}" for row in index]


def _casts(
    key: NDArray[np.int64], kind: ArrayLike, juld: NDArray[Any], latitude: NDArray[Any], longitude: NDArray[Any]
) -> Casts:
    """Casts of instruments that go as deep as the water and do not fail."""
    kinds = np.broadcast_to(np.asarray(kind, np.int64), key.shape)
    return Casts(key, kinds, juld, latitude, longitude, np.full(key.size, np.inf), np.zeros(key.size))


def _write(config: ArchiveSynthesis, settings: En4Synthesis, month: dt.date, faults: frozenset[str], path: str) -> None:
    content = _month(config, settings, month)
    if "empty" in faults:
        content = content.take(slice(0))
    size = len(content.platforms)
    classic = settings.netcdf == "classic" or (settings.netcdf == "alternate" and month.month % 2 == 1)
    variables = [form for form in FORMS if not ("no_salinity" in faults and form.name.startswith("PSAL"))]
    sizes = {**SIZES, "N_PROF": size, "N_LEVELS": settings.levels}
    with new_file(path, "NETCDF3_CLASSIC" if classic else "NETCDF4", sizes, variables, ATTRIBUTES) as file:
        file["REFERENCE_DATE_TIME"][:] = characters(["19500101000000"], 14)[0]
        for first in range(0, size, _BATCH):
            rows = slice(first, min(first + _BATCH, size))
            part = content.take(rows)
            found = _headers(part, config.seed, month)
            found |= _levels(part.casts, config.seed, settings.levels, found)
            if first == 0:
                _spoil(found, faults)
            for form in variables:
                if form.name in found:
                    file[form.name][rows] = found[form.name]


def _headers(content: _Month, seed: int, month: dt.date) -> dict[str, NDArray[Any]]:
    casts, platforms = content.casts, content.platforms
    kinds = [KINDS[kind] for kind in casts.kind]
    rejected = {
        name: uniform(casts.key, index, seed, _REJECTS) < part for index, (name, part) in enumerate(_REJECTED.items())
    }
    flags = {name: np.where(wrong, b"4", b"1").astype("S1") for name, wrong in rejected.items()}
    toward = np.where(casts.latitude > 0.0, -_WRONG_DEGREES, _WRONG_DEGREES)
    # A wrong date is another day of the month: files hold no other months.
    length = calendar.monthrange(month.year, month.month)[1]
    begin = (month - EPOCH).days
    other_day = begin + (casts.juld - begin + length / 2) % length
    flags["PSAL"][[kind.salinity_error is None for kind in kinds]] = b" "
    bits = (flags["POTM"] == b"4") + 2 * (flags["PSAL"] == b"4")
    return {
        "PLATFORM_NUMBER": characters(platforms, 8),
        "PROJECT_NAME": characters(
            ["GTSPP" if name[0] == "Q" else kind.project for name, kind in zip(platforms, kinds, strict=True)], 64
        ),
        "DIRECTION": np.full(len(kinds), b"A"),
        "DATA_CENTRE": characters([kind.data_centre for kind in kinds], 2),
        "DATA_MODE": np.where(casts.key % 3 == 0, b"R", b"D").astype("S1"),
        "WMO_INST_TYPE": characters([kind.wmo_type for kind in kinds], 4),
        "JULD": np.where(rejected["JULD"], other_day, casts.juld + content.late),
        "JULD_QC": flags["JULD"],
        "LATITUDE": np.round(casts.latitude, 4) + np.where(rejected["POSITION"], toward, 0.0),
        "LONGITUDE": np.round(casts.longitude, 4),
        "POSITION_QC": flags["POSITION"],
        "PROFILE_DEPH_QC": np.full(len(kinds), b"1"),
        "PROFILE_POTM_QC": flags["POTM"],
        "PROFILE_PSAL_QC": flags["PSAL"],
        "QC_FLAGS_PROFILES": bits.astype(np.int32),
    }


def _levels(casts: Casts, seed: int, slots: int, headers: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Variables of the levels, in all slots; no flag is where there is no level."""
    reading = read(Ocean(seed), casts, slots)
    warmer = np.where(headers["PROFILE_POTM_QC"] == b"4", _WARMER, 0.0)[:, None]
    saltier = np.where(headers["PROFILE_PSAL_QC"] == b"4", _SALTIER, 0.0)[:, None]
    values = {
        "DEPH_CORRECTED": reading.depth,
        "TEMP": np.round(reading.temperature, 3) + warmer,
        "POTM_CORRECTED": reading.potential + warmer,
        "PSAL_CORRECTED": np.round(reading.salinity, 3) + saltier,
    }
    flags = {
        "DEPH_CORRECTED": reading.depth_flag,
        "POTM_CORRECTED": reading.temperature_flag,
        "PSAL_CORRECTED": reading.salinity_flag,
    }
    used = reading.depth.shape[1]
    found: dict[str, NDArray[Any]] = {}
    for name, value in values.items():
        found[name] = np.full((casts.key.size, slots), FILL, np.float32)
        found[name][:, :used] = stored(value)
    for index, (name, flag) in enumerate(flags.items()):
        unflagged = uniform(casts.key[:, None], np.arange(used)[None], seed, _BLANKS + index) < _UNFLAGGED
        whole = np.full((casts.key.size, slots), b" ", "S1")
        whole[:, :used] = np.where(unflagged & (flag == b"1"), b" ", flag)
        found[f"{name}_QC"] = whole
    bits = (found["POTM_CORRECTED_QC"] == b"4") + 2 * (found["PSAL_CORRECTED_QC"] == b"4")
    return found | {"QC_FLAGS_LEVELS": bits.astype(np.int32)}


def _spoil(found: dict[str, NDArray[Any]], faults: frozenset[str]) -> None:
    """Put what is impossible into the first profiles of a file: places, then dates, then flags."""
    size = found["JULD"].size
    places, dates = len(_BAD_POSITIONS), len(_BAD_DATES)
    if "bad_positions" in faults:
        for row, place in zip(range(size), _BAD_POSITIONS, strict=False):
            found["LATITUDE"][row], found["LONGITUDE"][row] = place
    if "bad_dates" in faults:
        for row, date in zip(range(places, size), _BAD_DATES, strict=False):
            found["JULD"][row] = date
    if "bad_flags" in faults:
        for row, flag in zip(range(places + dates, size), _BAD_FLAGS, strict=False):
            found["POTM_CORRECTED_QC"][row, :2] = flag
            found["POSITION_QC"][row] = flag
