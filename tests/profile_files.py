"""Tiny EN4 and Argo profile files by the netCDF library, with whatever values, flags and faults a test wants.

A number stands for every profile and slot; a row of numbers for every profile; rows may have different lengths and are
filled up. A flag character stands for all, a text of them is one per profile, or per slot for every profile; a list of
texts has one per profile. ``without`` leaves variables out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import netCDF4
import numpy as np
from numpy.typing import ArrayLike, NDArray

from oceanrecon.sources.profiles import LevelReader, Levels, ProfileFile, SourceKind, read_headers

Format = Literal["NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET", "NETCDF3_64BIT_DATA", "NETCDF4", "NETCDF4_CLASSIC"]
_T = TypeVar("_T")
#: A number, one per slot, or rows of those, one row per profile.
Values = float | Sequence[float] | Sequence[Sequence[float]] | NDArray[Any]
#: A character, a character per profile (of a profile flag) or slot (of a level flag), or a text per profile.
Flags = str | Sequence[str]
Texts = str | Sequence[str]
#: Depths of a profile, metres, or pressures, dbar.
DEPTHS = (5.0, 10.0, 100.0, 300.0)
EN4_FILL = ARGO_FILL = 99999.0
PRIMARY = "Primary sampling: averaged [10 sec sampling]"
NEAR_SURFACE = "Near-surface sampling: averaged, unpumped [10 sec sampling]"


def days(when: dt.datetime) -> float:
    """Days since 1950-01-01."""
    return (when - dt.datetime(1950, 1, 1)) / dt.timedelta(days=1)


#: 2010-01-15 12:00, days since 1950-01-01.
JULD = days(dt.datetime(2010, 1, 15, 12))


def write_en4(
    path: Path,
    profiles: int = 2,
    *,
    depth: Values = DEPTHS,
    temp: Values = (20.1, 20.0, 15.0, 10.0),
    potm: Values = (20.0, 19.9, 14.9, 9.9),
    psal: Values = 35.0,
    depth_qc: Flags = "1",
    temp_qc: Flags = "1",
    potm_qc: Flags = "1",
    psal_qc: Flags = "1",
    juld: ArrayLike = JULD,
    latitude: ArrayLike = 10.0,
    longitude: ArrayLike = -30.0,
    platform: Texts = "Q1900022",
    juld_qc: Flags = "1",
    position_qc: Flags = "1",
    profile_depth_qc: Flags = "1",
    profile_potm_qc: Flags = "1",
    profile_psal_qc: Flags = "1",
    file_format: Format = "NETCDF4",
    slots: int = 0,
    without: Collection[str] = (),
    declared_fill: float | None = EN4_FILL,
    unlimited: bool = False,
    **storage: Any,
) -> Path:
    """Write one month of EN4.

    Args:
        path: of the file; its folder is made.
        profiles: how many.
        depth: metres, NaN for missing, as are the other values.
        temp: degC in situ.
        potm: degC potential.
        psal: practical salinity.
        depth_qc: flags of the depths, as are the following of the other values.
        temp_qc: of ``temp``.
        potm_qc: of ``potm``.
        psal_qc: of ``psal``.
        juld: days since 1950-01-01, one or one per profile.
        latitude: degrees, one or one per profile.
        longitude: degrees, one or one per profile.
        platform: one or one per profile.
        juld_qc: flag per profile, as are the following.
        position_qc: of the place.
        profile_depth_qc: of all depths.
        profile_potm_qc: of all potential temperatures.
        profile_psal_qc: of all salinities.
        file_format: as netCDF4.Dataset calls it.
        slots: N_LEVELS; 0: as many as the longest row has.
        without: names of variables to leave out.
        declared_fill: what the variables declare as _FillValue.
        unlimited: profiles are the record dimension.
        storage: of the two-dimensional variables, as netCDF4.Dataset.createVariable has it (zlib, chunksizes, ...).
    """
    values = {"DEPH_CORRECTED": depth, "TEMP": temp, "POTM_CORRECTED": potm, "PSAL_CORRECTED": psal}
    flags = {
        "DEPH_CORRECTED_QC": depth_qc,
        "TEMP_QC": temp_qc,
        "POTM_CORRECTED_QC": potm_qc,
        "PSAL_CORRECTED_QC": psal_qc,
    }
    profile_flags = {
        "JULD_QC": juld_qc,
        "POSITION_QC": position_qc,
        "PROFILE_DEPH_QC": profile_depth_qc,
        "PROFILE_POTM_QC": profile_potm_qc,
        "PROFILE_PSAL_QC": profile_psal_qc,
    }
    with _Writer(path, profiles, slots or _slots(values), file_format, unlimited, without) as file:
        file.texts("PLATFORM_NUMBER", platform, 8)
        file.texts("PROJECT_NAME", "GTSPP", 64)
        file.place(juld, latitude, longitude, EN4_FILL)
        for name, flag in profile_flags.items():
            file.profile_flags(name, flag)
        for name, value in values.items():
            file.levels(name, value, EN4_FILL, declared_fill, storage)
        for name, flag in flags.items():
            file.level_flags(name, flag, storage)
    return path


def write_argo(
    path: Path,
    profiles: int = 1,
    *,
    pressure: Values = DEPTHS,
    temp: Values = (20.1, 20.0, 15.0, 10.0),
    psal: Values | None = 35.0,
    pressure_adjusted: Values | None = None,
    temp_adjusted: Values | None = None,
    psal_adjusted: Values | None = None,
    pressure_qc: Flags = "1",
    temp_qc: Flags = "1",
    psal_qc: Flags = "1",
    pressure_adjusted_qc: Flags | None = None,
    temp_adjusted_qc: Flags | None = None,
    psal_adjusted_qc: Flags | None = None,
    juld: ArrayLike = JULD,
    latitude: ArrayLike = 10.0,
    longitude: ArrayLike = -30.0,
    platform: Texts = "6901929",
    cycle: ArrayLike = 1,
    direction: Flags = "A",
    data_mode: Flags = "D",
    scheme: Texts = PRIMARY,
    juld_qc: Flags = "1",
    position_qc: Flags = "1",
    profile_pressure_qc: Flags = "A",
    profile_temp_qc: Flags = "A",
    profile_psal_qc: Flags = "A",
    file_format: Format = "NETCDF3_CLASSIC",
    slots: int = 0,
    without: Collection[str] = (),
    **storage: Any,
) -> Path:
    """Write an Argo core profile file of one cycle or many.

    Args:
        path: of the file; its folder is made.
        profiles: how many.
        pressure: dbar, NaN for missing, as are the other values.
        temp: degC in situ.
        psal: practical salinity; ``None``: a float without a conductivity sensor.
        pressure_adjusted: where ``None``, as ``pressure``; so are the other adjusted values and flags.
        temp_adjusted: degC.
        psal_adjusted: practical salinity.
        pressure_qc: flags of the pressures, as are the following of the other values.
        temp_qc: of ``temp``.
        psal_qc: of ``psal``.
        pressure_adjusted_qc: of ``pressure_adjusted``.
        temp_adjusted_qc: of ``temp_adjusted``.
        psal_adjusted_qc: of ``psal_adjusted``.
        juld: days since 1950-01-01, one or one per profile.
        latitude: degrees, one or one per profile.
        longitude: degrees, one or one per profile.
        platform: one or one per profile.
        cycle: one or one per profile.
        direction: one or a character per profile.
        data_mode: one or a character per profile.
        scheme: VERTICAL_SAMPLING_SCHEME, one or one per profile.
        juld_qc: flag per profile, as are the following.
        position_qc: of the place.
        profile_pressure_qc: letter of all pressures.
        profile_temp_qc: letter of all temperatures.
        profile_psal_qc: letter of all salinities.
        file_format: as netCDF4.Dataset calls it.
        slots: N_LEVELS; 0: as many as the longest row has.
        without: names of variables to leave out.
        storage: of the two-dimensional variables, as netCDF4.Dataset.createVariable has it.
    """
    measured: dict[str, tuple[Values, Flags]] = {
        "PRES": (pressure, pressure_qc),
        "PRES_ADJUSTED": (_or(pressure_adjusted, pressure), _or(pressure_adjusted_qc, pressure_qc)),
        "TEMP": (temp, temp_qc),
        "TEMP_ADJUSTED": (_or(temp_adjusted, temp), _or(temp_adjusted_qc, temp_qc)),
    }
    if psal is not None:
        measured["PSAL"] = psal, psal_qc
        measured["PSAL_ADJUSTED"] = _or(psal_adjusted, psal), _or(psal_adjusted_qc, psal_qc)
    profile_flags = {
        "DIRECTION": direction,
        "DATA_MODE": data_mode,
        "JULD_QC": juld_qc,
        "POSITION_QC": position_qc,
        "PROFILE_PRES_QC": profile_pressure_qc,
        "PROFILE_TEMP_QC": profile_temp_qc,
    } | ({} if psal is None else {"PROFILE_PSAL_QC": profile_psal_qc})
    needed = slots or _slots({name: values for name, (values, _) in measured.items()})
    with _Writer(path, profiles, needed, file_format, False, without) as file:
        file.texts("PLATFORM_NUMBER", platform, 8)
        file.texts("VERTICAL_SAMPLING_SCHEME", scheme, 256)
        file.cycles(cycle)
        file.place(juld, latitude, longitude, ARGO_FILL)
        for name, flag in profile_flags.items():
            file.profile_flags(name, flag)
        for name, (values, flag) in measured.items():
            file.levels(name, values, ARGO_FILL, ARGO_FILL, storage)
            file.level_flags(f"{name}_QC", flag, storage)
    return path


def listed(path: Path, kind: SourceKind = "en4") -> ProfileFile:
    """A file as ``list_profile_files`` of its folder gives it."""
    state = path.stat()
    return ProfileFile(kind, str(path.parent), path.name, state.st_size, state.st_mtime_ns)


def levels(file: ProfileFile) -> Levels:
    """All levels of a file."""
    with LevelReader(file) as reader:
        return reader.read(read_headers(file)[0])


def truncate(path: Path, keep: float) -> Path:
    """Cut a file off after this part of its bytes."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    return path


def _or(value: _T | None, otherwise: _T) -> _T:
    return otherwise if value is None else value


def _rows(values: Values) -> list[Sequence[float]] | None:
    """One row per profile, where they differ in length."""
    if isinstance(values, Sequence) and values and isinstance(values[0], Sequence):
        return [row for row in values if isinstance(row, Sequence)]
    return None


def _slots(values: dict[str, Values]) -> int:
    lengths = [1]
    for value in values.values():
        rows = _rows(value)
        lengths += [len(row) for row in rows] if rows is not None else [np.shape(value)[-1] if np.ndim(value) else 1]
    return max(lengths)


class _Writer:
    def __init__(
        self, path: Path, profiles: int, slots: int, file_format: Format, unlimited: bool, without: Collection[str]
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._shape = profiles, slots
        self._without = without
        self._file = netCDF4.Dataset(path, "w", format=file_format)
        self._file.createDimension("N_PROF", None if unlimited or profiles == 0 else profiles)
        self._file.createDimension("N_LEVELS", slots)

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _put(self, name: str, values: NDArray[Any], dimensions: tuple[str, ...], **options: Any) -> None:
        if name in self._without:
            return
        variable = self._file.createVariable(name, values.dtype, dimensions, **options)
        variable.set_auto_maskandscale(False)
        variable.set_auto_chartostring(False)
        if values.size:
            variable[:] = values

    def texts(self, name: str, texts: Texts, length: int) -> None:
        dimension = f"STRING{length}"
        if dimension not in self._file.dimensions:
            self._file.createDimension(dimension, length)
        each = [texts] * self._shape[0] if isinstance(texts, str) else list(texts)
        padded = np.array([list(text.ljust(length)) for text in each], dtype="S1").reshape(-1, length)
        self._put(name, padded, ("N_PROF", dimension))

    def place(self, juld: ArrayLike, latitude: ArrayLike, longitude: ArrayLike, fill: float) -> None:
        for name, values, missing in (
            ("JULD", juld, 999999.0),
            ("LATITUDE", latitude, fill),
            ("LONGITUDE", longitude, fill),
        ):
            each = np.broadcast_to(np.asarray(values, dtype=np.float64), self._shape[:1])
            self._put(name, np.where(np.isnan(each), missing, each), ("N_PROF",), fill_value=missing)

    def cycles(self, cycle: ArrayLike) -> None:
        each = np.broadcast_to(np.asarray(cycle, dtype=np.int32), self._shape[:1])
        self._put("CYCLE_NUMBER", np.array(each), ("N_PROF",), fill_value=99999)

    def profile_flags(self, name: str, flags: Flags) -> None:
        each = [flags] * self._shape[0] if len(flags) == 1 else list(flags)
        self._put(name, np.array(each, dtype="S1"), ("N_PROF",))

    def levels(self, name: str, values: Values, fill: float, declared: float | None, storage: dict[str, Any]) -> None:
        rows = _rows(values)
        table = np.full(self._shape, np.nan)
        if rows is None:
            row = np.asarray(values, dtype=np.float64)
            table[:, : row.shape[-1] if row.ndim else None] = row
        else:
            for number, one in enumerate(rows):
                table[number, : len(one)] = one
        table[np.isnan(table)] = fill
        self._put(name, table.astype(np.float32), ("N_PROF", "N_LEVELS"), fill_value=declared, **storage)

    def level_flags(self, name: str, flags: Flags, storage: dict[str, Any]) -> None:
        profiles, slots = self._shape
        each = [flags] * profiles if isinstance(flags, str) else list(flags)
        padded = [flag * slots if len(flag) == 1 else flag.ljust(slots) for flag in each]
        characters = np.array([list(flag) for flag in padded], dtype="S1").reshape(profiles, slots)
        self._put(name, characters, ("N_PROF", "N_LEVELS"), **storage)
