"""Risk: something dies, hangs, fills up or turns bad in mid-job, and work is lost, or half of it is taken for a whole.

The small form of the drills: each fault once, on a tiny archive. ``make drill`` runs the full form.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oceanrecon.config import ExportSettings
from tests.archives import WEEKLY, settings
from tests.drills import procedures
from tests.drills.exercise import undisturbed
from tests.drills.harm import Fault
from tests.drills.procedures import Place
from tests.drills.processes import cluster
from tests.drills.table import drills
from tests.s3 import Fault as ServerFault
from tests.s3 import Server


def wanted(archive: Path, output: Path | str, **more: Any) -> ExportSettings:
    return settings(archive, output, **{"grid": {"resolution": 1}} | more)


@pytest.fixture(scope="module")
def place(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A cluster of its own, and an undisturbed export."""
    folder = tmp_path_factory.mktemp("drills")
    with cluster(folder / "cluster", memory="1 GB") as running:
        reference = undisturbed(wanted(archive, folder / "undisturbed"), running)
        yield Place(
            folder, archive, running, reference, wanted, "1 GB", pace=0.25, output=lambda inside: str(inside / "export")
        )


@drills("worker")
def test_a_worker_is_killed_while_it_writes(place: Place, tmp_path: Path) -> None:
    procedures.worker_dies(place, tmp_path, Fault("tear", "open", "/so/"))


@drills("driver")
def test_the_worker_that_drives_the_job_is_killed(place: Place, tmp_path: Path) -> None:
    procedures.driver_dies(place, tmp_path)


@drills("workers")
def test_all_workers_are_killed(place: Place, tmp_path: Path) -> None:
    procedures.all_workers_die(place, tmp_path)


@drills("scheduler")
def test_the_scheduler_is_killed(place: Place, tmp_path: Path) -> None:
    procedures.scheduler_dies(place, tmp_path)


@drills("client-handed")
def test_the_client_is_killed_when_the_scheduler_has_the_job(place: Place, tmp_path: Path) -> None:
    procedures.client_dies(place, tmp_path, "handed")


@drills("hang")
def test_a_worker_hangs(place: Place, tmp_path: Path) -> None:
    procedures.worker_hangs(place, tmp_path)


@drills("memory")
def test_a_worker_runs_out_of_memory(place: Place, tmp_path: Path) -> None:
    procedures.memory_runs_out(place, tmp_path, "so 20120229")


@drills("disk")
def test_the_disk_is_full(place: Place, tmp_path: Path) -> None:
    procedures.disk_fills_up(place, tmp_path)


@drills("sources")
def test_source_files_vanish_and_turn_bad(place: Place, tmp_path: Path) -> None:
    procedures.sources_turn_bad(place, tmp_path, WEEKLY[2])


@drills("suspended")
def test_the_driver_is_suspended_for_longer_than_its_lease(place: Place, tmp_path: Path) -> None:
    procedures.driver_is_suspended(place, tmp_path)


@drills("taken")
def test_a_suspended_job_wakes_up_after_another_has_its_output(place: Place, tmp_path: Path) -> None:
    procedures.taken_while_suspended(place, tmp_path, Fault("stop", "begin", "so 20120229"))


@drills("s3-busy")
def test_s3_refuses_everything_for_a_while(place: Place, tmp_path: Path, s3: Server, bucket: str) -> None:
    remote = replace(place, output=lambda _: f"{bucket}/export")
    procedures.s3_is_busy(remote, tmp_path, s3, ServerFault(status=503, times=None), seconds=3)


@drills("slurm")
def test_on_slurm_the_client_is_killed_and_so_is_a_worker(place: Place, tmp_path: Path) -> None:
    procedures.on_slurm(place, tmp_path)
