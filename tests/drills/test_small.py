"""Risk: something dies, hangs, fills up or turns bad in mid-job, and work is lost, or half of it is taken for a whole.

The small form of the drills: each fault once, on a tiny archive. ``make drill`` runs the full form.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from distributed import Client

from oceanrecon.config import ExportSettings, dump_settings, load_settings
from oceanrecon.service.jobs.find import look
from oceanrecon.stores.files import Root
from oceanrecon.stores.jobs import read_record, read_records
from tests.archives import WEEKLY, copied, settings, truncate
from tests.drills.disk import small_disk
from tests.drills.exercise import Job, check_same, drill, undisturbed
from tests.drills.harm import Fault
from tests.drills.observe import Reference, observing
from tests.drills.processes import Cluster, cluster, command, ran, wait_for
from tests.drills.table import ROWS
from tests import s3 as s3_server
from tests.s3 import Proxy, Server
from tests.slurm import slurm

#: seconds that a block takes at least, so that there is a middle to be hit
PACE = 0.25


@dataclass(frozen=True)
class Place:
    """What the drills of this module share."""

    folder: Path
    archive: Path
    cluster: Cluster
    reference: Reference


def wanted(archive: Path, output: Path | str, **more: Any) -> ExportSettings:
    return settings(archive, output, **{"grid": {"resolution": 1}} | more)


@pytest.fixture(scope="module")
def place(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A cluster of its own, and an undisturbed export."""
    folder = tmp_path_factory.mktemp("drills")
    with cluster(folder / "cluster", memory="1 GB") as running:
        yield Place(folder, archive, running, undisturbed(wanted(archive, folder / "undisturbed"), running))


@pytest.fixture
def job(place: Place, tmp_path: Path) -> Iterator[Job]:
    """A job that takes its time."""
    wait_for(lambda: len(place.cluster.workers()) == 2, "two workers")
    place.cluster.orders.give(pace=PACE)
    with drill(tmp_path, wanted(place.archive, tmp_path / "export"), place.reference, place.cluster) as submitted:
        yield submitted


def test_a_worker_is_killed_while_it_writes(place: Place, job: Job) -> None:
    place.cluster.orders.give(Fault("die", "half", r"so_20120229\.tif$"), pace=PACE)
    wait_for(place.cluster.orders.hits, "a worker to die")
    job.observer.check()
    record = job.ends(ROWS["worker"])
    assert record.failure_count == 0
    job.check_same()


def test_the_worker_that_drives_the_job_is_killed(job: Job) -> None:
    job.wait_for_receipts(3)
    job.driver().kill()
    job.observer.check()
    record = job.ends(ROWS["driver"])
    assert record.starts == 2 and record.total("kept") >= 3
    job.check_same()


def test_all_workers_are_killed(place: Place, job: Job) -> None:
    job.wait_for_receipts(3)
    for worker in place.cluster.workers():
        worker.kill()
    job.observer.check()
    record = job.ends(ROWS["workers"])
    assert record.starts == 2 and record.total("kept") >= 3
    job.check_same()


def test_the_scheduler_is_killed(place: Place, tmp_path: Path) -> None:
    with cluster(tmp_path / "cluster") as doomed:
        doomed.orders.give(pace=PACE, lease=4)
        with drill(tmp_path, wanted(place.archive, tmp_path / "export"), place.reference, doomed) as job:
            job.wait_for_receipts(3)
            workers = doomed.workers()
            doomed.kill()
            job.observer.check()
            wait_for(lambda: not [worker for worker in workers if worker.is_running()], "the workers to end")
            job.ends(ROWS["scheduler"])
            job.resume(place.cluster)
            job.check_same()


def submit_and_die(moment: str, config: Path, running: Cluster) -> str:
    """Submit, and be killed at a moment of it; the job's id."""
    words = [sys.executable, "-m", "tests.drills.client", moment, "submit", config, "--scheduler", running.address]
    killed = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed
    (record,) = read_records(Root(load_settings(ExportSettings, config).output))
    return record.id


@pytest.mark.parametrize("moment", ["recorded", "handed"])
def test_the_client_is_killed_while_it_submits(place: Place, tmp_path: Path, moment: str) -> None:
    output, config = tmp_path / "export", tmp_path / "export.yaml"
    config.write_text(dump_settings(wanted(place.archive, output)))
    place.cluster.orders.give()
    with observing(str(output), place.reference) as observer:
        killed = submit_and_die(moment, config, place.cluster)
        job = Job(killed, wanted(place.archive, output), place.cluster, observer, command("watch", output))
        job.ends(ROWS[f"client-{moment}"])
        if moment == "recorded":
            job.resume()
        job.check_same()


def test_a_worker_hangs(place: Place, tmp_path: Path) -> None:
    fault = Fault("hang", "begin", "so 20120229")
    place.cluster.orders.give(fault, pace=PACE, retries={"patience": 8.0, "pause": 0.5})
    with drill(tmp_path, wanted(place.archive, tmp_path / "export"), place.reference, place.cluster) as job:
        record = job.ends(ROWS["hang"])
        assert record.retries >= 1
        job.check_same()


def test_a_worker_runs_out_of_memory(place: Place, job: Job) -> None:
    place.cluster.orders.give(Fault("eat", "begin", "so 20120229"), pace=PACE)
    job.ends(ROWS["memory"])
    assert place.cluster.orders.hits()
    job.check_same()


def test_the_disk_is_full(place: Place, tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", "40m") as disk,
        cluster(tmp_path / "cluster", prefix=disk.prefix) as inside,
    ):
        inside.orders.give(pace=PACE, lease=4)
        export = wanted(place.archive, disk.inside / "export")
        with drill(
            tmp_path, export, place.reference, inside, prefix=disk.prefix, seen_at=str(disk.outside / "export")
        ) as job:
            job.wait_for_receipts(3)
            disk.fill()
            job.ends(ROWS["disk"])
            job.observer.check()
            disk.empty()
            job.resume()
            job.check_same()


def test_source_files_vanish_and_turn_bad(place: Place, tmp_path: Path) -> None:
    mine = copied(place.archive, tmp_path / "archive")
    place.cluster.orders.give(pace=PACE)
    with drill(tmp_path, wanted(mine, tmp_path / "export"), place.reference, place.cluster) as job:
        job.wait_for_receipts(3)
        (gone,) = (mine / "glorys").glob(f"*_mean_{WEEKLY[2]:%Y%m%d}_*.nc")
        (short,) = (mine / "ostia").glob(f"{WEEKLY[2] + dt.timedelta(days=1):%Y%m%d}*.nc")
        (flipped,) = (mine / "sss").glob(f"*_{WEEKLY[2] + dt.timedelta(days=1):%Y%m%d}*.nc")
        gone.unlink()
        truncate(short)
        flip(flipped)
        record = job.ends(ROWS["sources"])
        failed = {(failure["variable"], failure["date"]) for failure in record.failures}
        assert failed == {(name, "20120307") for name in ("thetao", "so", "analysed_sst", "sos")} | (
            {("dos", "20120307")} & failed
        )
        for path in (gone, short, flipped):
            shutil.copy2(place.archive / path.relative_to(mine), path)
        job.resume()
        job.check_same()


def flip(path: Path) -> None:
    """Change one byte of the data; size and times stay."""
    import h5py

    with h5py.File(path, "r") as file:
        chunk = file["sos"].id.get_chunk_info(0)
    times = path.stat()
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset + chunk.size // 2)
        (byte,) = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 0x10]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_the_driver_is_suspended_for_longer_than_its_lease(place: Place, tmp_path: Path) -> None:
    place.cluster.orders.give(pace=PACE, lease=3)
    with drill(tmp_path, wanted(place.archive, tmp_path / "export"), place.reference, place.cluster) as job:
        job.wait_for_receipts(3)
        driver = job.driver()
        driver.suspend()
        job.wait_for_state("lost")
        driver.resume()
        job.ends(ROWS["suspended"])
        job.resume()
        job.check_same()


def test_a_suspended_job_wakes_up_after_another_has_its_output(place: Place, tmp_path: Path) -> None:
    output = tmp_path / "export"
    other = wanted(place.archive, output, grid={"resolution": 2}, encoding="uint16")
    expected = undisturbed(other.model_copy(update={"output": str(tmp_path / "other")}), place.cluster)
    with cluster(tmp_path / "cluster", workers=1) as sleepy:
        sleepy.orders.give(Fault("stop", "begin", "so 20120229"), pace=PACE, lease=3)
        with drill(tmp_path, wanted(place.archive, output), place.reference, sleepy) as job:
            job.ends(ROWS["suspended"])
        (driver,) = sleepy.workers()
        assert driver.status() == psutil.STATUS_STOPPED
        config = tmp_path / "other.yaml"
        config.write_text(dump_settings(other))
        place.cluster.orders.give(pace=PACE)
        code, out, err = job.command(
            "submit", config, "--overwrite", "--scheduler", place.cluster.address, "--json"
        )
        assert code == 0, out + err
        with observing(str(output), expected) as observer:
            newer = Job(json.loads(out)["id"], other, place.cluster, observer, command("watch", output))
            newer.wait_for_receipts(3)
            driver.resume()
            newer.ends(ROWS["taken"])
            # it has had time to do harm
            wait_for(lambda: "so" not in busy(sleepy), "the woken worker to end its block")
            check_same(newer.root, expected, newer.id, job.id)
        code, out, err = job.command("resume", job.id, "--in", output, "--scheduler", place.cluster.address)
        assert code == 1 and "--overwrite" in err, out + err
        assert look(read_record(newer.root, job.id)).state == "lost"


def busy(running: Cluster) -> set[str]:
    """Variables of the blocks that are under way."""
    with Client(running.address, set_as_default=False) as client:
        return {str(key).partition("-")[0] for keys in client.processing().values() for key in keys}


def test_s3_refuses_everything_for_a_while(place: Place, tmp_path: Path, s3: Server, bucket: str) -> None:
    output = f"{bucket}/export"
    with (
        Proxy(s3.endpoint) as proxy,
        cluster(tmp_path / "cluster", env={"AWS_ENDPOINT_URL": proxy.endpoint}) as remote,
    ):
        remote.orders.give(pace=PACE)
        with drill(tmp_path, wanted(place.archive, output), place.reference, remote) as job:
            job.wait_for_receipts(3)
            fault = proxy.add(s3_server.Fault(status=503, times=None))
            time.sleep(4)
            proxy.clear()
            assert fault.hits
            job.ends(ROWS["s3-busy"])
            job.check_same()


def test_on_slurm_the_client_is_killed_and_so_is_a_worker(place: Place, tmp_path: Path) -> None:
    batch = {"kind": "slurm", "workers": {"count": 2, "memory": "1 GB"}, "slurm": {"logs": str(tmp_path / "logs")}}
    with (
        slurm() as site,
        cluster(tmp_path / "cluster", env=site.variables, settings=batch) as running,
        Client(running.address, set_as_default=False) as client,
    ):
        running.orders.give(pace=PACE)
        client.wait_for_workers(2, timeout=60)
        output, config = tmp_path / "export", tmp_path / "export.yaml"
        config.write_text(dump_settings(wanted(place.archive, output)))
        with observing(str(output), place.reference) as observer:
            killed = submit_and_die("handed", config, running)
            job = Job(killed, wanted(place.archive, output), running, observer, command("watch", output))
            job.wait_for_receipts(3)
            site.run("scancel", "--signal=KILL", "--full", site.jobs("RUNNING")[0])
            job.ends(ROWS["slurm"])
            job.check_same()
