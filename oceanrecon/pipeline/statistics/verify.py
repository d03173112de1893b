"""Checks statistics, and the steps that they were fitted in, against the checksums that were kept of them."""

from __future__ import annotations

from oceanrecon.pipeline.verify import Verification, check_bytes, check_steps
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import STATISTICS, read_manifest
from oceanrecon.stores.steps import read_steps

_KINDS = ("profiles", "season", "climate", "moments", "pairs")
_REMEDY = "run verify --discard-bad, then `oceanrecon statistics CONFIG --resume`"


def verify_statistics(url: str, *, discard_bad: bool = False) -> Verification:
    """Check the arrays of statistics, and every file of their steps; ``discard_bad`` removes the receipts of bad ones.

    Raises:
        OutputError: there are no finished statistics.
    """
    root = Root(url)
    arrays = read_manifest(root, STATISTICS)["files"]
    kinds = _KINDS if "parts" in root.names() else ()  # which users may remove
    problems = check_steps(root, kinds, _REMEDY, discard_bad=discard_bad)
    for path, of in arrays.items():  # written again by each run
        problem, _ = check_bytes(root, path, of["bytes"], of["sha256"], _REMEDY)
        problems += [] if problem is None else [problem]
    steps = [step for kind in kinds for step in read_steps(root, kind)[0].values()]
    sizes = [file.bytes for step in steps for file in step.files] + [of["bytes"] for of in arrays.values()]
    return Verification(len(sizes), sum(sizes), len(steps), tuple(problems))
