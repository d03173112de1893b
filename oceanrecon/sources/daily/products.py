"""Daily fields of one file each: the reanalysis, and the gridded sea level, temperature and salinity of satellites.

Names of files are those that the provider gives them. Of two files of a day the later revision counts: by the day of
production, by the version, and what was reprocessed goes before what was made in near real time.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from oceanrecon.sources import glorys, ostia, sealevel, sss
from oceanrecon.sources.daily.gridded import Taken, level_reader, reader
from oceanrecon.sources.daily.source import DailySource
from oceanrecon.sources.product import CELSIUS, Product, ProductVariable, Sampled

_KELVIN = 273.15
#: Depth of the level of currents that is taken beside the surface, m.
_BELOW_SURFACE = 15.81


def _in_celsius(variable: ProductVariable) -> ProductVariable:
    """A temperature that a product delivers in kelvin."""
    low, high = variable.plausible
    return replace(
        variable, units="degree_Celsius", conversions=CELSIUS, plausible=(low - _KELVIN, high - _KELVIN), levels=False
    )


def _known(product: Product, *celsius: str) -> dict[str, ProductVariable]:
    """What is known of the variables of a product, those named in degrees Celsius."""
    every: Sequence[ProductVariable] = (*product.sampled, *product.variables)
    return {
        variable.name: _in_celsius(variable) if variable.name in celsius else replace(variable, levels=False)
        for variable in every
    }


_OCEAN = _known(glorys.PRODUCT, "thetao")
_TOPOGRAPHY = replace(_OCEAN["zos"], name="mdt", long_name="Mean dynamic topography")

GLORYS = DailySource(
    key="glorys",
    folder="glorys",
    title=glorys.PRODUCT.title,
    kind="grid",
    names=(re.compile(r"mercatorglorys12v1_gl12_mean_(?P<date>\d{8})_(?P<revision>R\d{8})\.nc"),),
    variable="all_phys",
    sensor="model",
    modality="model",
    # the published files have the currents of this level, under the plain names
    read_grid=level_reader(
        (
            Taken(_OCEAN["zos"], "zos"),
            Taken(_TOPOGRAPHY, "mdt"),
            Taken(_OCEAN["thetao"], "thetao"),
            Taken(_OCEAN["so"], "so"),
            Taken(_OCEAN["uo"], "uo", _BELOW_SURFACE),
            Taken(_OCEAN["vo"], "vo", _BELOW_SURFACE),
            Taken(_OCEAN["uo"], "uo_surface"),
            Taken(_OCEAN["vo"], "vo_surface"),
        ),
        ("thetao",),
    ),
)

L4_SSH = DailySource(
    key="l4_ssh",
    folder="l4_ssh",
    title=sealevel.PRODUCT.title,
    kind="grid",
    names=(re.compile(r"(?:(?P<final>dt)|nrt)_global_allsat_phy_l4_(?P<date>\d{8})_(?P<revision>\d{8})\.nc"),),
    variable="ssh",
    sensor="altimeter",
    modality="satellite",
    read_grid=reader(tuple(_known(sealevel.PRODUCT).values()), ("sla", "adt")),
)

L4_SST = DailySource(
    key="l4_sst",
    folder="l4_sst",
    title=ostia.PRODUCT.title,
    kind="grid",
    # "_REP-..." is greater than "-..."
    names=(re.compile(r"(?P<date>\d{8})\d{6}-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB(?P<revision>(?:_REP)?-.+)\.nc"),),
    variable="sst",
    sensor="radiometer",
    modality="satellite",
    read_grid=reader(tuple(_known(ostia.PRODUCT, "analysed_sst").values()), ("analysed_sst",)),
)

L4_SSS = DailySource(
    key="l4_sss",
    folder="l4_sss",
    title=sss.PRODUCT.title,
    kind="grid",
    names=(
        re.compile(
            r"dataset-sss-ssd-(?:(?P<final>rep)|[a-z]+)-daily_(?:DT_|NRT_)?(?P<date>\d{8})T\d{4}Z"
            r"_(?P<revision>P\d{8}T\d{4}Z)\.nc"
        ),
    ),
    variable="sss",
    sensor="multi-observation",
    modality="satellite",
    read_grid=reader(tuple(_known(sss.PRODUCT).values()), ("sos",)),
)


def _temperature(name: str, long_name: str) -> ProductVariable:
    return Sampled(
        name=name, standard_name="sea_surface_subskin_temperature", long_name=long_name, units="degree_Celsius",
        conversions=CELSIUS, plausible=(-5.0, 45.0),
    )  # fmt: skip


L3_SST = DailySource(
    key="l3_sst",
    folder="l3_sst",
    title="ODYSSEA sea surface temperature of several sensors, with gaps",
    kind="grid",
    names=(re.compile(r"(?P<date>\d{8})\d{6}-IFR-L3S_GHRSST-(?P<revision>.+)\.nc"),),
    variable="sst",
    sensor="radiometer",
    modality="satellite",
    read_grid=reader(
        (
            _temperature("sea_surface_temperature", "Sea surface temperature"),
            _temperature("adjusted_sea_surface_temperature", "Sea surface temperature, adjusted to a reference"),
        ),
        ("adjusted_sea_surface_temperature",),
    ),
)
