"""A stand-in for Kubernetes with the Dask operator, on loopback: its API, as far as it is asked, and pods as processes.

It takes a DaskCluster, checks it against the schema that the operator ships, has the operator's own code derive the
deployments, and runs the containers' commands. Paths of volumes are replaced by folders of the test, and names of
services by ports. Ports are forwarded as the API does it, over a websocket. What only a real cluster has is missing:
images, nodes, mounts, the operator's loop.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import os
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from aiohttp import WSMsgType, web

from oceanrecon.service.clusters.kubernetes import TLS_FOLDER

_CLUSTERS = "/apis/kubernetes.dask.org/v1/namespaces/{namespace}/daskclusters"
_CORE = "/api/v1/namespaces/{namespace}"
#: What there is, for a client that asks.
_DISCOVERY: dict[str, dict[str, Any]] = {
    "/version": {"major": "1", "minor": "34", "gitVersion": "v1.34.0"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "groups": [
            {
                "name": "kubernetes.dask.org",
                "versions": [{"groupVersion": "kubernetes.dask.org/v1", "version": "v1"}],
                "preferredVersion": {"groupVersion": "kubernetes.dask.org/v1", "version": "v1"},
            }
        ],
    },
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            {"name": name, "singularName": name[:-1], "namespaced": True, "kind": kind, "verbs": ["get", "list"]}
            for name, kind in (("pods", "Pod"), ("services", "Service"))
        ],
    },
    "/apis/kubernetes.dask.org/v1": {
        "kind": "APIResourceList",
        "groupVersion": "kubernetes.dask.org/v1",
        "resources": [
            {
                "name": "daskclusters",
                "singularName": "daskcluster",
                "namespaced": True,
                "kind": "DaskCluster",
                "verbs": ["get"],
            }
        ],
    },
}


def schema() -> dict[str, Any]:
    """Of a DaskCluster, from the custom resource that the operator installs; fields that it has not are errors."""
    package = importlib.util.find_spec("dask_kubernetes")
    assert package is not None
    assert package.origin is not None
    chart = Path(package.origin).parent / "operator" / "deployment" / "helm" / "dask-kubernetes-operator"
    resource = yaml.safe_load((chart / "crds" / "daskcluster.yaml").read_text())
    found: dict[str, Any] = resource["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found["properties"] |= {"apiVersion": {"const": "kubernetes.dask.org/v1"}, "kind": {"const": "DaskCluster"}}
    found["properties"]["metadata"] = {"type": "object"}
    _close(found)
    return found


def _close(node: Any) -> None:
    """Kubernetes drops fields that it does not know, in silence."""
    if isinstance(node, dict):
        if "properties" in node and not node.get("x-kubernetes-preserve-unknown-fields"):
            node.setdefault("additionalProperties", False)
        for each in node.values():
            _close(each)
    elif isinstance(node, list):
        for each in node:
            _close(each)


@cache
def _controller() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what its controller loads
        return importlib.import_module("dask_kubernetes.operator.controller.controller")


def deployments(resource: dict[str, Any]) -> list[dict[str, Any]]:
    """What the operator makes of a DaskCluster: the scheduler's deployment, its service, and a worker's deployment."""
    controller = _controller()
    name, namespace, spec = resource["metadata"]["name"], resource["metadata"]["namespace"], resource["spec"]
    scheduler = controller.build_scheduler_deployment_spec(name, spec["scheduler"]["spec"], {}, {})
    service = controller.build_scheduler_service_spec(name, spec["scheduler"]["service"], {}, {})
    worker = controller.build_worker_deployment_spec(
        f"{name}-default", namespace, name, "0", spec["worker"]["spec"], {}, {}
    )
    return [scheduler, service, worker]


@dataclass
class Kubernetes:
    """The stand-in. Set the fields before a resource is made."""

    #: folder with all files of the secret
    secret: Path
    #: whether an operator is there
    operator: bool = True
    #: why the scheduler's container does not start, such as ``ImagePullBackOff``
    waiting: str = ""
    #: every resource that was made
    made: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._there: dict[str, dict[str, Any]] = {}
        self._processes: list[subprocess.Popen[bytes]] = []
        #: of the pod's ports, which are here
        self._ports: dict[int, int] = {}

    @property
    def app(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                *(web.get(f"{path}{{_:/?}}", _always(answer)) for path, answer in _DISCOVERY.items()),
                web.post(_CLUSTERS, self._create),
                web.get(f"{_CLUSTERS}/{{name}}", self._get),
                web.delete(f"{_CLUSTERS}/{{name}}", self._delete),
                web.get(f"{_CORE}/pods", self._pods),
                web.get(f"{_CORE}/pods/{{name}}", self._pod),
                web.get(f"{_CORE}/pods/{{name}}/portforward", self._forward),
                web.get(f"{_CORE}/services", self._services),
            ]
        )
        return app

    async def _create(self, request: web.Request) -> web.Response:
        resource = await request.json()
        importlib.import_module("jsonschema").validate(resource, schema())
        name = resource["metadata"]["name"]
        if name in self._there:
            return _refused(409, f'daskclusters "{name}" already exists')
        resource["metadata"]["uid"] = "1"
        self.made.append(resource)
        self._there[name] = resource
        if self.operator:
            resource["status"] = {"phase": "Running"}
            if not self.waiting:
                self._run(resource)
        return web.json_response(resource, status=201)

    async def _get(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        found = self._there.get(name)
        return _refused(404, f'daskclusters "{name}" not found') if found is None else web.json_response(found)

    async def _delete(self, request: web.Request) -> web.Response:
        if self._there.pop(request.match_info["name"], None) is None:
            return _refused(404, "not found")
        self.stop()
        return web.json_response({"kind": "Status", "status": "Success"})

    async def _pods(self, request: web.Request) -> web.Response:
        wanted = dict(each.split("=") for each in request.query.get("labelSelector", "").split(",") if each)
        pods = [pod for pod in self._all() if wanted.items() <= pod["metadata"]["labels"].items()]
        return web.json_response({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": pods})

    async def _pod(self, request: web.Request) -> web.Response:
        for pod in self._all():
            if pod["metadata"]["name"] == request.match_info["name"]:
                return web.json_response(pod)
        return _refused(404, "not found")

    async def _services(self, request: web.Request) -> web.Response:
        found = []
        for resource in self._there.values():
            service = deployments(resource)[1]
            service["metadata"]["namespace"] = request.match_info["namespace"]
            if f"metadata.name={service['metadata']['name']}" in request.query["fieldSelector"].split(","):
                found.append(service)
        return web.json_response({"apiVersion": "v1", "kind": "ServiceList", "metadata": {}, "items": found})

    def _all(self) -> list[dict[str, Any]]:
        pods = []
        for resource in self._there.values() if self.operator else ():
            template = deployments(resource)[0]["spec"]["template"]
            status: dict[str, Any] = {"phase": "Pending", "conditions": [{"type": "Ready", "status": "False"}]}
            ended = any(process.poll() is not None for process in self._processes)
            reason = "CrashLoopBackOff" if ended else self.waiting
            if reason:
                state = {"waiting": {"reason": reason, "message": "as the test wants"}}
                status["containerStatuses"] = [{"name": "scheduler", "state": state, "ready": False}]
            elif _listens(self._ports[8786]):
                conditions = [{"type": kind, "status": "True"} for kind in ("Ready", "ContainersReady")]
                status = {"phase": "Running", "conditions": conditions}
            metadata = {**template["metadata"], "namespace": resource["metadata"]["namespace"]}
            pods.append(
                {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"], "status": status}
            )
        return pods

    async def _forward(self, request: web.Request) -> web.WebSocketResponse:
        """Two channels for a port, data and errors; the first frame of each has the port's number."""
        port = int(request.query["ports"])
        stream = web.WebSocketResponse()
        await stream.prepare(request)
        reader, writer = await asyncio.open_connection("127.0.0.1", self._ports[port])
        for channel in (0, 1):
            await stream.send_bytes(bytes([channel]) + port.to_bytes(2, "little"))

        async def up() -> None:
            async for message in stream:
                if message.type != WSMsgType.BINARY:
                    break
                writer.write(message.data[1:])
                await writer.drain()

        async def down() -> None:
            while data := await reader.read(16384):
                await stream.send_bytes(b"\0" + data)

        tasks = [asyncio.create_task(up()), asyncio.create_task(down())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:  # also where the server ends first
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            writer.close()
        await stream.close()
        return stream

    def _run(self, resource: dict[str, Any]) -> None:
        """Scheduler and workers, by the commands, arguments and environment of their containers."""
        scheduler, _, worker = deployments(resource)
        self._ports = dict(zip((8786, 8787), _free_ports(2), strict=True))
        place = f"{resource['metadata']['name']}-scheduler.{resource['metadata']['namespace']}.svc:8786"
        for deployment, count in ((scheduler, 1), (worker, resource["spec"]["worker"]["replicas"])):
            (container,) = deployment["spec"]["template"]["spec"]["containers"]
            volumes = deployment["spec"]["template"]["spec"]["volumes"]
            secrets = [each["secret"] for each in volumes if "secret" in each]
            for number in range(count):
                variables = {each["name"]: each["value"] for each in container["env"]}
                variables["DASK_WORKER_NAME"] = f"{deployment['metadata']['name']}{number}"
                # in a pod they listen on the pod's address
                words = [*container["command"], *container["args"], "--host=127.0.0.1"]
                for name, value in variables.items():
                    words = [word.replace(f"$({name})", value) for word in words]
                replaced = {
                    place: f"127.0.0.1:{self._ports[8786]}",
                    "--port=8786": f"--port={self._ports[8786]}",
                    "127.0.0.1:8787": f"127.0.0.1:{self._ports[8787]}",
                    str(TLS_FOLDER): str(self._mounted(container["name"], secrets)),
                }
                for old, new in replaced.items():
                    words = [word.replace(old, new) for word in words]
                    variables = {name: value.replace(old, new) for name, value in variables.items()}
                inherited = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
                path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
                self._processes.append(
                    subprocess.Popen(words, env={**inherited, "PATH": path, **variables}, stderr=subprocess.DEVNULL)
                )

    def _mounted(self, role: str, secrets: list[dict[str, Any]]) -> Path:
        """The files of the secret that a pod mounts, and no others."""
        folder = self.secret.parent / f"mounted-{role}"
        folder.mkdir(exist_ok=True)
        for secret in secrets:
            for item in secret["items"]:
                link = folder / item["path"]
                if not link.exists():
                    link.symlink_to(self.secret / item["key"])
        return folder

    def stop(self) -> None:
        """End the pods."""
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)
        self._processes.clear()


@contextmanager
def kubernetes(secret: Path, **fields: Any) -> Iterator[Kubernetes]:
    """A stand-in that answers at ``port`` until the context ends."""
    _controller()  # here, since warnings are of the whole process
    stand_in = Kubernetes(secret, **fields)
    loop = asyncio.new_event_loop()
    runner = web.AppRunner(stand_in.app, shutdown_timeout=1)
    up = threading.Event()

    async def serve() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        stand_in.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        up.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert up.wait(10)
        yield stand_in
    finally:
        stand_in.stop()
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)


def write_kubeconfig(path: Path, port: int) -> Path:
    """A kubeconfig with the context ``port-PORT``. (The client keeps what it once knew of a context.)"""
    context = {"cluster": "test", "user": "test", "namespace": "ocean"}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": f"port-{port}",
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "test", "user": {"token": "test"}}],
        "contexts": [{"name": f"port-{port}", "context": context}],
    }
    path.write_text(yaml.safe_dump(config))
    return path


def _always(answer: dict[str, Any]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def give(_: web.Request) -> web.Response:
        return web.json_response(answer)

    return give


def _refused(status: int, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": status}
    return web.json_response(body, status=status)


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports
