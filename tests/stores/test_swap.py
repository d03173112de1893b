"""Risk: two writers of one record both believe that theirs is the next one."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oceanrecon.errors import OutputError
from oceanrecon.stores import swap
from oceanrecon.stores.files import Root
from oceanrecon.stores.swap import Register, Seen, register
from tests.clocks import set_clock
from tests.s3 import Fault, Proxy, Server, environment
from tests.stores.turns import Turns, every_order

#: What ``Register.swap`` compares, and what it hands back.
Version = int | str


class Numbered(swap._Numbered):
    """Numbered records in a dictionary, with a pause before each step."""

    def __init__(self, turns: Turns) -> None:
        self.url = "lease"
        self.records: dict[int, bytes] = {}
        self._turns = turns

    def _numbers(self) -> list[int]:
        self._turns.pause()
        return list(self.records)

    def _load(self, number: int) -> Seen:
        self._turns.pause()
        if number not in self.records:
            raise FileNotFoundError(number)
        return Seen(number, self.records[number])

    def _create(self, number: int, data: bytes) -> bool:
        self._turns.pause()
        if number in self.records:
            return False
        self.records[number] = data
        return True

    def _remove(self, number: int) -> None:
        self._turns.pause()
        self.records.pop(number, None)

    def rules(self) -> bytes | None:
        return self.records[max(self.records)] if self.records else None


class Conditional(Register):
    """What S3 does, with a pause before each request."""

    def __init__(self, turns: Turns) -> None:
        self.url = "lease.json"
        self._record: bytes | None = None
        self._turns = turns

    def read(self) -> Seen:
        self._turns.pause()
        return Seen(self._tag(), self._record)

    def swap(self, version: Version, data: bytes) -> str | None:
        self._turns.pause()
        if version != self._tag():
            return None
        self._record = data
        return self._tag()

    def rules(self) -> bytes | None:
        return self._record

    def _tag(self) -> str:
        return "" if self._record is None else str(hash(self._record))


class Race:
    """Writers of numbered records, and what must hold after each of their steps."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.store = Numbered(self.turns)
        #: version read and version made, of writers that were told that theirs is the next
        self.made: list[tuple[int, int]] = []
        self._ruled: dict[int, bytes] = {}

    def write(self, data: bytes, seen: Seen | None = None) -> None:
        seen = self.store.read() if seen is None else seen
        if (version := self.store.swap(seen.version, data)) is not None:
            self.made.append((int(seen.version), version))

    def look(self) -> None:
        number = max(self.store.records, default=0)
        assert number >= max(self._ruled, default=0), "the highest went down"
        if number:
            record = self.store.records[number]
            assert self._ruled.setdefault(number, record) == record, "two records have ruled under one number"

    def check(self) -> None:
        """Each that counts follows what ruled, once; the last one knows that it counts."""
        versions = [made for _, made in self.made]
        assert len(set(versions)) == len(versions)
        assert all(made == read + 1 for read, made in self.made)
        assert max(versions) == max(self.store.records)
        assert len(self.store.records) == 1


@pytest.mark.parametrize("asleep", [True, False])
def test_every_order_of_two_writers_makes_one_chain(asleep: bool) -> None:
    """One of them may have read long ago, before several others came and went."""
    orders = 0
    for choose in every_order():
        race = Race()
        race.write(b"1")
        long_ago = race.store.read() if asleep else None
        race.write(b"2")
        race.write(b"3")
        works = [partial(race.write, b"a", long_ago), partial(race.write, b"b")]
        race.turns.play(works, choose, race.look)
        race.check()
        assert len(race.made) > 3
        orders += 1
    assert orders > 50


@settings(max_examples=150)
@given(st.data())
def test_many_writers_in_any_order_make_one_chain(data: st.DataObject) -> None:
    race = Race()
    race.write(b"first")

    def write(number: int) -> None:
        for turn in range(3):
            race.write(b"%d %d" % (number, turn))

    race.turns.play(
        [partial(write, number) for number in range(4)],
        lambda options: data.draw(st.integers(0, options - 1)),
        race.look,
    )
    race.check()


def test_the_tests_of_orders_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the second look at the names, one that read long ago would win."""
    monkeypatch.setattr(Numbered, "_numbers", lambda self: sorted(self.records)[:1])
    race = Race()
    race.write(b"1")
    long_ago = race.store.read()
    race.store.records = {3: b"3"}
    race.write(b"a", long_ago)
    assert race.made[-1] == (1, 2)
    with pytest.raises(AssertionError):
        race.check()


@pytest.fixture(params=["file", "memory"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Root:
    if request.param == "file":
        return Root(str(tmp_path / "export"))
    with suppress(FileNotFoundError):
        fsspec.filesystem("memory").rm("/leases", recursive=True)
    return Root("memory://leases/export")


def found(root: Root) -> Register:
    store = register(root, "lease")
    assert store is not None
    return store


def test_one_record_is_left_and_it_is_the_last(root: Root) -> None:
    store = found(root)
    assert store.read().data is None
    for number in range(5):
        before = store.read().version
        assert store.swap(before, b"%d\n" % number) is not None
        assert store.swap(before, b"late\n") is None
    assert store.read().data == b"4\n"
    assert root.list() == ["lease/000000000005.json"]
    assert abs(store.stamp() - time.time()) < 5
    assert abs(store.read().changed() - time.time()) < 5
    assert root.list() == ["lease/000000000005.json"]


def test_of_threads_at_once_one_makes_each_version(root: Root) -> None:
    made: list[Version | None] = []

    def write(name: bytes) -> None:
        store = found(root)
        made.extend(store.swap(store.read().version, b"%s %d\n" % (name, turn)) for turn in range(15))

    threads = [threading.Thread(target=write, args=[name]) for name in (b"a", b"b", b"c", b"d")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    versions = [int(version) for version in made if version is not None]
    assert len(set(versions)) == len(versions)
    assert found(root).read().version == max(versions)
    assert len(root.list()) == 1


def refused(code: int) -> Callable[..., None]:
    def call(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    return call


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    monkeypatch.setattr(os, "link", refused(code))
    store = found(Root(str(tmp_path)))
    version = store.swap(0, b"a\n")
    assert version == 1
    assert store.swap(0, b"b\n") is None
    assert store.swap(version, b"c\n") == 2
    assert store.read().data == b"c\n"
    assert [path.name for path in (tmp_path / "lease").iterdir()] == ["000000000002.json"]


def test_a_full_disk_without_hard_links_leaves_no_torn_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = found(Root(str(tmp_path)))
    store.swap(0, b"a\n")
    monkeypatch.setattr(os, "link", refused(errno.EPERM))
    sync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:  # the staged file had room
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"cannot write .*lease.*: No space left on device"):
        store.swap(1, b"b\n")
    assert [path.name for path in (tmp_path / "lease").iterdir()] == ["000000000001.json"]
    assert store.swap(1, b"b\n") == 2


def test_a_record_that_is_being_written_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = found(Root(str(tmp_path)))
    store.swap(0, b"a\n")
    path = tmp_path / "lease" / "000000000002.json"
    path.write_bytes(b"")
    set_clock(monkeypatch, swap.__name__, sleep=lambda _: path.write_bytes(b"whole\n"))
    assert store.read().data == b"whole\n"


def test_a_link_whose_answer_was_lost_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS tries again, and is told that the name exists."""
    link = os.link

    def lost(source: Path, target: Path) -> None:
        link(source, target)
        raise FileExistsError(errno.EEXIST, "File exists")

    store = found(Root(str(tmp_path)))
    monkeypatch.setattr(os, "link", lost)
    assert store.swap(0, b"a\n") == 1
    assert store.read().data == b"a\n"


def test_a_record_that_is_removed_while_it_is_read_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = found(Root(str(tmp_path)))
    store.swap(0, b"a\n")
    listdir, calls = os.listdir, []

    def late(path: Path) -> list[str]:
        names = listdir(path)
        calls.append(path)
        if len(calls) == 1:
            store.swap(1, b"b\n")
        return names

    monkeypatch.setattr(os, "listdir", late)
    assert store.read().data == b"b\n"
    monkeypatch.undo()
    # and as NFS says it
    fstat, stale = os.fstat, [True]

    def gone(descriptor: int) -> os.stat_result:
        if stale:
            stale.clear()
            raise OSError(errno.ESTALE, "Stale file handle")
        return fstat(descriptor)

    monkeypatch.setattr(os, "fstat", gone)
    assert store.read().data == b"b\n"


def test_a_folder_that_cannot_be_listed_is_no_free_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = found(Root(str(tmp_path)))
    store.swap(0, b"a\n")
    monkeypatch.setattr(os, "listdir", refused(errno.EIO))
    with pytest.raises(OutputError, match=r"cannot read .*lease.*: Input/output error; check the disk"):
        store.read()


def test_litter_of_killed_writers_is_removed_in_time(tmp_path: Path) -> None:
    store = found(Root(str(tmp_path)))
    store.swap(0, b"a\n")
    folder = tmp_path / "lease"
    for name, age in (("old", 2 * swap._LITTER), ("young", 60.0)):
        (folder / f".{name}").write_bytes(b"half")
        os.utime(folder / f".{name}", (time.time() - age,) * 2)
    (folder / "of the user").touch()
    assert store.swap(1, b"b\n") == 2
    assert sorted(os.listdir(folder)) == [".young", "000000000002.json", "of the user"]


def test_a_create_whose_answer_was_lost_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drivers of object stores try again, and are told that the name exists."""
    files = fsspec.filesystem("memory")
    with suppress(FileNotFoundError):
        files.rm("/lost", recursive=True)
    pipe = files.pipe_file

    def lost(path: str, data: bytes, mode: str) -> None:
        with suppress(FileExistsError):
            pipe(path, data, mode=mode)
        raise FileExistsError(path)

    monkeypatch.setattr(files, "pipe_file", lost)
    store = found(Root("memory://lost"))
    assert store.swap(0, b"a\n") == 1
    assert store.swap(0, b"b\n") is None


@pytest.mark.parametrize("url", ["https://host/export", "sftp://host/export", "simplecache::s3://bucket/export"])
def test_other_stores_have_no_register(url: str) -> None:
    assert register(Root(url), "lease") is None


def test_s3_refuses_what_it_should(bucket: str) -> None:
    store = found(Root(f"{bucket}/export"))
    assert store.read().data is None
    assert abs(store.now() - time.time()) < 5
    first = store.swap("", b"a\n")
    assert first is not None
    assert store.refuses(b"a\n")
    assert store.swap("", b"b\n") is None
    second = store.swap(first, b"b\n")
    assert second not in (None, first)
    assert store.swap(first, b"c\n") is None
    assert store.read().data == b"b\n"
    assert abs(store.read().changed() - time.time()) < 5
    Root(f"{bucket}/export").remove("lease.json")
    assert second is not None
    assert store.swap(second, b"c\n") is None  # gone, and not ours to make


def test_s3_answers_that_are_lost_are_no_refusals(s3: Server) -> None:
    url = s3.new_bucket()
    with Proxy(s3.endpoint) as proxy, environment(proxy.endpoint):
        store = found(Root(f"{url}/export"))
        for data in (b"a\n", b"b\n"):
            fault = proxy.add(Fault(cut=True, lost=True, method="PUT"))
            seen = store.read()
            version = store.swap(seen.version, data)
            assert version == store.read().version
            assert fault.hits == 1
            assert store.read().data == data


def test_a_bucket_that_is_not_there_is_no_free_output(bucket: str) -> None:
    store = found(Root(f"{bucket}gone/export"))
    with pytest.raises(OutputError, match=r"cannot read s3://\w+gone/export/lease\.json.*bucket does not exist"):
        store.read()
    with pytest.raises(OutputError, match="cannot write"):
        store.swap("", b"a\n")
