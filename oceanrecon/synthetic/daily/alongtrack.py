"""Files of altimeters as DUACS has them: sea level every second along the track of a day, one file per satellite."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid.times import EPOCH
from oceanrecon.synthetic.daily.heights import heights_of, noise
from oceanrecon.synthetic.daily.orbits import Mission, seconds_of
from oceanrecon.synthetic.job import Job
from oceanrecon.synthetic.netcdf import NetcdfFile, pack

#: By the code in the names of files: orbits of the real satellites, that cross the equator somewhere.
MISSIONS = {
    "s3a": Mission("Sentinel-3A", 98.65, 385, 27.0, 0.3),
    "s3b": Mission("Sentinel-3B", 98.65, 385, 27.0, 12.9),
    "c2n": Mission("CryoSat-2", 92.0, 5344, 369.0, 77.0),
    "alg": Mission("SARAL/AltiKa", 98.55, 501, 35.0, 140.0),
    "j3n": Mission("Jason-3", 66.04, 127, 9.9156, 99.9),
    "s6a": Mission("Sentinel-6A", 66.04, 127, 9.9156, 98.5),
    "h2b": Mission("HaiYang-2B", 99.34, 193, 14.0, 220.0),
}
#: Between two measurements, s.
_STEP = 1.0786
_DEVIATION = 0.02
_REVISED = dt.timedelta(days=180)
_CHUNK = 20_000
_FILL, _SMALL_FILL = 2147483647, 32767


def alongtrack_jobs(seed: int, day: dt.date, satellites: Sequence[str] = tuple(MISSIONS)) -> list[Job]:
    """A day's files of some satellites, by the codes of ``MISSIONS``, below ``l3_ssh/``."""
    return [
        Job(
            f"l3_ssh/dt_global_{code}_phy_l3_1hz_{day:%Y%m%d}_{day + _REVISED:%Y%m%d}.nc",
            partial(_write, seed, day, code),
        )
        for code in satellites
    ]


def _write(seed: int, day: dt.date, code: str, path: str) -> None:
    mission = MISSIONS[code]
    seconds = seconds_of(day) + np.arange(0.0, 86400.0, _STEP)
    latitude, longitude = mission.track(seconds)
    anomaly, mean = heights_of(seed, day).at(latitude, longitude)
    # nothing is kept over land
    wet = np.isfinite(anomaly)
    seconds, latitude, longitude, anomaly, mean = (each[wet] for each in (seconds, latitude, longitude, anomaly, mean))
    noisy = anomaly + noise(seed, list(MISSIONS).index(code), anomaly.shape, _DEVIATION)
    since = (day - EPOCH).days + (seconds - seconds_of(day)) / 86400.0
    attributes = {
        "Conventions": "CF-1.6", "cdm_data_type": "Swath", "platform": mission.platform, "processing_level": "L3",
        "source": f"{mission.platform} measurements",
        "title": f"DT {mission.platform} Global Ocean Along track SSALTO/DUACS Sea Surface Height L3 product",
    }  # fmt: skip
    with NetcdfFile(path, attributes) as file:
        file.dimension(
            "time",
            since,
            {
                "long_name": "Time of measurement", "standard_name": "time", "calendar": "gregorian",
                "units": "days since 1950-01-01 00:00:00",
            },
        )  # fmt: skip
        for name, values in (("latitude", latitude), ("longitude", longitude)):
            units = "degrees_north" if name == "latitude" else "degrees_east"
            texts = {"standard_name": name, "long_name": f"{name.capitalize()} of measurement", "units": units}
            _variable(file, name, "i4", values, 1e-6, None, texts)
        for name, values, standard, long in (
            ("sla_filtered", anomaly, "sea_surface_height_above_sea_level", "Sea level anomaly filtered"),
            ("sla_unfiltered", noisy, "sea_surface_height_above_sea_level", "Sea level anomaly not filtered"),
            ("mdt", mean, "sea_surface_height_above_geoid", "Mean dynamic topography"),
        ):
            texts = {"standard_name": standard, "long_name": long, "units": "m", "coordinates": "longitude latitude"}
            _variable(file, name, "i2", values, 0.001, _SMALL_FILL, texts)


def _variable(
    file: NetcdfFile, name: str, kind: str, values: NDArray[np.float64], scale: float, fill: int | None,
    texts: dict[str, str],
) -> None:  # fmt: skip
    packing: dict[str, Any] = {"scale_factor": scale, "add_offset": 0.0}
    if fill is not None:
        packing["_FillValue"] = np.dtype(kind).type(fill)
    file.variable(name, kind, ("time",), (_CHUNK,), fill, {**packing, **texts})
    file.write(name, (0,), pack(values, kind, scale, 0.0, _FILL if fill is None else fill))
