"""What files of Argo profiles look like: dimensions, variables and attributes of format 3.1, after real headers."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from oceanrecon.synthetic.netcdf import Attributes
from oceanrecon.synthetic.profile_file import Form

PARAMETERS = ("PRES", "TEMP", "PSAL")
SIZES = {
    "DATE_TIME": 14, "STRING256": 256, "STRING64": 64, "STRING32": 32, "STRING16": 16, "STRING8": 8, "STRING4": 4,
    "STRING2": 2, "N_PARAM": len(PARAMETERS), "N_CALIB": 1, "N_HISTORY": 0,
}  # fmt: skip
ATTRIBUTES: Attributes = {
    "title": "Argo float vertical profile",
    "institution": "FR GDAC",
    "source": "Argo float",
    "references": "http://www.argodatamgt.org/Documentation",
    "user_manual_version": "3.1",
    "Conventions": "Argo-3.1 CF-1.6",
    "featureType": "trajectoryProfile",
}

_Type = Literal["S1", "i4", "f4", "f8"]
_FLAGS = "Argo reference table 2"
_STAMP = "YYYYMMDDHHMISS"


def _form(name: str, type_: _Type, dimensions: str, long_name: str, conventions: str = "", fill: float = 99999.0,
          **more: Any) -> Form:  # fmt: skip
    attributes: dict[str, Any] = {"long_name": long_name}
    if conventions:
        attributes["conventions"] = conventions
    return Form(name, type_, tuple(dimensions.split()), attributes | more, fill)


def forms(of_one_cycle: bool) -> tuple[Form, ...]:
    """Variables of a file of one cycle or of a whole float; they differ in what they say of their resolution."""
    minute: dict[str, Any] = {"resolution": np.float64(0.0)}
    second = dict(minute)
    if of_one_cycle:
        minute = {
            "resolution": np.float64(1 / 1440),
            "comment_on_resolution": "JULD resolution is 1 minute, except when JULD = JULD_LOCATION or when JULD = "
            "JULD_FIRST_MESSAGE (TRAJ file variable); in that case, JULD resolution is 1 second",
        }
        second = {"resolution": np.float64(1 / 60 / 86400)}
    levels = [form for name in PARAMETERS for form in _parameter(name, of_one_cycle)]
    # fmt: off
    days = "days since 1950-01-01 00:00:00 UTC"
    relative = "Relative julian days with decimal part (as parts of day)"
    return (
        _form("DATA_TYPE", "S1", "STRING16", "Data type", "Argo reference table 1"),
        _form("FORMAT_VERSION", "S1", "STRING4", "File format version"),
        _form("HANDBOOK_VERSION", "S1", "STRING4", "Data handbook version"),
        _form("REFERENCE_DATE_TIME", "S1", "DATE_TIME", "Date of reference for Julian days", _STAMP),
        _form("DATE_CREATION", "S1", "DATE_TIME", "Date of file creation", _STAMP),
        _form("DATE_UPDATE", "S1", "DATE_TIME", "Date of update of this file", _STAMP),
        _form("PLATFORM_NUMBER", "S1", "N_PROF STRING8", "Float unique identifier", "WMO float identifier : A9IIIII"),
        _form("PROJECT_NAME", "S1", "N_PROF STRING64", "Name of the project"),
        _form("PI_NAME", "S1", "N_PROF STRING64", "Name of the principal investigator"),
        _form("STATION_PARAMETERS", "S1", "N_PROF N_PARAM STRING16", "List of available parameters for the station",
              "Argo reference table 3"),
        _form("CYCLE_NUMBER", "i4", "N_PROF", "Float cycle number",
              "0...N, 0 : launch cycle (if exists), 1 : first complete cycle"),
        _form("DIRECTION", "S1", "N_PROF", "Direction of the station profiles",
              "A: ascending profiles, D: descending profiles"),
        _form("DATA_CENTRE", "S1", "N_PROF STRING2", "Data centre in charge of float data processing",
              "Argo reference table 4"),
        _form("DC_REFERENCE", "S1", "N_PROF STRING32", "Station unique identifier in data centre",
              "Data centre convention"),
        _form("DATA_STATE_INDICATOR", "S1", "N_PROF STRING4", "Degree of processing the data have passed through",
              "Argo reference table 6"),
        _form("DATA_MODE", "S1", "N_PROF", "Delayed mode or real time data",
              "R : real time; D : delayed mode; A : real time with adjustment"),
        _form("PLATFORM_TYPE", "S1", "N_PROF STRING32", "Type of float", "Argo reference table 23"),
        _form("FLOAT_SERIAL_NO", "S1", "N_PROF STRING32", "Serial number of the float"),
        _form("FIRMWARE_VERSION", "S1", "N_PROF STRING32", "Instrument firmware version"),
        _form("WMO_INST_TYPE", "S1", "N_PROF STRING4", "Coded instrument type", "Argo reference table 8"),
        _form("JULD", "f8", "N_PROF", "Julian day (UTC) of the station relative to REFERENCE_DATE_TIME", relative,
              999999.0, standard_name="time", units=days, axis="T", **minute),
        _form("JULD_QC", "S1", "N_PROF", "Quality on date and time", _FLAGS),
        _form("JULD_LOCATION", "f8", "N_PROF", "Julian day (UTC) of the location relative to REFERENCE_DATE_TIME",
              relative, 999999.0, units=days, **second),
        _form("LATITUDE", "f8", "N_PROF", "Latitude of the station, best estimate", standard_name="latitude",
              units="degree_north", valid_min=np.float64(-90), valid_max=np.float64(90), axis="Y"),
        _form("LONGITUDE", "f8", "N_PROF", "Longitude of the station, best estimate", standard_name="longitude",
              units="degree_east", valid_min=np.float64(-180), valid_max=np.float64(180), axis="X"),
        _form("POSITION_QC", "S1", "N_PROF", "Quality on position (latitude and longitude)", _FLAGS),
        _form("POSITIONING_SYSTEM", "S1", "N_PROF STRING8", "Positioning system"),
        *(_form(f"PROFILE_{name}_QC", "S1", "N_PROF", f"Global quality flag of {name} profile", f"{_FLAGS}a")
          for name in PARAMETERS),
        _form("VERTICAL_SAMPLING_SCHEME", "S1", "N_PROF STRING256", "Vertical sampling scheme",
              "Argo reference table 16"),
        _form("CONFIG_MISSION_NUMBER", "i4", "N_PROF", "Unique number denoting the missions performed by the float",
              "1...N, 1 : first complete mission"),
        *levels,
        _form("PARAMETER", "S1", "N_PROF N_CALIB N_PARAM STRING16",
              "List of parameters with calibration information", "Argo reference table 3"),
        _form("SCIENTIFIC_CALIB_EQUATION", "S1", "N_PROF N_CALIB N_PARAM STRING256",
              "Calibration equation for this parameter"),
        _form("SCIENTIFIC_CALIB_COEFFICIENT", "S1", "N_PROF N_CALIB N_PARAM STRING256",
              "Calibration coefficients for this equation"),
        _form("SCIENTIFIC_CALIB_COMMENT", "S1", "N_PROF N_CALIB N_PARAM STRING256",
              "Comment applying to this parameter calibration"),
        _form("SCIENTIFIC_CALIB_DATE", "S1", "N_PROF N_CALIB N_PARAM DATE_TIME", "Date of calibration", _STAMP),
        _form("HISTORY_INSTITUTION", "S1", "N_HISTORY N_PROF STRING4", "Institution which performed action",
              "Argo reference table 4"),
        _form("HISTORY_STEP", "S1", "N_HISTORY N_PROF STRING4", "Step in data processing", "Argo reference table 12"),
        _form("HISTORY_SOFTWARE", "S1", "N_HISTORY N_PROF STRING4", "Name of software which performed action",
              "Institution dependent"),
        _form("HISTORY_SOFTWARE_RELEASE", "S1", "N_HISTORY N_PROF STRING4",
              "Version/release of software which performed action", "Institution dependent"),
        _form("HISTORY_REFERENCE", "S1", "N_HISTORY N_PROF STRING64", "Reference of database",
              "Institution dependent"),
        _form("HISTORY_DATE", "S1", "N_HISTORY N_PROF DATE_TIME", "Date the history record was created", _STAMP),
        _form("HISTORY_ACTION", "S1", "N_HISTORY N_PROF STRING4", "Action performed on data",
              "Argo reference table 7"),
        _form("HISTORY_PARAMETER", "S1", "N_HISTORY N_PROF STRING16", "Station parameter action is performed on",
              "Argo reference table 3"),
        _form("HISTORY_START_PRES", "f4", "N_HISTORY N_PROF", "Start pressure action applied on", units="decibar"),
        _form("HISTORY_STOP_PRES", "f4", "N_HISTORY N_PROF", "Stop pressure action applied on", units="decibar"),
        _form("HISTORY_PREVIOUS_VALUE", "f4", "N_HISTORY N_PROF", "Parameter/Flag previous value before action"),
        _form("HISTORY_QCTEST", "S1", "N_HISTORY N_PROF STRING16",
              "Documentation of tests performed, tests failed (in hex form)",
              "Write tests performed when ACTION=QCP$; tests failed when ACTION=QCF$"),
    )
    # fmt: on


def _parameter(name: str, of_one_cycle: bool) -> tuple[Form, ...]:
    """Values, flags and errors of pressure, temperature or salinity on the levels."""
    long_name, standard_name, units, low, high, places, resolution = {
        "PRES": ("Sea water pressure, equals 0 at sea-level", "sea_water_pressure", "decibar", 0, 12000, "7.1",
                 0.1 if of_one_cycle else 1.0),
        "TEMP": ("Sea temperature in-situ ITS-90 scale", "sea_water_temperature", "degree_Celsius", -2.5, 40, "9.3",
                 0.001),
        "PSAL": ("Practical salinity", "sea_water_salinity", "psu", 2, 41, "9.3", 0.001),
    }[name]  # fmt: skip
    printed: dict[str, Any] = {
        "units": units,
        "C_format": f"%{places}f",
        "FORTRAN_format": f"F{places}",
        "resolution": np.float32(resolution),
    }
    measured = printed | {
        "standard_name": standard_name,
        "valid_min": np.float32(low),
        "valid_max": np.float32(high),
        **({"axis": "Z"} if name == "PRES" else {}),
    }
    where = "N_PROF N_LEVELS"
    error = "Contains the error on the adjusted values as determined by the delayed mode QC process"
    return (
        _form(name, "f4", where, long_name, **measured),
        _form(f"{name}_QC", "S1", where, "quality flag", _FLAGS),
        _form(f"{name}_ADJUSTED", "f4", where, long_name, **measured),
        _form(f"{name}_ADJUSTED_QC", "S1", where, "quality flag", _FLAGS),
        _form(f"{name}_ADJUSTED_ERROR", "f4", where, error, **printed),
    )
