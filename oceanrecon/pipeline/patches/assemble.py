"""From the parts of all months to one table, as CSV and Parquet; one part is in memory at a time."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from oceanrecon.errors import OutputError
from oceanrecon.pipeline.patches.schema import numbered
from oceanrecon.stores.files import Root
from oceanrecon.stores.memory import peak_memory
from oceanrecon.stores.steps import Step, StoredFile, step_path, write_step
from oceanrecon.stores.tables import TableWriter

#: Of the receipts of tables.
TABLES = "tables"


def table_key(parts: Iterable[StoredFile]) -> str:
    """sha256 of everything that decides the bytes of a table."""
    return hashlib.sha256(json.dumps([part.sha256 for part in parts]).encode()).hexdigest()


def read_part(root: Root, path: str, sha256: str) -> bytes:
    """The content of a part.

    Raises:
        OutputError: it is gone, or is not what the task wrote.
    """
    data = root.read(path)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise OutputError(f"{root.url_of(path)} is not what was written: remove it, and run the command with --resume")
    return data


def assemble(
    output: str, name: str, number: str, columns: dict[str, pa.DataType], parts: tuple[StoredFile, ...]
) -> Step | OutputError:
    """The task: write ``NAME.csv`` and ``NAME.parquet`` from parts in order, then a receipt.

    Args:
        output: folder of the index.
        name: of the table.
        number: column of running numbers that is put in front.
        columns: of the parts.
        parts: Parquet files.

    Returns:
        The receipt; or the error that a part cannot be read, or nothing be written.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    root = Root(output)
    try:
        root.remove(step_path("receipts", TABLES, name))
        schema = numbered(columns, number)
        with TableWriter(root, name, schema) as writer:
            for part in parts:
                table = pq.read_table(io.BytesIO(read_part(root, part.path, part.sha256)))
                running = pa.array(np.arange(writer.rows, writer.rows + table.num_rows))
                writer.add(table.add_column(0, number, running).cast(schema))
        timing = {
            "wall": round(time.perf_counter() - wall, 3),
            "cpu": round(time.process_time() - cpu, 3),
            "peak_memory_bytes": peak_memory(),
        }
        step = Step(TABLES, name, table_key(parts), writer.files, timing=timing)
        write_step(root, step)
        return step
    except OutputError as error:
        return error
