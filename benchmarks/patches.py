"""Samples of an export by our reader, in one process: as batches in code form, and decoded."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from benchmarks.data import Scale
from benchmarks.meter import Pass, forget, metered
from benchmarks.patch_data import Case, export_folder, rows_of, tile
from benchmarks.processes import run_module
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.form import Batch, collate
from oceanrecon.samples.rows import Rows
from oceanrecon.training.data.decode import Decode, to_tensors

BATCH = 16
#: Passes of each kind: the best counts.
_REPEATS = 3


@dataclass(frozen=True)
class ReadRun:
    """What reading samples of a case took."""

    #: batches in code form, from memory, in the order of a shuffled epoch
    code: Pass
    #: the same, decoded and normalised on the CPU
    decoded: Pass
    #: in code form from the disk
    cold: Pass
    #: in code form, each sample from anywhere in the export
    scattered: Pass
    #: codes of a sample
    sample_bytes: int
    #: pixels of the chunks (zarr) or blocks (GeoTIFF) that a sample touches, to its own
    touched: float
    #: of this process, after the passes in code form: its own, and with what it shares
    own_memory: int
    memory: int


def measure_reading(scale: Scale, case: Case) -> ReadRun:
    """Read samples of a case in a process of its own."""
    found = run_module("benchmarks.patches", arguments(scale, case))
    passes = {name: Pass(**found.pop(name)) for name in ("code", "decoded", "cold", "scattered")}
    return ReadRun(**passes, **found)


def arguments(scale: Scale, case: Case) -> list[str]:
    """Of a module that measures a case."""
    return [str(scale.data), "quick" if scale.quick else "full", json.dumps(asdict(case))]


def parsed(given: Sequence[str]) -> tuple[Scale, Case]:
    """The inverse of ``arguments``."""
    folder, size, case = given
    return Scale(Path(folder), size == "quick"), Case(**json.loads(case))


def source_of(scale: Scale, case: Case, rows: Rows) -> ExportSource:
    """The export of a case."""
    folder = str(export_folder(scale, case.encoding))
    return ExportSource(folder, rows, scenario=case.scenario, store=case.store)


def sample_size(scale: Scale) -> int:
    """How many samples a pass has."""
    return 2 * BATCH if scale.quick else 32 * BATCH


def parts(rows: Sequence[int], size: int = BATCH) -> Iterator[Sequence[int]]:
    """Some at a time."""
    for first in range(0, len(rows), size):
        yield rows[first : first + size]


def best(work: Callable[[], int], *, quick: bool, before: Callable[[], None] | None = None) -> Pass:
    """The pass of some that took the least CPU; or, with something to do before each, the least time."""
    passes = []
    for _ in range(1 if quick else _REPEATS):
        if before is not None:
            before()
        passes.append(metered(work))
    return min(passes, key=lambda one: one.cpu_seconds if before is None else one.wall_seconds)


def _measure(scale: Scale, case: Case) -> dict[str, Any]:
    torch.set_num_threads(1)
    rows = rows_of(scale, case)
    source = source_of(scale, case, rows)
    size = sample_size(scale)
    scattered = np.random.default_rng(1).permutation(len(rows))[:size].tolist()
    order = _epoch(rows)[:size]
    decode = Decode(source.form)

    def batches(some: Sequence[int]) -> Iterator[Batch]:
        for part in parts(some):
            yield collate(source.samples(part), source.form.fields)

    def code(some: Sequence[int]) -> int:
        return sum(batch["row"].size for batch in batches(some))

    @torch.inference_mode()
    def decoded() -> int:
        return sum(len(decode(to_tensors(batch))["row"]) for batch in batches(order))

    quick = scale.quick
    code(order)  # opens the files, and has the system keep them in memory
    found: dict[str, Any] = {"code": best(lambda: code(order), quick=quick)}
    memory = psutil.Process().memory_full_info()
    code(scattered)
    found["scattered"] = best(lambda: code(scattered), quick=quick)
    found["decoded"] = best(decoded, quick=quick)
    folder = export_folder(scale, case.encoding)
    found["cold"] = best(lambda: code(order), quick=quick, before=lambda: forget(folder))
    sample = source.samples(order[:1])[0]
    return {name: asdict(one) for name, one in found.items()} | {
        "sample_bytes": sample.surface.nbytes + sum(target.nbytes for target in sample.target.values()),
        "touched": _touched(scale, case, rows, order),
        "own_memory": memory.uss,
        "memory": memory.rss,
    }


def _epoch(rows: Rows) -> list[int]:
    draw = np.random.default_rng(1)
    return np.concatenate([draw.permutation(np.flatnonzero(rows.date == d)) for d in draw.permutation(np.unique(rows.date))]).tolist()


def _touched(scale: Scale, case: Case, rows: Rows, order: Sequence[int]) -> float:
    """Pixels of what is decoded for a sample, to its own, unless it shares that with others of its batch."""
    side, chunk = tile(scale), 64 if case.store == "zarr" else 256
    width = round(360 / scale.resolution)
    ids = rows.patch_id[np.array(order)]
    row, column = ids // width, ids % width

    def span(first: np.ndarray[Any, np.dtype[np.int64]], size: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        # what goes on at the west edge begins a chunk there
        inside = np.minimum(first + side, size)
        over = first + side - inside
        return (-(-inside // chunk) - first // chunk + -(-over // chunk)) * chunk

    return float((span(row, 10**9) * span(column, width)).mean() / side**2)


if __name__ == "__main__":
    json.dump(_measure(*parsed(sys.argv[1:])), sys.stdout)
