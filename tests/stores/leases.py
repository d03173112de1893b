"""Clocks, tasks and processes for the tests of leases."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oceanrecon.stores import swap
from oceanrecon.stores.files import Root
from oceanrecon.stores.lease import Clock, Hold, Lease
from oceanrecon.stores.lease_record import LEASE, parse


class Time:
    """Clocks of several machines, which go equally fast and may show different times."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self.now = start

    def clock(self, ahead: float = 0.0) -> Clock:
        return Clock(steady=lambda: self.now - 1e9, wall=lambda: self.now + ahead)


def fence(root: Root, holder: str) -> None:
    """As a task of whoever holds it now looks, if it were of that job."""
    seen = swap.register(root, LEASE)
    there = None if seen is None else parse(seen.read())
    Hold(root.url, holder, "" if there is None else there.token).check()


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
