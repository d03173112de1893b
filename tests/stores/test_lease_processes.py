"""Risk: of real processes two have a lease, or a killed one keeps it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import pytest

from oceanrecon.errors import LeaseError
from oceanrecon.stores.files import Root
from oceanrecon.stores.lease import Lease, current
from oceanrecon.stores.processes import has_ended, own_process
from tests.stores.leases import dead_and_free, fence, race


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
    with holder(root, 3) as process:
        time.sleep(3.8)  # it renews: it would be free by now
        assert process.poll() is None
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        killed = time.monotonic()
        with pytest.raises(LeaseError, match="job victim"):
            Lease.take(root, "heir")
        assert take_when_free(root, 60).held()
        assert time.monotonic() - killed < 15


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
