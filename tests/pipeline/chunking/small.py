"""A benchmark of a small field in the middle of the Pacific, where no chunk is land alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oceanrecon.bench_config import ChunksBench
from oceanrecon.config import parse_settings
from oceanrecon.pipeline.chunking.cases import Case, expand
from oceanrecon.pipeline.chunking.field import Field, make_field
from oceanrecon.pipeline.chunking.run import resolved

DATES, LEVELS, HEIGHT, WIDTH = 4, 3, 48, 64
SIZE = {
    "resolution": 0.5, "bounds": [-160, -20, -128, 4], "levels": LEVELS, "dates": DATES, "tile": 24, "patches": 3,
    "maps": 2, "series": 2,
}  # fmt: skip


def settings(output: Path | str, grids: Sequence[dict[str, Any]], **more: Any) -> ChunksBench:
    """Settings of a benchmark, on a disk and with 5 ms where nothing else is said."""
    data: dict[str, Any] = {
        "output": str(output), "size": SIZE, "grids": list(grids), "places": [{}, {"latency_ms": 5}],
        "cluster": {"workers": 1, "dashboard": "127.0.0.1:0"},
    }  # fmt: skip
    return resolved(parse_settings(ChunksBench, data | more, "test"))


def a_field(folder: Path, **more: Any) -> Field:
    """The field alone."""
    return make_field(settings(folder / "bench", [{}], **more), folder / "field")


def a_case(field: Field, grid: dict[str, Any]) -> Case:
    """The one layout of a grid; what is shipped comes before it, where that is another."""
    found, _ = expand(settings("bench", [grid]).grids, field.shape, field.encodings)
    return [case for case in found if case.store == grid.get("store", ["zarr"])[0]][-1]
