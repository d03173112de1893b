"""OSTIA, the global foundation temperature of the sea surface: daily, gap-free, 0.05 degree.

(time, lat, lon), int16 with scale 0.01 and offset 273.15, kelvin; the nominal time is 12:00. Reprocessed
(``GLOB_REP``) and near-real-time (``GLOB``) names follow the GHRSST rule, whose leading 14 digits are date and time.
"""

from __future__ import annotations

from oceanrecon.sources.product import KELVIN, Product, Variable

PRODUCT = Product(
    name="ostia",
    title="OSTIA global sea surface temperature",
    dataset="METOFFICE-GLO-SST-L4-REP-OBS-SST",
    variables=(
        Variable(
            name="analysed_sst",
            quantity="temperature_kelvin",
            standard_name="sea_surface_foundation_temperature",
            long_name="Analysed sea surface temperature",
            units="K",
            conversions=KELVIN,
            plausible=(268.15, 318.15),
        ),
    ),
    file_names=(
        r"(?P<date>\d{8})\d{6}-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB(?:_REP)?-v\d+\.\d+-fv\d+\.\d+\.nc",
        r"METOFFICE-GLO-SST-L4-(?:REP|NRT)-OBS-SST[_.-].*\.nc",
    ),
    windowed=True,
)
