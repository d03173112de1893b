"""Everything that docs/benchmarks.md reports of patches."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from benchmarks import patch_report, report
from benchmarks.data import ENCODINGS, Scale
from benchmarks.loading import measure_loading
from benchmarks.patch_data import Case, export_folder, make_exports, tile
from benchmarks.patch_index import DAYS, measure_index
from benchmarks.patches import measure_reading
from benchmarks.rivals import OURS, measure_rivals
from oceanrecon.samples.form import Scenario
from oceanrecon.samples.stored import Store
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import read_manifest
from oceanrecon.transform.encode import EncodingName

_SCENARIOS: tuple[Scenario, ...] = ("temperature", "joint")
_STORES: tuple[Store, ...] = ("zarr", "geotiff")


def run_patches(scale: Scale, results: Path, say: Callable[[str], None]) -> None:
    """Make the exports, measure, and write the tables to a folder."""
    encodings = ENCODINGS[:1] if scale.quick else ENCODINGS
    for archive in dict.fromkeys((scale.tiny, scale)):
        archive.make_profiles(say)
    make_exports(scale, encodings, say)
    runs = {}
    for case in _cases(scale, encodings):
        say(f"patches: {case.name}")
        runs[case] = read, load = measure_reading(scale, case), measure_loading(scale, case)
        say(f"{read.code.per_cpu_second:.0f} per CPU-s, two workers {load.code.per_second:.0f} per s")
    rows, raw = patch_report.throughput_rows(runs), patch_report.raw(runs)
    report.write(results, "8-patches", "Patches: samples per second", rows, raw, also=("torch", "numcodecs"))
    rows = patch_report.bytes_rows(runs)
    report.write(results, "9-patches-bytes", "Patches: bytes and memory", rows, {}, also=("torch", "numcodecs"))
    compared = {}
    for case in _compared_cases(scale, encodings):
        say(f"patches, compared: {case.name}")
        compared[case] = passes = measure_rivals(scale, case)
        if (ours := passes[OURS]) is not None:
            say(f"{ours.per_cpu_second:.0f} per CPU-s")
    rows, raw = patch_report.compared_rows(compared), patch_report.raw(compared)
    also = [name for name in ("tensorstore", "xarray", "xbatcher", "zarr") if find_spec(name)]
    report.write(results, "10-patches-compared", "Patches: beside other readers", rows, raw, also=also)
    run_tables(scale, results, say)


def run_tables(scale: Scale, results: Path, say: Callable[[str], None]) -> None:
    """Make the tables of patches of a few days and of all, on the land mask of an export that is there."""
    folder = scale.data / "patch-index"
    export = Root(str(export_folder(scale, ENCODINGS[0])))
    mask = export.url_of(read_manifest(export)["grid"]["source"])
    runs = []
    for days in (20,) if scale.quick else (1000, DAYS):
        say(f"patches: tables of {days:,} days")
        shutil.rmtree(folder, ignore_errors=True)
        runs.append(measure_index(folder, mask, days=days, tile=tile(scale)))
        say(f"{runs[-1].wall_seconds:.0f} s, {runs[-1].worker_mb:.0f} MB")
        shutil.rmtree(folder)
    raw = {str(run.days): vars(run) for run in runs}
    report.write(results, "21-patches-index", "Patches: tables", patch_report.index_rows(runs), raw)


def _cases(scale: Scale, encodings: tuple[EncodingName, ...]) -> Iterator[Case]:
    """All combinations with patches spread evenly; and temperature from zarr with patches that begin with chunks."""
    side = tile(scale)
    if scale.quick:
        yield Case("uint8", "temperature", "zarr", side, "even")
        return
    for encoding, scenario, store, stride in product(encodings, _SCENARIOS, _STORES, (side, side // 4)):
        yield Case(encoding, scenario, store, stride, "even")
        if (scenario, store) == ("temperature", "zarr"):
            yield Case(encoding, scenario, store, stride, "regular")


def _compared_cases(scale: Scale, encodings: tuple[EncodingName, ...]) -> Iterator[Case]:
    """Of zarr, regular: the patches that all readers can be asked for."""
    side = tile(scale)
    if scale.quick:
        yield Case("uint8", "temperature", "zarr", side // 4, "regular")
        return
    for encoding, scenario, stride in product(encodings, _SCENARIOS, (side, side // 4)):
        yield Case(encoding, scenario, "zarr", stride, "regular")
