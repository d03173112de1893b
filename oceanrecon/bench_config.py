"""The settings of the chunking benchmark: which layouts are compared, on what field, at which places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from oceanrecon.config import ClusterSettings, Settings

StoreName = Literal["zarr", "geotiff-pixel", "geotiff-band", "cog"]
ValueType = Literal["uint8", "uint16", "float32"]
Codec = Literal["none", "zstd", "blosc-zstd", "blosc-lz4"]
Shuffle = Literal["none", "bytes", "bits"]
Preset = Literal["small", "medium", "large"]
WriterChoice = Literal["own", "library"]
Side = Annotated[int, Field(ge=16, le=4096)]
Weight = Annotated[float, Field(ge=0)]

#: The source that needs no files.
SYNTHETIC = "synthetic"


class ChunkSettings(Settings):
    """An inner chunk of zarr, or a block of a GeoTIFF: what is compressed, and read, as one piece."""

    side: Side = Field(description="Side in pixels; a multiple of 16 for a GeoTIFF.")
    dates: int = Field(1, ge=1, description="Dates in a chunk; zarr only.")
    levels: int | None = Field(None, ge=1, description="Levels in a chunk; default: all; zarr only.")


class ShardSettings(Settings):
    """What is one object of a zarr store; a GeoTIFF is always one date of the whole field."""

    dates: int = Field(1, ge=1, description="Dates in a shard.")
    side: Side | None = Field(None, description="Side in pixels; default: the whole field.")


class GridOfLayouts(Settings):
    """Every combination of some lists; a list that is left out has what the package ships."""

    store: tuple[StoreName, ...] = Field(("zarr",), min_length=1, description="Stores.")
    encoding: tuple[ValueType, ...] = Field(
        ("uint8",), min_length=1, description="Types of the values: codes, or `float32` in physical units."
    )
    chunk: tuple[ChunkSettings, ...] | None = Field(
        None, min_length=1, description="Inner chunks; default: what an export has, 64 pixels (256 in GeoTIFFs)."
    )
    shard: tuple[ShardSettings, ...] | None = Field(
        None, min_length=1, description="Shards; default: one date of the whole field."
    )
    codec: tuple[Codec, ...] | None = Field(
        None,
        min_length=1,
        description="Compressors; default: what an export has, `zstd`, and `blosc-zstd` with shuffled bytes for more "
        "than one byte in zarr.",
    )
    level: tuple[Annotated[int, Field(ge=1, le=22)], ...] = Field(
        (1,), min_length=1, description="Levels of the compressor; Blosc has 1 to 9."
    )
    shuffle: tuple[Shuffle, ...] | None = Field(
        None, min_length=1, description="Shuffles of Blosc; default: `none`, or what goes with the default codec."
    )
    writer: tuple[WriterChoice, ...] = Field(
        ("own",),
        min_length=1,
        description="`own`: this package's writer where it can write the layout, else the library's; `library`: "
        "zarr-python or rasterio in any case.",
    )


class SizeSettings(Settings):
    """How large the field is, and how many reads there are."""

    resolution: float = Field(gt=0, description="Cell size in degrees.")
    bounds: tuple[float, float, float, float] = Field(
        (-180.0, -90.0, 180.0, 90.0), description="West, south, east, north edges in degrees."
    )
    levels: int = Field(50, ge=1, le=50, description="Levels, of the 50 of GLORYS.")
    dates: int = Field(ge=1, description="Dates, a week apart.")
    tile: int = Field(128, ge=1, description="Side of a patch in pixels.")
    patches: int = Field(ge=1, description="Random patches, with all levels.")
    maps: int = Field(ge=1, description="Maps: one level of one date.")
    series: int = Field(ge=1, description="Time series: all levels and dates of one pixel.")


#: What ``preset`` stands for.
PRESETS: Mapping[Preset, SizeSettings] = {
    "small": SizeSettings(
        resolution=0.1, bounds=(-70.0, 20.0, -18.8, 58.4), levels=50, dates=8, patches=16, maps=4, series=4
    ),
    "medium": SizeSettings(resolution=0.25, levels=50, dates=12, patches=48, maps=6, series=8),
    "large": SizeSettings(resolution=0.1, levels=50, dates=16, patches=96, maps=6, series=8),
}


class BenchPlace(Settings):
    """Where the layouts are written and read."""

    url: str | None = Field(None, description="Folder or fsspec URL; default: a folder in `output`.")
    latency_ms: float = Field(
        0.0, ge=0, le=10_000, description="Time added to each request, as a far store would take it, milliseconds."
    )
    megabytes_per_second: float | None = Field(
        None, gt=0, description="Most that one request brings in a second; default: as fast as it comes."
    )

    @property
    def slowed(self) -> bool:
        """Whether anything is added."""
        return self.latency_ms > 0 or self.megabytes_per_second is not None


class ReaderWeights(Settings):
    """What a kind of reader pays for: exponents of a product, which matter relative to each other."""

    patch: Weight = Field(0.0, description="Time to read a random patch with all levels.")
    map: Weight = Field(0.0, description="Time to read one level of one date.")
    series: Weight = Field(0.0, description="Time to read all levels and dates of one pixel.")
    write: Weight = Field(0.0, description="CPU time to write.")
    stored: Weight = Field(0.0, description="Bytes that are stored.")
    objects: Weight = Field(0.0, description="Number of objects.")

    @model_validator(mode="after")
    def _something(self) -> ReaderWeights:
        if not sum(self.model_dump().values()):
            raise ValueError("all weights are 0: give at least one of patch, map, series, write, stored, objects")
        return self


#: Kinds of readers, and what they pay for.
READERS: Mapping[str, ReaderWeights] = {
    "patch training": ReaderWeights(patch=0.7, stored=0.2, write=0.1),
    "map viewing": ReaderWeights(map=0.7, stored=0.2, write=0.1),
    "time series": ReaderWeights(series=0.7, stored=0.2, write=0.1),
    "archive size": ReaderWeights(stored=0.7, write=0.2, objects=0.1),
}


class ChunksBench(Settings):
    """A benchmark of chunks, shards, codecs and stores."""

    output: str = Field(description="Folder of the results, which all workers see.")
    preset: Preset | None = Field(
        None, description="How large the field is, and how many reads there are; default: `small`, unless `size` says."
    )
    size: SizeSettings | None = Field(None, description="Sizes of your own, instead of those of the preset.")
    source: str = Field(
        SYNTHETIC,
        description="`synthetic`, or folder or fsspec URL of an export: its grid and levels are taken, and its first "
        "dates, as many as the preset or `size` has.",
    )
    variable: str = Field("thetao", description="Variable of the source.")
    noise: float = Field(
        0.03,
        ge=0,
        description="Noise on the synthetic field, standard deviation in its unit: without it, it would be compressed "
        "twice as well as a real one.",
    )
    seed: int = Field(1, ge=0, description="Of the synthetic field and of the random reads.")
    grids: tuple[GridOfLayouts, ...] = Field(min_length=1, description="The layouts, as one or more grids.")
    places: tuple[BenchPlace, ...] | None = Field(
        None,
        min_length=1,
        description="Where they are written and read; default: a folder in `output`, as it is and as from far away: "
        "20 ms, 80 MB/s.",
    )
    readers: dict[str, ReaderWeights] | None = Field(
        None,
        min_length=1,
        description="Kinds of readers that a layout is recommended to; default: patch training, map viewing, time "
        "series and archive size, as {doc}`chunking` says.",
    )
    cluster: ClusterSettings = Field(
        default_factory=ClusterSettings,
        description="The local cluster; it has one worker unless `workers` says: two disturb each other's "
        "measurements.",
    )

    @property
    def sizes(self) -> SizeSettings:
        """Those that count."""
        return self.size or PRESETS[self.preset or "small"]

    @property
    def all_places(self) -> tuple[BenchPlace, ...]:
        """Those that count."""
        return self.places or (BenchPlace(), BenchPlace(latency_ms=20.0, megabytes_per_second=80.0))

    @property
    def all_readers(self) -> Mapping[str, ReaderWeights]:
        """Those that count."""
        return self.readers or READERS

    @model_validator(mode="after")
    def _consistent(self) -> ChunksBench:
        if self.size is not None and self.preset is not None:
            raise ValueError("give `preset` or `size`, not both")
        twice = [place for place in self.all_places if self.all_places.count(place) > 1]
        if twice:
            where = twice[0].url or "in output"
            raise ValueError(f"the place {where} with latency_ms {twice[0].latency_ms:g} is given twice")
        return self
