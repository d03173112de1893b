from __future__ import annotations

import errno
import os
import pickle
import uuid
from pathlib import Path

import pytest

from oceanrecon.errors import OutputError
from oceanrecon.stores.files import STAGING, Root


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(str(tmp_path))
    root.write("a/b.bin", b"old")

    def full_disk(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputError, match=r"b\.bin: the disk is full; it needs 3 bytes, [\d,]+ are free;.*--resume"):
        root.write("a/b.bin", b"new")
    assert (tmp_path / "a/b.bin").read_bytes() == b"old"
    assert list((tmp_path / STAGING).iterdir()) == []


def test_a_file_gets_its_name_only_when_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    replace = os.replace

    def watched(source: Path, target: Path) -> None:
        assert not Path(target).exists()
        seen.append(Path(source).read_bytes())
        replace(source, target)

    monkeypatch.setattr(os, "replace", watched)
    Root(str(tmp_path)).write("x/y/z.bin", memoryview(b"whole"))
    assert seen == [b"whole"]
    assert (tmp_path / "x/y/z.bin").read_bytes() == b"whole"


def test_litter_of_killed_writers_is_not_listed_and_can_be_removed(tmp_path: Path) -> None:
    root = Root(str(tmp_path))
    root.write("b.txt", b"")
    root.write("a/c.txt", b"12")
    (tmp_path / STAGING / uuid.uuid4().hex).write_bytes(b"ha")
    assert root.list() == ["a/c.txt", "b.txt"]
    assert root.list("a") == ["a/c.txt"]
    assert root.list("nothing") == []
    root.clear_staging()
    root.clear_staging()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b.txt"]
    (tmp_path / STAGING).mkdir()
    (tmp_path / STAGING / "of the user").touch()
    root.clear_staging()
    assert (tmp_path / STAGING / "of the user").exists()


@pytest.mark.parametrize("rel", ["../x", "a/../../x", "/etc/passwd", "", "a\\b"])
def test_nothing_outside_the_root_is_reached(tmp_path: Path, rel: str) -> None:
    with pytest.raises(OutputError, match="not a path inside"):
        Root(str(tmp_path)).write(rel, b"")


def test_a_folder_that_may_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "replace", refused)
    with pytest.raises(OutputError, match=r"cannot write .*out\.tif: Permission denied; choose an output"):
        Root(str(tmp_path)).write("out.tif", b"")


def test_a_relative_root_means_the_same_place_in_another_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    packed = pickle.dumps(Root("out"))
    monkeypatch.chdir("/")
    assert pickle.loads(packed).local_path == tmp_path / "out"
    assert Root(f"file://{tmp_path}/out") == pickle.loads(packed)


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_local_and_remote_roots_behave_alike(tmp_path: Path, kind: str) -> None:
    url = str(tmp_path / "new") if kind == "local" else f"memory://{uuid.uuid4().hex}/new/"
    root = Root(url)
    assert (root.local_path is None) == (kind == "memory")
    assert root.list() == []
    root.clear_staging()
    root.write("d/one", b"1")
    root.write("d/one", b"one")
    root.write("two", memoryview(b"2"))
    assert root.list() == ["d/one", "two"]
    assert root.read_many(["two", "d/one"]) == {"two": b"2", "d/one": b"one"}
    assert (root.size("d/one"), root.size("d"), root.size("none")) == (3, None, None)
    assert root.exists("two") and not root.exists("none")
    root.remove("two")
    root.remove("two")
    assert root.list() == ["d/one"]
    with pytest.raises(OutputError, match=r"cannot read .*two: it does not exist"):
        root.read("two")
