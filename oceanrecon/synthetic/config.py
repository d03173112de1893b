"""The settings of a synthetic archive: which products, on which grids, which days, and what is wrong with them."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import Field, model_validator

from oceanrecon.config import Date, Settings
from oceanrecon.grid import stepped_dates

ProductName = Literal["glorys", "ostia", "sealevel", "sss"]
FaultKind = Literal[
    "missing", "truncated", "superseded", "no_units", "celsius", "undeclared_fill", "several_days", "undated"
]


class ProductSynthesis(Settings):
    """The files of one product."""

    cells_per_degree: float = Field(gt=0, description="Cells in a degree: 12 for 1/12 degree, 0.5 for 2 degrees.")
    start: Date = Field(description="First date.")
    end: Date = Field(description="Last date, included.")
    every_days: int = Field(1, ge=1, description="A file every so many days.")
    variables: tuple[str, ...] | None = Field(None, description="Variables to write; default: all of the product.")
    longitudes: Literal["-180..180", "0..360"] = Field("-180..180", description="Where the longitudes begin.")
    latitudes: Literal["ascending", "descending"] = Field("ascending", description="Order of the latitudes.")

    @model_validator(mode="after")
    def _in_order(self) -> ProductSynthesis:
        if self.end < self.start:
            raise ValueError(f"`end` {self.end} is before `start` {self.start}")
        return self

    @property
    def dates(self) -> list[dt.date]:
        """The dates that have a file."""
        return stepped_dates(self.start, self.end, self.every_days)


class GlorysSynthesis(ProductSynthesis):
    """The files of the reanalysis."""

    levels: int = Field(50, ge=1, le=50, description="How many of the 50 levels, from the surface down.")


class Fault(Settings):
    """Something that is wrong with the files of some dates."""

    product: ProductName = Field(description="Whose file.")
    kind: FaultKind = Field(
        description="`missing`: no file. `truncated`: its first 60 %. `superseded`: beside it an earlier revision, of "
        "another ocean. `no_units`: no `units` attribute. `celsius`: temperature in degrees Celsius and declared so "
        "(with `no_units`: undeclared). `undeclared_fill`: no `_FillValue`. `several_days`: one file for all the "
        "dates. `undated`: neither name nor content tell the date."
    )
    dates: tuple[Date, ...] = Field(min_length=1, description="Dates of the product that have the fault.")


class ArchiveSynthesis(Settings):
    """An archive of a synthetic ocean; equal settings give equal files."""

    seed: int = Field(0, ge=0, description="Number of the ocean: which eddies are where.")
    region: tuple[float, float, float, float] = Field(
        (-180.0, -90.0, 180.0, 90.0), description="West, south, east, north in degrees; cells with centres inside."
    )
    glorys: GlorysSynthesis | None = Field(None, description="GLORYS: 50 levels; the real one has 12 cells per degree.")
    ostia: ProductSynthesis | None = Field(None, description="OSTIA; the real one has 20 cells per degree.")
    sealevel: ProductSynthesis | None = Field(None, description="DUACS; the real one has 8 cells per degree.")
    sss: ProductSynthesis | None = Field(None, description="Surface salinity; the real one has 8 cells per degree.")
    faults: tuple[Fault, ...] = Field((), description="What is wrong with which files.")

    @property
    def products(self) -> dict[ProductName, ProductSynthesis]:
        """The products that are written."""
        found: dict[ProductName, ProductSynthesis | None] = {
            "glorys": self.glorys,
            "ostia": self.ostia,
            "sealevel": self.sealevel,
            "sss": self.sss,
        }
        return {name: product for name, product in found.items() if product is not None}

    @model_validator(mode="after")
    def _possible(self) -> ArchiveSynthesis:
        west, south, east, north = self.region
        if not (-360 <= west < east <= 360 and east - west <= 360 and -90 <= south < north <= 90):
            raise ValueError(f"`region` {list(self.region)} is not west < east, south < north in degrees")
        if not self.products:
            raise ValueError("nothing to write: give at least one of `glorys`, `ostia`, `sealevel`, `sss`")
        for fault in self.faults:
            product = self.products.get(fault.product)
            absent = [str(date) for date in fault.dates if product is None or date not in product.dates]
            if absent:
                raise ValueError(f"fault {fault.kind!r} of {fault.product!r} is for dates without a file: {absent}")
            if fault.product == "ostia" and fault.kind == "superseded":
                raise ValueError("fault 'superseded': names of OSTIA files have no revision")
            if fault.product in ("sealevel", "sss") and fault.kind == "celsius":
                raise ValueError(f"fault 'celsius': {fault.product!r} has no temperature")
        return self
