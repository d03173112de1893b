"""What a user chooses of a source: scenario, surface fields, days, and which profiles are inputs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid
from oceanrecon.samples.form import CHANNELS, SCENARIOS, Field, FieldName, Scenario
from oceanrecon.samples.rows import Rows
from oceanrecon.sources.platform import plain_platform
from oceanrecon.transform.points import average_duplicates

#: Flags of good and probably good levels.
GOOD = (1, 2)
#: Of a level without a flag, which counts.
_NO_FLAG = -1


@dataclass(frozen=True, eq=False)
class Choice:
    """The choice, checked."""

    scenario: Scenario
    surface: tuple[str, ...]
    #: odd number of days around a date
    days: int
    #: flags that count, that of a level without one included
    flags: NDArray[np.int16]
    #: WMO platform numbers, plain, whose profiles are no inputs
    withhold: frozenset[str]

    @classmethod
    def of(
        cls, scenario: Scenario, surface: Sequence[str], days: float, quality: Collection[int],
        withhold: Collection[str | int],
    ) -> Choice:  # fmt: skip
        """Check a choice.

        Raises:
            ConfigError: there is no such thing.
        """
        if scenario not in SCENARIOS:
            raise ConfigError(f"there is no scenario {scenario!r}: it is one of {', '.join(SCENARIOS)}")
        unknown = [name for name in surface if name not in CHANNELS]
        if unknown or not surface:  # of a text, each letter is unknown
            raise ConfigError(f"surface={surface!r}: give a list of some of {', '.join(CHANNELS)}")
        if not isinstance(days, int) or days < 1 or days % 2 == 0:
            raise ConfigError(f"days={days!r} has no middle day: give an odd whole number, such as 1 or 7")
        flags = {_NO_FLAG, *_whole("quality", quality)}
        if not all(-1 <= flag <= 99 for flag in flags):
            raise ConfigError(f"quality={quality!r}: flags are whole numbers from 0 to 9, such as (1, 2)")
        return cls(scenario, tuple(surface), days, np.array(sorted(flags), np.int16), _platforms(withhold))

    @property
    def half(self) -> int:
        """Days before and after a date."""
        return (self.days - 1) // 2


def _listed(values: Any) -> list[Any] | None:
    """What is in a list or the like, which may only be gone through once; ``None``: it is none."""
    return list(values) if isinstance(values, Iterable) and not isinstance(values, str | bytes) else None


def _whole(name: str, values: Any) -> list[int]:
    listed = _listed(values)
    if listed is None or not all(isinstance(value, int | np.integer) for value in listed):
        raise ConfigError(f"{name}={values!r}: give whole numbers, such as (1, 2)")
    return [int(value) for value in listed]


def _platforms(numbers: Any) -> frozenset[str]:
    """Plain ones; an empty one would be of every profile without a number."""
    listed = _listed(numbers)
    if listed is None or not all(
        isinstance(number, str | int | np.integer) and str(number).strip() for number in listed
    ):
        raise ConfigError(f"withhold={numbers!r}: give a list of WMO platform numbers, such as ['6901929']")
    return frozenset(plain_platform(str(number)) for number in listed)


def check_rows(rows: Rows, grid: RasterGrid) -> None:
    """Whether every patch lies on the grid.

    Raises:
        ConfigError: there is no row, or one is outside; names it.
    """
    if not len(rows):
        raise ConfigError("there is no row: give rows, or an index and a split that has some")
    down, across = rows.patch_id // grid.width, rows.patch_id % grid.width
    outside = (rows.patch_id < 0) | (down + rows.tile > grid.height) | (rows.tile > grid.width)
    if not grid.periodic:
        outside |= across + rows.tile > grid.width
    if outside.any():
        row = int(np.flatnonzero(outside)[0])
        raise ConfigError(
            f"{rows.name(row)}: {rows.tile} pixels from row {down[row]}, column {across[row]} are not on the grid of "
            f"{grid.height} rows and {grid.width} columns: the patches are of another grid; make the index for this one"
        )


Observed = tuple[NDArray[np.int32], dict[FieldName, NDArray[np.float32]]]


def observed(
    pixels: Iterable[NDArray[Any]], values: Iterable[NDArray[Any]], fields: Sequence[Field], levels: int
) -> Observed:
    """Profiles of a patch as a sample has them.

    Args:
        pixels: of some profiles: [profile] each.
        values: of these, fields side by side, NaN where missing: [profile, field x level] each.
        fields: which.
        levels: of each.

    Returns:
        Pixels with a value, ascending: [point]; by field the means there, NaN where there is none: [point, level].
    """
    places, parts = list(pixels), list(values)
    if not places:
        return np.empty(0, np.int32), {field.name: np.empty((0, levels), np.float32) for field in fields}
    points, means = average_duplicates(np.concatenate(places), np.concatenate(parts))
    some = np.isfinite(means).any(axis=1)
    split = np.split(means[some], len(fields), axis=1)
    return points[some], {field.name: part for field, part in zip(fields, split, strict=True)}
