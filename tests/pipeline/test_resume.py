"""Risk: the number of workers, or who was killed when, shows in the bytes; or half a file is taken for a whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

import oceanrecon
from oceanrecon.config import ClusterSettings, dump_settings
from oceanrecon.pipeline.inventory import update_inventory
from oceanrecon.pipeline.verify import verify
from oceanrecon.service.connect import connect
from tests.archives import files_of, litter, settings
from tests.clocks import wait_for

DATA = ("rasters", "dense.zarr", "masks")
PROGRAM = Path(sys.executable).parent / "oceanrecon"
#: big enough to be caught half-way
GRID = {"resolution": 0.25}
OF_THE_RUN = ("created_utc", "output_dir", "parallelism", "resume")


def manifest(output: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((output / "manifest.yaml").read_text())
    return {key: value for key, value in content.items() if key not in OF_THE_RUN}


def receipts(output: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (output / "receipts").rglob("*.json")}


@pytest.fixture(scope="module")
def undisturbed(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export with one worker."""
    output = tmp_path_factory.mktemp("undisturbed") / "export"
    with connect(None, ClusterSettings(workers=1, dashboard="127.0.0.1:0")) as one:
        assert oceanrecon.export(settings(archive, output, grid=GRID), client=one).complete
    return output


@pytest.fixture
def started(archive: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path, Path]]:
    """The command, running in its own process group, its output and its settings."""
    output, config = tmp_path / "export", tmp_path / "config.yaml"
    config.write_text(dump_settings(settings(archive, output, grid=GRID)))
    process = subprocess.Popen(
        [PROGRAM, "export", config], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    yield process, output, config
    if process.poll() is None:
        process.kill()
        process.communicate()


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The worker processes: those that dask spawned."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if any("spawn_main" in word for word in child.cmdline())]


def check_whole(output: Path, undisturbed: Path) -> None:
    """What has a final name is what an undisturbed run gives, at any moment."""
    for folder in ("rasters", "masks", "dense.zarr"):
        for path, content in files_of(output, folder).items():
            if folder != "dense.zarr" or "/c/" in path:
                assert content == (undisturbed / path).read_bytes(), f"{path} is not whole"


def finish(config: Path, output: Path, undisturbed: Path) -> None:
    """Resume, and compare with the undisturbed run."""
    kept = receipts(output)
    ran = subprocess.run([PROGRAM, "export", config, "--resume"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert f"{18 - len(kept)} blocks written, {len(kept)} kept" in ran.stdout
    assert all(path.stat().st_mtime_ns == moment for path, moment in kept.items())
    assert files_of(output, *DATA) == files_of(undisturbed, *DATA)
    assert manifest(output) == manifest(undisturbed)
    assert not litter(output)
    assert files_of(output).keys() == files_of(undisturbed).keys()
    assert verify(str(output)).good


def test_four_workers_write_the_bytes_of_one(archive: Path, undisturbed: Path, tmp_path: Path) -> None:
    output = tmp_path / "export"
    with connect(None, ClusterSettings(workers=4, dashboard="127.0.0.1:0")) as four:
        assert oceanrecon.export(settings(archive, output, grid=GRID), client=four).complete
    assert files_of(output, *DATA) == files_of(undisturbed, *DATA)
    assert manifest(output) == manifest(undisturbed)
    assert not litter(output)


def test_an_inventory_by_four_processes_has_the_bytes_of_one(archive: Path, tmp_path: Path) -> None:
    more = tmp_path / "archive"
    for copy in ("a", "b"):  # 64 files are one batch
        (more / copy).mkdir(parents=True)
        for path in archive.rglob("*.nc"):
            os.link(path, more / copy / path.name)
    one, four = tmp_path / "one.parquet", tmp_path / "four.parquet"
    update_inventory(str(more), str(one), workers=1)
    update_inventory(str(more), str(four), workers=4)
    assert one.read_bytes() == four.read_bytes()


def test_killed_worker_and_killed_client_leave_no_trace(
    started: tuple[subprocess.Popen[str], Path, Path], undisturbed: Path
) -> None:
    process, output, config = started
    wait_for(lambda: len(receipts(output)) >= 2)
    workers = workers_of(process)
    assert len(workers) == 2
    os.kill(workers[0].pid, signal.SIGKILL)
    check_whole(output, undisturbed)
    before = len(receipts(output))
    wait_for(lambda: len(receipts(output)) >= before + 2)  # the others carry on
    workers = workers_of(process)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    check_whole(output, undisturbed)
    psutil.wait_procs(workers, timeout=30)
    assert not [worker for worker in workers if worker.is_running()], "workers outlive their client"
    check_whole(output, undisturbed)
    assert not (output / "manifest.yaml").exists()
    assert 4 <= len(receipts(output)) < 18
    finish(config, output, undisturbed)


def test_resuming_at_once_while_old_workers_still_write(
    started: tuple[subprocess.Popen[str], Path, Path], undisturbed: Path
) -> None:
    process, output, config = started
    wait_for(lambda: len(receipts(output)) >= 5)
    os.kill(process.pid, signal.SIGKILL)
    ran = subprocess.run([PROGRAM, "export", config, "--resume"], capture_output=True, text=True, check=False)
    process.communicate()
    assert ran.returncode == 0, ran.stderr
    assert files_of(output, *DATA) == files_of(undisturbed, *DATA)
    assert manifest(output) == manifest(undisturbed)
    assert not litter(output)


def test_ctrl_c_ends_soon_says_how_to_go_on_and_leaves_whole_files(
    started: tuple[subprocess.Popen[str], Path, Path], undisturbed: Path
) -> None:
    process, output, config = started
    wait_for(lambda: len(receipts(output)) >= 3)
    pressed = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - pressed < 20
    assert process.returncode == 130
    assert "--resume" in err
    assert "Traceback" not in out + err, err
    check_whole(output, undisturbed)
    assert not litter(output)
    finish(config, output, undisturbed)
