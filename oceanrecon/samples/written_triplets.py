"""OSTIA, profiles and GLORYS of a row as three GeoTIFFs, and an index of them: the older form of paired patches.

``ostia/``, ``argo/`` and ``glorys/`` hold a file of the same name per row, ``20120307_patch_345.tif``, in degrees
Celsius: float32 with NaN where missing, one band per level for profiles; GLORYS packed as hundredths in int16.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from oceanrecon.errors import OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.grid.levels import GLORYS_DEPTH
from oceanrecon.grid.patches import outline
from oceanrecon.samples.form import Sample, SampleForm
from oceanrecon.samples.rows import Rows
from oceanrecon.samples.tiles import Tile
from oceanrecon.samples.written_rows import (
    REWRITE,
    centres_of,
    choose,
    decoded,
    described_depth,
    naming_rows,
    read_index,
)
from oceanrecon.stores.files import Root
from oceanrecon.stores.geotiff import GDAL_OPTIONS
from oceanrecon.stores.tags import level_description

INDEX = "manifest.csv"
KINDS = ("ostia", "argo", "glorys")
#: Samples with fewer observed pixels are not written.
LEAST_PIXELS = 4
#: Reason in the index of those.
TOO_FEW = f"valid_mask_1d_pixels_lt_{LEAST_PIXELS}"
_KELVIN = 273.15
#: Tag of the packed file: the depths of its bands, m.
_DEPTH = "depth_axis_m"
_PACKED_MISSING = -32768
_PACKED_TAGS = {
    "value_encoding": "packed_int16_celsius_x100",
    "scale_factor": "0.01",
    "add_offset": "0",
    "packed_nodata": str(_PACKED_MISSING),
}


@dataclass(frozen=True)
class Triplet:
    """The files of a row by path, none where it is skipped, and what the index says of it."""

    files: Mapping[str, bytes]
    record: Mapping[str, Any]


def encode(sample: Sample, form: SampleForm, grid: RasterGrid, days: int, days_used: Mapping[str, int]) -> Triplet:
    """The files of a sample; the same sample gives the same bytes.

    Args:
        sample: with temperature, and with ``analysed_sst`` among the surface fields.
        form: of it.
        grid: that its patch is of.
        days: of the window.
        days_used: by ``ostia`` and ``glorys``: how many days their fields are of.
    """
    name = f"{sample.date}_patch_{sample.patch_id}"
    levels, size = len(form.depth), form.tile
    part = form.fields[0]
    channel = form.surface.index("analysed_sst")
    ostia = decoded(sample.surface[channel], form.channels[channel], form.encoding)[None] - np.float32(_KELVIN)
    glorys = decoded(sample.target[part.name], part, form.encoding) - np.float32(_KELVIN)
    packed = np.where(np.isfinite(glorys), np.rint(glorys * 100.0), _PACKED_MISSING).astype(np.int16)
    argo = np.full((levels, size * size), np.nan, np.float32)
    argo[:, sample.points] = sample.observed[part.name].T - np.float32(_KELVIN)
    pixels = int(np.isfinite(argo).any(axis=0).sum())
    tile = Tile.of(grid, sample.patch_id, size)
    north, west = grid.north - tile.row * grid.dy, (grid.west + tile.column * grid.dx + 180.0) % 360.0 - 180.0
    transform = Affine(grid.dx, 0.0, west, 0.0, -grid.dy, north)
    skipped = pixels < LEAST_PIXELS
    files: dict[str, bytes] = {}
    if not skipped:
        depths = [level_description(depth) for depth in form.depth]
        packed_tags = _PACKED_TAGS | {_DEPTH: json.dumps(form.depth)}
        profiles, units = argo.reshape(levels, size, size), {"units": "celsius"}
        files = {
            f"ostia/{name}.tif": _encode(ostia, transform, grid.crs, ["analysed_sst"], units),
            f"argo/{name}.tif": _encode(profiles, transform, grid.crs, depths, units),
            f"glorys/{name}.tif": _encode(packed, transform, grid.crs, depths, packed_tags),
        }
    south, east = north - size * grid.dy, (west + size * grid.dx + 180.0) % 360.0 - 180.0
    record = {
        "sample_basename": name,
        "filename": f"{name}.tif",
        "centroid_lat": float(sample.coords[0]),
        "centroid_lon": float(sample.coords[1]),
        "geometry_wkt": outline(*(round(edge, 10) for edge in (south, north, west, east if east > -180.0 else 180.0))),
        **{f"{kind}_tif_path": "" if skipped else f"{kind}/{name}.tif" for kind in KINDS},
        **{f"{kind}_filename": "" if skipped else f"{name}.tif" for kind in KINDS},
        "crs": grid.crs,
        "tile_size": size,
        "output_units": "celsius",
        "argo_depth_semantics": "one band per GLORYS level, profiles aligned to its depth",
        "ostia_band_count": 1,
        "argo_band_count": levels,
        "glorys_band_count": levels,
        "files_written": len(files),
        "temporal_window_days": days,
        "temporal_rows_count": 1,
        "temporal_ostia_days_used": days_used.get("ostia", ""),
        "temporal_glorys_days_used": days_used.get("glorys", ""),
        "temporal_argo_days_used": "",  # a sample does not say of which days its profiles are
        "valid_mask_1d_pixels": pixels,
        "argo_valid_spatial_observation_count": pixels,
        "export_skipped_reason": TOO_FEW if skipped else "",
    }
    return Triplet(files, record)


def _encode(
    values: NDArray[Any], transform: Affine, crs: str, descriptions: Sequence[str], tags: Mapping[str, str]
) -> bytes:
    packed = values.dtype == np.int16
    bands, height, width = values.shape
    with rasterio.Env(**GDAL_OPTIONS), MemoryFile() as memory:
        # level 1: a third of the time of the usual 6, for a tenth more bytes
        with memory.open(
            driver="GTiff", width=width, height=height, count=bands, dtype=values.dtype.name, crs=crs,
            transform=transform, nodata=_PACKED_MISSING if packed else float("nan"), compress="DEFLATE",
            predictor=2 if packed else 3, interleave="pixel", blockysize=height, zlevel=1,
        ) as dataset:  # fmt: skip
            if packed:  # GDAL and its readers then decode to degrees
                dataset.scales = (0.01,) * bands
            dataset.descriptions = tuple(descriptions)
            dataset.update_tags(**tags)
            dataset.write(values)
        return bytes(memory.getbuffer())


class WrittenTriplets:
    """Reads GeoTIFF triplets, ours and those of older tools, by their ``manifest.csv``."""

    def __init__(self, root: Root, split: str, depth: Sequence[float] | None = None) -> None:
        """Of the samples below ``root`` on one side of the split, or ``all``; ``depth`` where no file says it.

        Raises:
            OutputError: the index is damaged or lacks a column.
            ConfigError: there is no sample on that side, or no one knows the depths.
        """
        self._root = root
        columns = read_index(
            root, INDEX, ("filename", "patch_id", "date"),
            ("phase", "split", "export_skipped_reason", "tile_size", "output_units", "centroid_lat", "centroid_lon",
             "lat_center", "lon_center", "lat0", "lat1", "lon0", "lon1"),
        )  # fmt: skip
        total = len(columns["filename"])
        written = np.array(columns.get("export_skipped_reason", [""] * total)) == ""
        phases = np.array(columns.get("phase", columns.get("split", [""] * total)))
        keep = choose(root, split, phases, written)
        #: what the files are named: short, so that millions are quick to send to a worker
        self._names = np.array([name.encode() for name in columns["filename"]])[keep]
        self._coords = centres_of(columns)[keep]
        self._offset = 0.0 if columns.get("output_units", [""])[0].lower().startswith("k") else _KELVIN
        first = self._names[0].decode()
        packed, tags = self._read(f"glorys/{first}")
        stated = json.loads(tags.get(_DEPTH, "[]"))
        self.form = SampleForm(
            "temperature",
            packed.shape[1],
            described_depth(root, depth, stated, len(packed), GLORYS_DEPTH),
            ("analysed_sst",),
            None,
        )
        dates = np.array([text.replace("-", "") for text in columns["date"]], np.int64)
        self.rows = Rows(np.array(columns["patch_id"], np.int64)[keep], dates[keep].astype(np.int32), self.form.tile)

    def __len__(self) -> int:
        return len(self.rows)

    def samples(self, rows: Sequence[int]) -> list[Sample]:
        """Some rows.

        Raises:
            OutputError: a file is not there, or is damaged; names the row, the file and the remedy.
        """
        return naming_rows(lambda wanted: [self._sample(int(row)) for row in wanted], self.rows, rows)

    def _sample(self, row: int) -> Sample:
        name = self._names[row].decode()
        ostia, argo, glorys = (self._read(f"{kind}/{name}")[0] for kind in KINDS)
        observed = argo.reshape(len(argo), -1)
        points = np.flatnonzero(np.isfinite(observed).any(axis=0))
        return Sample(
            row=row,
            patch_id=int(self.rows.patch_id[row]),
            date=int(self.rows.date[row]),
            coords=self._coords[row],
            target={"temperature": glorys},
            surface=ostia,
            # there is no mask of its own: water is where anything dense has a value
            land=(~(np.isfinite(glorys).any(axis=0) | np.isfinite(ostia[0]))).astype(np.uint8),
            points=points.astype(np.int32),
            observed={"temperature": np.ascontiguousarray(observed[:, points].T)},
            age=np.zeros(points.size, np.float32),
        )

    def _read(self, path: str) -> tuple[NDArray[np.float32], dict[str, str]]:
        """Kelvin, NaN where missing: [band, row, column]; and the tags of the file."""
        url = self._root.url_of(path)
        try:
            with rasterio.Env(**GDAL_OPTIONS), MemoryFile(self._root.read(path)) as memory, memory.open() as dataset:
                stored = dataset.read()
                tags, nodata = dataset.tags(), dataset.nodata
        except (RasterioError, OutputError, OSError) as error:
            raise OutputError(f"{url} cannot be read ({error.__cause__ or error}); {REWRITE}") from error
        if tags.get("value_encoding") == _PACKED_TAGS["value_encoding"]:
            scale, offset = float(tags.get("scale_factor", 0.01)), float(tags.get("add_offset", 0))
            missing = stored == int(tags.get("packed_nodata", _PACKED_MISSING))
            return np.asarray(np.where(missing, np.nan, stored * scale + offset + _KELVIN), np.float32), tags
        values: NDArray[np.float32] = stored.astype(np.float32)
        if nodata is not None and np.isfinite(nodata):
            values[stored == nodata] = np.nan
        return values + np.float32(self._offset), tags
