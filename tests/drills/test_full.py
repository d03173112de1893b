"""Risk: a fault that harms an export at one moment of many, with one encoding, or on one kind of store.

The full form of the drills, ``make drill``: the archive of ``make demo``, moments by chance.
"""

from __future__ import annotations

import datetime as dt
import os
import random
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from oceanrecon.config import ExportSettings, load_settings
from oceanrecon.synthetic.config import ArchiveSynthesis
from oceanrecon.synthetic.synthesize import synthesize
from tests.drills import procedures
from tests.drills.exercise import undisturbed
from tests.drills.harm import Fault
from tests.drills.procedures import Place
from tests.drills.processes import ROOT, cluster
from tests.drills.table import drills
from tests.s3 import Fault as ServerFault
from tests.s3 import Server, environment

pytestmark = [pytest.mark.drill, pytest.mark.timeout(900)]

LAST = dt.date(2012, 3, 21)
DISK, S3 = ["uint8-disk", "uint16-disk"], ["uint8-s3", "uint16-s3"]
on_disk = pytest.mark.parametrize("place", DISK, indirect=True, scope="module")
on_s3 = pytest.mark.parametrize("place", S3, indirect=True, scope="module")
everywhere = pytest.mark.parametrize("place", DISK + S3, indirect=True, scope="module")
here_and_there = pytest.mark.parametrize("place", [DISK[0], S3[1]], indirect=True, scope="module")
once = pytest.mark.parametrize("place", DISK[:1], indirect=True, scope="module")
twice = pytest.mark.parametrize("time", [1, 2])


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of the demo, its fields."""
    folder = tmp_path_factory.mktemp("demo") / "archive"
    settings = load_settings(ArchiveSynthesis, ROOT / "configs" / "archive-small.yaml")
    synthesize(settings.model_copy(update={"en4": None, "argo": None}), folder)
    return folder


@pytest.fixture(scope="module")
def place(
    request: pytest.FixtureRequest, demo: Path, s3: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A cluster of its own, and an undisturbed export, of one encoding, on one kind of store."""
    encoding, _, store = request.param.partition("-")
    folder = tmp_path_factory.mktemp(request.param)

    def wanted(archive: Path, output: Path | str, **more: Any) -> ExportSettings:
        changes = {"archive.root": archive, "output": output, "encoding": encoding, "cluster.dashboard": "127.0.0.1:0"}
        words = tuple(f"{name}={value}" for name, value in changes.items())
        settings = load_settings(ExportSettings, ROOT / "configs" / "export-demo.yaml", words)
        return ExportSettings.model_validate(settings.model_dump() | more)

    with ExitStack() as stack:
        bucket, numbers = "", count()
        if store == "s3":
            stack.enter_context(environment(s3.endpoint))
            bucket = s3.new_bucket()

        def output(inside: Path) -> str:
            return f"{bucket}/export{next(numbers)}" if bucket else str(inside / "export")

        running = stack.enter_context(cluster(folder / "cluster", memory="2 GB"))
        reference = undisturbed(wanted(demo, output(folder)), running)
        yield Place(folder, demo, running, reference, wanted, "2 GB", 0.3, output, patience=30.0, disk="160m")


@pytest.fixture
def here(place: Place, request: pytest.FixtureRequest) -> Place:
    """The place, with moments of this test."""
    return replace(place, chance=random.Random(f"{os.environ['DRILL_SEED']} {request.node.name}"))


@drills("worker")
@on_disk
@pytest.mark.parametrize("fault", [
    Fault("tear", "open", r"/so_.*\.tif"), Fault("die", "staged", r"/thetao_.*\.tif"),
    Fault("die", "named", r"/so_.*\.tif"), Fault("tear", "open", r"dense.zarr/.*/c/"),
    Fault("die", "open", "receipts/so/"), Fault("tear", "open", "receipts/so/"), Fault("die", "named", "receipts/so/"),
], ids=str)  # fmt: skip
def test_a_worker_is_killed_while_it_writes_to_disk(here: Place, tmp_path: Path, fault: Fault) -> None:
    procedures.worker_dies(here, tmp_path, fault)


@drills("worker")
@on_s3
@pytest.mark.parametrize("fault", [
    Fault("die", "named", r"/so_.*\.tif"), Fault("die", "open", "receipts/so/"), Fault("die", "named", "receipts/so/"),
], ids=str)  # fmt: skip
def test_a_worker_is_killed_while_it_writes_to_s3(here: Place, tmp_path: Path, fault: Fault) -> None:
    procedures.worker_dies(here, tmp_path, fault)


@drills("driver")
@everywhere
@twice
def test_the_worker_that_drives_the_job_is_killed(here: Place, tmp_path: Path, time: int) -> None:
    procedures.driver_dies(here, tmp_path)


@drills("driver")
@on_disk
@pytest.mark.parametrize("fault", [
    Fault("tear", "open", r"/record\.", driver=True), Fault("tear", "open", r"/manifest\.", driver=True),
    Fault("die", "named", r"/manifest\.", driver=True),
], ids=str)  # fmt: skip
def test_the_driver_is_killed_while_it_writes(here: Place, tmp_path: Path, fault: Fault) -> None:
    procedures.driver_dies_writing(here, tmp_path, fault)


@drills("workers")
@everywhere
@twice
def test_all_workers_are_killed(here: Place, tmp_path: Path, time: int) -> None:
    procedures.all_workers_die(here, tmp_path)


@drills("scheduler")
@everywhere
def test_the_scheduler_is_killed(here: Place, tmp_path: Path) -> None:
    procedures.scheduler_dies(here, tmp_path)


@drills("client-prepared")
@once
def test_the_client_is_killed_before_it_writes_the_job(here: Place, tmp_path: Path) -> None:
    procedures.client_dies_before_its_record(here, tmp_path)


@drills("client-recorded")
@here_and_there
def test_the_client_is_killed_before_the_scheduler_has_the_job(here: Place, tmp_path: Path) -> None:
    procedures.client_dies(here, tmp_path, "recorded")


@drills("client-handed")
@here_and_there
def test_the_client_is_killed_when_the_scheduler_has_the_job(here: Place, tmp_path: Path) -> None:
    procedures.client_dies(here, tmp_path, "handed")


@drills("hang")
@once
@pytest.mark.parametrize("how", ["hang", "stop"])
def test_a_worker_hangs(here: Place, tmp_path: Path, how: str) -> None:
    procedures.worker_hangs(here, tmp_path, how=how)


@drills("hang-driver")
@once
def test_a_worker_with_a_driver_hangs(here: Place, tmp_path: Path) -> None:
    procedures.worker_hangs(here, tmp_path, driver=True)


@drills("memory")
@here_and_there
def test_a_worker_runs_out_of_memory(here: Place, tmp_path: Path) -> None:
    procedures.memory_runs_out(here, tmp_path, "so 20120307")


@drills("memory-always")
@once
def test_a_block_needs_more_memory_than_there_is(here: Place, tmp_path: Path) -> None:
    procedures.memory_runs_out(here, tmp_path, "so 20120307", times=10**6)


@drills("disk")
@on_disk
def test_the_disk_is_full(here: Place, tmp_path: Path) -> None:
    procedures.disk_fills_up(here, tmp_path)


@drills("sources")
@here_and_there
def test_source_files_vanish_and_turn_bad(here: Place, tmp_path: Path) -> None:
    procedures.sources_turn_bad(here, tmp_path, LAST)


@drills("suspended")
@here_and_there
@pytest.mark.parametrize("wakes", [True, False])
def test_the_driver_is_suspended_for_longer_than_its_lease(here: Place, tmp_path: Path, wakes: bool) -> None:
    procedures.driver_is_suspended(here, tmp_path, wakes=wakes)


@drills("edge")
@here_and_there
@pytest.mark.parametrize("part", [0.8, 0.9, 1.0, 1.1, 1.17, 1.3])
def test_the_driver_wakes_up_at_the_edge_of_its_lease(here: Place, tmp_path: Path, part: float) -> None:
    procedures.driver_wakes_at_the_edge(here, tmp_path, part)


@drills("taken")
@here_and_there
def test_a_suspended_job_wakes_up_after_another_has_its_output(here: Place, tmp_path: Path) -> None:
    procedures.taken_while_suspended(here, tmp_path, Fault("stop", "begin", "so 20120307"))


@drills("taken")
@on_disk
def test_it_wakes_up_with_a_whole_file_in_its_hand(here: Place, tmp_path: Path) -> None:
    procedures.taken_while_suspended(here, tmp_path, Fault("stop", "staged", r"/so_20120307\.tif"))


@drills("orphan")
@on_disk
def test_a_machine_wakes_up_after_the_job_went_on_elsewhere(here: Place, tmp_path: Path) -> None:
    procedures.orphan_fails(here, tmp_path)


@drills("s3-busy")
@on_s3
@pytest.mark.parametrize("fault", [{"status": 503}, {"cut": True}, {"cut": True, "lost": True}])
def test_s3_fails_for_a_while(here: Place, tmp_path: Path, s3: Server, fault: dict[str, Any]) -> None:
    procedures.s3_is_busy(here, tmp_path, s3, ServerFault(**fault, times=None), seconds=5)


@drills("s3-away")
@on_s3
def test_s3_is_away_for_longer_than_a_lease(here: Place, tmp_path: Path, s3: Server) -> None:
    procedures.s3_is_away(here, tmp_path, s3)


@drills("slurm")
@once
def test_on_slurm_the_client_is_killed_and_so_is_a_worker(here: Place, tmp_path: Path) -> None:
    procedures.on_slurm(here, tmp_path)
