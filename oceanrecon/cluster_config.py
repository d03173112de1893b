"""The settings of a long-running Dask cluster: one YAML per cluster, one adapter per ``kind``."""

from __future__ import annotations

import re
import shlex
from ipaddress import ip_address
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from oceanrecon.config import Settings

ClusterKind = Literal["local", "address", "slurm", "kubernetes", "gateway", "ssh"]

_UNITS = {
    "s": 1.0,
    "sec": 1.0,
    "min": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "hours": 3600.0,
    "d": 86400.0,
    "days": 86400.0,
}
_CLOCK = re.compile(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)")


def seconds(duration: str) -> float:
    """Seconds of ``45 min``, ``1.5 h`` or, as SLURM writes it, ``1-12:00:00`` or ``12:00:00``.

    Raises:
        ValueError: it is none of these.
    """
    clock = _CLOCK.fullmatch(duration.strip())
    if clock is not None:
        days, hours, minutes, rest = (int(part or 0) for part in clock.groups())
        return float(((days * 24 + hours) * 60 + minutes) * 60 + rest)
    words = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", duration.strip())
    if words is None or words[2] not in _UNITS:
        raise ValueError("is not a duration: write `50 min`, `23 h` or `12:00:00`")
    return float(words[1]) * _UNITS[words[2]]


def _duration(value: object) -> object:
    if isinstance(value, int | float):
        raise ValueError("is a number, which YAML makes of 12:00:00 too: write `12 h`, or `'12:00:00'` in quotes")
    if isinstance(value, str):
        seconds(value)
    return value


def _size(value: str) -> str:
    if re.fullmatch(r"\d+(\.\d+)?\s*[kMGT]i?B", value.strip()) is None:
        raise ValueError("is not a size: write `2 GB` or `1500 MiB`")
    return value


def _host(value: str) -> str:
    try:
        return str(ip_address(value.strip("[]")))
    except ValueError:
        pass
    if "://" in value or "/" in value or re.search(r"[^\]:]:\d+$", value):
        raise ValueError("is not a host: write a name or an address alone, such as `127.0.0.1`; the port has its key")
    return value


def _host_and_port(value: str) -> str:
    if re.fullmatch(r"[^:/\s]+:\d{1,5}", value) is None or int(value.rpartition(":")[2]) > 65535:
        raise ValueError("is not HOST:PORT: write `127.0.0.1:8787`")
    return value


def _word(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.,:@/+-]*", value) is None:
        raise ValueError("is not one word: write letters, digits and . , : @ / + - _")
    return value


def _node_path(value: str) -> str:
    if re.fullmatch(r"[A-Za-z0-9_.,:@/+$-]+", value) is None:
        raise ValueError("is not a plain path: write letters, digits and . , : @ / + - _, and variables as `$TMPDIR`")
    return value


def _name(value: str) -> str:
    if re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", value) is None:
        raise ValueError("is not a name in Kubernetes: write up to 40 small letters, digits and -")
    return value


#: Options of `sbatch` that would run something else, put something into its environment, or write over files.
_OURS = ("export", "export-file", "output", "error", "wrap", "chdir", "get-user-env")


def _directive(value: str) -> str:
    try:
        words = shlex.split(value)
    except ValueError:  # a quote that does not end
        words = []
    if not words or re.fullmatch(r"--?[A-Za-z][^\n\r]*", value) is None:
        raise ValueError("is not an option: write `--name=value`")
    for word in words:  # a line may have several options
        name = word.partition("=")[0]
        if name.startswith("--"):
            # sbatch takes the beginning of a name for the name
            refused = any(ours.startswith(name[2:]) for ours in _OURS)
        else:
            # ... and several letters for several options
            refused = re.fullmatch(r"-([oeD].*|.\D.*)", name) is not None
        if refused:
            raise ValueError(
                f"has {word!r}: what a job runs and where it writes is not for this; write others as `-n 2`"
            )
    return value


def _variables(value: dict[str, str]) -> dict[str, str]:
    for name in value:
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) is None:
            raise ValueError(f"{name!r} is not a name of a variable")
        if re.fullmatch(r"(DASK_|LD_|PYTHON).*|(BASH_)?ENV|PATH|GCONV_PATH|.*_(PLUGIN|DRIVER)_PATH", name) is not None:
            raise ValueError(f"{name} says what code is run, or lets others in: build it into the image")
    return value


#: 45 min, 23 h, 12:00:00
Duration = Annotated[str, BeforeValidator(_duration)]
#: 2 GB, 1500 MiB
Size = Annotated[str, AfterValidator(_size)]
Host = Annotated[str, AfterValidator(_host)]
HostAndPort = Annotated[str, AfterValidator(_host_and_port)]
#: What a batch script takes as it stands.
Word = Annotated[str, AfterValidator(_word)]
#: A path on another machine; $TMPDIR/dask
NodePath = Annotated[str, AfterValidator(_node_path)]
#: oceanrecon-tls
Name = Annotated[str, AfterValidator(_name)]
#: --constraint=skylake
Directive = Annotated[str, AfterValidator(_directive)]
#: Environment: AWS_REGION: eu-west-1
Variables = Annotated[dict[str, str], AfterValidator(_variables)]


class WorkerSettings(Settings):
    """The workers: processes with one thread each, since HDF5 lets one thread of a process read at a time."""

    count: int | None = Field(
        None, ge=1, description="Worker processes; default: one per core of this machine with `local`, else one."
    )
    memory: Size | None = Field(
        None,
        description="Memory of one worker, such as `2 GB`; a worker that needs more is ended and its task runs again. "
        "Default with `local`: the machine's memory shared out; a batch system needs it.",
    )
    maximum: int | None = Field(
        None,
        ge=1,
        description="With `slurm` and `gateway`: while there is work for them, up to so many workers; `count` of them "
        "always. Default: `count`.",
    )
    lifetime: Duration | None = Field(
        None,
        description="A worker of a batch system leaves after this, and another takes its place, before the walltime "
        "ends it and all others that started with it; the block that it makes begins again elsewhere. Default: the "
        "walltime less ten minutes.",
    )
    stagger: Duration = Field(
        "2 min", description="Lifetimes differ by up to this much either way, so that workers do not all leave at once."
    )


class SchedulerSettings(Settings):
    """Where the scheduler listens."""

    host: Host = Field(
        "127.0.0.1",
        description="Address or name of this machine that the scheduler listens on. `127.0.0.1` is reached from this "
        "machine alone; any other needs `security.folder`, because whoever reaches a scheduler can run code.",
    )
    port: int = Field(8786, ge=0, le=65535, description="Port of the scheduler; 0: any that is free.")


class SecuritySettings(Settings):
    """TLS, with certificates on both sides."""

    folder: str = Field(description="Folder that `oceanrecon cluster certificates` wrote: CA, certificates and keys.")


class AddressSettings(Settings):
    """A scheduler that runs already."""

    url: str = Field(description="Its address, such as `tls://host:8786`.")


class SlurmSettings(Settings):
    """Workers as SLURM jobs. What stands here goes into a batch script, where nothing of it is run as a command."""

    partition: Word | None = Field(None, description="Partition (queue) of the jobs; default: the site's.")
    account: Word | None = Field(None, description="Account that is charged; default: the user's.")
    qos: Word | None = Field(None, description="Quality of service of the jobs; default: the site's.")
    walltime: Duration = Field("12:00:00", description="Time limit of one job.")
    workers_per_job: int = Field(1, ge=1, description="Worker processes in one job, each with a core.")
    interface: Word | None = Field(
        None, description="Network interface of the nodes that workers use, such as `ib0`; default: the usual one."
    )
    modules: tuple[Word, ...] = Field((), description="Environment modules that a job loads, such as `python/3.11`.")
    python: str | None = Field(None, description="Python on the nodes that has oceanrecon; default: this one.")
    scratch: NodePath = Field(
        "/tmp", description="Folder on each node for dask's own files; may name a variable, such as `$TMPDIR`."
    )
    logs: NodePath = Field("slurm-logs", description="Folder of the jobs' output, on a file system that nodes share.")
    directives: tuple[Directive, ...] = Field(
        (), description="Further `#SBATCH` options, such as `--constraint=skylake`; none of what is run or written."
    )


class VolumeSettings(Settings):
    """A volume in every pod."""

    claim: Name = Field(description="Its PersistentVolumeClaim.")
    path: NodePath = Field(description="Where it is mounted, such as `/archive`; configs of exports name this path.")
    read_only: bool = Field(False, description="Nothing can write to it: for archives.")


class KubernetesSettings(Settings):
    """Scheduler and workers as pods, by the Dask operator."""

    name: Name = Field("oceanrecon", description="Name of the DaskCluster resource.")
    namespace: Name = Field("default", description="Namespace of the pods.")
    context: str | None = Field(None, description="Context of your kubeconfig; default: the current one.")
    image: str = Field(description="Image that has oceanrecon, such as `registry.example/oceanrecon:1.0`.")
    pull_secret: Name | None = Field(None, description="Secret with the registry's credentials.")
    cpu: str = Field("1", description="Cores that a worker's pod asks for: it has one thread.")
    scheduler_memory: Size = Field("2 GB", description="Memory of the scheduler's pod.")
    service_account: Name | None = Field(None, description="Service account of the pods; default: the namespace's.")
    tls_secret: Name = Field(
        "oceanrecon-tls", description="Secret with the certificates of `security.folder`, which pods mount."
    )
    environment: Variables = Field(
        default_factory=dict, description="Further environment of the pods; nothing secret, and nothing that runs code."
    )
    secrets: tuple[Name, ...] = Field(
        (), description="Secrets whose keys become environment of the pods, such as the credentials of S3."
    )
    volumes: tuple[VolumeSettings, ...] = Field((), description="Volumes, such as those of archive and output.")
    patience: Duration = Field(
        "10 min", description="How long the scheduler's pod may take to start, its image's download included."
    )


class GatewaySettings(Settings):
    """A cluster that a dask-gateway server starts. Credentials are never here: they come from the environment."""

    url: str = Field(description="Address of the gateway, such as `https://gateway.example`.")
    proxy: str | None = Field(
        None, description="Address of its scheduler proxy, such as `tls://gateway.example:8786`; default: the same."
    )
    auth: Literal["basic", "kerberos", "jupyterhub"] | None = Field(
        None,
        description="How it asks who you are: `basic` (`DASK_GATEWAY__AUTH__KWARGS__USERNAME` and `__PASSWORD` in the "
        "environment), `kerberos` (your ticket) or `jupyterhub` (`JUPYTERHUB_API_TOKEN` in the environment). Default: "
        "as dask-gateway is configured here.",
    )
    options: dict[str, str | int | float | bool] = Field(
        default_factory=dict, description="Options that the gateway's administrator offers."
    )


class SshSettings(Settings):
    """Workers on machines that are reached by SSH; the scheduler is on this one."""

    hosts: tuple[Host, ...] = Field(
        min_length=1, description="Machines, as your SSH config knows them; each has `workers.count` workers."
    )
    user: str | None = Field(None, description="User on the machines; default: as your SSH config says.")
    port: int | None = Field(None, ge=1, le=65535, description="Port of SSH; default: as your SSH config says.")
    key: str | None = Field(None, description="File of your private key; default: your agent and SSH config.")
    known_hosts: str | None = Field(
        None,
        description="File of the machines' keys; default: `~/.ssh/known_hosts`. Others are refused.",
    )
    python: str | None = Field(None, description="Python on the machines that has oceanrecon; default: as here.")
    certificates: str | None = Field(
        None, description="Folder on the machines with `ca.pem` and `worker*.pem`; default: as `security.folder`."
    )
    scratch: NodePath = Field("/tmp", description="Folder on the machines for dask's own files.")

    @model_validator(mode="after")
    def _once(self) -> SshSettings:
        twice = sorted({host for host in self.hosts if self.hosts.count(host) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is named twice: set `workers.count` for more workers on each machine")
        return self


#: Which sections each kind reads; one that is given and not read would be a promise that nothing keeps.
_SECTIONS: dict[ClusterKind, frozenset[str]] = {
    "local": frozenset({"workers", "scheduler", "dashboard", "security", "idle"}),
    "address": frozenset({"address", "security"}),
    "slurm": frozenset({"slurm", "workers", "scheduler", "dashboard", "security", "idle"}),
    "kubernetes": frozenset({"kubernetes", "workers", "security", "idle"}),
    "gateway": frozenset({"gateway", "workers", "idle"}),
    "ssh": frozenset({"ssh", "workers", "scheduler", "dashboard", "security", "idle"}),
}
#: Kinds whose section has something that only the user knows.
_NEEDED: tuple[ClusterKind, ...] = ("address", "kubernetes", "gateway", "ssh")
#: Kinds whose workers end at a walltime.
_BATCH: tuple[ClusterKind, ...] = ("slurm",)
#: Kinds that have more workers while there is work for them.
_ADAPTIVE: tuple[ClusterKind, ...] = ("slurm", "gateway")
#: Kinds that have to be told how much memory a worker needs, because they give it no more.
_SIZED: tuple[ClusterKind, ...] = ("slurm", "kubernetes")


class ClusterStart(Settings):
    """A long-running cluster, for jobs that outlive the client that submits them."""

    kind: ClusterKind = Field(description="What runs the scheduler and the workers.")
    workers: WorkerSettings = Field(default_factory=WorkerSettings, description="The workers.")
    scheduler: SchedulerSettings = Field(default_factory=SchedulerSettings, description="Where the scheduler listens.")
    dashboard: HostAndPort = Field(
        "127.0.0.1:8787",
        description="Where the dashboard listens. It asks nobody who they are: leave it on `127.0.0.1` and reach it "
        "through SSH or a proxy.",
    )
    idle: Duration | None = Field(
        None,
        description="End the cluster when no task has run on it for so long: nodes and pods cost while they wait. "
        "Default: it stays.",
    )
    security: SecuritySettings | None = Field(None, description="TLS; default: none, on `127.0.0.1` alone.")
    address: AddressSettings | None = Field(None, description="With `kind: address`: the scheduler.")
    slurm: SlurmSettings | None = Field(None, description="With `kind: slurm`: the jobs.")
    kubernetes: KubernetesSettings | None = Field(None, description="With `kind: kubernetes`: the pods.")
    gateway: GatewaySettings | None = Field(None, description="With `kind: gateway`: the gateway.")
    ssh: SshSettings | None = Field(None, description="With `kind: ssh`: the machines.")

    @model_validator(mode="after")
    def _sections(self) -> ClusterStart:
        read = _SECTIONS[self.kind]
        for name in sorted(self.model_fields_set - read - {"kind"}):
            raise ValueError(f"`{name}` is not read with `kind: {self.kind}`, which has {', '.join(sorted(read))}")
        if self.kind in _NEEDED and getattr(self, self.kind) is None:
            raise ValueError(f"`kind: {self.kind}` needs the section `{self.kind}`")
        return self

    @model_validator(mode="after")
    def _numbers(self) -> ClusterStart:
        count, maximum = self.workers.count or 1, self.workers.maximum
        if maximum is not None and self.kind not in _ADAPTIVE:
            raise ValueError(f"`workers.maximum` is for {' and '.join(_ADAPTIVE)}: others have `workers.count` workers")
        if maximum is not None and maximum < count:
            raise ValueError(f"`workers.maximum` {maximum} is below `workers.count` {count}")
        if self.kind == "gateway" and self.workers.memory is not None:
            raise ValueError("`workers.memory` is the gateway's to say: see `gateway.options`")
        if self.kind in _SIZED and self.workers.memory is None:
            raise ValueError(f"`kind: {self.kind}` needs `workers.memory`, such as `2 GB`: a worker is given no more")
        return self

    @model_validator(mode="after")
    def _lifetime(self) -> ClusterStart:
        lifetime = self.workers.lifetime
        if lifetime is None:
            return self
        if self.kind not in _BATCH:
            raise ValueError(
                f"`workers.lifetime` is for batch systems ({', '.join(_BATCH)}): workers of `kind: {self.kind}` stay"
            )
        walltime = (self.slurm or SlurmSettings()).walltime
        latest = seconds(lifetime) + seconds(self.workers.stagger)
        if latest >= seconds(walltime):
            raise ValueError(
                f"`workers.lifetime` {lifetime!r} with `workers.stagger` {self.workers.stagger!r} is not below the "
                f"walltime {walltime!r}: workers would be killed in the middle of a task"
            )
        return self
