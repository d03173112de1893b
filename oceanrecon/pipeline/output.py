"""The output of an export: whether it may be written, and how it is made ready, extended or emptied."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import yaml

from oceanrecon.config import ExportSettings, dump_settings
from oceanrecon.errors import OutputError
from oceanrecon.pipeline.plan import Plan
from oceanrecon.pipeline.recipe import DENSE, SETTINGS
from oceanrecon.sources.registry import product as find_product
from oceanrecon.stores.files import STAGING, Root
from oceanrecon.stores.manifest import MANIFEST, read_manifest
from oceanrecon.stores.receipts import Receipt
from oceanrecon.stores.zarr_store import create_or_extend, read_depth, read_times

#: Settings that decide the bytes of every block: an export has one value of each.
_FIXED = ("grid", "encoding", "window_days", "minimum_files", "minimum_valid_fraction", "formats")
#: Everything below an export that comes from its blocks, receipts first.
_OURS = ("receipts", "failures", "rasters", DENSE, "masks", "quicklook")


def check_output(planned: Plan, *, resume: bool, overwrite: bool) -> None:
    """Refuse an output that is not ours to write; changes nothing.

    Raises:
        OutputError: it holds other files; or an export, and neither ``resume`` nor ``overwrite`` is given; or an
            export made with other settings.
    """
    root = Root(planned.recipe.output)
    if not root.exists(SETTINGS):
        folder = root.local_path
        if folder is not None and folder.is_dir() and any(path.name != STAGING for path in folder.iterdir()):
            raise OutputError(f"{root.url} has files in it but is no export: choose another output, or an empty folder")
        return
    if overwrite:
        return
    if not resume:
        raise OutputError(
            f"{root.url} holds an export: add --resume to complete or extend it, or --overwrite to make it anew"
        )
    before, now = yaml.safe_load(root.read(SETTINGS)), yaml.safe_load(dump_settings(resolved(planned)))
    for key in _FIXED:
        if before.get(key) != now.get(key):
            raise OutputError(
                f"{root.url} was made with other settings ({key}: {before.get(key)} there, {now.get(key)} here): take "
                "another output, or the same settings, or --overwrite"
            )


def prepare(root: Root, planned: Plan, *, overwrite: bool) -> None:
    """Make the output ready; what is there is only ever removed for an ``overwrite``.

    An overwrite that is killed leaves settings and whatever was not yet removed; what says that something is finished
    goes first, so that a resume or another overwrite goes on from there.
    """
    root.clear_staging()
    if overwrite and root.exists(SETTINGS):
        root.write(SETTINGS, dump_settings(resolved(planned)).encode())
        root.remove(MANIFEST)
        root.remove(f"{DENSE}/zarr.json")
        for folder in _OURS:
            root.remove_tree(folder)
    elif not root.exists(SETTINGS):
        root.write(SETTINGS, dump_settings(resolved(planned)).encode())


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
    return settings.model_copy(
        update={
            "archive": settings.archive.model_copy(
                update={"root": planned.archive_root, "inventory": inventory and Root(inventory).url}
            ),
            "grid": settings.grid.model_copy(update={"mask": mask and Root(mask).url}),
            "output": planned.recipe.output,
        }
    )


def time_indices(root: Root, planned: Plan) -> dict[dt.date, int]:
    """The place of each target on the time axis of ``dense.zarr``, which is made ready."""
    recipe = planned.recipe
    if recipe.zarr is None:
        return dict.fromkeys(planned.targets, 0)
    times = sorted({*read_times(root, DENSE), *planned.targets})
    names = dict.fromkeys((block.product, block.variable) for block in planned.blocks)
    variables = [
        recipe.dense_variable(product, product.variable(name))
        for product, name in ((find_product(product_name), name) for product_name, name in names)
    ]
    create_or_extend(root, DENSE, recipe.layout(planned.depth, tuple(times), tuple(variables)))
    return {date: number for number, date in enumerate(times)}


def has_files(root: Root, receipt: Receipt, index: int) -> bool:
    """Whether a block's files are there, in the place that its time has now on the time axis."""
    shard = receipt.file("zarr")
    in_place = shard is None or shard.path.split("/")[3] == str(index)
    return in_place and all(root.size(file.path) == file.bytes for file in receipt.files)
