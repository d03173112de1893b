"""The settings of patches: how the grid is tiled, which rows there are, how they are split, what is written."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from oceanrecon.config import ArchiveSettings, ClusterSettings, Date, Settings
from oceanrecon.grid.patches import Edges
from oceanrecon.profile_config import ProfileFilesSettings

Fraction = Annotated[float, Field(ge=0, le=1)]


class RegionSettings(Settings):
    """A region whose patches are kept although they have much land."""

    name: str = Field(
        description="`mediterranean`, `baltic`, `red_sea`, `hudson_bay`, or a name of your own with `box`."
    )
    box: tuple[float, float, float, float] | None = Field(
        None,
        description="West, south, east, north in degrees; west > east crosses the dateline. Default: that of `name`.",
    )
    max_land_fraction: Fraction | None = Field(
        None, description="Patches whose centre is in it are kept up to this land fraction; default: that of `name`."
    )


class InvalidSettings(Settings):
    """What the flags of an OSTIA file say about a patch."""

    file: str = Field(description="An OSTIA file (path or fsspec URL) with the variable `mask`.")
    flags: tuple[str, ...] = Field(
        ("land",), min_length=1, description="Meanings of the flags that make a cell invalid, as the file spells them."
    )
    max_fraction: Fraction = Field(0.2, description="Patches with a larger share of invalid cells are left out.")


class TilingSettings(Settings):
    """How the grid is tiled."""

    mask: str | None = Field(
        None, description="GeoTIFF land mask that gives grid and land; default: that of the `export`."
    )
    resolution: float | None = Field(
        None, gt=0, description="Cell size of a global grid in degrees, where there is neither a mask nor an export."
    )
    tile: int | None = Field(None, ge=1, description="Side of a patch in pixels; default: 128.")
    stride: int | None = Field(None, ge=1, description="Distance of patches in pixels; default: the side: no overlap.")
    tile_degrees: float | None = Field(None, gt=0, description="Side of a patch in degrees, instead of `tile`.")
    stride_degrees: float | None = Field(None, gt=0, description="Distance in degrees, instead of `stride`.")
    edges: Edges = Field(
        "even",
        description="`even`: starts are spread evenly, the first and the last patch touch the edges; `regular`: "
        "multiples of the stride, the rest of an axis is left out (fastest to read where the stride is a multiple of "
        "the export's chunk); `last`: regular, and one more that ends at the edge, as older tables have it.",
    )
    periodic: bool = Field(False, description="Patches cross the dateline.")
    max_land_fraction: Fraction = Field(0.3, description="Patches with a larger share of land are left out.")
    invalid: InvalidSettings | None = Field(None, description="Flags of OSTIA as a second threshold; default: none.")
    force: tuple[RegionSettings, ...] = Field((), description="Regions whose patches are kept although they have land.")

    @model_validator(mode="after")
    def _one_of(self) -> TilingSettings:
        if self.tile is not None and self.tile_degrees is not None:
            raise ValueError("give `tile` (pixels) or `tile_degrees`, not both")
        if self.stride is not None and self.stride_degrees is not None:
            raise ValueError("give `stride` (pixels) or `stride_degrees`, not both")
        if self.mask is not None and self.resolution is not None:
            raise ValueError("give `mask` or `resolution`, not both")
        return self


class SplitSettings(Settings):
    """Which rows are for training, validation and testing."""

    method: Literal["patch", "block", "year", "list"] = Field(
        "block",
        description="`patch`: whole places by chance (only where patches do not overlap); `block`: whole squares of "
        "the globe by chance, patches that lie across two sides are left out; `year`: whole years; `list`: as a table "
        "says.",
    )
    val: Fraction = Field(0.15, description="Share of the patches for validation (`patch`, `block`).")
    test: Fraction = Field(0.15, description="Share of the patches for testing (`patch`, `block`).")
    seed: int = Field(7, ge=0, description="Of the chance.")
    block_degrees: float = Field(
        40.0, gt=0, description="Side of a block (`block`); three times the side of a patch or more keeps most of them."
    )
    val_years: tuple[int, ...] = Field((), description="Years for validation (`year`).")
    test_years: tuple[int, ...] = Field((), description="Years for testing (`year`).")
    table: str | None = Field(
        None,
        description="CSV or Parquet with `patch_id` and `phase` (train, val, test), and with `date` where it is by row "
        "(`list`).",
    )
    strict: bool = Field(
        True,
        description="Refuse tables in which a pixel on a day, a target file or a profile is on two sides "
        "(`oceanrecon patches prove` shows it for tables that exist), or a side that is asked for has no row.",
    )

    @model_validator(mode="after")
    def _complete(self) -> SplitSettings:
        if self.method in ("patch", "block") and self.val + self.test >= 1:
            raise ValueError(f"`val` {self.val} and `test` {self.test} leave nothing to train on: less than 1 in sum")
        if self.method == "year" and not (self.val_years or self.test_years):
            raise ValueError("`method: year` needs `val_years` or `test_years`")
        both = sorted({*self.val_years} & {*self.test_years})
        if both:
            raise ValueError(f"{both} are in `val_years` and in `test_years`")
        if (self.method == "list") != (self.table is not None):
            raise ValueError("`method: list` and `table` belong together")
        return self


class FloatSettings(Settings):
    """Which floats are withheld: by the hash of their WMO platform number."""

    seed: int = Field(0, ge=0, description="Of the hash: another seed withholds other floats.")
    val: Fraction = Field(0.05, description="Share of the floats that is for validation.")
    test: Fraction = Field(0.1, description="Share of the floats that is for the test.")

    @model_validator(mode="after")
    def _some_left(self) -> FloatSettings:
        if self.val + self.test >= 1:
            raise ValueError(f"`val` {self.val} and `test` {self.test} leave no float to train on: less than 1 in sum")
        return self


class RowSettings(Settings):
    """The rows: patches x dates."""

    frequency: Literal["daily", "weekly"] = Field(
        "weekly",
        description="`weekly`: the targets of the export, or the dates of the archive's GLORYS files; `daily`: the "
        "days that have an OSTIA file in the archive.",
    )
    start: Date | None = Field(None, description="First date.")
    end: Date | None = Field(None, description="Last date, included.")
    days: int = Field(7, ge=1, description="Odd number of days around a date whose profiles count for its row.")
    max_glorys_days: int = Field(
        3,
        ge=0,
        description="A date whose nearest GLORYS file is further away has no row; a profile has no OSTIA and no GLORYS "
        "file that is further away.",
    )
    quality: tuple[int, ...] = Field(
        (1, 2), description="Flags of levels that are accepted; a level without a flag is accepted, too."
    )
    keep_empty: bool = Field(
        False,
        description="Keep rows without an accepted profile, marked by `argo_valid` 0; default: they are left out.",
    )
    keep_invalid: bool = Field(
        False, description="Keep patches over the thresholds in the spatial table, as `invalid`."
    )

    @model_validator(mode="after")
    def _possible(self) -> RowSettings:
        if self.days % 2 == 0:
            raise ValueError(f"`days` {self.days} is even: a centred window has an odd number of days")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"`end` {self.end} is before `start` {self.start}")
        return self


class WriteSettings(Settings):
    """Samples on disk."""

    output: str = Field(description="Folder of the samples.")
    form: Literal["zarr", "geotiff", "npy"] = Field(
        "zarr",
        description="`zarr`: whole samples in code form, quick to read; `geotiff`: OSTIA, profiles and GLORYS of each "
        "row as three rasters; `npy`: reanalysis patches of a few bands, with the OSTIA patch of the same month.",
    )
    split: Literal["all", "train", "val", "test"] = Field("all", description="Rows of one side only.")
    scenario: Literal["temperature", "salinity", "joint"] = Field(
        "temperature", description="Which fields (`zarr`; the other forms hold temperature)."
    )
    surface: tuple[Literal["analysed_sst", "sos", "adt"], ...] = Field(
        ("analysed_sst", "sos", "adt"), min_length=1, description="Surface fields, in order (`zarr`)."
    )
    limit: int | None = Field(None, ge=1, description="At most so many rows.")
    bands: tuple[int, ...] = Field(
        (0, 20, 25, 30), min_length=2, description="Levels of the patches (`npy`); the first is the surface."
    )
    shuffle: bool = Field(True, description="In shuffled blocks of rows, so that a part of the output spans all dates.")
    block: int = Field(
        100,
        ge=1,
        description="Rows of a block: what one task writes, and of a file (`zarr`). A task holds it in memory.",
    )
    seed: int = Field(7, ge=0, description="Of the shuffle.")

    @model_validator(mode="after")
    def _possible(self) -> WriteSettings:
        if self.form != "zarr" and self.scenario != "temperature":
            raise ValueError(f"`form: {self.form}` holds temperature only: leave `scenario` out, or take `form: zarr`")
        if sorted({*self.bands}) != list(self.bands) or self.bands[0] < 0:
            raise ValueError(f"`bands` {list(self.bands)} are not levels from the surface down: give them ascending")
        return self


class PatchesSettings(Settings):
    """Patches: tables, splits, statistics and written samples."""

    export: str | None = Field(
        None, description="Export whose grid, land mask, dates and gridded profiles are used; leave out for none."
    )
    archive: ArchiveSettings | None = Field(
        None, description="Archive whose files the tables name, and that samples are read from without an export."
    )
    en4: ProfileFilesSettings | None = Field(
        None, description="EN4 monthly files, instead of the export's gridded profiles."
    )
    argo: ProfileFilesSettings | None = Field(None, description="Argo files, likewise.")
    output: str = Field(description="Folder or fsspec URL of the tables.")
    tiling: TilingSettings = Field(default_factory=lambda: TilingSettings(), description="How the grid is tiled.")
    rows: RowSettings = Field(default_factory=lambda: RowSettings(), description="The rows of the tables.")
    split: SplitSettings = Field(default_factory=lambda: SplitSettings(), description="Training, validation, testing.")
    write: WriteSettings | None = Field(None, description="What `oceanrecon patches write` writes.")
    cluster: ClusterSettings = Field(default_factory=ClusterSettings, description="The local cluster.")

    @model_validator(mode="after")
    def _possible(self) -> PatchesSettings:
        if self.export is None and self.archive is None:
            raise ValueError("no dates: give `export`, `archive` or both")
        if self.export is None and self.tiling.mask is None and self.tiling.resolution is None:
            raise ValueError("no grid: give `export`, `tiling.mask` or `tiling.resolution`")
        if self.export is not None and self.tiling.resolution is not None:
            raise ValueError("`tiling.resolution` is for patches without an `export`, which has a grid: leave one out")
        if self.rows.frequency == "daily" and self.archive is None:
            raise ValueError("`rows.frequency: daily` needs the `archive`, whose OSTIA files give the days")
        return self
