"""Samples of an export by our reader, in one process: as batches in code form, and decoded."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Scale
from benchmarks.meter import Pass, forget, metered, middle
from benchmarks.patch_data import Case, export_folder, rows_of, tile
from benchmarks.processes import run_module
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.form import Batch, collate
from oceanrecon.samples.rows import Rows

BATCH = 16
_BATCHES = 32
_REPEATS = 3


@dataclass(frozen=True)
class ReadRun:
    """What reading samples of a case took."""

    #: batches in code form, from memory
    code: Pass
    #: the same, decoded and normalised on the CPU by one thread
    decoded: Pass
    #: in code form from the disk
    cold: Pass
    #: codes of a sample
    sample_bytes: int
    #: pixels of the chunks (zarr) or blocks (GeoTIFF) that a sample touches, to its own
    touched: float


def measure_reading(scale: Scale, case: Case) -> ReadRun:
    """Read samples of a case in a process of its own."""
    found = run_module("benchmarks.patches", arguments(scale, case))
    return ReadRun(**with_passes(found))


def arguments(scale: Scale, case: Case) -> list[str]:
    """Of a module that measures a case."""
    return [str(scale.data), "quick" if scale.quick else "full", json.dumps(asdict(case))]


def with_passes(found: Mapping[str, Any]) -> dict[str, Any]:
    """What a process printed, with its passes as objects."""
    return {name: Pass(**value) if isinstance(value, dict) else value for name, value in found.items()}


def parsed(given: Sequence[str]) -> tuple[Scale, Case]:
    """The inverse of ``arguments``."""
    folder, size, case = given
    return Scale(Path(folder), size == "quick"), Case(**json.loads(case))


def source_of(scale: Scale, case: Case, rows: Rows) -> ExportSource:
    """The export of a case."""
    folder = str(export_folder(scale, case.encoding))
    return ExportSource(folder, rows, scenario=case.scenario, store=case.store)


def sample_count(scale: Scale) -> int:
    """How many samples a pass has."""
    return (2 if scale.quick else _BATCHES) * BATCH


def repeats(scale: Scale) -> int:
    """How many passes there are of each kind; the middle one counts."""
    return 1 if scale.quick else _REPEATS


def parts(rows: Sequence[int], size: int = BATCH) -> Iterator[Sequence[int]]:
    """Some at a time."""
    for first in range(0, len(rows), size):
        yield rows[first : first + size]


def _measure(scale: Scale, case: Case) -> dict[str, Any]:
    import torch  # here, as other processes import this module, and need none

    from oceanrecon.training.data import Decode, PatchDataset, ShardShuffle
    from oceanrecon.training.data.decode import to_tensors

    torch.set_num_threads(1)
    rows = rows_of(scale, case)
    source = source_of(scale, case, rows)
    # what an epoch begins with
    order = ShardShuffle(PatchDataset(source), BATCH).order(0)[: sample_count(scale)].tolist()
    decode = Decode(source.form)

    def batches() -> Iterator[Batch]:
        for part in parts(order):
            yield collate(source.samples(part), source.form.fields)

    def code() -> int:
        return sum(batch["row"].size for batch in batches())

    @torch.inference_mode()
    def decoded() -> int:
        return sum(len(decode(to_tensors(batch))["row"]) for batch in batches())

    folder = export_folder(scale, case.encoding)
    code()  # opens the files, and has the system keep them in memory
    with torch.inference_mode():
        decode(to_tensors(next(batches())))
    tried: dict[str, list[Pass]] = {"code": [], "decoded": [], "cold": []}
    for _ in range(repeats(scale)):
        tried["code"].append(metered(code))
        tried["decoded"].append(metered(decoded))
        forget(folder)
        tried["cold"].append(metered(code))
    found = {name: middle(passes, lambda one: one.cpu_seconds) for name, passes in tried.items()}
    sample = source.samples(order[:1])[0]
    return {name: asdict(one) for name, one in found.items()} | {
        "sample_bytes": sample.surface.nbytes + sum(target.nbytes for target in sample.target.values()),
        "touched": _touched(scale, case, rows.patch_id[np.array(order)]),
    }


def _touched(scale: Scale, case: Case, patch_id: NDArray[np.int64]) -> float:
    """Pixels that are decoded for a sample that shares none with others of its batch, to its own."""
    side, chunk = tile(scale), 64 if case.store == "zarr" else 256
    width = round(360 / scale.resolution)
    row, column = patch_id // width, patch_id % width

    def chunks(first: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.where(last > first, -(-last // chunk) - first // chunk, 0)

    over = np.maximum(column + side - width, 0)  # goes on at the west edge
    across = chunks(column, column + side - over) + chunks(np.zeros_like(over), over)
    return float((chunks(row, row + side) * across).mean() * chunk**2 / side**2)


if __name__ == "__main__":
    json.dump(_measure(*parsed(sys.argv[1:])), sys.stdout)
