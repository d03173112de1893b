"""Writes the field in one layout, object by object: by this package's writers, by zarr-python or by rasterio."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol

import numpy as np
import rasterio
import rasterio.shutil
import zarr
from numpy.typing import NDArray
from rasterio.io import MemoryFile
from zarr.abc.store import Store
from zarr.codecs import BloscCname, BloscCodec, BloscShuffle, Crc32cCodec, ZstdCodec
from zarr.storage import FsspecStore, LocalStore

from oceanrecon.pipeline.chunking.cases import Case
from oceanrecon.pipeline.chunking.field import Field
from oceanrecon.stores.files import Root
from oceanrecon.stores.geotiff import GDAL_OPTIONS, GeoTiffOptions, Interleave, encode_geotiff, grid_profile
from oceanrecon.stores.receipts import BandStatistics
from oceanrecon.stores.shard import ShardFormat
from oceanrecon.stores.tags import level_description, level_tags

#: The array of a zarr store, and its metadata, below the root of a case.
ARRAY = "values"
METADATA = f"{ARRAY}/zarr.json"


@dataclass(frozen=True)
class Part:
    """What one task writes, as one object: first and last (excluded) dates, rows and columns."""

    dates: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]

    def values(self, field: Field, case: Case) -> NDArray[Any]:
        """What is stored: [date, level, row, column]."""
        rows, columns = slice(*self.rows), slice(*self.columns)
        return np.stack([field.stored(case.encoding, date, rows, columns) for date in range(*self.dates)])


class PartWriter(Protocol):
    """Writes objects of one layout."""

    def create(self) -> None:
        """What comes before the first object: metadata."""
        ...

    def write(self, part: Part, values: NDArray[Any]) -> None:
        """Encode and write one object."""
        ...


def parts_of(case: Case, field: Field) -> list[Part]:
    """The objects of a layout, in order."""
    dates, _, height, width = field.shape
    shard = case.shard_side or max(height, width)
    return [
        Part((date, min(date + case.shard_dates, dates)), rows, columns)
        for date, rows, columns in product(
            range(0, dates, case.shard_dates), _pieces(height, shard), _pieces(width, shard)
        )
    ]


def _pieces(size: int, step: int) -> list[tuple[int, int]]:
    return [(start, min(start + step, size)) for start in range(0, size, step)]


def chunks_of(case: Case, field: Field) -> int:
    """Number of pieces that are compressed for themselves."""
    dates, levels, height, width = field.shape
    chunk_levels = 1 if case.store in ("geotiff-band", "cog") else case.chunk_levels or levels
    sizes = zip((dates, levels, height, width), (case.chunk_dates, chunk_levels, case.side, case.side), strict=True)
    return int(np.prod([-(-size // step) for size, step in sizes]))


def tiff_path(date: int) -> str:
    """Of the GeoTIFF of a date."""
    return f"{date:04d}.tif"


def open_writer(case: Case, field: Field, root: Root) -> PartWriter:
    """Of a layout, below a root that is its own."""
    if case.writer == "zarr-python":
        return _ZarrPython(case, field, root)
    if case.is_zarr:
        return _Shards(case, field, root)
    return _Tiffs(case, field, root)


class _Shards:
    """This package's shards."""

    def __init__(self, case: Case, field: Field, root: Root) -> None:
        _, levels, height, width = field.shape
        self._field, self._root = field, root
        self._format = ShardFormat(
            (levels,), height, width, case.side, field.dtype(case.encoding), int(field.fill(case.encoding)), case.level
        )

    def create(self) -> None:
        array = {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self._field.shape),
            "dimension_names": ["time", "depth", "latitude", "longitude"],
            **self._format.metadata(),
            "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
            "attributes": {},
            "storage_transformers": [],
        }
        self._root.write(METADATA, json.dumps(array).encode())

    def write(self, part: Part, values: NDArray[Any]) -> None:
        self._root.write(f"{ARRAY}/c/{part.dates[0]}/0/0/0", self._format.encode(values[0]))


class _ZarrPython:
    """Shards of any form."""

    def __init__(self, case: Case, field: Field, root: Root) -> None:
        self._case, self._field, self._root = case, field, root

    def create(self) -> None:
        case, field = self._case, self._field
        _, levels, height, width = field.shape
        side, deep = case.side, case.chunk_levels or levels
        wide = [_up(height, side), _up(width, side)] if case.shard_side is None else [case.shard_side] * 2
        zarr.create_array(
            _zarr_store(self._root, read_only=False),
            shape=field.shape,
            chunks=(case.chunk_dates, deep, side, side),
            shards=(case.shard_dates, _up(levels, deep), *wide),
            dtype=case.encoding,
            compressors=[*_zarr_compressor(case), Crc32cCodec()],
            fill_value=field.fill(case.encoding),
            dimension_names=["time", "depth", "latitude", "longitude"],
        )

    def write(self, part: Part, values: NDArray[Any]) -> None:
        array = open_zarr_array(self._root, read_only=False)
        array[slice(*part.dates), :, slice(*part.rows), slice(*part.columns)] = values


def _up(size: int, step: int) -> int:
    """The next whole number of steps."""
    return -(-size // step) * step


def _zarr_compressor(case: Case) -> list[Any]:
    if case.codec == "none":
        return []
    if case.codec == "zstd":
        return [ZstdCodec(level=case.level)]
    shuffle = BloscShuffle({"none": "noshuffle", "bytes": "shuffle", "bits": "bitshuffle"}[case.shuffle])
    name = BloscCname(case.codec.removeprefix("blosc-"))
    return [BloscCodec(typesize=case.item_bytes, cname=name, clevel=case.level, shuffle=shuffle)]


def _zarr_store(root: Root, *, read_only: bool) -> Store:
    """The folder of the array, for zarr-python: no group is above it."""
    url = root.url_of(ARRAY)
    return LocalStore(url, read_only=read_only) if root.local_path else FsspecStore.from_url(url, read_only=read_only)


def open_zarr_array(root: Root, *, read_only: bool = True) -> Any:
    """The array of a case, by zarr-python."""
    return zarr.open_array(_zarr_store(root, read_only=read_only), mode="r" if read_only else "r+")


class _Tiffs:
    """GeoTIFFs with the tags that those of an export have, by this package's writer or by rasterio."""

    def __init__(self, case: Case, field: Field, root: Root) -> None:
        self._case, self._field, self._root = case, field, root

    def create(self) -> None:
        """Nothing: each file stands for itself."""

    def write(self, part: Part, values: NDArray[Any]) -> None:
        own = self._case.writer == "oceanrecon"
        data = self._own(values[0]) if own else _rasterio_tiff(self._case, self._field, values[0])
        self._root.write(tiff_path(part.dates[0]), data)

    def _own(self, codes: NDArray[Any]) -> bytes:
        case, field = self._case, self._field
        code = field.stretch(case.encoding)
        assert code is not None  # float32 is rasterio's
        # as long as real ones: a reader far away fetches them
        counted = BandStatistics(codes[0].size, codes[0].size, 0, 0, code.minimum, code.maximum, code.minimum)
        cog = case.store == "cog"
        interleave: Interleave = "band" if case.store == "geotiff-band" else "pixel"
        return encode_geotiff(
            codes,
            field.grid,
            code,
            tags={},
            band_tags=[level_tags(code, depth, counted) for depth in field.depth],
            descriptions=[level_description(depth) for depth in field.depth],
            options=GeoTiffOptions(interleave=interleave, cog=cog, level=case.level, blocksize=case.side),
        )


def _rasterio_tiff(case: Case, field: Field, values: NDArray[Any]) -> bytes:
    """A GeoTIFF as this package does not write it: of floats, or not compressed."""
    compressed = case.codec == "zstd"
    predictor = 3 if case.encoding == "float32" else 2
    profile = grid_profile(field.grid, case.side) | {
        "count": len(values),
        "dtype": case.encoding,
        "nodata": field.fill(case.encoding),
        # a COG is made from bands, as this package does
        "interleave": "pixel" if case.store == "geotiff-pixel" else "band",
        **({"compress": "ZSTD", "zstd_level": case.level, "predictor": predictor} if compressed else {}),
    }
    with rasterio.Env(**GDAL_OPTIONS), MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            for _, window in dataset.block_windows(1):
                dataset.write(values[:, *window.toslices()], window=window)
        if case.store != "cog":
            return bytes(memory.getbuffer())
        packed = {"compress": "ZSTD", "level": case.level, "predictor": "YES"} if compressed else {"compress": "NONE"}
        with memory.open() as dataset, MemoryFile(ext=".tif") as optimised:
            rasterio.shutil.copy(
                dataset, optimised.name, driver="COG", blocksize=case.side, overview_resampling="average",
                bigtiff="IF_SAFER", num_threads="1", **packed,
            )  # fmt: skip
            return bytes(optimised.getbuffer())
