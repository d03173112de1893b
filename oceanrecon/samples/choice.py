"""What a user chooses of a source: scenario, surface fields, days, and which profiles are inputs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid
from oceanrecon.samples.form import CHANNELS, SCENARIOS, Field, FieldName, Scenario
from oceanrecon.samples.rows import Rows
from oceanrecon.samples.withheld import FloatSide, FloatSplit, check_sides
from oceanrecon.sources.platform import plain_platform
from oceanrecon.transform.points import average_duplicates

#: Flags of good and probably good levels.
GOOD = (1, 2)
#: What becomes of a surface field that is not there: an error, or a channel without values.
MissingSurface = Literal["error", "blank"]
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
    #: where platforms are on sides: which side each is on
    floats: FloatSplit | None
    #: whose profiles are inputs
    sides: frozenset[FloatSide]

    @classmethod
    def of(
        cls, scenario: Scenario, surface: Sequence[str], days: float, quality: Collection[int],
        withhold: Collection[str | int], floats: FloatSplit | None = None, sides: Sequence[str] = ("train",),
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
        return cls(
            scenario, tuple(surface), days, np.array(sorted(flags), np.int16), _platforms(withhold), floats,
            check_sides(sides),
        )  # fmt: skip

    @property
    def half(self) -> int:
        """Days before and after a date."""
        return (self.days - 1) // 2

    @property
    def withholds(self) -> bool:
        """Whether any platform may be left out."""
        return bool(self.withhold) or self.floats is not None

    def leaves_out(self, platform: str) -> bool:
        """Whether profiles of a platform are no inputs."""
        if self.floats is not None and self.floats.side(platform) not in self.sides:
            return True
        return plain_platform(platform) in self.withhold


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


def blanks(missing_surface: str) -> bool:
    """Whether a surface field that is not there becomes a channel without values.

    Raises:
        ConfigError: there is no such choice.
    """
    if missing_surface not in ("error", "blank"):
        raise ConfigError(f"there is no missing_surface {missing_surface!r}: it is error or blank")
    return missing_surface == "blank"


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


@dataclass(frozen=True, eq=False)
class Observed:
    """Profiles of a patch as a sample has them."""

    #: pixels with a value, ascending: [point]
    points: NDArray[np.int32]
    #: by field the means there, K and PSU, NaN where there is none: [point, level]
    values: dict[FieldName, NDArray[np.float32]]
    #: mean of the days of the profiles there, counted from the date of the sample: [point]
    age: NDArray[np.float32]


def observed(
    pixels: Iterable[NDArray[Any]], days: Iterable[NDArray[Any]], values: Iterable[NDArray[Any]],
    fields: Sequence[Field], levels: int,
) -> Observed:  # fmt: skip
    """Average the profiles of a patch that share a pixel; those without a value do not count.

    Args:
        pixels: of some profiles: [profile] each.
        days: of these, after the date of the sample: [profile] each.
        values: of these, fields side by side, NaN where missing: [profile, field x level] each.
        fields: which.
        levels: of each.
    """
    parts = list(values)
    if not parts:
        empty = {field.name: np.empty((0, levels), np.float32) for field in fields}
        return Observed(np.empty(0, np.int32), empty, np.empty(0, np.float32))
    measured = np.concatenate(parts)
    some = np.isfinite(measured).any(axis=1)
    places = np.concatenate(list(pixels))[some]
    points, means = average_duplicates(places, measured[some])
    _, ages = average_duplicates(places, np.concatenate(list(days))[some, None].astype(np.float64))
    split = np.split(means, len(fields), axis=1)
    return Observed(points, {field.name: part for field, part in zip(fields, split, strict=True)}, ages[:, 0])
