"""What one file of profiles gives: its place in a source, a header per profile, and levels."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oceanrecon.access.paths import joined
from oceanrecon.errors import SourceError
from oceanrecon.sources.netcdf import NetcdfFile
from oceanrecon.sources.quality import SourceKind

#: Variables that date and place a profile.
PLACE = ("JULD", "LATITUDE", "LONGITUDE")

#: Names of files; of Argo those of core profiles only, not the biogeochemical B, M and S files.
NAMES: dict[SourceKind, str] = {
    "en4": r"EN\.4\..*\.profiles\..*\.\d{6}\.nc",
    "argo": r"(?:\d{5}|\d{7})_prof\.nc|[RD]?(?:\d{5}|\d{7})_\d{3,4}D?\.nc",
}
#: Columns of a table of headers and their types; a row per profile of the file.
HEADER_COLUMNS: dict[str, str] = {
    # of the file, relative to the root of the source, with slashes
    "path": "str",
    # row in the file
    "profile_idx": "int64",
    # without blanks; empty: unknown
    "platform_number": "str",
    # -1: unknown
    "cycle_number": "int32",
    # A ascending, D descending, empty: unknown
    "direction": "str",
    # R real time, A adjusted in real time, D delayed mode, empty: unknown
    "data_mode": "str",
    # the main sampling of its cycle
    "primary": "bool",
    # days since 1950-01-01 00:00 UTC; NaN: missing
    "juld": "float64",
    # degrees as the file has them, impossible ones included; NaN: missing
    "latitude": "float64",
    "longitude": "float64",
    # flags as oceanrecon.sources.quality defines them
    "juld_qc": "int8",
    "position_qc": "int8",
    # EN4: of the profile's depths, potential temperatures, salinities; Argo: pressures, temperatures, salinities
    "profile_depth_qc": "int8",
    "profile_potm_qc": "int8",
    "profile_psal_qc": "int8",
}


def is_profile_name(file_name: str) -> bool:
    """Whether a file of this name is one of profiles, by the rules of EN4 and Argo."""
    return any(re.fullmatch(pattern, file_name) for pattern in NAMES.values())


@dataclass(frozen=True)
class ProfileFile:
    """One file of a source of profiles, as listed."""

    kind: SourceKind
    #: absolute path or fsspec URL of the source's folder
    root: str
    #: relative to ``root``, with slashes
    path: str
    bytes: int
    mtime_ns: int

    @property
    def url(self) -> str:
        """Where the file is.

        Raises:
            SourceError: its path leaves the root.
        """
        return joined(self.root, self.path, SourceError)

    @property
    def month(self) -> dt.date | None:
        """The first of the month that an EN4 file is named after; ``None`` for any other name, and for Argo."""
        match = re.search(r"(\d{4})(\d{2})\.nc$", self.path) if self.kind == "en4" else None
        try:
            return dt.date(int(match[1]), int(match[2]), 1) if match else None
        except ValueError:
            return None


@dataclass(frozen=True, eq=False)
class Levels:
    """Measured levels of some profiles of one file: [profile, slot], float32 and int8.

    What is missing or implausible is NaN. Slots are in the order of the file, which need not be that of depth, and
    depths from -10 m on are kept as they are.
    """

    #: metres, positive down
    depth: NDArray[np.float32]
    #: degC in situ, ITS-90
    temp: NDArray[np.float32]
    #: degC potential, referred to 0 dbar
    potm: NDArray[np.float32]
    #: practical salinity
    psal: NDArray[np.float32]
    #: flags as ``oceanrecon.sources.quality`` defines them
    depth_qc: NDArray[np.int8]
    temp_qc: NDArray[np.int8]
    potm_qc: NDArray[np.int8]
    psal_qc: NDArray[np.int8]
    #: what is unusual, with the name of the file
    notes: tuple[str, ...]


def header_table(opened: NetcdfFile, primary: NDArray[np.bool_], flags: Mapping[str, NDArray[np.int8]]) -> pd.DataFrame:
    """The table of headers of an open file that has the variables of ``PLACE``.

    Args:
        opened: the file.
        primary: of each profile.
        flags: of each profile, by column.
    """
    size = opened.shape("JULD")[0]
    if size == 0:
        opened.notes.append(f"{opened.name}: there are no profiles in it")
    cycles = opened.numbers("CYCLE_NUMBER") if "CYCLE_NUMBER" in opened else np.full(size, np.nan)
    columns = {
        "path": np.full(size, opened.name, dtype=object),
        "profile_idx": np.arange(size),
        "platform_number": opened.texts("PLATFORM_NUMBER") if "PLATFORM_NUMBER" in opened else np.full(size, ""),
        "cycle_number": np.where(np.isnan(cycles), -1, cycles),
        "direction": _letters(opened, "DIRECTION", "AD"),
        "data_mode": _letters(opened, "DATA_MODE", "RAD"),
        "primary": primary,
        **{name.lower(): opened.numbers(name) for name in PLACE},
        **flags,
    }
    # typed one by one: a table that is converted afterwards costs more than to read a small file
    typed = {
        name: pd.Series(columns[name], dtype=kind) if kind == "str" else columns[name].astype(kind)
        for name, kind in HEADER_COLUMNS.items()
    }
    return pd.DataFrame(typed)


def _letters(opened: NetcdfFile, name: str, known: str) -> NDArray[Any]:
    """A letter per profile, empty where it is none of ``known`` or the file has no such variable."""
    size = opened.shape("JULD")[0]
    texts = opened.texts(name) if name in opened else np.full(size, "")
    return np.array([text if text in tuple(known) else "" for text in texts.tolist()], dtype=object)


def plausible(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """``values`` with NaN, in place, for what is not between ``low`` and ``high``: undeclared fills, broken sensors."""
    with np.errstate(invalid="ignore"):
        values[~((values >= low) & (values <= high))] = np.nan
    return values


#: Plausible values: metres, degC (in situ and potential), practical salinity.
DEPTHS = (-10.0, 12000.0)
TEMPERATURES = (-5.0, 50.0)
SALINITIES = (0.0, 50.0)
