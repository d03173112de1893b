"""Tables as CSV and Parquet side by side, written piece by piece; the same rows give the same bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from oceanrecon.stores.files import Root, Writer
from oceanrecon.stores.steps import StoredFile

if TYPE_CHECKING:
    import pandas as pd

#: Rows of a row group.
_GROUP = 65536
#: What a manifest says of tables: path -> bytes and sha256.
Described = dict[str, dict[str, int | str]]


def to_arrow(frame: pd.DataFrame) -> pa.Table:
    """A table without an index; what is missing is null."""
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def encode_parquet(table: pa.Table) -> bytes:
    """The Parquet file of a table."""
    sink = pa.BufferOutputStream()
    with _parquet(sink, table.schema) as writer:
        writer.write_table(table, row_group_size=_GROUP)
    return bytes(sink.getvalue())


def _parquet(sink: Any, schema: pa.Schema) -> pq.ParquetWriter:
    # names of files repeat, numbers hardly do
    texts = [field.name for field in schema if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)]
    return pq.ParquetWriter(
        sink, schema, compression="zstd", compression_level=1, use_dictionary=texts, write_page_checksum=True
    )


@contextmanager
def _closed(writer: pq.ParquetWriter) -> Iterator[pq.ParquetWriter]:
    """Closed at the end, which writes the footer; a file that is given up gets none."""
    try:
        yield writer
        writer.close()
    finally:
        writer.is_open = False  # else it tries again when it is collected, long after its file is closed


class TableWriter:
    """Writes ``NAME.csv`` and ``NAME.parquet``; both have their names once everything is in them."""

    def __init__(self, root: Root, name: str, schema: pa.Schema) -> None:
        """Below ``root``, of one schema."""
        self._root, self._name, self._schema = root, name, schema
        self._stack = ExitStack()
        #: of the two files, once they are written
        self.files: tuple[StoredFile, ...] = ()
        self.rows = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            paths = [f"{self._name}.{form}" for form in ("csv", "parquet")]
            self._sinks = [_Sink(path, stack.enter_context(self._root.writer(path))) for path in paths]
            csv, parquet = self._sinks
            csv.write((",".join(self._schema.names) + "\n").encode())
            self._parquet = stack.enter_context(_closed(_parquet(parquet, self._schema)))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if error is None:
            self.files = tuple(sink.stored(self.rows) for sink in self._sinks)

    def add(self, table: pa.Table) -> None:
        """Some more rows."""
        self._parquet.write_table(table, row_group_size=_GROUP)
        self._sinks[0].write(encode_csv(table))
        self.rows += table.num_rows


def write_table(root: Root, name: str, table: pa.Table) -> tuple[StoredFile, ...]:
    """Write a whole table as ``NAME.csv`` and ``NAME.parquet``."""
    with TableWriter(root, name, table.schema) as writer:
        writer.add(table)
    return writer.files


def encode_csv(table: pa.Table) -> bytes:
    """The lines of a table; texts are in quotes where one of them needs it."""
    try:
        return _csv(table, "none")
    except pa.ArrowInvalid:  # a comma, a quote or a line end
        return _csv(table, "needed")


def _csv(table: pa.Table, quotes: str) -> bytes:
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(table, sink, pa_csv.WriteOptions(include_header=False, quoting_style=quotes))
    return bytes(sink.getvalue())


def described(files: tuple[StoredFile, ...]) -> Described:
    """What a manifest says of some files."""
    return {file.path: {"bytes": file.bytes, "sha256": file.sha256} for file in files}


class _Sink:
    """A file that knows its size and its checksum."""

    closed = False

    def __init__(self, path: str, file: Writer) -> None:
        self._path, self._file = path, file
        self._bytes, self._hash = 0, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._hash.update(data)
        self._bytes += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._bytes

    def flush(self) -> None: ...

    def stored(self, rows: int) -> StoredFile:
        return StoredFile(self._path, self._bytes, self._hash.hexdigest(), rows)
