"""``python -m benchmarks.run``: everything that docs/benchmarks.md reports, in one run."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import report
from benchmarks.data import ENCODINGS, FORMATS, Scale
from benchmarks.export import ExportRun, measure_export
from benchmarks.floor import Floor, floor_of, least, measure_floor
from benchmarks.kernels import measure_kernels
from benchmarks.patch_run import run_patches
from benchmarks.planning import measure_planning
from benchmarks.processes import run_module
from benchmarks.profiles import EnrichRun, measure_enrich, measure_inflating
from benchmarks.regions import run_regions
from benchmarks.service_run import run_service
from benchmarks.taco_read import run_taco_read
from benchmarks.truth import TARGET, measure_truth

_HERE = Path(__file__).parent


def main() -> None:
    """Measure, and keep the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="coarse grids and few dates: does it run at all?")
    parser.add_argument("--data", type=Path, default=_HERE / "data", help="where the archives are kept, 11 GB")
    parser.add_argument("--results", type=Path, default=_HERE / "results", help="where the results go")
    parser.add_argument("--only", choices=_PARTS, help="one part; the results of the others stay as they are")
    given = parser.parse_args()
    run(Scale(given.data.resolve(), given.quick), given.results, given.only)


def run(scale: Scale, results: Path, only: str | None = None) -> None:
    """Measure at a scale, everything or one of ``_PARTS``, and write the tables to a folder."""
    say = _clock()
    for part, measure in _PARTS.items():
        if only in (None, part):
            measure(scale, results, say)
    say(f"written to {results}")


def run_export(scale: Scale, results: Path, say: Callable[[str], None]) -> None:
    """The export of a date, its floor and its bookkeeping."""
    for archive in (scale.tiny, scale):
        archive.make_archive(say)
    first = None if scale.quick else measure_export(scale, "geotiff", "uint8", cold=True)
    floors: dict[str, Floor] = {}
    runs: dict[tuple[str, str], ExportRun] = {}
    repeats = 1 if scale.quick else 3
    for encoding in ENCODINGS[:1] if scale.quick else ENCODINGS:
        # the floor before, between and after the exports: machines drift
        measured: list[Floor] = []
        tried: dict[str, list[ExportRun]] = {formats: [] for formats in FORMATS}
        for number in range(repeats):
            say(f"{encoding}: {number + 1}/{repeats}")
            measured.append(measure_floor(scale, encoding))
            for formats, attempts in tried.items():
                attempts.append(measure_export(scale, formats, encoding))
        floors[encoding] = least(measured)
        for formats, attempts in tried.items():
            runs[encoding, formats] = best = min(attempts, key=lambda attempt: attempt.cpu_seconds)
            say(f"{encoding} {formats}: {best.cpu_seconds / floor_of(floors[encoding], formats):.2f} of the floor")
    say("plain xarray")
    size = "quick" if scale.quick else "full"
    plain: dict[str, float] = run_module("benchmarks.plain", [str(scale.data), "uint8", size])
    say("planning")
    figures = measure_planning(scale, 5 if scale.quick else 761)
    ours = runs["uint8", "geotiff"]
    work = runs["uint8", "both"].task_seconds / 6
    title = "One date, against the floor"
    report.write(results, "1-export", title, report.export_rows(floors, runs), report.raw_runs(runs))
    rows = report.compared_rows(floors["uint8"], ours, first or ours, plain)
    report.write(results, "2-compared", "One date, otherwise", rows, {"plain": plain, "first": vars(first or ours)})
    report.write(results, "3-floor", "The floor, step by step", report.floor_rows(floors), {"floors": floors})
    title = f"Bookkeeping of {figures['tasks'] / 6:.0f} dates of six variables"
    report.write(results, "4-planning", title, report.planning_rows(figures, work), figures)
    if not scale.quick:
        say("distance to the truth")
        report.write(results, "5-truth", f"The demo's export of {TARGET}, and the truth", measure_truth(), {})


def run_profiles(scale: Scale, results: Path, say: Callable[[str], None]) -> None:
    """The same of profiles."""
    for archive in dict.fromkeys((scale.tiny, scale)):
        archive.make_profiles(say)
    repeats = {"week": 1} if scale.quick else {"week": 3, "month": 2, "tripled": 1}
    floors: dict[str, dict[str, float]] = {}
    runs: dict[str, EnrichRun] = {}
    for part, count in repeats.items():
        inflated: list[dict[str, float]] = []
        tried: list[EnrichRun] = []
        for number in range(count):
            say(f"profiles of a {part}: {number + 1}/{count}")
            inflated.append(measure_inflating(scale, part))
            tried.append(measure_enrich(scale, part))
        floors[part] = {product: min(seconds[product] for seconds in inflated) for product in inflated[0]}
        runs[part] = best = min(tried, key=lambda attempt: attempt.cpu_seconds)
        say(f"profiles of a {part}: {best.cpu_seconds / sum(floors[part].values()):.2f} of inflating alone")
    raw = {"inflating": floors, "runs": {part: vars(run) for part, run in runs.items()}}
    title = "Profiles: `oceanrecon profiles enrich`"
    report.write(results, "6-profiles", title, report.profile_rows(floors, runs), raw)
    say("kernels of profiles")
    kernels = measure_kernels(scale)
    report.write(results, "7-kernels", "Profiles: the kernels", report.kernel_rows(kernels), vars(kernels))


_PARTS: dict[str, Callable[[Scale, Path, Callable[[str], None]], None]] = {
    "export": run_export,
    "profiles": run_profiles,
    "patches": run_patches,
    "jobs": run_service,
    "regions": run_regions,
    "taco": run_taco_read,
}


def _clock() -> Callable[[str], None]:
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.0f} s  {text}", file=sys.stderr, flush=True)

    return say


if __name__ == "__main__":
    main()
