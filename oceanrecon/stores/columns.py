"""Profile stores: zarr v3, one sharded array per variable, a row per profile; opened by plain ``xr.open_zarr``.

A shard is a fixed range of rows and the unit of writing. It is encoded by zarr itself in memory and then written whole
under its name, so that a reader never meets half of one, and a hard link to the older file keeps the older content.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.core.buffer import Buffer
from zarr.errors import ZarrUserWarning
from zarr.storage import MemoryStore

from oceanrecon.errors import OutputError
from oceanrecon.stores.byte_ranges import Files
from oceanrecon.stores.files import Root
from oceanrecon.stores.shard_reader import group_metadata, open_arrays, read_boxes, read_small

DType = Literal["float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "int64", "bool", "string"]
#: ZSTD level: more costs twice the CPU for a few per cent.
_LEVEL = 1
PROFILE, DEPTH = "profile", "glorys_depth"
_PROFILES = ([PROFILE], [PROFILE, DEPTH])


@dataclass(frozen=True)
class Column:
    """One variable: [profile], or [profile, depth] where it has ``levels``; ``attrs`` are its CF attributes."""

    name: str
    dtype: DType
    attrs: Mapping[str, Any]
    levels: bool = False
    #: value of rows that were never written; default: NaN, empty, False or 0
    fill: float | int | None = None


@dataclass(frozen=True)
class Table:
    """A small array beside the profiles, such as an index: one dimension, written whole."""

    name: str
    dimension: str
    values: NDArray[Any]
    attrs: Mapping[str, Any]


@dataclass(frozen=True)
class ColumnLayout:
    """A store: its columns, its depths (m), how many rows a chunk and a shard have, and its attributes."""

    columns: tuple[Column, ...]
    depth: tuple[float, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    chunk_rows: int = 2048
    shard_rows: int = 65536

    def shards(self, rows: int) -> int:
        """How many shards ``rows`` rows fill."""
        return -(-rows // self.shard_rows)


def shard_path(prefix: str, column: Column, number: int) -> str:
    """Path of the shard with the rows from ``number * shard_rows`` on."""
    return f"{prefix}/{column.name}/c/{number}" + ("/0" if column.levels else "")


def encode_rows(layout: ColumnLayout, column: Column, values: NDArray[Any]) -> bytes | None:
    """A shard of at most ``shard_rows`` rows; ``None`` where all are the fill value, which needs no file.

    The same values give the same bytes.
    """
    stored: dict[str, Buffer] = {}
    array = _create(MemoryStore(stored), layout, column, values.shape[0])
    array[...] = values
    data = stored.get(shard_path("", column, 0).lstrip("/"))
    return None if data is None else data.to_bytes()


def metadata(layout: ColumnLayout, rows: int, tables: Sequence[Table] = ()) -> dict[str, bytes]:
    """Every file of a store with ``rows`` rows that holds no profiles, by path; the group, written last, is the last.

    The group's metadata repeats that of all arrays, for readers over HTTP, where nothing can be listed.
    """
    stored: dict[str, Buffer] = {}
    store = MemoryStore(stored)
    attrs = {"Conventions": "CF-1.11", **layout.attrs}
    zarr.create_group(store, attributes=attrs)
    for column in layout.columns:
        _create(store, layout, column, rows)
    depth = Table(
        DEPTH,
        DEPTH,
        np.array(layout.depth, np.float32),
        {"standard_name": "depth", "long_name": "depth", "axis": "Z", "units": "m", "positive": "down"},
    )
    for table in (depth, *tables):
        array = zarr.create_array(
            store, name=table.name, shape=table.values.shape, dtype=table.values.dtype,
            chunks=(max(table.values.size, 1),), compressors=None, fill_value=0, attributes=dict(table.attrs),
            dimension_names=[table.dimension], config={"write_empty_chunks": True},
        )  # fmt: skip
        array[...] = table.values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)  # consolidated metadata are in no specification of v3 yet
        zarr.consolidate_metadata(store)
    files = {path: data.to_bytes() for path, data in sorted(stored.items()) if path != "zarr.json"}
    return files | {"zarr.json": stored["zarr.json"].to_bytes()}


def metadata_files(root: Root, prefix: str) -> list[str]:
    """Paths of all files of a store that are no shards, by its own metadata; none where there is no store."""
    if not root.exists(f"{prefix}/zarr.json"):
        return []
    arrays = json.loads(root.read(f"{prefix}/zarr.json"))["consolidated_metadata"]["metadata"]
    found = [f"{prefix}/{name}/zarr.json" for name in arrays]
    found += [f"{prefix}/{name}/c/0" for name, array in arrays.items() if array["dimension_names"] not in _PROFILES]
    return sorted([f"{prefix}/zarr.json", *found])


def _create(store: MemoryStore, layout: ColumnLayout, column: Column, rows: int) -> zarr.Array[Any]:
    levels = (len(layout.depth),) if column.levels else ()
    size = 1 if column.dtype == "string" else np.dtype(column.dtype).itemsize
    compressor: BloscCodec | ZstdCodec = ZstdCodec(level=_LEVEL)
    if size > 1:  # bytes of one significance side by side compress better
        compressor = BloscCodec(typesize=size, cname="zstd", clevel=_LEVEL, shuffle="shuffle")
    default: Any = {"f": np.nan, "s": "", "b": False}.get(column.dtype[0], 0)
    return zarr.create_array(
        store,
        name=column.name,
        shape=(rows, *levels),
        dtype=str if column.dtype == "string" else column.dtype,
        chunks=(layout.chunk_rows, *levels),
        shards=(layout.shard_rows, *levels),
        # a flipped bit is an error where it is read, not a wrong number
        compressors=[compressor, Crc32cCodec()],
        fill_value=default if column.fill is None else column.fill,
        attributes=dict(column.attrs),
        dimension_names=[PROFILE, DEPTH] if column.levels else [PROFILE],
    )


class ColumnReader:
    """A profile store, open for reading; rows that were never written are fill values."""

    def __init__(self, root: Root, prefix: str) -> None:
        """Open the store at ``prefix`` below ``root``.

        Raises:
            OutputError: there is none, or it is not finished.
        """
        self.url = root.url_of(prefix)
        self._root, self._prefix = root, prefix
        try:
            remedy = f"run `oceanrecon verify` on {root.url}"
            self._group = group_metadata(root, prefix, remedy)
            self.attrs: dict[str, Any] = dict(self._group["attributes"])
            self._metadata: dict[str, dict[str, Any]] = dict(self._group["consolidated_metadata"]["metadata"])
            self._arrays = open_arrays(Files(root, remedy), prefix, sparse=True, group=self._group)
        except (OutputError, ValueError, KeyError, TypeError) as error:
            if isinstance(error.__cause__, FileNotFoundError):
                why = ", or not a finished one: make it with `oceanrecon profiles enrich`"
            else:
                why = f" ({type(error).__name__}: {error})"
            raise OutputError(f"{self.url} is no profile store{why}") from error
        if PROFILE not in self._arrays or DEPTH not in self._metadata:
            raise OutputError(f"{self.url} is no profile store: it has no {PROFILE} or no {DEPTH}")
        self.rows = self._arrays[PROFILE].shape[0]
        # str of a float32 is its shortest decimal: 0.494025, not 0.49402499198913574
        self.depth = tuple(float(str(value)) for value in self.table(DEPTH))

    @property
    def names(self) -> list[str]:
        """The names of all arrays."""
        return sorted(self._metadata)

    def attributes(self, name: str) -> dict[str, Any]:
        """Of an array."""
        return dict(self._metadata[name].get("attributes", {}))

    def shape(self, name: str) -> tuple[int, ...]:
        """Of an array."""
        return tuple(self._metadata[name]["shape"])

    def dimensions(self, name: str) -> tuple[str, ...]:
        """Names of the dimensions of an array."""
        return tuple(self._metadata[name].get("dimension_names") or ())

    def dtype(self, name: str) -> str:
        """Of an array: ``string``, or what numpy calls it."""
        return str(self._metadata[name]["data_type"])

    @property
    def shard_rows(self) -> int:
        """Rows of a shard."""
        return int(self._arrays[PROFILE].shard[0])

    def table(self, name: str) -> NDArray[Any]:
        """A whole small array."""
        return read_small(self._root, self._prefix, name, self._group)

    def read(self, names: Iterable[str], start: int = 0, stop: int | None = None) -> dict[str, NDArray[Any]]:
        """Rows ``start`` to ``stop`` (excluded) of some columns: [profile] or [profile, depth] each; read together.

        Raises:
            OutputError: a column is not there, or cannot be decoded.
        """
        wanted = list(names)
        for name in wanted:
            if name not in self._arrays:
                raise OutputError(f"{self.url} has no {name}: it has {', '.join(self.names)}")
        rows = (start, min(self.rows if stop is None else stop, self.rows))
        boxes = [(self._arrays[name], (rows, *((0, size) for size in self._arrays[name].shape[1:]))) for name in wanted]
        return dict(zip(wanted, read_boxes(boxes), strict=True))
