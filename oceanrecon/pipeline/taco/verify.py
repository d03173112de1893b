"""Checks a TACO dataset: every file, every table and what they say of each other; lists what is wrong with what."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from oceanrecon.errors import OceanreconError, OutputError
from oceanrecon.pipeline.taco.content import Kind, differences
from oceanrecon.pipeline.taco.listing import read_inventory
from oceanrecon.stores.tables import encode_parquet
from oceanrecon.stores.taco import (
    COLLECTION,
    FOLDER_TABLE,
    LEVELS,
    Member,
    TacoStore,
    completed,
    is_empty,
    members_of,
    read_collection,
    read_level,
)
from oceanrecon.stores.taco_tables import (
    SOURCES,
    TABLES,
    Spans,
    collection,
    described,
    folder_tables,
    level_table,
    stamp,
    stamps,
)
from oceanrecon.stores.taco_zip import ZipStore, open_store
from oceanrecon.stores.tile_file import open_tile

_PIECE = 1 << 20
#: Files that there are, and where.
_Entries = Mapping[str, tuple[int, int] | None]


@dataclass(frozen=True)
class TacoProblem:
    """One thing that is wrong with a dataset."""

    kind: Kind
    #: below the dataset
    path: str
    message: str


@dataclass(frozen=True)
class TacoVerification:
    """What was checked, and what is wrong."""

    dates: int
    #: with data, and without
    files: int
    absent: int
    bytes: int
    problems: tuple[TacoProblem, ...]

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_taco(
    url: str, inventory: str | None = None, *, on_file: Callable[[int, int], None] | None = None
) -> TacoVerification:
    """Check a dataset in either form.

    Every file is read whole: its size and checksum are those of its row, it opens, is of the source, region and day
    of its place, and its data are as many, where and when its row says. The tables are those that were written, have
    every place of the tree once, agree with each other, with the tables of the folders, with ``COLLECTION.json`` and
    with the files that are there; and a dataset of one file is a ZIP that any other reader finds whole.

    Args:
        url: of the dataset.
        inventory: of the regional files that it is of, as of ``build_taco``: all rows of its sources from the first
            day of the dataset to its last are in it, and no others.
        on_file: called with how many files are checked, and how many there are.

    Raises:
        OutputError: there is no dataset, or its tables cannot be read at all.
    """
    store = open_store(url)
    content = read_collection(store)
    members, spans = members_of(read_level(store, 2))
    if not members:
        return TacoVerification(0, 0, 0, 0, (TacoProblem("tables", LEVELS[2], "it has no row"),))
    problems = []
    entries: _Entries = {}
    try:
        entries = store.entries()
        if isinstance(store, ZipStore):
            problems += [TacoProblem("altered", path, message) for path, message in store.damaged()]
    except OutputError as error:
        problems.append(TacoProblem("unreadable", "", str(error)))
    else:
        problems += _check_tables(store, content, members, entries, spans)
        problems += _check_tree(store, members, entries, spans)
    for number, member in enumerate(members, 1):
        problems += _check_member(store, member, None if spans is None else spans[member.path], entries)
        if on_file is not None:
            on_file(number, len(members))
    if inventory is not None:
        problems += _check_inventory(members, inventory, content.get(SOURCES) or None)
    there = [member for member in members if member.available]
    return TacoVerification(
        dates=len({member.date for member in members}),
        files=len(there),
        absent=len(members) - len(there),
        bytes=sum(member.size for member in there),
        problems=tuple(problems),
    )


def _check_tables(
    store: TacoStore, content: Mapping[str, Any], members: Sequence[Member], entries: _Entries, spans: Spans | None
) -> Iterator[TacoProblem]:
    """The tables are whole, and what follows from the files that they list."""
    written = stamps(content)
    for path in LEVELS:
        if stamp(store.read(path)) != written.get(path):
            yield TacoProblem("tables", path, f"it is not what was written: {COLLECTION} has another size or checksum")
    rows = Counter(member.path for member in members)
    expected = [member.path for member in completed(members)]
    if list(rows.elements()) != expected:
        lost = [path for path in expected if path not in rows]
        twice = [path for path, count in rows.items() if count > 1]
        for path in lost:
            yield TacoProblem("tables", f"DATA/{path}", f"{LEVELS[2]} has no row of it")
        for path in twice:
            yield TacoProblem("tables", f"DATA/{path}", f"{LEVELS[2]} has several rows of it")
        if not lost and not twice:
            yield TacoProblem("tables", LEVELS[2], "its rows are not in the order of the tree")
        return
    places = None if spans is None else {path: span for path, span in entries.items() if span is not None}
    if places is None or {f"DATA/{path}" for path in expected} <= places.keys():
        tables = [level_table(members, level, places) for level in range(len(LEVELS))]
        for level, path in enumerate(LEVELS):
            if not read_level(store, level).equals(tables[level]):
                yield TacoProblem("tables", path, f"it is not what follows from the rows of {LEVELS[2]}")
        for path, right in (*folder_tables(tables[2], 1), *folder_tables(tables[1], 0)):
            if path in entries and not _holds(store.read(path), right):
                yield TacoProblem("tables", path, "it is not what the tables have of this folder")
        yield from _check_collection(content, members, tables)


def _check_collection(
    content: Mapping[str, Any], members: Sequence[Member], tables: Sequence[pa.Table]
) -> Iterator[TacoProblem]:
    """``COLLECTION.json`` has all that it needs, and what follows from the tables is right."""
    try:
        about = described(content)
    except OutputError as error:
        yield TacoProblem("tables", COLLECTION, str(error))
        return
    for name, value in (("id", about.id), ("licenses", about.licenses), ("providers", about.providers)):
        if not value:
            yield TacoProblem("tables", COLLECTION, f"its {name} is empty")
    encoded = {path: encode_parquet(table) for path, table in zip(LEVELS, tables, strict=True)}
    for name, right in json.loads(collection(about, members, encoded)).items():
        # the checksums are of the tables as they were written
        if name != TABLES and (name not in content or content[name] != right):
            kind: Kind = "extent" if name == "extent" else "tables"
            yield TacoProblem(kind, COLLECTION, f"its {name} is {content.get(name)}, and {right} is right")


def _check_tree(
    store: TacoStore, members: Sequence[Member], entries: _Entries, spans: Spans | None
) -> Iterator[TacoProblem]:
    """What is there is what the tables have, and where they have it."""
    files = {f"DATA/{member.path}" for member in members}
    known = files | {f"{path.rpartition('/')[0]}/{FOLDER_TABLE}" for path in files}
    known |= {f"{path.rsplit('/', 2)[0]}/{FOLDER_TABLE}" for path in files} | {*LEVELS, COLLECTION}
    for path in sorted(entries.keys() - known):
        yield TacoProblem("extra", path, "no table has it")
    for path in sorted(known - entries.keys()):
        yield TacoProblem("missing", path, "the tables have it, and it is not there")
    for member in members:
        path = f"DATA/{member.path}"
        if spans is not None and entries.get(path, spans[member.path]) != spans[member.path]:
            yield TacoProblem("misplaced", path, f"its row has {spans[member.path]}, and it is at {entries[path]}")


def _check_member(
    store: TacoStore, member: Member, span: tuple[int, int] | None, entries: _Entries
) -> Iterator[TacoProblem]:
    path = f"DATA/{member.path}"
    try:
        with store.open(member.path, span) as where:
            size, checksum = _read(where)
        if size != member.size or (span is not None and span[1] != member.size):
            kind: Kind = "truncated" if size < member.size else "altered"
            yield TacoProblem(kind, path, f"it has {size:,} bytes, and {member.size:,} are right")
        elif checksum != member.sha256:
            yield TacoProblem("altered", path, "its checksum is another")
        elif member.available:
            with store.open(member.path, span) as where, open_tile(where) as tile:
                for kind, message in differences(member, tile):
                    yield TacoProblem(kind, path, message)
        else:
            with store.open(member.path, span) as where:
                if not is_empty(where):
                    yield TacoProblem("altered", path, "its row says that there are no data, and it has some")
    except FileNotFoundError:
        if path in entries or not entries:  # else it is said of the tree already
            yield TacoProblem("missing", path, "what its name leads to is not there")
    except (OceanreconError, OSError) as error:
        yield TacoProblem("unreadable", path, str(error))


def _check_inventory(
    members: Sequence[Member], inventory: str, sources: Collection[str] | None
) -> Iterator[TacoProblem]:
    """The dataset has the rows of its days and those between them, and no others."""
    first, last = members[0].date, members[-1].date
    rows = read_inventory(inventory, sources)
    listed = {member.path: member for member in rows if first <= member.date <= last}
    there = {member.path: member for member in members if member.available}
    for path in sorted(listed.keys() - there.keys()):
        yield TacoProblem("inventory", f"DATA/{path}", "the inventory has it, and the dataset does not")
    for path in sorted(there.keys() - listed.keys()):
        yield TacoProblem("inventory", f"DATA/{path}", "the inventory does not have it")
    for path in sorted(there.keys() & listed.keys()):
        if there[path] != listed[path]:
            yield TacoProblem("inventory", f"DATA/{path}", "the inventory says something else of it, such as its size")


def _holds(content: bytes, table: pa.Table) -> bool:
    """Whether a file has a table, however it is encoded."""
    try:
        return bool(pq.read_table(pa.BufferReader(content)).equals(table))
    except (pa.ArrowException, OSError):
        return False


def _read(where: str | BinaryIO) -> tuple[int, str]:
    """Size and checksum."""
    if isinstance(where, str):
        with open(where, "rb") as file:
            return _read(file)
    size, checksum = 0, hashlib.sha256()
    while piece := where.read(_PIECE):
        size += len(piece)
        checksum.update(piece)
    return size, checksum.hexdigest()
