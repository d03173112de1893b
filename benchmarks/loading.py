"""Samples of an export end to end: two workers that read, batches in this process, code form or decoded there.

Workers import this module again, so that what only the measuring needs is imported where it is needed: their memory
would not be that of anyone's workers otherwise. They import torch by themselves.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.data import Scale
    from benchmarks.meter import Pass
    from benchmarks.patch_data import Case
    from oceanrecon.training.data import PatchLoader

WORKERS = 2
#: Batches that each worker has read or reads ahead: the loader's own choice.
_PREFETCH = 2
_IN_FLIGHT = WORKERS * _PREFETCH
#: Batches that are taken before a window begins, after whatever the workers waited for.
_AHEAD = 8


@dataclass(frozen=True)
class LoadRun:
    """What loading samples of a case took, in windows that are each in the middle of one epoch."""

    #: batches in code form, from memory
    code: Pass
    #: the same, decoded in this process
    decoded: Pass
    #: in code form from the disk: only batches that were read after the files were forgotten
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

    from benchmarks.meter import forget, metered, middle
    from benchmarks.patch_data import export_folder, rows_of
    from benchmarks.patches import BATCH, repeats, sample_count, source_of
    from oceanrecon.training.data import Decode, PatchDataset, make_loader

    dataset = PatchDataset(source_of(scale, case, rows_of(scale, case)))
    count, ahead = sample_count(scale) // BATCH, 1 if scale.quick else _AHEAD
    started = time.perf_counter()
    # all batches are full: the last of an epoch, too
    stream = _Stream(make_loader(dataset, BATCH, workers=WORKERS, prefetch=_PREFETCH, drop_last=True))
    stream.skip(1)
    found: dict[str, Any] = {"start_seconds": time.perf_counter() - started}
    decode = Decode(dataset.form)

    @torch.inference_mode()
    def window(take: Callable[[dict[str, Tensor]], dict[str, Tensor]], before: int) -> Pass:
        def work(batches: int) -> int:
            return sum(len(take(batch)["row"]) for batch in stream.take(batches))

        work(before)  # as the others, so that as many are on their way at the beginning as at the end
        return metered(lambda: work(count))

    folder = export_folder(scale, case.encoding)
    whole = ahead + count + _IN_FLIGHT  # of a window, with what workers are busy with at its end
    if whole > stream.length and not scale.quick:
        raise SystemExit(f"{case.name}: a window needs {whole} batches, and an epoch has {stream.length}")
    stream.skip(0 if scale.quick else 2 * count)  # has the system keep files in memory
    passes: dict[str, list[Pass]] = {"code": [], "decoded": [], "cold": []}
    for _ in range(repeats(scale)):
        for name, take in (("code", lambda batch: batch), ("decoded", decode)):
            stream.have(whole)
            passes[name].append(window(take, ahead))
    workers = [process.memory_full_info() for process in _workers()]
    for _ in range(repeats(scale)):
        stream.have(1 + _IN_FLIGHT + count + _IN_FLIGHT)
        stream.skip(1)
        _rest()
        forget(folder)
        # those in flight were read before that; what is read from now on is counted, since it brings in pages
        passes["cold"].append(window(lambda batch: batch, _IN_FLIGHT))
    found |= {name: asdict(middle(tried, lambda one: one.wall_seconds)) for name, tried in passes.items()}
    return found | {"own_memory": max(one.uss for one in workers), "memory": max(one.rss for one in workers)}


class _Stream:
    """Batches of epoch after epoch."""

    def __init__(self, loader: PatchLoader) -> None:
        self.length = len(loader)
        self._loader, self._epoch, self._left = loader, iter(loader), self.length

    def take(self, count: int) -> Iterator[dict[str, Tensor]]:
        """The next ones."""
        for _ in range(count):
            if not self._left:
                assert next(self._epoch, None) is None
                self._epoch, self._left = iter(self._loader), self.length
            self._left -= 1
            yield next(self._epoch)

    def skip(self, count: int) -> None:
        """Take some, and leave them."""
        for _ in self.take(count):
            pass

    def have(self, count: int) -> None:
        """Go on to the next epoch where this one has fewer left: from one to the other, all workers stand still."""
        if self._left < count:
            self.skip(self._left)


def _rest() -> None:
    """Wait until the workers have read all that they read ahead."""
    before, now = -1.0, _cpu_of(_workers())
    while now > before:
        time.sleep(0.5)
        before, now = now, _cpu_of(_workers())


def _cpu_of(processes: Sequence[psutil.Process]) -> float:
    """CPU-seconds of some processes."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)


def _workers() -> list[psutil.Process]:
    """Those that read: spawn has a process that cleans up, too, and torch one that looks after shared memory."""
    return sorted(psutil.Process().children(recursive=True), key=lambda process: process.memory_info().rss)[-WORKERS:]


if __name__ == "__main__":
    from benchmarks.patches import parsed

    json.dump(_measure(*parsed(sys.argv[1:])), sys.stdout)
