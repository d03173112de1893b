"""What the products' files look like: names, dimensions, packing, chunks, fills and attributes, after real headers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from oceanrecon.synthetic.config import ProductName
from oceanrecon.synthetic.netcdf import Attributes


@dataclass(frozen=True)
class Stored:
    """One variable as it is stored: ``value = stored * scale + offset``."""

    name: str
    dtype: str
    scale: float
    offset: float
    fill: int
    units: str
    standard_name: str
    long_name: str
    levels: bool = False
    #: written without scale and offset: flags
    plain: bool = False
    #: has a time and no place
    timeline: bool = False
    more: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class Native:
    """The form of one product's files."""

    dataset: str
    #: pattern of a file name: ``date`` and ``revision`` as YYYYMMDD
    file_name: str
    #: revision of a date's file, and of the one that it replaces; ``None`` is a week and three days after the date
    revisions: tuple[str, str] | None
    #: names of time, (depth,) latitude and longitude, in the order of the dimensions
    dimensions: tuple[str, ...]
    #: rows and columns of a chunk; with levels, levels first
    chunks: tuple[int, ...]
    #: cell centres are half a cell from the whole degrees
    centred: bool
    latitudes: tuple[float, float]
    time_type: str
    time_units: str
    time_attributes: Attributes
    variables: tuple[Stored, ...]
    attributes: Attributes
    scale_type: str = "f8"

    def name_of(self, date: dt.date, superseded: bool = False) -> str:
        """File name of a date."""
        if self.revisions is not None:
            revision = self.revisions[superseded]
        else:
            revision = f"{date + dt.timedelta(days=3 if superseded else 7):%Y%m%d}"
        return self.file_name.format(date=f"{date:%Y%m%d}", revision=revision)


# The tables below are easier to compare with a header in lines than in columns.
# fmt: off
def _mercator(
    name: str, scale: float, offset: float, units: str, unit_long: str, standard_name: str, long_name: str,
    levels: bool = False,
) -> Stored:
    more = {"unit_long": unit_long, "cell_methods": "area: mean"}
    return Stored(name, "i2", scale, offset, -32767, units, standard_name, long_name, levels=levels, more=more)


_T, _S, _V = 0.000732444226741791, 0.00152592547237873, 0.000610370188951492
GLORYS = Native(
    dataset="cmems_mod_glo_phy_my_0.083deg_P1D-m",
    file_name="mercatorglorys12v1_gl12_mean_{date}_R{revision}.nc",
    revisions=None,
    dimensions=("time", "depth", "latitude", "longitude"),
    chunks=(7, 341, 720),
    centred=False,
    latitudes=(-80.0, 90.0),
    time_type="f8",
    time_units="hours since 1950-01-01",
    time_attributes={"long_name": "Time (hours since 1950-01-01)", "standard_name": "time", "axis": "T",
                     "calendar": "gregorian"},
    variables=(
        _mercator("thetao", _T, 21.0, "degrees_C", "Degrees Celsius", "sea_water_potential_temperature",
                  "Temperature", levels=True),
        _mercator("so", _S, -_S, "1e-3", "Practical Salinity Unit", "sea_water_salinity", "Salinity", levels=True),
        _mercator("uo", _V, 0.0, "m s-1", "Meters per second", "eastward_sea_water_velocity", "Eastward velocity",
                  levels=True),
        _mercator("vo", _V, 0.0, "m s-1", "Meters per second", "northward_sea_water_velocity", "Northward velocity",
                  levels=True),
        _mercator("zos", 0.000305185094475746, 0.0, "m", "Meters", "sea_surface_height_above_geoid",
                  "Sea surface height"),
        _mercator("mlotst", 0.152592547237873, -0.152592547237873, "m", "Meters",
                  "ocean_mixed_layer_thickness_defined_by_sigma_theta", "Density ocean mixed layer thickness"),
        _mercator("bottomT", _T, 21.0, "degrees_C", "Degrees Celsius",
                  "sea_water_potential_temperature_at_sea_floor", "Sea floor potential temperature"),
        _mercator("sithick", 0.000762962736189365, -0.000762962736189365, "m", "Meters", "sea_ice_thickness",
                  "Sea ice thickness"),
        _mercator("siconc", 3.8148136809468e-05, -3.8148136809468e-05, "1", "Fraction", "sea_ice_area_fraction",
                  "Ice concentration"),
        _mercator("usi", 3.05185094475746e-05, 0.0, "m s-1", "Meters per second", "eastward_sea_ice_velocity",
                  "Sea ice eastward velocity"),
        _mercator("vsi", 3.05185094475746e-05, 0.0, "m s-1", "Meters per second", "northward_sea_ice_velocity",
                  "Sea ice northward velocity"),
    ),
    attributes={
        "title": "daily mean fields from Global Ocean Physics Analysis and Forecast updated Daily",
        "easting": "longitude", "northing": "latitude", "source": "MERCATOR GLORYS12V1",
        "institution": "MERCATOR OCEAN", "references": "http://www.mercator-ocean.fr", "comment": "CMEMS product",
        "Conventions": "CF-1.4", "domain_name": "GL12", "field_type": "mean",
    },
)


def _ghrsst(name: str, dtype: str, scale: float, offset: float, fill: int, units: str, long_name: str,
            standard_name: str = "", plain: bool = False, more: Mapping[str, str | np.generic] | None = None) -> Stored:
    return Stored(name, dtype, scale, offset, fill, units, standard_name, long_name, plain=plain, more=more or {})


OSTIA = Native(
    dataset="METOFFICE-GLO-SST-L4-REP-OBS-SST",
    file_name="{date}120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB_REP-v02.0-fv02.0.nc",
    revisions=("", ""),
    dimensions=("time", "lat", "lon"),
    chunks=(600, 1200),
    centred=True,
    latitudes=(-90.0, 90.0),
    time_type="i4",
    time_units="seconds since 1981-01-01 00:00:00",
    time_attributes={"long_name": "reference time of sst field", "standard_name": "time", "axis": "T",
                     "calendar": "gregorian"},
    variables=(
        _ghrsst("analysed_sst", "i2", 0.01, 273.15, -32768, "kelvin", "analysed sea surface temperature",
                "sea_surface_foundation_temperature", more={"valid_min": np.int16(-300), "valid_max": np.int16(4500)}),
        _ghrsst("analysis_error", "i2", 0.01, 0.0, -32768, "kelvin",
                "estimated error standard deviation of analysed_sst",
                more={"valid_min": np.int16(0), "valid_max": np.int16(32767)}),
        _ghrsst("sea_ice_fraction", "i1", 0.01, 0.0, -128, "1", "sea ice area fraction", "sea_ice_area_fraction",
                more={"valid_min": np.int8(0), "valid_max": np.int8(100)}),
        _ghrsst("mask", "i1", 1.0, 0.0, -128, "", "land sea ice lake bit mask", plain=True,
                more={"flag_meanings": "water land optional_lake_surface sea_ice optional_river_surface",
                      "valid_min": np.int8(1), "valid_max": np.int8(31)}),
    ),
    attributes={
        "Conventions": "CF-1.4, Unidata Observation Dataset v1.0",
        "title": "Global SST & Sea Ice Analysis, L4 OSTIA, 0.05 deg daily",
        "institution": "UKMO", "id": "OSTIA-UKMO-L4-GLOB-REP-v2.0", "naming_authority": "org.ghrsst",
        "processing_level": "L4", "gds_version_id": "2.0", "cdm_data_type": "grid",
    },
    scale_type="f4",
)


def _duacs(name: str, units: str, long_name: str, standard_name: str = "") -> Stored:
    more = {"coordinates": "longitude latitude", "grid_mapping": "crs"}
    return Stored(name, "i4", 0.0001, 0.0, -2147483647, units, standard_name, long_name, more=more)


SEALEVEL = Native(
    dataset="cmems_obs-sl_glo_phy-ssh_my_allsat-l4-duacs-0.125deg_P1D",
    file_name="dt_global_allsat_phy_l4_{date}_{revision}.nc",
    revisions=("20241017", "20210726"),
    dimensions=("time", "latitude", "longitude"),
    chunks=(50, 50),
    centred=True,
    latitudes=(-90.0, 90.0),
    time_type="f4",
    time_units="days since 1950-01-01 00:00:00",
    time_attributes={"long_name": "Time", "standard_name": "time", "axis": "T", "calendar": "gregorian"},
    variables=(
        _duacs("sla", "m", "Sea level anomaly", "sea_surface_height_above_sea_level"),
        _duacs("err_sla", "m", "Formal mapping error"),
        _duacs("ugosa", "m/s", "Geostrophic velocity anomalies: zonal component",
               "surface_geostrophic_eastward_sea_water_velocity_assuming_sea_level_for_geoid"),
        _duacs("err_ugosa", "m/s", "Formal mapping error on zonal geostrophic velocity anomalies"),
        _duacs("vgosa", "m/s", "Geostrophic velocity anomalies: meridian component",
               "surface_geostrophic_northward_sea_water_velocity_assuming_sea_level_for_geoid"),
        _duacs("err_vgosa", "m/s", "Formal mapping error on meridional geostrophic velocity anomalies"),
        _duacs("adt", "m", "Absolute dynamic topography", "sea_surface_height_above_geoid"),
        _duacs("ugos", "m/s", "Absolute geostrophic velocity: zonal component",
               "surface_geostrophic_eastward_sea_water_velocity"),
        _duacs("vgos", "m/s", "Absolute geostrophic velocity: meridian component",
               "surface_geostrophic_northward_sea_water_velocity"),
        Stored("flag_ice", "i1", 1.0, 0.0, -127, "", "", "Ice flag for a 15% criterion of ice concentration",
               plain=True, more={"flag_meanings": "0:no_ice, 1:ice"}),
        Stored("tpa_correction", "i4", 0.0001, 0.0, -2147483647, "m", "", "TOPEX-A instrumental drift correction",
               timeline=True),
    ),
    attributes={
        "Conventions": "CF-1.6", "Metadata_Conventions": "Unidata Dataset Discovery v1.0", "cdm_data_type": "Grid",
        "comment": "Sea Surface Height measured by Altimetry and derived variables", "institution": "CLS, CNES",
        "processing_level": "L4", "project": "COPERNICUS MARINE ENVIRONMENT MONITORING SERVICE (CMEMS)",
        "title": "DT merged all satellites Global Ocean Gridded SSALTO/DUACS Sea Surface Height L4 product and derived "
        "variables",
    },
)

SSS = Native(
    dataset="cmems_obs-mob_glo_phy-sss_my_multi_P1D",
    file_name="dataset-sss-ssd-rep-daily_{date}T1200Z_P{revision}T0000Z.nc",
    revisions=("20240215", "20220110"),
    dimensions=("time", "depth", "lat", "lon"),
    chunks=(1, 720, 1440),
    centred=True,
    latitudes=(-90.0, 90.0),
    time_type="f4",
    time_units="hours since 1950-01-01 00:00:00",
    time_attributes={"long_name": "Time", "standard_name": "time", "axis": "T", "calendar": "standard"},
    variables=(
        Stored("sos", "i2", 0.001, 20.0, -32768, "1e-3", "sea_surface_salinity", "Sea surface salinity", levels=True),
        Stored("sos_error", "i2", 0.001, 0.0, -32768, "1e-3", "", "Sea surface salinity error", levels=True),
        Stored("dos", "i2", 0.001, 1010.0, -32768, "kg/m3", "sea_water_density", "Sea surface density", levels=True),
        Stored("dos_error", "i2", 0.001, 0.0, -32768, "kg/m3", "", "Sea surface density error", levels=True),
        # The attribute says percent, the values are parts: so in the real files.
        Stored("sea_ice_fraction", "i1", 0.01, 0.0, -128, "%", "sea_ice_area_fraction", "Sea ice fraction",
               levels=True),
    ),
    attributes={
        "Conventions": "CF-1.6", "title": "Sea surface salinity and density, multi observations, daily",
        "institution": "CNR", "processing_level": "L4", "source": "Multi-observation analysis",
    },
)
# fmt: on

NATIVE: dict[ProductName, Native] = {"glorys": GLORYS, "ostia": OSTIA, "sealevel": SEALEVEL, "sss": SSS}
