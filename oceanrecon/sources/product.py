"""What a product is: its variables, its file names, and what is known about its values."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from oceanrecon.errors import ConfigError

#: Accepted spellings of a file's ``units`` and how they become ours: ``value * factor + offset``.
KELVIN = {
    **dict.fromkeys(("K", "kelvin", "Kelvin", "degK", "degree_K", "degrees_K"), (1.0, 0.0)),
    **dict.fromkeys(
        (
            "degC",
            "degrees_C",
            "degree_C",
            "celsius",
            "Celsius",
            "degree_Celsius",
            "degrees_Celsius",
            "deg_C",
            "C",
            "degrees C",
            "°C",
        ),
        (1.0, 273.15),
    ),
}
#: The same spellings, to degrees Celsius.
CELSIUS = {name: (factor, offset - 273.15) for name, (factor, offset) in KELVIN.items()}
PRACTICAL_SALINITY = dict.fromkeys(
    ("1e-3", "0.001", "1e-03", "PSU", "psu", "PSS-78", "pss-78", "PSS", "1", "g kg-1", "g/kg"), (1.0, 0.0)
)
METRES = {
    **dict.fromkeys(("m", "meter", "metre", "meters", "metres"), (1.0, 0.0)),
    "cm": (0.01, 0.0),
    "mm": (0.001, 0.0),
}
DENSITY = dict.fromkeys(("kg m-3", "kg/m3", "kg/m^3", "kg m^-3", "kg.m-3"), (1.0, 0.0))


SPEED = {**dict.fromkeys(("m s-1", "m/s", "m.s-1", "m s^-1"), (1.0, 0.0)), "cm/s": (0.01, 0.0)}
#: Fractions are 0..1 in the files, also where these declare percent.
FRACTION = dict.fromkeys(("1", "", "%", "percent"), (1.0, 0.0))


@dataclass(frozen=True, kw_only=True)
class ProductVariable:
    """One variable of a product, under the name it has in the files and keeps in every output."""

    name: str
    standard_name: str
    long_name: str
    #: units of the values that we deliver
    units: str
    #: units as files spell them -> (factor, offset) to ours
    conversions: Mapping[str, tuple[float, float]]
    #: values outside this range, in our units, are undeclared fills
    plausible: tuple[float, float]
    #: has a depth dimension
    levels: bool = False


@dataclass(frozen=True, kw_only=True)
class Variable(ProductVariable):
    """A variable that is exported."""

    #: the quantity whose stretch encodes it (``transform.encode.QUANTITIES``)
    quantity: str


@dataclass(frozen=True, kw_only=True)
class Sampled(ProductVariable):
    """A variable that is sampled where profiles are."""

    #: categories and flags: the nearest node's value, never a mean
    nearest: bool = False

    @classmethod
    def of(cls, variable: ProductVariable) -> Sampled:
        """An exported variable, in the same units."""
        shared = {item.name: getattr(variable, item.name) for item in fields(ProductVariable)}
        return cls(**shared)


@dataclass(frozen=True)
class Product:
    """A product: everything that only its files' conventions decide."""

    #: short name, also the folder of its rasters: ``rasters/<name>/<variable>/``
    name: str
    title: str
    #: dataset identifier of the provider
    dataset: str
    variables: tuple[Variable, ...]
    #: full-name patterns with the groups ``date`` (YYYYMMDD) and, where the name has one, ``revision`` (YYYYMMDD)
    file_names: tuple[str, ...]
    #: True: the mean over the window; False: the file of the (nearest) date, taken as it is
    windowed: bool
    #: what is sampled beside profiles, in the units that the files have
    sampled: tuple[Sampled, ...] = ()
    #: dimension names that mean the same, first the CF name we use
    dimensions: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            "time": ("time", "t"),
            "depth": ("depth", "lev", "deptht", "z"),
            "latitude": ("latitude", "lat", "y", "nav_lat"),
            "longitude": ("longitude", "lon", "x", "nav_lon"),
        }
    )

    def __post_init__(self) -> None:
        levels = [variable.name for variable in self.variables if variable.levels]
        if self.windowed and levels:
            raise ValueError(
                f"product {self.name!r}: {levels[0]!r} has levels, and the mean over a window is made for surface "
                "variables only: set windowed=False"
            )

    def variable(self, name: str) -> Variable:
        """The variable called ``name``.

        Raises:
            ConfigError: the product has no such variable.
        """
        for variable in self.variables:
            if variable.name == name:
                return variable
        known = ", ".join(variable.name for variable in self.variables)
        raise ConfigError(f"product {self.name!r} has no variable {name!r}: it has {known}")

    def date_of(self, file_name: str, *, inside: bool = False) -> tuple[dt.date | None, dt.date | None] | None:
        """Date and revision that a file name states, or ``None`` where no pattern of this product fits it.

        With ``inside``, a pattern may fit a part of the name: for files that are known to be this product's.
        """
        for pattern in self.file_names:
            match = re.search(pattern, file_name) if inside else re.fullmatch(pattern, file_name)
            if match:
                found = match.groupdict()
                return _calendar_date(found.get("date")), _calendar_date(found.get("revision"))
        return None


def _calendar_date(digits: str | None) -> dt.date | None:
    try:
        return dt.datetime.strptime(digits, "%Y%m%d").date() if digits else None
    except ValueError:
        return None
