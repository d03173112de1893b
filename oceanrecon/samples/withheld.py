"""Which floats are for training, which for validation, and which for the test: by the hash of their platform number.

A float keeps its side at every date, wherever it drifts, and in every archive that calls it by the same number.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from oceanrecon.errors import ConfigError
from oceanrecon.sources.platform import plain_platform

FloatSide = Literal["train", "val", "test"]
FLOAT_SIDES: tuple[FloatSide, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class FloatSplit:
    """Shares of the platforms that are withheld from training.

    Raises:
        ConfigError: the shares are impossible.
    """

    seed: int = 0
    #: share of the platforms
    val: float = 0.05
    #: likewise
    test: float = 0.1

    def __post_init__(self) -> None:
        if not (0 <= self.val < 1 and 0 <= self.test < 1 and self.val + self.test < 1):
            raise ConfigError(
                f"val={self.val}, test={self.test} are no shares of the floats: give two numbers from 0 that together "
                "are less than 1, such as 0.05 and 0.1"
            )

    def side(self, platform: str) -> FloatSide:
        """The side of a platform, by its WMO number; a profile without one is for training."""
        plain = plain_platform(platform)
        if not plain:
            return "train"
        digest = blake2b(f"{self.seed}:{plain}".encode(), digest_size=8).digest()
        place = int.from_bytes(digest, "big") / 2**64
        if place < self.test:
            return "test"
        return "val" if place < self.test + self.val else "train"


def tell_absent(withhold: Collection[str], known: Collection[str], where: str) -> None:
    """Warn of platforms to withhold that are not known ``where``: a list for all archives has more than one of them.

    A number that is mistyped is among these, too.
    """
    absent = sorted({*withhold} - {*known})
    if absent:
        warnings.warn(
            f"{len(absent)} of {len(withhold)} platforms in `withhold` have no profile in {where}: "
            f"{', '.join(absent[:5])}{', ...' if len(absent) > 5 else ''}; one that it has is "
            f"{min(filter(None, known), default='none')}",
            stacklevel=2,
        )


def check_sides(sides: Sequence[str]) -> frozenset[FloatSide]:
    """The sides.

    Raises:
        ConfigError: there is none, or no such side.
    """
    known = frozenset(side for side in FLOAT_SIDES if side in sides)
    if isinstance(sides, str) or not known or len(known) != len(set(sides)):
        raise ConfigError(f"sides={sides!r}: give a list of some of {', '.join(FLOAT_SIDES)}")
    return known
