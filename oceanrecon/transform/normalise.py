"""Normalisation: what a model gets is ``(value - mean) / std``, with one mean and deviation for all depths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from oceanrecon.transform.encode import EncodingName, stretch


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation, in the units of the values."""

    mean: float
    std: float

    def of_values(self) -> tuple[float, float]:
        """Offset and factor from physical values to what a model gets: ``offset + factor * value``."""
        return -self.mean / self.std, 1.0 / self.std

    def of_codes(self, quantity: str, encoding: EncodingName) -> tuple[float, float]:
        """The same from the codes of a quantity."""
        code = stretch(quantity, encoding)
        return (code.minimum - self.mean) / self.std, code.step / self.std


#: By quantity (``transform.encode.QUANTITIES``), of the published data set: K, PSU, m.
PUBLISHED: Mapping[str, Normalisation] = {
    "temperature_kelvin": Normalisation(289.74267177946783, 10.933397487585731),
    "salinity": Normalisation(34.54260282159372, 1.158266487751096),
    "sea_height": Normalisation(0.0, 2.0),
}
