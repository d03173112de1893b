"""Samples of an export end to end: two workers that read, batches in this process, code form or decoded there.

Workers import this module again, so that what only the measuring needs is imported where it is needed: their memory
would not be that of anyone's workers otherwise. They import torch by themselves.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.data import Scale
    from benchmarks.meter import Pass
    from benchmarks.patch_data import Case
    from oceanrecon.training.data import PatchLoader

WORKERS = 2
#: Batches that are there when a window begins, and are not of it.
_AHEAD = 8
_REPEATS = 1


@dataclass(frozen=True)
class LoadRun:
    """What loading samples of a case took, in windows of a running epoch."""

    #: batches in code form, from memory
    code: Pass
    #: the same, decoded in this process
    decoded: Pass
    #: in code form from the disk
    cold: Pass
    #: from making the loader to its first batch
    start_seconds: float
    #: largest of the workers: its own, and with what it shares with other processes
    own_memory: int
    memory: int


def measure_loading(scale: Scale, case: Case) -> LoadRun:
    """Load samples of a case, in a process and with workers of their own."""
    from benchmarks.patches import arguments, with_passes
    from benchmarks.processes import run_module

    return LoadRun(**with_passes(run_module("benchmarks.loading", arguments(scale, case))))


def _measure(scale: Scale, case: Case) -> dict[str, Any]:
    import torch

    from benchmarks.meter import forget, metered
    from benchmarks.patch_data import export_folder, rows_of
    from benchmarks.patches import BATCH, sample_count, source_of
    from oceanrecon.training.data import Decode, PatchDataset, make_loader

    dataset = PatchDataset(source_of(scale, case, rows_of(scale, case)))
    count, ahead, repeats = sample_count(scale, case) // BATCH, _AHEAD, _REPEATS
    if scale.quick:
        ahead, repeats = 1, 1
    started = time.perf_counter()
    # all batches are full: the last of an epoch, too
    stream = _endless(make_loader(dataset, BATCH, workers=WORKERS, drop_last=True))
    next(stream)
    found: dict[str, Any] = {"start_seconds": time.perf_counter() - started}
    decode = Decode(dataset.form)

    @torch.inference_mode()
    def window(take: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> Pass:
        def work() -> int:
            return sum(len(take(batch)["row"]) for batch in islice(stream, count))

        return metered(work)

    def skip(number: int) -> None:
        for _ in islice(stream, number):
            pass

    folder = export_folder(scale, case.encoding)
    skip(0 if scale.quick else 2 * count)  # has the system keep files in memory
    passes: dict[str, list[Pass]] = {"code": [], "decoded": [], "cold": []}
    for _ in range(repeats):
        skip(ahead)
        passes["code"].append(window(lambda batch: batch))
        passes["decoded"].append(window(decode))
    workers = [process.memory_full_info() for process in _workers()]
    for _ in range(repeats):
        skip(ahead)
        forget(folder)  # and nothing is left out after that: what is read first brings in pages for the rest
        passes["cold"].append(window(lambda batch: batch))
    found |= {name: asdict(min(tried, key=lambda one: one.wall_seconds)) for name, tried in passes.items()}
    return found | {"own_memory": max(one.uss for one in workers), "memory": max(one.rss for one in workers)}


def _endless(loader: PatchLoader) -> Iterator[dict[str, Tensor]]:
    """Epoch after epoch."""
    while True:
        yield from loader


def _workers() -> list[psutil.Process]:
    """Those that read: spawn has a process that cleans up, too, and torch one that looks after shared memory."""
    return sorted(psutil.Process().children(recursive=True), key=lambda process: process.memory_info().rss)[-WORKERS:]


if __name__ == "__main__":
    from benchmarks.patches import parsed

    json.dump(_measure(*parsed(sys.argv[1:])), sys.stdout)
