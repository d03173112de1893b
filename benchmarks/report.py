"""The results as JSON, which the documentation shows as tables (``{benchmarks}`` in docs/_ext/generated.py)."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from benchmarks.export import ExportRun
from benchmarks.floor import STEPS, Floor, floor_of
from benchmarks.kernels import Kernels
from benchmarks.profiles import EnrichRun

Row = dict[str, str]


def export_rows(floors: Mapping[str, Floor], runs: Mapping[tuple[str, str], ExportRun]) -> list[Row]:
    """Per encoding and formats: the export beside its floor."""
    return [
        {
            "export": f"{encoding}, {formats}",
            "floor, CPU-s": f"{(floor := floor_of(floors[encoding], formats)):.2f}",
            "export, CPU-s": f"{run.cpu_seconds:.2f}",
            "ratio": f"{run.cpu_seconds / floor:.2f}",
            "of that in tasks": f"{run.task_seconds:.2f}",
            "worker's peak, GB": f"{run.peak_memory / 1e9:.2f}",
            "projected, GB": f"{run.projected_memory / 1e9:.2f}",
            "written, MB": f"{run.bytes_written / 1e6:.1f}",
        }
        for (encoding, formats), run in runs.items()
    ]


def compared_rows(floor: Floor, ours: ExportRun, first: ExportRun, plain: Mapping[str, float]) -> list[Row]:
    """The GeoTIFFs of the date by us and in plain xarray, and what a worker does once."""
    least = floor_of(floor, "geotiff")
    rows = [
        ("the floor", least, None),
        ("our export", ours.cpu_seconds, ours.peak_memory),
        ("starting the cluster and its worker, before that", ours.start_seconds, None),
        ("starting and the very first export, which compiles", first.start_seconds + first.cpu_seconds, None),
        ("plain xarray in one process", plain["cpu_seconds"], plain["peak_memory"]),
    ]
    return [
        {
            "uint8 GeoTIFFs": name,
            "CPU-s": f"{seconds:.1f}",
            "to the floor": f"{seconds / least:.2f}",
            "peak memory, GB": "" if memory is None else f"{memory / 1e9:.2f}",
        }
        for name, seconds, memory in rows
    ]


def floor_rows(floors: Mapping[str, Floor]) -> list[Row]:
    """CPU-seconds of each step, alone, by variable and in sum."""
    rows = []
    for encoding, floor in floors.items():
        for variable, steps in floor.items():
            rows.append(_floor_row(f"{encoding}, {variable}", steps))
        total = {step: sum(steps.get(step, 0.0) for steps in floor.values()) for step in STEPS["both"]}
        rows.append(_floor_row(f"{encoding}, all", total))
    return rows


def _floor_row(name: str, steps: Mapping[str, float]) -> Row:
    return {"floor, CPU-s": name} | {step: f"{steps[step]:.2f}" if step in steps else "" for step in STEPS["both"]}


def planning_rows(figures: Mapping[str, float], work_per_task: float) -> list[Row]:
    """Planning, resuming and scheduling."""
    per_task = figures["schedule_cpu_seconds_per_task"]
    return [
        {"bookkeeping": name, "figure": figure}
        for name, figure in (
            ("daily files in the inventory", f"{figures['files']:,.0f}"),
            ("tasks", f"{figures['tasks']:,.0f}"),
            ("plan, s", f"{figures['plan_wall_seconds']:.2f}"),
            ("graph, MB", f"{figures['graph_bytes'] / 1e6:.1f}"),
            ("resume with nothing to do (receipts read and checked, manifest written), s",
             f"{figures['resume_wall_seconds']:.1f}"),
            ("client and scheduler, CPU-ms per task", f"{1e3 * per_task:.1f}"),
            ("that, of the work of a mean task (uint8, both formats)", f"{per_task / work_per_task:.2%}"),
        )
    ]  # fmt: skip


_PARTS = {"week": "a week", "month": "a month", "tripled": "a month, three times the profiles"}


def profile_rows(floors: Mapping[str, Mapping[str, float]], runs: Mapping[str, EnrichRun]) -> list[Row]:
    """The enrichments, a column each."""
    figures: dict[str, dict[str, str]] = {}
    for part, run in runs.items():
        floor = sum(floors[part].values())
        column = {
            "profiles": f"{run.profiles:,}",
            "inflating every touched chunk once, CPU-s": f"{floor:.1f}",
            "`profiles enrich`, CPU-s": f"{run.cpu_seconds:.1f}",
            "to the inflating": f"{run.cpu_seconds / floor:.2f}",
        }
        column |= {f"of that: {step}": f"{seconds:.1f}" for step, seconds in run.steps.items()}
        column |= {
            "of that: inventory, plan, client, scheduler": f"{run.cpu_seconds - sum(run.steps.values()):.1f}",
            "starting the cluster and its worker, before that": f"{run.start_seconds:.1f}",
            "worker's peak, GB": f"{run.peak_memory / 1e9:.2f}",
            "projected, GB": f"{run.projected_memory / 1e9:.2f}",
            "written, MB": f"{run.bytes_written / 1e6:.0f}",
        }
        for figure, text in column.items():
            figures.setdefault(figure, {})[_PARTS[part]] = text
    return [{"enrichment": figure, **texts} for figure, texts in figures.items()]


def kernel_rows(kernels: Kernels) -> list[Row]:
    """Alignment and colocation with everything in memory."""
    colocation = sum(kernels.colocation.values())
    rows = {
        f"alignment: 3 variables of {kernels.slots} slots, {kernels.levels_per_profile:.0f} filled on average":
            kernels.alignment,
        "the same, every slot filled": kernels.full_alignment,
        **{f"colocation: all variables of {product}": seconds for product, seconds in kernels.colocation.items()},
        "alignment and colocation": kernels.alignment + colocation,
        "alignment and colocation, every slot filled": kernels.full_alignment + colocation,
    }  # fmt: skip
    return [
        {
            "in memory": name,
            "CPU-s": f"{seconds:.3f}",
            "microseconds per profile": f"{1e6 * seconds / kernels.profiles:.1f}",
            "profiles per CPU-s": f"{kernels.profiles / seconds:,.0f}",
        }
        for name, seconds in rows.items()
    ]


def write(
    folder: Path, name: str, title: str, rows: Sequence[Row], raw: Mapping[str, Any], also: Sequence[str] = ()
) -> None:
    """Keep one table and the figures behind it; ``also``: libraries that mattered beside the usual ones."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {"title": title, "machine": machine(also), "rows": rows, "raw": raw}
    (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def machine(also: Sequence[str] = ()) -> str:
    """What it ran on, in a line."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = psutil.virtual_memory().total / 2**30
    names = ("numpy", "numba", "rasterio", "isal", "distributed", *also)
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB; Python {platform.python_version()}, {libraries}"


def raw_runs(runs: Mapping[tuple[str, str], ExportRun]) -> dict[str, Any]:
    """Runs as JSON."""
    return {f"{encoding} {formats}": asdict(run) for (encoding, formats), run in runs.items()}
