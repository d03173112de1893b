"""Risk: half a table under its name, two forms that differ, or a full disk that is told as something else."""

from __future__ import annotations

import gc
import hashlib
import io
import os
import uuid
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest

from oceanrecon.errors import OutputError
from oceanrecon.stores.files import Root
from oceanrecon.stores.tables import TableWriter, write_table

SMALL = pa.table({"number": [1, 2], "name": ["a", ""]})


def litter(folder: Path) -> list[str]:
    gc.collect()  # a writer that was left open complains now
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_both_forms_have_their_bytes_rows_and_checksums(tmp_path: Path, kind: str) -> None:
    root = Root(str(tmp_path) if kind == "local" else f"memory://{uuid.uuid4().hex}")
    with TableWriter(root, "some/rows", SMALL.schema) as writer:
        writer.add(SMALL)
        writer.add(SMALL.slice(1))
        assert root.list() == []  # not before everything is in them
    assert root.read("some/rows.csv") == b"number,name\n1,a\n2,\n2,\n"
    assert pd.read_parquet(io.BytesIO(root.read("some/rows.parquet")))["number"].tolist() == [1, 2, 2]
    for file in writer.files:
        data = root.read(file.path)
        assert (file.bytes, file.sha256, file.rows) == (len(data), hashlib.sha256(data).hexdigest(), 3)


def test_texts_with_commas_quotes_and_line_ends_come_back(tmp_path: Path) -> None:
    names = ["a,b", 'say "c"', "two\nlines", "", "plain"]
    table = pa.table({"name": names, "number": [1, None, 3, 4, 5]})
    write_table(Root(str(tmp_path)), "t", table)
    found = pd.read_csv(tmp_path / "t.csv", keep_default_na=False)
    assert found["name"].tolist() == names
    assert found["number"].tolist() == ["1", "", "3", "4", "5"]
    assert (tmp_path / "t.csv").read_text().endswith('\n"",4\n"plain",5\n')  # numbers are never in quotes


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_an_error_of_the_caller_is_left_as_it_is(tmp_path: Path, kind: str) -> None:
    root = Root(str(tmp_path) if kind == "local" else f"memory://{uuid.uuid4().hex}")
    root.write("rows.csv", b"old")
    with pytest.raises(ZeroDivisionError), TableWriter(root, "rows", SMALL.schema) as writer:
        writer.add(SMALL)
        raise ZeroDivisionError
    assert root.list() == ["rows.csv"] and root.read("rows.csv") == b"old" and writer.files == ()
    assert litter(tmp_path) == (["rows.csv"] if kind == "local" else [])


def fill(folder: Path) -> None:
    """From now on the files that are being written there are on a full device."""
    for name in os.listdir("/proc/self/fd"):
        place = Path(f"/proc/self/fd/{name}")
        if place.exists() and place.resolve().is_relative_to(folder):
            with open("/dev/full", "wb") as device:
                os.dup2(device.fileno(), int(name))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full device")
@pytest.mark.parametrize("when", ["rows", "footer", "names"])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, when: str) -> None:
    # a footer that does not fit into a buffer; or all of it does, and comes to the disk last
    wide = SMALL if when == "names" else pa.table({f"column {number}": ["text"] for number in range(300)})
    with pytest.raises(OutputError, match=r"cannot write .*rows\.(csv|parquet): the disk is full;.*--resume"):
        with TableWriter(Root(str(tmp_path)), "rows", wide.schema) as writer:
            if when == "rows":
                fill(tmp_path)
            writer.add(wide)
            fill(tmp_path)
    assert litter(tmp_path) == []
