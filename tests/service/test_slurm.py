"""Risks of SLURM: jobs that nobody replaces or ends, work that is lost with a job, a script that runs a config."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.config
import pytest
from distributed import Client, SpecCluster, get_worker

from oceanrecon.cluster_config import ClusterStart
from oceanrecon.config import parse_settings
from oceanrecon.errors import ClusterError, ConfigError, MissingExtraError
from oceanrecon.service.clusters import keeper
from oceanrecon.service.clusters import slurm as adapter
from oceanrecon.service.clusters.certificates import make_certificates
from oceanrecon.service.clusters.start import start
from oceanrecon.service.clusters.watch import worker_changes
from tests.clocks import wait_for
from tests.slurm import Site, slurm

ROOT = Path(__file__).parents[2]


# the one node is this machine
pytestmark = pytest.mark.filterwarnings("ignore:workers on the nodes:oceanrecon.errors.InsecureWarning")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with slurm() as running:
        yield running


@pytest.fixture
def here(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """This process speaks to the SLURM of the test, and looks at its queue often; no job may be left afterwards."""
    for name, value in site.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(adapter, "_EVERY", 1.0)
    yield site
    site.wait(0, seconds=30)


def settings(folder: Path, **changes: Any) -> ClusterStart:
    values: dict[str, Any] = {
        "kind": "slurm",
        "workers": {"count": 2, "memory": "500 MB"},
        "scheduler": {"port": 0},
        "dashboard": "127.0.0.1:0",
        "slurm": {"walltime": "10 min", "logs": str(folder / "logs")},
    }
    for name, value in changes.items():
        values[name] = {**values[name], **value} if isinstance(values.get(name), dict) else value
    return parse_settings(ClusterStart, values, "test")


def _where(_: int) -> tuple[str | None, dict[str, str | None], int, bool]:
    """Of the worker that runs it: its job, what its environment has, its threads, whether its connection has TLS."""
    worker = get_worker()
    names = ("MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS", "GDAL_NUM_THREADS")
    chosen = {name: os.environ.get(name) for name in names}
    return os.environ.get("SLURM_JOB_ID"), chosen, worker.state.nthreads, worker.address.startswith("tls://")


def _slow(_: int) -> str | None:
    time.sleep(0.3)
    return os.environ.get("SLURM_JOB_ID")


def test_jobs_work_with_tls_and_a_cancelled_one_is_replaced_without_losing_tasks(here: Site, tmp_path: Path) -> None:
    make_certificates(tmp_path / "tls")
    config = settings(tmp_path, security={"folder": str(tmp_path / "tls")})
    with start(config) as running, running.client() as client:
        client.wait_for_workers(2, timeout=60)
        jobs = here.wait(2, "RUNNING")
        found = client.gather(client.map(_where, range(4), pure=False))
        assert {job for job, _, _, _ in found} == set(jobs) == set(running.facts["jobs"].split())
        assert all(value for _, chosen, _, _ in found for value in chosen.values())
        assert {(threads, secure) for _, _, threads, secure in found} == {(1, True)}

        tasks = client.map(_slow, range(20), pure=False)
        here.run("scancel", jobs[0])
        done = client.gather(tasks)
        assert len(done) == 20
        wait_for(lambda: jobs[0] not in here.jobs() and len(here.jobs("RUNNING")) == 2)
        wait_for(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == 2)
        assert running.problem() == ""
    here.wait(0)


def test_several_workers_in_one_job_are_counted_and_replaced_together(here: Site, tmp_path: Path) -> None:
    with (
        start(settings(tmp_path, slurm={"workers_per_job": 2}), allow_insecure=True) as running,
        running.client() as client,
    ):
        client.wait_for_workers(2, timeout=60)
        (job,) = here.wait(1, "RUNNING")
        here.run("scancel", job)
        wait_for(lambda: here.jobs("RUNNING") not in ([], [job]))
        wait_for(lambda: len(client.scheduler_info(n_workers=-1)["workers"]) == 2)


def test_there_are_more_jobs_while_there_is_work_and_fewer_after(
    here: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "_ADAPT_EVERY", 0.3)
    monkeypatch.setattr(adapter, "_ADAPT_WAIT", 3)
    config = settings(tmp_path, workers={"count": 1, "maximum": 3})
    # dask has no idea yet how long these take, and would call for no help
    with (
        dask.config.set({"distributed.scheduler.default-task-durations": {"_slow": "10s"}}),
        start(config, allow_insecure=True) as running,
    ):
        with running.client() as client:
            client.wait_for_workers(1, timeout=60)
            tasks = client.map(_slow, range(400), pure=False)
            wait_for(lambda: len(here.jobs("RUNNING")) == 3)
            client.cancel(tasks[40:])
            assert len(client.gather(tasks[:40])) == 40
            wait_for(lambda: len(here.jobs()) == 1)


def test_a_cluster_ends_once_it_is_idle_and_not_while_it_works(here: Site, tmp_path: Path) -> None:
    with start(settings(tmp_path, workers={"count": 1}), allow_insecure=True) as running, running.client() as client:
        client.wait_for_workers(1, timeout=60)
        task = client.submit(time.sleep, 3)
        ends = [change.workers for change in worker_changes(running, every=0.2, idle=1.0)]
        assert task.done()
        assert ends == [1]


def test_what_slurm_refuses_is_told_at_once(here: Site, tmp_path: Path) -> None:
    with (
        pytest.raises(ClusterError, match=r"started \(sbatch: error: .*Invalid partition name.*\): see slurm"),
        start(settings(tmp_path, slurm={"partition": "nosuch"}), allow_insecure=True),
    ):
        pass


def test_jobs_that_end_before_they_work_are_not_submitted_for_ever(here: Site, tmp_path: Path) -> None:
    config = settings(tmp_path, slurm={"python": "/bin/false"})
    with start(config, allow_insecure=True) as running:
        with pytest.raises(ClusterError, match=r"in a row ended before their workers were there: see .*/logs"):
            list(worker_changes(running, every=0.2))
        submitted = len(list((tmp_path / "logs").glob("*.err")))
        assert 5 <= submitted <= 8


def test_a_job_script_runs_nothing_that_a_config_says(tmp_path: Path) -> None:
    hostile = {
        "partition": "main\ntouch /tmp/x",
        "account": "a b",
        "modules": ["$(id)"],
        "scratch": "/tmp/`id`",
        "logs": "logs;id",
        "directives": ["--wrap=x\nid"],
        "interface": "ib0 --preload evil",
    }
    for name, value in hostile.items():
        with pytest.raises(ConfigError, match=name):
            settings(tmp_path, slurm={name: value})
    quoted = adapter.script(settings(tmp_path, slurm={"python": "/opt/my python;id"}))
    assert "'/opt/my python;id' -m distributed.cli.dask_worker" in quoted


def test_a_job_ends_its_workers_before_its_walltime_and_has_room_for_what_looks_after_them(tmp_path: Path) -> None:
    script = adapter.script(
        settings(
            tmp_path,
            workers={"count": 8, "memory": "2 GiB"},
            slurm={
                "walltime": "1-12:00:00",
                "workers_per_job": 4,
                "partition": "long",
                "qos": "high",
                "modules": ["python/3.11"],
                "scratch": "$TMPDIR/dask",
                "directives": ["--constraint=skylake"],
            },
        )
    )
    for line in (
        "#SBATCH -t 1-12:00:00",
        "#SBATCH -p long",
        "#SBATCH --qos=high",
        "#SBATCH --constraint=skylake",
        "#SBATCH --cpus-per-task=4",
        f"#SBATCH --mem={4 * 2048 + 300}M",
        "module load python/3.11",
        "export OMP_NUM_THREADS=1",
    ):
        assert line in script.splitlines(), line
    for words in (
        f"--lifetime {35 * 3600 + 50 * 60}s --lifetime-stagger 120s",
        "--nworkers 4",
        "--nthreads 1",
        "--memory-limit 2.00GiB",
        '--local-directory "$TMPDIR/dask"',
        "--no-dashboard",
        "--host 127.0.0.1",
    ):
        assert words in script, words


def test_what_would_be_submitted_can_be_read_first(
    tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    config = ROOT / "configs" / "cluster-slurm.yaml"
    tls = make_certificates(tmp_path / "tls").folder
    code, out, err = command("cluster", "start", config, "--dry-run", "--set", f"security.folder={tls}")
    assert (code, err) == (0, "")
    assert "#SBATCH -t 0-12:00:00" in out.splitlines()
    assert f"--tls-key {tls}/worker-key.pem" in out
    assert "--lifetime 39600s --lifetime-stagger 1200s" in out
    (tmp_path / "bash.sh").write_text(out)
    subprocess.run(["bash", "-n", str(tmp_path / "bash.sh")], check=True)


def test_a_short_walltime_still_leaves_workers_time_to_leave(tmp_path: Path) -> None:
    config = settings(tmp_path, slurm={"walltime": "5 min"})
    lifetime, stagger = adapter._lifetime(config, config.slurm or pytest.fail("no section"))
    assert 60 < lifetime + stagger < 300 - 30


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workers": {"memory": None}}, "needs `workers.memory`"),
        ({"workers": {"maximum": 1}}, "`workers.maximum` 1 is below `workers.count` 2"),
        ({"workers": {"lifetime": "10 min"}}, "is not below the walltime '10 min'"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings(tmp_path, **changes)


def test_workers_on_nodes_are_not_left_open_to_whoever_reaches_them(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"workers on the nodes.*set security\.folder.*--allow-insecure"):
        with start(settings(tmp_path)):
            pass


@pytest.mark.parametrize("logs", ["$NOSUCH/logs", "logs"])
def test_logs_in_a_folder_whose_name_breaks_the_script_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: str
) -> None:
    (tmp_path / "my dir").mkdir()
    monkeypatch.chdir(tmp_path / "my dir" if logs == "logs" else tmp_path)
    with pytest.raises(ClusterError, match=r"set slurm\.logs to a folder with a plain name"):
        adapter.script(settings(tmp_path, slurm={"logs": logs}))


def test_a_port_that_is_taken_is_told(here: Site, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=f"port {port} is in use"):
            with start(settings(tmp_path, scheduler={"port": port}), allow_insecure=True):
                pass


def test_a_scheduler_that_does_not_start_is_told() -> None:
    def taken() -> SpecCluster:  # since we looked
        raise RuntimeError("Cluster failed to start: Address already in use")

    with pytest.raises(ClusterError, match=r"the scheduler did not start .*already in use"), keeper.opened(taken):
        pass


def test_a_machine_without_slurm_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        pytest.raises(ClusterError, match="no sbatch, squeue, scancel on the path"),
        start(settings(tmp_path), allow_insecure=True),
    ):
        pass


def test_the_extra_is_named_where_it_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with (
        pytest.raises(MissingExtraError, match=r"constraints.txt -e '\.\[cluster\]'"),
        start(settings(tmp_path), allow_insecure=True),
    ):
        pass


def test_a_cluster_that_is_killed_leaves_no_job_running(site: Site, tmp_path: Path) -> None:
    """By the command, as users start it: jobs end themselves when their scheduler is gone for good."""
    (tmp_path / "cluster.yaml").write_text(
        "kind: slurm\nworkers: {count: 2, memory: 500 MB}\nscheduler: {port: 0}\ndashboard: 127.0.0.1:0\n"
        "slurm: {walltime: 10 min, logs: logs}\n"
    )
    command = [
        str(Path(sys.executable).with_name("oceanrecon")),
        "cluster",
        "start",
        "cluster.yaml",
        "--json",
        "--allow-insecure",
    ]
    process = subprocess.Popen(command, cwd=tmp_path, env=site.env, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        described = json.loads(process.stdout.readline())
        with Client(described["scheduler"], set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        assert described["jobs"].split() == site.wait(2, "RUNNING")
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    site.wait(0)
