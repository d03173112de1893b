"""Multi-observation surface salinity and density: daily, 0.125 degree.

(time, depth, lat, lon) with a single depth, practical salinity and kg m-3; the nominal time is 12:00. The date after
``P`` in the name is the day of production.
"""

from __future__ import annotations

from oceanrecon.sources.product import DENSITY, FRACTION, PRACTICAL_SALINITY, Product, Sampled, Variable

_SOS = Variable(
    name="sos",
    quantity="salinity",
    standard_name="sea_surface_salinity",
    long_name="Sea surface practical salinity",
    units="PSU",
    conversions=PRACTICAL_SALINITY,
    plausible=(0.0, 50.0),
)
_DOS = Variable(
    name="dos",
    quantity="density",
    standard_name="sea_water_density",
    long_name="Sea surface density",
    units="kg/m3",
    conversions=DENSITY,
    plausible=(900.0, 1100.0),
)

PRODUCT = Product(
    name="sss",
    title="Multi-observation sea surface salinity and density",
    dataset="cmems_obs-mob_glo_phy-sss_my_multi_P1D",
    variables=(_SOS, _DOS),
    file_names=(
        r"dataset-sss-ssd-[a-z]+-daily_(?P<date>\d{8})T\d{4}Z_P(?P<revision>\d{8})T\d{4}Z\.nc",
        r"cmems_obs-mob_glo_phy-sss_(?:my|myint|nrt)_multi_P1D[_.-].*\.nc",
    ),
    windowed=True,
    sampled=(
        Sampled.of(_SOS),
        Sampled.of(_DOS),
        Sampled(
            name="sea_ice_fraction",
            standard_name="sea_ice_area_fraction",
            long_name="Sea ice area fraction",
            units="1",
            conversions=FRACTION,
            plausible=(-0.01, 1.01),
        ),
    ),
)
