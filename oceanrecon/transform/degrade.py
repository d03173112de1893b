"""Worse surface fields than a product delivers: an offset, noise, or no field at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError

#: K of 0 degC: the noise of a temperature is in proportion to degC.
_ZERO = 273.15
#: The factors of the noise are no further from 1.
_FACTORS = (0.9, 1.1)


class Degraded(NamedTuple):
    """A degraded field, and what was done to it."""

    #: NaN where missing: [row, column]
    values: NDArray[np.float32]
    #: K
    offset: float
    dropped: bool


@dataclass(frozen=True)
class Degradation:
    """What is done to the surface fields that are named, and to no other.

    A temperature (degC) becomes ``value * factor + shift``, any other field (PSU, m) ``value * factor``: one shift for
    a field, and a factor for each pixel.

    Raises:
        ConfigError: a value is impossible.
    """

    #: which surface fields
    channels: tuple[str, ...]
    #: K; shifts are drawn evenly between minus and plus this
    offset: float = 2.0
    #: standard deviation of the factors around 1; none is below 0.9 or above 1.1
    speckle: float = 0.01
    #: how likely it is that a field is missing altogether
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if not self.channels:
            raise ConfigError(f"channels={self.channels!r} names no surface field: give those to degrade")
        if not 0 <= self.offset < np.inf:
            raise ConfigError(f"offset={self.offset} is no amount: give kelvin, 0 for none")
        if not 0 <= self.speckle < np.inf:
            raise ConfigError(f"speckle={self.speckle} is no standard deviation: give one such as 0.01, 0 for none")
        if not 0 <= self.dropout <= 1:
            raise ConfigError(f"dropout={self.dropout} is no probability: give a number from 0 to 1")

    def degrade(
        self, values: NDArray[np.float32], quantity: str, stream: Callable[[str], np.random.Generator]
    ) -> Degraded:
        """Degrade one field.

        Args:
            values: K, PSU or m, NaN where missing: [row, column].
            quantity: which (``transform.encode.QUANTITIES``).
            stream: what decides, by purpose.
        """
        if self.dropout and stream("dropout").random() < self.dropout:
            return Degraded(np.full_like(values, np.nan), 0.0, True)
        temperature = quantity == "temperature_kelvin"
        offset = self.offset * float(stream("offset").uniform(-1.0, 1.0)) if temperature and self.offset else 0.0
        degraded = values
        if self.speckle:
            noise = stream("speckle").standard_normal(values.shape, np.float32)
            factor = np.clip(1.0 + np.float32(self.speckle) * noise, *_FACTORS)
            zero = np.float32(_ZERO if temperature else 0.0)
            degraded = (values - zero) * factor + zero
        return Degraded(degraded + np.float32(offset), offset, False)
