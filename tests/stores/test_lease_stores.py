"""Risk: in memory, on S3, or where nothing can be swapped, a lease does not keep others away."""

from __future__ import annotations

import os
import threading
import time
import warnings
from itertools import chain
from typing import Any

import pytest

from oceanrecon.errors import LeaseError
from oceanrecon.stores import lease as leases
from oceanrecon.stores.files import Root
from oceanrecon.stores.lease import Lease, current
from oceanrecon.stores.lease_record import LONGEST, parse
from tests import s3 as server
from tests.clocks import set_clock
from tests.s3 import Fault, Proxy, Server, environment
from tests.stores.leases import Time, dead_and_free, fence, race


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
    with pytest.raises(LeaseError, match=r"job a .*\(in (70|6\d) s\)"):
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

        def late(seen: Any, others: list[Lease] = others) -> Any:
            monkeypatch.setattr(leases, "parse", parse)
            others.append(Lease.take(root, "quick"))
            return parse(seen)

        monkeypatch.setattr(leases, "parse", late)
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
    hold.check()
    current(root)
    assert os.stat(f"{root.url}/lease").st_mtime_ns == before


def test_who_only_looks_need_not_have_the_right_time(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    lease = Lease.take(root, "a")
    set_clock(monkeypatch, "oceanrecon.stores.swap", time=lambda: os.stat(f"{root.url}/lease").st_mtime + 120)
    there = current(root)
    assert there is not None and there.holder == "a"
    lease.release()
    assert current(root) is None
