"""Argo profile files of the global data centres: pressure to depth, in-situ to potential temperature by TEOS-10.

Formats of the Argo User's Manual, doi:10.13155/29825: ``*_prof.nc`` of a float, and ``R*.nc``, ``D*.nc`` of a cycle.
"""

from __future__ import annotations

import gsw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oceanrecon.sources.netcdf import NetcdfFile
from oceanrecon.sources.profile_file import DEPTHS, PLACE, SALINITIES, TEMPERATURES, Levels, header_table, plausible
from oceanrecon.sources.quality import MISSING_FLAG

_REQUIRED = (*PLACE, "PLATFORM_NUMBER", "CYCLE_NUMBER", "DATA_MODE", "PRES", "TEMP")
_MEASURED = ("PRES", "TEMP", "PSAL")
#: Column of the header table -> variable of the file, whether its flags are letters.
_PROFILE_FLAGS = {
    "juld_qc": ("JULD_QC", False),
    "position_qc": ("POSITION_QC", False),
    "profile_depth_qc": ("PROFILE_PRES_QC", True),
    "profile_potm_qc": ("PROFILE_TEMP_QC", True),
    "profile_psal_qc": ("PROFILE_PSAL_QC", True),
}
#: Plausible pressures, dbar: a little more than the depths.
_PRESSURES = (-10.0, 12500.0)
#: Stands in for a salinity that is missing or bad where temperatures become potential ones.
_USUAL_SALINITY = 35.0


def headers(opened: NetcdfFile) -> pd.DataFrame:
    """The table of headers of an open file.

    A profile is primary where its sampling scheme says so, or says nothing and it is the first of its cycle.

    Raises:
        SourceError: a variable is missing, or has an impossible shape.
    """
    opened.require(_REQUIRED, "Argo core profile file")
    size = opened.shape("JULD")[0]
    opened.check_shape((*PLACE, "CYCLE_NUMBER", *(name for name, _ in _PROFILE_FLAGS.values())), (size,))
    measured = [f"{name}{of_mode}{flag}" for name in _MEASURED for of_mode in ("", "_ADJUSTED") for flag in ("", "_QC")]
    opened.check_shape(tuple(measured), (size, opened.shape("PRES")[-1]))
    flags = {
        column: opened.flags_or_missing(name, (size,), letters=letters)
        for column, (name, letters) in _PROFILE_FLAGS.items()
    }
    scheme = opened.texts("VERTICAL_SAMPLING_SCHEME") if "VERTICAL_SAMPLING_SCHEME" in opened else np.full(size, "")
    says_so = np.array([text.startswith("Primary sampling") for text in scheme.tolist()], dtype=np.bool_)
    table = header_table(opened, says_so, flags)
    if not says_so.all():
        first = ~table.duplicated(["platform_number", "cycle_number", "direction"]).to_numpy()
        table["primary"] = says_so | ((scheme == "") & (first | (table["cycle_number"].to_numpy() < 0)))
    if _adjusted(table).any():
        needed = tuple(f"{name}_ADJUSTED" for name in _MEASURED if name in opened)
        opened.require(needed, "Argo core profile file with profiles of data mode A or D")
    return table


def levels(opened: NetcdfFile, rows: pd.DataFrame) -> Levels:
    """Levels of some profiles of an open file: rows of its table of headers, in ascending order.

    Values are the adjusted ones for data modes A and D, else those of real time. Depth is by gsw.z_from_p at the
    profile's latitude, and flagged as the pressure is; potential temperature by gsw.pt0_from_t, flagged as the
    temperature is. Where the salinity is missing or not flagged 1 or 2, practical salinity 35 stands in for it there.
    Profiles at impossible places have neither depths nor potential temperatures.
    """
    index = rows["profile_idx"].to_numpy()
    adjusted = _adjusted(rows)
    pressure, depth_qc = _of_mode(opened, "PRES", index, adjusted)
    temp, temp_qc = _of_mode(opened, "TEMP", index, adjusted)
    if "PSAL" in opened:
        psal, psal_qc = _of_mode(opened, "PSAL", index, adjusted)
    else:
        psal, psal_qc = np.full_like(pressure, np.nan), np.full_like(depth_qc, MISSING_FLAG)
    plausible(pressure, *_PRESSURES)
    plausible(temp, *TEMPERATURES)
    plausible(psal, *SALINITIES)
    latitude, longitude = rows["latitude"].to_numpy(), rows["longitude"].to_numpy()
    placed = np.isfinite(longitude) & (np.abs(latitude) <= 90)
    depth = np.full_like(pressure, np.nan)
    row, slot = np.nonzero(np.isfinite(pressure) & placed[:, None])
    depth[row, slot] = -gsw.z_from_p(pressure[row, slot].astype(np.float64), latitude[row])
    potm = np.full_like(pressure, np.nan)
    warm = np.isfinite(temp[row, slot])
    row, slot = row[warm], slot[warm]
    good = np.isin(psal_qc[row, slot], (1, 2)) & np.isfinite(psal[row, slot])
    salinity = np.where(good, psal[row, slot], _USUAL_SALINITY).astype(np.float64)
    potm[row, slot] = potential_temperature(
        temp[row, slot].astype(np.float64),
        salinity,
        pressure[row, slot].astype(np.float64),
        longitude[row],
        latitude[row],
    )
    return Levels(
        depth=plausible(depth, *DEPTHS),
        temp=temp,
        potm=plausible(potm, *TEMPERATURES),
        psal=psal,
        depth_qc=depth_qc,
        temp_qc=temp_qc,
        potm_qc=temp_qc,
        psal_qc=psal_qc,
        notes=opened.take_notes(),
    )


def potential_temperature(
    temp: NDArray[np.float64],
    psal: NDArray[np.float64],
    pressure: NDArray[np.float64],
    longitude: NDArray[np.float64],
    latitude: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Potential temperature (degC, 0 dbar) by TEOS-10, of equally long arrays.

    Args:
        temp: degC in situ, ITS-90.
        psal: practical salinity.
        pressure: dbar.
        longitude: degrees.
        latitude: degrees.
    """
    absolute = gsw.SA_from_SP(psal, pressure, longitude, latitude)
    # its atlas ends before the south pole
    absolute = np.where(np.isnan(absolute), gsw.SR_from_SP(psal), absolute)
    return np.asarray(gsw.pt0_from_t(absolute, temp, pressure), dtype=np.float64)


def _adjusted(rows: pd.DataFrame) -> NDArray[np.bool_]:
    return np.asarray(rows["data_mode"].isin(["A", "D"]).to_numpy(bool))


def _of_mode(
    opened: NetcdfFile, name: str, index: NDArray[np.int64], adjusted: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Values and flags of a measured variable, adjusted or not for each profile: [profile, slot]."""
    shape = (len(index), opened.shape(name)[-1])
    values, flags = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.int8)
    for wanted, source in ((~adjusted, name), (adjusted, f"{name}_ADJUSTED")):
        if wanted.any():
            values[wanted] = opened.numbers(source, index[wanted], "f4")
            flags[wanted] = opened.flags_or_missing(f"{source}_QC", (int(wanted.sum()), shape[1]), index[wanted])
    return values, flags
