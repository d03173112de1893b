"""EN4 monthly profile files (Met Office Hadley Centre): potential temperature and salinity on depths, with flags."""

from __future__ import annotations

import numpy as np
import pandas as pd

from oceanrecon.sources.netcdf import NetcdfFile
from oceanrecon.sources.profile_file import DEPTHS, PLACE, SALINITIES, TEMPERATURES, Levels, header_table, plausible

_DEPTH, _TEMP, _POTM, _PSAL = "DEPH_CORRECTED", "TEMP", "POTM_CORRECTED", "PSAL_CORRECTED"
_REQUIRED = (*PLACE, _DEPTH, _TEMP, _POTM, _PSAL)
_FLAGS = (f"{_DEPTH}_QC", f"{_TEMP}_QC", f"{_POTM}_QC", f"{_PSAL}_QC")
#: Column of the header table -> variable of the file.
_PROFILE_FLAGS = {
    "juld_qc": "JULD_QC",
    "position_qc": "POSITION_QC",
    "profile_depth_qc": "PROFILE_DEPH_QC",
    "profile_potm_qc": "PROFILE_POTM_QC",
    "profile_psal_qc": "PROFILE_PSAL_QC",
}


def headers(opened: NetcdfFile) -> pd.DataFrame:
    """The table of headers of an open file; every profile is a primary one.

    Raises:
        SourceError: a variable is missing, or has an impossible shape.
    """
    opened.require(_REQUIRED, "EN4 profile file")
    size = opened.shape("JULD")[0]
    opened.check_shape((*PLACE, *_PROFILE_FLAGS.values()), (size,))
    opened.check_shape((_DEPTH, _TEMP, _POTM, _PSAL, *_FLAGS), (size, opened.shape(_DEPTH)[-1]))
    # temperatures are flagged as potential ones: not every release has flags of their own
    absent = [name for name in (*_PROFILE_FLAGS.values(), *_FLAGS) if name not in opened and name != f"{_TEMP}_QC"]
    if absent:
        opened.notes.append(f"{opened.name}: it has no {', '.join(absent)}: these flags count as missing")
    flags = {column: opened.flags_or_missing(name, (size,)) for column, name in _PROFILE_FLAGS.items()}
    return header_table(opened, np.ones(size, dtype=np.bool_), flags)


def levels(opened: NetcdfFile, rows: pd.DataFrame) -> Levels:
    """Levels of some profiles of an open file: rows of its table of headers, in ascending order.

    Temperatures take the flags of the potential ones where the file has none of their own.
    """
    index = rows["profile_idx"].to_numpy()
    depth = plausible(opened.numbers(_DEPTH, index, "f4"), *DEPTHS)
    shape = depth.shape
    temp_qc = f"{_TEMP}_QC" if f"{_TEMP}_QC" in opened else f"{_POTM}_QC"
    return Levels(
        depth=depth,
        temp=plausible(opened.numbers(_TEMP, index, "f4"), *TEMPERATURES),
        potm=plausible(opened.numbers(_POTM, index, "f4"), *TEMPERATURES),
        psal=plausible(opened.numbers(_PSAL, index, "f4"), *SALINITIES),
        depth_qc=opened.flags_or_missing(f"{_DEPTH}_QC", shape, index),
        temp_qc=opened.flags_or_missing(temp_qc, shape, index),
        potm_qc=opened.flags_or_missing(f"{_POTM}_QC", shape, index),
        psal_qc=opened.flags_or_missing(f"{_PSAL}_QC", shape, index),
        notes=opened.take_notes(),
    )
