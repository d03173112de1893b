"""The tables of patches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.loading import LoadRun
from benchmarks.meter import Pass
from benchmarks.patch_data import Case
from benchmarks.patch_index import IndexRun
from benchmarks.patches import ReadRun
from benchmarks.report import Row
from benchmarks.rivals import OURS

Runs = Mapping[Case, tuple[ReadRun, LoadRun]]


def throughput_rows(runs: Runs) -> list[Row]:
    """Per case: samples per second."""
    return [
        {
            "samples": case.name,
            "one process, code form, per CPU-s": f"{read.code.per_cpu_second:.0f}",
            "decoded, per CPU-s": f"{read.decoded.per_cpu_second:.0f}",
            "two workers, code form, per s": f"{load.code.per_second:.0f}",
            "per CPU-s of all its processes": f"{load.code.per_cpu_second:.0f}",
            "decoded, per s": f"{load.decoded.per_second:.0f}",
            "cold files, code form, per s": f"{load.cold.per_second:.0f}",
            "spread of the three, %": f"{100 * load.code.spread:.0f}",
            "cores busy with others": _others([load.code, load.decoded, load.cold]),
        }
        for case, (read, load) in runs.items()
    ]


def _others(passes: Iterable[Pass]) -> str:
    return f"{max(one.others for one in passes):.2f}"


def bytes_rows(runs: Runs) -> list[Row]:
    """Per case: what is read for what is used, and memory."""
    return [
        {
            "samples": case.name,
            "a sample's codes, MB": f"{read.sample_bytes / 1e6:.2f}",
            "read, to that": f"{read.code.bytes_read / read.code.samples / read.sample_bytes:.2f}",
            "decompressed, to that": f"{read.touched:.2f}",
            "cold: from the disk, to that": f"{read.cold.bytes_from_disk / read.cold.samples / read.sample_bytes:.2f}",
            "a worker's own memory, MB": f"{load.own_memory / 1e6:.0f}",
            "with what it shares, MB": f"{load.memory / 1e6:.0f}",
            "loader's first batch after, s": f"{load.start_seconds:.1f}",
        }
        for case, (read, load) in runs.items()
    ]


def compared_rows(runs: Mapping[Case, Mapping[str, Pass | None]]) -> list[Row]:
    """Per reader: samples per CPU-second of each case, and how many times as many we read."""
    first = "samples per CPU-s (ours: times as many)"
    names = {case: f"{case.encoding}, {case.scenario}, stride {case.stride}" for case in runs}
    rows = [
        {first: name} | {names[case]: _compared(passes[name], passes[OURS]) for case, passes in runs.items()}
        for name in next(iter(runs.values()))
    ]
    there = {case: [one for one in passes.values() if one is not None] for case, passes in runs.items()}
    spread = {names[case]: f"{100 * max(one.spread for one in passes):.0f}" for case, passes in there.items()}
    others = {names[case]: _others(passes) for case, passes in there.items()}
    return [
        *rows,
        {first: "largest spread of a reader's three, %", **spread},
        {first: "cores busy with others", **others},
    ]


def _compared(one: Pass | None, ours: Pass | None) -> str:
    if one is None or ours is None:
        return "not installed"
    return f"{one.per_cpu_second:.0f} ({ours.per_cpu_second / one.per_cpu_second:.1f})"


def index_rows(runs: Sequence[IndexRun]) -> list[Row]:
    """The tables of so many days, side by side."""
    figures: dict[str, Callable[[IndexRun], str]] = {
        "patches": lambda run: f"{run.patches:,}",
        "profiles": lambda run: f"{run.profiles:,}",
        "rows": lambda run: f"{run.rows:,}",
        "plan, s": lambda run: f"{run.plan_seconds:.1f}",
        "after that, s": lambda run: f"{run.wall_seconds:.0f}",
        "CPU-s of all processes": lambda run: f"{run.cpu_seconds:.0f}",
        "the proof, of that, CPU-s": lambda run: f"{run.proof_seconds:.1f}",
        "counting for `patches stats`, CPU-s": lambda run: f"{run.stats_seconds:.1f}",
        "worker's peak, MB": lambda run: f"{run.worker_mb:.0f}",
        "client's peak, MB": lambda run: f"{run.client_mb:.0f}",
        "daily.csv, MB": lambda run: f"{run.csv_bytes / 1e6:.0f}",
        "daily.parquet, MB": lambda run: f"{run.parquet_bytes / 1e6:.0f}",
    }
    return [{"tables": name, **{f"{run.days:,} days": told(run) for run in runs}} for name, told in figures.items()]


def raw(runs: Mapping[Case, Any]) -> dict[str, Any]:
    """Figures of cases as JSON."""
    return {case.name: _plain(run) for case, run in runs.items()}


def _plain(run: Any) -> Any:
    if isinstance(run, tuple):
        reading, loading = run
        return {"reading": asdict(reading), "loading": asdict(loading)}
    return {name: one and asdict(one) for name, one in run.items()}
