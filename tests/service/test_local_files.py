"""Risks of what a site copies from ``cluster/``: files that their own programs refuse, or that drift from the code."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from oceanrecon.cluster_config import ClusterStart
from oceanrecon.config import ClusterSettings, load_settings
from oceanrecon.service.clusters.base import environment
from oceanrecon.service.clusters.certificates import make_certificates
from oceanrecon.service.connect import connect
from tests.clusters import Cluster, cluster

ROOT = Path(__file__).parents[2]
LOCAL = ROOT / "cluster" / "local"
BIN = Path(sys.executable).parent


def program(name: str, package: str) -> str:
    """Path of a program of a Debian package; without it the test is skipped on a laptop and fails in CI."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        message = f"no {name}: install {package}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster with TLS."""
    tls = make_certificates(tmp_path_factory.mktemp("certificates") / "tls").folder
    with cluster({"security": {"folder": str(tls)}}, tmp_path_factory.mktemp("running")) as found:
        yield found


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "configs").glob("cluster-*.yaml")), LOCAL / "cluster.yaml"], ids=lambda path: path.name
)
def test_configs_that_users_start_from_are_valid(path: Path) -> None:
    settings = load_settings(ClusterStart, path)
    # whoever copies one has not opened a dashboard
    assert settings.dashboard.startswith("127.0.0.1:")


def _stated() -> dict[str, str]:
    lines = (LOCAL / "worker.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def test_workers_of_systemd_have_the_environment_of_all_others() -> None:
    stated = _stated()
    assert {name: stated.pop(name) for name in ("SCHEDULER", "WORKERS", "MEMORY")}["SCHEDULER"].startswith("tls://")
    assert stated == environment()


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    verify = program("systemd-analyze", "systemd")
    for unit in LOCAL.glob("*.service"):
        text = unit.read_text().replace("/opt/oceanrecon/bin", str(BIN))
        (tmp_path / unit.name).write_text(text)
    units = sorted(str(path) for path in tmp_path.iterdir())
    assert len(units) == 2
    done = subprocess.run([verify, "verify", "--man=no", *units], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "oceanrecon" in line]


@pytest.mark.parametrize("unit", sorted(LOCAL.glob("*.service")), ids=lambda path: path.name)
def test_numba_has_a_place_for_what_it_compiles(unit: Path) -> None:
    """In units that may write to neither its package nor a home directory, it does not even load without one."""
    lines = unit.read_text().splitlines()
    assert {"ProtectSystem=strict", "CacheDirectory=oceanrecon"} <= set(lines)
    assert "Environment=NUMBA_CACHE_DIR=%C/oceanrecon" in lines


def _command_of(unit: Path, replaced: Mapping[str, str]) -> list[str]:
    found = re.search(r"^ExecStart=((?:.*\\\n)*.*)$", unit.read_text(), re.MULTILINE)
    assert found is not None
    text = found[1].replace("\\\n", "")
    for old, new in replaced.items():
        text = text.replace(old, new)
    return shlex.split(text)


def test_a_worker_of_systemd_joins_the_cluster(running: Cluster) -> None:
    stated = {**_stated(), "SCHEDULER": running.address, "WORKERS": "1", "MEMORY": "500MB"}
    assert running.tls is not None
    line = _command_of(
        LOCAL / "oceanrecon-worker@.service",
        {
            "/opt/oceanrecon/bin": str(BIN),
            "/etc/oceanrecon/tls": running.tls,
            **{f"${{{name}}}": value for name, value in stated.items()},
        },
    )
    encrypted = {"DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True"}
    # on loopback alone, as all tests are
    worker = subprocess.Popen([*line, "--host", "127.0.0.1"], env=os.environ | stated | encrypted)
    try:
        with connect(running.address, ClusterSettings(), running.tls) as client:
            client.wait_for_workers(2, timeout=60)
            limits = {each["memory_limit"] for each in client.scheduler_info()["workers"].values()}
            assert limits == {10**9, 5 * 10**8}
            worker.terminate()
            worker.wait(timeout=30)
            while len(client.scheduler_info()["workers"]) == 2:
                time.sleep(0.1)
    finally:
        if worker.poll() is None:
            worker.kill()
            worker.wait()


def _certificate(folder: Path) -> Path:
    """A certificate of a web server, and its key, as a site has them."""
    made = make_certificates(folder / "site", ["dashboard.example"]).folder
    (folder / "dashboard.pem").write_bytes((made / "scheduler.pem").read_bytes())
    (folder / "dashboard-key.pem").write_bytes((made / "scheduler-key.pem").read_bytes())
    return made / "ca.pem"


@contextmanager
def _nginx(folder: Path, dashboard: str) -> Iterator[int]:
    """The proxy of ``cluster/proxy`` before a dashboard, on a free port of loopback."""
    nginx = program("nginx", "nginx-light")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    site = (ROOT / "cluster" / "proxy" / "nginx.conf").read_text()
    for old, new in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "127.0.0.1:8787": dashboard,
        "/etc/nginx/oceanrecon.htpasswd": f"{folder}/htpasswd",
        "/etc/ssl/": f"{folder}/",
    }.items():
        assert old in site
        site = site.replace(old, new)
    (folder / "htpasswd").write_text("me:{PLAIN}secret\n")
    (folder / "site.conf").write_text(site)
    places = "".join(
        f"{name}_temp_path {folder}/tmp;\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n{'user root;' if os.geteuid() == 0 else ''}\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{places}include {folder}/site.conf;\n}}\n"
    )
    start = [nginx, "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]
    tested = subprocess.run([*start, "-t"], capture_output=True, text=True)
    assert tested.returncode == 0, tested.stderr
    assert "warn" not in tested.stderr
    server = subprocess.Popen(start)
    try:
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert time.monotonic() < end and server.poll() is None, (folder / "error.log").read_text()
                time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(timeout=20)


class _Browser:
    """Asks the proxy as a browser that knows the site's certificate."""

    def __init__(self, port: int, authority: Path) -> None:
        self._place = f"127.0.0.1:{port}"
        self._name = f"dashboard.example:{port}"
        self._tls = ssl.create_default_context(cafile=str(authority))

    def _request(self, scheme: str, path: str, password: str | None, **headers: str) -> HTTPRequest:
        if password is not None:
            headers["Authorization"] = "Basic " + base64.b64encode(f"me:{password}".encode()).decode()
        url = f"{scheme}://{self._place}{path}"
        return HTTPRequest(url, headers={"Host": self._name, **headers}, ssl_options=self._tls)

    async def page(self, path: str, password: str | None, **headers: str) -> tuple[int, str]:
        try:
            found = await AsyncHTTPClient().fetch(self._request("https", path, password, **headers))
        except HTTPClientError as error:
            return error.code, ""
        return found.code, found.body.decode()

    async def updates(self, origin: str) -> str:
        """First message of the websocket that keeps a page of the dashboard up to date."""
        _, page = await self.page("/status", "secret")
        found = re.search(r'"token":"([^"]+)"', page)
        assert found is not None
        socket = await websocket_connect(
            self._request("wss", "/status/ws", "secret", Origin=origin), subprotocols=["bokeh", found[1]]
        )
        message = await asyncio.wait_for(socket.read_message(), 20)
        socket.close()
        return str(message)


def test_the_dashboard_behind_the_proxy(running: Cluster, tmp_path: Path) -> None:
    """Asks for a password, keeps its pages up to date, and is not read by a page of another site."""
    authority = _certificate(tmp_path)
    dashboard = str(running.described["dashboard"]).split("/")[2]

    async def check(browser: _Browser, own: str) -> None:
        assert (await browser.page("/status", None))[0] == 401
        assert (await browser.page("/metrics", "wrong"))[0] == 401
        assert (await browser.page("/status", "secret"))[0] == 200
        assert (await browser.page("/status", "secret", Origin="https://evil.example"))[0] == 403
        assert '"msgtype":"ACK"' in (await browser.updates(own)).replace(" ", "")
        with pytest.raises(HTTPClientError, match="403"):
            await browser.updates("https://evil.example")

    with _nginx(tmp_path, dashboard) as port:
        asyncio.run(check(_Browser(port, authority), f"https://dashboard.example:{port}"))
