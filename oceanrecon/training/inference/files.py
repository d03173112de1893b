"""The files of a map: GeoTIFFs, a zarr store, and the profiles that were used."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from rasterio.crs import CRS
from zarr.codecs import BloscCodec
from zarr.core.buffer import Buffer
from zarr.errors import ZarrUserWarning
from zarr.storage import MemoryStore

from oceanrecon.grid import RasterGrid, window_days
from oceanrecon.grid.times import EPOCH
from oceanrecon.samples.form import Field
from oceanrecon.stores.files import Root
from oceanrecon.stores.geotiff import encode_values
from oceanrecon.stores.tags import level_description

STORE = "maps.zarr"
PROFILES = "profiles.geojson"
MEMBERS = "members"
#: Side of a chunk, pixels; a shard is all of a field.
_CHUNK = 256
#: By quantity: units, standard name, long name.
_DESCRIBED = {
    "temperature_kelvin": ("K", "sea_water_potential_temperature", "Sea water potential temperature"),
    "salinity": ("PSU", "sea_water_salinity", "Sea water practical salinity"),
}
Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class MapFiles:
    """Writes the files of one map; every file has its name when it is complete."""

    root: Root
    #: of the map: its longitudes may go beyond 180
    grid: RasterGrid
    fields: tuple[Field, ...]
    #: m, downwards
    depth: tuple[float, ...]
    date: dt.date
    #: odd number of days around the date that profiles are of
    days: int
    #: odd number of days that surface fields are means over
    surface_days: int
    #: of every GeoTIFF
    tags: Mapping[str, str]
    #: by path: bytes and sha256 of what is written
    written: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, path: str, data: bytes) -> None:
        """A file.

        Raises:
            OutputError: it cannot be written.
        """
        self.root.write(path, data)
        self.written[path] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    def geotiff(self, part: Field, statistic: str, values: Values, folder: str = "") -> None:
        """A field: ``temperature_mean_20180622.tif``, a band per level.

        Args:
            part: which field.
            statistic: what of it: ``mean``, ``spread``, ``quantile_05``, ``member_00``.
            values: K or PSU, NaN where missing: [level, height, width].
            folder: where it goes.
        """
        units, _, name = _DESCRIBED[part.quantity]
        days = window_days(self.date, max(self.days, self.surface_days))
        tags = {
            "source_product": "reconstruction",
            "variable": part.variable,
            "statistic": statistic,
            "long_name": f"{name}, {statistic}",
            "units": units,
            "storage_dtype": "float32",
            "date": f"{self.date:%Y%m%d}",
            "TIFFTAG_DATETIME": f"{self.date:%Y:%m:%d} 00:00:00",
            "days_used": ",".join(f"{day:%Y%m%d}" for day in days),
            "time_coverage_start": days[0].isoformat(),
            "time_coverage_end": days[-1].isoformat(),
            "aggregate_days": str(self.surface_days),
            **self.tags,
        }
        data = encode_values(
            np.asarray(values, np.float32), self.grid, units=units, tags=tags,
            band_tags=[{"depth_m": repr(float(level))} for level in self.depth],
            descriptions=[level_description(level) for level in self.depth],
        )  # fmt: skip
        self.write(f"{folder}{part.name}_{statistic}_{self.date:%Y%m%d}.tif", data)

    def geojson(self, features: Sequence[Mapping[str, Any]]) -> None:
        """The profiles that were used."""
        content = {"type": "FeatureCollection", "features": list(features)}
        self.write(PROFILES, (json.dumps(content, allow_nan=False) + "\n").encode())

    def store(self, layout: Mapping[str, Mapping[str, Sequence[Any]]]) -> MapStore:
        """The zarr store.

        Args:
            layout: by array, such as ``temperature_mean``: its dimensions before depth, latitude and longitude, with
                their coordinates.
        """
        return MapStore(self, layout)


class MapStore:
    """``maps.zarr``: zarr v3 with CF attributes, opened by plain ``xr.open_zarr``; complete when it is closed."""

    def __init__(self, files: MapFiles, layout: Mapping[str, Mapping[str, Sequence[Any]]]) -> None:
        """Of ``MapFiles.store``."""
        self._files = files
        self._stored: dict[str, Buffer] = {}
        self._memory = MemoryStore(self._stored)
        group = {"Conventions": "CF-1.11", "coordinates": "crs time", "title": "Reconstructed temperature and salinity"}
        zarr.create_group(self._memory, attributes=group)
        extra = {name: values for axes in layout.values() for name, values in axes.items()}
        self._coordinates(extra)
        shape = (len(files.depth), files.grid.height, files.grid.width)
        chunk = (1, *(min(size, _CHUNK) for size in shape[1:]))
        shard = (shape[0], *(-(-size // side) * side for size, side in zip(shape[1:], chunk[1:], strict=True)))
        self._arrays = {}
        for name, axes in layout.items():
            part = next(part for part in files.fields if name.startswith(part.name))
            units, standard, long_name = _DESCRIBED[part.quantity]
            statistic = name.removeprefix(part.name).lstrip("_") or "member"
            ones = (1,) * len(axes)
            self._arrays[name] = zarr.create_array(
                self._memory, name=name, shape=(*map(len, axes.values()), *shape), dtype="float32",
                chunks=(*ones, *chunk), shards=(*ones, *shard), fill_value=float("nan"),
                compressors=BloscCodec(typesize=4, cname="zstd", clevel=1, shuffle="shuffle"),
                attributes={
                    "units": units, "long_name": f"{long_name}, {statistic}", "grid_mapping": "crs",
                    **({} if statistic == "spread" else {"standard_name": standard}),
                },
                dimension_names=[*axes, "depth", "latitude", "longitude"],
            )  # fmt: skip

    def put(self, name: str, values: Values, *place: int) -> None:
        """A field of an array, at a place of its leading dimensions: [level, height, width]."""
        self._arrays[name][place] = values
        for path in [path for path in self._stored if "/c/" in path and path.startswith(f"{name}/")]:
            self._files.write(f"{STORE}/{path}", self._stored.pop(path).to_bytes())

    def close(self) -> None:
        """Write the coordinates and, last, the metadata."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ZarrUserWarning)  # consolidated metadata are in no specification of v3 yet
            zarr.consolidate_metadata(self._memory)
        for path in sorted(self._stored, key=lambda path: (path == "zarr.json", path)):
            self._files.write(f"{STORE}/{path}", self._stored[path].to_bytes())

    def _coordinates(self, extra: Mapping[str, Sequence[Any]]) -> None:
        grid = self._files.grid
        days = np.array((self._files.date - EPOCH).days, np.int32)
        axes: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
            "time": (days, {"standard_name": "time", "units": f"days since {EPOCH}", "calendar": "standard"}),
            "depth": (np.array(self._files.depth, np.float32),
                      {"standard_name": "depth", "units": "m", "positive": "down", "axis": "Z"}),
            "latitude": (grid.latitude, {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"}),
            "longitude": (grid.longitude, {"standard_name": "longitude", "units": "degrees_east", "axis": "X"}),
            "crs": (np.array(0, np.int32), {
                "grid_mapping_name": "latitude_longitude", "crs_wkt": CRS.from_user_input(grid.crs).to_wkt(),
                "GeoTransform": " ".join(repr(float(number)) for number in grid.transform_gdal),
            }),
            **{name: (np.array(values), {"long_name": name}) for name, values in extra.items()},
        }  # fmt: skip
        for name, (values, attributes) in axes.items():
            array = zarr.create_array(
                self._memory, name=name, shape=values.shape, dtype=values.dtype, compressors=None, fill_value=0,
                chunks=tuple(max(size, 1) for size in values.shape), attributes=attributes,
                dimension_names=[name] if values.ndim else [], config={"write_empty_chunks": True},
            )  # fmt: skip
            array[...] = values


def by_field(values: Values, fields: Sequence[Field]) -> Iterator[tuple[Field, Values]]:
    """The fields of channels side by side: [..., field x level, height, width]."""
    yield from zip(fields, np.split(values, len(fields), axis=-3), strict=True)
