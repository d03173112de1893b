"""How far the service scales: the whole export as a job, whose blocks only wait; and what a list of jobs costs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import psutil
from distributed import Client

from benchmarks.data import Scale
from benchmarks.planning import made_up_settings
from benchmarks.simulated import make_nothing
from oceanrecon.pipeline.plan import Plan, plan
from oceanrecon.pipeline.recipe import MASK
from oceanrecon.service.connect import connect
from oceanrecon.service.dashboard.plugin import install
from oceanrecon.service.jobs.driver import run_job
from oceanrecon.service.jobs.find import list_jobs
from oceanrecon.service.jobs.submit import begin, light
from oceanrecon.service.run import export
from oceanrecon.sources.block import Block
from oceanrecon.stores.files import Root
from oceanrecon.stores.jobs import read_records, write_record
from oceanrecon.stores.mask import encode_land_mask
from oceanrecon.stores.receipts import read_receipts

_ROOT = Path(__file__).parents[1]
#: Processes that the simulated workers share.
_PROCESSES = 2


@dataclass(frozen=True)
class ScalingRun:
    """A job of blocks that wait; seconds, CPU-seconds, bytes."""

    workers: int
    #: blocks wait for that part of what they were measured to take: it is as if there were so many more workers
    speed: float
    blocks: int
    #: the sum of what the blocks waited
    waited: float
    #: from the first block to the manifest
    wall: float
    scheduler_cpu: float
    driver_cpu: float
    #: largest of the scheduler
    scheduler_memory: int
    #: most tasks that the scheduler knew at once
    tasks_known: int
    #: from planning to the moment at which the job could be handed over
    submission: float

    @property
    def efficiency(self) -> float:
        """Part of the workers' time in which they were busy."""
        return self.waited / (self.wall * self.workers)

    @property
    def overhead(self) -> float:
        """CPU time of scheduler and driver, as a part of what the blocks take in truth."""
        return (self.scheduler_cpu + self.driver_cpu) / (self.waited * self.speed)


def measure_durations(scale: Scale) -> dict[str, float]:
    """Seconds that the task of each variable takes at full size, from the receipts of one date, on one worker."""
    output = scale.data / "export"
    shutil.rmtree(output, ignore_errors=True)
    settings = scale.settings("both", "uint8", output)
    with connect(None, settings.cluster) as client:
        for _ in range(2):  # the first compiles
            found: dict[str, list[float]] = defaultdict(list)
            if not export(settings, client=client, overwrite=output.exists()).complete:
                raise SystemExit("the export failed")
            for receipt in read_receipts(Root(str(output))).receipts:
                found[receipt.variable].append(receipt.timing["wall"])
    shutil.rmtree(output)
    return {name: round(float(np.mean(seconds)), 3) for name, seconds in found.items()}


def measure_scaling(scale: Scale, weeks: int, durations: Mapping[str, float], workers: int, speed: float) -> ScalingRun:
    """A job of ``weeks`` dates on a scheduler of its own with so many workers; the driver is this process."""
    started = time.perf_counter()
    planned = light(plan(made_up_settings(scale, weeks)))
    output = Path(planned.recipe.output)
    with _cluster(workers) as (client, scheduler):
        record, planned = begin(planned, client, "5ca1ab1e", resume=False, overwrite=False)
        install(client)
        submission = time.perf_counter() - started
        mask = np.zeros((planned.recipe.grid.height, planned.recipe.grid.width), np.uint8)
        Root(str(output)).write(MASK, encode_land_mask(mask, planned.recipe.grid, {}))
        known = _Known(client)
        cpu, own, wall = sum(scheduler.cpu_times()[:2]), time.process_time(), time.perf_counter()
        with patch("oceanrecon.pipeline.export.make_block", _Waits(durations, speed)):
            driven = run_job(planned, client, record.id, on_progress=known)
        run = ScalingRun(
            workers=workers,
            speed=speed,
            blocks=planned.tasks,
            waited=sum(durations[block.variable] / speed for block in planned.blocks),
            wall=time.perf_counter() - wall,
            scheduler_cpu=sum(scheduler.cpu_times()[:2]) - cpu,
            driver_cpu=time.process_time() - own,
            scheduler_memory=_peak(scheduler.pid),
            tasks_known=known.most,
            submission=submission,
        )
    if driven.result is None or driven.result.written != planned.tasks:
        raise SystemExit(f"the job did not make its blocks: {driven.record.message}")
    shutil.rmtree(output)
    return run


def measure_listing(scale: Scale, records: int) -> dict[str, float]:
    """List many records, half in one output, half in outputs of their own; seconds, the first and a second time."""
    made = scale.data / "planning"
    shutil.rmtree(made, ignore_errors=True)
    settings = made_up_settings(scale, 5)
    planned: Plan = plan(settings)
    with _cluster(1) as (client, _):
        record, _ = begin(planned, client, "00000000", resume=False, overwrite=False)
    (record,) = read_records(Root(record.output))
    with tempfile.TemporaryDirectory(dir=scale.data) as folder:
        for number in range(records):
            output = f"{folder}/{'one' if number % 2 else number}"
            one = replace(record, id=f"{number:08x}", output=output, state="complete")
            write_record(Root(output), one)
        seconds = []
        for _ in range(2):
            started = time.perf_counter()
            if len(list_jobs([folder])) != records:
                raise SystemExit("some records were not found")
            seconds.append(time.perf_counter() - started)
    shutil.rmtree(made)
    return {"records": records, "first_seconds": seconds[0], "seconds": seconds[1]}


class _Waits:
    """Stands for ``make_block``: waits as long as the block took."""

    def __init__(self, durations: Mapping[str, float], speed: float) -> None:
        self._seconds = {name: seconds / speed for name, seconds in durations.items()}

    def __call__(self, block: Block, *more: Any) -> Any:
        return make_nothing(self._seconds[block.variable], block, *more)


class _Known:
    """Looks now and then how many tasks the scheduler has."""

    def __init__(self, client: Client) -> None:
        self._client, self.most, self._calls = client, 0, 0

    def __call__(self, _: object) -> None:
        self._calls += 1
        if self._calls % 100 == 1:
            self.most = max(self.most, self._client.run_on_scheduler(_tasks))


def _tasks(dask_scheduler: Any) -> int:
    return len(dask_scheduler.tasks)


@contextmanager
def _cluster(workers: int) -> Iterator[tuple[Client, psutil.Process]]:
    """A scheduler in a process of its own, and workers that share two others."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        start = partial(_started, stack)
        scheduler = start(
            "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
            "--dashboard-address", "127.0.0.1:0", "--scheduler-file", str(folder / "scheduler.json"),
        )  # fmt: skip
        while not (folder / "scheduler.json").exists():
            time.sleep(0.1)
        address = json.loads((folder / "scheduler.json").read_text())["address"]
        for number in range(_PROCESSES):
            count = workers // _PROCESSES + (number < workers % _PROCESSES)
            if count:
                start("benchmarks.simulated", address, str(count))
        client = stack.enter_context(Client(address))
        client.wait_for_workers(workers, timeout=120)
        yield client, psutil.Process(scheduler.pid)


def _started(stack: ExitStack, module: str, *arguments: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], cwd=_ROOT, stderr=subprocess.DEVNULL)
    stack.callback(process.wait)
    stack.callback(process.kill)
    return process


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def as_json(runs: list[ScalingRun]) -> list[dict[str, Any]]:
    """Runs as JSON."""
    return [{**asdict(run), "efficiency": run.efficiency, "overhead": run.overhead} for run in runs]
