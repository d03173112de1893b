"""Risk: a step that was not done counts as done, one that was done is done again, or a failure is forgotten."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from oceanrecon.stores.files import Root
from oceanrecon.stores.steps import (
    Step,
    StepFailure,
    StoredFile,
    UsedFile,
    forget_failures,
    read_failures,
    read_steps,
    step_path,
    write_failure,
    write_step,
)

STEP = Step(
    kind="months",
    name="2012-03",
    key="ab" * 32,
    files=(StoredFile("months/2012-03/0000.parquet", 10, "0" * 64, 5), StoredFile("months/2012-03/r.parquet", 3, "1")),
    sources=(UsedFile("en4", "a/é.nc", 123, 1_700_000_000_123_456_789),),
    counts={"accepted": 5, "date_flag": 2},
    notes=("é: unknown flag",),
    timing={"wall": 0.25},
    versions={"numpy": "2.4"},
    form="cd" * 32,
)
SHARD = Step("shards", "000001", "k", (), pieces=(("0" * 64, 3, 5), ("1" * 64, 0, 2)))
FAILURE = StepFailure("months", "2012-03", "SourceError", "a/x.nc: truncated")


def test_a_receipt_comes_back_exactly_and_undoes_the_failure(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    write_failure(root, FAILURE)
    write_failure(root, dataclasses.replace(FAILURE, name="2012-04"))
    write_step(root, STEP)
    write_step(root, SHARD)
    assert read_steps(root, "months") == ({"2012-03": STEP}, ())
    assert read_steps(root, "shards") == ({"000001": SHARD}, ())
    assert [failure.name for failure in read_failures(root)] == ["2012-04"]


def test_a_failure_undoes_the_receipt(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    write_step(root, STEP)
    write_failure(root, FAILURE)
    assert read_steps(root, "months") == ({}, ()) and read_failures(root) == [FAILURE]


@pytest.mark.parametrize("damage", ["", '{"schema_version": 1', "{}", "[]", '{"schema_version": 2}', "null", "\xff"])
def test_a_torn_receipt_counts_as_absent_and_is_reported(tmp_path: Path, damage: str) -> None:
    root = Root(str(tmp_path))
    write_step(root, STEP)
    later = dataclasses.replace(STEP, name="2012-04")
    write_step(root, later)
    path = step_path("receipts", "months", "2012-03")
    (tmp_path / path).write_bytes(damage.encode("latin-1"))
    write_failure(root, dataclasses.replace(FAILURE, name="2012-05"))
    (tmp_path / step_path("failures", "months", "2012-05")).write_bytes(damage.encode("latin-1"))
    assert read_steps(root, "months") == ({"2012-04": later}, (path,))
    assert read_failures(root) == []


def test_steps_are_in_one_order_whatever_the_order_of_writing(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    names = [f"{year}-{month:02d}" for year in (1950, 2012) for month in range(1, 13)]
    for name in reversed(names):
        write_step(root, dataclasses.replace(STEP, name=name))
    assert list(read_steps(root, "months")[0]) == names
    assert read_steps(root, "groups") == ({}, ())


def test_only_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    for kind, name in (("months", "2012-03"), ("months", "2012-04"), ("files", "argo/dac/x.nc"), ("shards", "000001")):
        write_failure(root, StepFailure(kind, name, "E", "m"))
    forget_failures(root, "months", lambda name: name == "2012-03")
    forget_failures(root, "files", lambda _: True)
    assert [(failure.kind, failure.name) for failure in read_failures(root)] == [
        ("months", "2012-04"), ("shards", "000001"),
    ]  # fmt: skip


def test_names_with_folders_are_one_file_each(tmp_path: Path) -> None:
    """Argo files of one name may lie in the folders of two data centres."""
    root = Root(str(tmp_path))
    for name in ("argo/a/1_prof.nc", "argo/b/1_prof.nc", "argo/a_b/1.nc", "argo/a/b_1.nc"):
        write_failure(root, StepFailure("files", name, "E", name))
    assert sorted(failure.name for failure in read_failures(root)) == [
        "argo/a/1_prof.nc", "argo/a/b_1.nc", "argo/a_b/1.nc", "argo/b/1_prof.nc",
    ]  # fmt: skip
