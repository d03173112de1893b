"""Scheduler and workers as pods of a Kubernetes cluster that has the Dask operator.

The operator turns one resource, a DaskCluster, into a scheduler, its service and as many workers as it says. This
writes that resource. (dask-kubernetes has a class for it too, which speaks to schedulers without TLS alone.)
"""

from __future__ import annotations

import asyncio
import math
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from dask.utils import parse_bytes
from distributed import Security

from oceanrecon.cluster_config import ClusterStart, KubernetesSettings, seconds
from oceanrecon.errors import ClusterError, MissingExtraError, how_to_install
from oceanrecon.service.clusters.base import WORKER_PAGES, Running
from oceanrecon.service.clusters.keeper import DEATH_TIMEOUT, NANNY, said, worker_environment, worker_memory
from oceanrecon.service.clusters.security import AUTHORITY, certificate_files

#: Where pods find their certificates.
TLS_FOLDER = Path("/etc/oceanrecon/tls")
_API, _KIND = "kubernetes.dask.org/v1", "DaskCluster"
_PORT, _PAGES = 8786, 8787
#: How long Kubernetes may take to answer, seconds.
_ANSWER = 30
#: How long the operator may take to see a new resource, seconds.
_OPERATOR = 60
#: How long a port may take to be forwarded, seconds.
_FORWARD = 10
#: Of a container that does not start: what does not heal by itself.
_HOPELESS = ("CrashLoopBackOff", "CreateContainerConfigError", "ImagePullBackOff", "InvalidImageName")
#: Asked inside the pod: the pages are not open to anyone outside it.
_HEALTHY = f"import urllib.request as u; u.urlopen('http://127.0.0.1:{_PAGES}/health', timeout=5)"


@contextmanager
def start_cluster(settings: ClusterStart, security: Security | None, allow_insecure: bool) -> Iterator[Running]:
    """A new DaskCluster, which is deleted when the context ends.

    Outside Kubernetes its ports are forwarded to this machine's loopback, as `kubectl port-forward` does.

    Raises:
        ClusterError: Kubernetes is not reached or refuses, no operator acts, or the scheduler's pod does not start; or
            the scheduler would be open to all pods.
        MissingExtraError: dask-kubernetes is not installed.
    """
    stated = settings.kubernetes
    assert stated is not None  # the settings see to it
    library = _library()
    if security is None and not allow_insecure:
        raise ClusterError(
            "the scheduler would be open to every pod that reaches it, and each could run code on it: make "
            "certificates with `oceanrecon cluster certificates`, give them to the pods (docs/clusters-kubernetes.md) "
            "and set security.folder; --allow-insecure starts it all the same"
        )
    with ExitStack() as stack:
        with _told(library, stated):
            api = library.api(context=stated.context)
            api.timeout = _ANSWER
            stack.callback(_hang_up, api)
            connections = _Connections()
            stack.callback(connections.close)
            resource = library.objects.new_class(_KIND, _API)(manifest(settings), namespace=stated.namespace, api=api)
            resource.create()
            stack.callback(_delete, library, resource)
            _wait(api, stated, resource)
            service = library.objects.Service.get(f"{stated.name}-scheduler", namespace=stated.namespace, api=api)
            address, dashboard = _reach(stack, service, connections, stated, "tcp" if security is None else "tls")
        yield Running(
            "kubernetes",
            address,
            dashboard,
            security,
            tls=None if settings.security is None else settings.security.folder,
            facts={"pods": f"kubectl --namespace {stated.namespace} get pods --selector {_labels(stated)}"},
        )


def script(settings: ClusterStart) -> str:
    """The DaskCluster as YAML, for `kubectl apply`."""
    return yaml.safe_dump(manifest(settings), sort_keys=False)


def manifest(settings: ClusterStart) -> dict[str, Any]:
    """The DaskCluster of ``settings``, with TLS where they have it."""
    stated = settings.kubernetes
    memory = worker_memory(settings)
    assert stated is not None  # the settings see to both
    assert memory is not None
    secured = settings.security is not None
    worker = [
        "--nthreads=1",
        f"--memory-limit={memory}",
        "--name=$(DASK_WORKER_NAME)",
        "--no-dashboard",
        f"--dashboard-address={WORKER_PAGES}",
        "--local-directory=/tmp",
        f"--death-timeout={DEATH_TIMEOUT}",
    ]
    scheduler = [f"--port={_PORT}", f"--dashboard-address=127.0.0.1:{_PAGES}"]
    ports = [("tcp-comm", _PORT), ("http-dashboard", _PAGES)]
    scheduler_pod = _pod(
        settings, "scheduler", scheduler + _tls("scheduler", secured), parse_bytes(stated.scheduler_memory)
    )
    scheduler_pod["containers"][0] |= {
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in ports],
        "readinessProbe": {
            "exec": {"command": ["python", "-c", _HEALTHY]},
            "periodSeconds": 10,
            "timeoutSeconds": 10,
            # a scheduler that is busy for a while keeps its place
            "failureThreshold": 6,
        },
    }
    worker_pod = _pod(settings, "worker", worker + _tls("worker", secured), memory + NANNY)
    return {
        "apiVersion": _API,
        "kind": _KIND,
        "metadata": {"name": stated.name, "namespace": stated.namespace},
        "spec": {
            "scheduler": {
                "spec": scheduler_pod,
                "service": {
                    "type": "ClusterIP",
                    "selector": {"dask.org/cluster-name": stated.name, "dask.org/component": "scheduler"},
                    # the operator looks for a port of the second name; nothing listens on it outside the pod
                    "ports": [
                        {"name": name, "protocol": "TCP", "port": port, "targetPort": name} for name, port in ports
                    ],
                },
            },
            "worker": {"replicas": settings.workers.count or 1, "spec": worker_pod},
        },
    }


def _pod(settings: ClusterStart, role: str, arguments: list[str], memory: int) -> dict[str, Any]:
    stated = settings.kubernetes
    assert stated is not None
    secured = settings.security is not None
    protocol, size = "tls" if secured else "tcp", f"{math.ceil(memory / 2**20)}Mi"
    variables = {
        **worker_environment(secured=secured),
        # else the operator sets one without TLS
        "DASK_SCHEDULER_ADDRESS": f"{protocol}://{_service(stated)}:{_PORT}",
        **stated.environment,
    }
    volumes = [
        ({"name": f"volume-{number}", "persistentVolumeClaim": {"claimName": each.claim}}, each.path, each.read_only)
        # data is the workers' business
        for number, each in enumerate(stated.volumes if role == "worker" else ())
    ]
    if secured:
        names = [AUTHORITY, *(path.name for path in certificate_files(TLS_FOLDER, role))]
        # 0440: the pods' group can read the key, and nobody else
        secret = {
            "secretName": stated.tls_secret,
            "defaultMode": 0o440,
            "items": [{"key": name, "path": name} for name in names],
        }
        volumes.append(({"name": "tls", "secret": secret}, str(TLS_FOLDER), True))
    container = {
        "name": role,
        "image": stated.image,
        "command": ["dask", role],
        "args": arguments,
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "envFrom": [{"secretRef": {"name": name}} for name in (stated.secrets if role == "worker" else ())],
        "resources": {
            # memory asked for is memory that there is: no pod is evicted for what another one took. A core more than
            # asked for does no harm, so that there is no limit on cores
            "requests": {"cpu": stated.cpu if role == "worker" else "1", "memory": size},
            "limits": {"memory": size},
        },
        "volumeMounts": [
            {"name": volume["name"], "mountPath": path, "readOnly": read_only} for volume, path, read_only in volumes
        ],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "containers": [container],
        "volumes": [volume for volume, _, _ in volumes],
        # the user and group of cluster/docker/Dockerfile, who own what pods write into volumes
        "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "runAsGroup": 10001, "fsGroup": 10001},
        # pods of a cluster need nothing of Kubernetes itself
        "automountServiceAccountToken": stated.service_account is not None,
    }
    if stated.service_account is not None:
        pod["serviceAccountName"] = stated.service_account
    if stated.pull_secret is not None:
        pod["imagePullSecrets"] = [{"name": stated.pull_secret}]
    return pod


def _tls(role: str, secured: bool) -> list[str]:
    if not secured:
        return []
    certificate, key = certificate_files(TLS_FOLDER, role)
    return [
        "--protocol=tls://",
        f"--tls-ca-file={TLS_FOLDER}/{AUTHORITY}",
        f"--tls-cert={certificate}",
        f"--tls-key={key}",
    ]


def _library() -> Any:
    try:
        import_module("dask_kubernetes")  # the extra; what speaks to Kubernetes comes with it
        return import_module("kr8s")
    except ImportError as error:
        raise MissingExtraError(
            f"kind `kubernetes` needs dask-kubernetes ({error}): {how_to_install('cluster')}"
        ) from None


@contextmanager
def _told(library: Any, stated: KubernetesSettings) -> Iterator[None]:
    """Errors of Kubernetes as ours."""
    http = import_module("httpx")
    try:
        yield
    except library.ServerError as error:
        status = None if error.response is None else error.response.status_code
        hint = {
            404: "has it the Dask operator, and this namespace? See docs/clusters-kubernetes.md",
            409: f"`kubectl --namespace {stated.namespace} delete daskcluster {stated.name}` ends it; or set "
            "kubernetes.name to another, or use it with `kind: address`",
            403: f"may you make a DaskCluster in the namespace {stated.namespace!r}?",
        }.get(status or 0, "see kubernetes in the settings")
        raise ClusterError(f"Kubernetes refuses the DaskCluster {stated.name!r} ({said(error)}): {hint}") from None
    except library.NotFoundError as error:
        raise ClusterError(f"the DaskCluster {stated.name!r} was deleted while it started ({said(error)})") from None
    except (library.ConnectionClosedError, library.APITimeoutError, http.HTTPError, OSError, ValueError) as error:
        raise ClusterError(
            f"Kubernetes is not reached ({said(error)}): does `kubectl get namespaces` work here? See KUBECONFIG"
        ) from None


def _wait(api: Any, stated: KubernetesSettings, resource: Any) -> None:
    """Wait until the operator has acted and the scheduler answers."""
    begun = time.monotonic()
    why = "it has not been given a machine"
    while True:
        resource.refresh()
        seen = resource.raw.get("status", {}).get("phase")
        if seen == "Error":
            raise ClusterError(f"the Dask operator refuses the DaskCluster {stated.name!r}: see its log")
        for pod in api.get("pods", namespace=stated.namespace, label_selector=_labels(stated, "scheduler")):
            ready, why = _state(pod.raw)
            if ready:
                return
            if why.partition(":")[0] in _HOPELESS:
                raise ClusterError(
                    f"the scheduler's pod {pod.name} does not start ({why}): see kubernetes.image and "
                    f"`kubectl --namespace {stated.namespace} logs {pod.name}`"
                )
        waited = time.monotonic() - begun
        if seen is None and waited > _OPERATOR:
            raise ClusterError(
                f"no Dask operator took up the DaskCluster {stated.name!r} in {_OPERATOR} s: install it "
                "(docs/clusters-kubernetes.md), or see whether it looks after this namespace"
            )
        if waited > seconds(stated.patience):
            raise ClusterError(
                f"the scheduler's pod was not ready in {stated.patience}, kubernetes.patience ({why}): see `kubectl "
                f"--namespace {stated.namespace} describe pods --selector {_labels(stated)}`"
            )
        time.sleep(1)


def _state(pod: dict[str, Any]) -> tuple[bool, str]:
    """Whether a pod is ready, and if not, why."""
    status = pod.get("status", {})
    conditions = {each["type"]: each for each in status.get("conditions", [])}
    if conditions.get("Ready", {}).get("status") == "True":
        return True, ""
    for container in status.get("containerStatuses", []):
        waiting = container.get("state", {}).get("waiting")
        if waiting is not None:
            return False, f"{waiting.get('reason')}: {waiting.get('message', 'no message')}"
    placed = conditions.get("PodScheduled", {})
    if placed.get("status") == "False":
        return False, f"{placed.get('reason')}: {placed.get('message')}"
    return False, f"it is {status.get('phase', 'new')}"


def _reach(
    stack: ExitStack, service: Any, connections: _Connections, stated: KubernetesSettings, protocol: str
) -> tuple[str, str | None]:
    """Address of the scheduler and, outside Kubernetes, link to its dashboard; pods are not let see it."""
    try:
        socket.getaddrinfo(_service(stated), _PORT)
    except OSError:  # not a name that this machine knows: it is outside
        port, pages = (_forwarded(stack, service, connections, each) for each in (_PORT, _PAGES))
        return f"{protocol}://127.0.0.1:{port}", f"http://127.0.0.1:{pages}/status"
    return f"{protocol}://{_service(stated)}:{_PORT}", None


def _forwarded(stack: ExitStack, service: Any, connections: _Connections, port: int) -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        here = int(probe.getsockname()[1])
    forward = service.portforward(port, local_port=here)
    connections.follow(forward)

    async def hang_up() -> None:
        for server in list(forward.servers):
            server.close()

    forward.start()
    # not `forward.stop`, which closes from this thread while the loop's ends a connection: asyncio fails at it
    stack.callback(_in_its_loop, hang_up)
    begun = time.monotonic()
    while not forward.servers:  # it starts in a thread of its own
        if time.monotonic() > begun + _FORWARD:
            raise ClusterError(f"the port {port} of the scheduler's pod is not forwarded to {here} here")
        time.sleep(0.05)
    return here


class _Connections:
    """Those through forwarded ports. The library would leave them open, to break with a traceback as we hang up."""

    def __init__(self) -> None:
        self._tasks = set[asyncio.Task[None]]()

    def follow(self, forward: Any) -> None:
        """See all that will go through ``forward``."""
        carry = forward._sync_sockets

        async def carried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.ensure_future(carry(reader, writer))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            with suppress(asyncio.CancelledError):
                await task

        forward._sync_sockets = carried

    def close(self) -> None:
        """End those that are left."""
        _in_its_loop(self._end)

    async def _end(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _hang_up(api: Any) -> None:
    """Close what the library would leave open until the process ends; it has no name for this of its own."""
    session = api._session
    if session is not None:
        _in_its_loop(session.aclose)


def _in_its_loop(action: Callable[[], Awaitable[None]]) -> None:
    import_module("kr8s._async_utils").as_sync_func(action)()


def _delete(library: Any, resource: Any) -> None:
    with suppress(library.NotFoundError):  # someone else did
        resource.delete()


def _service(stated: KubernetesSettings) -> str:
    return f"{stated.name}-scheduler.{stated.namespace}.svc"


def _labels(stated: KubernetesSettings, component: str | None = None) -> str:
    labels = f"dask.org/cluster-name={stated.name}"
    return labels if component is None else f"{labels},dask.org/component={component}"
