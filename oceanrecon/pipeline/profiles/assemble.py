"""From the parts of all months to one flat store: each shard, a range of rows, is written by one task, whole.

A shard that holds the same rows as before is left alone, so that a change in one month rewrites what comes after it and
nothing before. Files are always new ones under the old names: a package that links the older keeps it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import OceanreconError, OutputError
from oceanrecon.pipeline.tasks import Task, TaskRun
from oceanrecon.stores.columns import ColumnLayout, Table, encode_rows, metadata, shard_path
from oceanrecon.stores.files import Root
from oceanrecon.stores.memory import keep_freed_memory
from oceanrecon.stores.part import read_part
from oceanrecon.stores.steps import (
    Step,
    StepFailure,
    StoredFile,
    forget_failures,
    read_steps,
    step_path,
    write_failure,
    write_step,
)

_FORMAT = 2


@dataclass(frozen=True)
class Piece:
    """Rows ``start`` to ``stop`` (excluded) of a part."""

    path: str
    sha256: str
    start: int
    stop: int

    @property
    def identity(self) -> tuple[str, int, int]:
        """What decides its content."""
        return self.sha256, self.start, self.stop


@dataclass(frozen=True)
class Shard:
    """A range of rows of the store, and where they come from."""

    number: int
    pieces: tuple[Piece, ...]

    @property
    def name(self) -> str:
        """``000012``."""
        return f"{self.number:06d}"

    @property
    def rows(self) -> int:
        """Number of rows."""
        return sum(piece.stop - piece.start for piece in self.pieces)

    def key(self, layout: ColumnLayout) -> str:
        """sha256 of everything that decides the bytes of its files."""
        decides = [
            _FORMAT,
            [(column.name, column.dtype, column.levels) for column in layout.columns],
            [layout.depth, layout.chunk_rows, layout.shard_rows, self.number],
            [piece.identity for piece in self.pieces],
        ]
        return hashlib.sha256(json.dumps(decides).encode()).hexdigest()


@dataclass
class Assembly:
    """What assembling a store did."""

    shards: list[Shard]
    written: list[Step]
    failures: list[StepFailure]

    @property
    def rows(self) -> int:
        """Of the store."""
        return sum(shard.rows for shard in self.shards)


def assemble(
    run: TaskRun,
    root: Root,
    prefix: str,
    layout: ColumnLayout,
    parts: Iterable[Step],
    *,
    attributes: Callable[[list[str]], dict[str, Any]],
    tables: tuple[Table, ...] = (),
    on_shard: Callable[[str], None],
) -> Assembly:
    """Make one flat store of parts, on the workers of ``run``; its metadata, which make it a store, come last.

    Args:
        run: tasks in flight.
        root: output of the parts, the store and its receipts.
        prefix: of the store, below ``root``.
        layout: of the store, without attributes.
        parts: steps whose files with rows are the store, in order.
        attributes: of the store, from the keys of its shards.
        tables: small arrays beside the profiles.
        on_shard: told how far it is.

    Raises:
        OutputError: nothing can be written.
    """
    shards = shards_of(parts, layout)
    before, _ = read_steps(root, "shards")
    changed = [shard for shard in shards if not is_done(root, before.get(shard.name), shard.key(layout))]
    found = Assembly(shards, [], [])
    names = {shard.name for shard in changed}
    forget_failures(root, "shards", lambda name: name not in names)
    # a shard without a receipt was forgotten as bad, or is of a run that was killed
    unknown = any(
        shard.name not in before and root.exists(shard_path(prefix, layout.columns[0], shard.number))
        for shard in changed
    )
    if unknown or not only_grows(before, shards):
        root.remove(f"{prefix}/zarr.json")  # nobody shall open a mixture of old and new rows
    tasks = [Task("shard", shard.name, make_shard, (shard, layout, root.url, prefix)) for shard in changed]
    for outcome in run.outcomes(tasks):
        shard: Shard = outcome.task.arguments[0]
        value = outcome.value if outcome.error is None else record_failure(root, shard, outcome.error)
        if isinstance(value, StepFailure):
            found.failures.append(value)
        else:
            found.written.append(value)
        on_shard(f"store: {len(found.written)} of {len(changed)} shards")
    if found.failures:
        return found
    layout = replace(layout, attrs=attributes([shard.key(layout) for shard in shards]))
    described = {f"{prefix}/{path}": data for path, data in metadata(layout, found.rows, tables).items()}
    for path, data in described.items():
        if not root.exists(path) or root.read(path) != data:
            root.write(path, data)
    own = {shard_path(prefix, column, shard.number) for column in layout.columns for shard in shards}
    _remove_surplus(root, prefix, own | described.keys())
    for name in before.keys() - {shard.name for shard in shards}:
        root.remove(step_path("receipts", "shards", name))
    return found


def is_done(root: Root, step: Step | None, key: str) -> bool:
    """Whether a step with this key was done, and its files are there."""
    return step is not None and step.key == key and all(root.size(file.path) == file.bytes for file in step.files)


def shards_of(months: Iterable[Step], layout: ColumnLayout) -> list[Shard]:
    """The shards that the parts of some months make, in order."""
    shards: list[Shard] = []
    pieces: list[Piece] = []
    room = layout.shard_rows
    for file in (file for month in months for file in month.files if file.rows):
        start = 0
        while start < file.rows:
            stop = min(file.rows, start + room)
            pieces.append(Piece(file.path, file.sha256, start, stop))
            room -= stop - start
            start = stop
            if room == 0:
                shards.append(Shard(len(shards), tuple(pieces)))
                pieces, room = [], layout.shard_rows
    if pieces:
        shards.append(Shard(len(shards), tuple(pieces)))
    return shards


def only_grows(before: dict[str, Step], shards: Iterable[Shard]) -> bool:
    """Whether the rows that a store had keep their places: readers of it may go on while it is extended."""
    now = {shard.name: shard for shard in shards}
    for name, step in before.items():
        pieces = tuple(piece.identity for piece in now[name].pieces) if name in now else ()
        last = len(step.pieces) - 1
        if len(pieces) <= last or pieces[:last] != step.pieces[:last]:
            return False
        if pieces[last][:2] != step.pieces[last][:2] or pieces[last][2] < step.pieces[last][2]:
            return False
    return True


def make_shard(shard: Shard, layout: ColumnLayout, output: str, prefix: str) -> Step | StepFailure | OutputError:
    """Write the files of one shard, then its receipt; a failure or the error that stops the run is returned."""
    keep_freed_memory()
    root = Root(output)
    try:
        try:
            return _make(root, shard, layout, prefix)
        except OutputError:
            raise
        except (OceanreconError, MemoryError, ValueError, OSError, RuntimeError) as error:
            return record_failure(root, shard, error)
    except OutputError as error:
        return error


def record_failure(root: Root, shard: Shard, error: BaseException) -> StepFailure:
    """Record that a shard cannot be written.

    Raises:
        OutputError: it cannot be recorded.
    """
    failure = StepFailure("shards", shard.name, type(error).__name__, str(error) or repr(error))
    write_failure(root, failure)
    return failure


def _make(root: Root, shard: Shard, layout: ColumnLayout, prefix: str) -> Step:
    started, cpu = time.perf_counter(), time.process_time()
    # no receipt tells of files that are being replaced: a run that is killed here does this shard again
    root.remove(step_path("receipts", "shards", shard.name))
    files: list[StoredFile] = []
    for column in layout.columns:
        values: NDArray[Any]
        if column.name == "profile":
            first = shard.number * layout.shard_rows
            values = np.arange(first, first + shard.rows)
        else:
            values = np.concatenate(
                [read_part(root, piece.path, column, piece.start, piece.stop) for piece in shard.pieces]
            )
        data = encode_rows(layout, column, values)
        path = shard_path(prefix, column, shard.number)
        if data is None:  # all is missing; what an earlier version has there must go
            root.remove(path)
            continue
        root.write(path, data)
        files.append(StoredFile(path, len(data), hashlib.sha256(data).hexdigest(), shard.rows))
    step = Step(
        kind="shards",
        name=shard.name,
        key=shard.key(layout),
        files=tuple(files),
        counts={"profiles": shard.rows},
        timing={"wall": round(time.perf_counter() - started, 3), "cpu": round(time.process_time() - cpu, 3)},
        pieces=tuple(piece.identity for piece in shard.pieces),
    )
    write_step(root, step)
    return step


def _remove_surplus(root: Root, prefix: str, own: set[str]) -> None:
    """Remove what is left of a store with more rows or other columns that was here before."""
    for path in root.list(prefix):
        if path not in own and ("/c/" in path or path.endswith("/zarr.json")):
            root.remove(path)
