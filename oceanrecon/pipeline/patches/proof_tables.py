"""The tables of an index as the proof needs them; tables that are not those of its manifest are refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from oceanrecon.errors import OutputError
from oceanrecon.pipeline.patches.match import Days
from oceanrecon.pipeline.patches.output import PROFILES, PROOF, SPATIAL
from oceanrecon.pipeline.patches.spatial import INVALID
from oceanrecon.pipeline.patches.split import GUARDED, PHASES
from oceanrecon.pipeline.profiles.group import days_of as calendar_days
from oceanrecon.stores.files import Root

#: Sides by bit; rows of other phases are on none, and are never handed out.
SIDES = PHASES[:GUARDED]
#: Bit of a side by the number of its phase; 0 where it is none.
_BIT = np.array([1 << number if number < GUARDED else 0 for number in range(len(PHASES))], np.uint8)
#: Code of the patches whose rows have phases of their own.
_BY_ROW = -1
#: Rows of a table, and bytes of a file, that are held at once.
_BATCH, _PIECE = 1 << 18, 1 << 20
_AGAIN = "make the tables again with `oceanrecon patches index CONFIG --overwrite`"

#: Sides as bits.
Bits = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class RowMatrix:
    """The rows of an index as a matrix."""

    #: ascending: [patch]
    ids: NDArray[np.int64]
    #: ascending: [date]
    days: Days
    #: first and last GLORYS file that the rows of a date name, as days; first > last where they name none: [date, 2]
    named: NDArray[np.int64]
    #: sides of the rows: [patch, date]
    sides: Bits
    #: number of rows by phase
    counts: Mapping[str, int]
    #: rows on a side that say they have a profile
    with_profiles: int


def check_files(root: Root, manifest: Mapping[str, Any]) -> dict[str, str]:
    """The SHA-256 of every table by its path; all are as the manifest says.

    Raises:
        OutputError: a table is missing, cannot be read, or is another.
    """
    found = {path: _sha256(root, path) for path in manifest["files"] if path != PROOF}
    for path, sha256 in found.items():
        if sha256 != manifest["files"][path]["sha256"]:
            raise OutputError(
                f"{root.url_of(path)} is not the table that the manifest describes: see `oceanrecon verify "
                f"{root.url}`, or {_AGAIN}"
            )
    return found


def read_rows(root: Root, manifest: Mapping[str, Any]) -> RowMatrix:
    """The rows of an index.

    Raises:
        OutputError: a table is missing or cannot be read; there is no row; or rows do not fit the spatial table, the
            manifest or one another.
    """
    path = f"{manifest['frequency']}.parquet"
    url = root.url_of(path)
    ids, of_patch = _places(root)
    dates = np.unique(np.concatenate([np.zeros(0, np.int64), *(batch[0] for batch in columns(root, path, ("date",)))]))
    if not dates.size:
        raise OutputError(f"{url} has no rows: there is nothing to prove")
    sides = np.zeros((ids.size, dates.size), np.uint8)
    there = np.zeros(sides.shape, np.bool_)
    named = np.stack([np.full(dates.size, np.iinfo(np.int64).max), np.full(dates.size, -1)], axis=-1)
    counts = np.zeros(len(PHASES), np.int64)
    with_profiles = 0
    names = ("patch_id", "date", "phase", "matched_glorys_date", "argo_valid")
    for patch, date, phase, file, valid in columns(root, path, names):
        place = np.minimum(np.searchsorted(ids, patch), ids.size - 1)
        strange = ids[place] != patch
        if strange.any():
            raise OutputError(f"{url} has rows of patch {patch[strange][0]}, which {SPATIAL}.parquet has not: {_AGAIN}")
        when = np.searchsorted(dates, date)
        code = _codes(phase, url)
        other = (of_patch[place] != _BY_ROW) & (of_patch[place] != code)
        if other.any():
            at = int(np.flatnonzero(other)[0])
            raise OutputError(
                f"{url} has a row of patch {patch[at]} at {date[at]} that is {PHASES[code[at]]}, and the patch is "
                f"{PHASES[of_patch[place[at]]]} in {SPATIAL}.parquet: {_AGAIN}"
            )
        sides[place, when] |= _BIT[code]
        there[place, when] = True
        counts += np.bincount(code, minlength=counts.size)
        with_profiles += int(((valid > 0) & (_BIT[code] > 0)).sum())
        has = file > 0
        np.minimum.at(named[:, 0], when[has], file[has])
        np.maximum.at(named[:, 1], when[has], file[has])
    twice = int(counts.sum() - there.sum())
    if twice:
        raise OutputError(f"{url} has {twice:,} rows of a patch and date that another row is of, too: {_AGAIN}")
    by_phase = dict(zip(PHASES, counts.tolist(), strict=True))
    described = {phase: int(manifest["counts"]["rows"].get(phase, 0)) for phase in PHASES}
    if by_phase != described:
        raise OutputError(f"{url} has {_listed(by_phase)} rows, and its manifest says {_listed(described)}: {_AGAIN}")
    some = named[:, 1] > 0
    named[some] = days_of(named[some], url, "matched_glorys_date")
    return RowMatrix(ids, days_of(dates, url, "date"), named, sides, by_phase, with_profiles)


def check_profiles(root: Root, manifest: Mapping[str, Any], rows: RowMatrix, looked_up: int, in_rows: int) -> None:
    """Whether the profiles are those of the rows.

    Args:
        root: the index.
        manifest: of it.
        rows: of it.
        looked_up: number of profiles in the table.
        in_rows: how many of them are in rows of a side.

    Raises:
        OutputError: there are more or fewer than the manifest says; or none is in a row, and rows have some.
    """
    url = root.url_of(f"{PROFILES}.parquet")
    expected = int(manifest["counts"]["profiles"])
    if looked_up != expected:
        raise OutputError(f"{url} has {looked_up:,} profiles, and its manifest says {expected:,}: {_AGAIN}")
    if rows.with_profiles and not in_rows:
        raise OutputError(
            f"{url} has no profile that is in a row, and {rows.with_profiles:,} rows say that they have one "
            f"(argo_valid): {_AGAIN}"
        )


def columns(root: Root, path: str, names: tuple[str, ...]) -> Iterator[list[Any]]:
    """Some columns of a table, some rows at a time: numbers as int64, texts as they are stored.

    Raises:
        OutputError: the table is missing or cannot be read, or a number is null; that of a matched file may be, as -1.
    """
    with open_table(root, path) as file:
        for batch in file.iter_batches(_BATCH, columns=list(names)):
            yield [_values(batch.column(name), name, root.url_of(path)) for name in names]


def _values(column: pa.Array, name: str, url: str) -> Any:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column
    if column.null_count and not name.startswith("matched_"):
        raise OutputError(f"{url} has no {name} in {column.null_count:,} of its rows: {_AGAIN}")
    return column.cast(pa.int64()).fill_null(-1).to_numpy(zero_copy_only=False)


def days_of(dates: NDArray[Any], url: str, name: str) -> Days:
    """Days since 1950-01-01 of YYYYMMDD.

    Raises:
        OutputError: one is no date; names the column ``name`` of ``url``.
    """
    try:
        return calendar_days(dates)
    except ValueError as error:
        raise OutputError(f"{url} has a number in {name} that is no date ({error}): {_AGAIN}") from error


def _places(root: Root) -> tuple[NDArray[np.int64], NDArray[np.int8]]:
    """The patches, ascending, and the code of their phase, or that it goes by row: [patch] each."""
    path = f"{SPATIAL}.parquet"
    with open_table(root, path) as file:
        table = file.read(["patch_id", "phase"]).to_pandas()
    table = table[table["phase"] != INVALID].sort_values("patch_id")
    ids = table["patch_id"].to_numpy(np.int64)
    if not ids.size or (np.diff(ids) == 0).any():
        raise OutputError(f"{root.url_of(path)} has no patches, or one of them twice: {_AGAIN}")
    by_row = (table["phase"] == "").to_numpy()
    codes = np.full(ids.size, _BY_ROW, np.int8)
    codes[~by_row] = _codes(pa.array(table["phase"][~by_row].to_list(), pa.string()), root.url_of(path))
    return ids, codes


def _codes(phases: pa.Array, url: str) -> NDArray[np.int8]:
    coded = phases.dictionary_encode()
    words = coded.dictionary.to_pylist()
    unknown = [word for word in words if word not in PHASES]
    if unknown or phases.null_count:
        shown = repr(unknown[0]) if unknown else "nothing"
        raise OutputError(f"{url} has {shown} as a phase: it is one of {', '.join(PHASES)}")
    codes = np.array([PHASES.index(word) for word in words], np.int8)
    return np.asarray(codes[coded.indices.to_numpy(zero_copy_only=False)], np.int8)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {phase}" for phase, count in counts.items())


@contextmanager
def open_table(root: Root, path: str) -> Iterator[pq.ParquetFile]:
    """A table of an index, of which only what is asked for is read.

    Raises:
        OutputError: it is missing or cannot be read.
    """
    with _explained(root, path), root.open(path) as stream, pq.ParquetFile(stream) as file:
        yield file


def _sha256(root: Root, path: str) -> str:
    digest = hashlib.sha256()
    with _explained(root, path), root.open(path) as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()


@contextmanager
def _explained(root: Root, path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise OutputError(f"{root.url} has no {path}: make the tables with `oceanrecon patches index`") from error
    except OutputError:
        raise
    except Exception as error:  # remote drivers raise classes of their own
        raise OutputError(f"{root.url_of(path)} cannot be read ({error}): copy the index here, or {_AGAIN}") from error
