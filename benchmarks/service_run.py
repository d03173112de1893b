"""Everything that docs/benchmarks.md reports of jobs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks import report
from benchmarks.data import Scale
from benchmarks.report import Row
from benchmarks.service import ScalingRun, as_json, measure_durations, measure_listing, measure_scaling

#: Workers, and how much faster than in truth their blocks are; the last are looking for the end.
_RUNS = ((4, 8.0), (16, 2.0), (64, 1.0), (64, 4.0), (64, 16.0), (64, 64.0))


def run_service(scale: Scale, results: Path, say: Callable[[str], None]) -> None:
    """Measure, and write the tables to a folder."""
    scale.make_archive(say)
    weeks, records = (5, 20) if scale.quick else (761, 1000)
    say("jobs: how long blocks take")
    durations = measure_durations(scale)
    runs = []
    for workers, speed in ((2, 1.0),) if scale.quick else _RUNS:
        say(f"jobs: {workers} workers, {speed:g} times as fast")
        runs.append(run := measure_scaling(scale, weeks, durations, workers, speed))
        say(f"{run.wall:.0f} s, efficiency {run.efficiency:.0%}, overhead {run.overhead:.2%}")
    raw = {"durations": durations, "runs": as_json(runs)}
    report.write(results, "13-jobs", f"Jobs: {weeks} dates of six variables as one job", scaling_rows(runs), raw)
    say("jobs: listing")
    listed = measure_listing(scale, records)
    report.write(results, "14-listing", f"Jobs: listing {records:,} of them", listing_rows(listed), listed)


def scaling_rows(runs: list[ScalingRun]) -> list[Row]:
    """A line for each run."""
    return [
        {
            "workers": f"{run.workers}",
            "as if there were": f"{run.workers * run.speed:,.0f}",
            "job, s": f"{run.wall:.0f}",
            "busy": f"{run.efficiency:.0%}",
            "blocks per s": f"{run.blocks / run.wall:.0f}",
            "submission, s": f"{run.submission:.1f}",
            "scheduler, CPU-ms per block": f"{1e3 * run.scheduler_cpu / run.blocks:.1f}",
            "driver, CPU-ms per block": f"{1e3 * run.driver_cpu / run.blocks:.1f}",
            "both, of the work": f"{run.overhead:.2%}",
            "tasks known at once": f"{run.tasks_known:,}",
            "scheduler's memory, MB": f"{run.scheduler_memory / 1e6:.0f}",
        }
        for run in runs
    ]


def listing_rows(listed: Mapping[str, float]) -> list[Row]:
    """The first listing reads all records; later ones do, too, from the system's memory."""
    return [
        {"`oceanrecon jobs`, without starting Python": name, "s": f"{seconds:.2f}"}
        for name, seconds in (("the first time", listed["first_seconds"]), ("again", listed["seconds"]))
    ]
