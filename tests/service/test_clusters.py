from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask
import psutil
import pytest
from bokeh.util.token import generate_jwt_token, generate_session_id
from distributed import Client, Security, SpecCluster
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from oceanrecon.cluster_config import ClusterStart
from oceanrecon.config import ClusterSettings, parse_settings
from oceanrecon.errors import ClusterError, ConfigError, InsecureWarning
from oceanrecon.service import connect as connecting
from oceanrecon.service.clusters import address, local
from oceanrecon.service.clusters.base import DASK, WORKER_ENVIRONMENT, environment
from oceanrecon.service.clusters.certificates import make_certificates
from oceanrecon.service.clusters.keeper import scheduler_options
from oceanrecon.service.clusters.listening import origins
from oceanrecon.service.clusters.local import local_cluster
from oceanrecon.service.clusters.security import tls_security
from oceanrecon.service.connect import connect
from oceanrecon.service.dashboard.plugin import install
from tests.clusters import Cluster, arguments, cluster

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"kind": "lokal"}, "kind"),
        ({"kind": "local", "wokers": {}}, "did you mean 'workers'"),
        ({"kind": "local", "slurm": {}}, "`slurm` is not read with `kind: local`"),
        (
            {"kind": "address", "address": {"url": "tls://host:1"}, "dashboard": "127.0.0.1:1"},
            "`dashboard` is not read",
        ),
        ({"kind": "address"}, "needs the section `address`"),
        ({"kind": "local", "dashboard": "8787"}, "HOST:PORT"),
        ({"kind": "local", "dashboard": "127.0.0.1:99999"}, "HOST:PORT"),
        ({"kind": "local", "scheduler": {"host": "tcp://127.0.0.1"}}, "is not a host"),
        ({"kind": "local", "scheduler": {"host": "127.0.0.1:8786"}}, "is not a host"),
        ({"kind": "local", "workers": {"memory": "2"}}, "is not a size"),
        ({"kind": "local", "workers": {"count": 0}}, "workers.count"),
        ({"kind": "local", "workers": {"lifetime": "1 h"}}, "is for batch systems"),
        ({"kind": "slurm", "workers": {"memory": "2 GB", "lifetime": "12 h"}}, "not below the walltime '12:00:00'"),
        ({"kind": "slurm", "workers": {"memory": "2 GB", "lifetime": "soon"}}, "is not a duration"),
        *(
            ({"kind": "slurm", "workers": {"memory": "2 GB"}, "slurm": {"directives": [line]}}, "what a job runs")
            for line in (
                "--export=ALL,BASH_ENV=/shared/evil.sh",
                "--exp=ALL,BASH_ENV=/shared/evil.sh",
                "--constraint=skylake --wrap id",
                "--output=/home/me/.bashrc",
                '--ou"t"=/home/me/.bashrc',
                "-o /home/me/.bashrc",
                "-D/home/me",
                "-Ho/home/me/.bashrc",
            )
        ),
        *(
            (
                {
                    "kind": "kubernetes",
                    "workers": {"memory": "2 GB"},
                    "kubernetes": {"image": "x", "environment": {name: "x"}},
                },
                f"{name} says what code is run",
            )
            for name in ("DASK_DISTRIBUTED__SCHEDULER__PRELOAD", "LD_PRELOAD", "PYTHONSTARTUP", "BASH_ENV", "PATH")
        ),
    ],
)
def test_a_mistake_in_a_config_is_said_before_anything_starts(data: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_settings(ClusterStart, data, "cluster.yaml")
    assert said in str(refused.value)


def test_a_lifetime_below_the_walltime_is_accepted() -> None:
    data = {"kind": "slurm", "workers": {"memory": "2 GB", "lifetime": "50 min"}, "slurm": {"walltime": "1:00:00"}}
    assert parse_settings(ClusterStart, data, "cluster.yaml").workers.lifetime == "50 min"


def test_every_adapter_gives_its_workers_the_same_environment() -> None:
    from dask.config import collect_env, get

    found = collect_env(environment())
    assert {key: get(key, config=found) for key in DASK} == DASK
    assert environment().items() >= WORKER_ENVIRONMENT.items()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certificates") / "tls").folder


@pytest.fixture(scope="module")
def secured(certificates: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with TLS."""
    with cluster({"security": {"folder": str(certificates)}}, tmp_path_factory.mktemp("secured")) as running:
        yield running


def test_a_client_with_its_certificate_works(secured: Cluster, command: Command) -> None:
    assert secured.address.startswith("tls://127.0.0.1:")
    for _ in range(2):  # the cluster stays when a client leaves
        with connect(secured.address, ClusterSettings(), secured.tls) as client:
            assert client.submit(int, "7").result() == 7
            assert client.submit(lambda: logging.getLogger("distributed.sizeof").level).result() == logging.ERROR
            assert client.security.require_encryption
    code, out, err = command("cluster", "status", "--scheduler", secured.address, "--tls", secured.tls)
    assert code == 0 and not err and "workers            1" in out and "dask" in out
    code, out, _ = command("cluster", "status", "--scheduler", secured.address, "--tls", secured.tls, "--json")
    found = json.loads(out)
    assert found["dashboard"] == secured.described["dashboard"] and found["memory_per_worker"] == 10**9


def test_clients_without_the_certificates_of_the_cluster_are_refused(
    secured: Cluster, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    other = make_certificates(tmp_path / "other").folder
    plain = secured.address.replace("tls://", "tcp://")
    for options, said in (
        ([secured.address], "no folder of certificates"),
        ([secured.address, "--tls", str(other)], "does not pass with the authority"),
        ([plain], f"the scheduler at {plain} has TLS: write {secured.address}"),
    ):
        before = time.monotonic()
        code, out, err = command("cluster", "status", "--scheduler", *options)
        assert code == 1 and said in err and "Traceback" not in err + out
        assert time.monotonic() - before < 8
    # what counts is that the scheduler refuses them, whatever our client says first
    with pytest.raises(OSError, match=r"certificate|Timed out"):
        Client(secured.address, security=tls_security(other), timeout="2s")
    with pytest.raises(OSError, match=r"Timed out|closed"):
        Client(plain, timeout="2s")


def test_a_certificate_that_the_cluster_does_not_know_is_named(secured: Cluster, tmp_path: Path) -> None:
    """Of the right authority for us, of another for the scheduler: TLS 1.3 says so only after its handshake."""
    folder = make_certificates(tmp_path / "mixed").folder
    mixed = Security(
        require_encryption=True,
        tls_ca_file=f"{secured.tls}/ca.pem",
        tls_client_cert=str(folder / "client.pem"),
        tls_client_key=str(folder / "client-key.pem"),
    )
    with (
        pytest.raises(ClusterError, match=rf"refused the certificate {folder / 'client.pem'} \(.*unknown ca\)"),
        address.remote_client(secured.address, mixed),
    ):
        raise AssertionError("it was let in")


def test_nothing_of_a_cluster_listens_beyond_this_machine(secured: Cluster) -> None:
    listening = [
        connection.laddr.ip
        for process in secured.processes()
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    # scheduler, its pages, a nanny, a worker, its pages
    assert len(listening) >= 5 and set(listening) == {"127.0.0.1"}


async def _read(place: str, page: str, origin: str) -> None:
    """As a page of some site does: it needs nothing but the address."""
    request = HTTPRequest(f"ws://{place}/{page}/ws", headers={"Origin": origin})
    token = generate_jwt_token(generate_session_id())
    connection = await websocket_connect(request, subprotocols=["bokeh", token])
    connection.close()
    while await connection.read_message() is not None:
        pass


def test_pages_of_other_sites_do_not_read_the_dashboard(secured: Cluster) -> None:
    place = secured.described["dashboard"].split("/")[2]
    with connect(secured.address, ClusterSettings(), secured.tls) as client:
        install(client)
    for page in ("status", "exports"):
        for own in (place, place.replace("127.0.0.1", "localhost")):
            asyncio.run(_read(place, page, f"http://{own}"))
        for other in ("https://evil.example", "http://127.0.0.1:1", f"http://{place}.evil.example"):
            with pytest.raises(HTTPClientError, match="403"):
                asyncio.run(_read(place, page, other))


def test_pages_of_other_sites_do_not_read_the_dashboard_of_a_run_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "distributed.scheduler.dashboard.bokeh-application.allow_websocket_origin"
    found: list[str] = []

    def started(dashboard: str, **_: object) -> None:
        found.extend(dask.config.get(key))
        assert dashboard in found
        raise RuntimeError("enough")

    monkeypatch.setattr(connecting, "local_cluster", started)
    with pytest.raises(ClusterError, match="enough"), connect(None, ClusterSettings(dashboard="127.0.0.1:0")):
        raise AssertionError("it started")
    assert found and "*" not in found
    with dask.config.set({key: ["hub.example"]}):  # a proxy that the user knows of
        assert "hub.example" in origins("127.0.0.1:8787")[key]


def test_workers_are_set_up_for_tasks_that_stream(secured: Cluster) -> None:
    with connect(secured.address, ClusterSettings(), secured.tls) as client:
        (found,) = client.run(lambda: dict(os.environ)).values()
        assert found.items() >= WORKER_ENVIRONMENT.items()
        (held,) = client.run(lambda: {key: dask.config.get(key) for key in DASK}).values()
        assert held == DASK
        (worker,) = client.scheduler_info()["workers"].values()
        assert (worker["nthreads"], worker["memory_limit"]) == (1, 10**9)


def _lines(process: subprocess.Popen[str], until: str) -> str:
    assert process.stdout is not None
    said = ""
    while until not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    return said


def test_a_cluster_in_a_terminal(tmp_path: Path, command: Command) -> None:
    """Says what it is, who comes and goes, replaces a worker that dies, and leaves nothing at Ctrl-C."""
    process = subprocess.Popen(
        arguments({}, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        said = _lines(process, "joined")
        scheduler = next(line.split()[1] for line in said.splitlines() if line.startswith("scheduler"))
        assert f"oceanrecon submit EXPORT.yaml --scheduler {scheduler}" in said and "1 worker joined: tcp://" in said
        assert "kind               local" in said and "http://127.0.0.1:" in said

        port = scheduler.rpartition(":")[2]
        code, _, err = command("cluster", "start", tmp_path / "cluster.yaml", "--set", f"scheduler.port={port}")
        assert code == 1 and f"port {port} is in use on 127.0.0.1" in err and "scheduler.port" in err
        code, _, err = command("cluster", "start", tmp_path / "cluster.yaml", "--set", f"dashboard=127.0.0.1:{port}")
        assert code == 1 and f"127.0.0.1:{port} is in use" in err and "set dashboard" in err

        workers = psutil.Process(process.pid).children(recursive=True)
        with connect(scheduler, ClusterSettings()) as client:
            (first,) = client.run(os.getpid).values()
        os.kill(first, signal.SIGKILL)
        if "now 1" not in _lines(process, "1 worker left"):  # both may be one line
            _lines(process, "now 1")
        with connect(scheduler, ClusterSettings()) as client:
            (second,) = client.run(os.getpid).values()
        assert second != first
        workers += psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        said = process.communicate(timeout=60)[0]
        assert process.returncode == 0 and said.endswith("ended\n") and "KeyboardInterrupt" not in said
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert not alive


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_cluster_that_is_stopped_while_it_starts(tmp_path: Path, number: int) -> None:
    process = subprocess.Popen(
        arguments({}, tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # below nohup it would be ignored
    )  # fmt: skip
    children: list[psutil.Process] = []
    while not children and process.poll() is None:
        children = psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.05)
    process.send_signal(number)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130 and "Traceback" not in said
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_a_scheduler_that_is_killed_leaves_one_message_and_no_workers(tmp_path: Path) -> None:
    from oceanrecon.pipeline.tasks import Task, TaskRun
    from oceanrecon.stores.files import Root

    with cluster({}, tmp_path) as running:
        processes = running.processes()
        with (
            connect(running.address, ClusterSettings()) as client,
            pytest.raises(ClusterError, match="connection to the Dask cluster was lost"),
            TaskRun(client, Root(str(tmp_path))) as run,
        ):
            for outcome in run.outcomes([Task("wait", str(n), time.sleep, (60 * n,)) for n in range(2)]):
                assert outcome.error is None
                running.process.kill()
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not alive
    with pytest.raises(ClusterError, match="does not answer"), connect(running.address, ClusterSettings()):
        raise AssertionError("it answered")


def _workers(cluster: SpecCluster) -> set[str]:
    assert cluster.scheduler is not None
    return set(cluster.scheduler.workers)


def test_a_worker_that_dask_gives_up_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_REPLACE", 0.2)
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1ms"}),
        local_cluster(workers=1, memory=10**9, dashboard="127.0.0.1:0") as running,
    ):
        before = _workers(running)
        assert len(before) == 1
        running.sync(running.workers[0].close)  # the nanny too
        end = time.monotonic() + 30
        while not _workers(running) - before:
            assert time.monotonic() < end
            time.sleep(0.1)


def test_this_process_keeps_its_environment_when_a_cluster_of_its_own_starts_and_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dask sets that of workers in this process: what it starts later would have one thread and slow memory, too."""
    for name in WORKER_ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")  # whoever sets one has it in workers, too
    before = _settings()
    with connect(None, ClusterSettings(workers=1)) as client:
        assert _settings() == before
        (seen,) = client.run(lambda: {name: os.environ.get(name) for name in WORKER_ENVIRONMENT}).values()
        assert seen == WORKER_ENVIRONMENT | {"OMP_NUM_THREADS": "7"}
        client.restart()  # it is set once more
    assert _settings() == before


def _settings() -> dict[str, str]:
    """The environment but for what dask knows its own processes by, and pytest its test."""
    return {name: os.environ[name] for name in os.environ if not name.startswith(("__DASK", "PYTEST"))}


@pytest.fixture(scope="module")
def empty() -> Iterator[str]:
    """Address of a scheduler without workers."""
    with local_cluster(workers=0, memory=0, dashboard="127.0.0.1:0") as running:
        yield running.scheduler_address


def test_a_scheduler_without_workers_is_no_cluster(empty: str, command: Command, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="has no workers"), connect(empty, ClusterSettings()):
        raise AssertionError("it is one")
    (tmp_path / "address.yaml").write_text(f"kind: address\naddress:\n  url: {empty}\n")
    code, _, err = command("cluster", "start", tmp_path / "address.yaml")
    assert code == 1 and "has no workers" in err


@pytest.mark.parametrize(
    ("place", "package", "said"),
    [
        ("scheduler", "dask", r"dask is \S+ here and 1999\.1 on the scheduler"),
        ("workers", "oceanrecon", r"oceanrecon is \S+ here and 1999\.1 on 1 of 2 workers"),
        ("workers", "python", r"python is 3\.\d+ here and 1999\.1 on 1 of 2 workers"),
    ],
)
def test_other_versions_on_the_cluster_are_named(
    empty: str, monkeypatch: pytest.MonkeyPatch, place: str, package: str, said: str
) -> None:
    everywhere = address._everywhere

    def changed(client: Client) -> Any:
        found = everywhere(client)
        found["workers"] = {name: json.loads(json.dumps(found["scheduler"])) for name in ("a", "b")}
        changing = found["scheduler"] if place == "scheduler" else found["workers"]["b"]
        changing["packages"][package] = "1999.1.7"[: 8 if package == "python" else 6]
        return found

    monkeypatch.setattr(address, "_everywhere", changed)
    with pytest.raises(ClusterError, match=f"{said}.*Install the same"), connect(empty, ClusterSettings()):
        raise AssertionError("they pass")


def test_a_cluster_that_somebody_else_started(secured: Cluster, certificates: Path, tmp_path: Path) -> None:
    config = {"kind": "address", "address": {"url": secured.address}, "security": {"folder": str(certificates)}}
    (tmp_path / "address.yaml").write_text(json.dumps(config))
    line = [sys.executable, "-c", "from oceanrecon.cli import main; main()", "cluster", "start"]
    process = subprocess.Popen([*line, str(tmp_path / "address.yaml")], stdout=subprocess.PIPE, text=True)
    said = _lines(process, "1 worker joined")
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 0 and "kind               address" in said and secured.address in said
    with connect(secured.address, ClusterSettings(), certificates) as client:  # it is not ours to end
        assert client.submit(int, "7").result() == 7


def test_an_address_and_its_certificates_go_together(certificates: Path, tmp_path: Path, command: Command) -> None:
    for url, folder, said in (
        ("tls://127.0.0.1:9", None, "needs certificates: set security.folder"),
        ("tcp://127.0.0.1:9", str(certificates), "is an address without TLS, and security.folder is set"),
        ("127.0.0.1:9", None, "is not the address of a scheduler"),
    ):
        config = {"kind": "address", "address": {"url": url}, "security": folder and {"folder": folder}}
        (tmp_path / "address.yaml").write_text(json.dumps(config))
        code, _, err = command("cluster", "start", tmp_path / "address.yaml")
        assert code == 1 and said in err


def _silent() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


def test_what_is_no_scheduler_is_said_in_seconds(certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "_PATIENCE", 1.0)
    with _silent() as server:
        port = server.getsockname()[1]
        for scheme, said in (("tcp", "does not answer as a Dask scheduler"), ("tls", "did not finish a TLS handshake")):
            with (
                pytest.raises(ClusterError, match=said),
                connect(f"{scheme}://127.0.0.1:{port}", ClusterSettings(), certificates),
            ):
                raise AssertionError("it is one")
    for url in ("127.0.0.1:8786", "tcp://", "tcp://127.0.0.1", "http://127.0.0.1:8786", "tcp://host:port"):
        with pytest.raises(ClusterError, match="is not the address of a scheduler"), connect(url, ClusterSettings()):
            raise AssertionError("it is one")


def test_a_scheduler_that_stands_still_for_a_moment_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "_PATIENCE", 3.0)
    with _silent() as server:
        host, port = server.getsockname()

        def late() -> None:
            connection, _ = server.accept()
            with connection:
                server.accept()[0].close()  # the first half of the patience is over: TLS is tried
                connection.sendall(b"hello")

        server.settimeout(60)
        speaking = threading.Thread(target=late)
        speaking.start()
        address._probe(f"tcp://{host}:{port}", host, port, None)
        speaking.join()


def test_a_scheduler_listens_on_an_address_of_ipv6() -> None:
    settings = parse_settings(
        ClusterStart,
        {"kind": "ssh", "scheduler": {"host": "[::1]", "port": 0}, "dashboard": "127.0.0.1:0", "ssh": {"hosts": ["a"]}},
        "test",
    )
    # dask takes ::1 for a name
    assert scheduler_options(settings, None, False)["host"] == "[::1]"


def test_plain_connections_to_other_machines_are_not_silent(
    certificates: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    with _silent() as server:
        closed = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    for module in ("connect", "clusters.address"):
        monkeypatch.setattr(f"oceanrecon.service.{module}.beyond_loopback", lambda host: True)
    with (
        pytest.warns(InsecureWarning, match="neither encrypted nor authenticated"),
        pytest.raises(ClusterError, match="does not answer"),
        connect(closed, ClusterSettings()),
    ):
        raise AssertionError("it answered")
    with pytest.raises(ClusterError, match="without TLS, and certificates are given"):
        with connect(closed, ClusterSettings(), certificates):
            raise AssertionError("it answered")
    monkeypatch.setenv("OCEANRECON_SCHEDULER", closed)
    monkeypatch.setenv("OCEANRECON_TLS", str(certificates))
    code, _, err = command("cluster", "status")
    assert code == 1 and f"write {closed.replace('tcp', 'tls')}" in err


@pytest.mark.filterwarnings("default::oceanrecon.errors.InsecureWarning")
def test_a_warning_about_safety_is_one_line(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with _silent() as server:
        closed = f"tcp://127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setattr("oceanrecon.service.clusters.address.beyond_loopback", lambda host: True)
    code, _, err = command("cluster", "status", "--scheduler", closed)
    assert code == 1 and err.startswith("warning: the connection to") and len(err.splitlines()) == 2
