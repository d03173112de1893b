"""Which profiles are accepted, and which are the same one told twice: by impossible values, flags, and identity.

An Argo profile is known by platform, cycle and direction. EN4 is not sure to have cycle numbers: its profiles are
known by platform, time and place. All functions are vectorised over millions of rows.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oceanrecon.sources.platform import plain_platform
from oceanrecon.sources.quality import (
    ARGO_ESTIMATED,
    MISSING_FLAG,
    POSITION_REASONS,
    QualityMode,
    SourceKind,
    accepted,
    place_acceptance,
)

#: Why a profile is rejected, the first that applies; empty: it is accepted.
REASONS: tuple[str, ...] = (
    "",
    "date_impossible",
    "date_flag",
    "position_impossible",
    "position_flag",
    "secondary_sampling",
    "not_delayed_mode",
    "duplicate_cycle",
    "duplicate_of_argo",
)

_EPOCH = dt.date(1950, 1, 1).toordinal()
#: Possible dates, days since 1950-01-01.
_FIRST_DAY, _END_DAY = dt.date(1900, 1, 1).toordinal() - _EPOCH, dt.date(2100, 1, 1).toordinal() - _EPOCH
#: Two profiles of one platform closer than this are one: days, km.
_SAME_TIME, _SAME_PLACE = 1 / 24, 5.0
#: Mean radius of the Earth, km.
_EARTH = 6371.0
#: Reasons of copies that do not compete: nothing is known of where or when they are, or they are not wanted.
_NOWHERE = ("date_impossible", "position_impossible", "secondary_sampling")
#: The better of two files of one profile has the data mode that comes first.
_MODES = ("D", "A", "R", "")


def judge(
    headers: pd.DataFrame, kind: SourceKind, quality: QualityMode, sampling: Literal["primary", "all"]
) -> pd.Series[str]:
    """Why each profile is rejected, empty where it is not: the first that applies in the order of ``REASONS``.

    Impossible are dates that are missing, before 1900 or after 2099, and positions that are missing, beyond a pole, or
    of a longitude outside -180..360; no quality mode accepts those.

    Args:
        headers: a table of ``HEADER_COLUMNS``, of any number of files.
        kind: of its source.
        quality: which flags are accepted; ``strict`` also takes delayed mode only, of Argo.
        sampling: ``primary`` rejects all but the main sampling of a cycle.

    Returns:
        A reason per row, with the index of ``headers``.
    """
    juld, latitude, longitude = (headers[name].to_numpy() for name in ("juld", "latitude", "longitude"))
    table = place_acceptance(kind, quality)
    possible_date = (juld >= _FIRST_DAY) & (juld < _END_DAY)
    possible_place = (np.abs(latitude) <= 90) & (longitude >= -180) & (longitude <= 360)
    rejected = {
        "date_impossible": ~possible_date,
        "date_flag": ~accepted(headers["juld_qc"].to_numpy(), table),
        "position_impossible": ~possible_place,
        "position_flag": ~accepted(headers["position_qc"].to_numpy(), table),
    }
    if sampling == "primary":
        rejected["secondary_sampling"] = ~headers["primary"].to_numpy()
    if kind == "argo" and quality == "strict":
        rejected["not_delayed_mode"] = (headers["data_mode"] != "D").to_numpy()
    reasons = np.select(list(rejected.values()), [np.array(name, dtype=object) for name in rejected], "")
    return pd.Series(reasons, index=headers.index, dtype="str", name="reason")


def drop_repeated_cycles(headers: pd.DataFrame, reasons: pd.Series[str]) -> pd.Series[str]:
    """Of Argo profiles with the same platform, cycle and direction, accept the best one, where its flags allow it.

    The best is of delayed mode before adjusted before real time; then of the file of a single cycle before the file of
    the whole float, which is made from those; then the first by path and row. Primary samplings compete with primary
    ones, and the others with the one that is at the same place among the others of its cycle. Profiles whose platform
    or cycle is unknown are all kept; those of impossible date or position do not take part.

    Args:
        headers: a table of ``HEADER_COLUMNS``, of all files of the source.
        reasons: of each row, as ``judge`` gives them.

    Returns:
        ``reasons``, with ``duplicate_cycle`` where another profile is taken.
    """
    cycle = ["platform_number", "cycle_number", "direction"]
    table = headers[["path", "profile_idx", *cycle, "primary"]].reset_index(drop=True)
    table["mode"] = headers["data_mode"].map({mode: rank for rank, mode in enumerate(_MODES)}).to_numpy()
    table["whole_float"] = headers["path"].str.endswith("_prof.nc").to_numpy()
    table = table.sort_values(["path", "profile_idx"], kind="stable")
    table["slot"] = 0
    other = ~table["primary"]
    if other.any():
        table.loc[other, "slot"] = 1 + table[other].groupby(["path", *cycle], sort=False).cumcount()
    known = (table["platform_number"] != "") & (table["cycle_number"] >= 0)
    # a better copy that a flag rejects is still the better one: a worse one does not take its place
    takes_part = (~reasons.isin(_NOWHERE)).to_numpy()[table.index] & known
    table = table[takes_part].sort_values(["mode", "whole_float", "path", "profile_idx"], kind="stable")
    repeated = table.index[table.duplicated([*cycle, "slot"])]
    repeated = repeated[(reasons == "").to_numpy()[repeated]]
    return _with(reasons, repeated.to_numpy(), "duplicate_cycle")


def drop_en4_of_argo(
    en4_headers: pd.DataFrame, en4_reasons: pd.Series[str], argo_headers: pd.DataFrame
) -> pd.Series[str]:
    """Reject the EN4 profiles that Argo has as well: the same platform, less than one hour and 5 km apart.

    Args:
        en4_headers: a table of ``HEADER_COLUMNS``.
        en4_reasons: of each row.
        argo_headers: the accepted Argo profiles.

    Returns:
        ``en4_reasons``, with ``duplicate_of_argo`` where Argo has the profile.
    """
    candidates = np.flatnonzero((en4_reasons == "").to_numpy())
    en4 = en4_headers.iloc[candidates]
    platform = _platforms(en4["platform_number"], argo_headers["platform_number"])
    ours, theirs = platform[: len(en4)], platform[len(en4) :]
    # all of a platform are neighbours on this line of days, and platforms are far apart on it
    apart = float(_END_DAY - _FIRST_DAY + 1000)
    ours_at = ours * apart + en4["juld"].to_numpy()
    theirs_at = theirs * apart + argo_headers["juld"].to_numpy()
    order = np.argsort(theirs_at, kind="stable")
    slack = 1 / 1440  # so far along the line, numbers are seconds apart
    first = np.searchsorted(theirs_at[order], ours_at - _SAME_TIME - slack)
    after = np.searchsorted(theirs_at[order], ours_at + _SAME_TIME + slack, side="right")
    count = np.where(ours < 0, 0, after - first)
    row = np.repeat(np.arange(len(en4)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    match = order[np.repeat(first, count) + within]
    mine, other = en4.iloc[row], argo_headers.iloc[match]
    same = (np.abs(mine["juld"].to_numpy() - other["juld"].to_numpy()) < _SAME_TIME) & (
        distance(
            mine["latitude"].to_numpy(),
            mine["longitude"].to_numpy(),
            other["latitude"].to_numpy(),
            other["longitude"].to_numpy(),
        )
        < _SAME_PLACE
    )
    return _with(en4_reasons, candidates[np.unique(row[same])], "duplicate_of_argo")


def _with(reasons: pd.Series[str], rows: NDArray[np.int64], reason: str) -> pd.Series[str]:
    changed = reasons.copy()
    changed.iloc[rows] = reason
    return changed


def _platforms(*columns: pd.Series[str]) -> NDArray[np.int64]:
    """A number per row of all columns, the same for the same platform, -1 where it is unknown."""
    codes, names = pd.factorize(pd.concat(columns, ignore_index=True))
    plain = pd.Series([plain_platform(name) for name in names], dtype="str")
    number, _ = pd.factorize(plain.where(plain != ""))
    return np.asarray(number[codes], dtype=np.int64)


def distance(
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
    other_latitude: NDArray[np.float64],
    other_longitude: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Great-circle distance in km by the haversine formula, on a sphere; degrees, longitudes of any convention."""
    a, b = np.deg2rad(latitude), np.deg2rad(other_latitude)
    across = np.deg2rad(other_longitude - longitude)
    square = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(across / 2) ** 2
    return np.asarray(2 * _EARTH * np.arcsin(np.sqrt(np.minimum(square, 1.0))), dtype=np.float64)


def position_rejected_reason(headers: pd.DataFrame, kind: SourceKind) -> NDArray[np.int8]:
    """What is against a position, whatever the quality mode: [profile], values of ``POSITION_REASONS``."""
    flags = headers["position_qc"].to_numpy()
    out = np.full(len(flags), POSITION_REASONS["none"], dtype=np.int8)
    out[~accepted(flags, place_acceptance(kind, "standard"))] = POSITION_REASONS["bad_or_unchecked"]
    if kind == "argo":
        out[flags == ARGO_ESTIMATED] = POSITION_REASONS["interpolated_or_estimated"]
    out[flags == MISSING_FLAG] = POSITION_REASONS["no_flag"]
    return out
