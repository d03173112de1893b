"""The drills themselves: one function each, for the small form and for the full one."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import psutil
from distributed import Client

import oceanrecon
from oceanrecon.config import ExportSettings, dump_settings, load_settings
from oceanrecon.errors import LeaseError
from oceanrecon.stores.files import Root
from oceanrecon.stores.jobs import read_records
from tests import s3
from tests.archives import truncate
from tests.clocks import wait_for
from tests.drills.disk import small_disk
from tests.drills.exercise import Job, check_same, drill, undisturbed
from tests.drills.harm import Fault, Orders
from tests.drills.observe import Reference, observing
from tests.drills.processes import ROOT, Cluster, cluster, command, far_worker
from tests.drills.table import ROWS
from tests.slurm import slurm

#: Length of a driver's lease where a drill waits for its end, seconds.
SHORT = 3.0


@dataclass
class Place:
    """What drills share: an archive, a cluster, an undisturbed export."""

    folder: Path
    archive: Path
    cluster: Cluster
    reference: Reference
    #: of an export of an archive to an output
    settings: Callable[..., ExportSettings]
    #: of a worker
    memory: str
    #: seconds that a block takes longer, so that there is a middle to be hit
    pace: float
    #: a new output
    output: Callable[[Path], str]
    #: chooses moments; the same each time without it
    chance: random.Random | None = None
    #: seconds that no block needs
    patience: float = 6.0
    #: room for the export, and not much more
    disk: str = "40m"

    def job(
        self, folder: Path, running: Cluster | None = None, archive: Path | None = None
    ) -> AbstractContextManager[Job]:
        """Submit a job and watch it."""
        export = self.settings(archive or self.archive, self.output(folder))
        return drill(folder, export, self.reference, running or self.cluster)

    def more(self, folder: Path, **options: Any) -> AbstractContextManager[Cluster]:
        """Another cluster."""
        return cluster(folder / "cluster", **{"memory": self.memory} | options)

    @contextmanager
    def middle(self, job: Job) -> Iterator[None]:
        """Wait until the middle of the job, and let it come no further while something is done to it."""
        total = len(list(self.reference.root.list("receipts")))
        job.wait_for_receipts(3 if self.chance is None else self.chance.randrange(1, total - 3))
        if self.chance is not None:
            time.sleep(self.chance.uniform(0, 1))
        with job.cluster.orders.held():
            yield


@contextmanager
def ready(place: Place, *faults: Fault, **orders: Any) -> Iterator[None]:
    """The shared cluster with two workers, and what is to go wrong on it."""
    wait_for(lambda: len(place.cluster.workers()) == 2, "two workers")
    place.cluster.orders.give(*faults, pace=place.pace, **orders)
    try:
        yield
    finally:
        place.cluster.orders.give()


def worker_dies(place: Place, folder: Path, fault: Fault) -> None:
    """SIGKILL to a worker while it writes."""
    with ready(place, fault), place.job(folder) as job:
        wait_for(place.cluster.orders.hits, "a worker to die")
        job.observer.check()
        job.ends(ROWS["worker"])
        job.check_same()


def driver_dies_writing(place: Place, folder: Path, fault: Fault) -> None:
    """SIGKILL to the worker that drives the job while it writes a file of its own, when there are some blocks."""
    with ready(place), place.job(folder) as job:
        with place.middle(job):
            place.cluster.orders.give(fault, pace=place.pace)
        wait_for(place.cluster.orders.hits, "the driver to die")
        job.observer.check()
        record = job.ends(ROWS["driver"])
        assert record.starts == 2
        job.check_same()


def driver_dies(place: Place, folder: Path) -> None:
    """SIGKILL to the worker that drives the job."""
    with ready(place), place.job(folder) as job:
        with place.middle(job):
            made = len(job.observer.receipts())
            job.driver().kill()
        place.cluster.orders.give()  # there is no more to be hit
        job.observer.check()
        record = job.ends(ROWS["driver"])
        assert record.starts == 2 and record.total("kept") >= made
        job.check_same()


def all_workers_die(place: Place, folder: Path) -> None:
    """SIGKILL to all workers at once."""
    with ready(place), place.job(folder) as job:
        with place.middle(job):
            made = len(job.observer.receipts())
            for worker in place.cluster.workers():
                worker.kill()
        place.cluster.orders.give()
        job.observer.check()
        record = job.ends(ROWS["workers"])
        assert record.starts == 2 and record.total("kept") >= made
        job.check_same()


def scheduler_dies(place: Place, folder: Path, *, at_once: bool = False) -> None:
    """SIGKILL to the scheduler; its workers end, the job is lost, and another scheduler goes on with it."""
    with place.more(folder) as doomed:
        doomed.orders.give(pace=place.pace, lease=SHORT)
        with place.job(folder, doomed) as job:
            with place.middle(job):
                workers = doomed.workers()
                doomed.kill()
            job.observer.check()
            if not at_once:
                wait_for(lambda: not [one for one in workers if one.is_running()], "the workers to end")
                job.ends(ROWS["scheduler"])
            job.resume(place.cluster)
            job.check_same()


def client_dies(place: Place, folder: Path, moment: str) -> None:
    """SIGKILL to the command that submits."""
    export = place.settings(place.archive, place.output(folder))
    config = folder / "export.yaml"
    config.write_text(dump_settings(export))
    with ready(place), observing(export.output, place.reference) as observer:
        killed = submit_and_die(moment, config, place.cluster)
        job = Job(killed, export, place.cluster, observer, command("watch", export.output))
        job.ends(ROWS[f"client-{moment}"])
        if moment == "recorded":
            job.resume()
        job.check_same()


def submit_and_die(moment: str, config: Path, running: Cluster) -> str:
    """Submit, and be killed at a moment of it; the job's id."""
    words = [sys.executable, "-m", "tests.drills.client", moment, "submit", str(config), "--scheduler", running.address]
    killed = subprocess.run(words, cwd=ROOT, capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed
    (record,) = read_records(Root(load_settings(ExportSettings, config).output))
    return record.id


def client_dies_before_its_record(place: Place, folder: Path) -> None:
    """SIGKILL to the command that submits when it has the output, and no job yet."""
    export = place.settings(place.archive, place.output(folder))
    config = folder / "export.yaml"
    config.write_text(dump_settings(export))
    words = [sys.executable, "-m", "tests.drills.client", "prepared", "submit", str(config)]
    with ready(place):
        killed = subprocess.run(
            [*words, "--scheduler", place.cluster.address], cwd=ROOT, capture_output=True, timeout=120
        )
        assert killed.returncode == -signal.SIGKILL, killed
        assert not read_records(Root(export.output))
        time.sleep(2 * SHORT)  # the lease of whoever died
        with drill(folder, export, place.reference, place.cluster, options=("--resume",)) as job:
            job.ends(ROWS["client-prepared"])
            job.check_same()


def worker_hangs(place: Place, folder: Path, *, how: Any = "hang", driver: bool = False) -> None:
    """A block that never returns, also where the worker drives the job, or a worker's process that stands still."""
    fault = Fault(how, "begin", "2012", driver=driver)
    with ready(place, fault, retries={"patience": place.patience, "pause": 0.5}), place.job(folder) as job:
        record = job.ends(ROWS["hang-driver" if driver else "hang"])
        assert place.cluster.orders.hits()
        assert record.starts >= 2 if driver else record.retries
        job.check_same()


def memory_runs_out(place: Place, folder: Path, block: str, *, times: int = 1) -> None:
    """A block that takes more memory than its worker has."""
    with ready(place, Fault("eat", "begin", block, times)), place.job(folder) as job:
        row = ROWS["memory" if times == 1 else "memory-always"]
        record = job.ends(row)
        assert place.cluster.orders.hits()
        if row.ends != "complete":
            assert record.set_aside == (block,)
            place.cluster.orders.give()
            job.resume()
        job.check_same()


def disk_fills_up(place: Place, folder: Path) -> None:
    """No byte is left on the disk of the output."""
    with small_disk(folder / "disk", place.disk) as disk, place.more(folder, prefix=disk.prefix) as inside:
        inside.orders.give(pace=place.pace, lease=SHORT)
        export = place.settings(place.archive, disk.inside / "export")
        seen_at = str(disk.outside / "export")
        with drill(folder, export, place.reference, inside, prefix=disk.prefix, seen_at=seen_at) as job:
            with place.middle(job):
                disk.fill()
            job.ends(ROWS["disk"])
            disk.empty()
            job.resume()
            job.check_same()


def sources_turn_bad(place: Place, folder: Path, last: dt.date) -> None:
    """In mid-job one source file vanishes, one is cut short, one has a wrong byte."""
    mine = Path(shutil.copytree(place.archive, folder / "archive"))
    after = last + dt.timedelta(days=1)
    with ready(place), place.job(folder, archive=mine) as job:
        job.wait_for_receipts(3)
        (gone,) = (mine / "glorys").glob(f"*_mean_{last:%Y%m%d}_*.nc")
        (short,) = (mine / "ostia").glob(f"{after:%Y%m%d}*.nc")
        (flipped,) = (mine / "sss").glob(f"*_{after:%Y%m%d}*.nc")
        with place.cluster.orders.held():
            gone.unlink()
            truncate(short)
            flip(flipped)
        record = job.ends(ROWS["sources"])
        failed = {(failure["variable"], failure["date"]) for failure in record.failures}
        assert failed == {(name, f"{last:%Y%m%d}") for name in ("thetao", "so", "analysed_sst", "sos")}
        for path in (gone, short, flipped):
            shutil.copy2(place.archive / path.relative_to(mine), path)
        job.resume()
        job.check_same()


def flip(path: Path) -> None:
    """Change one bit of the data; size and times stay."""
    with h5py.File(path, "r") as file:
        chunk = file["sos"].id.get_chunk_info(0)
    times = path.stat()
    with path.open("r+b") as stream:
        stream.seek(chunk.byte_offset + chunk.size // 2)
        (byte,) = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte ^ 0x10]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def driver_is_suspended(place: Place, folder: Path, *, wakes: bool = True) -> None:
    """SIGSTOP to the worker that drives the job, for longer than the lease, or for good."""
    with ready(place, lease=SHORT), place.job(folder) as job:
        with place.middle(job):
            driver = job.driver()
            driver.suspend()
        job.wait_for_state("lost")
        if wakes:
            driver.resume()
        wait_for(lambda: job.seen().state != "lost", "somebody to go on")
        job.ends(ROWS["suspended"])
        job.check_same()


def driver_wakes_at_the_edge(place: Place, folder: Path, part: float) -> None:
    """SIGSTOP to the driver's worker for about the length of its lease, while another job waits for the output."""
    with ready(place, lease=SHORT), place.job(folder) as job:
        with place.middle(job):
            driver = job.driver()
            driver.suspend()
        wake = threading.Timer(part * SHORT, driver.resume)  # `submit` may wait for that very worker
        wake.start()
        other = None
        while other is None:
            with suppress(LeaseError):
                other = oceanrecon.submit(job.settings, scheduler=job.cluster.address, resume=True)
        wake.join()
        watch = command("watch", other.id, "--in", other.output)
        newer = Job(other.id, job.settings, job.cluster, job.observer, watch)
        newer.ends(ROWS["edge"])
        wait_for(lambda: job.record().ended, "the woken job to see that it is over")
        assert job.record().state == "complete" or "nothing more is written" in job.record().message, job.record()
        check_same(job.root, place.reference, job.id, newer.id, woken=True)


def taken_while_suspended(place: Place, folder: Path, fault: Fault) -> None:
    """A suspended job wakes up when another one, with other settings, is at work on its output."""
    output = place.output(folder)
    other = place.settings(place.archive, output, grid={"resolution": 2}, encoding="uint16")
    expected = undisturbed(other.model_copy(update={"output": place.output(folder / "other")}), place.cluster)
    with place.more(folder, workers=1) as sleepy:
        sleepy.orders.give(fault, pace=place.pace, lease=SHORT)
        export = place.settings(place.archive, output)
        with drill(folder, export, place.reference, sleepy) as job:
            (driver,) = sleepy.workers()
            wait_for(lambda: driver.status() == psutil.STATUS_STOPPED, "the driver to stand still")
            wait_for(lambda: job.seen().state == "lost", "the job to be lost")
            job.observer.check()
        config = folder / "other.yaml"
        config.write_text(dump_settings(other))
        place.cluster.orders.give(pace=place.pace)
        code, out, err = job.command("submit", config, "--overwrite", "--scheduler", place.cluster.address, "--json")
        assert code == 0, out + err
        with observing(output, expected) as observer:
            newer = Job(json.loads(out)["id"], other, place.cluster, observer, command("watch", output))
            newer.wait_for_receipts(12)
            with place.cluster.orders.held():
                driver.resume()
                wait_for(lambda: job.record().state == "failed", "the woken job to see that it is over")
            place.cluster.orders.give()
            newer.completes()
            wait_for(lambda: not busy(sleepy), "the woken worker to end its block")
            observer.check()
            check_same(newer.root, expected, newer.id, job.id, woken=True)
        code, out, refusal = job.command("resume", job.id, "--in", output, "--scheduler", place.cluster.address)
        assert code == 1 and "--overwrite" in refusal, out + refusal
        job.told(ROWS["taken"], *job.command("watch", job.id, "--in", output), refusal)


def orphan_fails(place: Place, folder: Path) -> None:
    """A machine that stood still wakes up in the middle of the resumed job, and the read of its block fails."""
    with place.more(folder, workers=1) as doomed:
        orders = Orders(folder / "far")
        orders.give(Fault("stop", "begin", "2012"), Fault("fail", "begin", "2012"))
        with far_worker(doomed.address, folder / "scratch", orders) as machine:
            with Client(doomed.address, set_as_default=False) as client:
                client.wait_for_workers(2, timeout=60)
            doomed.orders.give(pace=place.pace, lease=SHORT)
            with place.job(folder, doomed) as job:
                wait_for(lambda: machine[1].status() == psutil.STATUS_STOPPED, "the machine to stand still")
                machine[0].suspend()
                doomed.kill()
                job.wait_for_state("lost")
                place.cluster.orders.give(pace=place.pace)
                words = "resume", job.id, "--in", job.settings.output, "--scheduler", place.cluster.address
                code, out, err = job.command(*words)
                assert code == 0, out + err
                total = len(place.reference.root.list("receipts"))
                job.wait_for_receipts(total - 4)
                for process in machine:
                    process.resume()
                time.sleep(0.5)  # a moment is enough to fail, and to take back what others have made
                job.ends(ROWS["orphan"])
                job.check_same()


def busy(running: Cluster) -> list[str]:
    """Keys of what is under way."""
    with Client(running.address, set_as_default=False) as client:
        return [str(key) for keys in client.processing().values() for key in keys]


def s3_is_busy(place: Place, folder: Path, server: s3.Server, fault: s3.Fault, seconds: float) -> None:
    """Something is done to the workers' requests for a while."""
    with (
        s3.Proxy(server.endpoint) as proxy,
        place.more(folder, env={"AWS_ENDPOINT_URL": proxy.endpoint}) as remote,
    ):
        remote.orders.give(pace=place.pace, retries={"pause": 1.0})
        with place.job(folder, remote) as job:
            with place.middle(job):
                proxy.add(fault)
            time.sleep(seconds)
            proxy.clear()
            assert fault.hits
            job.ends(ROWS["s3-busy"])
            job.check_same()


def s3_is_away(place: Place, folder: Path, server: s3.Server) -> None:
    """No connection of the workers comes about, for longer than the lease lasts."""
    with (
        s3.Proxy(server.endpoint) as proxy,
        place.more(folder, env={"AWS_ENDPOINT_URL": proxy.endpoint}) as remote,
    ):
        remote.orders.give(pace=place.pace, lease=SHORT)
        with place.job(folder, remote) as job:
            with place.middle(job):
                proxy.add(s3.Fault(cut=True, times=None))
            job.wait_for_state("lost")
            time.sleep(SHORT)
            proxy.clear()
            wait_for(lambda: job.seen().state != "lost", "somebody to go on")
            job.ends(ROWS["s3-away"])
            job.check_same()


def on_slurm(place: Place, folder: Path) -> None:
    """The command that submits is killed, and then the SLURM job of a worker."""
    batch = {"kind": "slurm", "slurm": {"logs": str(folder / "logs")}}
    with (
        slurm() as site,
        place.more(folder, env=site.variables, settings=batch, options=["--allow-insecure"]) as running,
        Client(running.address, set_as_default=False) as client,
    ):
        running.orders.give(pace=place.pace)
        client.wait_for_workers(2, timeout=60)
        export = place.settings(place.archive, place.output(folder))
        config = folder / "export.yaml"
        config.write_text(dump_settings(export))
        with observing(export.output, place.reference) as observer:
            killed = submit_and_die("handed", config, running)
            job = Job(killed, export, running, observer, command("watch", export.output))
            with place.middle(job):
                killed_too = site.jobs("RUNNING")[0]
                site.run("scancel", "--signal=KILL", "--full", killed_too)
                assert not job.seen().over
            job.ends(ROWS["slurm"])
            job.check_same()
        if place.chance is not None:  # the queue is looked at every 15 s
            wait_for(lambda: len(set(site.jobs("RUNNING")) - {killed_too}) == 2, "another SLURM job")
