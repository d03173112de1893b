"""Risk: two jobs write to one output at once, or a dead job blocks it for ever."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oceanrecon.errors import LeaseError, OutputError
from oceanrecon.stores import lease as leases
from oceanrecon.stores import swap
from oceanrecon.stores.files import Root
from oceanrecon.stores.lease import LONGEST, Clock, Hold, Keeper, Lease, current
from oceanrecon.stores.processes import has_ended, own_process
from tests import s3 as server
from tests.s3 import Fault, Proxy, Server, environment
from tests.stores.test_swap import Conditional, Numbered
from tests.stores.turns import Turns, every_order


class Time:
    """Clocks of several machines, which go equally fast and may show different times."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self.now = start

    def clock(self, ahead: float = 0.0) -> Clock:
        return Clock(steady=lambda: self.now - 1e9, wall=lambda: self.now + ahead)


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(str(tmp_path / "export"))


@pytest.fixture
def memory() -> Root:
    with suppress(FileNotFoundError):
        fsspec.filesystem("memory").rm("/leases", recursive=True)
    return Root("memory://leases/export")


def fence(root: Root, holder: str) -> None:
    """As a task of whoever holds it now looks, if it were of that job."""
    seen = swap.register(root, leases.LEASE)
    there = None if seen is None else leases._parse(seen.read())
    Hold(root.url, holder, "" if there is None else there.token).check()


# --- one at a time -------------------------------------------------------------------------------------------------


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
    now = time.time
    for ahead in (-1e6, 1e6):
        monkeypatch.setattr(time, "time", lambda ahead=ahead: now() + ahead)
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


# --- any order of steps --------------------------------------------------------------------------------------------


class World:
    """Jobs that take, renew and release one output, and what must hold after each of their steps."""

    def __init__(self, kind: type[Numbered] | type[Conditional], monkeypatch: pytest.MonkeyPatch) -> None:
        self.turns = Turns()
        self.time = Time()
        self.store = kind(self.turns)
        self.leases: list[Lease] = []
        monkeypatch.setattr(leases, "register", lambda root, name: self.store)

    def job(self, name: str, acts: Sequence[str], ahead: float = 0.0, lease: Lease | None = None) -> None:
        for act in acts:
            self.turns.pause()
            with suppress(LeaseError):
                if act == "take":
                    lease = Lease.take(Root("memory://any"), name, clock=self.time.clock(ahead))
                    self.leases.append(lease)
                elif lease is not None:
                    lease.renew() if act == "renew" else lease.release()

    def sleep(self, seconds: float) -> None:
        self.turns.pause()
        self.time.now += seconds

    def look(self) -> None:
        # A job that took over from itself learns of it at its next renewal: what counts is its newest run.
        newest = {lease.holder: lease for lease in sorted(self.leases, key=lambda lease: lease._record.generation)}
        holders = {holder for holder, lease in newest.items() if lease.held()}
        assert len(holders) <= 1, "two hold it"
        if holders:
            record = self.store.rules()
            assert record is not None
            assert json.loads(record)["holder"] in holders, "who is sure of it is not who has it"


KINDS = pytest.mark.parametrize("kind", [Numbered, Conditional])


@pytest.mark.parametrize("left", ["nothing", "a dead job's lease", "a free mark"])
def test_every_order_of_two_that_take_at_once(left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = 0
    for choose in every_order():
        world = World(Conditional, monkeypatch)
        if left != "nothing":
            world.job("dead", ["take", "renew"] if left == "a dead job's lease" else ["take", "release"])
            world.time.now += 71
        world.turns.play([partial(world.job, name, ["take"]) for name in ("a", "b")], choose, world.look)
        assert sum(lease.held() for lease in world.leases) == 1
        orders += 1
    assert orders >= 20


@pytest.mark.parametrize(
    ("passes", "renews", "yields"), [(49.0, True, False), (55.0, False, False), (75.0, False, True)]
)
def test_every_order_of_a_holder_that_renews_and_one_that_waits(
    passes: float, renews: bool, yields: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While time jumps towards or over the end of the lease, between any two steps."""
    renewed = taken = 0
    for choose in every_order():
        world = World(Conditional, monkeypatch)
        world.job("a", ["take"])
        works = [
            partial(world.job, "a", ["renew"], 0.0, world.leases[0]), partial(world.job, "b", ["take"]),
            partial(world.sleep, passes),
        ]  # fmt: skip
        world.turns.play(works, choose, world.look)
        renewed += world.leases[0].held()
        taken += len(world.leases) == 2
    assert (bool(renewed), bool(taken)) == (renews, yields)


@KINDS
def test_clocks_that_differ_too_much_would_be_found_out(
    kind: type[Numbered] | type[Conditional], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the tests of orders are worth: 25 s are more than both margins."""
    world = World(kind, monkeypatch)
    world.job("a", ["take"])
    world.time.now += 46
    world.job("b", ["take"], 25.0)
    with pytest.raises(AssertionError, match="two hold it"):
        world.look()


@KINDS
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_order_of_many_jobs_with_clocks_that_differ(
    kind: type[Numbered] | type[Conditional], data: st.DataObject
) -> None:
    acts = st.lists(st.sampled_from(["take", "take", "renew", "renew", "release"]), min_size=1, max_size=6)
    with pytest.MonkeyPatch.context() as monkeypatch:
        world = World(kind, monkeypatch)
        works = [
            partial(world.job, name, data.draw(acts), data.draw(st.floats(-10, 10), label=f"clock of {name}"))
            for name in ("a", "b", "b", "c")
        ]
        steps = st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.0, 0.0, 1.0, 15.0, 30.0, 75.0]))

        def choose(options: int) -> int:
            actor, passes = data.draw(steps)
            world.time.now += passes
            return actor % options

        world.turns.play(works, choose, world.look)


# --- processes -----------------------------------------------------------------------------------------------------

RACER = """
import json, sys, time
from oceanrecon.errors import LeaseError
from oceanrecon.stores.files import Root
from oceanrecon.stores.processes import has_ended, own_process
from oceanrecon.stores.lease import Lease
url, name, rounds, begin, pace = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])
won = []
for turn in range(rounds):
    while time.time() < begin + turn * pace:
        pass
    try:
        Lease.take(Root(f"{url}/{turn}"), name)
        won.append(turn)
    except LeaseError as error:
        assert "job racer" in str(error) or "at once" in str(error), error
print(json.dumps(won))
"""


def race(url: str, racers: int, rounds: int, pace: float) -> list[list[int]]:
    """Who won which rounds, of processes that take one output after the other, each at the same moment."""
    begin = time.time() + 1.5
    started = [
        subprocess.Popen(
            [sys.executable, "-c", RACER, url, f"racer{n}", str(rounds), str(begin), str(pace)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(racers)
    ]  # fmt: skip
    results = []
    for process in started:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        results.append(json.loads(out))
    return results


@contextmanager
def dead_and_free(root: Callable[[int], Root], rounds: int) -> Iterator[None]:
    """A third of the outputs has a dead job's lease, a third was released, a third is new."""
    past = Time(time.time() - 71)
    for turn in range(rounds):
        if turn % 3:
            lease = Lease.take(root(turn), "dead", clock=past.clock())
            if turn % 3 == 2:
                lease.release()
    yield


def test_of_processes_that_take_a_file_lease_at_once_one_wins(tmp_path: Path) -> None:
    rounds = 45
    with dead_and_free(lambda turn: Root(f"{tmp_path}/{turn}"), rounds):
        won = race(str(tmp_path), 4, rounds, 0.04)
    assert sorted(chain.from_iterable(won)) == list(range(rounds))
    for turn in range(rounds):
        there = current(Root(f"{tmp_path}/{turn}"))
        assert there is not None
        assert turn in won[int(there.holder.removeprefix("racer"))]


HOLDER = """
import sys, time
from oceanrecon.stores.files import Root
from oceanrecon.stores.processes import has_ended, own_process
from oceanrecon.stores.lease import Keeper, Lease
with Keeper(Lease.take(Root(sys.argv[1]), "victim", seconds=float(sys.argv[2]))) as keeper:
    print("taken", flush=True)
    sys.stdin.readline()
    print(keeper.lost, flush=True)
"""


@contextmanager
def holder(root: Root, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """A process that takes an output, renews its lease, and says what became of it when it is asked."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, root.url, str(seconds)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "taken\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def take_when_free(root: Root, seconds: float) -> Lease:
    end = time.monotonic() + 20
    while True:
        try:
            return Lease.take(root, "heir", seconds=seconds)
        except LeaseError as error:
            assert "job victim" in str(error)
            assert time.monotonic() < end, "it blocks for ever"
            time.sleep(0.02)


def test_a_killed_job_frees_its_output_when_its_lease_has_ended(root: Root) -> None:
    with holder(root, 1.5) as process:
        time.sleep(1.9)  # it renews: it would be free by now
        assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        killed = time.monotonic()
        with pytest.raises(LeaseError, match="job victim"):
            Lease.take(root, "heir")
        assert take_when_free(root, 60).held()
        assert time.monotonic() - killed < 10


def test_a_killed_job_that_is_resumed_goes_on_at_once(root: Root) -> None:
    with holder(root, 60) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert Lease.take(root, "victim").held()


def test_a_lease_that_ends_with_its_process_is_free_at_once_and_no_sooner(root: Root) -> None:
    code = (
        "import sys, time; from oceanrecon.stores.files import Root; from oceanrecon.stores.lease import Lease\n"
        "lease = Lease.take(Root(sys.argv[1]), 'victim', tied=True); print('taken', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, root.url], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "taken\n"
        with pytest.raises(LeaseError, match="job victim"):
            Lease.take(root, "heir")
        process.kill()
    assert current(root) is None
    assert Lease.take(root, "heir").held()


def test_only_a_process_that_is_in_sight_is_known_to_have_ended() -> None:
    own = own_process()
    here, number, began = own.rsplit(" ", 2)
    assert not has_ended(own) and not has_ended("")
    assert has_ended(f"{here} {number} {int(began) - 1}")  # its number was given to another since
    assert not has_ended(f"elsewhere/pid:[1] {number} {int(began) - 1}")  # another machine's, or a container's


def test_a_job_that_was_stopped_knows_that_it_has_lost_when_it_goes_on(root: Root) -> None:
    with holder(root, 0.9) as process:
        os.kill(process.pid, signal.SIGSTOP)
        lease = take_when_free(root, 60)
        os.kill(process.pid, signal.SIGCONT)
        assert process.stdin is not None
        assert process.stdout is not None
        print(file=process.stdin, flush=True)
        assert process.stdout.readline().startswith("nothing more is written for job victim")
        assert process.wait(10) == 0
    assert lease.held()
    fence(root, "heir")  # it has not been released by the one that went on


# --- renewals ------------------------------------------------------------------------------------------------------


def test_a_keeper_renews_and_releases(root: Root) -> None:
    with Keeper(Lease.take(root, "a", seconds=1.6)) as keeper:
        generations = set()
        end = time.monotonic() + 1.9
        while time.monotonic() < end:
            there = current(root)
            assert there is not None
            generations.add(there.generation)
            assert keeper.lost is None
            time.sleep(0.01)
        assert len(generations) > 3
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
    with Keeper(Lease.take(root, "a", seconds=2.0)) as keeper:
        failed = failing(monkeypatch, 5)
        time.sleep(1.9)
        assert failed == [5]
        assert not why(keeper)
        monkeypatch.undo()
        failing(monkeypatch, float("inf"))
        end = time.monotonic() + 5
        while not why(keeper).endswith("(the file server is away)") and time.monotonic() < end:
            time.sleep(0.01)
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
        time.sleep(1.0)
        assert "could not be renewed" in why(keeper)
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


# --- damage --------------------------------------------------------------------------------------------------------

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
    with pytest.raises(LeaseError, match=r"the lease of .* is damaged, so nobody knows .*\(in (600|599) s\)"):
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


# --- other stores --------------------------------------------------------------------------------------------------


def test_two_jobs_in_one_process_in_memory(memory: Root) -> None:
    lease = Lease.take(memory, "a")
    with pytest.raises(LeaseError, match="job a"):
        Lease.take(memory, "b")
    lease.renew()
    fence(memory, "a")
    lease.release()
    assert current(memory) is None
    assert Lease.take(memory, "b").held()


def test_a_store_without_compare_and_swap_is_told_of() -> None:
    root = Root("sftp://host/export")
    with pytest.warns(UserWarning, match="nothing prevents two jobs from writing to sftp://host/export at once"):
        lease = Lease.take(root, "a")
    lease.renew()
    assert lease.held()
    fence(root, "b")
    assert current(root) is None
    lease.release()
    assert not lease.held()


def test_on_s3_a_lease_is_taken_renewed_taken_over_and_released(bucket: str) -> None:
    root = Root(f"{bucket}/export")
    now = Time(time.time())
    lease = Lease.take(root, "a")
    fence(root, "a")
    with pytest.raises(LeaseError, match=r"job a .*\(in (70|69|68) s\)"):
        Lease.take(root, "b")
    lease.renew()
    lease.release()
    assert current(root) is None
    lease = Lease.take(root, "a", clock=now.clock())
    now.now += 71
    heir = Lease.take(root, "b", clock=now.clock())
    with pytest.raises(LeaseError, match="could not be renewed"):
        lease.renew()
    lease.release()
    assert heir.held()
    heir.renew()
    with pytest.raises(LeaseError, match="job b"):
        fence(root, "a")
    first, heir = heir, Lease.take(root, "b", clock=now.clock())
    with pytest.raises(LeaseError, match="a newer one goes on"):
        first.renew()
    assert root.list() == ["lease.json"]
    root.write("lease.json", b"garbage")
    with pytest.raises(LeaseError, match="damaged"):
        Lease.take(root, "c")
    with pytest.raises(LeaseError, match="damaged"):
        heir.renew()
    now.now += LONGEST
    assert Lease.take(root, "c", clock=now.clock()).held()


def test_on_s3_one_that_read_before_another_took_it_does_not_win(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Root(f"{bucket}/export")
    for _ in range(2):  # new, then released
        others: list[Lease] = []
        parse = leases._parse

        def late(seen: Any, parse: Any = parse, others: list[Lease] = others) -> Any:
            monkeypatch.setattr(leases, "_parse", parse)
            others.append(Lease.take(root, "quick"))
            return parse(seen)

        monkeypatch.setattr(leases, "_parse", late)
        with pytest.raises(LeaseError, match="job quick"):
            Lease.take(root, "slow")
        others[0].renew()
        others[0].release()


def test_of_processes_that_take_a_lease_on_s3_at_once_one_wins(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server looks and writes in two steps, which S3 does in one: the proxy lets one request in at a time."""
    one_at_a_time, forward = threading.Lock(), server._Handler._forward

    def serial(self: Any, *args: Any) -> Any:
        with one_at_a_time:
            return forward(self, *args)

    monkeypatch.setattr(server._Handler, "_forward", serial)
    url, rounds = s3.new_bucket(), 12
    with Proxy(s3.endpoint) as proxy, environment(proxy.endpoint):
        with dead_and_free(lambda turn: Root(f"{url}/{turn}"), rounds):
            won = race(url, 3, rounds, 0.3)
    assert sorted(chain.from_iterable(won)) == list(range(rounds))


def test_on_s3_busy_answers_and_lost_ones_do_no_harm(s3: Server) -> None:
    url = s3.new_bucket()
    with Proxy(s3.endpoint) as proxy, environment(proxy.endpoint):
        root = Root(f"{url}/export")
        faults = [proxy.add(Fault(status=503, method="GET")), proxy.add(Fault(cut=True, lost=True, method="PUT"))]
        lease = Lease.take(root, "a")
        faults += [proxy.add(Fault(cut=True, lost=True, method="PUT")), proxy.add(Fault(cut=True, method="GET"))]
        lease.renew()
        faults += [proxy.add(Fault(cut=True, after=20, method="GET"))]
        lease.hold.check()
        faults += [proxy.add(Fault(status=503, method="PUT"))]
        lease.release()
        assert [fault.hits for fault in faults] == [1] * len(faults)
        assert current(root) is None


def test_a_server_that_overlooks_conditions_is_told_of(s3: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    forward = server._Handler._forward

    def overlooks(self: Any, body: bytes, headers: dict[str, str]) -> Any:
        kept = {name: value for name, value in headers.items() if not name.lower().startswith("if-")}
        return forward(self, body, kept)

    monkeypatch.setattr(server._Handler, "_forward", overlooks)
    url = s3.new_bucket()
    with Proxy(s3.endpoint) as proxy, environment(proxy.endpoint):
        with pytest.warns(UserWarning, match="nothing prevents two jobs"):
            lease = Lease.take(Root(f"{url}/export"), "a")
        lease.renew()
        fence(Root(f"{url}/export"), "a")


def test_a_task_looks_once_and_writes_nothing(s3: Server, root: Root) -> None:
    url = s3.new_bucket()
    with Proxy(s3.endpoint) as proxy, environment(proxy.endpoint), warnings.catch_warnings():
        remote = Root(f"{url}/export")
        hold = Lease.take(remote, "a").hold
        with proxy.counting() as count:
            hold.check()
        assert [one.method for one in count.seen] == ["GET"]
    hold = Lease.take(root, "a").hold
    before = os.stat(f"{root.url}/lease").st_mtime_ns
    started = time.perf_counter()
    for _ in range(100):
        hold.check()
        current(root)
    assert time.perf_counter() - started < 1.0
    assert os.stat(f"{root.url}/lease").st_mtime_ns == before


def test_who_only_looks_need_not_have_the_right_time(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease.take(root, "a")
    monkeypatch.setattr("oceanrecon.stores.swap.time.time", lambda: os.stat(f"{root.url}/lease").st_mtime + 120)
    there = current(root)
    assert there is not None and there.holder == "a"
    lease.release()
    assert current(root) is None
