"""From the parts of all months to one flat store: each shard, a range of rows, is written by one task, whole.

A shard that holds the same rows as before is left alone, so that a change in one month rewrites what comes after it and
nothing before. Files are always new ones under the old names: a package that links the older keeps it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import OceanreconError, OutputError
from oceanrecon.pipeline.memory import keep_freed_memory
from oceanrecon.stores.columns import ColumnLayout, Table, encode_rows, metadata, shard_path
from oceanrecon.stores.files import Root
from oceanrecon.stores.part import read_part
from oceanrecon.stores.steps import Step, StepFailure, StoredFile, write_failure, write_step

_FORMAT = 1


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


def write_metadata(root: Root, prefix: str, layout: ColumnLayout, rows: int, tables: tuple[Table, ...] = ()) -> None:
    """Write everything of a store that is no shard, the group last; files that are the same are left alone."""
    for path, data in metadata(layout, rows, tables).items():
        rel = f"{prefix}/{path}"
        if not root.exists(rel) or root.read(rel) != data:
            root.write(rel, data)


def remove_surplus(root: Root, prefix: str, layout: ColumnLayout, shards: int) -> None:
    """Remove the shards of a longer store that was here before."""
    for column in layout.columns:
        number = shards
        while root.exists(path := shard_path(prefix, column, number)):
            root.remove(path)
            number += 1
