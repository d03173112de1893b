"""The numbers of the page for Prometheus, on the scheduler's own ``/metrics``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args
from weakref import WeakKeyDictionary

import prometheus_client
from distributed import Scheduler
from distributed.metrics import time
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from oceanrecon.service.dashboard.cells import STATES
from oceanrecon.service.dashboard.state import Job, Jobs
from oceanrecon.stores.jobs import JobState

#: Jobs that ended longer ago than this are no longer told, seconds; nor are those that never ended and are silent.
_TOLD, _SILENT = 3600.0, 86400.0


class ExportsCollector:
    """Makes the metrics when they are asked for.

    dask serves the one registry of the process: where several schedulers live in one (a notebook, tests), each
    tells the jobs of all.
    """

    def __init__(self) -> None:
        """Of no scheduler yet."""
        self.schedulers: WeakKeyDictionary[Scheduler, Jobs] = WeakKeyDictionary()

    def describe(self) -> list[Metric]:
        """Nothing: the registry would have to call ``collect`` to learn the names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every metric of every job that runs, or has ended or fallen silent lately."""
        now = time()
        jobs = [job for known in list(self.schedulers.values()) for job in known]
        jobs = [
            job for job in jobs if (now - job.heard < _SILENT if job.ended_at is None else now - job.ended_at < _TOLD)
        ]
        yield from _of_blocks(jobs)
        yield from _of_jobs(jobs, now)


def _of_blocks(jobs: list[Job]) -> Iterator[Metric]:
    states = GaugeMetricFamily("oceanrecon_job_state", "1 at the state in which a job is.", labels=["job", "state"])
    blocks = GaugeMetricFamily(
        "oceanrecon_job_blocks",
        "Blocks of a job: a variable at a date. Kept blocks were there before its driver began.",
        labels=["job", "variable", "state"],
    )
    for job in jobs:
        for state in get_args(JobState):
            states.add_metric([job.id, state], float(job.record["state"] == state))
        for variable, counts in job.counts().items():
            for state in STATES:
                blocks.add_metric([job.id, variable, state], counts[state])
    yield states
    yield blocks


def _of_jobs(jobs: list[Job], now: float) -> Iterator[Metric]:
    def gauge(name: str, text: str, values: list[float | None]) -> Metric:
        metric = GaugeMetricFamily(f"oceanrecon_job_{name}", text, labels=["job"])
        for job, value in zip(jobs, values, strict=True):
            if value is not None:
                metric.add_metric([job.id], value)
        return metric

    def counter(name: str, text: str, field: str) -> Metric:
        metric = CounterMetricFamily(f"oceanrecon_job_{name}", text, labels=["job"])
        for job in jobs:
            metric.add_metric([job.id], job.record[field])
        return metric

    rates = [None if job.ended else job.recent(now) for job in jobs]
    yield counter("written_bytes", "Bytes that a job has written since its driver began.", "bytes_written")
    yield counter("retries", "Blocks of a job that were tried again.", "retries")
    yield counter("failures", "Blocks of a job that failed for good.", "failure_count")
    yield gauge("set_aside", "Blocks that killed workers again and again.", [len(j.record["set_aside"]) for j in jobs])
    yield gauge(
        "dates_per_hour", "Dates that a job makes in an hour, over the last five minutes.",
        [rate.dates_per_hour if rate else None for rate in rates],
    )  # fmt: skip
    yield gauge(
        "bytes_per_second", "Bytes that a job writes in a second, over the last five minutes.",
        [rate.bytes_per_second if rate else None for rate in rates],
    )  # fmt: skip
    yield gauge("left_seconds", "Seconds that a job has left.", [job.left(now) for job in jobs])
    yield gauge("peak_memory_bytes", "Largest memory of a worker during a job.", [job.peak_memory for job in jobs])
    yield gauge(
        "projected_memory_bytes", "Memory that the plan of a job says a worker needs.",
        [job.record["plan"]["task_memory_bytes"] for job in jobs],
    )  # fmt: skip
    yield gauge("heard_timestamp_seconds", "When the driver of a job last told of itself.", [job.heard for job in jobs])


_COLLECTOR = ExportsCollector()


def add(scheduler: Scheduler, jobs: Jobs) -> None:
    """Tell the jobs of a scheduler too."""
    if not _COLLECTOR.schedulers:
        prometheus_client.REGISTRY.register(_COLLECTOR)
    _COLLECTOR.schedulers[scheduler] = jobs


def remove(scheduler: Scheduler) -> None:
    """Tell the jobs of a scheduler no more."""
    if _COLLECTOR.schedulers.pop(scheduler, None) is not None and not _COLLECTOR.schedulers:
        prometheus_client.REGISTRY.unregister(_COLLECTOR)
