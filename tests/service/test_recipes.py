"""Risks of what a site copies from ``cluster/``: files that their own programs refuse, that drift from the code, or do
something else than they say.

What systemd and nginx take is in ``test_local_files``, what a gateway takes in ``test_gateway``, and what the Dask
operator takes in ``test_kubernetes``.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from distributed import Client

from oceanrecon.config import ExportSettings, parse_settings
from oceanrecon.service.clusters.certificates import make_certificates
from oceanrecon.service.clusters.keeper import worker_environment
from oceanrecon.service.clusters.kubernetes import TLS_FOLDER
from oceanrecon.service.clusters.security import tls_security
from tests.archives import settings, write_archive
from tests.programs import program
from tests.slurm import Site, slurm
from tests.sshd import sshd

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
BIN = Path(sys.executable).parent
#: as in ``test_kubernetes``
VERSIONS = ("1.34", "1.29")

# without types
kubernetes_validate: Any = importlib.import_module("kubernetes_validate")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("recipes") / "tls").folder


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with slurm() as running:
        yield running


def shell(*command: str | Path, **more: Any) -> str:
    """Standard output of a command that succeeds."""
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, timeout=120, **more)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return str(done.stdout)


# ---- Docker ---------------------------------------------------------------------------------------------------------


def _instructions() -> list[str]:
    text = (CLUSTER / "docker" / "Dockerfile").read_text()
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    return lines.replace("\\\n", " ").splitlines()


def test_the_dockerfile_has_no_faults_that_its_linter_knows() -> None:
    shell(BIN / "hadolint", CLUSTER / "docker" / "Dockerfile")


def test_the_image_gives_workers_the_environment_that_all_others_have() -> None:
    (line,) = (line for line in _instructions() if line.startswith("ENV "))
    stated = dict(word.split("=", 1) for word in shlex.split(line)[1:])
    assert stated.pop("PATH") == "/opt/oceanrecon/bin:$PATH"
    # compose may run it as a user without a home
    assert stated.pop("NUMBA_CACHE_DIR") == "/tmp/numba"
    assert stated == worker_environment(secured=False)


def test_an_image_has_no_more_than_it_needs_and_is_nobody_special() -> None:
    kept = [
        line for line in (CLUSTER / "docker" / "Dockerfile.dockerignore").read_text().splitlines() if line[0] != "#"
    ]
    assert kept[0] == "*"
    copied = {
        word
        for line in _instructions()
        if line.startswith("COPY") and "--from" not in line
        for word in line.split()[1:-1]
    }
    assert {line.removeprefix("!") for line in kept if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)
    # a number, and the one that pods run as
    assert "USER 10001:10001" in _instructions()


@pytest.fixture(scope="module")
def composed() -> dict[str, Any]:
    """The compose file as its own program reads it."""
    command = program("docker-compose", "docker-compose")
    text = shell(command, "--file", CLUSTER / "docker" / "compose.yaml", "--profile", "client", "config")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_services_of_compose_are_open_to_this_machine_alone_and_have_no_rights(composed: dict[str, Any]) -> None:
    services = composed["services"]
    assert set(services) == {"certificates", "scheduler", "worker", "client"}
    published = [port for each in services.values() for port in each.get("ports", ())]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published)
    for name, each in services.items():
        assert each["security_opt"] == ["no-new-privileges:true"]
        assert each["environment"]["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] == "True"
        if name != "certificates":
            assert each["cap_drop"] == ["ALL"]
            assert each["user"] == "10001:10001"
    origins = next(value for name, value in services["scheduler"]["environment"].items() if name.endswith("_ORIGIN"))
    assert origins == "['127.0.0.1:8787', 'localhost:8787']"
    # the process that looks after a worker of 2 GB needs some too
    assert services["worker"]["mem_limit"] == "2300m"


def test_the_commands_of_compose_make_a_cluster_with_tls(composed: dict[str, Any], tls: Path, tmp_path: Path) -> None:
    """Run here instead of in containers: the same words, other paths, names and ports."""
    ports = _free_ports(2)
    made = tmp_path / "volume"
    replaced = {
        "/tls": str(made),
        "scheduler:8786": f"127.0.0.1:{ports[0]}",
        "--port 8786": f"--host 127.0.0.1 --port {ports[0]}",
        "0.0.0.0:8787": f"127.0.0.1:{ports[1]}",
        "dask worker": "dask worker --host 127.0.0.1",
        "chown": "true",
    }

    def start(service: str) -> subprocess.Popen[bytes]:
        stated = composed["services"][service]["command"]
        words = stated if isinstance(stated, list) else shlex.split(stated)
        for old, new in replaced.items():
            words = (
                shlex.split(shlex.join(words).replace(old, new)) if " " in old else [w.replace(old, new) for w in words]
            )
        variables = {**os.environ, **worker_environment(secured=True), "PATH": f"{BIN}:{os.environ['PATH']}"}
        return subprocess.Popen(words, env=variables, cwd=tmp_path, stderr=subprocess.DEVNULL)

    made.mkdir()
    for _ in range(2):  # at the second start they are there
        assert start("certificates").wait(60) == 0
    with ExitStack() as stack:
        for service in ("scheduler", "worker"):
            process = start(service)
            stack.callback(process.wait, 30)
            stack.callback(process.terminate)
        security = tls_security(made / "certificates", roles=("client",))
        with Client(f"tls://127.0.0.1:{ports[0]}", security=security, timeout="60s", set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)
            (worker,) = client.scheduler_info(n_workers=-1)["workers"].values()
        assert (worker["nthreads"], worker["memory_limit"]) == (1, 2_000_000_000)


# ---- Kubernetes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["volumes.yaml", "submit-job.yaml"])
def test_manifests_are_what_kubernetes_takes(name: str) -> None:
    resources = list(yaml.safe_load_all((CLUSTER / "kubernetes" / name).read_text()))
    assert len(resources) == 2
    for resource in resources:
        for version in VERSIONS:
            kubernetes_validate.validate(resource, version, strict=True)


def test_the_job_that_submits_fits_the_cluster_it_submits_to() -> None:
    submits = list(yaml.safe_load_all((CLUSTER / "kubernetes" / "submit-job.yaml").read_text()))
    cluster = yaml.safe_load((CLUSTER / "kubernetes" / "dask-cluster.yaml").read_text())
    claims = yaml.safe_load_all((CLUSTER / "kubernetes" / "volumes.yaml").read_text())
    config, job = submits
    pod = job["spec"]["template"]["spec"]
    (client,) = pod["containers"]
    worker = cluster["spec"]["worker"]["spec"]
    assert client["image"] == worker["containers"][0]["image"]
    # paths of a config are the workers' paths
    mounted = {each["mountPath"] for each in client["volumeMounts"]}
    assert {each["mountPath"] for each in worker["containers"][0]["volumeMounts"]} <= mounted
    export = parse_settings(ExportSettings, yaml.safe_load(config["data"]["export.yaml"]), "test")
    assert export.archive.root.startswith("/archive")
    assert export.output in client["command"][-1]
    variables = {each["name"]: each["value"] for each in client["env"]}
    name, namespace = cluster["metadata"]["name"], cluster["metadata"]["namespace"]
    assert variables["OCEANRECON_SCHEDULER"] == f"tls://{name}-scheduler.{namespace}.svc:8786"
    assert variables["OCEANRECON_TLS"] == str(TLS_FOLDER)
    needed = {each["persistentVolumeClaim"]["claimName"] for each in pod["volumes"] if "persistentVolumeClaim" in each}
    assert needed == {each["metadata"]["name"] for each in claims}


# ---- SLURM ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*CLUSTER.glob("*/*.sbatch"), *CLUSTER.glob("*/*.sh")], ids=lambda path: path.name)
def test_scripts_have_no_faults_that_their_linter_knows(path: Path) -> None:
    shell(program("shellcheck", "shellcheck"), path)


def test_a_batch_script_gives_workers_the_environment_that_all_others_have() -> None:
    lines = (CLUSTER / "slurm" / "cluster.sbatch").read_text().splitlines()
    stated = dict(shlex.split(line)[1].split("=", 1) for line in lines if line.startswith("export "))
    assert worker_environment(secured=True).items() <= stated.items()


def _user(site: Site, tls: Path) -> dict[str, str]:
    """Environment of a user's shell, in which ``oceanrecon`` works."""
    return {**site.env, "PATH": f"{BIN}:{site.env['PATH']}", "OCEANRECON_TLS": str(tls)}


def test_a_cluster_in_one_job_does_an_export_and_ends(site: Site, tls: Path, tmp_path: Path) -> None:
    output = tmp_path / "export"
    export = settings(write_archive(tmp_path / "archive"), output).model_dump(mode="json")
    (tmp_path / "export.yaml").write_text(yaml.safe_dump(export))
    variables = {**_user(site, tls), "OCEANRECON_INTERFACE": "lo", "OCEANRECON_WORKER_MEMORY": "800MB"}
    script = CLUSTER / "slurm" / "cluster.sbatch"
    limits = ("--ntasks=2", "--mem-per-cpu=1G", "--time=10", "--parsable")
    job = shell("sbatch", *limits, script, "export.yaml", env=variables, cwd=tmp_path).strip()
    until(lambda: job not in site.jobs(), 120)

    said = (tmp_path / f"oceanrecon-{job}.out").read_text()
    assert "is complete: 18 blocks written, 0 kept, 0 failed" in said, said
    assert "tls://127.0.0.1" in said
    assert (tmp_path / f"oceanrecon-{job}-workers.out").stat().st_size
    assert not list(tmp_path.glob(".oceanrecon-*"))
    verified = shell(BIN / "oceanrecon", "verify", output)
    assert "18 blocks" in verified
    assert "all good" in verified


def test_a_scheduler_in_a_job_submits_the_jobs_of_its_workers_and_takes_them_along(
    site: Site, tls: Path, tmp_path: Path
) -> None:
    config = {
        "kind": "slurm",
        "workers": {"count": 2, "memory": "500 MB"},
        "scheduler": {"port": 0},
        "dashboard": "127.0.0.1:0",
        "security": {"folder": str(tls)},
        "slurm": {"walltime": "10 min"},
    }
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump(config))
    script = CLUSTER / "slurm" / "scheduler.sbatch"
    limits = ("--mem=1G", "--time=10", "--parsable")
    variables = _user(site, tls)
    job = shell("sbatch", *limits, script, "cluster.yaml", "--json", env=variables, cwd=tmp_path).strip()
    log = tmp_path / f"oceanrecon-scheduler-{job}.out"
    until(lambda: log.exists() and "}" in log.read_text())
    described = json.loads(log.read_text().splitlines()[0])
    with Client(described["scheduler"], security=tls_security(tls, roles=("client",)), set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)
    assert len(site.wait(3, "RUNNING")) == 3
    # as near its walltime
    site.run("scancel", "--signal=TERM", "--batch", job)
    site.wait(0)


def test_a_job_without_certificates_or_config_says_so(site: Site, tmp_path: Path) -> None:
    script = CLUSTER / "slurm" / "cluster.sbatch"
    for arguments, words in (((), "name the export"), (("export.yaml",), "no certificates in")):
        job = shell(
            "sbatch", "--wait-all-nodes=0", "--mem-per-cpu=100M", "--ntasks=1", "--parsable", script, *arguments,
            env=_user(site, tmp_path / "none"), cwd=tmp_path,
        ).strip()  # fmt: skip
        until(lambda job=job: job not in site.jobs())  # type: ignore[misc]  # bound now
        assert words in (tmp_path / f"oceanrecon-{job}.out").read_text()


# ---- SSH ------------------------------------------------------------------------------------------------------------


def test_machines_are_given_the_keys_of_workers_alone(tls: Path, tmp_path: Path) -> None:
    target = tmp_path / "their folder"
    tls = shutil.copytree(tls, tmp_path / "tls")
    if os.geteuid() == 0:  # root's tar would give them to who has this number over there
        os.chown(tls / "worker-key.pem", 12345, 12345)
    with sshd() as server:
        options = f"-i {server.key} -p {server.port} -o UserKnownHostsFile={server.known_hosts} -o BatchMode=yes"
        (tmp_path / "bin").mkdir()
        # in place of the user's SSH config
        wrapper = tmp_path / "bin" / "ssh"
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F none {options} -l {server.user} "$@"\n')
        wrapper.chmod(0o755)
        variables = {
            **os.environ,
            "PATH": f"{wrapper.parent}:{os.environ['PATH']}",
            "OCEANRECON_REMOTE_TLS": str(target),
        }
        said = shell(CLUSTER / "ssh" / "copy-certificates.sh", tls, "127.0.0.1", env=variables)
    assert said == "127.0.0.1 has them\n"
    assert {path.name for path in target.iterdir()} == {"ca.pem", "worker.pem", "worker-key.pem"}
    assert stat.S_IMODE((target / "worker-key.pem").stat().st_mode) == 0o600
    assert (target / "worker-key.pem").stat().st_uid == os.geteuid()
    assert stat.S_IMODE(target.stat().st_mode) == 0o700


def test_recipes_name_no_flag_that_dask_does_not_know() -> None:
    """A flag that a later Dask renames is found here, not on a site."""
    known = {name: shell(BIN / "dask", name, "--help") for name in ("scheduler", "worker")}
    texts = [path.read_text() for path in CLUSTER.glob("*/*") if path.is_file()]
    for text in texts:
        for role, words in re.findall(r"dask (scheduler|worker)\b((?:[^\n]*\\\n)*[^\n]*)", text):
            for flag in re.findall(r"(?<=\s)--[a-z-]+", words):
                assert flag in known[role], f"dask {role} {flag}"


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
