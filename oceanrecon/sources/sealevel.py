"""DUACS gridded sea level, all satellites: absolute dynamic topography, daily, global or one region.

(time, latitude, longitude), int32 with scale 0.0001, metres. Older releases are at 0.25 degree with longitudes
0..360, newer ones at 0.125 degree with -180..180; some declare no fill value, so that land decodes to -214748 m
and only the plausible range finds it. The last date in the name is the day of production.
"""

from __future__ import annotations

from oceanrecon.sources.product import METRES, Product, Variable

PRODUCT = Product(
    name="sealevel",
    title="DUACS gridded sea level, all satellites",
    dataset="cmems_obs-sl_glo_phy-ssh_my_allsat-l4-duacs-0.125deg_P1D",
    variables=(
        Variable(
            name="adt",
            quantity="sea_height",
            standard_name="sea_surface_height_above_geoid",
            long_name="Absolute dynamic topography",
            units="m",
            conversions=METRES,
            plausible=(-10.0, 10.0),
        ),
    ),
    file_names=(
        r"(?:dt|nrt)_[a-z]+_allsat_phy_l4_(?P<date>\d{8})_(?P<revision>\d{8})\.nc",
        r"cmems_obs-sl_[a-z]+_phy-ssh_(?:my|myint|nrt)_allsat-l4-duacs-[\d.]+deg_P1D[_.-].*\.nc",
    ),
    windowed=True,
)
