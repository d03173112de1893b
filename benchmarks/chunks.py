"""``python -m benchmarks.chunks FOLDER``: keeps what ``oceanrecon bench chunks`` found there as a table of the docs.

Run before: ``oceanrecon bench chunks configs/bench-chunks.yaml --set preset=medium``, whose output is the folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import yaml

from benchmarks.report import Row, write
from oceanrecon.pipeline.chunking.read import KINDS
from oceanrecon.pipeline.chunking.results import CaseResult, PlaceResult


def main() -> None:
    """Read a benchmark, and keep its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="output of the benchmark")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results", help="where the table goes")
    given = parser.parse_args()
    found = json.loads((given.folder / "results.json").read_text(encoding="utf-8"))
    settings = yaml.safe_load((given.folder / "bench.yaml").read_text(encoding="utf-8"))
    field = found["field"]
    title = (
        f"Chunks: one field in {len(found['cases'])} layouts, {field['dates']} dates, {field['levels']} levels, "
        f"{field['height']} x {field['width']} pixels"
    )
    rows = [row for case in found["cases"] if (row := _row(CaseResult.from_dict(case)))]
    write(given.results, "12-chunks", title, rows, _raw(found, settings), ("zarr", "numcodecs"))


def _row(result: CaseResult) -> Row:
    if not result.done:
        return {}
    row = {"chunks": result.case.label}
    for number, place in enumerate(result.places):
        if not number:
            row |= {
                "stored, %": f"{100 * place.write.stored_bytes / result.raw_bytes:.1f}",
                "objects": f"{place.write.objects:,}",
                "write, CPU-s": f"{place.write.cpu_seconds:.1f}",
            }
        row |= _reads(place)
    return row


def _reads(place: PlaceResult) -> Row:
    unit = "CPU-ms" if place.near else "ms"
    row = {}
    for kind in KINDS:
        read = place.read(kind)
        seconds = (read.cpu_seconds if place.near else read.wall_seconds).median
        row[f"{kind}, {place.place}, {unit}"] = f"{1e3 * seconds:,.1f}"
    if not place.near:
        row["requests"] = " / ".join(f"{place.read(kind).requests.median:,.0f}" for kind in KINDS)
    return row


def _raw(found: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    chosen = ("preset", "size", "source", "noise", "seed", "grids")
    recommended = [
        {name: one[name] for name in ("reader", "encoding", "label", "formats", "figures", "defaults", "cheapest")}
        for one in found["recommended"]
    ]
    return {"settings": {name: settings[name] for name in chosen}, "rule": found["rule"], "recommended": recommended}


if __name__ == "__main__":
    main()
