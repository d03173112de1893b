"""Risk: a profile store that only we can read, whose bytes change from run to run, or that is half of two stores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import xarray as xr
import zarr
from numpy.typing import NDArray

from oceanrecon.errors import OutputError
from oceanrecon.stores.columns import (
    Column,
    ColumnLayout,
    ColumnReader,
    Table,
    encode_rows,
    metadata,
    metadata_files,
    shard_path,
)
from oceanrecon.stores.files import Root

ROWS = 21  # shards of eight rows: two whole ones and a part
LAYOUT = ColumnLayout(
    columns=(
        Column("profile", "int64", {"long_name": "row"}),
        Column("name", "string", {}),
        Column("flag", "int8", {"flag_values": [-1, 1]}, fill=-1),
        Column("juld", "float64", {"standard_name": "time"}),
        Column("valid", "bool", {}, levels=True),
        Column("value", "float32", {"units": "degC"}, levels=True),
        Column("code", "uint8", {"scale_factor": 0.5, "add_offset": 270.0, "_FillValue": 255}, levels=True, fill=255),
    ),
    depth=(0.494025, 1.541375, 5727.917),
    attrs={"title": "é", "counts": {"a": 1}},
    chunk_rows=4,
    shard_rows=8,
)
TABLES = (Table("start", "target", np.array([0, 5], np.int64), {"long_name": "first row"}),)


def values() -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(1)
    value = random.normal(size=(ROWS, 3)).astype(np.float32)
    value[random.random(value.shape) < 0.3] = np.nan
    flag = random.integers(1, 9, ROWS).astype(np.int8)
    flag[8:16] = -1  # a whole shard of fill
    return {
        "profile": np.arange(ROWS),
        "name": np.array([["", "6901929", "é"][n % 3] for n in range(ROWS)], object),
        "flag": flag,
        "juld": np.linspace(-0.5, 1e5, ROWS),
        "valid": np.isfinite(value),
        "value": value,
        "code": random.integers(0, 256, (ROWS, 3)).astype(np.uint8),
    }


def write(root: Root, layout: ColumnLayout = LAYOUT, rows: int = ROWS, tables: tuple[Table, ...] = TABLES) -> None:
    whole = values()
    for column in layout.columns:
        for number in range(layout.shards(rows)):
            part = whole[column.name][number * 8 : min(number * 8 + 8, rows)]
            data = encode_rows(layout, column, part)
            if data is not None:
                root.write(shard_path("s.zarr", column, number), data)
    for path, data in metadata(layout, rows, tables).items():
        root.write(f"s.zarr/{path}", data)


@pytest.fixture
def store(tmp_path: Path) -> Root:
    root = Root(str(tmp_path))
    write(root)
    return root


def test_plain_xarray_and_plain_zarr_read_what_was_written(store: Root) -> None:
    wanted = values()
    opened = xr.open_zarr(store.url_of("s.zarr"), chunks=None)
    assert dict(opened.sizes) == {"profile": ROWS, "glorys_depth": 3, "target": 2}
    assert opened.attrs == {"Conventions": "CF-1.11", "title": "é", "counts": {"a": 1}}
    for column in LAYOUT.columns:
        if column.name == "code":  # decoded by CF attributes
            codes = wanted["code"].astype(np.float64)
            np.testing.assert_allclose(opened["code"], np.where(codes == 255, np.nan, 270 + codes / 2))
        else:
            np.testing.assert_array_equal(opened[column.name], wanted[column.name])
        assert opened[column.name].dims == ("profile", "glorys_depth")[: 1 + column.levels]
    np.testing.assert_array_equal(opened["glorys_depth"], np.array(LAYOUT.depth, np.float32))
    assert opened["start"].values.tolist() == [0, 5]
    arrays: dict[str, Any] = dict(zarr.open_group(store.url_of("s.zarr"), mode="r").arrays())
    assert arrays["value"].chunks == (4, 3) and arrays["value"].shards == (8, 3)
    assert arrays["flag"][:].tolist() == wanted["flag"].tolist()
    assert not store.exists("s.zarr/flag/c/1")  # all missing: no file


def test_the_reader_gives_any_rows_and_the_depths_as_they_are_written(store: Root) -> None:
    reader, wanted = ColumnReader(store, "s.zarr"), values()
    assert reader.rows == ROWS and reader.depth == (0.494025, 1.541375, 5727.917)
    for start, stop in ((0, None), (7, 9), (20, 21), (5, 5)):
        found = reader.read(["value", "name", "flag"], start, stop)
        for name, array in found.items():
            np.testing.assert_array_equal(array, wanted[name][start:stop])
    assert reader.table("start").tolist() == [0, 5] and reader.attributes("value") == {"units": "degC"}
    with pytest.raises(OutputError, match="has no salt: it has code"):
        reader.read(["salt"])


def test_a_store_needs_no_listing(store: Root) -> None:
    """Over HTTP nothing can be listed: the metadata of all arrays are in one file."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    for path in store.list("s.zarr"):
        if not path.endswith("/zarr.json") or path == "s.zarr/zarr.json":
            memory.pipe_file(f"/{path}", store.read(path))
    opened = xr.open_zarr("memory://s.zarr", consolidated=True, chunks=None)
    np.testing.assert_array_equal(opened["value"], values()["value"])
    memory.store.clear()


def test_the_same_rows_give_the_same_bytes_whatever_is_before_and_after_them(store: Root) -> None:
    column = LAYOUT.columns[5]
    first = encode_rows(LAYOUT, column, values()["value"][:8])
    assert first == encode_rows(LAYOUT, column, values()["value"][:8].copy())
    assert first == store.read("s.zarr/value/c/0/0")
    # a shard that is not full is as it would be in a longer store
    assert encode_rows(LAYOUT, column, values()["value"][16:]) == store.read("s.zarr/value/c/2/0")
    assert metadata(LAYOUT, ROWS, TABLES) == metadata(LAYOUT, ROWS, TABLES)


def test_what_makes_it_a_store_comes_last(store: Root) -> None:
    paths = list(metadata(LAYOUT, ROWS, TABLES))
    assert paths[-1] == "zarr.json" and len(paths) == 1 + 7 + 2 * 2
    assert metadata_files(store, "s.zarr") == sorted(f"s.zarr/{path}" for path in paths)
    assert metadata_files(store, "nothing") == []
    store.remove("s.zarr/zarr.json")
    assert metadata_files(store, "s.zarr") == []
    with pytest.raises(OutputError, match="not a finished one"):
        ColumnReader(store, "s.zarr")


def test_rows_that_were_never_written_are_missing_and_not_zero(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    for path, data in metadata(LAYOUT, 3).items():
        root.write(f"s.zarr/{path}", data)
    opened = xr.open_zarr(tmp_path / "s.zarr", chunks=None)
    assert np.isnan(opened["value"]).all() and np.isnan(opened["code"]).all() and np.isnan(opened["juld"]).all()
    assert (opened["flag"] == -1).all() and not opened["valid"].any() and (opened["name"] == "").all()


def test_a_longer_store_is_read_by_who_knows_the_shorter(tmp_path: Path) -> None:
    """The last shard is written again with more rows before the metadata say so."""
    root = Root(str(tmp_path))
    write(root, rows=19)
    opened = xr.open_zarr(tmp_path / "s.zarr", chunks=None)
    for column in LAYOUT.columns:
        data = encode_rows(LAYOUT, column, values()[column.name][16:21])
        assert data is not None
        root.write(shard_path("s.zarr", column, 2), data)
    for column in LAYOUT.columns[:-1]:
        np.testing.assert_array_equal(opened[column.name].values, values()[column.name][:19])


def test_no_rows_are_a_store_too(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    write(root, rows=0)
    assert ColumnReader(root, "s.zarr").rows == 0
    assert xr.open_zarr(tmp_path / "s.zarr", chunks=None)["value"].shape == (0, 3)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda root: root.write("s.zarr/zarr.json", b"{"), "is no profile store"),
        (lambda root: root.write("s.zarr/zarr.json", b'{"zarr_format": 3, "node_type": "array"}'), "is no profile"),
        (lambda root: root.write("s.zarr/value/c/1/0", root.read("s.zarr/value/c/1/0")[:-9]), "value/c/1/0 is damaged"),
    ],
    ids=["torn metadata", "an array", "short shard"],
)
def test_damage_is_one_message(store: Root, harm: Any, said: str) -> None:
    harm(store)
    with pytest.raises(OutputError, match=said):
        ColumnReader(store, "s.zarr").read(["value"])


def test_an_export_is_no_profile_store(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "dense.zarr").create_array("thetao", shape=(1,), dtype="u1")
    with pytest.raises(OutputError, match=r"dense\.zarr is no profile store"):
        ColumnReader(Root(str(tmp_path)), "dense.zarr")


def test_metadata_are_plain_json(store: Root) -> None:
    said = json.loads(store.read("s.zarr/value/zarr.json"))
    assert said["shape"] == [ROWS, 3] and said["dimension_names"] == ["profile", "glorys_depth"]
    assert said["fill_value"] == "NaN" and said["attributes"] == {"units": "degC"}
