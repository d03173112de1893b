"""Profiles of withheld floats as what is true; and whether any of them was an input after all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oceanrecon.samples.form import FieldName
from oceanrecon.samples.index import SplitName
from oceanrecon.samples.references import FloatProfiles, FloatReferences
from oceanrecon.samples.withheld import FloatSide, FloatSplit
from oceanrecon.sources.platform import plain_platform
from oceanrecon.training.loop.data import GIVEN

#: Which floats each side of the split is scored on: models are given none of them.
SCORED: dict[SplitName, FloatSide] = {"val": "val", "test": "test"}
#: Difference of an input from the mean of the floats that were given, K and PSU, that is no rounding.
_ROUNDING = 1e-3
_TOGETHER = 64


@dataclass(frozen=True, eq=False)
class Withheld:
    """Profiles of a patch that estimates are compared with."""

    #: plain numbers: [profile]
    platform: NDArray[np.str_]
    #: pixel: [profile]
    row: NDArray[np.int64]
    column: NDArray[np.int64]
    #: degrees: [profile]
    latitude: NDArray[np.float32]
    longitude: NDArray[np.float32]
    #: K and PSU, NaN where not measured: [profile, C]
    values: NDArray[np.float32]


@dataclass
class FloatTruth:
    """The profiles around some rows, told apart by the platform numbers that are read with them."""

    #: by row: those to score
    withheld: list[Withheld]
    #: by row: pixel [profile], in rows, and values [profile, C] of those that models were given
    _given: list[tuple[NDArray[np.int64], NDArray[np.float32]]]
    #: how many platforms and profiles are to be scored
    platforms: int
    profiles: int
    #: input values that were looked at, and those that are not the mean of given floats
    looked: int = field(default=0, init=False)
    leaked: int = field(default=0, init=False)

    @classmethod
    def read(
        cls, references: FloatReferences, split: FloatSplit, side: SplitName, fields: Sequence[FieldName]
    ) -> FloatTruth:
        """Of all rows of some references.

        A profile within the days of several rows is scored once, at the date nearest to it.

        Args:
            references: of the floats of all sides.
            split: which floats are on which.
            side: of the split of the rows.
            fields: that are scored, in order of the channels.

        Raises:
            OutputError: a file is not there, or is damaged.
        """
        numbers = range(len(references.rows))
        read = [
            one for first in numbers[::_TOGETHER] for one in references.read(list(numbers[first : first + _TOGETHER]))
        ]
        sides = {name: split.side(name) for one in read for name in np.unique(one.platform).tolist()}
        chosen = [np.array([sides[name] == SCORED[side] for name in one.platform.tolist()], bool) for one in read]
        nearest: dict[int, tuple[int, int]] = {}
        for row, (one, mine) in enumerate(zip(read, chosen, strict=True)):
            for number, day in zip(one.number[mine].tolist(), np.abs(one.day[mine]).tolist(), strict=True):
                nearest[number] = min(nearest.get(number, (day, row)), (day, row))
        withheld, given = [], []
        for row, (one, mine) in enumerate(zip(read, chosen, strict=True)):
            values = np.concatenate([one.values[name] for name in fields], axis=1)
            here = mine & np.array([nearest.get(number, (0, -1))[1] == row for number in one.number.tolist()], bool)
            withheld.append(_withheld(one, values, here))
            seen = np.array([sides[name] in GIVEN[side] for name in one.platform.tolist()], bool)
            size = references.rows.tile
            given.append((one.row[seen] * size + one.column[seen], values[seen]))
        names = {name for one in withheld for name in one.platform.tolist()}
        return cls(withheld, given, len(names), sum(len(one.platform) for one in withheld))

    def check(self, row: int, values: NDArray[np.float32], known: NDArray[np.bool_]) -> None:
        """Look at what models were given: every value has to be the mean of given floats in its pixel.

        Args:
            row: which.
            values: inputs, K and PSU: [C, H, W].
            known: where there is one: [C, H, W].
        """
        pixels, profiles = self._given[row]
        sums, count = np.zeros((2, values[0].size, len(values)))
        there = np.isfinite(profiles)
        np.add.at(sums, pixels, np.where(there, profiles, 0.0))
        np.add.at(count, pixels, there)
        flat, seen = values.reshape(len(values), -1).T, known.reshape(len(known), -1).T
        mean = sums / np.maximum(count, 1)
        self.looked += int(seen.sum())
        self.leaked += int((seen & ((count == 0) | (np.abs(flat - mean) > _ROUNDING))).sum())


def _withheld(read: FloatProfiles, values: NDArray[np.float32], here: NDArray[np.bool_]) -> Withheld:
    return Withheld(
        platform=np.array([plain_platform(name) for name in read.platform[here].tolist()], np.str_),
        row=read.row[here],
        column=read.column[here],
        latitude=read.latitude[here],
        longitude=read.longitude[here],
        values=values[here],
    )
