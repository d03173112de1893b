"""Profiles month by month: which file a month has, which of its profiles count, and their values on fixed depths."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oceanrecon.errors import ArchiveError
from oceanrecon.grid.times import EPOCH, next_month
from oceanrecon.profile_config import ProfileFilesSettings
from oceanrecon.sources.identity import drop_en4_of_argo, drop_repeated_cycles, judge
from oceanrecon.sources.profile_file import HEADER_COLUMNS, Levels, ProfileFile
from oceanrecon.sources.profiles import LevelReader, list_profile_files, read_headers
from oceanrecon.sources.quality import (
    QualityMode,
    depth_acceptance,
    level_acceptance,
    usable_variables,
)
from oceanrecon.transform.depth import Aligned, align

Sampling = Literal["primary", "all"]
#: The variables that are put on the target depths.
MEASURED = ("temp", "potm", "psal")
#: An EN4 profile and its Argo twin may lie on both sides of midnight, days.
_NEAR_DAYS = 1.0 / 24.0


def en4_months(
    files: ProfileFilesSettings | None, start: dt.date | None = None, end: dt.date | None = None
) -> tuple[dict[dt.date, ProfileFile], list[str]]:
    """The EN4 file of each month (its first day), and what is unusual: of two files of one month, the later version.

    Raises:
        ArchiveError: there is no file, one has no month in its name, or two of a month differ in their corrections.
    """
    found: dict[dt.date, ProfileFile] = {}
    notes: list[str] = []
    if files is None:
        return found, notes
    for file in list_profile_files(files.root, "en4", files.files):
        first = file.month
        if first is None:
            raise ArchiveError(
                f"{file.url} has no month in its name: call it ...YYYYMM.nc, or leave it out with en4.files"
            )
        last = next_month(first) - dt.timedelta(days=1)
        if (start is not None and last < start) or (end is not None and first > end):
            continue
        if first in found:
            used, other = sorted((found[first], file), key=_version, reverse=True)
            if _version(used)[2] != _version(other)[2]:
                raise ArchiveError(
                    f"{used.path} and {other.path} are of one month with different corrections: choose one with "
                    "en4.files, such as 'EN.4.*.g10.*.nc'"
                )
            notes.append(f"{other.path} is left out: {used.path} is a later version of the same month")
            file = used
        found[first] = file
    return found, notes


def _version(file: ProfileFile) -> tuple[tuple[int, ...], bool, str, str]:
    """Of an EN4 file: its version, whether it is final (f) or preliminary (p), its correction, and its path."""
    match = re.match(r"EN\.([\d.]+)\.([a-z])\.profiles\.(\w+)\.", file.path.rpartition("/")[2])
    if match is None:
        return (), False, "", file.path
    return tuple(int(part) for part in match[1].split(".")), match[2] == "f", match[3], file.path


def joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Tables of headers, one below the other; an empty one of the right types where there is nothing."""
    empty = pd.DataFrame(columns=list(HEADER_COLUMNS)).astype(HEADER_COLUMNS)
    return pd.concat([table for table in tables if len(table)] or [empty], ignore_index=True)


def judge_argo(headers: pd.DataFrame, quality: QualityMode, sampling: Sampling) -> pd.DataFrame:
    """The headers of all Argo files with the column ``reason``: why a profile is rejected, empty where it is not."""
    reasons = drop_repeated_cycles(headers, judge(headers, "argo", quality, sampling))
    return headers.assign(reason=np.asarray(reasons, dtype=object).astype(str))


def argo_of_month(judged: pd.DataFrame, first: dt.date) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The Argo profiles of a month, and the accepted ones of an hour before and after it: EN4 may have them in it."""
    low, high = (first - EPOCH).days, (next_month(first) - EPOCH).days
    juld = judged["juld"].to_numpy()
    inside = (juld >= low) & (juld < high)
    near = judged[(juld >= low - _NEAR_DAYS) & (juld < high + _NEAR_DAYS) & ~inside]
    return judged[inside].reset_index(drop=True), near[near["reason"] == ""].reset_index(drop=True)


def month_headers(
    first: dt.date,
    en4: ProfileFile | None,
    argo: pd.DataFrame,
    argo_near: pd.DataFrame,
    quality: QualityMode,
    sampling: Sampling,
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The headers of a month from both sources, and what is unusual about its EN4 file.

    Args:
        first: day of the month.
        en4: its file.
        argo: Argo profiles of the month, with the column ``reason``.
        argo_near: those around it: see ``argo_of_month``.
        quality: which flags are accepted.
        sampling: of Argo cycles.

    Returns:
        ``HEADER_COLUMNS`` with ``kind``, ``file`` (name without folder) and ``reason``, empty where accepted.

    Raises:
        SourceError: the EN4 file cannot be read; begins with its name.
    """
    tables = [argo.assign(kind="argo")]
    notes: tuple[str, ...] = ()
    if en4 is not None:
        twins = pd.concat([argo[argo["reason"] == ""], argo_near], ignore_index=True)
        headers, notes = read_headers(en4)
        reasons = drop_en4_of_argo(headers, judge(headers, "en4", quality, sampling), twins)
        juld = headers["juld"].to_numpy()
        low, high = (first - EPOCH).days, (next_month(first) - EPOCH).days
        # a date in another month than the name of its file says is no date
        reasons = reasons.mask((reasons == "") & ~((juld >= low) & (juld < high)), "date_impossible")
        tables.append(headers.assign(kind="en4", reason=reasons))
    rows = pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)
    rows["file"] = rows["path"].str.replace(r"^.*/", "", regex=True)
    return rows, notes


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Accepted profiles in the order of every store: by day (added, since 1950-01-01), file and row in it."""
    rows = rows[rows["reason"] == ""].copy()
    rows["day"] = np.floor(rows["juld"]).astype(np.int64)
    return rows.sort_values(["day", "file", "path", "profile_idx"], ignore_index=True)


def read_aligned(
    reader: LevelReader, file: ProfileFile, rows: pd.DataFrame, quality: QualityMode, depth: Sequence[float]
) -> tuple[Levels, dict[str, Aligned]]:
    """Measured levels of some profiles of a file, and ``MEASURED`` and ``depth`` on the target depths.

    Args:
        reader: of the file, open.
        file: which.
        rows: of its table of headers, by ascending ``profile_idx``.
        quality: which flags of levels are accepted.
        depth: target depths, m.

    Raises:
        SourceError: the file is damaged; begins with its name.
    """
    levels = reader.read(rows)
    usable = usable_variables(rows, file.kind, quality)
    target = np.array(depth, np.float32).astype(np.float64)
    aligned = align(
        levels.depth, levels.depth_qc,
        (levels.temp, levels.potm, levels.psal), (levels.temp_qc, levels.potm_qc, levels.psal_qc),
        level_acceptance(file.kind, quality), [usable[name] for name in MEASURED], target,
        depth_accepted=depth_acceptance(file.kind, quality),
    )  # fmt: skip
    return levels, dict(zip((*MEASURED, "depth"), aligned, strict=True))


def turned(longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Longitudes of -180..360 in -180..180, degrees; those that are in range keep every digit."""
    return np.where(longitude < 180.0, longitude, np.mod(longitude + 180.0, 360.0) - 180.0)
