"""Risks of SSH: a machine that is not the one it says, a password in a config, workers that nobody replaces or ends."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client, get_worker

from oceanrecon.cluster_config import ClusterStart
from oceanrecon.config import parse_settings
from oceanrecon.errors import ClusterError, ConfigError, MissingExtraError
from oceanrecon.service.clusters import ssh as adapter
from oceanrecon.service.clusters.certificates import make_certificates
from oceanrecon.service.clusters.start import start
from tests.sshd import Server, sshd


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with sshd() as running:
        yield running


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "_EVERY", 0.5)


def settings(server: Server | None = None, **changes: Any) -> ClusterStart:
    ssh: dict[str, Any] = {"hosts": ["127.0.0.1"]}
    if server is not None:
        ssh |= {
            "user": server.user,
            "port": server.port,
            "key": str(server.key),
            "known_hosts": str(server.known_hosts),
        }
    values: dict[str, Any] = {
        "kind": "ssh",
        "workers": {"count": 2, "memory": "500 MB"},
        "scheduler": {"port": 0},
        "dashboard": "127.0.0.1:0",
        "ssh": ssh,
    }
    for name, value in changes.items():
        values[name] = {**values[name], **value} if isinstance(values.get(name), dict) else value
    return parse_settings(ClusterStart, values, "test")


def _where(client: Client, tasks: int = 8) -> set[tuple[int, str | None, str | None, int, bool]]:
    """Of the workers: what looks after them, their session, environment, threads, and whether they speak TLS."""

    # of a function of a module a worker is told the name alone, and over SSH it has not our modules
    def where(_: int) -> tuple[int, str | None, str | None, int, bool]:
        worker = get_worker()
        session, trim = os.environ.get("SSH_CONNECTION"), os.environ.get("MALLOC_TRIM_THRESHOLD_")
        return os.getppid(), session, trim, worker.state.nthreads, worker.address.startswith("tls://")

    return set(client.gather(client.map(where, range(tasks), pure=False)))


def test_workers_over_ssh_work_with_tls_are_replaced_and_end_with_the_cluster(server: Server, tmp_path: Path) -> None:
    make_certificates(tmp_path / "tls")
    config = settings(server, security={"folder": str(tmp_path / "tls")})
    with start(config) as running, running.client() as client:
        client.wait_for_workers(2, timeout=60)
        found = _where(client)
        assert {each[2:] for each in found} == {("65536", 1, True)}
        assert all(session is not None and session.startswith("127.0.0.1 ") for _, session, *_ in found)

        (parent,) = {nanny for nanny, *_ in found}
        os.kill(parent, signal.SIGKILL)
        workers = set(client.scheduler_info(n_workers=-1)["workers"])
        until(lambda: len(set(client.scheduler_info(n_workers=-1)["workers"]) - workers) == 2)
        (second,) = {nanny for nanny, *_ in _where(client)}
    until(lambda: not psutil.pid_exists(second))


def test_workers_that_outlive_their_connection_are_not_started_twice(server: Server) -> None:
    with start(settings(server)) as running, running.client() as client:
        client.wait_for_workers(2, timeout=60)
        parents = {nanny for nanny, *_ in _where(client)}
        (session,) = {psutil.Process(parent).ppid() for parent in parents}
        os.kill(session, signal.SIGKILL)
        time.sleep(3)
        assert {nanny for nanny, *_ in _where(client)} == parents
    until(lambda: not any(psutil.pid_exists(parent) for parent in parents))


def test_a_machine_whose_key_is_not_known_is_refused(server: Server, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("")
    with (
        pytest.raises(ClusterError, match=r"127\.0\.0\.1 is not the machine that is known by this name.*fingerprint"),
        start(settings(server, ssh={"known_hosts": str(tmp_path / "known_hosts")})),
    ):
        pass


def test_no_known_hosts_at_all_trusts_nobody(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    stated = settings(server).ssh
    assert stated is not None
    assert "known_hosts" not in adapter._connection(stated.model_copy(update={"known_hosts": None}))
    with (
        pytest.raises(ClusterError, match="is not the machine that is known by this name"),
        start(settings(server, ssh={"known_hosts": None})),
    ):
        pass


def test_a_user_whom_a_machine_does_not_know_is_told_how_to_be_let_in(server: Server, tmp_path: Path) -> None:
    import asyncssh

    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(tmp_path / "other"))
    with (
        pytest.raises(ClusterError, match=r"does not let you in .*ssh-add"),
        start(settings(server, ssh={"key": str(tmp_path / "other")})),
    ):
        pass


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"port": 1}, r"127\.0\.0\.1 is not reached by SSH"),
        ({"python": "/nonexistent/python"}, "workers on 127.0.0.1 ended as they started: exit status 127"),
    ],
)
def test_what_is_wrong_is_told_at_once(server: Server, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ClusterError, match=words), start(settings(server, ssh=changes)):
        pass


def test_workers_elsewhere_are_not_left_open_to_whoever_reaches_them() -> None:
    """Nor to who listens at their own 127.0.0.1:8786."""
    with pytest.raises(ClusterError, match=r"workers on 192\.0\.2\.7 would run.*set security\.folder"):
        with start(settings(ssh={"hosts": ["127.0.0.1", "192.0.2.7"]})):
            pass


def test_nothing_of_a_config_is_read_by_the_shell_of_a_machine() -> None:
    stated = settings(ssh={"python": "/opt/py; touch /tmp/x"})
    assert stated.ssh is not None
    machine = adapter._Machine(
        "tcp://127.0.0.1:1",
        name="a",
        host="a",
        library=None,
        connection={},
        command=adapter._command(stated, stated.ssh, None),
    )
    assert " '/opt/py; touch /tmp/x' -m distributed.cli.dask_worker " in machine._command


def test_certificates_of_a_machine_may_lie_elsewhere(tmp_path: Path) -> None:
    from oceanrecon.service.clusters.security import tls_security

    make_certificates(tmp_path / "tls")
    stated = settings(ssh={"certificates": "/etc/oceanrecon/tls"}, security={"folder": str(tmp_path / "tls")})
    assert stated.ssh is not None
    command = adapter._command(stated, stated.ssh, tls_security(tmp_path / "tls"))
    for option, name in (("--tls-ca-file", "ca.pem"), ("--tls-cert", "worker.pem"), ("--tls-key", "worker-key.pem")):
        assert command[command.index(option) + 1] == f"/etc/oceanrecon/tls/{name}"
    assert "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION=True" in command


@pytest.mark.parametrize(
    ("ssh", "words"), [({"password": "secret"}, "password"), ({"hosts": ["a", "b", "a"]}, "a is named twice")]
)
def test_settings_that_cannot_be_are_refused(ssh: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings(ssh=ssh)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncssh", None)
    with pytest.raises(MissingExtraError, match=r"constraints.txt -e '\.\[cluster\]'"), start(settings()):
        pass


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)
