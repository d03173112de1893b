"""GeoTIFFs of codes: encoded whole in memory, checked sample by sample, read by window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from rasterio.transform import Affine
from rasterio.windows import Window

from oceanrecon.access.ranges import open_binary
from oceanrecon.errors import OutputError
from oceanrecon.grid.raster import RasterGrid
from oceanrecon.transform.encode import Codes, Stretch

Interleave = Literal["pixel", "band"]

# One thread and a small block cache: a worker is one process with one thread and a bounded memory.
GDAL_OPTIONS: dict[str, Any] = {
    "GDAL_CACHEMAX": 64_000_000,
    "GDAL_NUM_THREADS": "1",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",
}
# Metadata is compared after a round trip through text in the file.
_TOLERANCE = 1e-9


@dataclass(frozen=True)
class GeoTiffOptions:
    """How GeoTIFFs are laid out; ``blocksize`` in pixels, ``level`` of the compressor."""

    interleave: Interleave = "pixel"
    cog: bool = False
    level: int = 1
    blocksize: int = 256

    def __post_init__(self) -> None:
        if self.blocksize < 16 or self.blocksize % 16:
            raise OutputError(f"a GeoTIFF block of {self.blocksize} pixels is impossible: give a multiple of 16")
        if self.cog and self.interleave != "pixel":
            raise OutputError("a cloud-optimised GeoTIFF of this GDAL is pixel-interleaved: set interleave: pixel")


@cache
def compression_name() -> str:
    """``ZSTD``, or ``DEFLATE`` where this GDAL was built without it."""
    try:
        with rasterio.Env(**GDAL_OPTIONS), MemoryFile() as memory:
            with memory.open(
                driver="GTiff", width=1, height=1, count=1, dtype="uint8", compress="ZSTD", transform=Affine.scale(2.0)
            ) as dataset:
                dataset.write(np.zeros((1, 1, 1), np.uint8))
    except (RasterioError, ValueError):
        return "DEFLATE"
    return "ZSTD"


def encode_geotiff(
    codes: Codes,
    grid: RasterGrid,
    stretch: Stretch,
    *,
    tags: Mapping[str, str],
    band_tags: Sequence[Mapping[str, str]],
    descriptions: Sequence[str],
    options: GeoTiffOptions,
) -> bytes:
    """A whole GeoTIFF; the same arguments give the same bytes.

    Args:
        codes: [band, height, width], of the stretch's type.
        grid: where the pixels are.
        stretch: becomes GDAL's scale, offset, unit and nodata, so that any reader decodes to physical values.
        tags: of the dataset.
        band_tags: of each band.
        descriptions: of each band.
        options: layout and compression.
    """
    bands = len(codes)
    expected = (bands, grid.height, grid.width)
    if codes.shape != expected or codes.dtype != stretch.dtype or not len(band_tags) == len(descriptions) == bands:
        raise OutputError(
            f"codes {codes.dtype}{list(codes.shape)} with {len(band_tags)} band tags and {len(descriptions)} "
            f"descriptions do not fit a raster {stretch.dtype}{list(expected)}: this is a fault in the caller"
        )
    compression = compression_name()
    level = {"zstd_level" if compression == "ZSTD" else "zlevel": options.level}
    with rasterio.Env(**GDAL_OPTIONS), MemoryFile() as memory:
        profile = grid_profile(grid, options.blocksize) | {
            "count": bands,
            "dtype": stretch.storage_dtype,
            "nodata": stretch.nodata,
            "compress": compression,
            # GDAL builds the overviews of a COG band by band, twelve times slower from interleaved pixels.
            "predictor": 2,
            "interleave": "band" if options.cog else options.interleave,
            **level,
        }
        with memory.open(**profile) as dataset:
            # Everything in the header comes before the pixels: changed later, GDAL would leave a dead copy behind.
            dataset.scales = (stretch.step,) * bands
            dataset.offsets = (stretch.minimum,) * bands
            dataset.units = (stretch.units,) * bands
            dataset.descriptions = tuple(descriptions)
            dataset.update_tags(**tags)
            for band, values in enumerate(band_tags, start=1):
                dataset.update_tags(band, **values)
            # Tile by tile, all bands of each: GDAL then compresses straight from a small copy, whatever the interleave.
            for _, window in dataset.block_windows(1):
                dataset.write(codes[:, *window.toslices()], window=window)
        if not options.cog:
            return bytes(memory.getbuffer())
        with memory.open() as dataset, MemoryFile(ext=".tif") as optimised:
            rasterio.shutil.copy(
                dataset,
                optimised.name,
                driver="COG",
                compress=compression,
                level=options.level,
                predictor="YES",
                blocksize=options.blocksize,
                overview_resampling="average",
                bigtiff="IF_SAFER",
                num_threads="1",
            )
            return bytes(optimised.getbuffer())


def encode_values(
    values: NDArray[np.float32],
    grid: RasterGrid,
    *,
    units: str,
    tags: Mapping[str, str],
    band_tags: Sequence[Mapping[str, str]],
    descriptions: Sequence[str],
) -> bytes:
    """A whole GeoTIFF of numbers as they are, NaN where missing; the same arguments give the same bytes.

    Args:
        values: [band, height, width].
        grid: where the pixels are.
        units: of the values.
        tags: of the dataset.
        band_tags: of each band.
        descriptions: of each band.
    """
    compression = compression_name()
    level = {"zstd_level" if compression == "ZSTD" else "zlevel": 1}
    with rasterio.Env(**GDAL_OPTIONS), MemoryFile() as memory:
        profile = grid_profile(grid, 256) | {
            "count": len(values),
            "dtype": "float32",
            "nodata": float("nan"),
            "compress": compression,
            "predictor": 3,
            "interleave": "band",
            **level,
        }
        with memory.open(**profile) as dataset:
            dataset.units = (units,) * len(values)
            dataset.descriptions = tuple(descriptions)
            dataset.update_tags(**tags)
            for band, own in enumerate(band_tags, start=1):
                dataset.update_tags(band, **own)
            dataset.write(values)
        return bytes(memory.getbuffer())


def grid_profile(grid: RasterGrid, blocksize: int) -> dict[str, Any]:
    """Creation options of rasterio for a tiled GeoTIFF on ``grid``."""

    # GDAL pads a raster to whole tiles: on a small grid a smaller tile keeps the file small.
    def side(size: int) -> int:
        return min(blocksize, -(-size // 16) * 16)

    return {
        "driver": "GTiff",
        "width": grid.width,
        "height": grid.height,
        "crs": grid.crs,
        "transform": Affine.from_gdal(*grid.transform_gdal),
        "tiled": True,
        "blockxsize": side(grid.width),
        "blockysize": side(grid.height),
        "bigtiff": "IF_SAFER",
    }


def check_geotiff(source: str | Path | bytes, grid: RasterGrid, stretch: Stretch, bands: int) -> list[str]:
    """What is wrong with a GeoTIFF (path, URL or content), each as a sentence; empty when nothing is.

    Every sample is read, so that damage inside the file is found; needs about one row of tiles of memory.
    """
    problems: list[str] = []

    def expect(what: str, found: object, wanted: object) -> None:
        if found != wanted:
            problems.append(f"{what} is {found}, not {wanted}")

    try:
        with open_geotiff(source) as dataset:
            expect("band count", dataset.count, bands)
            expect("width x height", (dataset.width, dataset.height), (grid.width, grid.height))
            expect("data type", set(dataset.dtypes), {stretch.storage_dtype})
            expect("nodata", set(dataset.nodatavals), {float(stretch.nodata)})
            expect("coordinate system", str(dataset.crs), grid.crs)
            _expect_close(problems, "transform", [dataset.transform.to_gdal()], grid.transform_gdal)
            _expect_close(problems, "scale", [(scale,) for scale in dataset.scales], (stretch.step,))
            _expect_close(problems, "offset", [(offset,) for offset in dataset.offsets], (stretch.minimum,))
            for window in _tile_rows(dataset.height, dataset.width, dataset.block_shapes[0][0]):
                dataset.read(window=window)
    except (RasterioError, OutputError, OSError) as error:
        # GDAL puts what happened in the cause, and only "see previous exception" in the message.
        problems.append(f"cannot be read: {error.__cause__ or error}")
    return problems


def read_codes(url: str, bands: Sequence[int] | None = None, window: Window | None = None) -> Codes:
    """Codes of a GeoTIFF: [band, row, column].

    Args:
        url: local path or any fsspec URL; elsewhere than on disk only the needed ranges are read.
        bands: from 1; all of them when ``None``.
        window: rows and columns; all of them when ``None``.

    Raises:
        OutputError: it is missing or damaged.
    """
    try:
        with open_geotiff(url) as dataset:
            codes: Codes = dataset.read(None if bands is None else list(bands), window=window)
            return codes
    except (RasterioError, OSError) as error:
        raise OutputError(
            f"cannot read {url}: {error.__cause__ or error}; `verify` tells what else is damaged, and `export "
            "--resume` makes missing files again"
        ) from error


def _tile_rows(height: int, width: int, rows: int) -> Iterator[Window]:
    for top in range(0, height, rows):
        yield Window(0, top, width, min(rows, height - top))


def _expect_close(problems: list[str], what: str, found: Sequence[Sequence[float]], wanted: Sequence[float]) -> None:
    for values in found:
        if not np.allclose(values, wanted, rtol=_TOLERANCE, atol=_TOLERANCE):
            problems.append(f"{what} is {list(values)}, not {list(wanted)}")
            return


@contextmanager
def open_geotiff(source: str | Path | bytes) -> Iterator[Any]:
    """A rasterio dataset of a path, any fsspec URL, or the content of a file."""
    with rasterio.Env(**GDAL_OPTIONS), ExitStack() as stack:
        if isinstance(source, bytes):
            yield stack.enter_context(stack.enter_context(MemoryFile(source)).open())
        elif "://" in str(source):
            # Through fsspec, not GDAL's own network code: one place for credentials and endpoints.
            yield stack.enter_context(rasterio.open(stack.enter_context(open_binary(str(source)))))
        else:
            yield stack.enter_context(rasterio.open(source))
