"""Files of Argo floats as the data centres have them: all profiles of a float, and profiles one by one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid.times import EPOCH
from oceanrecon.synthetic.argo_form import ATTRIBUTES, PARAMETERS, SIZES, forms
from oceanrecon.synthetic.casts import KINDS, Casts, Characters, Reading, float_casts, read
from oceanrecon.synthetic.chance import uniform
from oceanrecon.synthetic.config import ArchiveSynthesis
from oceanrecon.synthetic.floats import Cycles, Fleet
from oceanrecon.synthetic.job import Job
from oceanrecon.synthetic.profile_file import FILL, characters, new_file, stored
from oceanrecon.synthetic.truth import Ocean

_FIRST_NUMBER = 5_900_000
_SLOTS = max(kind.levels.size for kind in KINDS)
_MODES, _DRIFTS, _POSITIONS, _DATES = 200, 201, 202, 203
#: Sensors of floats whose data were adjusted read so much too deep, dbar, and up to so much too salty.
_DEEPER, _SALTIER = 0.3, 0.05
#: Flags of positions and dates, and the part of profiles that has them; the others are good. Bad ones are wrong.
_PLACE_FLAGS = (("2", 0.04), ("8", 0.03), ("5", 0.01), ("3", 0.01), ("4", 0.01))
_DATE_FLAGS = (("2", 0.01), ("8", 0.01), ("4", 0.01))
_WRONG_DEGREES, _WRONG_DAYS = 5.0, 1.5
_UNKNOWN_LATITUDE, _UNKNOWN_LONGITUDE = -99.999, -999.999
_FIVE_MICROSECONDS = 5e-6 / 86400.0
#: Least share of good levels for each letter; no good level at all is an F.
_LETTERS = ((0.0, b"F"), (1e-9, b"E"), (0.25, b"D"), (0.5, b"C"), (0.75, b"B"), (1.0, b"A"))
_ERRORS = {"PRES": 2.4, "TEMP": 0.002, "PSAL": 0.01}


def archive_cycles(config: ArchiveSynthesis, start: dt.date, end: dt.date) -> Cycles:
    """Profiles of the archive's floats from ``start`` to ``end``, both included; none if it has no floats."""
    argo = config.argo
    if argo is None:
        return Fleet(config.seed, 0, 10, _FIRST_NUMBER, config.region).cycles(0.0, 1.0)
    fleet = Fleet(config.seed, argo.floats, argo.cycle_days, _FIRST_NUMBER, config.region)
    first, last = max(start, argo.start), min(end, argo.end)
    return fleet.cycles((first - EPOCH).days, (last - EPOCH).days + 1)


def argo_jobs(config: ArchiveSynthesis) -> list[Job]:
    """Files of all floats that have a profile in the dates.

    Raises:
        ConfigError: a fault is for a profile that a float does not have in the dates.
    """
    if config.argo is None:
        return []
    cycles = archive_cycles(config, config.argo.start, config.argo.end)
    faults = _faults(config, cycles)
    return [job for number in np.unique(cycles.number) for job in _jobs_of(config, cycles, faults, int(number))]


def _faults(config: ArchiveSynthesis, cycles: Cycles) -> dict[int, set[str]]:
    """What is wrong with which profile, by row."""
    faults: dict[int, set[str]] = {}
    for fault in config.faults:
        for number in fault.floats if fault.product == "argo" else ():
            rows = np.flatnonzero(cycles.slot == number - 1)
            for turn in fault.cycles:
                if not 1 <= turn <= rows.size:
                    raise ConfigError(
                        f"fault {fault.kind!r}: float {number} has {rows.size} profiles in these dates, not a profile "
                        f"{turn}: change `cycles` of the fault or the dates of `argo`"
                    )
                faults.setdefault(int(rows[turn - 1]), set()).add(fault.kind)
    return faults


def _jobs_of(config: ArchiveSynthesis, cycles: Cycles, faults: dict[int, set[str]], number: int) -> Iterator[Job]:
    rows = np.flatnonzero(cycles.number == number)
    own = [frozenset(faults.get(int(row), ())) for row in rows]
    # In the file of the whole float a repeated profile has its own date.
    whole = [wrong - {"repeated_cycle"} for wrong in own]
    folder = f"argo/{number}"
    yield Job(f"{folder}/{number}_prof.nc", partial(_write, config.seed, cycles.take(rows), whole, False))
    for row, wrong in zip(rows, own, strict=True):
        slot = int(cycles.slot[row])
        if slot % 3 != 1 and "repeated_cycle" not in wrong:
            continue
        one = cycles.take(np.array([row]))
        mode = "D" if _modes(one, config.seed)[0] == b"D" else "R"
        name = f"{mode}{number}_{cycles.cycle[row]:03d}{'D' if cycles.descending[row] else ''}.nc"
        yield Job(f"{folder}/profiles/{name}", partial(_write, config.seed, one, [wrong], True))


def _modes(cycles: Cycles, seed: int) -> Characters:
    """Data mode of profiles: the older ones of a float are delayed mode, the others adjusted or as they came."""
    delayed = 200.0 * uniform(cycles.number, 0, seed, _MODES)
    return np.where(cycles.cycle <= delayed, b"D", np.where(cycles.slot % 2, b"A", b"R")).astype("S1")


def _write(seed: int, cycles: Cycles, faults: list[frozenset[str]], of_one_cycle: bool, path: str) -> None:
    casts, mode, main = float_casts(cycles, seed), _modes(cycles, seed), np.full(cycles.slot.size, True)
    if of_one_cycle and cycles.slot[0] % 2 == 0 and not cycles.descending[0]:
        casts = Casts.joined([casts, float_casts(cycles, seed, near_surface=True)])
        cycles, faults = cycles.take(np.array([0, 0])), faults * 2
        # Levels near the surface stay as they came.
        mode, main = np.array([mode[0], b"R"]), np.array([True, False])
    reading = read(Ocean(seed), casts, _SLOTS)
    profiles, levels = reading.depth.shape
    stamp = f"{EPOCH + dt.timedelta(days=int(cycles.juld.max()) + 1):%Y%m%d}120000"
    attributes = {**ATTRIBUTES, "history": f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}T12:00:00Z creation"}
    sizes = {**SIZES, "N_PROF": profiles, "N_LEVELS": levels}
    same = _descriptions(cycles, casts, mode, main)
    with new_file(path, "NETCDF3_CLASSIC", sizes, forms(of_one_cycle), attributes) as file:
        for name, text in {
            "DATA_TYPE": "Argo profile", "FORMAT_VERSION": "3.1", "HANDBOOK_VERSION": "1.2",
            "REFERENCE_DATE_TIME": "19500101000000", "DATE_CREATION": stamp, "DATE_UPDATE": stamp,
        }.items():  # fmt: skip
            file[name][:] = characters([text], file[name].shape[0])[0]
        for name, texts in same.items():
            file[name][:] = characters(texts, file[name].shape[-1])
        parameters = characters(PARAMETERS, SIZES["STRING16"])
        file["STATION_PARAMETERS"][:] = np.broadcast_to(parameters, file["STATION_PARAMETERS"].shape)
        file["PARAMETER"][:] = np.broadcast_to(parameters, file["PARAMETER"].shape)
        file["CYCLE_NUMBER"][:] = cycles.cycle
        file["CONFIG_MISSION_NUMBER"][:] = np.ones(profiles, np.int32)
        file["DIRECTION"][:] = np.where(cycles.descending, b"D", b"A").astype("S1")
        file["DATA_MODE"][:] = mode
        for name, values in _places_and_dates(cycles, casts, seed, faults).items():
            file[name][:] = values
        for name, values in _levels(cycles, reading, seed, mode, main).items():
            file[name][:] = values


def _descriptions(cycles: Cycles, casts: Casts, mode: Characters, main: NDArray[np.bool_]) -> dict[str, list[str]]:
    """What the files say of floats in words."""
    words = {
        "PROJECT_NAME": "SYNTHETIC OCEAN", "PI_NAME": "SYNTHETIC OCEAN", "DATA_CENTRE": "IF", "PLATFORM_TYPE": "ARVOR",
        "FIRMWARE_VERSION": "n/a", "POSITIONING_SYSTEM": "GPS",
    }  # fmt: skip
    size = cycles.slot.size
    # Some data centres leave the scheme blank.
    primary = ["" if slot % 5 == 4 else "Primary sampling: discrete []" for slot in cycles.slot]
    shallow = "Near-surface sampling: averaged, unpumped [1 dbar average from 2.5 dbar to surface]"
    return {name: [text] * size for name, text in words.items()} | {
        "PLATFORM_NUMBER": [str(number) for number in cycles.number],
        "DC_REFERENCE": [f"{number}/{cycle}" for number, cycle in zip(cycles.number, cycles.cycle, strict=True)],
        "FLOAT_SERIAL_NO": [f"S{number}" for number in cycles.number],
        "DATA_STATE_INDICATOR": ["2C" if one == b"D" else "2B" for one in mode],
        "WMO_INST_TYPE": [KINDS[kind].wmo_type for kind in casts.kind],
        "VERTICAL_SAMPLING_SCHEME": [text if is_main else shallow for text, is_main in zip(primary, main, strict=True)],
    }


def _places_and_dates(cycles: Cycles, casts: Casts, seed: int, faults: list[frozenset[str]]) -> dict[str, NDArray[Any]]:
    # Profiles of one cycle have one place and one date: what is wrong with them follows the cycle.
    key = (cycles.number * 1000 + cycles.cycle) * 2 + cycles.descending
    place_flag = _drawn(uniform(key, 0, seed, _POSITIONS), _PLACE_FLAGS)
    date_flag = _drawn(uniform(key, 0, seed, _DATES), _DATE_FLAGS)
    toward = np.where(cycles.latitude > 0.0, -_WRONG_DEGREES, _WRONG_DEGREES)
    latitude = np.round(cycles.latitude, 3) + np.where(place_flag == b"4", toward, 0.0)
    longitude = np.round(cycles.longitude, 3)
    juld = cycles.juld - np.where(date_flag == b"4", _WRONG_DAYS, 0.0)
    for row, wrong in enumerate(faults):
        if "bad_positions" in wrong:
            latitude[row], longitude[row], place_flag[row] = _UNKNOWN_LATITUDE, _UNKNOWN_LONGITUDE, b"9"
        if "no_position" in wrong:
            latitude[row], longitude[row], place_flag[row] = FILL, FILL, b"9"
        if "repeated_cycle" in wrong:
            juld[row] += _FIVE_MICROSECONDS
    return {
        "JULD": juld,
        "JULD_QC": date_flag,
        "JULD_LOCATION": juld + 0.01,
        "LATITUDE": latitude,
        "LONGITUDE": longitude,
        "POSITION_QC": place_flag,
    }


def _drawn(chance: NDArray[np.float64], flags: tuple[tuple[str, float], ...]) -> Characters:
    drawn = np.full(chance.shape, b"1", "S1")
    low = 0.0
    for character, part in flags:
        drawn[(chance >= low) & (chance < low + part)] = character.encode()
        low += part
    return drawn


def _levels(
    cycles: Cycles, reading: Reading, seed: int, mode: Characters, main: NDArray[np.bool_]
) -> dict[str, NDArray[Any]]:
    """All variables of the levels: as they came, and adjusted where the data mode says so."""
    adjusted, delayed = (mode != b"R")[:, None], (mode == b"D")[:, None]
    drift = _SALTIER * uniform(cycles.number, 0, seed, _DRIFTS)[:, None]
    raw: dict[str, Any] = {"PRES": _DEEPER, "TEMP": 0.0, "PSAL": drift}
    values = {
        "PRES": np.round(reading.pressure, 1),
        "TEMP": np.round(reading.temperature, 3),
        "PSAL": np.round(reading.salinity, 3),
    }
    flags = {
        "PRES": reading.depth_flag,
        "TEMP": _milder(reading.temperature_flag),
        "PSAL": np.where(~main[:, None] & (reading.salinity_flag == b"1"), b"3", _milder(reading.salinity_flag)),
    }
    found: dict[str, NDArray[Any]] = {}
    for name in PARAMETERS:
        flag = flags[name]
        came = np.where(adjusted, values[name] + raw[name], values[name])
        # What delayed mode finds bad has no adjusted value.
        kept = adjusted & ~(delayed & (flag == b"4"))
        found[name], found[f"{name}_QC"] = stored(came), flag
        found[f"{name}_ADJUSTED"] = stored(np.where(kept, values[name], np.nan))
        found[f"{name}_ADJUSTED_QC"] = np.where(adjusted, flag, b" ").astype("S1")
        error = np.where(delayed & kept & np.isfinite(came), _ERRORS[name], np.nan)
        found[f"{name}_ADJUSTED_ERROR"] = stored(error)
        found[f"PROFILE_{name}_QC"] = letters(flag)
    return found


def _milder(flag: Characters) -> Characters:
    """Bad levels, every other one flagged as perhaps correctable."""
    every_other = np.arange(flag.shape[1]) % 2 == 1
    return np.where((flag == b"4") & every_other, b"3", flag).astype("S1")


def letters(flags: Characters) -> Characters:
    """Argo's letter for the share of good levels (flags 1, 2, 5, 8; missing ones do not count): [profile].

    Args:
        flags: of the levels, [profile, slot].
    """
    counted = ((flags != b" ") & (flags != b"9")).sum(axis=1)
    good = np.isin(flags, [b"1", b"2", b"5", b"8"]).sum(axis=1)
    share = good / np.maximum(counted, 1)
    found = np.full(share.shape, b" ", "S1")
    for least, letter in _LETTERS:
        found[(counted > 0) & (share >= least)] = letter
    return found
