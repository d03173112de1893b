"""The output of an export: whether it may be written, and how it is made ready, extended or emptied."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import yaml

from oceanrecon.config import ExportSettings, dump_settings
from oceanrecon.errors import OutputError
from oceanrecon.grid import parse_date
from oceanrecon.pipeline.plan import Plan
from oceanrecon.pipeline.recipe import DENSE, SETTINGS
from oceanrecon.sources.registry import product as find_product
from oceanrecon.stores.files import STAGING, Root
from oceanrecon.stores.manifest import MANIFEST, read_manifest
from oceanrecon.stores.receipts import Receipt
from oceanrecon.stores.zarr_store import create_or_extend, read_depth, read_times

#: Settings that decide the bytes of every block: an export has one value of each.
_FIXED = ("grid", "encoding", "window_days", "minimum_files", "minimum_valid_fraction", "formats")
#: First line of the settings in an export: no one else's export.yaml has it.
_HEADER = b"# Settings of an oceanrecon export, as they were resolved; the export belongs to them: do not edit.\n"
#: There while an overwrite removes what was there before.
_OVERWRITING = ".overwriting"
#: Everything below an export that comes from its blocks, receipts first.
_OURS = ("receipts", "failures", "rasters", DENSE, "masks", "quicklook")


def check_output(planned: Plan, *, resume: bool, overwrite: bool) -> None:
    """Refuse an output that is not ours to write; changes nothing.

    Raises:
        OutputError: it holds other files; or an export, and neither ``resume`` nor ``overwrite`` is given; or an
            export made with other settings; or what the settings read would be overwritten.
    """
    root = Root(planned.recipe.output)
    folder = root.local_path
    names = {path.name for path in folder.iterdir()} if folder is not None and folder.is_dir() else set()
    if not root.exists(SETTINGS) or not root.read(SETTINGS).startswith(_HEADER):
        if names - {STAGING} or root.exists(SETTINGS):
            raise OutputError(f"{root.url} has files in it but is no export: choose another output, or an empty folder")
        return
    if overwrite:
        settings = resolved(planned)
        for path in (settings.grid.mask, settings.archive.inventory, settings.archive.root):
            if path is not None and f"{path}/".startswith(tuple(f"{root.url}/{name}/" for name in _OURS)):
                raise OutputError(f"--overwrite would remove {path}, which the settings read: copy it elsewhere first")
        return
    if not resume:
        raise OutputError(
            f"{root.url} holds an export: add --resume to complete or extend it, or --overwrite to make it anew"
        )
    if root.exists(_OVERWRITING):
        return  # what is there is on its way out
    before, now = yaml.safe_load(root.read(SETTINGS)), yaml.safe_load(dump_settings(resolved(planned)))
    for key in _FIXED:
        if before.get(key) != now.get(key):
            raise OutputError(
                f"{root.url} was made with other settings ({key}: {before.get(key)} there, {now.get(key)} here): take "
                "another output, or the same settings, or --overwrite"
            )


def prepare(root: Root, planned: Plan, *, overwrite: bool) -> None:
    """Make the output ready; what is there is only ever removed for an ``overwrite``.

    An overwrite that was killed left its mark: whoever comes next removes the rest first, so that nothing of the older
    export is taken for the new one.
    """
    root.clear_staging()
    if overwrite and root.exists(SETTINGS):
        root.write(_OVERWRITING, b"")
    if root.exists(_OVERWRITING):
        root.remove(MANIFEST)
        for folder in _OURS:
            root.remove_tree(folder)
        write_settings(root, planned)
        root.remove(_OVERWRITING)
    elif not root.exists(SETTINGS):
        write_settings(root, planned)


def write_settings(root: Root, planned: Plan) -> None:
    """Keep the settings, every default written out, as what marks a folder as an export."""
    root.write(SETTINGS, _HEADER + dump_settings(resolved(planned)).encode())


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


def has_files(root: Root, receipt: Receipt, index: int) -> bool:
    """Whether a block's files are there, in the place that its time has now on the time axis."""
    shard = receipt.file("zarr")
    in_place = shard is None or shard.path.split("/")[3] == str(index)
    return in_place and all(root.size(file.path) == file.bytes for file in receipt.files)
