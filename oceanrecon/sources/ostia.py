"""OSTIA, the global foundation temperature of the sea surface: daily, gap-free, 0.05 degree.

(time, lat, lon), int16 with scale 0.01 and offset 273.15, kelvin; the nominal time is 12:00. Reprocessed
(``GLOB_REP``) and near-real-time (``GLOB``) names follow the GHRSST rule, whose leading 14 digits are date and time.
"""

from __future__ import annotations

from oceanrecon.sources.product import FRACTION, KELVIN, Product, Sampled, Variable

_SST = Variable(
    name="analysed_sst",
    quantity="temperature_kelvin",
    standard_name="sea_surface_foundation_temperature",
    long_name="Analysed sea surface temperature",
    units="K",
    conversions=KELVIN,
    plausible=(268.15, 318.15),
)

PRODUCT = Product(
    name="ostia",
    title="OSTIA global sea surface temperature",
    dataset="METOFFICE-GLO-SST-L4-REP-OBS-SST",
    variables=(_SST,),
    file_names=(
        r"(?P<date>\d{8})\d{6}-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB(?:_REP)?-v\d+\.\d+-fv\d+\.\d+\.nc",
        r"METOFFICE-GLO-SST-L4-(?:REP|NRT)-OBS-SST[_.-].*\.nc",
    ),
    windowed=True,
    sampled=(
        Sampled.of(_SST),
        Sampled(
            name="analysis_error",
            standard_name="sea_surface_foundation_temperature standard_error",
            long_name="Estimated error of the analysed temperature",
            units="K",
            # a difference: the same number of kelvins and of degrees
            conversions={name: (factor, 0.0) for name, (factor, _) in KELVIN.items()},
            plausible=(0.0, 20.0),
        ),
        Sampled(
            name="sea_ice_fraction",
            standard_name="sea_ice_area_fraction",
            long_name="Sea ice area fraction",
            units="1",
            conversions=FRACTION,
            plausible=(-0.01, 1.01),
        ),
        Sampled(
            name="mask",
            standard_name="status_flag",
            long_name="Bits: 1 water, 2 land, 4 lake, 8 sea ice, 16 river",
            units="1",
            conversions=FRACTION,
            plausible=(0.0, 127.0),
            nearest=True,
        ),
    ),
)
