"""Risk: a loader that reads other numbers than zarr does, or fills what is missing or damaged in silence."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import psutil
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from oceanrecon.errors import OutputError
from oceanrecon.stores import shard_reader
from oceanrecon.stores.byte_ranges import Files, Range
from oceanrecon.stores.columns import Column, ColumnLayout, encode_rows, metadata, shard_path
from oceanrecon.stores.files import Root
from oceanrecon.stores.shard import ShardFormat
from oceanrecon.stores.shard_reader import Box, ShardArray, open_arrays, read_boxes, read_small

LEVELS, HEIGHT, WIDTH, SIDE = 3, 40, 70, 16
_COLUMNS = ColumnLayout(
    (
        Column("text", "string", {}),
        Column("number", "int32", {}),
        Column("flag", "int8", {}, levels=True, fill=-1),
        Column("value", "float64", {}, levels=True),
        Column("yes", "bool", {}),
    ),
    depth=(0.5, 10.0),
    chunk_rows=4,
    shard_rows=8,
)
_ROWS = 21


def dense(folder: Path, dtype: str, times: int = 3) -> Root:
    """A group with one sharded array of codes; the second time has chunks that are missing throughout."""
    form = ShardFormat((LEVELS,), HEIGHT, WIDTH, SIDE, np.dtype(dtype), int(np.iinfo(dtype).max), 1)
    root = Root(str(folder / dtype))
    random = np.random.default_rng(3)
    for time in range(times):
        codes = random.integers(0, 200, (LEVELS, HEIGHT, WIDTH)).astype(dtype)
        codes[:, 16:32, 16:48] = form.fill if time == 1 else codes[:, 16:32, 16:48]
        root.write(f"d.zarr/a/c/{time}/0/0/0", form.encode(codes))
    array = {
        "zarr_format": 3, "node_type": "array", "shape": [times, LEVELS, HEIGHT, WIDTH], "attributes": {},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}}, "storage_transformers": [],
        **form.metadata(),
    }  # fmt: skip
    root.write("d.zarr/a/zarr.json", json.dumps(array).encode())
    inline = {"kind": "inline", "must_understand": False, "metadata": {"a": array}}
    group = {"zarr_format": 3, "node_type": "group", "attributes": {}, "consolidated_metadata": inline}
    root.write("d.zarr/zarr.json", json.dumps(group).encode())
    return root


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[ShardArray, Any]]:
    folder = tmp_path_factory.mktemp("shards")
    found = {}
    for dtype in ("uint8", "uint16"):
        root = dense(folder, dtype)
        found[dtype] = open_arrays(Files(root), "d.zarr")["a"], zarr.open_array(root.url_of("d.zarr/a"), mode="r")
    return found


_span = st.tuples(st.integers(0, 39), st.integers(1, 40)).map(lambda pair: (pair[0], min(pair[0] + pair[1], 40)))


@settings(max_examples=40)
@given(time=st.integers(0, 2), rows=_span, columns=_span, dtype=st.sampled_from(["uint8", "uint16"]))
def test_any_box_is_what_zarr_reads(
    stores: dict[str, tuple[ShardArray, Any]], time: int, rows: tuple[int, int], columns: tuple[int, int], dtype: str
) -> None:
    ours, theirs = stores[dtype]
    box: Box = ((time, time + 1), (0, LEVELS), rows, (columns[0] + 20, columns[1] + 20))
    read = ours.read(box)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, theirs[tuple(slice(*part) for part in box)])


def test_many_boxes_at_once_share_what_they_read(stores: dict[str, tuple[ShardArray, Any]]) -> None:
    ours, theirs = stores["uint8"]
    boxes: list[Box] = [((t, t + 1), (0, 3), (r, r + 20), (c, c + 20)) for t in (0, 2) for r in (0, 3) for c in (0, 9)]
    for box, read in zip(boxes, read_boxes([(ours, box) for box in boxes]), strict=True):
        np.testing.assert_array_equal(read, theirs[tuple(slice(*part) for part in box)])
    files = Files(ours._files.root)
    again = open_arrays(files, "d.zarr")["a"]
    again.read(boxes[0])
    once = files.bytes_read
    again.read(boxes[0])  # the index of the shard is known now
    index = 3 * 5 * 16 + 4
    assert files.bytes_read == 2 * once - index


def test_every_kind_of_column_is_what_zarr_reads_and_a_shard_that_was_never_written_is_fill(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    random = np.random.default_rng(0)
    values: dict[str, Any] = {
        "text": np.array([["", "6901929", "é"][n % 3] for n in range(_ROWS)], object),
        "number": random.integers(-5, 5, _ROWS, np.int32),
        "flag": random.integers(1, 5, (_ROWS, 2)).astype(np.int8),
        "value": np.where(random.random((_ROWS, 2)) < 0.4, np.nan, 1.5),
        "yes": random.random(_ROWS) < 0.5,
    }
    values["flag"][8:16] = -1  # a whole shard of fill has no file
    written = set()
    for column in _COLUMNS.columns:
        for number in range(3):
            data = encode_rows(_COLUMNS, column, values[column.name][number * 8 : number * 8 + 8])
            if data is not None:
                written.add(shard_path("s.zarr", column, number))
                root.write(shard_path("s.zarr", column, number), data)
    for path, data in metadata(_COLUMNS, _ROWS, ()).items():
        root.write(f"s.zarr/{path}", data)
    arrays = open_arrays(Files(root), "s.zarr", written)
    for name, wanted in values.items():
        for start, stop in ((0, 21), (7, 9), (20, 21), (9, 15)):
            levels: Box = ((0, 2),) if wanted.ndim == 2 else ()
            np.testing.assert_array_equal(arrays[name].read(((start, stop), *levels)), wanted[start:stop])
    np.testing.assert_array_equal(read_small(root, "s.zarr", "glorys_depth"), np.array([0.5, 10.0], np.float32))
    # one that was written and is gone is no fill
    root.remove("s.zarr/number/c/1")
    with pytest.raises(OutputError, match=r"number/c/1 is not there; .*export --resume"):
        open_arrays(Files(root), "s.zarr", written)["number"].read(((0, 21),))


def test_a_shard_that_is_gone_cut_short_or_damaged_is_an_error_that_names_it(tmp_path: Path) -> None:
    root = dense(tmp_path, "uint8", times=4)
    box: Box = ((0, 1), (0, 3), (0, 20), (0, 20))

    def read(time: int) -> None:
        open_arrays(Files(root), "d.zarr")["a"].read(((time, time + 1), *box[1:]))

    path = Path(root.url_of("d.zarr/a/c/1/0/0/0"))
    path.unlink()
    with pytest.raises(OutputError, match=r"a/c/1/0/0/0 is not there; .*verify"):
        read(1)
    path = Path(root.url_of("d.zarr/a/c/2/0/0/0"))
    os.truncate(path, path.stat().st_size - 10)
    with pytest.raises(OutputError, match=r"a/c/2/0/0/0 is damaged: the checksum of its index is wrong"):
        read(2)
    os.truncate(path, 5)
    with pytest.raises(OutputError, match=r"a/c/2/0/0/0 is damaged: 244 bytes were to be read from it, and it has 5"):
        read(2)
    path = Path(root.url_of("d.zarr/a/c/3/0/0/0"))
    data = bytearray(path.read_bytes())
    data[:4] = b"\0\0\0\0"  # the magic number of the first chunk
    path.write_bytes(data)
    with pytest.raises(OutputError, match=r"a/c/3/0/0/0 is damaged: the chunk at \[3, 0, 0, 0\] cannot be decoded"):
        read(3)
    read(0)


def test_other_file_systems_and_other_processes_read_the_same(tmp_path: Path) -> None:
    root = dense(tmp_path, "uint16")
    array = open_arrays(Files(root), "d.zarr")["a"]
    box: Box = ((2, 3), (0, 3), (5, 33), (10, 60))
    wanted = array.read(box)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(array)).read(box), wanted)
    elsewhere = Root("memory://shard-reader")
    for path in root.list():
        elsewhere.write(path, root.read(path))
    array = open_arrays(Files(elsewhere), "d.zarr")["a"]
    np.testing.assert_array_equal(array.read(box), wanted)
    fsspec.filesystem("memory").rm("/shard-reader/d.zarr/a/c/2/0/0/0")
    with pytest.raises(OutputError, match=r"memory://shard-reader/d.zarr/a/c/2/0/0/0 is not there"):
        open_arrays(Files(elsewhere), "d.zarr")["a"].read(box)


def test_files_that_are_open_are_bounded_and_closed(tmp_path: Path) -> None:
    files = Files(Root(str(tmp_path)))
    for number in range(200):
        (tmp_path / str(number)).write_bytes(b"12345678")

    def opened() -> int:
        return sum(file.path.startswith(str(tmp_path)) for file in psutil.Process().open_files())

    for number in range(200):
        assert files.read([Range(str(number), 2, 4), Range(str(number), -3, None)]) == [b"34", b"678"]
    assert 0 < opened() <= 64
    del files
    assert opened() == 0


def test_indexes_that_are_kept_are_bounded_but_a_call_takes_any_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_reader, "_KEPT_INDEXES", 2)
    root = dense(tmp_path, "uint8", times=5)
    files = Files(root)
    array = open_arrays(files, "d.zarr")["a"]
    whole = np.asarray(zarr.open_array(root.url_of("d.zarr/a"), mode="r")[:])
    boxes: list[Box] = [((time, time + 1), (0, 3), (0, 20), (0, 20)) for time in (0, 1, 2, 3, 4, 2, 0)]
    for box, read in zip(boxes, read_boxes([(array, box) for box in boxes]), strict=True):
        np.testing.assert_array_equal(read, whole[tuple(slice(*part) for part in box)])
    assert [shard[0] for shard in array._indexes] == [3, 4]
    np.testing.assert_array_equal(array.read(((0, 5), (0, 3), (0, 40), (0, 70))), whole)
    assert [shard[0] for shard in array._indexes] == [1, 2]  # read after 3 and 4, which were known
    array.read(boxes[1])  # known, and now the last that was used
    array.read(boxes[0])
    assert [shard[0] for shard in array._indexes] == [1, 0]


@pytest.mark.parametrize("which", ["uint8", "uint16", "text", "number", "flag", "value", "yes"])
def test_no_flipped_bit_of_a_shard_is_read_as_a_number(tmp_path: Path, which: str) -> None:
    if which.startswith("uint"):
        root, name = dense(tmp_path, which, times=1), "d.zarr/a/c/0/0/0/0"
    else:
        root = Root(str(tmp_path))
        column = next(column for column in _COLUMNS.columns if column.name == which)
        values: Any = np.arange(8 * (2 if column.levels else 1)).reshape(8, -1).astype(str if which == "text" else int)
        values = values.astype(object if which == "text" else column.dtype)
        data = encode_rows(_COLUMNS, column, values if column.levels else values[:, 0])
        assert data is not None
        name = shard_path("d.zarr", column, 0)
        root.write(name, data)
        for path, data in metadata(_COLUMNS, 8, ()).items():
            root.write(f"d.zarr/{path}", data)

    def read() -> None:
        array = open_arrays(Files(root), "d.zarr")["a" if which.startswith("uint") else which]
        array.read(tuple((0, size) for size in array.shape))

    read()
    file = Path(root.url_of(name))
    good = file.read_bytes()
    for bit in np.random.default_rng(0).choice(8 * len(good), 20, replace=False).tolist():
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        file.write_bytes(bad)
        with pytest.raises(OutputError, match=rf"{name} is damaged: .*checksum .*is wrong.*verify"):
            read()
