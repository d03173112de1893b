"""What is written: which rows, in which blocks, from where."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from oceanrecon.config import ArchiveSettings, Settings
from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.patch_config import PatchesSettings, WriteSettings
from oceanrecon.pipeline.guard import Guard
from oceanrecon.pipeline.patches.output import resolved
from oceanrecon.pipeline.patches.write_source import Origin, from_export, open_source, origin_of, surface_of
from oceanrecon.profile_config import ProfileFilesSettings
from oceanrecon.samples import written_bands, written_triplets, written_zarr
from oceanrecon.samples.form import SampleForm
from oceanrecon.samples.index import SIDES, read_index
from oceanrecon.samples.rows import Rows
from oceanrecon.samples.written import SETTINGS
from oceanrecon.stores.files import Root
from oceanrecon.stores.tables import encode_csv

if TYPE_CHECKING:
    from oceanrecon.grid import RasterGrid

#: The rows to write, for the tasks; deterministic, as everything that they write.
ROWS = "rows.parquet"
_GROUP = 8192
#: By form: name of the index, without its ending.
INDEX = {
    "zarr": "samples",
    "geotiff": written_triplets.INDEX.removesuffix(".csv"),
    "npy": written_bands.INDEX.removesuffix(".csv"),
}
#: Raised whenever the same inputs and settings would give other bytes.
_FORMAT = 2


class KeptSettings(Settings):
    """The settings of written samples, which mark their folder."""

    index: str
    export: str | None
    archive: ArchiveSettings | None
    en4: ProfileFilesSettings | None
    argo: ProfileFilesSettings | None
    form: Literal["zarr", "geotiff", "npy"]
    scenario: str
    surface: tuple[str, ...]
    bands: tuple[int, ...] | None
    split: str
    days: int
    quality: tuple[int, ...]
    block: int
    limit: int | None


GUARD = Guard(
    what="set of written samples",
    name=SETTINGS,
    fixed=("export", "archive", "en4", "argo", "form", "scenario", "surface", "bands", "split", "days", "quality",
           "block"),
    folders=("receipts", "failures", "parts", written_zarr.STORE, *written_triplets.KINDS, written_bands.BANDS,
             written_bands.OSTIA),
    files=(ROWS, *(f"{name}.{ending}" for name in INDEX.values() for ending in ("csv", "parquet"))),
)  # fmt: skip


@dataclass(frozen=True)
class RowBlock:
    """Consecutive rows ``start`` to ``stop`` (excluded): what one task writes."""

    number: int
    start: int
    stop: int
    #: sha256 of everything that decides the bytes
    key: str

    @property
    def name(self) -> str:
        """``000012``."""
        return f"{self.number:06d}"


@dataclass(frozen=True)
class WriteRecipe:
    """What is common to all blocks, small enough to travel with each."""

    output: str
    #: resolved, with ``write``
    settings: PatchesSettings
    #: sha256 over the keys of all blocks: a source that is open is of these inputs
    identity: str
    #: side of a patch, pixels
    tile: int

    @property
    def write(self) -> WriteSettings:
        """What is written."""
        assert self.settings.write is not None
        return self.settings.write


@dataclass(frozen=True, eq=False)
class WritePlan:
    """The blocks of a set of written samples."""

    recipe: WriteRecipe
    form: SampleForm
    grid: RasterGrid
    #: the rows of the index, in order, with all its columns
    table: pa.Table
    blocks: tuple[RowBlock, ...]

    def kept(self) -> KeptSettings:
        """What marks the folder."""
        settings, write = self.recipe.settings, self.recipe.write
        return KeptSettings(
            index=settings.output,
            export=settings.export if from_export(settings) else None,
            archive=settings.archive if not from_export(settings) or write.form == "npy" else None,
            en4=None if from_export(settings) else settings.en4,
            argo=None if from_export(settings) else settings.argo,
            form=write.form,
            scenario=write.scenario,
            surface=surface_of(write),
            bands=write.bands if write.form == "npy" else None,
            split=write.split,
            days=settings.rows.days,
            quality=settings.rows.quality,
            block=write.block,
            limit=write.limit,
        )

    def ordered(self) -> tuple[RowBlock, ...]:
        """The blocks in the order of writing."""
        if not self.recipe.write.shuffle:
            return self.blocks
        order = np.random.default_rng(self.recipe.write.seed).permutation(len(self.blocks))
        return tuple(self.blocks[number] for number in order)


def plan_write(settings: PatchesSettings) -> WritePlan:
    """Which rows of a patch index are written, and how.

    Raises:
        ConfigError: the settings have no ``write``, or there is nothing to write.
        OutputError: there is no finished index, or no export.
        OceanreconError: the source lacks what a row needs.
    """
    if settings.write is None:
        raise ConfigError("the settings have no `write`: add `write: {output: FOLDER}`, where the samples go")
    settings = resolved(settings)
    write = settings.write
    assert write is not None
    index = read_index(settings.output)
    if index.days != settings.rows.days or index.frequency != settings.rows.frequency:
        raise ConfigError(
            f"{settings.output} was made with {index.frequency} rows of {index.days} days, and the settings say "
            f"{settings.rows.frequency} and {settings.rows.days}: take the settings of the index, or make it again"
        )
    table = read_rows(index.root, f"{index.frequency}.parquet")
    sides = pa.array(SIDES if write.split == "all" else [write.split])
    keep = pc.is_in(table["phase"], sides)
    if write.form != "npy":  # whose inputs are simulated
        keep = pc.and_(keep, pc.greater(table["argo_valid"], 0))
    table = table.filter(keep).slice(0, write.limit)
    if not table.num_rows:
        index.rows(write.split, write.form != "npy")  # tells why, and what to do
    planned = plan_rows(settings, table, index.patches.tile)
    if planned.grid != index.patches.grid:
        raise ConfigError(
            f"{settings.output} has patches of another grid ({index.patches.grid.to_dict()}) than what is written "
            f"({planned.grid.to_dict()}): take the export that the index was made with, or make the index again"
        )
    return planned


def plan_rows(settings: PatchesSettings, table: pa.Table, tile: int) -> WritePlan:
    """As ``plan_write``, of these rows of a table of an index, on patches of ``tile`` pixels."""
    settings = resolved(settings)
    write = settings.write
    assert write is not None
    table = table.combine_chunks()
    rows = rows_of(table, tile)
    source = open_source(settings, rows)
    if write.form == "npy" and write.bands[-1] >= len(source.form.depth):
        raise ConfigError(
            f"write.bands {list(write.bands)} go beyond the {len(source.form.depth)} levels of the samples: give "
            f"numbers from 0 to {len(source.form.depth) - 1}"
        )
    origin = origin_of(settings, np.unique(rows.date).tolist())
    decides = [_FORMAT, write.form, write.scenario, surface_of(write), write.block, tile, settings.rows.days,
               settings.rows.quality, write.bands if write.form == "npy" else None]  # fmt: skip
    blocks = []
    for number, start in enumerate(range(0, table.num_rows, write.block)):
        some = table.slice(start, write.block)
        blocks.append(RowBlock(number, start, start + some.num_rows, _key(decides, number, some, origin)))
    identity = hashlib.sha256("".join(block.key for block in blocks).encode()).hexdigest()
    recipe = WriteRecipe(write.output, settings, identity, tile)
    return WritePlan(recipe, source.form, source.grid, table, tuple(blocks))


def _key(decides: Sequence[object], number: int, some: pa.Table, origin: Origin) -> str:
    dates = np.unique(some["date"].to_numpy()).tolist()
    parts = [decides, number, [origin.identity[date] for date in dates]]
    return hashlib.sha256(json.dumps(parts).encode() + encode_csv(some)).hexdigest()


#: Columns that ``rows_of`` needs.
ROWS_OF = ("patch_id", "date")


def rows_of(table: pa.Table, tile: int) -> Rows:
    """The rows of a table of an index."""
    return Rows(table["patch_id"].to_numpy().astype(np.int64), table["date"].to_numpy().astype(np.int32), tile)


def read_rows(root: Root, name: str, columns: Sequence[str] | None = None) -> pa.Table:
    """A table in Parquet, or some of its columns.

    Raises:
        OutputError: it is gone or damaged.
    """
    with _reading(root, name) as file:
        return file.read(None if columns is None else list(columns))


def encode_rows(table: pa.Table) -> bytes:
    """The rows to write as Parquet, of which a task reads few: in small groups."""
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, row_group_size=_GROUP, compression="zstd", compression_level=1, write_page_checksum=True
    )
    return bytes(sink.getvalue())


def read_block(root: Root, block: RowBlock) -> pa.Table:
    """The rows of a block, of those that are written.

    Raises:
        OutputError: they are gone or damaged.
    """
    with _reading(root, ROWS) as file:
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        first, last = np.searchsorted(ends, [block.start, block.stop - 1], "right").tolist()
        table = file.read_row_groups(range(first, last + 1))
    return table.slice(block.start - int(ends[first]) + sizes[first], block.stop - block.start)


@contextmanager
def _reading(root: Root, name: str) -> Iterator[pq.ParquetFile]:
    try:
        with root.open(name) as stream:
            yield pq.ParquetFile(stream)
    except (OSError, pa.ArrowException) as error:
        url = root.url_of(name)
        raise OutputError(f"{url} cannot be read ({error}): run the command that makes it with --resume") from error
