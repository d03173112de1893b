"""``dense.zarr``: one sharded zarr v3 array per variable, one shard per time, metadata written apart from data.

Opened by plain ``xr.open_zarr``: CF attributes decode the codes, and a time without a shard reads as missing.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS

from oceanrecon.errors import OutputError
from oceanrecon.grid.raster import RasterGrid
from oceanrecon.grid.times import EPOCH
from oceanrecon.stores.files import Root
from oceanrecon.stores.shard import ShardFormat
from oceanrecon.transform.encode import Codes, Stretch

# Fixed, so that adding times never changes the shape of a chunk that a reader may be about to use.
_TIME_CHUNK = 4096
# What decides the numbers that come out; other attributes may change with the version that wrote them.
_DECODING = ("scale_factor", "add_offset", "_FillValue", "units")
_REMEDY = "export elsewhere, or use --overwrite"

_Metadata = dict[str, Any]


@dataclass(frozen=True)
class DenseVariable:
    """One array of codes; ``days`` adds ``<name>_days``, the number of days behind each pixel."""

    name: str
    stretch: Stretch
    #: has the depth dimension
    levels: bool
    #: CF attributes besides those of the encoding, such as ``standard_name``, ``long_name`` and ``units``
    attrs: Mapping[str, str]
    days: bool


@dataclass(frozen=True)
class DenseLayout:
    """A store: its grid, depths (m, downwards), times and variables; ``inner`` is the side of a chunk in pixels."""

    grid: RasterGrid
    depth: tuple[float, ...]
    times: tuple[dt.date, ...]
    variables: tuple[DenseVariable, ...]
    inner: int = 64
    level: int = 1

    def shard_format(self, variable: DenseVariable) -> ShardFormat:
        """What one time of a variable looks like."""
        levels = (len(self.depth),) if variable.levels else ()
        return ShardFormat(
            levels,
            self.grid.height,
            self.grid.width,
            self.inner,
            variable.stretch.dtype,
            variable.stretch.nodata,
            self.level,
        )

    @property
    def days_format(self) -> ShardFormat:
        """What one time of ``<name>_days`` looks like."""
        return ShardFormat((), self.grid.height, self.grid.width, self.inner, np.dtype(np.uint8), 0, self.level)


def shard_key(prefix: str, variable: DenseVariable, time_index: int) -> str:
    """Path of the shard that holds one time of a variable."""
    return f"{prefix}/{variable.name}/c/{time_index}/" + ("0/0/0" if variable.levels else "0/0")


def days_shard_key(prefix: str, variable: DenseVariable, time_index: int) -> str:
    """Path of the shard that holds one time of ``<name>_days``."""
    return f"{prefix}/{variable.name}_days/c/{time_index}/0/0"


def encode_shard(codes: Codes, variable: DenseVariable, layout: DenseLayout) -> bytes:
    """The shard of one time; the same arguments give the same bytes.

    Args:
        codes: [depth, height, width] where the variable has levels, else [height, width].
        variable: whose codes they are.
        layout: the store.
    """
    return layout.shard_format(variable).encode(codes)


def encode_days_shard(days: NDArray[np.uint8], layout: DenseLayout) -> bytes:
    """The shard of one time of ``<name>_days``: [height, width], 0 where no day has a value."""
    return layout.days_format.encode(days)


def decode_shard(data: bytes, variable: DenseVariable, layout: DenseLayout) -> Codes:
    """The codes of a shard: [depth, height, width], or [height, width] where the variable has no levels.

    Raises:
        OutputError: the shard is damaged.
    """
    return layout.shard_format(variable).decode(data)


def check_shard(data: bytes, variable: DenseVariable, layout: DenseLayout) -> list[str]:
    """What is wrong with a shard of codes, each as a sentence; every chunk is decoded."""
    return layout.shard_format(variable).problems(data)


def check_days_shard(data: bytes, layout: DenseLayout) -> list[str]:
    """What is wrong with a shard of ``<name>_days``, each as a sentence; every chunk is decoded."""
    return layout.days_format.problems(data)


def read_times(root: Root, prefix: str) -> tuple[dt.date, ...]:
    """The times of a store, ascending; none where there is no store.

    Raises:
        OutputError: there is something else.
    """
    existing = _existing_arrays(root, prefix)
    return tuple(_date(days) for days in _stored_values(root, prefix, "time", existing["time"])) if existing else ()


def read_depth(root: Root, prefix: str) -> tuple[float, ...]:
    """The depths of a store (m, downwards); none where there is no store, or it has no levels.

    Raises:
        OutputError: there is something else.
    """
    existing = _existing_arrays(root, prefix)
    if "depth" not in existing:
        return ()
    # str of a float32 is its shortest decimal: 0.494025, not 0.49402499198913574
    return tuple(float(str(value)) for value in _stored_values(root, prefix, "depth", existing["depth"]))


def metadata_files(root: Root, prefix: str) -> list[str]:
    """Paths of all files of a store that are no data: metadata and coordinates; none where there is no store."""
    found = []
    for name, metadata in _existing_arrays(root, prefix).items():
        found.append(f"{prefix}/{name}/zarr.json")
        if metadata["dimension_names"] in ([], [name]):
            found += [f"{prefix}/{name}/{chunk}" for chunk in chunk_names(metadata)]
    return [f"{prefix}/zarr.json", *found] if found else []


def create_or_extend(root: Root, prefix: str, layout: DenseLayout) -> None:
    """Write the metadata and the coordinates of a store, and no data.

    An existing store keeps its variables and gets the new times and variables. Writing the same layout again changes
    nothing. The group, with the consolidated metadata, comes last: a reader sees the store as it was, or as it is to
    be.

    Raises:
        OutputError: an existing store has another grid, other depths or encodings, or times that ``layout`` lacks.
    """
    arrays = _data_arrays(layout)
    coordinates = _coordinates(layout)
    existing = _existing_arrays(root, prefix)
    if existing:
        url = root.url_of(prefix)
        _refuse_other_coordinates(root, prefix, existing, coordinates)
        for name in sorted(arrays.keys() & existing.keys()):
            _refuse_other_encoding(url, name, existing[name], arrays[name])
        for name, metadata in existing.items():
            if name not in arrays and metadata["dimension_names"][:1] == ["time"] and name != "time":
                arrays[name] = metadata | {"shape": [len(layout.times), *metadata["shape"][1:]]}
    files: dict[str, bytes] = {}
    for name, (values, attributes) in coordinates.items():
        chunk = _TIME_CHUNK if name == "time" else max(1, values.size)
        arrays[name] = _array(
            list(values.shape),
            [name] if values.ndim else [],
            attributes,
            {
                "data_type": values.dtype.name,
                "fill_value": 0,
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [chunk] * values.ndim}},
                "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            },
        )
        flat = values.ravel()
        for number in range(-(-flat.size // chunk)):
            block = np.zeros(chunk, values.dtype.newbyteorder("<"))
            part = flat[number * chunk : (number + 1) * chunk]
            block[: part.size] = part
            files[f"{name}/c/{number}" if values.ndim else f"{name}/c"] = block.tobytes()
    arrays = dict(sorted(arrays.items()))
    files |= {f"{name}/zarr.json": _to_json(metadata) for name, metadata in arrays.items()}
    files["zarr.json"] = _to_json(
        {
            "zarr_format": 3,
            "node_type": "group",
            # Without it xarray would list the coordinate system among the data.
            "attributes": {"Conventions": "CF-1.11", "coordinates": "crs"},
            "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": arrays},
        }
    )
    there = root.read_many([f"{prefix}/{path}" for path in files])
    for path, data in files.items():
        if there.get(f"{prefix}/{path}") != data:
            root.write(f"{prefix}/{path}", data)


def _data_arrays(layout: DenseLayout) -> dict[str, _Metadata]:
    arrays: dict[str, _Metadata] = {}
    time, place = [len(layout.times)], [layout.grid.height, layout.grid.width]
    for variable in layout.variables:
        stretch = variable.stretch
        attributes = {
            "units": stretch.units,
            **variable.attrs,
            "grid_mapping": "crs",
            "scale_factor": stretch.step,
            "add_offset": stretch.minimum,
            "_FillValue": stretch.nodata,
            # CF: of the packed values.
            "valid_min": 0,
            "valid_max": stretch.last_code,
        }
        shape = layout.shard_format(variable)
        arrays[variable.name] = _array(
            [*time, *shape.levels, *place],
            ["time", *(["depth"] if variable.levels else []), "latitude", "longitude"],
            attributes,
            shape.metadata(),
        )
        if variable.days:
            attributes = {
                "long_name": f"number of days averaged in {variable.name}",
                # not "day", which CF readers would turn into durations
                "units": "1",
                "grid_mapping": "crs",
            }
            arrays[f"{variable.name}_days"] = _array(
                [*time, *place], ["time", "latitude", "longitude"], attributes, layout.days_format.metadata()
            )
    return arrays


def _coordinates(layout: DenseLayout) -> dict[str, tuple[NDArray[Any], _Metadata]]:
    grid = layout.grid
    days = np.array([(time - EPOCH).days for time in layout.times], np.int32)
    axes: dict[str, tuple[NDArray[Any], _Metadata]] = {
        "time": (
            days,
            {
                "standard_name": "time",
                "long_name": "target date",
                "axis": "T",
                "units": f"days since {EPOCH.isoformat()}",
                "calendar": "proleptic_gregorian",
            },
        ),
        "latitude": (
            grid.latitude,
            {
                "standard_name": "latitude",
                "long_name": "latitude of the pixel's centre",
                "axis": "Y",
                "units": "degrees_north",
            },
        ),
        "longitude": (
            grid.longitude,
            {
                "standard_name": "longitude",
                "long_name": "longitude of the pixel's centre",
                "axis": "X",
                "units": "degrees_east",
            },
        ),
        "crs": (
            np.array(0, np.int32),
            {
                "grid_mapping_name": "latitude_longitude",
                "crs_wkt": CRS.from_user_input(grid.crs).to_wkt(),
                "longitude_of_prime_meridian": 0.0,
                "semi_major_axis": 6378137.0,
                "inverse_flattening": 298.257223563,
                "GeoTransform": " ".join(repr(float(number)) for number in grid.transform_gdal),
            },
        ),
    }
    if layout.depth:
        axes["depth"] = (
            np.array(layout.depth, np.float32),
            {"standard_name": "depth", "long_name": "depth", "axis": "Z", "units": "m", "positive": "down"},
        )
    return axes


def _array(shape: list[int], dimensions: list[str], attributes: _Metadata, storage: _Metadata) -> _Metadata:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "dimension_names": dimensions,
        **storage,
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "attributes": attributes,
        "storage_transformers": [],
    }


def _to_json(metadata: _Metadata) -> bytes:
    return (json.dumps(metadata, indent=1, allow_nan=False) + "\n").encode()


def _existing_arrays(root: Root, prefix: str) -> dict[str, _Metadata]:
    content = root.read_if_there(f"{prefix}/zarr.json")
    if content is None:
        return {}
    try:
        arrays: dict[str, _Metadata] = json.loads(content)["consolidated_metadata"]["metadata"]
        if not {"time", "latitude", "longitude"} <= arrays.keys():
            raise KeyError("time, latitude or longitude")
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(
            f"{root.url_of(prefix)} exists and is not a store of ours ({type(error).__name__}: {error}): {_REMEDY}"
        ) from error
    return arrays


def _refuse_other_coordinates(
    root: Root, prefix: str, existing: dict[str, _Metadata], coordinates: dict[str, tuple[NDArray[Any], _Metadata]]
) -> None:
    url = root.url_of(prefix)
    for name in ("latitude", "longitude", "depth"):
        if name in existing and name in coordinates:
            found, wanted = _stored_values(root, prefix, name, existing[name]), coordinates[name][0]
            if not np.array_equal(found, wanted):
                raise OutputError(f"{url} has another {name}, {_span(found)} instead of {_span(wanted)}: {_REMEDY}")
    times, wanted = _stored_values(root, prefix, "time", existing["time"]), coordinates["time"][0]
    if not np.array_equal(times, wanted[: times.size]):
        lost = sorted(set(times.tolist()) - set(wanted.tolist()))
        what = f"its {_date(lost[0])} is not a target" if lost else f"a new target lies before its {_date(times[-1])}"
        raise OutputError(f"{url} can only be extended by later times, and {what}: {_REMEDY}")


def _refuse_other_encoding(url: str, name: str, found: _Metadata, wanted: _Metadata) -> None:
    for key in ("data_type", "fill_value", "dimension_names", "chunk_grid", "codecs"):
        if found[key] != wanted[key]:
            raise OutputError(f"{url} stores {name} with {key} {found[key]} instead of {wanted[key]}: {_REMEDY}")
    for key in _DECODING:
        before, after = found["attributes"].get(key), wanted["attributes"].get(key)
        if before != after:
            raise OutputError(f"{url} stores {name} with {key} {before} instead of {after}: {_REMEDY}")


def _stored_values(root: Root, prefix: str, name: str, metadata: _Metadata) -> NDArray[Any]:
    size, dtype = metadata["shape"][0], np.dtype(metadata["data_type"]).newbyteorder("<")
    blocks = [root.read(f"{prefix}/{name}/{chunk}") for chunk in chunk_names(metadata)]
    values: NDArray[Any] = np.frombuffer(b"".join(blocks), dtype)[:size]
    return values


def chunk_names(metadata: _Metadata) -> list[str]:
    """The chunks of a coordinate: it has one dimension, or none."""
    if not metadata["shape"]:
        return ["c"]
    chunk = metadata["chunk_grid"]["configuration"]["chunk_shape"][0]
    return [f"c/{number}" for number in range(-(-metadata["shape"][0] // chunk))]


def _span(values: NDArray[Any]) -> str:
    return f"{values[0]:g} to {values[-1]:g} in {values.size}" if values.size else "nothing"


def _date(days: int) -> dt.date:
    return EPOCH + dt.timedelta(days=int(days))
