"""Risk: a job needs who submitted it, runs twice, is lost with its worker, or leaves other bytes than an export."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dask.utils import key_split
from distributed import Client

import oceanrecon
from oceanrecon.config import ClusterSettings
from oceanrecon.errors import LeaseError, OutputError
from oceanrecon.pipeline import tasks
from oceanrecon.pipeline.stalled import StalledTaskError
from oceanrecon.pipeline.tasks import Retries, Task, TaskRun
from oceanrecon.pipeline.verify import verify
from oceanrecon.service.connect import connect
from oceanrecon.service.jobs import submit as submitting
from oceanrecon.service.jobs.control import cancel_job, follow, read_log
from oceanrecon.service.jobs.driver import drive
from oceanrecon.service.jobs.find import find_job, list_jobs, look
from oceanrecon.service.jobs.submit import resume_job, submit
from oceanrecon.stores.files import Root
from oceanrecon.stores.jobs import JobRecord, read_record, write_record
from oceanrecon.stores.lease import Lease, current
from tests.archives import files_of, litter, settings
from tests.clocks import wait_for
from tests.service.jobs.harm import harm

DATA = ("rasters", "dense.zarr", "masks", "failures")
#: big enough to be caught half-way
FINE = {"resolution": 0.25}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    """A cluster of its own: jobs here lose its workers."""
    with connect(None, ClusterSettings(workers=2, dashboard="127.0.0.1:0")) as client:
        yield client


@pytest.fixture(scope="module")
def fine(archive: Path, cluster: Client, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An undisturbed export on the fine grid."""
    from oceanrecon.service.run import export

    output = tmp_path_factory.mktemp("fine") / "export"
    assert export(settings(archive, output, grid=FINE), client=cluster).complete
    return output


def address(client: Client) -> str:
    assert client.scheduler is not None
    return str(client.scheduler.address)


def end_of(record: JobRecord) -> JobRecord:
    *_, last = follow(record.output, record.id)
    return last.record


def check_same(output: Path, undisturbed: Path) -> None:
    assert files_of(output, *DATA) == files_of(undisturbed, *DATA)
    assert verify(str(output)).good
    assert not litter(output)
    assert current(Root(str(output))) is None


def test_a_job_needs_its_client_no_more_and_gives_the_bytes_of_an_export(
    archive: Path, exported: Path, cluster: Client, tmp_path: Path
) -> None:
    output = tmp_path / "export"
    job = submit(settings(archive, output), scheduler=address(cluster))
    assert job.state == "queued" and len(job.id) == 8
    # `submit` has closed its client; the fixture's own knows nothing of the job's futures
    assert not [key for key in cluster.futures if job.id in str(key)]
    record = end_of(job)
    assert (record.state, record.starts, record.failure_count) == ("complete", 1, 0)
    assert (record.total("blocks"), record.total("done"), record.total("kept")) == (18, 18, 0)
    assert record.driver is not None and record.driver.startswith("tcp://127.0.0.1")
    coordinates = {"time", "depth", "latitude", "longitude"}
    shards = [
        path for path in output.glob("dense.zarr/*/c/**/*") if path.relative_to(output).parts[1] not in coordinates
    ]
    written = sum(path.stat().st_size for path in [*output.rglob("rasters/**/*.tif"), *shards] if path.is_file())
    assert record.bytes_written == written
    assert "thetao" in (output / "jobs" / job.id / "report.html").read_text()
    said = [line.message for line in read_log(str(output), job.id)]
    assert said[0].startswith("driver 1 begins") and said[-1] == "complete"
    check_same(output, exported)


def test_keys_group_by_variable_and_name_the_job_and_the_date(archive: Path, cluster: Client, tmp_path: Path) -> None:
    seen: set[str] = set()
    job = submit(settings(archive, tmp_path / "export", grid=FINE), scheduler=address(cluster))
    while not read_record(Root(job.output), job.id).ended:
        seen |= {str(key) for keys in cluster.processing().values() for key in keys}
        time.sleep(0.02)
    blocks = {key for key in seen if not key.startswith(("export-", "landmask-"))}
    assert blocks and all(f"-{job.id}-2012" in key for key in blocks)
    assert {key_split(key) for key in blocks} <= {"thetao", "so", "analysed_sst", "adt", "sos", "dos"}
    assert f"export-{job.id}-1" in seen


def test_two_jobs_on_one_output_are_refused_with_the_name_of_the_holder(
    archive: Path, fine: Path, cluster: Client, tmp_path: Path
) -> None:
    output = tmp_path / "export"
    mine = settings(archive, output, grid=FINE)
    with harm(cluster, "slow"):
        job = submit(mine, scheduler=address(cluster))
        for resume in (True, False):  # also with the settings of another export
            again = mine if resume else settings(archive, output)
            with pytest.raises(LeaseError, match=job.id):
                submit(again, scheduler=address(cluster), resume=resume, overwrite=not resume)
        with pytest.raises(LeaseError, match=job.id):
            oceanrecon.export(mine, client=cluster, resume=True)
    # two at once, on two outputs
    other = submit(settings(archive, tmp_path / "other", grid=FINE), scheduler=address(cluster))
    assert (end_of(job).state, end_of(other).state) == ("complete", "complete")
    check_same(output, fine)
    check_same(tmp_path / "other", fine)


def test_cancel_stops_within_seconds_and_resume_completes_the_same_bytes(
    archive: Path, fine: Path, cluster: Client, tmp_path: Path
) -> None:
    output = tmp_path / "export"
    with harm(cluster, "slow"):
        job = submit(settings(archive, output, grid=FINE), scheduler=address(cluster))
        wait_for(lambda: len(list(output.glob("receipts/*/*.json"))) >= 2)
        started = time.monotonic()
        seen = cancel_job(str(output), job.id, patience=30)
        assert time.monotonic() - started < 20
    assert seen.state == "cancelled"
    finished = len(list(output.glob("receipts/*/*.json")))
    assert 2 <= finished < 18
    # also blocks that ended while it stopped
    assert seen.record.total("done") == finished
    with pytest.raises(OutputError, match="cancelled already"):
        cancel_job(str(output), job.id)
    wait_for(lambda: not [key for keys in cluster.processing().values() for key in keys])
    assert len(list(output.glob("receipts/*/*.json"))) == finished  # what ran on wrote nothing
    again = resume_job(str(output), job.id, scheduler=address(cluster))
    assert again.id == job.id and again.total("kept") == finished
    record = end_of(again)
    assert (record.state, record.starts, record.total("kept")) == ("complete", 2, finished)
    check_same(output, fine)


def test_a_job_whose_driver_is_killed_goes_on_elsewhere(
    archive: Path, fine: Path, cluster: Client, tmp_path: Path
) -> None:
    output = tmp_path / "export"
    with harm(cluster, "slow"):
        job = submit(settings(archive, output, grid=FINE), scheduler=address(cluster))
        wait_for(lambda: len(list(output.glob("receipts/*/*.json"))) >= 2)
        driver = read_record(Root(str(output)), job.id).driver
        assert driver is not None
        os.kill(cluster.run(os.getpid, workers=[driver])[driver], signal.SIGKILL)
        record = end_of(job)
    assert (record.state, record.starts) == ("complete", 2)
    assert record.driver != driver and record.total("kept") >= 2
    check_same(output, fine)


def test_a_block_that_keeps_killing_workers_is_set_aside_and_named(
    archive: Path, exported: Path, cluster: Client, tmp_path: Path
) -> None:
    output, counter = tmp_path / "export", tmp_path / "counter"
    with harm(cluster, "die", "adt", "20120229", counter):
        job = submit(settings(archive, output), scheduler=address(cluster))
        record = end_of(job)
    assert record.state == "incomplete" and record.set_aside == ("adt 20120229",)
    assert record.total("done") + record.total("kept") == 17 and record.failure_count == 1
    assert "died" in record.failures[0]["message"] and record.failures[0]["error"] in (
        "KilledWorker",
        "DeadlyTaskError",
    )
    cluster.wait_for_workers(2, timeout=60)
    assert end_of(resume_job(str(output), job.id, scheduler=address(cluster))).state == "complete"
    check_same(output, exported)


def test_an_error_that_passes_is_tried_again(archive: Path, exported: Path, tmp_path: Path, cluster: Client,
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    output, counter = tmp_path / "export", tmp_path / "counter"
    quick(monkeypatch, Retries(attempts=3, pause=0.1))
    with harm(cluster, "fail", "so", "20120222", counter, times=2):
        record = end_of(submit(settings(archive, output), scheduler=address(cluster)))
    assert record.state == "complete" and record.retries == 2
    said = " ".join(line.message for line in read_log(str(output), record.id))
    assert "so 20120222: [Errno 5] Input/output error; it is tried again in 0.1 s" in said
    check_same(output, exported)


def test_a_task_that_never_ends_is_stopped_with_its_worker_and_the_others_are_done(
    tmp_path: Path, cluster: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "_LOOK", 0.5)
    work = [Task("hang", "1", time.sleep, (3600,)), *(Task("quick", str(n), abs, (-n,)) for n in range(6))]
    notes: list[str] = []
    patience = Retries(attempts=2, pause=0.1, patience=4)
    lost: list[str] = []
    before = set(cluster.nthreads())
    root = Root(str(tmp_path))
    with TaskRun(cluster, root, retries=patience, on_note=notes.append, on_lost=lost.append) as run:
        outcomes = {(ended.task.group, ended.task.label): ended for ended in run.outcomes(work)}
    assert [outcomes["quick", str(n)].value for n in range(6)] == list(range(6))
    assert isinstance(outcomes["hang", "1"].error, StalledTaskError) and run.retried == 1
    assert outcomes["hang", "1"].seconds == 2 * 4 and outcomes["quick", "1"].seconds < 4
    assert any("its worker ended nothing for 4 s" in note for note in notes)
    assert lost and set(lost) & before
    cluster.wait_for_workers(2, timeout=60)


def quick(monkeypatch: pytest.MonkeyPatch, retries: Retries) -> None:
    """Submit drivers that wait less."""
    from functools import partial

    monkeypatch.setattr(submitting, "drive", partial(drive, retries=retries))


def test_a_lost_job_is_told_from_one_that_runs(exported: Path, tmp_path: Path) -> None:
    root, record = _copied(exported, tmp_path / "a", state="running")
    assert look(record).state == "lost"
    with pytest.raises(OutputError, match="no folder"):
        list_jobs([str(tmp_path / "nowhere")])
    lease = Lease.take(root, record.id)
    assert look(record).state == "running"
    lease.release()
    assert [seen.state for seen in list_jobs([str(tmp_path)])] == ["lost"]
    # a lost job can be cancelled: nobody has to answer
    assert cancel_job(record.output, record.id).state == "cancelled"
    assert current(root) is None


def test_a_job_that_runs_and_says_nothing_is_told_from_one_that_does(exported: Path, tmp_path: Path) -> None:
    root, record = _copied(exported, tmp_path / "a", state="running")
    lease = Lease.take(root, record.id)
    now = dt.datetime.now(dt.UTC)
    for seconds, silent in ((5, False), (30, True)):
        heard = f"{now - dt.timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%SZ}"
        seen = look(replace(record, updated_utc=heard))
        assert seen.state == "running" and (seen.silent is not None) == silent
    assert seen.silent is not None and 29 < seen.silent < 60
    lease.release()
    assert look(record).silent is None


def test_jobs_are_found_by_id_prefix_output_and_place(exported: Path, tmp_path: Path) -> None:
    for name, job in (("a", "3f9a0c12"), ("deep/er/b", "3f000000"), ("c", "77777777")):
        _copied(exported, tmp_path / name, job=job)
    assert {seen.record.id for seen in list_jobs([str(tmp_path)])} == {"3f9a0c12", "3f000000", "77777777"}
    assert find_job("3f9", str(tmp_path)).record.output == str(tmp_path / "a")
    assert find_job(str(tmp_path / "c")).record.id == "77777777"
    with pytest.raises(OutputError, match="may be 3f000000, 3f9a0c12"):
        find_job("3f", str(tmp_path))
    with pytest.raises(OutputError, match="no job 'aaaa'"):
        find_job("aaaa", str(tmp_path))
    (tmp_path / "a/jobs/3f9a0c12/record.json").write_text("{torn")
    assert len(list_jobs([str(tmp_path)])) == 2  # a damaged record hides no other


def _copied(exported: Path, output: Path, job: str = "3f9a0c12", state: str = "complete") -> tuple[Root, JobRecord]:
    """The record of the export's own run, as of another job in a folder of its own."""
    path = next((exported / "jobs").glob("*/record.json"))
    content = json.loads(path.read_text()) | {"id": job, "output": str(output), "state": state}
    root = Root(str(output))
    content.pop("schema_version")
    from oceanrecon.stores.jobs import JobPlan

    record = JobRecord(**content | {"plan": JobPlan(**content["plan"]), "failures": (), "set_aside": ()})
    write_record(root, record)
    return root, record
