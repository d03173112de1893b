"""Reanalysis patches of a few bands as ``.npy``, with the OSTIA patch of the same month: the oldest form.

``y_npy/00000012.npy`` holds [band, row, column] float32 in degrees Celsius and 0 where missing, as older readers expect
it; a value of exactly 0 is written as a millionth of a degree, so that missing is told from it. The first band is the
surface, the others are the target. ``ostia_npy`` holds [row, column] float32 in degrees Celsius, NaN where missing.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.samples.form import Sample, SampleForm
from oceanrecon.samples.rows import Rows
from oceanrecon.samples.tiles import Tile
from oceanrecon.samples.written_rows import (
    REWRITE,
    centres_of,
    choose,
    date_in,
    decoded,
    naming_rows,
    read_index,
)
from oceanrecon.stores.files import Root

INDEX = "patch_index_with_paths.csv"
BANDS, OSTIA = "y_npy", "ostia_npy"
_KELVIN = np.float32(273.15)
#: The middle of values in degrees Celsius is below, in kelvin above; an export tells files without units by the same.
_BETWEEN = 100.0
#: Stands for a value of exactly 0, which means missing in these files.
_NEARLY_ZERO = np.float32(1e-6)


@dataclass(frozen=True)
class MonthField:
    """The OSTIA patch of a month: [row, column] K, NaN where missing, and where it is from."""

    values: NDArray[np.float32]
    #: of a file, or empty where it is the surface field of the sample
    path: str
    #: ISO 8601
    timestamp: str


@dataclass(frozen=True)
class BandPatch:
    """The files of a row by path, and what the index says of it."""

    files: Mapping[str, bytes]
    record: Mapping[str, Any]


def encode(
    sample: Sample, form: SampleForm, grid: RasterGrid, bands: Sequence[int], number: int, source: str,
    month: MonthField,
) -> BandPatch:  # fmt: skip
    """The files of a sample; the same sample gives the same bytes.

    Args:
        sample: with temperature.
        form: of it.
        grid: that its patch is of.
        bands: levels to write.
        number: of the files.
        source: file that the reanalysis is from.
        month: OSTIA of the sample's month.
    """
    part = form.fields[0]
    values = decoded(sample.target[part.name][list(bands)], part, form.encoding) - _KELVIN
    valid = np.isfinite(values)
    stored = np.where(valid, np.where(values == 0, _NEARLY_ZERO, values), np.float32(0))
    tile = Tile.of(grid, sample.patch_id, form.tile)
    whole = float(valid.all(axis=0).mean())
    files = {
        f"{BANDS}/{number:08d}.npy": _npy(stored),
        f"{OSTIA}/{number:08d}.npy": _npy(month.values - _KELVIN),
    }
    record = {
        "source_file": source,
        "y0": tile.row,
        "x0": tile.column,
        "edge_size": tile.size,
        "nodata_fraction": 1.0 - whole,
        "template_valid_fraction": whole,
        "sample_idx": number,
        "y_npy_path": f"{BANDS}/{number:08d}.npy",
        "valid_fraction": float(valid.mean()),
        "variable": part.variable,
        "bands": "|".join(str(band) for band in bands),
        "selected_depth_indices": "|".join(str(band) for band in bands),
        "selected_depth_values": "|".join(repr(form.depth[band]) for band in bands),
        "num_channels": len(bands),
        "ostia_month_key": sample.date // 100,
        "ostia_nc_path": month.path,
        "ostia_timestamp_utc": month.timestamp,
        "ostia_npy_path": f"{OSTIA}/{number:08d}.npy",
    }
    return BandPatch(files, record)


def _npy(values: NDArray[np.float32]) -> bytes:
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(values, np.float32), allow_pickle=False)
    return content.getvalue()


class WrittenBands:
    """Reads patches of a few bands, ours and those of older tools, by their ``patch_index_with_paths.csv``.

    They have no profiles: inputs are simulated from the target. The surface field is OSTIA where the index has it, and
    else the first band.
    """

    def __init__(self, root: Root, split: str, depth: Sequence[float] | None = None) -> None:
        """Of the samples below ``root`` on one side of the split, or ``all``; ``depth`` (m) of the target's bands.

        Raises:
            OutputError: the index is damaged or lacks a column.
            ConfigError: there is no sample on that side, or no one knows the depths.
        """
        self._root = root
        columns = read_index(
            root, INDEX, ("y_npy_path", "source_file", "y0", "x0", "edge_size", "lat0", "lat1", "lon0", "lon1"),
            ("split", "phase", "date", "patch_id", "lat_center", "lon_center", "selected_depth_values",
             "ostia_npy_path"),
        )  # fmt: skip
        total = len(columns["y_npy_path"])
        phases = np.array(columns.get("split", columns.get("phase", [""] * total)))
        keep = choose(root, split, phases, np.ones(total, bool))
        self._paths = [_below(columns[name], keep) for name in ("y_npy_path", "ostia_npy_path") if name in columns]
        self._coords = centres_of(columns)[keep]
        if "date" in columns:
            dates = np.array([text.replace("-", "") for text in columns["date"]], np.int64)[keep]
        else:
            named = {path: date_in(path) for path in set(columns["source_file"])}
            dates = np.array([named[path] for path in columns["source_file"]], np.int64)[keep]
        if "patch_id" in columns:
            ids = np.array(columns["patch_id"], np.int64)
        else:  # windows by their corners
            corners = np.stack([np.array(columns[name], np.int64) for name in ("y0", "x0")], axis=1)
            ids = np.unique(corners, axis=0, return_inverse=True)[1].reshape(-1)
        self.rows = Rows(ids[keep], dates.astype(np.int32), int(columns["edge_size"][0]))
        depths = columns.get("selected_depth_values", [""])[0]
        known = tuple(depth) if depth is not None else tuple(float(text) for text in depths.split("|") if text)[1:]
        levels = self._read(self._paths[0][0]).shape[0] - 1
        if len(known) != levels:
            raise ConfigError(
                f"the patches of {root.url} have {levels} bands below the surface, and {len(known)} depths are known "
                "of them: give `depth`, their depths in m"
            )
        self.form = SampleForm("temperature", self.rows.tile, known, ("analysed_sst",), None)

    def __len__(self) -> int:
        return len(self.rows)

    def samples(self, rows: Sequence[int]) -> list[Sample]:
        """Some rows.

        Raises:
            OutputError: a file is not there, or is damaged; names the row, the file and the remedy.
        """
        return naming_rows(lambda wanted: [self._sample(int(row)) for row in wanted], self.rows, rows)

    def _sample(self, row: int) -> Sample:
        stored = self._read(self._paths[0][row])
        values = _in_kelvin(np.where(np.isfinite(stored) & (stored != 0), stored, np.float32(np.nan)))
        target = values[1:]
        surface = values[0]
        if len(self._paths) == 2 and self._paths[1][row]:
            surface = _in_kelvin(resized(self._read(self._paths[1][row]), target.shape[1:]))
        land = ~np.isfinite(values).any(axis=0)
        return Sample(
            row=row,
            patch_id=int(self.rows.patch_id[row]),
            date=int(self.rows.date[row]),
            coords=self._coords[row],
            target={"temperature": target},
            surface=np.where(land, np.float32(np.nan), surface)[None],
            land=np.asarray(land, np.uint8),
            points=np.empty(0, np.int32),
            observed={"temperature": np.empty((0, len(target)), np.float32)},
            age=np.empty(0, np.float32),
        )

    def _read(self, path: bytes) -> NDArray[np.float32]:
        name = path.decode()
        where = Root(name.rpartition("/")[0]) if name.startswith("/") or "://" in name else self._root
        rel = name if where is self._root else name.rpartition("/")[2]
        try:
            values: NDArray[np.float32] = np.load(io.BytesIO(where.read(rel)), allow_pickle=False)
        except (OutputError, ValueError, EOFError) as error:
            raise OutputError(f"{where.url_of(rel)} cannot be read ({error}); {REWRITE}") from error
        return np.asarray(values, np.float32)


def _in_kelvin(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Temperatures of a file in degrees Celsius, or, as older tools can be asked to write them, in kelvin already."""
    known = values[np.isfinite(values)]
    return values if known.size and np.median(known) >= _BETWEEN else values + _KELVIN


def _below(paths: Sequence[str], keep: NDArray[np.bool_]) -> NDArray[np.bytes_]:
    """The paths of some rows, short in memory."""
    return np.array([path.encode() for path in paths])[keep]


def resized(field: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.float32]:
    """A field on other pixels of the same box, bilinear; missing where most of the weight is: [row, column]."""
    if field.shape == tuple(shape):
        return field
    valid = np.isfinite(field)
    rows, columns = (_weights(old, new) for old, new in zip(field.shape, shape, strict=True))
    total = rows @ np.where(valid, field, 0.0) @ columns.T
    weight = rows @ valid.astype(np.float64) @ columns.T
    known = weight >= 0.5
    return np.where(known, total / np.where(known, weight, 1.0), np.nan).astype(np.float32)


def _weights(old: int, new: int) -> NDArray[np.float64]:
    """Linear weights between the centres of cells; the edge value outside them: [new, old]."""
    place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.minimum(place.astype(int), max(old - 2, 0))
    weights = np.zeros((new, old))
    weights[np.arange(new), low] = 1.0 - (place - low)
    weights[np.arange(new), np.minimum(low + 1, old - 1)] += place - low
    return weights
