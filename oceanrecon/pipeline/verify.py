"""Checks an export against its receipts: every file that is missing, altered, truncated or stale is named."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np

from oceanrecon.errors import ConfigError, OceanreconError
from oceanrecon.pipeline.holding import discarding
from oceanrecon.pipeline.local import OnDone, run_local
from oceanrecon.pipeline.make import block_codes
from oceanrecon.pipeline.profiles.gridded import ARGO
from oceanrecon.pipeline.rebuild import Existing, load_export
from oceanrecon.pipeline.recipe import DENSE, MASK
from oceanrecon.sources.registry import product as find_product
from oceanrecon.sources.unchanged import changed_since
from oceanrecon.stores.files import Root
from oceanrecon.stores.geotiff import check_geotiff, read_codes
from oceanrecon.stores.mask import read_land_mask_on
from oceanrecon.stores.receipts import Receipt, WrittenFile, read_failures, read_receipts, receipt_path
from oceanrecon.stores.steps import read_failures as read_step_failures
from oceanrecon.stores.steps import read_steps, step_path
from oceanrecon.stores.zarr_store import check_days_shard, check_shard, decode_shard

ProblemKind = Literal["missing", "truncated", "altered", "unreadable", "stale", "unchecked", "failed", "unfinished"]
#: What is wrong with the files of a block themselves.
_BAD = ("missing", "truncated", "altered", "unreadable")

_GRIDDING = "run verify --discard-bad, then `oceanrecon profiles grid CONFIG --resume`"
_REMEDY = "run verify --discard-bad, then export --resume"


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an export; ``path`` is relative to it."""

    kind: ProblemKind
    path: str
    message: str


@dataclass(frozen=True)
class Verification:
    """What was checked, and what is wrong."""

    files: int
    bytes: int
    blocks: int
    problems: tuple[Problem, ...]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(url: str, *, deep: bool = False, discard_bad: bool = False, on_done: OnDone | None = None) -> Verification:
    """Check an export: checksums, every sample decoded, sources unchanged.

    Args:
        url: folder or fsspec URL of the export.
        deep: make every block again from its sources and compare the codes, so that a source whose content changed is
            found, and one that was only copied or touched is not called stale.
        discard_bad: remove the receipts of blocks whose files are bad, so that ``export --resume`` makes them again.
        on_done: called with how many blocks are checked, and how many there are.

    Raises:
        OutputError: there is no finished export.
        LeaseError: bad files are to be discarded, and a job is at work on the export.
    """
    existing = load_export(url)
    with discarding(existing.root, discard_bad):
        return _verify(existing, deep=deep, discard_bad=discard_bad, on_done=on_done)


def _verify(existing: Existing, *, deep: bool, discard_bad: bool, on_done: OnDone | None) -> Verification:
    book = read_receipts(existing.root)
    # every task carries what it needs, and the manifest of a long export is megabytes
    lean = replace(existing, manifest={"depth_axis_m": existing.manifest["depth_axis_m"]})
    check = partial(_check_block, lean, deep=deep)
    found = run_local(check, book.receipts, scheduler="processes" if deep else "threads", on_done=on_done)
    problems = [problem for part in found for problem in part]
    fixed = _check_fixed(existing)
    if discard_bad:
        for receipt, part in zip(book.receipts, found, strict=True):
            # a block whose sources are gone is good as it is, and one whose sources changed is made again in any case
            if any(problem.kind in _BAD or (deep and problem.kind == "stale") for problem in part):
                existing.root.remove(receipt_path(receipt.variable, receipt.date))
        for problem in fixed:
            existing.root.remove(problem.path)
        if any(problem.path.startswith(DENSE) for problem in fixed):
            existing.root.remove(f"{DENSE}/zarr.json")  # without it, export writes all metadata anew
    problems += fixed
    problems += [
        Problem("unreadable", path, "this receipt is damaged: run export --resume") for path in book.unreadable
    ]
    problems += [
        Problem("failed", f"{failure.variable} {failure.date}", failure.message)
        for failure in read_failures(existing.root)
    ]
    problems += _check_manifest(existing, book.receipts)
    problems += _check_profiles(existing, discard_bad=discard_bad)
    files = [file for receipt in book.receipts for file in receipt.files]
    return Verification(len(files), sum(file.bytes for file in files), len(book.receipts), tuple(problems))


def _check_fixed(existing: Existing) -> list[Problem]:
    """The files that belong to no block: the mask, and the metadata of the zarr store."""
    described: dict[str, Any] = existing.manifest["files"]
    problems = []
    if MASK not in described:
        problems.append(Problem("missing", MASK, "no land mask could be made; run export --resume"))
    for path, of in described.items():
        try:
            problem, _ = check_bytes(existing.root, path, of["bytes"], of["sha256"], _REMEDY)
        except OceanreconError as error:
            problem = Problem("unfinished", path, f"{error}: run export --resume")
        if problem is None and path == MASK:
            problem = _check_mask(existing)
        if problem is not None:
            problems.append(problem)
    return problems


def _check_mask(existing: Existing) -> Problem | None:
    try:
        read_land_mask_on(existing.recipe.grid, existing.root.url_of(MASK), _REMEDY)
    except ConfigError as error:
        return Problem("altered", MASK, str(error))
    return None


def _check_profiles(existing: Existing, *, discard_bad: bool) -> list[Problem]:
    """The gridded profiles, where the export has some."""
    section = existing.manifest.get("argo")  # exports that were made before there were profiles have none
    if section is None:
        return []
    root = Root(existing.root.url_of(ARGO))
    found = check_steps(root, ("groups", "shards"), _GRIDDING, discard_bad=discard_bad)
    problems = [replace(problem, path=f"{ARGO}/{problem.path}") for problem in found]
    named = {problem.path for problem in problems}
    for path, of in section["files"].items():
        problem, _ = check_bytes(existing.root, path, of["bytes"], of["sha256"], _GRIDDING)
        if problem is not None and path not in named:
            problems.append(problem)
    if section["target_dates"] != existing.manifest["target_dates"]:
        problems.append(
            Problem("unfinished", section["path"], "the export has other targets than its profiles: " + _GRIDDING)
        )
    return problems


def check_steps(root: Root, kinds: Sequence[str], remedy: str, *, discard_bad: bool) -> list[Problem]:
    """The files of every step of a profile store; with ``discard_bad``, the receipts of bad ones are removed."""
    problems: list[Problem] = []
    for kind in kinds:
        steps, damaged = read_steps(root, kind)
        problems += [Problem("unreadable", path, f"this receipt is damaged: {remedy}") for path in damaged]
        for name, step in steps.items():
            found = [check_bytes(root, file.path, file.bytes, file.sha256, remedy)[0] for file in step.files]
            bad = [problem for problem in found if problem is not None]
            if bad and discard_bad:
                root.remove(step_path("receipts", kind, name))
            problems += bad
    problems += [Problem("failed", failure.name, failure.message) for failure in read_step_failures(root)]
    return problems


def _check_manifest(existing: Existing, receipts: tuple[Receipt, ...]) -> list[Problem]:
    """Where the manifest and the receipts differ."""
    dense = existing.manifest["dense"]
    listed: dict[str, str] = {}
    for products in (existing.manifest["rasters"], dense["shards"] if dense else {}):
        for entry in (entry for variables in products.values() for entries in variables.values() for entry in entries):
            listed |= {file["path"]: file["sha256"] for file in (entry, entry.get("days")) if file}
    written = {file.path: file.sha256 for receipt in receipts for file in receipt.files}
    problems = []
    for path in sorted(path for path in listed | written if listed.get(path) != written.get(path)):
        if path not in written:
            how = "in the manifest but has no receipt"
        else:
            how = "finished but not in the manifest" if path not in listed else "another one in the manifest"
        problems.append(Problem("unfinished", path, f"it is {how}: run export --resume"))
    return problems


def _check_block(existing: Existing, receipt: Receipt, *, deep: bool) -> list[Problem]:
    try:
        found = [_check_file(existing, receipt, file) for file in receipt.files]
        problems = [problem for problem in found if problem is not None]
        if deep:
            return problems or _check_content(existing, receipt)
        return problems + _check_sources(existing, receipt)
    except OceanreconError as error:  # of this block: the others are still worth a look
        return [Problem("unreadable", receipt_path(receipt.variable, receipt.date), f"{error}; {_REMEDY}")]


def _check_file(existing: Existing, receipt: Receipt, file: WrittenFile) -> Problem | None:
    problem, data = check_bytes(existing.root, file.path, file.bytes, file.sha256, _REMEDY)
    if problem is not None:
        return problem
    product = find_product(receipt.product)
    variable = product.variable(receipt.variable)
    recipe = existing.recipe
    if file.role == "geotiff":
        wrong = check_geotiff(data, recipe.grid, recipe.stretch(variable), len(receipt.statistics))
    else:
        dense = recipe.dense_variable(product, variable)
        layout = recipe.layout(tuple(existing.manifest["depth_axis_m"]), (), (dense,))
        wrong = check_days_shard(data, layout) if file.role == "days" else check_shard(data, dense, layout)
    return Problem("unreadable", file.path, f"{'; '.join(wrong)}; {_REMEDY}") if wrong else None


def check_bytes(root: Root, path: str, count: int, sha256: str, remedy: str) -> tuple[Problem | None, bytes]:
    """What is wrong with a file of known size and checksum, and its content where nothing is."""
    size = root.size(path)
    if size is None:
        return Problem("missing", path, f"the file is gone; {remedy}"), b""
    if size < count:
        return Problem("truncated", path, f"it has {size:,} of {count:,} bytes; {remedy}"), b""
    data = root.read(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        return Problem("altered", path, f"its content is not what was written; {remedy}"), b""
    return None, data


def _check_sources(existing: Existing, receipt: Receipt) -> list[Problem]:
    problems = []
    archive = Root(existing.archive_root)
    for source in receipt.sources:
        name = f"{receipt.variable} {receipt.date}"
        url = archive.url_of(source.path)
        changed = changed_since(url, source.bytes, source.mtime_ns)
        if changed is None:
            message = f"its source {url} is gone (the export is as it was): restore it"
        elif changed:
            message = f"its source {url} changed since: run export --resume, or verify --deep to compare its content"
        else:
            continue
        problems.append(Problem("stale", name, message))
    return problems


def _check_content(existing: Existing, receipt: Receipt) -> list[Problem]:
    """Make the block again and compare codes."""
    name = f"{receipt.variable} {receipt.date}"
    try:
        codes = block_codes(existing.block(receipt), existing.recipe)
    except OceanreconError as error:
        return [Problem("unchecked", name, str(error))]
    problems = []
    file = receipt.file("geotiff") or receipt.file("zarr")
    assert file is not None
    if file.role == "geotiff":
        stored = read_codes(existing.root.url_of(file.path))
    else:
        product = find_product(receipt.product)
        dense = existing.recipe.dense_variable(product, product.variable(receipt.variable))
        layout = existing.recipe.layout(tuple(existing.manifest["depth_axis_m"]), (), (dense,))
        stored = decode_shard(existing.root.read(file.path), dense, layout)
    different = int(np.count_nonzero(stored.reshape(codes.shape) != codes))
    if different:
        message = (
            f"{different:,} of {codes.size:,} codes are others when made from today's sources: run export --resume"
        )
        problems.append(Problem("stale", file.path, message))
    return problems
