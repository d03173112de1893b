"""Values of every native variable on a band of rows of a product's grid, from the true ocean."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oceanrecon.synthetic import column
from oceanrecon.synthetic.coast import coast
from oceanrecon.synthetic.config import ProductName
from oceanrecon.synthetic.truth import Columns, Ocean, sea_floor

Values = NDArray[np.floating]
_METRES_PER_DEGREE = 111_195.0
_TURN_RATE, _GRAVITY = 7.292115e-5, 9.81
#: Latitude below which geostrophy is damped, degrees.
_EQUATOR = 3.0


@dataclass(frozen=True)
class Band:
    """Rows of a grid at one time, with one node more on every side, for gradients."""

    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    wide: Columns
    wide_latitude: NDArray[np.float64]
    wide_longitude: NDArray[np.float64]
    land: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        ocean: Ocean,
        latitude: NDArray[np.float64],
        longitude: NDArray[np.float64],
        first: int,
        rows: int,
        day: float,
    ) -> Band:
        """``rows`` rows from ``first`` of the grid with these axes (degrees), at ``day`` since 1950-01-01."""
        steps = tuple(float(axis[-1] - axis[0]) / (axis.size - 1) for axis in (latitude, longitude))
        own = latitude[first : first + rows]
        wide_latitude = np.clip(np.concatenate([own[:1] - steps[0], own, own[-1:] + steps[0]]), -90.0, 90.0)
        wide_longitude = np.concatenate([longitude[:1] - steps[1], longitude, longitude[-1:] + steps[1]])
        columns = ocean.columns(wide_latitude, wide_longitude, day)
        land = coast().land_at(own, longitude)
        return cls(own, longitude, columns, wide_latitude, wide_longitude, land)

    @property
    def columns(self) -> Columns:
        """The band's own columns."""
        return Columns(np.ascontiguousarray(self.wide.values[:, 1:-1, 1:-1]))

    def flow(self, height: NDArray[np.float64]) -> tuple[Values, Values]:
        """Geostrophic velocity, eastward and northward, of a height on the wide band (m), m s-1: [lat, lon] each."""
        phi = np.deg2rad(self.latitude)[:, None]
        coriolis = 2.0 * _TURN_RATE * np.sin(phi)
        least = 2.0 * _TURN_RATE * np.sin(np.deg2rad(_EQUATOR))
        damped = coriolis / (coriolis**2 + least**2 * np.exp(-((self.latitude[:, None] / _EQUATOR) ** 2)))
        south_north = (self.wide_latitude[2:] - self.wide_latitude[:-2])[:, None] * _METRES_PER_DEGREE
        west_east = (self.wide_longitude[2:] - self.wide_longitude[:-2]) * _METRES_PER_DEGREE
        west_east = west_east * np.maximum(np.cos(phi), 0.05)
        u = -_GRAVITY * damped * (height[2:, 1:-1] - height[:-2, 1:-1]) / south_north
        v = _GRAVITY * damped * (height[1:-1, 2:] - height[1:-1, :-2]) / west_east
        return np.clip(u, -3.0, 3.0), np.clip(v, -3.0, 3.0)


def surface_fields(product: ProductName, ocean: Ocean, band: Band, names: Collection[str]) -> dict[str, Values]:
    """The 2-D variables ``names`` of a product on a band, in the units of its files: [latitude, longitude] each."""
    columns = band.columns
    maker = {"glorys": _glorys, "ostia": _ostia, "sealevel": _sealevel, "sss": _sss}[product]
    fields = maker(ocean, band, columns, names)
    over_land = {"mask", "flag_ice"}
    return {
        name: fields[name] if name in over_land else np.where(band.land, np.nan, fields[name])
        for name in names
        if name in fields
    }


def level_fields(
    band: Band, depth: NDArray[np.float64], group: int, names: Collection[str]
) -> Iterator[tuple[int, dict[str, Values]]]:
    """First level and ``thetao``, ``so``, ``uo``, ``vo`` of each ``group`` of levels: [level, latitude, longitude]."""
    columns = band.columns
    floor = np.where(band.land, np.float32(-1), sea_floor(band.latitude, band.longitude))
    flow = band.flow(band.wide.sea_level) if {"uo", "vo"} & set(names) else None
    for first in range(0, depth.size, group):
        part = depth[first : first + group]
        dry = part[:, None, None] > floor[None]
        temperature, salinity = columns.levels(part)
        found: dict[str, Values] = {"thetao": temperature, "so": salinity}
        if flow is not None:
            fade = 1.0 / (1.0 + (part[:, None, None].astype(np.float32) / columns.values[column.SCALE]) ** 2)
            found |= {"uo": fade * flow[0].astype(np.float32), "vo": fade * flow[1].astype(np.float32)}
        for values in found.values():
            values[dry] = np.nan
        yield first, {name: values for name, values in found.items() if name in names}


def _glorys(ocean: Ocean, band: Band, columns: Columns, names: Collection[str]) -> dict[str, Values]:
    height = band.wide.sea_level
    u, v = band.flow(height)
    frozen = columns.ice > 0.0
    summer = columns.values[column.SEASON] / (columns.values[column.SEASON] + 2.0)
    return {
        "zos": height[1:-1, 1:-1],
        "mlotst": 12.0 + 0.35 * columns.values[column.SCALE] * (1.0 - summer) ** 2,
        "bottomT": columns.at_depth(sea_floor(band.latitude, band.longitude)),
        "sithick": np.where(frozen, 2.4 * columns.ice, np.nan),
        "siconc": np.where(frozen, columns.ice, np.nan),
        "usi": np.where(frozen, 0.6 * np.clip(u, -0.9, 0.9), np.nan),
        "vsi": np.where(frozen, 0.6 * np.clip(v, -0.9, 0.9), np.nan),
    }


def _ostia(ocean: Ocean, band: Band, columns: Columns, names: Collection[str]) -> dict[str, Values]:
    ice = columns.ice
    eddy = np.abs(columns.values[column.SHIFT])
    return {
        "analysed_sst": columns.surface_temperature + np.float32(273.15),
        "analysis_error": 0.3 + 0.004 * eddy + 0.5 * ice,
        "sea_ice_fraction": ice,
        # Bits: 1 water, 2 land, 8 sea ice.
        "mask": np.where(band.land, 2.0, np.where(ice > 0.0, 9.0, 1.0)),
    }


def _sealevel(ocean: Ocean, band: Band, columns: Columns, names: Collection[str]) -> dict[str, Values]:
    height = band.wide.sea_level
    fields: dict[str, Values] = {"adt": height[1:-1, 1:-1], "flag_ice": (columns.ice > 0.15).astype(np.float64)}
    if {"sla", "ugosa", "vgosa", "ugos", "vgos"} & set(names):
        anomaly = height - ocean.mean_columns(band.wide_latitude, band.wide_longitude).sea_level
        fields["sla"] = anomaly[1:-1, 1:-1]
        fields["ugos"], fields["vgos"] = band.flow(height)
        fields["ugosa"], fields["vgosa"] = band.flow(anomaly)
    eddy = np.abs(columns.values[column.SHIFT])
    fields["err_sla"] = 0.01 + 0.0003 * eddy
    fields["err_ugosa"] = fields["err_vgosa"] = 0.03 + 0.0006 * eddy
    return fields


def _sss(ocean: Ocean, band: Band, columns: Columns, names: Collection[str]) -> dict[str, Values]:
    eddy = np.abs(columns.values[column.SHIFT])
    fields: dict[str, Values] = {
        "sos": columns.surface_salinity,
        "sos_error": 0.1 + 0.001 * eddy,
        "dos_error": 0.1 + 0.001 * eddy,
        "sea_ice_fraction": columns.ice,
    }
    if "dos" in names:
        fields["dos"] = columns.surface_density
    return fields
