"""Simulated observations: which pixels of a patch somebody has seen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.transform.tracks import track_pixels

Kind = Literal["columns", "tracks", "rectangles"]

#: Boxes that are drawn together, and how often; what they leave to hide is hidden row by row.
_BOXES, _ROUNDS = 256, 16


@dataclass(frozen=True)
class Simulation:
    """How observations are simulated.

    * ``columns``: single pixels by chance, as floats are. Their number is from a normal distribution around
      ``columns`` with a tenth of it as deviation, and never more than a tenth away; all, where there are fewer.
    * ``tracks``: pixels on the ways of vehicles, see ``transform.tracks``, until exactly the share ``hidden`` of the
      ocean pixels is left unseen.
    * ``rectangles``: boxes hide the ocean, as clouds would, until exactly the share ``hidden`` is; what no box covers
      is seen. Sides are drawn from ``sides``, both included, and boxes lie anywhere, cut at the border of the patch.

    Half hidden, ``tracks`` cost 10 to 30 ms of CPU a mask of 128 x 128 pixels, and 50 masks of ``rectangles`` 30 ms.

    A share that is no whole number of pixels hides one pixel less: something is seen wherever there is ocean.

    Raises:
        ConfigError: a value is impossible.
    """

    kind: Kind
    #: mean number of columns (``columns``)
    columns: int = 500
    #: share of the ocean pixels that is not observed (``tracks``, ``rectangles``)
    hidden: float = 0.99
    #: shortest and longest side of a box, pixels (``rectangles``)
    sides: tuple[int, int] = (8, 32)
    #: each level is observed at pixels of its own; otherwise all levels of a pixel are
    per_depth: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"there is no simulation of {self.kind!r}: it is one of {', '.join(get_args(Kind))}")
        if self.columns < 1:
            raise ConfigError(f"columns={self.columns} observes nothing: give at least 1")
        if not 0 < self.hidden < 1:
            raise ConfigError(f"hidden={self.hidden} is no share of the ocean: give a number between 0 and 1")
        if not 1 <= self.sides[0] <= self.sides[1]:
            raise ConfigError(f"sides={self.sides} is no range: give the shortest and the longest side, at least 1")

    def pixels(self, ocean: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.int32]:
        """The pixels that are observed, of those where ``ocean`` is true.

        Args:
            ocean: where there is a value: [row, column].
            generator: what decides.

        Returns:
            ``row * width + column``, ascending: [pixel].
        """
        places = np.flatnonzero(ocean)
        hidden = math.floor(self.hidden * places.size + 1e-9)  # 0.29 * 100 is a little less than 29
        if not places.size:
            chosen = places
        elif self.kind == "columns":
            number = min(self._number(generator), places.size)
            chosen = generator.choice(places, number, replace=False, shuffle=False)
        elif self.kind == "tracks":
            chosen = track_pixels(ocean, places.size - hidden, generator)
        else:
            order = _order_of_boxes(ocean.shape, places, hidden, self.sides, generator)
            chosen = places[order[hidden:]]
        return np.sort(chosen).astype(np.int32)

    def _number(self, generator: np.random.Generator) -> int:
        spread = self.columns // 10
        drawn = round(generator.normal(self.columns, 0.1 * self.columns))
        return min(max(drawn, self.columns - spread), self.columns + spread)


def _order_of_boxes(
    shape: tuple[int, ...],
    places: NDArray[np.int64],
    hidden: int,
    sides: tuple[int, int],
    generator: np.random.Generator,
) -> NDArray[np.int64]:
    """The order in which ``places`` are hidden: box after box, in a box row by row, and what no box covers last."""
    never = _BOXES * _ROUNDS
    # of the first box that covers a pixel
    box = np.full(shape, never, np.int16)
    for first in range(0, never, _BOXES):
        if np.count_nonzero(box.ravel()[places] < never) >= hidden:
            break
        box = np.minimum(box, _painted(shape, first, never, sides, generator))
    covered = box.ravel()[places]
    rows = (never + generator.permutation(shape[0])).astype(np.int16)[places // shape[1]]
    # of 16 bits: ten times quicker to sort
    return np.argsort(np.where(covered < never, covered, rows), kind="stable")


def _painted(
    shape: tuple[int, ...], first: int, never: int, sides: tuple[int, int], generator: np.random.Generator
) -> NDArray[np.int16]:
    """The number of the first box that covers a pixel, of boxes that are numbered from ``first``: [row, column]."""
    painted = np.full(shape, never, np.int16)
    size = generator.integers(sides[0], sides[1] + 1, (_BOXES, 2))
    # as likely to cover a pixel at the border as one in the middle
    start = generator.integers(1 - size, np.array(shape))
    end = (start + size).tolist()
    for number, ((top, left), (bottom, right)) in reversed(
        list(enumerate(zip(np.maximum(start, 0).tolist(), end, strict=True), first))
    ):
        painted[top:bottom, left:right] = number
    return painted
