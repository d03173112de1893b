"""Risk: rows of a part get into other rows of the store, other bytes are written each time, or damage is not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from oceanrecon.errors import OutputError
from oceanrecon.stores.columns import Column
from oceanrecon.stores.files import Root
from oceanrecon.stores.part import encode_part, encode_table, read_part

#: More than two row groups of 8192.
ROWS = 20_000
COLUMNS = (
    Column("profile", "int64", {}),
    Column("date", "int64", {}),
    Column("name", "string", {}),
    Column("flag", "int8", {}, fill=-1),
    Column("valid", "bool", {}, levels=True),
    Column("value", "float32", {}, levels=True),
    Column("code", "uint16", {}, levels=True, fill=65535),
)


@pytest.fixture(scope="module")
def values() -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(1)
    value = random.normal(size=(ROWS, 3)).astype(np.float32)
    value[random.random(value.shape) < 0.3] = np.nan
    value[0] = (-0.0, np.inf, 1e-45)  # every bit counts
    return {
        "date": np.arange(ROWS) - 5,
        "name": np.array([["", "6901929", "é\u0000x"][n % 3] for n in range(ROWS)], object),
        "flag": random.integers(-1, 100, ROWS).astype(np.int8),
        "valid": random.random((ROWS, 3)) < 0.5,
        "value": value,
        "code": random.integers(0, 65536, (ROWS, 3)).astype(np.uint16),
    }


@pytest.fixture(scope="module", params=["local", "memory"])
def part(request: pytest.FixtureRequest, values: dict[str, NDArray[Any]], tmp_path_factory: Any) -> Root:
    root = Root(str(tmp_path_factory.mktemp("part")) if request.param == "local" else "memory://part-test")
    root.write("months/a.parquet", encode_part(COLUMNS, values))
    return root


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, ROWS), (0, 1), (ROWS - 1, ROWS), (8191, 8193), (8192, 16384), (8191, 16385), (100, 200), (19999, 20000)],
)
@pytest.mark.parametrize("column", COLUMNS[1:], ids=lambda column: column.name)
def test_any_range_of_rows_comes_back_exactly(
    part: Root, values: dict[str, NDArray[Any]], column: Column, start: int, stop: int
) -> None:
    found = read_part(part, "months/a.parquet", column, start, stop)
    wanted = values[column.name][start:stop]
    assert found.shape == wanted.shape
    if column.dtype == "string":
        assert found.tolist() == wanted.tolist()
    else:
        assert found.dtype == column.dtype and found.tobytes() == wanted.tobytes()


def test_the_same_values_give_the_same_bytes(values: dict[str, NDArray[Any]]) -> None:
    data = encode_part(COLUMNS, values)
    strided = {name: np.repeat(value, 2, axis=0)[::2] for name, value in values.items()}  # other memory, same values
    assert encode_part(COLUMNS, strided) == data
    assert encode_part(COLUMNS, values | {"profile": np.arange(ROWS)}) == data
    table = pd.DataFrame({"path": ["a", "b"], "juld": [1.5, np.nan], "qc": np.array([1, -1], np.int8)})
    assert encode_table(table) == encode_table(table.copy().set_index(np.array([7, 3])))
    assert b"pandas" not in encode_table(table)  # whose metadata name versions


def test_no_rows_are_a_part_too(tmp_path: Path, values: dict[str, NDArray[Any]]) -> None:
    data = encode_part(COLUMNS, {name: value[:0] for name, value in values.items()})
    (tmp_path / "empty.parquet").write_bytes(data)
    assert pq.read_table(tmp_path / "empty.parquet").num_rows == 0
    empty = pd.DataFrame({"path": pd.Series([], dtype="str"), "juld": pd.Series([], dtype="f8")})
    (tmp_path / "rejected.parquet").write_bytes(encode_table(empty))
    assert pd.read_parquet(tmp_path / "rejected.parquet").columns.tolist() == ["path", "juld"]


def test_a_part_that_is_damaged_anywhere_is_never_read_as_another(
    tmp_path: Path, values: dict[str, NDArray[Any]]
) -> None:
    """Every flipped byte raises, or is in what was not asked for."""
    few = {name: value[:300] for name, value in values.items()}
    data = encode_part(COLUMNS, few)
    root = Root(str(tmp_path))
    caught = 0
    for at in range(4, len(data) - 8, len(data) // 60):
        damaged = bytearray(data)
        damaged[at] ^= 0x10
        (tmp_path / "a.parquet").write_bytes(damaged)
        try:
            found = read_part(root, "a.parquet", COLUMNS[5], 0, 300)
        except OutputError as error:
            assert "a.parquet cannot be read" in str(error) and "--discard-bad" in str(error)
            caught += 1
        else:
            assert found.tobytes() == few["value"].tobytes(), f"byte {at} changed the values"
    assert caught > 10


def test_a_part_that_is_gone_or_short_says_what_to_do(tmp_path: Path, values: dict[str, NDArray[Any]]) -> None:
    root = Root(str(tmp_path))
    with pytest.raises(OutputError, match=r"a\.parquet cannot be read.*verify --discard-bad.*--resume"):
        read_part(root, "a.parquet", COLUMNS[1], 0, 1)
    data = encode_part(COLUMNS, values)
    (tmp_path / "a.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(OutputError, match="cannot be read"):
        read_part(root, "a.parquet", COLUMNS[1], 0, 1)
