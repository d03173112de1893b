"""Risk: whoever drives a job does harm when it comes late, or loses its hold, its worker or its store."""

from __future__ import annotations

import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from distributed import Client

import oceanrecon
from oceanrecon.config import ClusterSettings
from oceanrecon.errors import ClusterError, LeaseError, OutputError
from oceanrecon.pipeline.plan import Plan, plan
from oceanrecon.pipeline.tasks import more_memory
from oceanrecon.service.connect import connect
from oceanrecon.service.jobs import driver as driving
from oceanrecon.service.jobs import recorder as recording
from oceanrecon.service.jobs import submit as submitting
from oceanrecon.service.jobs.control import cancel_job
from oceanrecon.service.jobs.driver import run_job
from oceanrecon.service.jobs.submit import begin, resume_job, submit
from oceanrecon.stores.files import Root
from oceanrecon.stores.jobs import JobRecord, read_record, write_record
from oceanrecon.stores.lease import Clock, Lease, current
from oceanrecon.stores.lease_record import LONGEST
from tests.archives import files_of, litter, settings
from tests.clocks import wait_for
from tests.service.jobs.harm import harm
from tests.service.jobs.test_jobs import address, end_of


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    """A cluster of its own: jobs here lose its workers."""
    with connect(None, ClusterSettings(workers=2, dashboard="127.0.0.1:0")) as client:
        yield client


def new_id() -> str:
    """Each job its own: a scheduler may have results under the keys of another of that name."""
    return uuid.uuid4().hex[:8]


def ready(archive: Path, output: Path, client: Client) -> tuple[Plan, JobRecord, Root]:
    """A job that is ready to be driven, as ``submit`` leaves it."""
    record, planned = begin(plan(settings(archive, output)), client, new_id(), resume=False, overwrite=False)
    return planned, record, Root(str(output))


def test_a_driver_that_begins_late_leaves_the_output_of_others_alone(
    archive: Path, tmp_path: Path, client: Client
) -> None:
    output = tmp_path / "export"
    planned, job, root = ready(archive, output, client)
    shutil.rmtree(output / "lease")  # it waited for a worker until its lease had run out
    assert oceanrecon.export(settings(archive, output, window_days=5), client=client, overwrite=True).complete
    before = files_of(output)
    driven = run_job(planned, client, job.id, driver="tcp://worker")
    assert driven.record.state == "failed" and "other settings (window_days: 5 there, 7 here)" in driven.record.message
    assert files_of(output) == before and current(root) is None


def test_a_driver_whose_lease_was_taken_ends_and_touches_nothing(
    archive: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, job, root = ready(archive, tmp_path / "export", client)
    taken: list[Lease] = []

    def take(*_: object) -> None:
        """Another job has the output before the second block ends, as if this process had been asleep."""
        if not taken:
            # in one step: the blocks look at the lease too, and must not find that nobody has it
            taken.append(Lease.take(root, "0ther000", clock=Clock(wall=lambda: time.time() + LONGEST)))
            (tmp_path / "export/.staging").mkdir(exist_ok=True)
            (tmp_path / "export/.staging" / ("a" * 32)).write_text("the other's, half-written")

    driven = run_job(planned, client, job.id, driver="tcp://worker", on_progress=take)
    assert isinstance(driven.error, LeaseError) and not driven.again
    assert driven.record.state == "failed" and "job 0ther000" in driven.record.message
    assert (tmp_path / "export/.staging" / ("a" * 32)).exists() and taken[0].held()
    assert not (tmp_path / "export/manifest.yaml").exists()


def test_a_driver_whose_store_was_away_is_driven_again(
    archive: Path, tmp_path: Path, client: Client, exported: Path
) -> None:
    planned, job, root = ready(archive, tmp_path / "export", client)
    lost: list[str] = []

    def lose(*_: object) -> None:
        if not lost:
            shutil.rmtree(tmp_path / "export" / "lease")
            lost.append("lease")

    driven = run_job(planned, client, job.id, driver="tcp://worker", on_progress=lose)
    assert driven.again and read_record(root, job.id).state == "running"
    driven = run_job(planned, client, job.id, driver="tcp://worker")
    assert driven.record.state == "complete" and driven.record.starts == 2
    assert files_of(tmp_path / "export", "rasters", "dense.zarr") == files_of(exported, "rasters", "dense.zarr")


def test_a_driver_that_slept_past_its_safe_time_is_driven_again_where_nobody_came(
    archive: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, job, _ = ready(archive, tmp_path / "export", client)
    taken: list[Lease] = []

    class Sleeper(Lease):
        @classmethod
        def take(cls, *arguments: Any, **more: Any) -> Lease:
            taken.append(Lease.take(*arguments, **more))
            return taken[-1]

    monkeypatch.setattr(driving, "Lease", Sleeper)

    def sleep(*_: object) -> None:
        taken[0]._until = float("-inf")  # it cannot be sure any more; for others the lease lasts

    assert run_job(planned, client, job.id, driver="tcp://worker", on_progress=sleep).again
    assert run_job(planned, client, job.id, driver="tcp://worker").record.state == "complete"


def test_a_driver_whose_worker_is_retired_goes_on_elsewhere_and_never_says_failed(
    archive: Path, tmp_path: Path, cluster: Client, exported: Path
) -> None:
    output = tmp_path / "export"
    root, seen = Root(str(output)), set()
    with harm(cluster, "slow"):
        job = submit(settings(archive, output), scheduler=address(cluster))
        wait_for(lambda: len(list(output.glob("receipts/*/*.json"))) >= 2)
        first = read_record(root, job.id).driver
        assert first is not None
        cluster.retire_workers([first], close_workers=True)
        while not (record := read_record(root, job.id)).ended:
            seen.add(record.state)
            holder = current(root)
            if holder is None:  # it has ended between the two looks
                assert read_record(root, job.id).ended
            else:
                assert holder.holder == job.id
            time.sleep(0.02)
    assert seen == {"running"} and record.state == "complete" and record.starts == 2
    assert files_of(output, "rasters", "dense.zarr") == files_of(exported, "rasters", "dense.zarr")
    cluster.wait_for_workers(2, timeout=60)


def test_after_a_driver_was_lost_with_nothing_made_blocks_go_one_by_one_but_not_for_long(
    archive: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, job, root = ready(archive, tmp_path / "export", client)
    write_record(root, replace(job, state="running", starts=1))  # a driver was here, and made nothing
    modes: list[bool] = []

    class Watched(recording.Recorder):
        def admits(self, variable: str, date: str) -> bool:
            modes.append(self.careful)
            admitted = super().admits(variable, date)
            if modes[-1]:  # it is written down before it is tried, and alone
                assert read_record(root, job.id).strikes == {f"{variable} {date}": 1}
            return admitted

    monkeypatch.setattr(driving, "Recorder", Watched)
    monkeypatch.setattr("oceanrecon.pipeline.tasks._LOOK", 0.0)
    driven = run_job(planned, client, job.id, driver="tcp://worker")
    assert driven.record.state == "complete" and driven.record.fruitless_starts == 1
    assert not driven.record.strikes  # all were acquitted
    threads = sum(client.nthreads().values())
    assert modes[0] and not modes[-1] and modes.count(True) <= 2 * threads + 1


def test_a_block_with_three_strikes_is_not_tried_again(archive: Path, tmp_path: Path, client: Client) -> None:
    planned, job, root = ready(archive, tmp_path / "export", client)
    write_record(root, replace(job, state="running", strikes={"adt 20120229": 3}, fruitless_starts=3))
    driven = run_job(planned, client, job.id, driver="tcp://worker")
    assert (driven.record.state, driven.record.set_aside) == ("incomplete", ("adt 20120229",))
    assert driven.record.total("done") == 17 and driven.record.failures[0]["error"] == "DeadlyTaskError"
    assert not list((tmp_path / "export/rasters").rglob("adt_20120229*"))


def test_drivers_that_are_all_lost_for_nothing_come_to_an_end(archive: Path, tmp_path: Path, client: Client) -> None:
    planned, job, root = ready(archive, tmp_path / "export", client)
    write_record(root, replace(job, state="running", fruitless_starts=5))
    driven = run_job(planned, client, job.id, driver="tcp://worker")
    assert driven.record.state == "failed" and "6 drivers were lost" in driven.record.message


def test_a_report_that_fails_costs_nothing_else(
    archive: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise AttributeError("bokeh")

    planned, job, root = ready(archive, tmp_path / "export", client)
    assert client.scheduler is not None
    monkeypatch.setattr(client.scheduler, "performance_report", broken, raising=False)
    driven = run_job(planned, client, job.id)
    assert driven.record.state == "complete"
    assert "no performance report: AttributeError: bokeh" in root.read(f"jobs/{job.id}/log.jsonl").decode()


def test_an_output_is_not_emptied_for_a_scheduler_that_takes_no_job(
    archive: Path, exported: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = Path(shutil.copytree(exported, tmp_path / "export"))
    before = files_of(output)

    def refuses(_: Client) -> None:
        raise ClusterError("the scheduler has no oceanrecon")

    monkeypatch.setattr(submitting, "install", refuses)
    with pytest.raises(ClusterError):
        submit(settings(archive, output, window_days=5), scheduler=address(client), overwrite=True)
    assert files_of(output) == before and current(Root(str(output))) is None


def test_a_job_that_nobody_has_begun_can_be_cancelled_and_stays_so(
    archive: Path, tmp_path: Path, client: Client
) -> None:
    planned, job, root = ready(archive, tmp_path / "export", client)
    assert cancel_job(root.url, job.id).state == "cancelled"
    assert run_job(planned, client, job.id, driver="tcp://worker").record.state == "cancelled"
    assert not list((tmp_path / "export").glob("receipts/*/*")) and not litter(tmp_path / "export")


def test_resume_leaves_a_job_alone_that_is_driven(archive: Path, tmp_path: Path, cluster: Client) -> None:
    output = tmp_path / "export"
    with harm(cluster, "slow"):
        job = submit(settings(archive, output), scheduler=address(cluster))
        wait_for(lambda: len(list(output.glob("receipts/*/*.json"))) >= 2)
        said = rf"job {job.id} is running on {address(cluster)} \(driver tcp://127.0.0.1:\d+\): `oceanrecon watch"
        with pytest.raises(LeaseError, match=said):
            resume_job(str(output), job.id, scheduler=address(cluster))
        record = end_of(job)
    assert (record.state, record.starts, record.total("done")) == ("complete", 1, 18)


@pytest.fixture(params=["is gone", "knows no job"])
def elsewhere(request: pytest.FixtureRequest, client: Client) -> Iterator[str]:
    """Where a job was handed to a scheduler that drives it no more."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        yield address(client) if request.param == "knows no job" else f"tcp://127.0.0.1:{port}"


def test_resume_leaves_a_job_alone_whose_scheduler_cannot_be_asked(
    archive: Path, tmp_path: Path, client: Client
) -> None:
    _, job, root = ready(archive, tmp_path / "export", client)
    with socket.socket() as still:
        still.bind(("127.0.0.1", 0))
        still.listen()
        where = f"tcp://127.0.0.1:{still.getsockname()[1]}"
        write_record(root, replace(job, state="running", starts=1, driver="tcp://127.0.0.1:9", scheduler=where))
        with pytest.raises(LeaseError, match=f"may be running.*{where} cannot be asked.*try again in 70 s"):
            resume_job(root.url, job.id, scheduler=address(client))


def test_resume_takes_a_job_over_at_once_whose_scheduler_does_not_drive_it(
    archive: Path, tmp_path: Path, client: Client, elsewhere: str
) -> None:
    _, job, root = ready(archive, tmp_path / "export", client)
    write_record(root, replace(job, state="running", starts=1, driver="tcp://127.0.0.1:9", scheduler=elsewhere))
    assert current(root) is not None  # for a minute still
    started = time.monotonic()
    resumed = resume_job(root.url, job.id, scheduler=address(client))
    assert time.monotonic() - started < 15
    record = end_of(resumed)
    assert (record.state, record.starts, record.scheduler) == ("complete", 2, address(client))


def test_a_job_whose_scheduler_does_not_drive_it_is_cancelled_without_its_driver(
    archive: Path, tmp_path: Path, client: Client, elsewhere: str
) -> None:
    _, job, root = ready(archive, tmp_path / "export", client)
    write_record(root, replace(job, state="running", starts=1, driver="tcp://127.0.0.1:9", scheduler=elsewhere))
    started = time.monotonic()
    assert cancel_job(root.url, job.id).state == "cancelled"
    assert time.monotonic() - started < 20  # its lease would last for a minute
    assert current(root) is None


def test_resume_of_a_complete_job_submits_nothing_unless_something_is_gone(
    archive: Path, tmp_path: Path, client: Client
) -> None:
    output = tmp_path / "export"
    job = end_of(submit(settings(archive, output), scheduler=address(client)))
    nobody = "tcp://127.0.0.1:9"
    assert resume_job(str(output), job.id, scheduler=nobody).state == "complete"
    next(output.glob("rasters/*/adt/*.tif")).unlink()
    with pytest.raises(ClusterError, match=nobody):
        resume_job(str(output), job.id, scheduler=nobody)
    record = end_of(resume_job(str(output), job.id, scheduler=address(client)))
    assert (record.state, record.total("kept"), record.total("done")) == ("complete", 17, 1)


def test_too_little_memory_is_mended_where_it_is_set(client: Client) -> None:
    with Client(address(client), set_as_default=False) as remote:
        assert "workers.memory in the settings of the cluster" in more_memory(remote)
    assert "cluster.memory_limit" in more_memory(client)


def test_a_look_that_fails_does_not_end_a_job(
    archive: Path, tmp_path: Path, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> bool:
        raise OutputError("cannot look at s3://bucket: SlowDown")

    planned, job, _ = ready(archive, tmp_path / "export", client)
    monkeypatch.setattr(recording, "asked_to_cancel", busy)
    assert run_job(planned, client, job.id).record.state == "complete"


def test_blocks_that_cannot_be_made_are_counted_once(archive: Path, tmp_path: Path, client: Client) -> None:
    few = settings(archive, tmp_path / "export", minimum_files=7)  # the last window has six days
    record, planned = begin(plan(few), client, new_id(), resume=False, overwrite=False)
    driven = run_job(planned, client, record.id)
    counts = driven.record.counts["adt"]
    assert counts == {"blocks": 3, "kept": 0, "done": 2, "failed": 1}
    assert driven.record.total("blocks") == 18 and record.plan.blocks == 14
