"""Profiles at full size: what ``profiles enrich`` takes for a week and for a month, and what inflating alone takes."""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from distributed import Client
from isal import isal_zlib
from numpy.typing import NDArray

from benchmarks.data import MONTH, WEEK, Scale
from benchmarks.processes import cpu_seconds, run_module, touch_memory
from oceanrecon.grid.times import EPOCH
from oceanrecon.pipeline.profiles.plan import EnrichPlan, plan_profiles
from oceanrecon.pipeline.profiles.recipe import FieldFiles
from oceanrecon.service.connect import connect
from oceanrecon.service.profiles import enrich_profiles
from oceanrecon.sources.block import Source
from oceanrecon.sources.header import VariableHeader, variable_header
from oceanrecon.sources.identity import judge
from oceanrecon.sources.product import Sampled
from oceanrecon.sources.profiles import ProfileFile, list_profile_files, read_headers
from oceanrecon.sources.registry import product as find_product
from oceanrecon.stores.files import Root
from oceanrecon.stores.memory import keep_freed_memory
from oceanrecon.stores.steps import read_steps
from oceanrecon.transform.colocate import footprint

#: What is measured: which dates, and how many times the usual number of profiles.
PARTS = {"week": (WEEK, 1), "month": (MONTH, 1), "tripled": (MONTH, 3)}


@dataclass(frozen=True)
class EnrichRun:
    """What one enrichment took; CPU-seconds and bytes."""

    profiles: int
    #: of client, scheduler and worker, from the moment the cluster is ready until the command is done
    cpu_seconds: float
    #: of all processes before that: starting, importing
    start_seconds: float
    #: of the worker by step, as the receipts have it
    steps: dict[str, float]
    #: of the worker, from its start to its end
    peak_memory: int
    #: as the plan said
    projected_memory: int
    bytes_written: int


def measure_enrich(scale: Scale, part: str) -> EnrichRun:
    """Enrich one of ``PARTS`` in a process, and with a worker, of its own."""
    return EnrichRun(**run_module("benchmarks.profiles", _arguments(scale, "enrich", part)))


def measure_inflating(scale: Scale, part: str) -> dict[str, float]:
    """CPU-seconds of inflating every chunk that the profiles of one of ``PARTS`` touch, once, by product."""
    found: dict[str, float] = run_module("benchmarks.profiles", _arguments(scale, "inflate", part))
    return found


def _arguments(scale: Scale, what: str, part: str) -> list[str]:
    return [what, part, str(scale.data), *(["--quick"] if scale.quick else [])]


def _enrich(scale: Scale, part: str) -> dict[str, Any]:
    dates, times = PARTS[part]
    output = scale.data / "enriched"
    shutil.rmtree(output, ignore_errors=True)
    settings = scale.profile_settings(dates, output, times)
    projected = plan_profiles(settings).peak_memory
    with connect(None, settings.cluster) as client:
        _warm_up(client, scale)
        touch_memory(quick=scale.quick)
        started = cpu_seconds()
        result = enrich_profiles(settings, client=client)
        used = cpu_seconds() - started
        peak = max(client.run(_peak_memory).values())
    if not result.complete:
        raise SystemExit(f"the enrichment failed: {result.failures}")
    run = EnrichRun(
        profiles=result.profiles,
        cpu_seconds=used,
        start_seconds=started,
        steps=_steps(Root(str(output))),
        peak_memory=peak,
        projected_memory=projected,
        bytes_written=result.bytes_written,
    )
    shutil.rmtree(output)
    return asdict(run)


def _warm_up(client: Client, scale: Scale) -> None:
    """A tiny enrichment: a worker imports and loads its compiled code once, and then makes hundreds of months."""
    tiny = scale.tiny
    output = tiny.data / "warm"
    shutil.rmtree(output, ignore_errors=True)
    enrich_profiles(tiny.profile_settings(WEEK, output), client=client)
    shutil.rmtree(output)


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _steps(root: Root) -> dict[str, float]:
    months, shards = read_steps(root, "months")[0].values(), read_steps(root, "shards")[0].values()

    def total(name: str) -> float:
        return sum(step.timing[name] for step in months)

    align, sample, read = total("align"), total("sample"), total("sample_read")
    return {
        "levels read and aligned": align,
        "chunks read": read,
        "colocated": sample - read,
        "headers read, parts written": total("cpu") - align - sample,
        "store assembled": sum(step.timing["cpu"] for step in shards),
    }


@dataclass(frozen=True, eq=False)
class Places:
    """The accepted profiles of one of ``PARTS``, rows of the headers with their ``day``, and what is beside them."""

    planned: EnrichPlan
    file: ProfileFile
    rows: pd.DataFrame

    @classmethod
    def of(cls, scale: Scale, part: str) -> Places:
        """Plan it, and read the headers."""
        dates, times = PARTS[part]
        settings = scale.profile_settings(dates, scale.data / "enriched", times)
        assert settings.en4 is not None
        (file,) = list_profile_files(settings.en4.root, "en4")
        headers, _ = read_headers(file)
        rows = headers[judge(headers, "en4", "standard", "primary") == ""]
        rows = rows.assign(day=np.floor(rows["juld"]).astype(np.int64))
        low, high = ((date - EPOCH).days for date in dates)
        return cls(plan_profiles(settings), file, rows[rows["day"].between(low, high)])

    @property
    def fields(self) -> tuple[FieldFiles, ...]:
        """The files of each product."""
        return self.planned.months[0].fields

    def path(self, source: Source) -> str:
        """Where a file is."""
        return f"{self.planned.recipe.archive_root}/{source.path}"

    def by_source(self, fields: FieldFiles) -> Iterator[tuple[Source, NDArray[np.float64], NDArray[np.float64]]]:
        """Each file of a product with the latitudes and longitudes of the profiles that are matched to it."""
        number = np.array([fields.match[day][0] for day in self.rows["day"].tolist()])
        latitude, longitude = self.rows["latitude"].to_numpy(), self.rows["longitude"].to_numpy()
        for index, source in enumerate(fields.sources):
            yield source, latitude[number == index], longitude[number == index]


def placed(file: h5py.File, fields: FieldFiles) -> Iterator[tuple[Sampled, VariableHeader, tuple[int, int, int]]]:
    """Every sampled variable that has places, with the levels, rows and columns of its chunks."""
    product = find_product(fields.product)
    for variable in product.sampled:
        header = variable_header(file, variable.name, product)
        chunks = dict(zip(header.dimensions, header.chunks or (), strict=True))
        if "latitude" in chunks:
            yield variable, header, (chunks.get("depth", 1), chunks["latitude"], chunks["longitude"])


def _inflate(scale: Scale, part: str) -> dict[str, float]:
    keep_freed_memory()  # as workers do: a third of the time would be page faults otherwise
    places = Places.of(scale, part)
    touch_memory(quick=scale.quick)
    found: dict[str, float] = {}
    for fields in places.fields:
        found[fields.product] = 0.0
        for source, latitude, longitude in places.by_source(fields):
            with h5py.File(places.path(source), "r") as file:
                for variable, header, chunk in placed(file, fields):
                    touched = footprint(
                        fields.latitude, fields.longitude, latitude, longitude, chunk[1:], nearest=variable.nearest
                    ).chunk_keys
                    levels = max(fields.levels, 1) if variable.levels else 1
                    raw = [
                        _raw(file[variable.name], header, (level, row * chunk[1], column * chunk[2]))
                        for row, column in touched.tolist()
                        for level in range(0, levels, chunk[0])
                    ]
                    size = int(np.prod(chunk)) * file[variable.name].dtype.itemsize
                    started = time.process_time()
                    for data in raw:
                        isal_zlib.decompress(data, bufsize=size)
                    found[fields.product] += time.process_time() - started
    return found


def _raw(dataset: Any, header: VariableHeader, corner: tuple[int, int, int]) -> bytes:
    """The bytes of the chunk at a level, row and column; reading them from the page cache is not counted."""
    index = {"time": 0, **dict(zip(("depth", "latitude", "longitude"), corner, strict=True))}
    data: bytes = dataset.id.read_direct_chunk(tuple(index[role] for role in header.dimensions))[1]
    return data


def main() -> None:
    """Measure one thing and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("enrich", "inflate"))
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("data", type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    measure = {"enrich": _enrich, "inflate": _inflate}[given.what]
    json.dump(measure(Scale(given.data, given.quick), given.part), sys.stdout)


if __name__ == "__main__":
    main()
