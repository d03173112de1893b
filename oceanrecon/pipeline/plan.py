"""What an export would do and what it costs, before anything is written."""

from __future__ import annotations

import datetime as dt
import pickle
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from oceanrecon.config import ExportSettings
from oceanrecon.errors import ConfigError, PlanError
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.inventory import read_inventory
from oceanrecon.pipeline.recipe import Recipe
from oceanrecon.sources.block import Block
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.sources.registry import product as find_product
from oceanrecon.sources.select import Holding, Missing, holdings, select_block, target_dates
from oceanrecon.stores.files import Root
from oceanrecon.stores.mask import read_grid, read_land_mask

#: More tasks than this are refused: the scheduler's bookkeeping would outweigh the work.
MAXIMUM_TASKS = 200_000
# Measured at full size (docs/benchmarks): bytes of an output per byte of codes; seconds of CPU per million numbers that
# are read, pixels that are made, and pixels that are written, for each format.
_COMPRESSED = {"uint8": 0.09, "uint16": 0.35}
_READ_SECONDS, _REGRID_SECONDS = 0.003, 0.0035
_WRITE_SECONDS = {"uint8": 0.003, "uint16": 0.008}
#: A worker between two blocks, bytes: libraries, GDAL's cache, buffers that the allocator keeps.
_WORKER_BASE = 460e6


@dataclass(frozen=True, eq=False)
class Plan:
    """The blocks of an export, those that cannot be made, and what it all costs."""

    settings: ExportSettings
    recipe: Recipe
    archive_root: str
    targets: tuple[dt.date, ...]
    depth: tuple[float, ...]
    blocks: tuple[Block, ...]
    missing: tuple[Missing, ...]
    left_out: dict[str, str]
    inventory: pd.DataFrame = field(repr=False)
    bytes_to_read: int
    bytes_to_write: int
    cpu_seconds: float
    peak_memory: int
    graph_bytes: int

    @property
    def tasks(self) -> int:
        """Number of dask tasks: one per block."""
        return len(self.blocks)

    def counts(self) -> dict[str, int]:
        """Number of blocks per variable."""
        return dict(Counter(block.variable for block in self.blocks))

    def notes(self) -> list[str]:
        """What is less than whole: windows with missing days, reanalysis files taken from other days, bad files."""
        found = []
        for name in self.counts():
            blocks = [block for block in self.blocks if block.variable == name]
            short = [block for block in blocks if len(block.sources) < self.recipe.window_days]
            if find_product(blocks[0].product).windowed:
                if short:
                    least = min(len(block.sources) for block in short)
                    found.append(
                        f"{name}: {len(short)} of {len(blocks)} windows lack days (at least {least} of "
                        f"{self.recipe.window_days} are there)"
                    )
                continue
            far = max(abs((block.sources[0].date - block.date).days) for block in blocks)
            if far:
                files = len({block.sources[0].path for block in blocks})
                found.append(f"{name}: {len(blocks)} targets are made from {files} files, up to {far} days away")
        bad = self.inventory[self.inventory["problem"] != ""]
        if len(bad):
            found.append(f"{len(bad)} files are left out, such as {bad.iloc[0]['path']}: {bad.iloc[0]['problem']}")
        return found

    def summary(self) -> dict[str, Any]:
        """The figures, for people and for JSON."""
        return {
            "output": self.recipe.output,
            "archive": self.archive_root,
            "grid": f"{self.recipe.grid.width} x {self.recipe.grid.height} at {self.recipe.grid.dx:g} degrees",
            "encoding": self.recipe.encoding,
            "targets": len(self.targets),
            "first_target": str(self.targets[0]),
            "last_target": str(self.targets[-1]),
            "levels": len(self.depth),
            "blocks": self.counts(),
            "missing_blocks": len(self.missing),
            "notes": self.notes(),
            "products_left_out": self.left_out,
            "tasks": self.tasks,
            "graph_bytes": self.graph_bytes,
            "bytes_to_read_uncompressed": self.bytes_to_read,
            "bytes_to_write": self.bytes_to_write,
            "cpu_seconds": round(self.cpu_seconds, 1),
            "peak_memory_per_worker": self.peak_memory,
        }


def plan(settings: ExportSettings) -> Plan:
    """Resolve the settings against the archive, which is scanned on all cores where there is no inventory.

    Raises:
        ConfigError: a product or a variable is unknown.
        ArchiveError: the archive has nothing for them.
        PlanError: too many tasks.
    """
    archive = settings.archive
    unknown = [name for name in archive.products if name not in PRODUCTS]
    if unknown:
        raise ConfigError(f"archive.products: there is no product {unknown[0]!r}: known are {', '.join(PRODUCTS)}")
    grid = _grid(settings)
    root = Root(archive.root).url
    inventory = read_inventory(archive)
    held = holdings(inventory, archive.products)
    targets = target_dates(
        held,
        start=settings.targets.start,
        end=settings.targets.end,
        dates=settings.targets.dates,
        every_days=settings.targets.every_days,
    )
    recipe = Recipe.from_settings(settings, grid, Root(settings.output).url)
    blocks: list[Block] = []
    missing: list[Missing] = []
    for holding, name in _wanted(settings, held):
        for date in targets:
            made = select_block(
                root, holding, holding.product.variable(name), date,
                window=settings.window_days, minimum_files=settings.minimum_files,
                maximum_distance_days=settings.targets.maximum_distance_days,
            )  # fmt: skip
            if isinstance(made, Missing):
                missing.append(made)
            else:
                blocks.append(made)
    if not blocks:
        raise PlanError(f"no block can be made: {missing[0].message}")
    if len(blocks) > MAXIMUM_TASKS:
        raise PlanError(
            f"{len(blocks):,} tasks are more than {MAXIMUM_TASKS:,}: split the export by targets.start and targets.end"
        )
    depth = next((block.depth for block in blocks if block.depth), ())
    return Plan(
        settings=settings,
        recipe=recipe,
        archive_root=root,
        targets=tuple(targets),
        depth=depth,
        blocks=tuple(blocks),
        missing=tuple(missing),
        left_out={name: "not in archive.products" for name in PRODUCTS if name not in archive.products},
        inventory=inventory,
        **_costs(blocks, recipe, held),
    )


def _grid(settings: ExportSettings) -> RasterGrid:
    if settings.grid.mask is not None:
        read_land_mask(settings.grid.mask)  # a mask that cannot be used is refused before anything is written
        return read_grid(settings.grid.mask)
    assert settings.grid.resolution is not None  # the model has checked it
    return RasterGrid.from_bounds(settings.grid.resolution, settings.grid.bounds)


def _wanted(settings: ExportSettings, held: dict[str, Holding]) -> list[tuple[Holding, str]]:
    """The variables to export, in the order of the registry."""
    chosen = settings.variables
    known = {name for holding in held.values() for name in (v.name for v in holding.product.variables)}
    unknown = [name for name in chosen or () if name not in known]
    if unknown:
        raise ConfigError(
            f"variables: {unknown[0]!r} is in none of the products {list(held)}: they have {sorted(known)}"
        )
    wanted = [
        (holding, variable.name)
        for name, holding in ((name, held[name]) for name in PRODUCTS if name in held)
        for variable in holding.product.variables
        if chosen is None or variable.name in chosen
    ]
    for holding, name in wanted:
        if name not in holding.variables:
            raise ConfigError(
                f"the files of product {holding.product.name!r} have no variable {name!r}: they have "
                f"{', '.join(holding.variables)}; list the ones to export under `variables`"
            )
    return wanted


def _costs(blocks: list[Block], recipe: Recipe, held: dict[str, Holding]) -> dict[str, Any]:
    pixels = recipe.grid.width * recipe.grid.height
    read = write = peak = 0
    seconds = 0.0
    formats = (recipe.geotiff is not None) + (recipe.zarr is not None)
    for block in blocks:
        form = held[block.product].form
        assert form is not None  # it has made a block
        itemsize = form.storage[block.variable][0]
        cells = block.latitude.size * block.longitude.size
        code = recipe.stretch(find_product(block.product).variable(block.variable)).dtype.itemsize
        numbers = block.levels * cells * len(block.sources)
        read += numbers * itemsize
        write += round(block.levels * pixels * code * _COMPRESSED[recipe.encoding] * formats)
        writing = _REGRID_SECONDS + _WRITE_SECONDS[recipe.encoding] * formats
        seconds += (numbers * _READ_SECONDS + block.levels * pixels * writing) / 1e6
        peak = max(peak, projected_memory(block, recipe, form.levels_per_chunk(block.variable), itemsize, code))
    # every hundredth block stands for all: pickling 100,000 to weigh them would cost more than the plan
    sample = blocks[:: max(len(blocks) // 100, 1)]
    weight = sum(len(pickle.dumps((block, recipe))) for block in sample) / len(sample)
    return {
        "bytes_to_read": read,
        "bytes_to_write": write,
        "cpu_seconds": seconds,
        "peak_memory": peak,
        "graph_bytes": round(weight * len(blocks)),
    }


def projected_memory(block: Block, recipe: Recipe, levels_per_chunk: int, itemsize: int, code: int) -> int:
    """Peak memory of a worker that makes ``block``, bytes.

    The libraries, the codes, and the larger of reading and writing: reading holds a slab and, for a window, float64
    sums and counts; writing holds the compressed file, GDAL's own twice.
    """
    cells = block.latitude.size * block.longitude.size
    codes = block.levels * recipe.grid.width * recipe.grid.height * code
    slab = min(levels_per_chunk, block.levels) * cells * itemsize
    window = cells * 9 if len(block.sources) > 1 else 0
    written = codes * _COMPRESSED[recipe.encoding] * (1.2 if recipe.geotiff is None else 2.2)
    return round(_WORKER_BASE + codes + max(slab + window, written))


def check_memory(planned: Plan, worker_memory: int, remedy: str) -> None:
    """Refuse a plan that a worker's memory cannot hold; ``remedy`` says where a worker gets more.

    Raises:
        PlanError: with the projected peak, the limit, and what would help.
    """
    if planned.peak_memory > worker_memory:
        raise PlanError(
            f"a worker would need about {planned.peak_memory / 1e9:.2f} GB and may use {worker_memory / 1e9:.2f} GB: "
            f"{remedy}; or take a smaller grid or `encoding: uint8`"
        )
