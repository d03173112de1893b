"""The settings of a synthetic archive: which products and profiles, which days, and what is wrong with them."""

from __future__ import annotations

import datetime as dt
from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from oceanrecon.config import Date, Settings
from oceanrecon.grid import stepped_dates

ProductName = Literal["glorys", "ostia", "sealevel", "sss"]
ProfileName = Literal["en4", "argo"]
#: Folders of daily files; the two kinds of passes of SMOS share one.
DailyName = Literal[
    "glorys", "l4_ssh", "l4_sst", "l4_sss", "l4_wind", "l3_sst", "l3_sss_smos", "l3_ssh", "l3_swot", "argo"
]
Satellite = Literal["s3a", "s3b", "c2n", "alg", "j3n", "s6a", "h2b"]
FaultKind = Literal[
    "missing", "truncated", "superseded", "no_units", "celsius", "undeclared_fill", "several_days", "undated",
    "no_salinity", "empty", "bad_flags", "bad_positions", "bad_dates", "no_position", "repeated_cycle",
]  # fmt: skip
_GRIDDED: frozenset[FaultKind] = frozenset(
    {"missing", "truncated", "superseded", "no_units", "celsius", "undeclared_fill", "several_days", "undated"}
)
#: What can be wrong with the files of a product.
FAULTS: dict[ProductName | ProfileName, frozenset[FaultKind]] = {
    "glorys": _GRIDDED,
    "ostia": _GRIDDED,
    "sealevel": _GRIDDED,
    "sss": _GRIDDED,
    "en4": frozenset(
        {"missing", "truncated", "no_salinity", "empty", "bad_flags", "bad_positions", "bad_dates"},
    ),
    "argo": frozenset({"bad_positions", "no_position", "repeated_cycle"}),
}


class _Dated(Settings):
    """From which date to which."""

    start: Date = Field(description="First date.")
    end: Date = Field(description="Last date, included.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"`end` {self.end} is before `start` {self.start}")
        return self


class ProductSynthesis(_Dated):
    """The files of one product."""

    cells_per_degree: float = Field(gt=0, description="Cells in a degree: 12 for 1/12 degree, 0.5 for 2 degrees.")
    every_days: int = Field(1, ge=1, description="A file every so many days.")
    variables: tuple[str, ...] | None = Field(None, description="Variables to write; default: all of the product.")
    longitudes: Literal["-180..180", "0..360"] = Field("-180..180", description="Where the longitudes begin.")
    latitudes: Literal["ascending", "descending"] = Field("ascending", description="Order of the latitudes.")

    @property
    def dates(self) -> list[dt.date]:
        """The dates that have a file."""
        return stepped_dates(self.start, self.end, self.every_days)


class GlorysSynthesis(ProductSynthesis):
    """The files of the reanalysis."""

    levels: int = Field(50, ge=1, le=50, description="How many of the 50 levels, from the surface down.")


class En4Synthesis(_Dated):
    """The monthly files of quality-controlled profiles."""

    profiles_per_day: int = Field(ge=1, le=50_000, description="Profiles of a day; the real one has some 1300.")
    levels: int = Field(400, ge=1, description="Slots for levels; instruments with more levels are thinned.")
    netcdf: Literal["alternate", "classic", "netcdf4"] = Field(
        "alternate",
        description="Form of the files; `alternate`: classic and NetCDF-4 month by month, as the real ones.",
    )
    argo_share: float = Field(
        0.8, ge=0, le=1, description="Part of the archive's Argo profiles that these files have, too."
    )

    @property
    def months(self) -> list[dt.date]:
        """The first of each month that has a file."""
        first = self.start.year * 12 + self.start.month - 1
        last = self.end.year * 12 + self.end.month - 1
        return [dt.date(month // 12, month % 12 + 1, 1) for month in range(first, last + 1)]


class ArgoSynthesis(_Dated):
    """The files of floats, as the data centres have them."""

    floats: int = Field(ge=1, le=100_000, description="Floats that are alive at a time; the real ones are some 4000.")
    cycle_days: int = Field(10, ge=1, description="Days from one profile of a float to its next.")


class DailySynthesis(_Dated):
    """The daily files of all sources that regional tiles are made of, each in a folder of its name."""

    sources: tuple[DailyName, ...] = Field(get_args(DailyName), min_length=1, description="Folders that are written.")
    cells_per_degree: float | None = Field(
        None, gt=0, description="Of all grids; default: those of each product, from 4 (SMOS) to 20 (OSTIA)."
    )
    satellites: tuple[Satellite, ...] = Field(
        get_args(Satellite), min_length=1, description="Altimeters, by the codes in the names of their files."
    )
    swot_lines: int = Field(9860, ge=2, description="Lines of each of the 28 half orbits of SWOT.")
    floats: int = Field(4000, ge=10, description="Floats; a tenth of them comes up on a day.")

    @property
    def dates(self) -> list[dt.date]:
        """The days that have files."""
        return stepped_dates(self.start, self.end, 1)


class Fault(Settings):
    """Something that is wrong with the files of some dates, or of some floats."""

    product: ProductName | ProfileName = Field(description="Whose file.")
    kind: FaultKind = Field(
        description="`missing`: no file. `truncated`: its first 60 %. `superseded`: beside it an earlier revision, of "
        "another ocean. `no_units`: no `units` attribute. `celsius`: temperature in degrees Celsius and declared so "
        "(with `no_units`: undeclared). `undeclared_fill`: no `_FillValue`. `several_days`: one file for all the "
        "dates. `undated`: neither name nor content tell the date. Of `en4`, which can also be `missing` and "
        "`truncated`: `no_salinity`: no salinity variable. `empty`: no profiles. `bad_flags`: flag characters that "
        "mean nothing. `bad_positions`: latitudes 169, -999.99 and 99999. `bad_dates`: dates long before and after "
        "any cruise, and none. Of `argo`: `bad_positions`: latitude -99.999, longitude -999.999, flagged as missing. "
        "`no_position`: the declared fill. `repeated_cycle`: a profile is in a file of its own, too, 5 microseconds "
        "later."
    )
    dates: tuple[Date, ...] = Field(
        (), description="Dates of the product that have the fault; of `en4`, the whole months that they are in."
    )
    floats: tuple[int, ...] = Field((), description="Of `argo`: which floats have the fault, counted from 1.")
    cycles: tuple[int, ...] = Field(
        (1,), description="Of `argo`: which profiles of these floats, counted from 1 in the archive."
    )


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
    en4: En4Synthesis | None = Field(None, description="EN4: profiles of all instruments, one file per month.")
    argo: ArgoSynthesis | None = Field(
        None,
        description="Argo: a file per float, and for one float in three a file per profile, too.",
    )
    daily: DailySynthesis | None = Field(
        None,
        description="Daily files of eleven sources, of the globe, for `oceanrecon regions`: an archive of its own.",
    )
    faults: tuple[Fault, ...] = Field((), description="What is wrong with which files.")

    @property
    def products(self) -> dict[ProductName, ProductSynthesis]:
        """The gridded products that are written."""
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
        others = bool(self.products) or self.en4 is not None or self.argo is not None
        if not others and self.daily is None:
            raise ValueError(
                "nothing to write: give at least one of `glorys`, `ostia`, `sealevel`, `sss`, `en4`, `argo`, `daily`"
            )
        if others and self.daily is not None:
            raise ValueError(
                "`daily` is an archive of its own, whose folders have names that others have: give it alone"
            )
        for fault in self.faults:
            self._check(fault)
        return self

    def _check(self, fault: Fault) -> None:
        if fault.kind not in FAULTS[fault.product]:
            known = ", ".join(sorted(FAULTS[fault.product]))
            raise ValueError(f"fault {fault.kind!r}: files of {fault.product!r} can have {known}")
        if fault.product == "argo":
            floats = self.argo.floats if self.argo is not None else 0
            absent = [str(number) for number in fault.floats if not 1 <= number <= floats]
            if absent or not fault.floats:
                raise ValueError(f"fault {fault.kind!r} of 'argo' needs `floats` from 1 to {floats}: not {absent}")
            return
        if fault.product == "en4":
            days = self.en4
            absent = [str(date) for date in fault.dates if days is None or not days.start <= date <= days.end]
        else:
            product = self.products.get(fault.product)
            absent = [str(date) for date in fault.dates if product is None or date not in product.dates]
        if absent or not fault.dates:
            raise ValueError(f"fault {fault.kind!r} of {fault.product!r} is for dates without a file: {absent}")
        if fault.product == "ostia" and fault.kind == "superseded":
            raise ValueError("fault 'superseded': names of OSTIA files have no revision")
        if fault.product in ("sealevel", "sss") and fault.kind == "celsius":
            raise ValueError(f"fault 'celsius': {fault.product!r} has no temperature")
