"""The field that every layout is written from: synthetic, or of a user's export; kept as files that workers map."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from oceanrecon.bench_config import SYNTHETIC, ChunksBench, ValueType
from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid
from oceanrecon.grid.levels import GLORYS_DEPTH
from oceanrecon.pipeline.open import open_export
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import export_grid, read_manifest
from oceanrecon.stores.shard_reader import Box
from oceanrecon.synthetic.truth import Ocean
from oceanrecon.transform.encode import Stretch, stretch

#: A week without a leap day or a change of year near it.
_FIRST = dt.date(2012, 3, 7)
_ENCODINGS: tuple[ValueType, ...] = ("uint8", "uint16", "float32")


@dataclass(frozen=True)
class Field:
    """Values of one variable: [date, level, row, column], float32 in physical units, NaN where missing."""

    #: of its files, which all workers see
    folder: str
    grid: RasterGrid
    #: m, downwards
    depth: tuple[float, ...]
    dates: tuple[dt.date, ...]
    quantity: str
    #: what it can be stored as without making digits up
    encodings: tuple[ValueType, ...]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Dates, levels, height, width."""
        return (len(self.dates), len(self.depth), self.grid.height, self.grid.width)

    def stretch(self, encoding: ValueType) -> Stretch | None:
        """How values become codes; ``None`` for ``float32``."""
        return None if encoding == "float32" else stretch(self.quantity, encoding)

    def dtype(self, encoding: ValueType) -> np.dtype[Any]:
        """Of the stored numbers."""
        return np.dtype(encoding)

    def fill(self, encoding: ValueType) -> int | float:
        """The stored number that means missing."""
        code = self.stretch(encoding)
        return float("nan") if code is None else code.nodata

    def stored(
        self, encoding: ValueType, date: int, rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[Any]:
        """The numbers that are stored of a date: [level, row, column]."""
        values = np.ascontiguousarray(_values(self.folder, date)[:, rows, columns])
        code = self.stretch(encoding)
        if code is None:
            return values
        codes = np.empty(values.shape, code.dtype)
        for level, found in zip(codes, values, strict=True):  # one at a time: encoding goes through float64
            level[...] = code.encode(found)
        return codes

    def surface(self) -> NDArray[np.bool_]:
        """Where the first level of the first date has a value: [row, column]."""
        wet: NDArray[np.bool_] = np.isfinite(_values(self.folder, 0)[0])
        return wet


def _values(folder: str, date: int) -> NDArray[np.float32]:
    # mapped anew each time: pages of maps that stay count as memory of the process, and dask ends it for that
    values: NDArray[np.float32] = np.load(f"{folder}/{_name(date)}", mmap_mode="r")
    return values


def _name(date: int) -> str:
    return f"{date:04d}.npy"


def make_field(settings: ChunksBench, folder: Path, on_done: Callable[[int, int], None] | None = None) -> Field:
    """The field of the settings; its files are written where they are not there yet.

    Args:
        settings: of the benchmark.
        folder: of the files.
        on_done: called with how many dates are there, and how many there are to be.

    Raises:
        ConfigError: the export has not that variable, or patches do not fit into its grid.
    """
    make = _synthetic if settings.source == SYNTHETIC else _exported
    field, values = make(settings, str(folder))
    _, _, height, width = field.shape
    if settings.sizes.tile > min(height, width):
        raise ConfigError(
            f"size.tile {settings.sizes.tile}: the field has only {height} x {width} pixels; give a smaller one"
        )
    files = Root(str(folder))
    for number in range(len(field.dates)):
        if not files.exists(_name(number)):
            with files.writer(_name(number)) as file:
                np.save(cast(IO[bytes], file), values(number))
        if on_done is not None:
            on_done(number + 1, len(field.dates))
    files.clear_staging()
    return field


#: The values of a date by its number: [level, row, column].
_Values = Callable[[int], NDArray[np.float32]]


def _synthetic(settings: ChunksBench, folder: str) -> tuple[Field, _Values]:
    if settings.variable != "thetao":
        raise ConfigError(f"variable {settings.variable!r}: the synthetic source has only thetao")
    sizes = settings.sizes
    grid = RasterGrid.from_bounds(sizes.resolution, sizes.bounds)
    chosen = np.unique(np.linspace(0, len(GLORYS_DEPTH) - 1, sizes.levels).round().astype(int))
    depth = tuple(GLORYS_DEPTH[number] for number in chosen)
    dates = tuple(_FIRST + dt.timedelta(days=7 * number) for number in range(sizes.dates))
    ocean = Ocean(settings.seed)

    def values(number: int) -> NDArray[np.float32]:
        made = ocean.truth_on(grid, [dates[number]], depth, variables=("thetao",))
        found: NDArray[np.float32] = made["thetao"][0]
        noise = np.random.default_rng((settings.seed, number))
        for level in found:  # one at a time: a global field has gigabytes
            level += np.float32(settings.noise) * noise.standard_normal(level.shape, np.float32)
        return found

    return Field(folder, grid, depth, dates, "temperature_kelvin", _ENCODINGS), values


def _exported(settings: ChunksBench, folder: str) -> tuple[Field, _Values]:
    manifest = read_manifest(Root(settings.source))
    dataset = open_export(settings.source)
    name = settings.variable
    if name not in dataset:
        raise ConfigError(
            f"variable {name!r}: {settings.source} has {', '.join(sorted(map(str, dataset)))}; give one of these"
        )
    array = dataset[name]
    depth = tuple(float(z) for z in array["depth"].values) if "depth" in array.dims else (0.0,)
    days = array["time"].values[: settings.sizes.dates].astype("datetime64[D]").tolist()
    quantity = next(
        variable.quantity for product in PRODUCTS.values() for variable in product.variables if variable.name == name
    )
    # of an export of few digits more would be made up
    encodings = _ENCODINGS[: _ENCODINGS.index(manifest["encoding"]) + 1]

    def values(number: int) -> NDArray[np.float32]:
        found: NDArray[np.float32] = np.asarray(array.isel(time=number).values, np.float32)
        found.shape = (len(depth), *found.shape[-2:])
        return found

    return Field(folder, export_grid(manifest), depth, tuple(days), quantity, encodings), values


@dataclass(frozen=True)
class Reads:
    """Where is read, the same of every layout: boxes of [date, level, row, column]."""

    patch: tuple[Box, ...]
    map: tuple[Box, ...]
    series: tuple[Box, ...]


def random_reads(field: Field, settings: ChunksBench) -> Reads:
    """Random patches with all levels, maps of one level, and time series of one pixel.

    A patch has a value in its middle, and so has the pixel of a series: land alone is stored as nothing.
    """
    sizes = settings.sizes
    dates, levels, height, width = field.shape
    wet = field.surface()
    half, tile = sizes.tile // 2, sizes.tile
    middles = wet[half : height - tile + half + 1, half : width - tile + half + 1]
    random = np.random.default_rng((settings.seed, 77))

    def places(where: NDArray[np.bool_], number: int) -> list[tuple[int, int]]:
        rows, columns = np.nonzero(where if where.any() else np.ones_like(where))
        chosen = random.integers(0, rows.size, number)
        return list(zip(rows[chosen].tolist(), columns[chosen].tolist(), strict=True))

    def one(size: int) -> tuple[int, int]:
        start = int(random.integers(size))
        return (start, start + 1)

    return Reads(
        patch=tuple(
            (one(dates), (0, levels), (row, row + tile), (column, column + tile))
            for row, column in places(middles, sizes.patches)
        ),
        map=tuple((one(dates), one(levels), (0, height), (0, width)) for _ in range(sizes.maps)),
        series=tuple(
            ((0, dates), (0, levels), (row, row + 1), (column, column + 1)) for row, column in places(wet, sizes.series)
        ),
    )
