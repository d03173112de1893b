"""DUACS gridded sea level, all satellites: absolute dynamic topography, daily, global or one region.

(time, latitude, longitude), int32 with scale 0.0001, metres. Older releases are at 0.25 degree with longitudes
0..360, newer ones at 0.125 degree with -180..180; some declare no fill value, so that land decodes to -214748 m
and only the plausible range finds it. The last date in the name is the day of production.
"""

from __future__ import annotations

from oceanrecon.sources.product import FRACTION, METRES, SPEED, Product, Sampled, Variable

_ADT = Variable(
    name="adt",
    quantity="sea_height",
    standard_name="sea_surface_height_above_geoid",
    long_name="Absolute dynamic topography",
    units="m",
    conversions=METRES,
    plausible=(-10.0, 10.0),
)


def _height(name: str, standard_name: str, long_name: str) -> Sampled:
    return Sampled(
        name=name,
        standard_name=standard_name,
        long_name=long_name,
        units="m",
        conversions=METRES,
        plausible=(-10.0, 10.0),
    )


def _flow(name: str, standard_name: str, long_name: str) -> Sampled:
    return Sampled(
        name=name,
        standard_name=standard_name,
        long_name=long_name,
        units="m s-1",
        conversions=SPEED,
        plausible=(-20.0, 20.0),
    )


_ABSOLUTE = "surface_geostrophic_{}_sea_water_velocity"
_ANOMALY = "surface_geostrophic_{}_sea_water_velocity_assuming_sea_level_for_geoid"

PRODUCT = Product(
    name="sealevel",
    title="DUACS gridded sea level, all satellites",
    dataset="cmems_obs-sl_glo_phy-ssh_my_allsat-l4-duacs-0.125deg_P1D",
    variables=(_ADT,),
    file_names=(
        r"(?:dt|nrt)_[a-z]+_allsat_phy_l4_(?P<date>\d{8})_(?P<revision>\d{8})\.nc",
        r"cmems_obs-sl_[a-z]+_phy-ssh_(?:my|myint|nrt)_allsat-l4-duacs-[\d.]+deg_P1D[_.-].*\.nc",
    ),
    windowed=True,
    sampled=(
        _height("sla", "sea_surface_height_above_sea_level", "Sea level anomaly"),
        _height(
            "err_sla", "sea_surface_height_above_sea_level standard_error", "Formal error of the sea level anomaly"
        ),
        _flow("ugosa", _ANOMALY.format("eastward"), "Eastward geostrophic velocity anomaly"),
        _flow("err_ugosa", f"{_ANOMALY.format('eastward')} standard_error", "Formal error of ugosa"),
        _flow("vgosa", _ANOMALY.format("northward"), "Northward geostrophic velocity anomaly"),
        _flow("err_vgosa", f"{_ANOMALY.format('northward')} standard_error", "Formal error of vgosa"),
        Sampled.of(_ADT),
        _flow("ugos", _ABSOLUTE.format("eastward"), "Eastward absolute geostrophic velocity"),
        _flow("vgos", _ABSOLUTE.format("northward"), "Northward absolute geostrophic velocity"),
        Sampled(
            name="flag_ice",
            standard_name="status_flag",
            long_name="1 where ice covers the cell",
            units="1",
            conversions=FRACTION,
            plausible=(0.0, 1.0),
            nearest=True,
        ),
        _height("tpa_correction", "", "Instrumental drift correction of TOPEX-A, one number a day"),
    ),
)
