"""Checks the tables of a patch index, and written samples, against the checksums that were kept of them."""

from __future__ import annotations

from oceanrecon.pipeline.local import OnDone
from oceanrecon.pipeline.patches.write_block import KIND
from oceanrecon.pipeline.verify import Problem, Verification, check_bytes, check_steps
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import MANIFEST, PATCHES, read_manifest
from oceanrecon.stores.steps import read_steps

_AGAIN = "`oceanrecon patches index CONFIG --resume`"


def verify_samples(url: str, *, discard_bad: bool = False) -> Verification:
    """Check every file of written samples against its receipt; ``discard_bad`` removes the receipts of bad ones.

    Raises:
        OutputError: there are none.
    """
    root = Root(url)
    again = "`oceanrecon patches write CONFIG --resume`"
    problems = check_steps(root, (KIND,), f"run verify --discard-bad, then {again}", discard_bad=discard_bad)
    if not root.exists(MANIFEST):
        problems.append(Problem("unfinished", MANIFEST, f"the writing has not finished: run {again}"))
    blocks, _ = read_steps(root, KIND)
    files = [file for block in blocks.values() for file in block.files]
    return Verification(len(files), sum(file.bytes for file in files), len(blocks), tuple(problems))


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
