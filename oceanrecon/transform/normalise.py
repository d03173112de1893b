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

    def affine(self, quantity: str, encoding: EncodingName | None) -> tuple[float, float]:
        """Offset and factor from what is stored to what a model gets: ``offset + factor * stored``.

        ``encoding`` is that of the codes, or ``None`` for values in physical units.
        """
        if encoding is None:
            return -self.mean / self.std, 1.0 / self.std
        code = stretch(quantity, encoding)
        return (code.minimum - self.mean) / self.std, code.step / self.std


#: By quantity (``transform.encode.QUANTITIES``), of the published data set: K, PSU, m.
PUBLISHED: Mapping[str, Normalisation] = {
    "temperature_kelvin": Normalisation(289.74267177946783, 10.933397487585731),
    "salinity": Normalisation(34.54260282159372, 1.158266487751096),
    "sea_height": Normalisation(0.0, 2.0),
}
