"""Risk: in some order of steps, or with some difference of clocks, two have a lease."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oceanrecon.errors import LeaseError
from oceanrecon.stores import lease as leases
from oceanrecon.stores.files import Root
from oceanrecon.stores.lease import Lease
from tests.stores.leases import Time
from tests.stores.test_swap import Conditional, Numbered
from tests.stores.turns import Turns, every_order


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
@settings(max_examples=150)
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
