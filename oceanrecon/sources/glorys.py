"""GLORYS12V1, the global ocean reanalysis: temperature and salinity on 50 levels at 1/12 degree.

One file per day, (time, depth, latitude, longitude), int16 with scale and offset, degC and practical salinity,
longitudes -180..180, latitudes -80..90 ascending. A file is taken as it is for its date: archives often hold one
day a week, and a mean of one is that day. ``mean`` in the name is the mean over the day.
"""

from __future__ import annotations

from oceanrecon.sources.product import KELVIN, PRACTICAL_SALINITY, Product, Variable

PRODUCT = Product(
    name="glorys",
    title="GLORYS12V1 global ocean reanalysis",
    dataset="cmems_mod_glo_phy_my_0.083deg_P1D-m",
    variables=(
        Variable(
            name="thetao",
            quantity="temperature_kelvin",
            standard_name="sea_water_potential_temperature",
            long_name="Sea water potential temperature",
            units="K",
            conversions=KELVIN,
            plausible=(268.15, 318.15),
            levels=True,
        ),
        Variable(
            name="so",
            quantity="salinity",
            standard_name="sea_water_salinity",
            long_name="Sea water practical salinity",
            units="PSU",
            conversions=PRACTICAL_SALINITY,
            plausible=(0.0, 50.0),
            levels=True,
        ),
    ),
    file_names=(
        r"mercatorglorys12v1_gl12_mean_(?P<date>\d{8})_R(?P<revision>\d{8})\.nc",
        # Subsets cut by the provider's own tool: any number of days, dated by their time coordinate only.
        r"cmems_mod_glo_phy_my_0\.083deg_P1D-m[_.-].*\.nc",
    ),
    windowed=False,
)
