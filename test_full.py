"""The full form of the drills (``make drill``): a larger archive, both encodings, disk and S3, moments by chance.

``DRILL_SEED=N`` repeats the moments of a run; each test prints its seed.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from oceanrecon.config import ExportSettings, load_settings
from tests.drills import procedures
from tests.drills.exercise import undisturbed
from tests.drills.harm import Fault
from tests.drills.procedures import Place
from tests.drills.processes import PROGRAM, ROOT, cluster
from tests.drills.table import drills
from tests.s3 import Fault as S3Fault
from tests.s3 import Server, environment

pytestmark = [pytest.mark.drill, pytest.mark.timeout(1200)]

SEED = os.environ.get("DRILL_SEED") or uuid.uuid4().hex[:8]
#: the last target of configs/archive-small.yaml
LAST = dt.date(2012, 3, 21)
TIMES = range(3)


@dataclass(frozen=True)
class Form:
    """What is exported, and to where."""

    encoding: str = "uint8"
    s3: bool = False


FORMS = [Form(), Form(encoding="uint16"), Form(s3=True)]
everywhere = pytest.mark.parametrize("form", FORMS, ids=["uint8", "uint16", "s3"], indirect=True)
on_disk = pytest.mark.parametrize("form", FORMS[:1], ids=["uint8"], indirect=True)
on_s3 = pytest.mark.parametrize("form", FORMS[2:], ids=["s3"], indirect=True)
often = pytest.mark.parametrize("time", TIMES)


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The archive of ``make demo``."""
    folder = tmp_path_factory.mktemp("large") / "archive"
    words = [PROGRAM, "synthesize", str(ROOT / "configs/archive-small.yaml"), "--output", str(folder)]
    subprocess.run(words, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def form(request: pytest.FixtureRequest, large: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A cluster, and an undisturbed export."""
    chosen: Form = request.param
    folder = tmp_path_factory.mktemp("full")
    demo = load_settings(ExportSettings, ROOT / "configs/export-demo.yaml")

    def settings(archive: Path, output: Path | str, **more: Any) -> ExportSettings:
        source = demo.archive.model_copy(update={"root": str(archive)})
        values = demo.model_dump() | {"archive": source, "output": str(output), "encoding": chosen.encoding}
        return ExportSettings.model_validate(values | more)

    def output(inside: Path) -> str:
        return str(inside / "export")

    with ExitStack() as stack:
        if chosen.s3:
            server: Server = request.getfixturevalue("s3")
            stack.enter_context(environment(server.endpoint))
            bucket = server.new_bucket()

            def output(inside: Path) -> str:
                return f"{bucket}/{uuid.uuid4().hex[:8]}"

        running = stack.enter_context(cluster(folder / "cluster", memory="3 GB"))
        reference = undisturbed(settings(large, output(folder)), running)
        yield Place(folder, large, running, reference, settings, 0.0, output, deep=True)


@pytest.fixture
def place(form: Place, request: pytest.FixtureRequest) -> Place:
    """With moments by chance."""
    seed = f"{SEED} {request.node.name}"
    print(f"DRILL_SEED={SEED}")
    return replace(form, chance=random.Random(seed))


@everywhere
@often
@drills("worker", "driver", "workers")
@pytest.mark.parametrize("which", ["worker", "driver", "workers"])
def test_workers_are_killed_at_any_moment(place: Place, tmp_path: Path, which: str, time: int) -> None:
    procedures.worker_killed(place, tmp_path, which)


@everywhere
@drills("worker", "driver")
@pytest.mark.parametrize(
    ("at", "path", "row"),
    [
        ("half", r"\.tif$", "worker"),
        ("staged", r"dense\.zarr/so/c/", "worker"),
        ("named", r"\.tif$", "worker"),
        ("open", r"receipts/", "worker"),
        ("named", r"receipts/", "worker"),
        ("half", r"record\.json$", "driver"),
        ("open", r"manifest\.yaml$", "driver"),
        ("half", r"manifest\.yaml$", "driver"),
        ("named", r"manifest\.yaml$", "driver"),
    ],
)
def test_a_worker_is_killed_while_it_writes(place: Place, tmp_path: Path, at: str, path: str, row: str) -> None:
    if place.reference.root.local_path is None and at in ("half", "staged"):
        pytest.skip("an object is put whole")
    procedures.worker_dies(place, tmp_path, at, path, row)


@everywhere
@drills("scheduler")
@pytest.mark.parametrize("at_once", [False, True])
def test_the_scheduler_is_killed(place: Place, tmp_path: Path, at_once: bool) -> None:
    procedures.scheduler_dies(place, tmp_path, at_once=at_once)


@everywhere
@drills("client-recorded", "client-handed")
@pytest.mark.parametrize("moment", ["recorded", "handed"])
def test_the_client_is_killed_while_it_submits(place: Place, tmp_path: Path, moment: str) -> None:
    procedures.client_dies(place, tmp_path, moment)


@everywhere
@drills("client-prepared")
def test_the_client_is_killed_before_there_is_a_job(place: Place, tmp_path: Path) -> None:
    procedures.client_dies_before_its_record(place, tmp_path)


@on_disk
@drills("hang", "hang-driver")
@pytest.mark.parametrize(("how", "driver"), [("hang", False), ("hang", True), ("stop", False), ("stop", True)])
def test_a_worker_hangs(place: Place, tmp_path: Path, how: str, driver: bool) -> None:
    procedures.worker_hangs(place, tmp_path, how=how, driver=driver)


@everywhere
@drills("memory", "memory-always")
@pytest.mark.parametrize("times", [1, 100])
def test_a_worker_runs_out_of_memory(place: Place, tmp_path: Path, times: int) -> None:
    procedures.memory_runs_out(place, tmp_path, times=times)


@on_disk
@often
@drills("disk")
def test_the_disk_is_full(place: Place, tmp_path: Path, time: int) -> None:
    procedures.disk_fills_up(place, tmp_path, "1g")


@everywhere
@drills("sources")
def test_source_files_vanish_and_turn_bad(place: Place, tmp_path: Path) -> None:
    procedures.sources_turn_bad(place, tmp_path, LAST)


@everywhere
@drills("suspended")
def test_the_driver_is_suspended_for_longer_than_its_lease(place: Place, tmp_path: Path) -> None:
    procedures.driver_is_suspended(place, tmp_path)


@on_disk
@drills("taken", "taken-late")
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(
    ("at", "path"),
    [
        ("begin", "so 2"),
        ("open", r"/so_\d+\.tif$"),
        ("staged", r"/so_\d+\.tif$"),
        ("open", r"receipts/so/"),
        ("open", r"land_mask\.tif$"),
        ("open", r"manifest\.yaml$"),
        ("staged", r"manifest\.yaml$"),
    ],
)
def test_a_suspended_job_wakes_up_after_another_has_its_output(
    place: Place, tmp_path: Path, at: Any, path: str, late: bool
) -> None:
    procedures.taken_while_suspended(place, tmp_path, Fault("stop", at, path), late=late)


@on_disk
@often
@drills("orphan")
def test_a_machine_wakes_up_in_the_middle_of_the_resumed_job(place: Place, tmp_path: Path, time: int) -> None:
    procedures.orphan_fails(place, tmp_path)


@on_s3
@drills("s3-busy")
@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (S3Fault(status=503, times=None), 20),
        (S3Fault(status=500, code="InternalError", times=None, every=3), 30),
        (S3Fault(cut=True, times=None, every=2), 20),
        (S3Fault(cut=True, lost=True, method="PUT", times=None, every=2), 20),
        (S3Fault(delay=3.0, times=None), 20),
    ],
    ids=["busy", "errors", "cut", "lost", "slow"],
)
def test_s3_goes_wrong_for_a_while(place: Place, tmp_path: Path, s3: Server, fault: S3Fault, seconds: float) -> None:
    procedures.s3_is_busy(place, tmp_path, s3, replace(fault), seconds)


@on_s3
@drills("s3-away")
def test_s3_is_away_for_longer_than_the_lease(place: Place, tmp_path: Path, s3: Server) -> None:
    procedures.s3_is_away(place, tmp_path, s3)


@on_disk
@drills("slurm")
def test_on_slurm_the_client_is_killed_and_so_is_a_worker(place: Place, tmp_path: Path) -> None:
    procedures.on_slurm(place, tmp_path)
