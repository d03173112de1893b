"""Parts: columns of some profiles as one Parquet file, between the task that makes them and the one that assembles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from oceanrecon.errors import OutputError
from oceanrecon.stores.columns import Column
from oceanrecon.stores.files import Root

#: Rows that are read at once.
_GROUP = 8192


def encode_part(columns: Sequence[Column], values: Mapping[str, NDArray[Any]]) -> bytes:
    """The file of some rows: every column but ``profile``, which is their place in the store.

    The same values give the same bytes.
    """
    arrays, names = [], []
    for column in columns:
        if column.name == "profile":
            continue
        names.append(column.name)
        data = values[column.name]
        if column.dtype == "string":
            arrays.append(pa.array(data.tolist(), pa.string()))
            continue
        flat = pa.array(np.ascontiguousarray(data, dtype=column.dtype).reshape(-1))
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, data.shape[1]) if column.levels else flat)
    return _encode(pa.table(arrays, names=names))


def encode_table(table: pd.DataFrame) -> bytes:
    """A plain table; the same rows give the same bytes."""
    return _encode(pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None))


def _encode(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    # numbers that were measured hardly repeat: a dictionary would cost time and space
    pq.write_table(
        table, sink, compression="zstd", compression_level=1, row_group_size=_GROUP, use_dictionary=False,
        write_page_checksum=True,
    )  # fmt: skip
    return bytes(sink.getvalue())


def read_part(root: Root, path: str, column: Column, start: int, stop: int) -> NDArray[Any]:
    """Rows ``start`` to ``stop`` (excluded) of one column: [profile] or [profile, depth].

    Raises:
        OutputError: the file is gone or damaged.
    """
    try:
        # only the parts of the file that hold the column are fetched, also from far away
        with (
            root.open(path) as stream,
            pq.ParquetFile(stream, page_checksum_verification=True) as file,
        ):
            groups: list[int] = []
            first = offset = 0
            for number in range(file.num_row_groups):
                rows = file.metadata.row_group(number).num_rows
                if first < stop and first + rows > start:
                    if not groups:
                        offset = start - first
                    groups.append(number)
                first += rows
            table = file.read_row_groups(groups, columns=[column.name], use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise OutputError(
            f"{root.url_of(path)} cannot be read ({error}): run `oceanrecon verify --discard-bad` on {root.url}, then "
            "the same command with --resume"
        ) from error
    array = table.column(0).slice(offset, stop - start).combine_chunks()
    if column.dtype == "string":
        return np.array(array.to_pylist(), dtype=object)
    flat = array.flatten().to_numpy(zero_copy_only=False) if column.levels else array.to_numpy(zero_copy_only=False)
    return np.asarray(flat).reshape(stop - start, *((-1,) if column.levels else ()))
