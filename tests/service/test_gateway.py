"""Risks of a gateway: passwords in configs or in the clear, clusters that nobody ends, options that nobody has, workers
with threads that read one at a time."""

from __future__ import annotations

import importlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
from distributed import get_worker

from oceanrecon.cluster_config import ClusterStart
from oceanrecon.config import ClusterSettings, load_settings, parse_settings
from oceanrecon.errors import ClusterError, ConfigError, InsecureWarning, MissingExtraError
from oceanrecon.service.clusters.gateway import gateway_client
from oceanrecon.service.clusters.keeper import worker_environment
from oceanrecon.service.clusters.start import start
from oceanrecon.service.connect import connect
from tests.gateway import Gateway, gateway

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def here(server: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """This process is a client of the gateway, as one that started with its environment."""
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    importlib.import_module("dask_gateway")  # brings its defaults into dask's configuration
    with dask.config.set({"gateway.address": server.url}):
        yield server


def settings(url: str = "https://gateway.example", **changes: Any) -> ClusterStart:
    values: dict[str, Any] = {"kind": "gateway", "workers": {"count": 2}, "gateway": {"url": url}}
    for name, value in changes.items():
        values[name] = {**values[name], **value} if isinstance(values.get(name), dict) else value
    return parse_settings(ClusterStart, values, "test")


def test_a_cluster_is_reached_by_its_name_works_and_ends(here: Gateway) -> None:
    config = settings(here.url, gateway={"options": {"worker_memory": 1.5}})

    def where(_: int) -> tuple[int, bool, dict[str, str | None]]:
        time.sleep(0.1)
        worker = get_worker()
        chosen = {name: os.environ.get(name) for name in worker_environment(secured=False)}
        return worker.state.nthreads, worker.address.startswith("tls://"), chosen

    with start(config) as running:
        assert running.address.startswith("gateway://")
        with running.client() as client:
            client.wait_for_workers(2, timeout=60)
            limits = {each["memory_limit"] for each in client.scheduler_info(n_workers=-1)["workers"].values()}
            assert limits == {int(1.5 * 2**30)}
        assert running.describe()["submit"] == (
            f"DASK_GATEWAY__ADDRESS={here.url} oceanrecon submit EXPORT.yaml --scheduler {running.address}"
        )
        with connect(running.address, ClusterSettings()) as client:
            threads, secure, chosen = client.submit(where, 1).result()
        assert (threads, secure) == (1, True)
        # the recipe's workers have what `cluster start` gives its own
        assert chosen == worker_environment(secured=False)
    with pytest.raises(ClusterError, match="has no running cluster"), gateway_client(running.address):
        pass


def test_a_cluster_has_more_workers_while_there_is_work(here: Gateway) -> None:
    def slow(_: int) -> None:
        time.sleep(0.2)

    config = settings(here.url, workers={"count": 1, "maximum": 2})
    with start(config) as running, running.client() as client:
        client.wait_for_workers(1, timeout=60)
        tasks = client.map(slow, range(500), pure=False)
        client.wait_for_workers(2, timeout=60)
        client.cancel(tasks)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gateway": {"options": {"image": "x"}}}, r"'image' is not an option of .*, which has worker_memory"),
        ({"gateway": {"options": {"worker_memory": 99.0}}}, "worker_memory cannot be 99.0"),
        ({"gateway": {"auth": "jupyterhub"}}, "JUPYTERHUB_API_TOKEN"),
    ],
)
def test_what_a_gateway_does_not_take_is_told(here: Gateway, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ClusterError, match=words), start(settings(here.url, **changes)):
        pass


def test_a_wrong_password_is_told(here: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASK_GATEWAY__AUTH__KWARGS__PASSWORD", "9999")
    with pytest.raises(ClusterError, match=r"answers 401 .*it does not know you"), start(settings(here.url)):
        pass
    with pytest.raises(ClusterError, match="it does not know you"), gateway_client("gateway://any"):
        pass


def test_a_cluster_that_is_not_there_is_told_with_those_that_are(here: Gateway) -> None:
    with pytest.raises(ClusterError, match="has no running cluster gateway://nosuch; yours: none"):
        with gateway_client("gateway://nosuch"):
            pass


def test_a_gateway_that_is_not_there_is_told() -> None:
    with (
        pytest.raises(ClusterError, match=r"http://127\.0\.0\.1:1 does not answer"),
        start(settings("http://127.0.0.1:1")),
    ):
        pass


def test_a_password_is_not_sent_in_the_clear() -> None:
    with pytest.raises(ClusterError, match="would be told in the clear who you are"):
        with start(settings("http://gateway.example")):
            pass


def test_what_is_allowed_to_be_told_in_the_clear_takes_jobs_too() -> None:
    importlib.import_module("dask_gateway")
    url = "http://192.0.2.7:1"
    with (
        pytest.warns(InsecureWarning, match="in the clear"),
        pytest.raises(ClusterError, match="does not answer"),
        dask.config.set({"gateway.address": url}),
        gateway_client("gateway://any"),
    ):
        pass


def test_a_client_is_told_where_a_gateway_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    importlib.import_module("dask_gateway")
    with dask.config.set({"gateway.address": None}):
        with pytest.raises(ClusterError, match="set DASK_GATEWAY__ADDRESS"), gateway_client("gateway://any"):
            pass


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"gateway": {"password": "secret"}}, "password"),
        ({"workers": {"memory": "2 GB"}}, "is the gateway's to say"),
        ({"security": {"folder": "tls"}}, "`security` is not read"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings(**changes)


def test_the_config_to_start_from_names_options_of_the_recipe() -> None:
    stated = load_settings(ClusterStart, ROOT / "configs" / "cluster-gateway.yaml").gateway
    assert stated is not None
    recipe = (ROOT / "cluster" / "gateway" / "dask_gateway_config.py").read_text()
    assert all(f'Float("{name}"' in recipe for name in stated.options)


def test_the_extra_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_gateway", None)
    for attempt in (lambda: start(settings()), lambda: gateway_client("gateway://any")):
        with pytest.raises(MissingExtraError, match=r"constraints.txt -e '\.\[cluster\]'"), attempt():
            pass
