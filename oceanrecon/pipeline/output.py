"""The output of an export: whether it may be written, and how it is made ready, extended or emptied."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from oceanrecon.config import ExportSettings
from oceanrecon.errors import OutputError
from oceanrecon.grid import parse_date
from oceanrecon.pipeline.guard import Guard
from oceanrecon.pipeline.plan import Plan
from oceanrecon.pipeline.recipe import DENSE, MASK, SETTINGS
from oceanrecon.sources.block import Block
from oceanrecon.sources.registry import product as find_product
from oceanrecon.sources.select import Missing
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import MANIFEST, read_manifest
from oceanrecon.stores.receipts import Receipt, read_receipts
from oceanrecon.stores.zarr_store import create_or_extend, read_depth, read_times

#: Looks at files at once.
_READERS = 16

#: An export has one value of each of the settings named first; the folders come from its blocks.
GUARD = Guard(
    what="export",
    name=SETTINGS,
    fixed=("grid", "encoding", "window_days", "minimum_files", "minimum_valid_fraction", "formats"),
    folders=("receipts", "failures", "rasters", DENSE, "masks", "quicklook", "argo"),
)


def check_output(planned: Plan, *, resume: bool, overwrite: bool) -> None:
    """Refuse an output that is not ours to write; changes nothing.

    Raises:
        OutputError: see ``Guard.check``.
    """
    settings = resolved(planned)
    store = None if settings.profiles is None else settings.profiles.store
    reads = (settings.grid.mask, settings.archive.inventory, settings.archive.root, store)
    GUARD.check(Root(planned.recipe.output), settings, reads, resume=resume, overwrite=overwrite)


def with_depth(root: Root, planned: Plan) -> Plan:
    """The plan, with the depths of the export that is there where it has none of its own (surface variables only).

    Raises:
        OutputError: it has others.
    """
    there = tuple(read_manifest(root)["depth_axis_m"]) if root.exists(MANIFEST) else read_depth(root, DENSE)
    if there and planned.depth and not np.array_equal(np.array(there, "f4"), np.array(planned.depth, "f4")):
        raise OutputError(
            f"{root.url} has {len(there)} levels, {there[0]:g}..{there[-1]:g} m, and the archive has "
            f"{len(planned.depth)}, {planned.depth[0]:g}..{planned.depth[-1]:g} m: take another output, or --overwrite"
        )
    return replace(planned, depth=planned.depth or there)


def resolved(planned: Plan) -> ExportSettings:
    """The settings with paths that mean the same from any working directory."""
    settings = planned.settings
    mask = settings.grid.mask
    inventory = settings.archive.inventory
    profiles = settings.profiles
    return settings.model_copy(
        update={
            "archive": settings.archive.model_copy(
                update={"root": planned.archive_root, "inventory": inventory and Root(inventory).url}
            ),
            "grid": settings.grid.model_copy(update={"mask": mask and Root(mask).url}),
            "output": planned.recipe.output,
            "profiles": profiles and profiles.model_copy(update={"store": Root(profiles.store).url}),
        }
    )


def time_indices(root: Root, planned: Plan, done: Iterable[Receipt]) -> dict[dt.date, int]:
    """The place of each target on the time axis of ``dense.zarr``, which is made ready.

    The axis has the times and variables of finished blocks too, also where the store's own metadata is gone.
    """
    recipe = planned.recipe
    if recipe.zarr is None:
        return dict.fromkeys(planned.targets, 0)
    stored = [receipt for receipt in done if receipt.file("zarr") is not None]
    times = sorted({*read_times(root, DENSE), *planned.targets, *(parse_date(receipt.date) for receipt in stored)})
    names = dict.fromkeys((block.product, block.variable) for block in planned.blocks)
    names |= dict.fromkeys((receipt.product, receipt.variable) for receipt in stored)
    variables = [
        recipe.dense_variable(product, product.variable(name))
        for product, name in ((find_product(product_name), name) for product_name, name in names)
    ]
    create_or_extend(root, DENSE, recipe.layout(planned.depth, tuple(times), tuple(variables)))
    return {date: number for number, date in enumerate(times)}


@dataclass(frozen=True)
class Standing:
    """How far an export is."""

    #: of blocks that are there as the plan has them
    kept: tuple[Receipt, ...]
    #: blocks that are to be made, by date
    todo: tuple[Block, ...]
    #: blocks that cannot be made, and were not made while the archive still had the files
    gaps: tuple[Missing, ...]


def standing(root: Root, planned: Plan, done: Iterable[Receipt], indices: Mapping[dt.date, int]) -> Standing:
    """What of a plan is there, and what is left; changes nothing.

    Args:
        root: the output.
        planned: with the depths of the output, see ``with_depth``.
        done: all receipts of the output.
        indices: place of each target on the time axis of ``dense.zarr``; a date that is not there has no files.
    """
    receipts = {(receipt.variable, receipt.date): receipt for receipt in done}
    blocks = sorted(planned.blocks, key=lambda block: block.date)

    def finished(block: Block) -> Receipt | None:
        receipt = receipts.get((block.variable, f"{block.date:%Y%m%d}"))
        index = indices.get(block.date)
        if receipt is None or index is None or receipt.key != planned.recipe.key(block):
            return None
        return receipt if _has_files(root, receipt, index) else None

    with ThreadPoolExecutor(_READERS) as pool:  # elsewhere than on disk each look costs a round trip
        found = list(pool.map(finished, blocks))
    return Standing(
        kept=tuple(receipt for receipt in found if receipt is not None),
        todo=tuple(block for block, receipt in zip(blocks, found, strict=True) if receipt is None),
        gaps=tuple(
            gap for gap in planned.missing if gap.unusable or (gap.variable, f"{gap.date:%Y%m%d}") not in receipts
        ),
    )


def is_whole(root: Root, planned: Plan) -> bool:
    """Whether an export has every block of a plan already, so that nothing has to be made; changes nothing.

    Raises:
        OutputError: it has other depths.
    """
    if not (root.exists(MANIFEST) and root.exists(MASK)):
        return False
    planned = with_depth(root, planned)
    times = planned.targets if planned.recipe.zarr is None else read_times(root, DENSE)
    done = read_receipts(root).receipts
    now = standing(root, planned, done, {date: number for number, date in enumerate(times)})
    return not now.todo and not now.gaps


def _has_files(root: Root, receipt: Receipt, index: int) -> bool:
    """Whether a block's files are there, in the place that its time has now on the time axis."""
    shard = receipt.file("zarr")
    in_place = shard is None or shard.path.split("/")[3] == str(index)
    return in_place and all(root.size(file.path) == file.bytes for file in receipt.files)
