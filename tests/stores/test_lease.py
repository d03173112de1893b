"""Risk: two jobs write to one output at once, or a dead job blocks it for ever."""

from __future__ import annotations

import os
import pickle
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from oceanrecon.errors import LeaseError, OutputError
from oceanrecon.stores import swap
from oceanrecon.stores.files import Root
from oceanrecon.stores.lease import _AGAIN, _RENEWAL, Keeper, Lease, current
from oceanrecon.stores.lease_record import LONGEST, MARGIN
from tests.clocks import set_clock, wait_for
from tests.stores.leases import Time, fence


def test_the_second_is_told_who_is_first_and_what_to_do(root: Root) -> None:
    lease = Lease.take(root, "1a2b3c4d", who="ada@node7, process 12")
    assert lease.held()
    with pytest.raises(LeaseError) as caught:
        Lease.take(root, "ffffffff")
    message = str(caught.value)
    assert message.startswith(f"{root.url} is being written by job 1a2b3c4d (ada@node7, process 12) since 20")
    for remedy in ("watch", "cancel", "resume"):
        assert f"`oceanrecon {remedy} 1a2b3c4d`" in message
    there = current(root)
    assert there is not None
    assert (there.holder, there.who, there.generation) == ("1a2b3c4d", "ada@node7, process 12", 1)
    assert there.taken_utc < there.expires_utc
    assert "(in 70 s) any job may have the output" in message or "(in 69 s)" in message
    assert isinstance(caught.value, OutputError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_a_released_output_is_free_and_nothing_is_left_that_confuses(root: Root) -> None:
    assert current(root) is None
    for job in ("a", "b"):
        lease = Lease.take(root, job)
        lease.renew()
        lease.release()
        assert not lease.held()
        assert current(root) is None
        with pytest.raises(LeaseError, match=f"job {job} has released"):
            lease.renew()
        lease.release()
    assert root.list() == ["lease/000000000006.json"]


def test_the_edges_of_a_lease(root: Root) -> None:
    """60 s: its holder is sure of 50, and nobody else comes before 70 are over."""
    time = Time()
    lease = Lease.take(root, "a", clock=time.clock())
    start = time.now
    for passed, held in ((49.9, True), (50.0, False), (59.9, False), (60.0, False), (70.0, False)):
        time.now = start + passed
        assert lease.held() is held
        with pytest.raises(LeaseError, match="job a"):
            Lease.take(root, "b", clock=time.clock())
    time.now = start + 70.01
    other = Lease.take(root, "b", clock=time.clock())
    assert other.held()
    assert not lease.held()
    with pytest.raises(
        LeaseError, match=r"nothing more is written for job a: its lease .* could not be renewed before"
    ):
        lease.renew()
    lease.release()
    fence(root, "b")
    with pytest.raises(LeaseError, match=r"nothing more is written for job a: since .* job b .* has .*resume a"):
        fence(root, "a")


def test_a_renewal_counts_from_before_it_was_asked(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    lease = Lease.take(root, "a", clock=time.clock())
    time.now += 40
    store = lease._store
    assert store is not None
    write = store.swap

    def slow(version: int | str, data: bytes) -> int | str | None:
        time.now += 5
        return write(version, data)

    monkeypatch.setattr(store, "swap", slow)
    lease.renew()
    time.now += 44.9
    assert lease.held()
    time.now += 0.1
    assert not lease.held()


@pytest.mark.parametrize("ahead", [-20.0, -10.0, 10.0, 20.0])
def test_wall_clocks_that_differ_by_two_margins_do_no_harm(memory: Root, ahead: float) -> None:
    time = Time()
    lease = Lease.take(memory, "a", clock=time.clock())
    while lease.held():
        with pytest.raises(LeaseError):
            Lease.take(memory, "b", clock=time.clock(ahead))
        time.now += 0.5
    time.now += 41
    assert Lease.take(memory, "b", clock=time.clock(ahead)).held()


def test_on_files_the_clocks_of_machines_do_not_matter(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file server's clock is the one that counts, whatever a node believes."""
    lease = Lease.take(root, "a")
    for ahead in (-1e6, 1e6):
        set_clock(monkeypatch, swap.__name__, time=lambda ahead=ahead: time.time() + ahead)
        with pytest.raises(LeaseError, match=r"\(in (70|69) s\)"):
            Lease.take(root, "b")
        lease.renew()
    assert lease.held()


def test_a_job_that_comes_back_takes_over_from_itself(root: Root) -> None:
    first = Lease.take(root, "a")
    first.hold.check()
    second = Lease.take(root, "a")
    second.hold.check()
    with pytest.raises(LeaseError, match="nothing more is written by this run of job a: a newer one goes on"):
        first.hold.check()
    with pytest.raises(LeaseError, match="nothing more is written by this run of job a: a newer one goes on"):
        first.renew()
    assert not first.held()
    first.release()
    second.renew()
    assert second.held()
    second.release()
    with pytest.raises(LeaseError, match="nothing more is written for job a: it has ended, and its lease"):
        fence(root, "a")


def test_whoever_is_gone_may_not_write(root: Root) -> None:
    with pytest.raises(LeaseError, match="was released"):
        fence(root, "a")
    time = Time()
    Lease.take(root, "a", clock=time.clock())
    time.now += 1000
    fence(root, "a")  # nobody else came


def test_a_lease_that_somebody_removed_is_lost(root: Root) -> None:
    lease = Lease.take(root, "a")
    lease.renew()
    root.remove_tree("lease")
    other = Lease.take(root, "b")
    other.renew()  # now has the number that the other had
    with pytest.raises(LeaseError, match="job b"):
        lease.renew()
    lease.release()
    assert other.held()
    fence(root, "b")


@pytest.mark.parametrize(("holder", "seconds"), [("", 60.0), ("a", 0.0), ("a", LONGEST + 1), ("a", float("nan"))])
def test_a_lease_has_a_holder_and_an_end(root: Root, holder: str, seconds: float) -> None:
    with pytest.raises(ValueError, match="a lease needs a holder and at most 600 seconds"):
        Lease.take(root, holder, seconds=seconds)


def test_a_keeper_renews_and_releases(root: Root) -> None:
    generations: set[int] = set()

    def renewed() -> bool:
        there = current(root)
        assert there is not None and keeper.lost is None
        generations.add(there.generation)
        return len(generations) > 3

    with Keeper(Lease.take(root, "a", seconds=4)) as keeper:
        wait_for(renewed)
    assert current(root) is None
    assert keeper.lost is None


def test_a_driver_that_goes_elsewhere_leaves_the_output_to_its_job(root: Root) -> None:
    with Keeper(Lease.take(root, "a")) as keeper:
        keeper.leave()
    with pytest.raises(LeaseError, match="job a"):
        Lease.take(root, "b")
    Lease.take(root, "a").release()
    assert Lease.take(root, "b").held()


def why(keeper: Keeper) -> str:
    return str(keeper.lost or "")


def failing(monkeypatch: pytest.MonkeyPatch, times: float) -> list[int]:
    """Lets that many reads of the record fail."""
    read, failed = swap._Numbered.read, [0]

    def broken(self: swap._Numbered) -> Any:
        if failed[0] < times:
            failed[0] += 1
            raise OutputError("the file server is away")
        return read(self)

    monkeypatch.setattr(swap._Numbered, "read", broken)
    return failed


def test_renewals_that_fail_are_tried_again_until_the_end(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _RENEWAL + 5 * _AGAIN < 1 - MARGIN  # five that fail fit into a lease
    now = Time(time.time())
    lease = Lease.take(root, "a", seconds=2.0, clock=now.clock())
    version, failed = lease._version, failing(monkeypatch, 5)
    with Keeper(lease) as keeper:
        wait_for(lambda: lease._version != version)
        assert failed == [5] and not why(keeper)
        monkeypatch.undo()
        away = failing(monkeypatch, float("inf"))
        wait_for(lambda: away[0] > 1)
        now.now += 2.0
        wait_for(lambda: why(keeper).endswith("(the file server is away)"))
        assert "could not be renewed before" in why(keeper)
        monkeypatch.undo()
    there = current(root)
    assert there is None or there.holder == "a"  # what is not sure to be ours is not released


def test_a_renewal_that_hangs_is_noticed_without_it(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease.take(root, "a", seconds=1.2)
    hangs = threading.Event()
    monkeypatch.setattr(lease, "renew", lambda: hangs.wait(10))
    with Keeper(lease) as keeper:
        assert not why(keeper)
        wait_for(lambda: "could not be renewed" in why(keeper), seconds=9)
    hangs.set()


def test_a_renewal_whose_answer_was_lost_counts(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease.take(root, "a")
    store = lease._store
    assert store is not None
    write = store.swap

    def lost(version: int | str, data: bytes) -> None:
        write(version, data)
        raise OutputError("the connection was cut")

    monkeypatch.setattr(store, "swap", lost)
    with pytest.raises(OutputError, match="was cut"):
        lease.renew()
    monkeypatch.setattr(store, "swap", write)
    assert lease.held()
    lease.renew()
    assert lease.held()
    lease.release()
    assert current(root) is None


def test_an_error_in_the_block_is_not_hidden_by_the_release(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError), Keeper(Lease.take(root, "a")):
        failing(monkeypatch, float("inf"))
        raise ZeroDivisionError


_RECORD = (
    b'{"holder": "a", "who": "", "token": "", "generation": 1, "taken_utc": "%s", "expires_utc": "%s", "seconds": %s}\n'
)
_THEN = b"2026-11-21T10:37:48Z"
GARBAGE = [
    b"", b"\xff\xfe\n", b"[]\n", b"null\n", b'{"holder": "a"}\n', _RECORD % (b"yesterday", _THEN, b"60"),
    _RECORD % (_THEN, _THEN, b"NaN"),
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE)
def test_a_damaged_record_blocks_for_the_longest_lease_and_no_longer(root: Root, garbage: bytes) -> None:
    Lease.take(root, "a")
    path = Path(root.url, "lease", "000000000001.json")
    path.write_bytes(garbage)
    with pytest.raises(LeaseError, match=r"the lease of .* is damaged, so nobody knows .*\(in (600|59\d) s\)"):
        Lease.take(root, "b")
    with pytest.raises(LeaseError, match=r"nothing more is written for job a: the lease of .* is damaged"):
        fence(root, "a")
    there = current(root)
    assert there is not None
    assert there.holder == ""
    os.utime(path, (time.time() - LONGEST + 5,) * 2)
    with pytest.raises(LeaseError):
        Lease.take(root, "a")
    os.utime(path, (time.time() - LONGEST - 5,) * 2)
    assert current(root) is None
    assert Lease.take(root, "b").held()
    fence(root, "b")


def test_a_damaged_record_is_healed_by_its_living_holder(root: Root) -> None:
    lease = Lease.take(root, "a")
    Path(root.url, "lease", "000000000001.json").write_bytes(b"")
    lease.renew()
    fence(root, "a")
    Path(root.url, "lease", "000000000002.json").write_bytes(b"")
    lease.release()
    assert current(root) is None


def test_an_end_that_is_too_far_off_is_explained(memory: Root) -> None:
    Lease.take(memory, "a", clock=Time(time.time() + 1e7).clock())
    with pytest.raises(LeaseError, match=r"That is too long: a clock is wrong\. If nobody is at work, remove lease/"):
        Lease.take(memory, "b")
