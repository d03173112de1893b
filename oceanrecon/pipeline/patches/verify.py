"""Checks the tables of a patch index, and written samples, against the checksums that were kept of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import yaml

from oceanrecon.errors import OutputError
from oceanrecon.pipeline.holding import discarding
from oceanrecon.pipeline.local import OnDone
from oceanrecon.pipeline.patches.write_block import KIND
from oceanrecon.pipeline.verify import Problem, Verification, check_bytes, check_steps
from oceanrecon.samples.written import SETTINGS
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import MANIFEST, PATCHES, read_manifest
from oceanrecon.stores.steps import Step, read_steps

_AGAIN, _WRITE = (f"`oceanrecon patches {what} CONFIG --resume`" for what in ("index", "write"))
#: What is wrong with the files of a block themselves.
_BAD = ("missing", "truncated", "altered", "unreadable")


def verify_samples(url: str, *, discard_bad: bool = False) -> Verification:
    """Check every file of written samples against its receipt, and the receipts against the manifest.

    Args:
        url: output of ``patches write``.
        discard_bad: remove the receipts of blocks with bad files, and the manifest, which says that nothing is left to
            do, so that ``patches write --resume`` makes them again.

    Raises:
        OutputError: there are none.
        LeaseError: bad files are to be discarded, and somebody writes there.
    """
    root = Root(url)
    if not root.exists(SETTINGS):
        raise OutputError(f"there are no written samples in {root.url}: it has no {SETTINGS}; correct the path")
    with discarding(root, discard_bad):
        return _verify_samples(root, discard_bad=discard_bad)


def _verify_samples(root: Root, *, discard_bad: bool) -> Verification:
    blocks, _ = read_steps(root, KIND)
    problems = check_steps(root, (KIND,), f"run verify --discard-bad, then {_WRITE}", discard_bad=discard_bad)
    bad = any(problem.kind in _BAD for problem in problems)
    problems += _check_counts(root, blocks)
    if discard_bad and bad:
        root.remove(MANIFEST)
    files = [file for block in blocks.values() for file in block.files]
    return Verification(len(files), sum(file.bytes for file in files), len(blocks), tuple(problems))


def _check_counts(root: Root, blocks: Mapping[str, Step]) -> list[Problem]:
    """Where the manifest of written samples counts other rows than the receipts."""
    content = root.read_if_there(MANIFEST)
    if content is None:
        return [Problem("unfinished", MANIFEST, f"the writing has not finished: run {_WRITE}")]
    try:
        counts = yaml.safe_load(content)["counts"]
        stated = {name: int(counts[name]) for name in ("written", "skipped")}
    except (yaml.YAMLError, LookupError, TypeError, ValueError) as error:
        return [Problem("unreadable", MANIFEST, f"it is damaged ({error!r}): run {_WRITE}")]
    there = Counter[str]()
    for block in blocks.values():
        there.update(block.counts)
    found = {"written": there["rows"] - there["failed"] - there["skipped"], "skipped": there["skipped"]}
    return [
        Problem("unfinished", MANIFEST, f"it counts {stated[name]:,} rows as {name}, and the receipts of the blocks "
                f"{found[name]:,}: run {_WRITE}")
        for name in stated
        if found[name] != stated[name]
    ]  # fmt: skip


def verify_index(url: str, *, discard_bad: bool = False, on_done: OnDone | None = None) -> Verification:
    """Check every table of an index.

    Args:
        url: output of ``patches index``.
        discard_bad: remove tables that are bad, so that ``patches index --resume`` makes them again.
        on_done: called with how many files are checked, and how many there are.

    Raises:
        OutputError: there is no finished index.
    """
    root = Root(url)
    files = read_manifest(root, PATCHES)["files"]
    problems: list[Problem] = []
    for number, (path, of) in enumerate(files.items(), start=1):
        remedy = f"run verify --discard-bad, then {_AGAIN}"
        problem, _ = check_bytes(root, path, of["bytes"], of["sha256"], remedy)
        if problem is not None:
            problems.append(problem)
            if discard_bad:
                root.remove(path)
        if on_done is not None:
            on_done(number, len(files))
    return Verification(len(files), sum(of["bytes"] for of in files.values()), 0, tuple(problems))
