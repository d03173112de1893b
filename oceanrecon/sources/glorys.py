"""GLORYS12V1, the global ocean reanalysis: temperature and salinity on 50 levels at 1/12 degree.

One file per day, (time, depth, latitude, longitude), int16 with scale and offset, degC and practical salinity,
longitudes -180..180, latitudes -80..90 ascending. A file is taken as it is for its date: archives often hold one
day a week, and a mean of one is that day. ``mean`` in the name is the mean over the day.
"""

from __future__ import annotations

from dataclasses import replace

from oceanrecon.sources.product import (
    CELSIUS,
    FRACTION,
    KELVIN,
    METRES,
    PRACTICAL_SALINITY,
    SPEED,
    Product,
    Sampled,
    Variable,
)

_THETAO = Variable(
    name="thetao",
    quantity="temperature_kelvin",
    standard_name="sea_water_potential_temperature",
    long_name="Sea water potential temperature",
    units="K",
    conversions=KELVIN,
    plausible=(268.15, 318.15),
    levels=True,
)
_SO = Variable(
    name="so",
    quantity="salinity",
    standard_name="sea_water_salinity",
    long_name="Sea water practical salinity",
    units="PSU",
    conversions=PRACTICAL_SALINITY,
    plausible=(0.0, 50.0),
    levels=True,
)


def _flow(name: str, direction: str, what: str = "sea_water") -> Sampled:
    return Sampled(
        name=name,
        standard_name=f"{direction}_{what}_velocity",
        long_name=f"{direction.capitalize()} {what.replace('_', ' ')} velocity",
        units="m s-1",
        conversions=SPEED,
        plausible=(-10.0, 10.0),
        levels=what == "sea_water",
    )


PRODUCT = Product(
    name="glorys",
    title="GLORYS12V1 global ocean reanalysis",
    dataset="cmems_mod_glo_phy_my_0.083deg_P1D-m",
    variables=(_THETAO, _SO),
    file_names=(
        r"mercatorglorys12v1_gl12_mean_(?P<date>\d{8})_R(?P<revision>\d{8})\.nc",
        # Subsets cut by the provider's own tool: any number of days, dated by their time coordinate only.
        r"cmems_mod_glo_phy_my_0\.083deg_P1D-m[_.-].*\.nc",
    ),
    windowed=False,
    sampled=(
        replace(Sampled.of(_THETAO), units="degC", conversions=CELSIUS, plausible=(-5.0, 45.0)),
        Sampled.of(_SO),
        _flow("uo", "eastward"),
        _flow("vo", "northward"),
        Sampled(
            name="zos",
            standard_name="sea_surface_height_above_geoid",
            long_name="Sea surface height",
            units="m",
            conversions=METRES,
            plausible=(-10.0, 10.0),
        ),
        Sampled(
            name="mlotst",
            standard_name="ocean_mixed_layer_thickness_defined_by_sigma_theta",
            long_name="Mixed layer depth by density",
            units="m",
            conversions=METRES,
            plausible=(0.0, 12000.0),
        ),
        Sampled(
            name="bottomT",
            standard_name="sea_water_potential_temperature_at_sea_floor",
            long_name="Potential temperature at the sea floor",
            units="degC",
            conversions=CELSIUS,
            plausible=(-5.0, 45.0),
        ),
        Sampled(
            name="sithick",
            standard_name="sea_ice_thickness",
            long_name="Sea ice thickness",
            units="m",
            conversions=METRES,
            plausible=(0.0, 100.0),
        ),
        Sampled(
            name="siconc",
            standard_name="sea_ice_area_fraction",
            long_name="Sea ice area fraction",
            units="1",
            conversions=FRACTION,
            plausible=(-0.01, 1.01),
        ),
        _flow("usi", "eastward", "sea_ice"),
        _flow("vsi", "northward", "sea_ice"),
    ),
)
