"""The risk that an adapter starts a cluster on which exports do not run: the way of the docs' pages, on each."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dask.config
import pytest
import yaml

from oceanrecon.cluster_config import ClusterStart
from oceanrecon.config import parse_settings
from oceanrecon.service.clusters.certificates import make_certificates
from oceanrecon.service.clusters.start import start
from tests.archives import settings
from tests.gateway import gateway
from tests.kubernetes_api import kubernetes, write_kubeconfig
from tests.slurm import slurm
from tests.sshd import sshd

#: Environment of whoever uses the cluster, and the section of its kind.
Site = tuple[dict[str, str], dict[str, Any]]


@contextmanager
def _slurm(folder: Path, tls: Path) -> Iterator[Site]:
    with slurm() as site:
        yield dict(site.variables), {"walltime": "10 min", "logs": str(folder / "logs")}


@contextmanager
def _ssh(folder: Path, tls: Path) -> Iterator[Site]:
    with sshd() as server:
        place = {"user": server.user, "port": server.port}
        keys = {"key": str(server.key), "known_hosts": str(server.known_hosts)}
        yield {}, {"hosts": ["127.0.0.1"], **place, **keys}


@contextmanager
def _gateway(folder: Path, tls: Path) -> Iterator[Site]:
    importlib.import_module("dask_gateway")  # brings its defaults into dask's configuration
    # dask reads the environment as it is loaded, which was before
    with gateway(folder) as server, dask.config.set({"gateway.address": server.url}):
        yield server.variables, {"url": server.url}


@contextmanager
def _kubernetes(folder: Path, tls: Path) -> Iterator[Site]:
    with kubernetes(tls) as api:
        config = write_kubeconfig(folder / "kubeconfig", api.port)
        section = {"image": "oceanrecon:local", "namespace": "ocean", "context": f"port-{api.port}"}
        yield {"KUBECONFIG": str(config)}, section


@pytest.mark.parametrize("site", [_slurm, _ssh, _gateway, _kubernetes], ids=lambda site: site.__name__[1:])
def test_an_export_is_submitted_watched_and_verified(
    site: Callable[[Path, Path], Any],
    archive: Path,
    tmp_path: Path,
    command: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind, output = site.__name__[1:], tmp_path / "export"
    tls = make_certificates(tmp_path / "tls").folder
    (tmp_path / "export.yaml").write_text(yaml.safe_dump(settings(archive, output).model_dump(mode="json")))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with ExitStack() as stack:
        variables, section = stack.enter_context(site(tmp_path, tls))
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        config: dict[str, Any] = {"kind": kind, "workers": {"count": 2}, kind: section}
        if kind != "gateway":
            config |= {"security": {"folder": str(tls)}}
            config["workers"]["memory"] = "800 MB"
        if kind in ("slurm", "ssh"):
            config |= {"scheduler": {"port": 0}, "dashboard": "127.0.0.1:0"}
        running = stack.enter_context(start(parse_settings(ClusterStart, config, "test")))
        with running.client() as client:
            client.wait_for_workers(2, timeout=60)
        options = ["--scheduler", running.address, *(("--tls", running.tls) if running.tls else ())]
        code, out, err = command("submit", tmp_path / "export.yaml", *options, "--json")
        assert code == 0, err
        job = json.loads(out)["id"]
        code, out, err = command("watch", job, "--in", output)
        assert code == 0, out + err
        assert f"job {job} is complete: 18 blocks written, 0 kept, 0 failed" in out
    # it stays when the cluster is gone
    code, out, err = command("verify", output)
    assert code == 0, out + err
    assert "18 blocks" in out
