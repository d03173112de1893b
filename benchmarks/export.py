"""Our export of one date on a local cluster of one worker: CPU-seconds of every process, and the worker's memory."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from pathlib import Path

from distributed import Client

from benchmarks.data import Scale
from benchmarks.processes import cpu_seconds, run_module, touch_memory
from oceanrecon.service.connect import connect
from oceanrecon.service.run import export
from oceanrecon.transform.encode import EncodingName


@dataclasses.dataclass(frozen=True)
class ExportRun:
    """What one export took; CPU-seconds and bytes."""

    #: of client, scheduler and worker, from the moment the cluster is ready until the export is back
    cpu_seconds: float
    #: of the tasks alone, as the receipts have it
    task_seconds: float
    #: of all processes before that: starting, importing
    start_seconds: float
    #: of the worker
    peak_memory: int
    #: as the plan said
    projected_memory: int
    bytes_written: int


def measure_export(scale: Scale, formats: str, encoding: EncodingName, *, cold: bool = False) -> ExportRun:
    """Export in a process, and with a worker, of its own; ``cold``: nothing is compiled yet."""
    environment = {"NUMBA_CACHE_DIR": str(scale.data / "cold")} if cold else {}
    shutil.rmtree(scale.data / "cold", ignore_errors=True)
    arguments = [str(scale.data), "--formats", formats, "--encoding", encoding, *(["--quick"] if scale.quick else [])]
    result = run_module("benchmarks.export", arguments, environment)
    shutil.rmtree(scale.data / "cold", ignore_errors=True)
    return ExportRun(**result)


def _measure(scale: Scale, formats: str, encoding: EncodingName) -> ExportRun:
    output = scale.data / "export"
    shutil.rmtree(output, ignore_errors=True)
    settings = scale.settings(formats, encoding, output)
    with connect(None, settings.cluster) as client:
        _warm_up(client, scale, formats, encoding)
        touch_memory(quick=scale.quick)
        started = cpu_seconds()
        result = export(settings, client=client)
        used = cpu_seconds() - started
    if not result.complete:
        raise SystemExit(f"the export failed: {result.failures}")
    shutil.rmtree(output)
    return ExportRun(
        cpu_seconds=used,
        task_seconds=result.cpu_seconds,
        start_seconds=started,
        peak_memory=result.peak_memory,
        projected_memory=scale.plan(formats, encoding).peak_memory,
        bytes_written=result.bytes_written,
    )


def _warm_up(client: Client, scale: Scale, formats: str, encoding: EncodingName) -> None:
    """A tiny export: a worker imports and loads its compiled code once, and then makes thousands of blocks."""
    tiny = scale.tiny
    shutil.rmtree(tiny.data / "export", ignore_errors=True)
    export(tiny.settings(formats, encoding, tiny.data / "export"), client=client)
    shutil.rmtree(tiny.data / "export")


def main() -> None:
    """Measure one configuration and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--formats", required=True)
    parser.add_argument("--encoding", required=True)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    run = _measure(Scale(given.data, given.quick), given.formats, given.encoding)
    json.dump(dataclasses.asdict(run), sys.stdout)


if __name__ == "__main__":
    main()
