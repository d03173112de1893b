"""Which quality flags are accepted, per kind of profile source and quality mode, and what an EN4 profile flag rejects.

A flag is an int8: the digit that the file holds, -1 where the character is blank or the variable absent, 99 for any
other character; the letters A to F of Argo's profile flags are their ASCII codes.

EN4 marks what passed its checks with 1, what failed with 4, and what was not checked because there are no data with 0.
Argo: 1 good, 2 probably good, 3 probably bad, 4 bad, 5 changed, 8 interpolated or estimated, 9 missing, 0 not checked
(Argo User's Manual, reference table 2).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SourceKind = Literal["en4", "argo"]
QualityMode = Literal["standard", "strict", "none"]
#: No flag: a blank character, or no such variable.
MISSING_FLAG = -1
#: A character that is no flag; never accepted but by the quality ``none``.
UNKNOWN_FLAG = 99
#: The flag by which EN4 rejects a level, a variable of a profile, or a whole profile.
EN4_REJECT = 4
#: Of an Argo position or date that was interpolated or estimated.
ARGO_ESTIMATED = 8
#: What is against a position, as CF ``flag_meanings`` and ``flag_values``; bad or unchecked is what the quality
#: ``standard`` rejects.
POSITION_REASONS: dict[str, int] = {
    "no_flag": -1,
    "none": 0,
    "bad_or_unchecked": 1,
    "interpolated_or_estimated": 2,
}

_LEVELS: dict[tuple[SourceKind, QualityMode], tuple[int, ...]] = {
    ("en4", "standard"): (1, 2, MISSING_FLAG),
    ("en4", "strict"): (1,),
    ("argo", "standard"): (1, 2),
    ("argo", "strict"): (1,),
}
#: EN4 judges positions and dates by rejecting them, so that a missing or unchecked one is not against it.
_PLACES: dict[tuple[SourceKind, QualityMode], tuple[int, ...]] = {
    ("en4", "standard"): (MISSING_FLAG, *(digit for digit in range(10) if digit != EN4_REJECT)),
    ("en4", "strict"): (1,),
    ("argo", "standard"): (1, 2, 5, ARGO_ESTIMATED),
    ("argo", "strict"): (1,),
}


def level_acceptance(kind: SourceKind, mode: QualityMode) -> NDArray[np.bool_]:
    """Whether a flag of a value is accepted: [256].

    The index is the flag as an unsigned byte: -1 is 255.
    """
    return _table(_LEVELS.get((kind, mode)))


def depth_acceptance(kind: SourceKind, mode: QualityMode) -> NDArray[np.bool_]:
    """Whether a flag of a depth (Argo: of a pressure) is accepted: [256], by the flag as an unsigned byte.

    EN4 judges depths by rejecting them: where it did not, the level's value decides.
    """
    if kind == "en4" and mode != "none":
        return _table(_PLACES["en4", "standard"])
    return level_acceptance(kind, mode)


def place_acceptance(kind: SourceKind, mode: QualityMode) -> NDArray[np.bool_]:
    """Whether a flag of a position or a date is accepted: [256], by the flag as an unsigned byte."""
    return _table(_PLACES.get((kind, mode)))


def _table(flags: Iterable[int] | None) -> NDArray[np.bool_]:
    if flags is None:  # quality none
        return np.ones(256, dtype=np.bool_)
    table = np.zeros(256, dtype=np.bool_)
    table[np.array(list(flags), dtype=np.int8).view(np.uint8)] = True
    return table


def accepted(flags: NDArray[np.int8], table: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which ``flags`` (any shape) a table accepts: that shape."""
    return np.asarray(table[flags.view(np.uint8)])


def usable_variables(headers: pd.DataFrame, kind: SourceKind, mode: QualityMode) -> dict[str, NDArray[np.bool_]]:
    """Whether ``temp``, ``potm`` and ``psal`` of a profile may be used at all: [profile] each.

    EN4's profile flags reject a variable of the profile; Argo's letters tell how many levels are good, and reject none.
    """
    everything = np.ones(len(headers), dtype=np.bool_)
    if kind == "argo" or mode == "none":
        return {"temp": everything, "potm": everything, "psal": everything}
    temperature = headers["profile_potm_qc"].to_numpy() != EN4_REJECT
    salinity = headers["profile_psal_qc"].to_numpy() != EN4_REJECT
    return {"temp": temperature, "potm": temperature, "psal": salinity}
