"""Samples of a regional dataset: boxes of 10 degrees, three fields of a day, as a training loop gets them.

Beside them stands what the published data set takes for the same box, which opens all eight regions of each source,
with tiles of a quarter of the resolution.
"""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import report
from benchmarks.data import Scale
from benchmarks.meter import Pass, metered
from benchmarks.processes import run_module

_DAY = dt.date(2024, 1, 10)
#: Source, variable, units and degrees of a cell at full resolution.
_FIELDS = (
    ("l4_sst", "analysed_sst", "degree_Celsius", "sea_surface_temperature", 0.05),
    ("l4_ssh", "sla", "m", "sea_surface_height_above_sea_level", 0.125),
    ("l4_sss", "sos", "1e-3", "sea_surface_salinity", 0.125),
)
#: CPU-seconds of a sample of the published one.
_PUBLISHED = 2.48
_SIZE, _PIXELS = 10.0, 128
_SAMPLES, _FIRST = 200, 5


def run_taco_read(scale: Scale, results: Path, say: Callable[[str], None]) -> None:
    """Make the datasets, measure, and write the table to a folder."""
    passes = {}
    for coarser in (16,) if scale.quick else (4, 1):
        folder = scale.data / f"taco-{coarser}"
        if not folder.exists():
            say(f"making a dataset of 1/{coarser} of the resolution")
            make_dataset(folder, coarser)
        for form in ("dataset", "one.tacozip"):
            passes[coarser, form] = made = Pass(**run_module("benchmarks.taco_read", [str(folder / form)]))
            say(f"1/{coarser}, {form}: {1000 * made.cpu_seconds / made.samples:.1f} CPU-ms for a sample")
    title = f"Regional dataset: samples of {_SIZE:g} degrees and three fields"
    raw = {f"{form} 1/{coarser}": vars(made) for (coarser, form), made in passes.items()}
    report.write(results, "20-taco-read", title, read_rows(passes), raw, also=("torch", "h5py"))


def read_rows(passes: dict[tuple[int, str], Pass]) -> list[report.Row]:
    """Ours in both forms and resolutions, and the published one."""
    rows = [("published data set, 1/4 of the resolution", _PUBLISHED, "")]
    rows += [
        (f"{'folder' if form == 'dataset' else 'one file'}, 1/{coarser} of the resolution",
         made.cpu_seconds / made.samples, f"{made.bytes_read / made.samples / 1e6:.2f}")
        for (coarser, form), made in passes.items()
    ]  # fmt: skip
    return [
        {
            "sample": name,
            "CPU-ms": f"{1000 * seconds:.1f}",
            "times faster": f"{_PUBLISHED / seconds:.0f}",
            "read, MB": size,
        }
        for name, seconds, size in rows
    ]


def make_dataset(folder: Path, coarser: int) -> None:
    """A day of three global fields with continents, cut, listed and built in both forms."""
    from oceanrecon.grid.octants import OCTANTS, cut
    from oceanrecon.pipeline.taco.build import build_taco
    from oceanrecon.stores.files import Root
    from oceanrecon.stores.taco import Description
    from oceanrecon.stores.tile_file import About, tile_path, write_gridded
    from oceanrecon.stores.tile_inventory import TileRow, write_inventory
    from oceanrecon.transform.day import GriddedDay, Values

    folder.parent.mkdir(parents=True, exist_ok=True)
    noon = np.datetime64(f"{_DAY}T12:00:00", "us")
    chance = np.random.default_rng(1)
    with tempfile.TemporaryDirectory(dir=folder.parent) as unfinished:
        rows, regions = [], Root(f"{unfinished}/regions")
        for source, name, units, standard, step in _FIELDS:
            degrees = step * coarser
            latitude = np.arange(-90 + degrees / 2, 90, degrees)
            longitude = np.arange(-180 + degrees / 2, 180, degrees)
            south, east = np.radians(latitude)[:, None], np.radians(longitude)
            field = np.cos(south) * (1 + 0.1 * np.sin(40 * east) * np.sin(30 * south))
            field = field + chance.normal(0, 0.01, field.shape)
            field[(np.sin(3 * east) + np.sin(4 * south)) > 0.9] = np.nan
            values = {name: Values(field.astype(np.float32), {"units": units, "standard_name": standard})}
            day = GriddedDay(latitude, longitude, values, noon, noon)
            about = About(source, source, _DAY, ("made.nc",), "made")
            for number, part, columns in cut(latitude, longitude):
                path = tile_path(source, OCTANTS[number].name, _DAY)
                tile = write_gridded(regions, path, OCTANTS[number], day, part, columns, about)
                rows.append(
                    TileRow(
                        path=tile.path, source=source, region=tile.region, date=f"{_DAY:%Y%m%d}", variable=name,
                        sensor="made", box=tile.extent, start=tile.start, end=tile.end, size=tile.bytes,
                        sha256=tile.sha256, source_files=("made.nc",), source_version="1", resolution=tile.spacing,
                        observations=tile.n_obs, valid=sum(tile.valid.values()),
                    )
                )  # fmt: skip
        write_inventory(regions, rows)
        told = Description("bench", "1", "For measuring", "Made fields", ("CC0-1.0",), ("benchmarks",))
        build_taco(regions.url, f"{unfinished}/dataset", told)
        build_taco(regions.url, f"{unfinished}/one.tacozip", told, form="zip")
        shutil.move(unfinished, folder)
        Path(unfinished).mkdir()  # which its context removes


def _measure(url: str) -> dict[str, Any]:
    from oceanrecon.samples.regional.draw import training_queries
    from oceanrecon.samples.regional.read import Reading
    from oceanrecon.samples.regional.window import PatchSize
    from oceanrecon.training.data.regional import RegionalDataset

    queries = training_queries(_SAMPLES + _FIRST, PatchSize(_SIZE), (_DAY, _DAY), box=(-180, -60, 180, 60))
    tokens = [source for source, *_ in _FIELDS]
    dataset = RegionalDataset(url, queries, tokens, reading=Reading(shape=(_PIXELS, _PIXELS)))
    for number in range(_FIRST):
        dataset[number]

    def work() -> int:
        for number in range(_FIRST, len(dataset)):
            dataset[number]
        return _SAMPLES

    return vars(metered(work))


if __name__ == "__main__":
    json.dump(_measure(sys.argv[1]), sys.stdout)
