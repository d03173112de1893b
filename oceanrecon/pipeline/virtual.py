"""Writes the references of an archive: once, on all cores; later only what is new or changed is read."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numcodecs
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from oceanrecon.errors import ArchiveError, OceanreconError, OutputError
from oceanrecon.grid import Axis
from oceanrecon.pipeline.local import OnDone, map_in_processes
from oceanrecon.sources.inventory import INVENTORY, ProductFiles, read_parquet, scan, write_parquet
from oceanrecon.sources.references import (
    FILES,
    FORMAT,
    METADATA,
    RECORD,
    Chunks,
    Form,
    ListedFile,
    ReferenceStore,
    VariableForm,
    forget,
)
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.sources.registry import product as find_product
from oceanrecon.sources.virtualize import References, UsableFile, check_virtualizarr, find_references
from oceanrecon.stores.files import Root

#: Files per task: half a second of work.
_BATCH = 64
#: What a group consists of: what of it is no longer needed is removed, and nothing else.
_OURS = re.compile(r"[a-z0-9]+(-\d+)?/(\.zmetadata|\w+/refs\.\d+\.parq)")
_EPOCH = dt.date(1950, 1, 1)
_ROLES = {
    "latitude": {"standard_name": "latitude", "units": "degrees_north", "axis": "Y"},
    "longitude": {"standard_name": "longitude", "units": "degrees_east", "axis": "X"},
    "depth": {"standard_name": "depth", "units": "m", "positive": "down", "axis": "Z"},
    "time": {"standard_name": "time", "units": f"days since {_EPOCH}", "calendar": "standard", "axis": "T"},
}


@dataclass(frozen=True)
class VirtualGroup:
    """Files that one store of references holds as one dataset."""

    name: str
    product: str
    files: int
    first: dt.date
    last: dt.date
    references: int


@dataclass(frozen=True)
class VirtualResult:
    """What a run left behind."""

    output: str
    inventory: pd.DataFrame
    groups: tuple[VirtualGroup, ...]
    #: files that were read now, and those whose references were there
    read: int
    kept: int
    #: files that are opened instead, and why
    opened: tuple[tuple[str, str], ...]
    #: files that could not be read now, and why
    failed: tuple[tuple[str, str], ...]
    bytes_written: int


@dataclass(frozen=True)
class _Member:
    """A file of a group, its dates and its chunks."""

    file: ListedFile
    dates: tuple[dt.date, ...]
    chunks: Mapping[str, Chunks]


def virtualize(
    archive: str,
    output: str,
    *,
    products: Mapping[str, ProductFiles | None] | None = None,
    inventory: str | None = None,
    workers: int | None = None,
    on_done: OnDone | None = None,
) -> VirtualResult:
    """Write the references of ``archive`` into the folder ``output``, or bring up to date what is there.

    Args:
        archive: folder or fsspec URL.
        output: folder or fsspec URL of the references, for nothing else.
        products: which files are which product; default: as their names say.
        inventory: of the archive, where there is one: its files are not opened to scan them again.
        workers: processes; default: one per core.
        on_done: called with how many batches of files are done, and how many there are; once for the scan, and once
            for the references.

    Raises:
        ArchiveError: there is no such archive, or none of its files can be used.
        OutputError: ``output`` holds something else, or cannot be written.
        MissingExtraError: VirtualiZarr is not installed.
    """
    check_virtualizarr()
    root = Root(output)
    known = _known(root)
    previous = _previous(root, inventory, Root(archive).url)
    table = scan(archive, products, previous=previous, map_function=map_in_processes(workers, on_done))
    usable = _usable(table)
    if not usable:
        shown = "; ".join(f"{row.path}: {row.problem}" for row in table.head(3).itertuples())
        raise ArchiveError(f"{archive} has no file that can be used" + (f", such as {shown}" if shown else ""))
    kept = {file: one for file in usable if (one := _kept(known, file, table.attrs["root"])) is not None}
    fresh = [file for file in usable if file not in kept]
    batches = [fresh[start : start + _BATCH] for start in range(0, len(fresh), _BATCH)]
    run = map_in_processes(workers, on_done)
    found = [one for batch in run(partial(find_references, table.attrs["root"]), batches) for one in batch]
    written = write_references(root, table, usable, kept | dict(zip(fresh, found, strict=True)))
    forget()  # what this process knew of them
    left_out = [one for one in found if one.form is None]
    return VirtualResult(
        output=root.url,
        inventory=table,
        groups=written.groups,
        read=len(fresh),
        kept=len(kept),
        opened=tuple((one.listed.path, one.listed.reason) for one in left_out if not one.failed),
        failed=tuple((one.listed.path, one.listed.reason) for one in left_out if one.failed),
        bytes_written=written.bytes,
    )


def _known(root: Root) -> ReferenceStore | None:
    """The references that are there and of this version."""
    forget()
    there = root.list()
    if there and not {FILES, INVENTORY} & {*there}:
        raise OutputError(f"{root.url} holds something else than references: choose another folder")
    try:
        return ReferenceStore.load(root.url)
    except ArchiveError:  # none, of another version, or damaged: all of it is made
        return None


def _previous(root: Root, inventory: str | None, archive: str) -> pd.DataFrame | None:
    """An earlier inventory of the archive: that of the references, or the one that is given."""
    for url in (root.url_of(INVENTORY), inventory):
        if url is not None:
            with suppress(OceanreconError):  # it only saves time
                found = read_parquet(url)
                if found.attrs["root"] == archive:
                    return found
    return None


def _usable(table: pd.DataFrame) -> dict[UsableFile, tuple[dt.date, ...]]:
    """The files that blocks are made of, and the dates of their times."""
    columns = ("product", "path", "bytes", "mtime_ns", "grid_hash", "depth_hash", "time_index", "date", "problem")
    files: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
    for row in zip(*(table[name].tolist() for name in columns), strict=True):
        files.setdefault(row[:2], []).append(row[2:])
    found: dict[UsableFile, tuple[dt.date, ...]] = {}
    for (product, path), rows in files.items():
        good = [row for row in rows if not row[-1]]
        if good:
            size, mtime_ns, grid, depth, *_ = good[0]
            whole = len(good) == len(rows)
            file = UsableFile(product, path, size, mtime_ns, f"{grid} {depth}", len(rows) if whole else 0)
            found[file] = tuple(row[5].date() for row in sorted(rows, key=lambda row: row[4])) if whole else ()
    return found


def _kept(known: ReferenceStore | None, file: UsableFile, root: str) -> References | None:
    """The references of a file that is as it was."""
    if known is None or known.root != root:
        return None
    listed = known.files.get((file.product, file.path))
    if listed is None or not listed.group:
        return None
    form = known.groups[listed.group]
    if (listed.bytes, listed.mtime_ns, form.grid, form.times) != (file.bytes, file.mtime_ns, file.grid, file.times):
        return None
    try:
        return References(listed, form, {name: known.chunks(listed, name) for name in form.variables})
    except OceanreconError:  # damaged, or those of other files: made again
        return None


@dataclass(frozen=True)
class _Written:
    groups: tuple[VirtualGroup, ...]
    bytes: int


def write_references(
    root: Root,
    table: pd.DataFrame,
    usable: Mapping[UsableFile, tuple[dt.date, ...]],
    found: Mapping[UsableFile, References],
) -> _Written:
    """All files of the store; the tables last, so that what a reader finds in them is there."""
    forms: dict[str, Form] = {}
    members: dict[str, list[_Member]] = {}
    for file, dates in usable.items():
        one = found[file]
        if one.form is not None:
            text = one.form.to_json()
            forms[text] = one.form
            members.setdefault(text, []).append(_Member(one.listed, dates, one.chunks))
    written: dict[str, int] = {}
    listed = [one.listed for one in found.values() if one.form is None]
    named: dict[str, Form] = {}
    groups: list[VirtualGroup] = []
    for product in PRODUCTS:
        chosen = [text for text, form in forms.items() if form.product == product]
        for text in chosen:
            members[text].sort(key=lambda member: (member.dates, member.file.path))
        for number, text in enumerate(sorted(chosen, key=lambda text: (members[text][0].dates, text)), start=1):
            name = product if number == 1 else f"{product}-{number}"
            form, files = forms[text], members[text]
            for path, content in _group(form, files, table):
                root.write(f"{name}/{path}", content)
                written[f"{name}/{path}"] = len(content)
            listed += [replace(one.file, group=name, place=place) for place, one in enumerate(files)]
            named[name] = form
            count = len(files) * sum(variable.count for variable in form.variables.values())
            groups.append(VirtualGroup(name, product, len(files), files[0].dates[0], files[-1].dates[-1], count))
    content = _files(listed, named, table.attrs["root"])
    root.write(FILES, content)
    inventory = table.copy(deep=False)
    inventory.attrs = table.attrs | {"references": root.url}
    write_parquet(inventory, root.url_of(INVENTORY))
    for path in root.list():
        if path not in written and _OURS.fullmatch(path):
            root.remove(path)
    root.clear_staging()
    return _Written(tuple(groups), sum(written.values()) + len(content) + (root.size(INVENTORY) or 0))


def _files(listed: Sequence[ListedFile], groups: Mapping[str, Form], root: str) -> bytes:
    rows = sorted(listed, key=lambda file: (file.product, file.group, file.place, file.path))
    table = pa.Table.from_pylist([asdict(row) for row in rows])
    stated = {"format": FORMAT, "root": root, "groups": {name: form.to_json() for name, form in groups.items()}}
    return _parquet(table.replace_schema_metadata({METADATA: json.dumps(stated).encode()}))


def _group(form: Form, files: Sequence[_Member], table: pd.DataFrame) -> Iterator[tuple[str, bytes]]:
    """The files of one group in kerchunk's Parquet form, by path."""
    product = find_product(form.product)
    metadata: dict[str, Any] = {
        ".zgroup": {"zarr_format": 2},
        ".zattrs": {"Conventions": "CF-1.11", "title": product.title, "references": "relative to the archive's root"},
    }
    axes: dict[str, NDArray[Any]] = {}
    row = table[(table["product"] == form.product) & (table["path"] == files[0].file.path)].iloc[0]
    values: dict[str, NDArray[Any]] = {
        "time": np.array([(date - _EPOCH).days for file in files for date in file.dates], np.int32),
        "latitude": np.asarray(Axis(**json.loads(row["latitude"])).values),
        "longitude": np.asarray(Axis(**json.loads(row["longitude"])).values),
        "depth": np.array(json.loads(row["depth"]), np.float32),
    }
    for name, variable in form.variables.items():
        header = variable.header
        timed = "time" in header.dimensions
        dimensions = [*([] if timed else ["time"]), *header.dimensions]
        shape, chunks = list(header.shape), list(variable.chunks)
        if not timed:
            shape, chunks = [1, *shape], [1, *chunks]
        shape[0] = form.times * len(files)
        metadata[f"{name}/.zarray"] = _array(shape, chunks, header.dtype, header.fill_value, _filters(variable))
        metadata[f"{name}/.zattrs"] = _attributes(product.name, name, variable) | {"_ARRAY_DIMENSIONS": dimensions}
        for role, size in zip(dimensions, shape, strict=True):
            if values[role].size == size:
                axes[role] = values[role]
        paths = [file.file.path for file in files]
        for number, content in enumerate(_records(variable, paths, [file.chunks[name] for file in files])):
            yield f"{name}/refs.{number}.parq", content
    nothing = np.zeros(1, np.int64)
    for role, axis in axes.items():
        metadata[f"{role}/.zarray"] = _array(list(axis.shape), list(axis.shape), axis.dtype.str, None, None)
        metadata[f"{role}/.zattrs"] = {**_ROLES[role], "_ARRAY_DIMENSIONS": [role]}
        yield f"{role}/refs.0.parq", _references([""], nothing, nothing, nothing, axis.tobytes())
    yield ".zmetadata", json.dumps({"metadata": metadata, "record_size": RECORD}).encode()


def _array(shape: list[int], chunks: list[int], dtype: str, fill: float | None, filters: Any) -> dict[str, Any]:
    return {
        "zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": dtype, "order": "C", "dimension_separator": ".",
        "compressor": None, "filters": filters, "fill_value": fill,
    }  # fmt: skip


def _filters(variable: VariableForm) -> list[dict[str, Any]] | None:
    known = {
        1: {"id": "zlib", "level": 1},
        2: {"id": "shuffle", "elementsize": np.dtype(variable.header.dtype).itemsize},
    }
    return [known[number] for number in variable.header.filters] or None


def _attributes(product: str, name: str, variable: VariableForm) -> dict[str, Any]:
    """What decides the values, and what they are; names that files spell differently are those of the product."""
    definition = find_product(product)
    named = next(item for item in (*definition.variables, *definition.sampled) if item.name == name)
    header = variable.header
    found = {
        "standard_name": named.standard_name, "long_name": named.long_name, "units": header.units,
        "scale_factor": header.scale_factor, "add_offset": header.add_offset, "missing_value": header.missing_value,
    }  # fmt: skip
    return {key: value for key, value in found.items() if value not in (None, "")}


def _records(variable: VariableForm, paths: Sequence[str], chunks: Iterable[Chunks]) -> Iterator[bytes]:
    """The references of one variable, file after file, in Parquet files of ``RECORD`` each."""
    offsets, sizes = (np.concatenate(column) for column in zip(*chunks, strict=True))
    never = _never_written(variable)
    for start in range(0, offsets.size, RECORD):
        part = slice(start, min(start + RECORD, offsets.size))
        owners = np.arange(part.start, part.stop) // variable.count
        first = int(owners[0])
        yield _references(paths[first : int(owners[-1]) + 1], owners - first, offsets[part], sizes[part], never)


def _never_written(variable: VariableForm) -> bytes:
    """A chunk that is not in a file, as it would be: readers of references take what is missing for anything."""
    data: Any = np.full(variable.chunks, variable.fill_number, variable.header.dtype)
    for config in _filters(variable) or ():
        data = numcodecs.get_codec(config).encode(data)
    return bytes(memoryview(data).cast("B"))


def _references(
    paths: Sequence[str], owners: NDArray[np.int64], offsets: NDArray[np.int64], sizes: NDArray[np.int64], never: bytes
) -> bytes:
    """One Parquet file: the path (by its place), offset and size of each chunk; or ``never`` where there is none."""
    there = sizes > 0
    codes = pa.array(owners.astype(np.int32), mask=~there)
    columns: dict[str, Any] = {
        "path": pa.DictionaryArray.from_arrays(codes, pa.array(paths, pa.string())), "offset": offsets, "size": sizes,
    }  # fmt: skip
    if not there.all():
        columns["raw"] = pa.array([None if one else never for one in there.tolist()], pa.binary())
    return _parquet(pa.table(columns))


def _parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_statistics=False)
    content: bytes = sink.getvalue().to_pybytes()
    return content
