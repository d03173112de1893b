"""The layouts of a benchmark: what the grids of the settings come to, what does not exist and why, what is shipped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

from oceanrecon.bench_config import ChunkSettings, Codec, GridOfLayouts, ShardSettings, Shuffle, StoreName, ValueType
from oceanrecon.config import GeoTiffSettings, ZarrSettings
from oceanrecon.stores.geotiff import GeoTiffOptions

#: Who writes: this package, or a library as it comes.
Writer = Literal["oceanrecon", "zarr-python", "rasterio"]

ITEM_BYTES: dict[ValueType, int] = {"uint8": 1, "uint16": 2, "float32": 4}
_BLOSC_LEVELS = 9
_TIFF_CODECS: tuple[Codec, ...] = ("none", "zstd")
_SHUFFLE_NAMES: dict[Shuffle, str] = {"none": "", "bytes": "-bytes", "bits": "-bits"}


@dataclass(frozen=True)
class Case:
    """One layout; sides in pixels, ``None``: all levels, or the whole field."""

    store: StoreName
    encoding: ValueType
    side: int
    chunk_dates: int
    chunk_levels: int | None
    shard_dates: int
    shard_side: int | None
    codec: Codec
    #: 0 without a compressor
    level: int
    shuffle: Shuffle
    writer: Writer

    @property
    def is_zarr(self) -> bool:
        """Not a GeoTIFF."""
        return self.store == "zarr"

    @property
    def item_bytes(self) -> int:
        """Of a value."""
        return ITEM_BYTES[self.encoding]

    @property
    def compressor(self) -> str:
        """``zstd-1`` or ``blosc-lz4-5-bytes``."""
        return self.codec + (f"-{self.level}" if self.level else "") + _SHUFFLE_NAMES[self.shuffle]

    @property
    def layout(self) -> str:
        """Store, chunk and shard: ``zarr 64``, ``zarr 32 x4 dates in 128 x4 dates``, ``cog 256``."""
        chunk = f"{self.side}" + (f" x{self.chunk_dates} dates" if self.chunk_dates > 1 else "")
        chunk += "" if self.chunk_levels is None else f" x{self.chunk_levels} levels"
        if (self.shard_dates, self.shard_side) == (1, None):
            return f"{self.store} {chunk}"
        shard = "all" if self.shard_side is None else f"{self.shard_side}"
        return f"{self.store} {chunk} in {shard}" + (f" x{self.shard_dates} dates" if self.shard_dates > 1 else "")

    @property
    def label(self) -> str:
        """For tables and pictures."""
        own = "" if self.writer == native_writer(self) else f" by {self.writer}"
        return f"{self.encoding} {self.layout} {self.compressor}{own}"

    @property
    def key(self) -> str:
        """For names of files."""
        text = self.label.replace(" dates", "t").replace(" levels", "z").replace(" in ", "-in-").replace(" by ", "-by-")
        return text.replace(" ", "-")


@dataclass(frozen=True)
class Skipped:
    """A layout of the grids that does not exist."""

    label: str
    reason: str


def native_writer(case: Case) -> Writer:
    """Who writes a layout: this package where it can."""
    codes = case.encoding != "float32"
    if not case.is_zarr:
        return "oceanrecon" if codes and case.codec == "zstd" else "rasterio"
    plain = (case.chunk_dates, case.chunk_levels, case.shard_dates, case.shard_side) == (1, None, 1, None)
    compressed = (case.codec, case.shuffle) == _zarr_codec(case.encoding)
    return "oceanrecon" if codes and plain and compressed else "zarr-python"


def _zarr_codec(encoding: ValueType) -> tuple[Codec, Shuffle]:
    """What the package's own shards have; and would have for ``float32``."""
    return ("zstd", "none") if encoding == "uint8" else ("blosc-zstd", "bytes")


def shipped(encoding: ValueType) -> dict[str, Case]:
    """What an export writes where nothing else is set: ``zarr`` and ``geotiff``; none for ``float32``."""
    if encoding == "float32":
        return {}
    zarr, tiff = ZarrSettings(), GeoTiffSettings()
    codec, shuffle = _zarr_codec(encoding)
    store: StoreName = "cog" if tiff.cog else "geotiff-pixel" if tiff.interleave == "pixel" else "geotiff-band"
    return {
        "zarr": Case("zarr", encoding, zarr.chunk, 1, None, 1, None, codec, zarr.level, shuffle, "oceanrecon"),
        "geotiff": Case(
            store, encoding, GeoTiffOptions().blocksize, 1, None, 1, None, "zstd", tiff.level, "none", "oceanrecon"
        ),
    }


def export_formats(case: Case) -> str | None:
    """What makes an export write a layout, as YAML; ``None``: it cannot."""
    if case.writer != "oceanrecon":
        return None
    if case.is_zarr:
        return f"zarr: {{chunk: {case.side}, level: {case.level}}}"
    if case.side != GeoTiffOptions().blocksize:
        return None
    if case.store == "cog":
        return f"geotiff: {{cog: true, level: {case.level}}}"
    return f"geotiff: {{interleave: {case.store.removeprefix('geotiff-')}, level: {case.level}}}"


def expand(
    grids: Iterable[GridOfLayouts], shape: tuple[int, int, int, int], encodings: Sequence[ValueType]
) -> tuple[list[Case], list[Skipped]]:
    """The layouts of some grids, each once, and those that do not exist.

    What an export ships is among them, for each encoding that is: nothing could be compared with it otherwise.

    Args:
        grids: of the settings.
        shape: dates, levels, height and width of the field.
        encodings: what the source can be stored as.
    """
    wanted = [case for grid in grids for case in _combinations(grid)]
    used = dict.fromkeys(case.encoding for case in wanted)
    cases: dict[Case, None] = {case: None for name in used if name in encodings for case in shipped(name).values()}
    skipped: dict[Skipped, None] = {}
    for case in wanted:
        if case.encoding not in encodings:
            reason: str | None = f"the source has only {' and '.join(encodings)}: more digits would be made up"
        else:
            reason = _impossible(case, shape)
        if reason is None:
            cases[case] = None
        else:
            skipped[Skipped(case.label, reason)] = None
    return list(cases), list(skipped)


def _combinations(grid: GridOfLayouts) -> Iterable[Case]:
    for store, encoding, shard, level, writer in product(
        grid.store, grid.encoding, grid.shard or (ShardSettings(),), grid.level, grid.writer
    ):
        default_codec, default_shuffle = _zarr_codec(encoding) if store == "zarr" else ("zstd", "none")
        side = ZarrSettings().chunk if store == "zarr" else GeoTiffOptions().blocksize
        shuffles = grid.shuffle or (default_shuffle if grid.codec is None else "none",)
        for chunk, codec, shuffle in product(
            grid.chunk or (ChunkSettings(side=side),), grid.codec or (default_codec,), shuffles
        ):
            case = Case(
                store, encoding, chunk.side, chunk.dates, chunk.levels, shard.dates, shard.side, codec,
                0 if codec == "none" else level, shuffle, "oceanrecon",
            )  # fmt: skip
            library: Writer = "zarr-python" if store == "zarr" else "rasterio"
            yield replace(case, writer=native_writer(case) if writer == "own" else library)


def _impossible(case: Case, shape: tuple[int, int, int, int]) -> str | None:
    """Why a layout does not exist, or would be another one."""
    return _impossible_zarr(case, shape) if case.is_zarr else _impossible_tiff(case)


def _impossible_tiff(case: Case) -> str | None:
    if (case.chunk_dates, case.chunk_levels, case.shard_dates, case.shard_side) != (1, None, 1, None):
        return "a GeoTIFF is one date of the whole field, and its interleave says how levels lie"
    if case.shuffle != "none":
        return "GeoTIFF has no shuffle: its predictor takes that place, and is always on"
    if case.codec not in _TIFF_CODECS:
        return f"GeoTIFF has no {case.codec}"
    if case.side % 16:
        return f"the side of a GeoTIFF block is a multiple of 16, not {case.side}"
    return None


def _impossible_zarr(case: Case, shape: tuple[int, int, int, int]) -> str | None:
    dates, levels, height, width = shape
    if case.shuffle != "none" and not case.codec.startswith("blosc"):
        return f"only Blosc shuffles, not {case.codec}"
    if case.shuffle == "bytes" and case.item_bytes == 1:
        return "values of one byte have no bytes to shuffle"
    if case.codec.startswith("blosc") and case.level > _BLOSC_LEVELS:
        return f"Blosc has levels up to {_BLOSC_LEVELS}, not {case.level}"
    if case.chunk_levels is not None and case.chunk_levels >= levels:
        return f"the field has {levels} levels, all of them in a chunk without being asked"
    if case.chunk_dates > dates or case.shard_dates > dates:
        return f"the field has {dates} dates, fewer than {max(case.chunk_dates, case.shard_dates)}"
    if case.shard_dates % case.chunk_dates:
        return f"a shard of {case.shard_dates} dates does not hold whole chunks of {case.chunk_dates}"
    if case.shard_side is not None and case.shard_side % case.side:
        return f"a shard of {case.shard_side} pixels does not hold whole chunks of {case.side}"
    if case.shard_side is not None and case.shard_side >= max(height, width):
        return f"the field has {height} x {width} pixels: a shard holds all of them without being asked"
    return None
