from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import uuid
from pathlib import Path

import pytest

from oceanrecon.errors import OutputError
from oceanrecon.stores.files import STAGING, Root
from oceanrecon.stores.hub.facts import CHECKSUMS
from oceanrecon.stores.hub.links import IGNORE, FileMode, Placed, claim, place, put, staged, tree, write_checksums

SHARD = "store.zarr/temp/c/0"
IN_PACKAGE = "data/x.zarr/temp/c/0"
CONTENT = {"store.zarr/zarr.json": b"{}", SHARD: b"shard" * 1000}


@pytest.fixture
def source(tmp_path: Path) -> Root:
    root = Root(str(tmp_path / "source"))
    for path, data in CONTENT.items():
        root.write(path, data)
    return root


@pytest.fixture
def package(tmp_path: Path) -> Root:
    return Root(str(tmp_path / "package"))


def make(source: Root, package: Root, card: bytes = b"card") -> list[Placed]:
    files = tree(source, "store.zarr", "data/x.zarr")
    claim(package, files, ["data/x.zarr"])
    placed = [*place(source, files, package), *put(package, {"README.md": card})]
    write_checksums(package, placed)
    return placed


def inode(root: Root, path: str) -> int:
    return os.stat(root.url_of(path)).st_ino


def test_data_is_linked_and_a_store_that_is_rewritten_leaves_the_package_as_it_was(source: Root, package: Root) -> None:
    placed = {file.path: file for file in make(source, package)}
    assert placed[IN_PACKAGE] == Placed(IN_PACKAGE, 5000, hashlib.sha256(CONTENT[SHARD]).hexdigest(), linked=True)
    assert inode(package, IN_PACKAGE) == inode(source, SHARD)
    source.write(SHARD, b"other")
    assert package.read(IN_PACKAGE) == CONTENT[SHARD]
    make(source, package)
    assert package.read(IN_PACKAGE) == b"other"
    assert inode(package, IN_PACKAGE) == inode(source, SHARD)


def test_a_package_that_is_made_again_does_not_write_through_its_links(source: Root, package: Root) -> None:
    make(source, package)
    elsewhere = Root(f"{source.url}2")
    elsewhere.write(SHARD, b"from elsewhere")
    modes: tuple[FileMode, ...] = ("hardlink", "copy")
    for mode in modes:
        list(place(elsewhere, {IN_PACKAGE: SHARD}, package, mode=mode))
        assert package.read(IN_PACKAGE) == b"from elsewhere"
        assert source.read(SHARD) == CONTENT[SHARD]


def test_copies_share_nothing_also_where_links_were_before(source: Root, package: Root) -> None:
    make(source, package)
    (copied,) = place(source, {IN_PACKAGE: SHARD}, package, mode="copy")
    assert not copied.linked
    assert inode(package, IN_PACKAGE) != inode(source, SHARD)
    before = inode(package, IN_PACKAGE)
    list(place(source, {IN_PACKAGE: SHARD}, package, mode="copy"))
    assert inode(package, IN_PACKAGE) == before, "the same bytes were copied again"


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_where_no_link_can_be_made_the_file_is_copied(
    source: Root, package: Root, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refused(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refused)
    placed = {file.path: file for file in make(source, package)}
    assert not placed[IN_PACKAGE].linked
    assert package.read(IN_PACKAGE) == CONTENT[SHARD]


def test_a_full_disk_is_no_reason_to_copy(source: Root, package: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OutputError, match=r"cannot link .*c/0: No space left on device; make room"):
        list(place(source, {IN_PACKAGE: SHARD}, package))


def test_a_symbolic_link_in_a_store_becomes_a_file(source: Root, package: Root, tmp_path: Path) -> None:
    source.write("near", b"near")
    os.symlink(source.url_of("near"), source.url_of("store.zarr/link"))
    list(place(source, {"data/x.zarr/link": "store.zarr/link"}, package))
    assert not os.path.islink(package.url_of("data/x.zarr/link"))
    assert package.read("data/x.zarr/link") == b"near"
    (tmp_path / "far").write_bytes(b"far")
    os.symlink(tmp_path / "far", f"{source.url}/store.zarr/out")
    with pytest.raises(OutputError, match=r"store\.zarr/out is a symbolic link to .*far, which is outside"):
        list(place(source, {"data/x.zarr/out": "store.zarr/out"}, package))


def test_a_file_that_is_not_the_one_of_its_receipt_is_refused(source: Root, package: Root) -> None:
    known = {SHARD: (5000, "f" * 64)}
    with pytest.raises(OutputError, match=r"c/0 has the checksum .*, its receipt says ffff"):
        list(place(source, {IN_PACKAGE: SHARD}, package, known=known))
    assert not package.exists(IN_PACKAGE)
    with pytest.raises(OutputError, match=r"c/0 has 5,000 bytes and its receipt says 5,001: run `oceanrecon verify`"):
        list(place(source, {IN_PACKAGE: SHARD}, package, known={SHARD: (5001, "f" * 64)}))
    other = Root(f"{package.url}2")
    with pytest.raises(OutputError, match=r"c/0 has the checksum .*, its receipt says ffff"):
        list(place(source, {IN_PACKAGE: SHARD}, other, mode="copy", known=known))
    assert not other.exists(IN_PACKAGE)


def test_sha256sum_agrees(source: Root, package: Root) -> None:
    make(source, package)
    check = ["sha256sum", "--check", "--strict", CHECKSUMS]
    assert subprocess.run(check, cwd=package.url, capture_output=True).returncode == 0
    assert package.read(CHECKSUMS).count(b"\n") == 3
    package.write("README.md", b"damaged")
    assert b"README.md: FAILED" in subprocess.run(check, cwd=package.url, capture_output=True).stdout


def test_a_folder_with_files_of_someone_else_is_refused_and_left_alone(source: Root, package: Root) -> None:
    package.write("README.md", b"mine")
    package.write(IGNORE, b"*.pyc\n")
    package.clear_staging()
    with pytest.raises(OutputError, match=r"has \.gitignore in it and is no package: choose another folder"):
        make(source, package)
    assert package.list() == [IGNORE, "README.md"]
    assert package.read("README.md") == b"mine"
    assert os.listdir(package.url) != [STAGING]


def test_a_fresh_clone_of_a_hub_repository_can_be_filled(source: Root, package: Root) -> None:
    package.write(".git/config", b"")
    package.write(".gitattributes", b"*.parquet filter=lfs")
    make(source, package)
    assert package.exists(IN_PACKAGE) and package.read(".gitattributes") == b"*.parquet filter=lfs"


def test_what_a_user_changed_in_a_package_is_not_overwritten(source: Root, package: Root) -> None:
    make(source, package)
    package.write("notes.txt", b"mine")
    make(source, package, b"new card")
    assert (package.read("README.md"), package.read("notes.txt")) == (b"new card", b"mine")
    package.write("README.md", b"my card")
    with pytest.raises(OutputError, match=r"README\.md is not as the package was made: move it away"):
        make(source, package)
    assert package.read("README.md") == b"my card"


def test_nothing_is_left_over_in_silence_when_a_package_gets_smaller(source: Root, package: Root) -> None:
    make(source, package)
    source.remove(SHARD)
    with pytest.raises(
        OutputError, match=r"has 1 file\(s\) that this package would not have, such as data/x\.zarr/temp"
    ):
        make(source, package)
    assert package.read(IN_PACKAGE) == CONTENT[SHARD]
    with pytest.raises(OutputError, match=r"would not have, such as data/x\.zarr"):
        claim(package, [], [])
    os.unlink(package.url_of(IN_PACKAGE))
    make(source, package)


def test_a_killed_run_is_taken_up_again(source: Root, package: Root) -> None:
    files = tree(source, "store.zarr", "data/x.zarr")
    claim(package, files, ["data/x.zarr"])
    next(place(source, files, package))
    put(package, {"README.md": b"half"})
    (Path(package.url) / STAGING).mkdir(exist_ok=True)
    (Path(package.url) / STAGING / uuid.uuid4().hex).write_bytes(b"litter")
    assert not package.exists(CHECKSUMS)
    make(source, package)
    assert package.read("README.md") == b"card"
    assert not (Path(package.url) / STAGING).exists()


@pytest.mark.parametrize("remote", ["source", "package", "both"])
def test_urls_work_like_folders(source: Root, package: Root, remote: str) -> None:
    if remote != "package":
        source = Root(f"memory://{uuid.uuid4().hex}/source")
        for path, data in CONTENT.items():
            source.write(path, data)
    if remote != "source":
        package = Root(f"memory://{uuid.uuid4().hex}/package")
    assert make(source, package) == [
        Placed(path, len(data), hashlib.sha256(data).hexdigest())
        for path, data in {IN_PACKAGE: CONTENT[SHARD], "data/x.zarr/zarr.json": b"{}", "README.md": b"card"}.items()
    ]
    assert package.read(IN_PACKAGE) == CONTENT[SHARD]
    make(source, package)


def test_a_staged_file_appears_whole_or_not_at_all(package: Root) -> None:
    with (
        pytest.raises(OutputError, match=r"cannot write .*t\.parquet: ValueError: broken"),
        staged(package, "indices/t.parquet") as path,
    ):
        path.write_bytes(b"half")
        raise ValueError("broken")
    assert package.list() == [] and os.listdir(Path(package.url) / STAGING) == []


def test_missing_data_is_named(source: Root, package: Root) -> None:
    with pytest.raises(OutputError, match=r"source/nothing has no files"):
        tree(source, "nothing", "data")
    with pytest.raises(OutputError, match=r"cannot package .*gone: it does not exist"):
        list(place(source, {"a": "gone"}, package))
