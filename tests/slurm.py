"""A real SLURM of one node on loopback, from Debian's ``slurm-wlm`` and ``munge``, with everything in one folder.

    with slurm() as site:
        subprocess.run(["squeue"], env=site.env)

Nothing of the system's own SLURM, if there is one, is read or touched: daemons are children of the test and are stopped
by their process ids.
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path

from tests.programs import PATH, program

_PROGRAMS = {"munged": "munge", "slurmctld": "slurm-wlm", "slurmd": "slurm-wlm", "sbatch": "slurm-wlm"}

_CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
# no cgroups: they need rights that a test has not
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1
ReturnToService=2
KillWait=5
# more cores than the machine may have: what is tested is who starts where, not how fast
SlurmdParameters=config_overrides
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Site:
    """A SLURM that runs."""

    folder: Path
    #: for processes that speak to it
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """This process's environment, and what SLURM's commands need."""
        return {**os.environ, **self.variables}

    def run(self, *command: str) -> str:
        """Standard output of one of SLURM's commands."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{command} failed: {done.stderr}"
        return done.stdout

    def jobs(self, state: str | None = None) -> list[str]:
        """Ids of jobs that have not ended, or of those in a state such as ``RUNNING``."""
        rows = [line.split() for line in self.run("squeue", "--noheader", "--format=%i %T").splitlines()]
        return [job for job, found in rows if state in (None, found)]

    def wait(self, count: int, state: str | None = None, seconds: float = 60) -> list[str]:
        """Wait until so many jobs are there, in that state."""
        end = time.monotonic() + seconds
        while len(found := self.jobs(state)) != count:
            assert time.monotonic() < end, f"{len(found)} jobs {state or ''}, not {count}\n{self.logs()}"
            time.sleep(0.2)
        return found

    def logs(self) -> str:
        """What the daemons said last, for messages of tests."""
        found = [f"{path.name}:\n" + "\n".join(path.read_text().splitlines()[-15:]) for path in self._logs()]
        return "\n".join(found)

    def _logs(self) -> list[Path]:
        return sorted(self.folder.glob("*.log"))


@contextmanager
def slurm(cpus: int = 4, memory_mib: int = 8000) -> Iterator[Site]:
    """A SLURM of one node with so many cores, which ends with the context, and its jobs with it."""
    for name, package in _PROGRAMS.items():
        program(name, package)
    # sockets have short names, which pytest's folders have not
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True)))
        for name in ("state", "spool"):
            (folder / name).mkdir()
        host = socket.gethostname().partition(".")[0]
        controller, node = _free_ports(2)
        text = _CONF.format(
            host=host, controller=controller, node=node, user=getuser(), folder=folder, cpus=cpus, memory=memory_mib
        )  # fmt: skip
        (folder / "slurm.conf").write_text(text)
        # read even where nothing uses cgroups
        (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        site = Site(folder, {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": PATH})
        own = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        # force: a folder below /tmp is not where a site would keep its key
        stack.enter_context(_daemon(site, "munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *own))
        _wait_for(lambda: (folder / "munge.socket").exists(), site)
        stack.enter_context(_daemon(site, "slurmctld", "-D"))
        stack.enter_context(_daemon(site, "slurmd", "-D"))
        _wait_for(lambda: _state(site) == "idle", site)
        try:
            yield site
        finally:
            subprocess.run(["scancel", f"--user={getuser()}"], env=site.env, capture_output=True, timeout=60)
            site.wait(0)


@contextmanager
def _daemon(site: Site, *command: str) -> Iterator[None]:
    with (site.folder / f"{command[0]}.out.log").open("wb") as log:
        process = subprocess.Popen(command, env=site.env, stdout=log, stderr=log, cwd=site.folder)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def _state(site: Site) -> str:
    done = subprocess.run(
        ["sinfo", "--noheader", "--format=%T"], env=site.env, capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


def _wait_for(ready: object, site: Site, seconds: float = 90) -> None:
    assert callable(ready)
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"SLURM did not start\n{site.logs()}"
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
