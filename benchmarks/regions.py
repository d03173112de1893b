"""``python -m benchmarks.run --only regions``: a day of SWOT's swath, whole half orbits, from raw files to eight tiles.

In a process of its own, as a worker makes it; its start and its imports are counted. Beside it stands what a published
formatter took, without its start, for as many half orbits of a quarter of the length, on a machine of two cores.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import report
from benchmarks.data import Scale
from benchmarks.processes import run_module
from oceanrecon.errors import OceanreconError
from oceanrecon.pipeline.regions.day import make_day
from oceanrecon.pipeline.regions.plan import DayTask
from oceanrecon.sources.daily.registry import DAILY
from oceanrecon.stores.steps import Step
from oceanrecon.synthetic.daily.swot import LINES, swot_jobs

_SOURCE = "l3_swot"
_DAY = dt.date(2024, 2, 29)
_PIXELS = 69
#: CPU-seconds and memory, bytes, of the published formatter, and how many lines its half orbits had.
_PUBLISHED_SECONDS, _PUBLISHED_MEMORY, _PUBLISHED_LINES = 643.0, 2.52e9, LINES // 4
_REPEATS = 3


@dataclass(frozen=True)
class RegionRun:
    """What a day took."""

    files: int
    points: int
    #: of the whole process, and of the task alone
    cpu_seconds: float
    task_seconds: float
    #: most that the process held, bytes
    peak_memory: int
    bytes_read: int
    bytes_written: int


def run_regions(scale: Scale, results: Path, say: Callable[[str], None]) -> None:
    """Measure, and write the table to a folder."""
    raw = make_raw(scale, say)
    tried = []
    # the first one may compile
    for number in range(1 if scale.quick else _REPEATS + 1):
        say(f"a day of SWOT: {number}/{_REPEATS}")
        tried.append(RegionRun(**run_module("benchmarks.regions", [str(raw)])))
    best = min(tried, key=lambda run: run.cpu_seconds)
    report.write(results, "19-regions", "A day of SWOT, cut into eight regions", region_rows(best), vars(best))


def make_raw(scale: Scale, say: Callable[[str], None]) -> Path:
    """The folder of a day's half orbits, whole ones or, to see that it runs, short ones; made unless it is there."""
    folder = scale.data / f"regions-{'quick' if scale.quick else 'full'}"
    if not folder.exists():
        say("making half orbits of SWOT")
        scale.data.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=scale.data) as unfinished:
            for job in swot_jobs(1, _DAY, lines=40 if scale.quick else LINES):
                path = Path(unfinished) / job.path
                path.parent.mkdir(exist_ok=True)
                job.write(str(path))
            shutil.move(Path(unfinished) / _SOURCE, folder)
    return folder


def region_rows(run: RegionRun) -> list[report.Row]:
    """Ours, theirs, how many times as much."""
    points = run.files * _PUBLISHED_LINES * _PIXELS

    def row(name: str, count: int | None, seconds: float, memory: float) -> report.Row:
        return {
            "a day of SWOT": name,
            "half orbits": "" if count is None else f"{run.files}",
            "points": "" if count is None else f"{count / 1e6:.1f} M",
            "CPU-s": f"{seconds:.1f}",
            "peak memory, GB": f"{memory:.2f}",
        }

    return [
        row(
            "the task of `regions format`, with the start of its worker",
            run.points,
            run.cpu_seconds,
            run.peak_memory / 1e9,
        ),
        row("a published formatter, a quarter of the lines", points, _PUBLISHED_SECONDS, _PUBLISHED_MEMORY / 1e9),
        row("how many times as much", None, _PUBLISHED_SECONDS / run.cpu_seconds, _PUBLISHED_MEMORY / run.peak_memory),
    ]


def _measure(raw: Path) -> RegionRun:
    found = (DAILY[_SOURCE].match(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in raw.iterdir())
    files = tuple(sorted((file for file in found if file is not None), key=lambda file: file.name))
    with tempfile.TemporaryDirectory(dir=raw.parent) as output:
        made = make_day(DayTask(_SOURCE, _DAY, files), output)
        if not isinstance(made, Step):
            raise made if isinstance(made, OceanreconError) else OceanreconError(f"{made.kind}: {made.message}")
    return RegionRun(
        files=len(files),
        points=made.counts["points"],
        cpu_seconds=time.process_time(),
        task_seconds=made.timing["cpu"],
        peak_memory=int(made.timing["peak_memory_bytes"]),
        bytes_read=sum(file.size for file in files),
        bytes_written=sum(file.bytes for file in made.files),
    )


if __name__ == "__main__":
    json.dump(vars(_measure(Path(sys.argv[1]))), sys.stdout)
