"""Risk: a profile is scored twice, or a float that a model has seen goes unnoticed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oceanrecon.samples.references import FloatProfiles
from oceanrecon.samples.rows import Rows
from oceanrecon.training.evaluation.floats import FloatTruth


class ByName:
    """The side of a float is the first letter of its name."""

    def side(self, platform: str) -> str:
        return {"t": "test", "v": "val", "a": "train"}[platform.strip()[0]]


class Profiles:
    """Two rows that share the days between them; profiles of two levels."""

    rows = Rows(np.array([0, 0]), np.array([20120222, 20120226], np.int32), 4)

    def __init__(self) -> None:
        #: number, platform, pixel, day after each row's date, values
        self.all = [
            (1, "t1 ", (0, 1), (-2, -6), (10.0, 5.0)),
            (2, "t1 ", (0, 1), (3, -1), (11.0, np.nan)),
            (3, "t2", (3, 3), (2, -2), (12.0, 6.0)),
            (4, "a1", (0, 1), (0, -4), (20.0, np.nan)),
            (5, "v1", (0, 1), (1, -3), (22.0, 8.0)),
        ]

    def read(self, rows: Sequence[int]) -> list[FloatProfiles]:
        return [self.of(row) for row in rows]

    def of(self, row: int) -> FloatProfiles:
        some = [one for one in self.all if abs(one[3][row]) <= 3]
        number, platform, pixel, day, values = (np.array(part) for part in zip(*some, strict=True))
        return FloatProfiles(
            number=number, platform=platform, row=pixel[:, 0], column=pixel[:, 1], day=day[:, row].astype(np.int32),
            latitude=np.zeros(len(some), np.float32), longitude=np.zeros(len(some), np.float32),
            values={"temperature": values.astype(np.float32)},
        )  # fmt: skip


def read() -> FloatTruth:
    profiles: Any = Profiles()
    split: Any = ByName()
    return FloatTruth.read(profiles, split, "test", ("temperature",))


def test_a_profile_is_scored_once_at_the_nearest_date() -> None:
    truth = read()
    assert [one.values[:, 0].tolist() for one in truth.withheld] == [[10.0, 12.0], [11.0]]
    assert truth.withheld[0].platform.tolist() == ["t1", "t2"]
    assert (truth.platforms, truth.profiles) == (2, 3)


def test_inputs_are_the_mean_of_given_floats() -> None:
    truth = read()
    values = np.zeros((2, 4, 4), np.float32)
    values[:, 0, 1] = 21.0, 8.0  # of a1 and v1; only v1 has the second level
    known = values > 0
    truth.check(0, values, known)
    assert (truth.looked, truth.leaked) == (2, 0)
    # a withheld float alone in its pixel, and one that is in the mean of another's
    values[:, 3, 3] = 12.0, 6.0
    values[0, 0, 1] = (20 + 22 + 10) / 3
    truth.check(0, values, values > 0)
    assert (truth.looked, truth.leaked) == (6, 3)
