"""Risks of Kubernetes: a resource that the operator or the API takes otherwise than meant, pods that others can reach,
keys where they are not needed, a wait for what never comes.

No cluster is here: ``tests.kubernetes_api`` says what stands in for it.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from oceanrecon.cluster_config import ClusterStart
from oceanrecon.config import load_settings, parse_settings
from oceanrecon.errors import ClusterError, ConfigError, MissingExtraError
from oceanrecon.service.clusters import kubernetes as adapter
from oceanrecon.service.clusters.certificates import make_certificates
from oceanrecon.service.clusters.start import start
from tests.kubernetes_api import Kubernetes, deployments, kubernetes, schema, write_kubeconfig

# neither has types
jsonschema: Any = importlib.import_module("jsonschema")
kubernetes_validate: Any = importlib.import_module("kubernetes_validate")

ROOT = Path(__file__).parents[2]
#: Of Kubernetes, whose schemas check what the operator makes: the newest and the oldest that the validator has.
VERSIONS = ("1.34", "1.29")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("kubernetes") / "tls").folder


@pytest.fixture(scope="module")
def api(tls: Path) -> Iterator[Kubernetes]:
    with kubernetes(tls) as running:
        yield running


@pytest.fixture
def there(api: Kubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kubernetes]:
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "kubeconfig", api.port)))
    try:
        yield api
        assert not api._there
    finally:
        api.operator, api.waiting = True, ""


def settings(tls: Path | None, port: int = 1, **changes: Any) -> ClusterStart:
    values: dict[str, Any] = {
        "kind": "kubernetes",
        "workers": {"count": 2, "memory": "500 MB"},
        "kubernetes": {
            "image": "registry.example/oceanrecon:1.0",
            "namespace": "ocean",
            "context": f"port-{port}",
            "patience": "1 min",
        },
    }
    if tls is not None:
        values["security"] = {"folder": str(tls)}
    for name, value in changes.items():
        values[name] = {**values[name], **value} if isinstance(values.get(name), dict) else value
    return parse_settings(ClusterStart, values, "test")


def test_pods_run_their_commands_with_tls_and_are_reached_by_forwarded_ports(there: Kubernetes, tls: Path) -> None:
    with start(settings(tls, there.port)) as running:
        assert running.address.startswith("tls://127.0.0.1:")
        with running.client() as client:
            client.wait_for_workers(2, timeout=60)
            assert client.submit(sum, [1, 2]).result() == 3
            workers = client.scheduler_info(n_workers=-1)["workers"]
            assert {worker["memory_limit"] for worker in workers.values()} == {500_000_000}
            assert {worker["nthreads"] for worker in workers.values()} == {1}
            assert all(address.startswith("tls://") for address in workers)
        assert running.dashboard is not None
        with urllib.request.urlopen(running.dashboard.replace("/status", "/health"), timeout=30) as answer:
            assert answer.read() == b"ok"
    # the context's end deleted it
    with pytest.raises(ClusterError, match="the scheduler's pod oceanrecon-scheduler does not start"):
        there.waiting = "ImagePullBackOff"
        with start(settings(tls, there.port)):
            pass


def test_connections_that_are_left_end_in_silence(
    there: Kubernetes, tls: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    in_its_loop: list[bool] = []
    close = asyncio.Server.close

    def watched(server: asyncio.Server) -> None:
        in_its_loop.append(server.get_loop() is asyncio._get_running_loop())
        close(server)

    with monkeypatch.context() as patch, socket.socket() as left:
        patch.setattr(there, "stop", lambda: None)  # pods take a while to end
        patch.setattr(asyncio.Server, "close", watched)
        with start(settings(tls, there.port)) as running:
            assert running.dashboard is not None
            left.settimeout(30)
            left.connect(("127.0.0.1", urlsplit(running.dashboard).port))
            left.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert left.recv(1 << 16).startswith(b"HTTP/1.1 200")
        while left.recv(1 << 16):
            pass
    there.stop()
    # from another thread, it fails where a connection ends meanwhile
    assert in_its_loop and all(in_its_loop)
    names = ("asyncio", "kr8s", "httpx", "httpcore")
    said = [record for record in caplog.records if record.levelname == "ERROR" and record.name.startswith(names)]
    assert not [record.getMessage() for record in said]


def test_a_name_that_is_taken_is_not_taken_over(there: Kubernetes, tls: Path) -> None:
    there.waiting = "ContainerCreating"
    there._there["taken"] = {"metadata": {"name": "taken", "namespace": "ocean"}, "spec": {}}
    try:
        with (
            pytest.raises(ClusterError, match=r"already exists.*delete daskcluster taken"),
            start(settings(tls, there.port, kubernetes={"name": "taken"})),
        ):
            pass
        assert "taken" in there._there
    finally:
        del there._there["taken"]


def test_no_operator_is_told_and_nothing_is_left(there: Kubernetes, tls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there.operator = False
    monkeypatch.setattr(adapter, "_OPERATOR", 0)
    with (
        pytest.raises(ClusterError, match="no Dask operator took up the DaskCluster 'oceanrecon'"),
        start(settings(tls, there.port)),
    ):
        pass
    assert not there._there


def test_a_pod_that_is_not_ready_in_time_is_told_with_its_reason(there: Kubernetes, tls: Path) -> None:
    there.waiting = "ContainerCreating"
    with (
        pytest.raises(ClusterError, match=r"not ready in 1 s, kubernetes.patience \(ContainerCreating: as the test"),
        start(settings(tls, there.port, kubernetes={"patience": "1 s"})),
    ):
        pass
    assert not there._there


def test_kubernetes_that_is_not_there_is_told(tls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(write_kubeconfig(tmp_path / "kubeconfig", 1)))
    with pytest.raises(ClusterError, match="Kubernetes is not reached"), start(settings(tls)):
        pass


def test_a_scheduler_without_tls_is_refused() -> None:
    with pytest.raises(ClusterError, match="open to every pod"), start(settings(None)):
        pass


@pytest.mark.parametrize("secured", [True, False])
def test_what_is_made_is_what_operator_and_kubernetes_take(tls: Path, secured: bool) -> None:
    full = {
        "image": "registry.example/oceanrecon:1.0",
        "pull_secret": "registry",
        "service_account": "ocean",
        "secrets": ["s3"],
        "environment": {"AWS_REGION": "eu-west-1"},
        "volumes": [{"claim": "archive", "path": "/archive", "read_only": True}, {"claim": "out", "path": "/out"}],
    }
    made = adapter.manifest(settings(tls if secured else None, kubernetes=full))
    jsonschema.validate(made, schema())
    for resource in deployments(made):
        for version in VERSIONS:
            kubernetes_validate.validate(resource, version, strict=True)

    scheduler, worker = (made["spec"][role]["spec"]["containers"][0] for role in ("scheduler", "worker"))
    addresses = [each["value"] for each in worker["env"] if each["name"] == "DASK_SCHEDULER_ADDRESS"]
    assert addresses == [f"{'tls' if secured else 'tcp'}://oceanrecon-scheduler.ocean.svc:8786"]
    limits = worker["resources"]
    assert limits["limits"]["memory"] == limits["requests"]["memory"] == "777Mi"
    assert "cpu" not in limits["limits"]
    mounts = {each["mountPath"]: each["readOnly"] for each in worker["volumeMounts"]}
    assert {"/archive": True, "/out": False}.items() <= mounts.items()
    assert worker["envFrom"] == [{"secretRef": {"name": "s3"}}]
    # neither data nor credentials are the scheduler's business
    assert not scheduler["envFrom"]
    assert {each["mountPath"] for each in scheduler["volumeMounts"]} <= {"/etc/oceanrecon/tls"}


def test_a_misspelt_field_is_seen_by_the_check_of_the_schema(tls: Path) -> None:
    made = adapter.manifest(settings(tls))
    made["spec"]["worker"]["spec"]["containers"][0]["volumeMount"] = []
    with pytest.raises(jsonschema.ValidationError, match="volumeMount"):
        jsonschema.validate(made, schema())


def test_each_pod_has_the_keys_of_its_role_alone(tls: Path) -> None:
    spec = adapter.manifest(settings(tls))["spec"]
    for role in ("scheduler", "worker"):
        (volume,) = (each for each in spec[role]["spec"]["volumes"] if "secret" in each)
        names = {item["path"] for item in volume["secret"]["items"]}
        assert names == {"ca.pem", f"{role}.pem", f"{role}-key.pem"}
        assert volume["secret"]["defaultMode"] == 0o440


def test_pages_stay_inside_pods(tls: Path) -> None:
    spec = adapter.manifest(settings(tls))["spec"]
    scheduler, worker = (spec[role]["spec"]["containers"][0]["args"] for role in ("scheduler", "worker"))
    assert "--dashboard-address=127.0.0.1:8787" in scheduler
    assert {"--no-dashboard", "--dashboard-address=127.0.0.1:0"} <= set(worker)


def test_the_recipe_is_what_the_adapter_makes_of_its_config() -> None:
    made = adapter.manifest(load_settings(ClusterStart, ROOT / "configs" / "cluster-kubernetes.yaml"))
    assert yaml.safe_load((ROOT / "cluster" / "kubernetes" / "dask-cluster.yaml").read_text()) == made


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kubernetes": {"name": "Ocean_1"}}, "is not a name in Kubernetes"),
        ({"workers": {"memory": None}}, "needs `workers.memory`"),
        ({"workers": {"maximum": 4}}, "`workers.maximum` is for slurm and gateway"),
    ],
)
def test_settings_that_cannot_be_are_refused(tls: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings(tls, **changes)


def test_the_extra_is_named_where_it_is_missing(tls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kr8s", None)
    with pytest.raises(MissingExtraError, match=r"constraints.txt -e '\.\[cluster\]'"), start(settings(tls)):
        pass
