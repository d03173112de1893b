"""Half orbits of SWOT as its level 3 has them: a swath of 120 km with a gap below the satellite, lines of 69 pixels."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.synthetic.daily.heights import heights_of, noise
from oceanrecon.synthetic.daily.orbits import ORIGIN, Mission, seconds_of
from oceanrecon.synthetic.job import Job
from oceanrecon.synthetic.netcdf import Attributes, NetcdfFile, pack

#: Lines of a whole half orbit.
LINES = 9860
_SWOT = Mission("SWOT", 77.6, 292, 20.86455, 31.0)
_PASSES = 2 * _SWOT.revolutions
#: Across the track, km; there is nothing between the first two of these, and beyond the third.
_OFFSETS: NDArray[np.float64] = 2.0 * np.arange(-34.0, 35.0)
_GAP, _EDGE = 10.0, 60.0
_DEVIATION = 0.015
_CHUNK = 2465
_FILL = 2147483647


def swot_jobs(seed: int, day: dt.date, lines: int = LINES, passes: int | None = None) -> list[Job]:
    """The half orbits that start on a day, some 28, below ``l3_swot/``.

    Args:
        seed: number of the ocean.
        day: when they start.
        lines: of each half orbit, those about the equator.
        passes: only so many, the first.
    """
    half = _SWOT.period / 2
    first, last = (int(np.ceil(seconds_of(each) / half + 0.5)) for each in (day, day + dt.timedelta(days=1)))
    jobs = []
    for number in range(first, last)[:passes]:
        start, end = (ORIGIN + dt.timedelta(seconds=(number + part - 0.5) * half) for part in (0, 1))
        name = (
            f"SWOT_L3_LR_SSH_Basic_{number // _PASSES % 999 + 1:03d}_{number % _PASSES + 1:03d}"
            f"_{start:%Y%m%dT%H%M%S}_{end:%Y%m%dT%H%M%S}_v2.0.1.nc"
        )
        jobs.append(Job(f"l3_swot/{name}", partial(_write, seed, day, number, lines)))
    return jobs


def _write(seed: int, day: dt.date, number: int, lines: int, path: str) -> None:
    # the equator is half-way
    along = (np.arange(lines) - (lines - 1) / 2) / LINES
    seconds = (number + along) * _SWOT.period / 2
    latitude, longitude = _SWOT.swath(seconds, _OFFSETS)
    anomaly, mean = heights_of(seed, day).at(latitude, longitude)
    seen = (np.abs(_OFFSETS) >= _GAP) & (np.abs(_OFFSETS) <= _EDGE)
    anomaly[:, ~seen] = np.nan
    noisy = anomaly + noise(seed, 1000 + number, anomaly.shape, _DEVIATION)
    attributes: Attributes = {
        "Conventions": "CF-1.7", "title": "SWOT Level-3 Sea Surface Height: Basic", "platform": "SWOT",
        "product_version": "2.0.1", "cycle_number": number // _PASSES % 999 + 1, "pass_number": number % _PASSES + 1,
    }  # fmt: skip
    height = {"units": "m", "coordinates": "longitude latitude"}
    with NetcdfFile(path, attributes) as file:
        file.dimension("num_lines", lines, {})
        file.dimension("num_pixels", _OFFSETS.size, {})
        times = {"standard_name": "time", "units": "seconds since 2000-01-01 00:00:00.0", "calendar": "gregorian"}
        file.variable("time", "f8", ("num_lines",), (_CHUNK,), np.nan, {"_FillValue": np.nan, **times})
        file.write("time", (0,), seconds)
        for name, values, scale, texts in (
            ("latitude", latitude, 1e-6, {"standard_name": "latitude", "units": "degrees_north"}),
            ("longitude", longitude, 1e-6, {"standard_name": "longitude", "units": "degrees_east"}),
            ("mdt", mean, 1e-4, {"long_name": "mean dynamic topography", **height}),
            ("ssha_filtered", anomaly, 1e-4, {"long_name": "sea surface height anomaly, noise reduced", **height}),
            ("ssha_unfiltered", noisy, 1e-4, {"long_name": "sea surface height anomaly", **height}),
        ):
            _variable(file, name, values, scale, texts)


def _variable(file: NetcdfFile, name: str, values: NDArray[np.float64], scale: float, texts: dict[str, str]) -> None:
    packing: dict[str, Any] = {"_FillValue": np.int32(_FILL), "scale_factor": scale, "add_offset": 0.0}
    file.variable(name, "i4", ("num_lines", "num_pixels"), (_CHUNK, 69), _FILL, {**packing, **texts})
    file.write(name, (0, 0), pack(values, "i4", scale, 0.0, _FILL))
