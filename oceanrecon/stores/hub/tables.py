"""The index tables of a package: one row per profile, one row per variable, both read from the enriched store."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from oceanrecon.errors import OutputError
from oceanrecon.grid.times import parse_date
from oceanrecon.stores.columns import ColumnReader
from oceanrecon.stores.files import Root
from oceanrecon.stores.hub.facts import (
    PROFILES_TABLE,
    VARIABLES_TABLE,
    Coverage,
    StoreContents,
    VariableFacts,
    VariableKind,
)
from oceanrecon.stores.hub.links import Placed, file_sha256, staged

#: Products whose sampled fields have names such as ``glorys_thetao``.
_GRIDDED = ("glorys", "ostia", "sealevel", "sss")
_IN_SITU = ("temp", "potm", "psal")
_LEVEL = 3


@dataclass(frozen=True)
class TableColumn:
    """A column of ``profiles.parquet``; ``counts`` is the array whose valid levels it counts, else it is a copy."""

    name: str
    type: pa.DataType
    description: str
    counts: str = ""
    #: left out where the store has not got it: only some products were sampled
    optional: bool = False


PROFILE_COLUMNS: tuple[TableColumn, ...] = (
    TableColumn("profile", pa.int64(), "row of the profile in the store, from 0"),
    TableColumn("profile_source_file", pa.string(), "file that the profile was read from"),
    TableColumn("profile_idx", pa.int64(), "its row in that file, from 0"),
    TableColumn("profile_date", pa.int64(), "day of the profile in UTC, YYYYMMDD"),
    TableColumn("profile_juld", pa.float64(), "time of the profile, days since 1950-01-01 UTC"),
    TableColumn("latitude", pa.float64(), "degrees north"),
    TableColumn("longitude", pa.float64(), "degrees east"),
    TableColumn(
        "valid_observed_depth_count", pa.int64(), "levels of the source profile that have a depth of 0 m or more"
    ),
    *(
        TableColumn(
            f"{product}_temporal_status",
            pa.int8(),
            f"how the date of the {product} fields matches: 0 exact or nearest, 1 at an end of the archive, 2 no file, "
            "3 nearest file too far away",
            optional=True,
        )
        for product in _GRIDDED
    ),
    *(
        TableColumn(
            f"argo_{name}_valid_depth_count",
            pa.int16(),
            f"depth levels of the store that have {text}",
            counts=f"argo_{name}_valid_on_glorys_depth",
        )
        for name, text in zip(
            _IN_SITU, ("an in-situ temperature", "a potential temperature", "a salinity"), strict=True
        )
    ),
    TableColumn("platform_number", pa.string(), "identifier of the float, ship or mooring; empty where unknown"),
    TableColumn("cycle_number", pa.int32(), "cycle of the float; -1 where unknown"),
    TableColumn("data_mode", pa.string(), "R real time, A adjusted in real time, D delayed mode; empty where unknown"),
)


VARIABLE_COLUMNS: tuple[TableColumn, ...] = tuple(
    TableColumn(name, pa.string(), text)
    for name, text in (
        ("name", "name of the variable"),
        ("kind", "coordinate or data_variable"),
        ("dims", "names of its dimensions, separated by commas"),
        ("shape", "sizes of its dimensions, a JSON list"),
        ("dtype", "type of its values in memory"),
        ("units", "units, as in the attributes"),
        ("long_name", "name for people"),
        ("standard_name", "CF standard name"),
        ("source_product", "product that it comes from"),
        ("source_variable", "its name in that product"),
        ("description", "what it is"),
        ("zarr_array_path", "path of the array in the package"),
    )
)


@dataclass(frozen=True)
class ProfilesTable:
    """``profiles.parquet`` as it was written."""

    file: Placed
    columns: tuple[TableColumn, ...]
    coverage: Coverage


def profile_columns(variables: Collection[str]) -> tuple[TableColumn, ...]:
    """The columns of ``profiles.parquet`` for a store with these variables."""
    return tuple(column for column in PROFILE_COLUMNS if not column.optional or column.name in variables)


def write_profiles(source: Root, store: str, package: Root) -> ProfilesTable:
    """Write ``indices/profiles.parquet``, a row group per shard of the store; the same store gives the same bytes.

    Args:
        source: what the store is in.
        store: path of the enriched store below ``source``.
        package: where the table goes.

    Raises:
        OutputError: the store is damaged, or has no profiles.
    """
    reader = ColumnReader(source, store)
    columns = profile_columns(reader.names)
    missing = [name for column in columns[1:] if (name := column.counts or column.name) not in reader.names]
    if missing:
        raise OutputError(f"{source.url_of(store)} has no {missing[0]}: make it with `oceanrecon profiles enrich`")
    rows = reader.rows
    if rows == 0:
        raise OutputError(f"{source.url_of(store)} has no profiles: nothing to package")
    schema = pa.schema([pa.field(column.name, column.type, nullable=False) for column in columns])
    texts = [column.name for column in columns if column.type == pa.string()]
    step = reader.shard_rows
    span = _Span()
    with staged(package, PROFILES_TABLE) as path:
        with pq.ParquetWriter(
            path, schema, compression="zstd", compression_level=_LEVEL, use_dictionary=texts
        ) as writer:
            for start in range(0, rows, step):
                stop = min(start + step, rows)
                values = {column.name: _read(reader, column, start, stop) for column in columns}
                span.add(values["profile_date"], values["latitude"], values["longitude"])
                writer.write_table(pa.table({name: pa.array(column) for name, column in values.items()}).cast(schema))
        with open(path, "rb") as file:
            placed = Placed(PROFILES_TABLE, path.stat().st_size, file_sha256(file))
    return ProfilesTable(placed, columns, span.coverage())


def describe_store(source: Root, store: str) -> StoreContents:
    """What an enriched store holds, from its metadata alone.

    Raises:
        OutputError: it is damaged, or no enriched store.
    """
    reader = ColumnReader(source, store)
    return StoreContents(reader.rows, reader.depth, _variables(reader), reader.attrs)


def write_variables(package: Root, variables: tuple[VariableFacts, ...], store: str) -> Placed:
    """Write ``indices/variables.parquet``; ``store`` is the path of the zarr store in the package."""
    texts = {
        "dims": [",".join(variable.dims) for variable in variables],
        "shape": [json.dumps(variable.shape) for variable in variables],
        "zarr_array_path": [f"{store}/{variable.name}" for variable in variables],
    }
    columns = {
        column.name: texts.get(column.name) or [getattr(variable, column.name) for variable in variables]
        for column in VARIABLE_COLUMNS
    }
    schema = pa.schema([pa.field(name, pa.string(), nullable=False) for name in columns])
    with staged(package, VARIABLES_TABLE) as path:
        pq.write_table(pa.table(columns, schema), path, compression="zstd", compression_level=_LEVEL)
        with open(path, "rb") as file:
            return Placed(VARIABLES_TABLE, path.stat().st_size, file_sha256(file))


@dataclass
class _Span:
    """Where and when the profiles seen so far are; longitudes east and west of Greenwich apart."""

    dates: list[int] = field(default_factory=list)
    latitudes: list[float] = field(default_factory=list)
    east: list[float] = field(default_factory=list)
    west: list[float] = field(default_factory=list)

    def add(self, date: NDArray[Any], latitude: NDArray[Any], longitude: NDArray[Any]) -> None:
        turned = np.where(longitude >= 180, longitude - 360, longitude)
        for ends, values in (
            (self.dates, date),
            (self.latitudes, latitude),
            (self.east, turned[turned >= 0]),
            (self.west, turned[turned < 0]),
        ):
            if values.size:
                ends[:] = min([*ends, values.min().item()]), max([*ends, values.max().item()])

    def coverage(self) -> Coverage:
        longitudes = [*self.west, *self.east]
        west, east = min(longitudes), max(longitudes)
        # More than half a turn without a profile has Greenwich in it: the box then goes through the dateline.
        if self.west and self.east and self.east[0] - self.west[1] > 180:
            west, east = self.east[0], self.west[1]
        start, end = (parse_date(date) for date in self.dates)
        return Coverage(start, end, (west, self.latitudes[0], east, self.latitudes[1]))


def _read(reader: ColumnReader, column: TableColumn, start: int, stop: int) -> NDArray[Any]:
    if column.name == "profile":
        return np.arange(start, stop)
    if column.counts:
        valid = reader.read([column.counts], start, stop)[column.counts]
        counts: NDArray[np.int16] = valid.sum(axis=1, dtype=np.int16)
        return counts
    return reader.read([column.name], start, stop)[column.name]


def _variables(reader: ColumnReader) -> tuple[VariableFacts, ...]:
    listed = [str(reader.attributes(name).get("coordinates", "")).split() for name in reader.names]
    coordinates = {name for names in listed for name in names}
    described = [_variable(reader, name, name in coordinates) for name in reader.names]
    return tuple(sorted(described, key=lambda variable: variable.kind != "coordinate"))


def _variable(reader: ColumnReader, name: str, listed: bool) -> VariableFacts:
    stated = reader.attributes(name)
    attrs = {key: str(stated.get(key, "")) for key in ("units", "long_name", "standard_name")}
    dims = reader.dimensions(name)
    kind: VariableKind = "coordinate" if listed or dims == (name,) else "data_variable"
    product, _, source_variable = name.partition("_")
    if product not in _GRIDDED:
        product = source_variable = ""
    elif source_variable == "temporal_status":
        source_variable = ""
    return VariableFacts(
        name,
        kind,
        dims,
        reader.shape(name),
        reader.dtype(name),
        **attrs,
        source_product=str(stated.get("source_product", product)),
        source_variable=str(stated.get("source_variable", source_variable)),
        description=str(stated.get("description", stated.get("comment", ""))),
    )
