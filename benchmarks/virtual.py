"""``python -m benchmarks.virtual``: what references to an archive save, here and over an S3 server with latency.

The archive is that of ``python -m benchmarks.run``. The large one exists as its tables only: the files of one date, on
every date.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import fsspec
import pandas as pd

from benchmarks import report
from benchmarks.data import Scale
from benchmarks.processes import run_module
from oceanrecon import open_archive
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.virtual import virtualize, write_references
from oceanrecon.sources import references
from oceanrecon.sources.block import Block, read_block
from oceanrecon.sources.inventory import read_parquet
from oceanrecon.sources.references import ReferenceStore
from oceanrecon.sources.select import holdings, select_block
from oceanrecon.sources.virtualize import References, UsableFile
from oceanrecon.stores.files import Root
from tests.s3 import Count, Fault, Proxy, environment, s3_server

_HERE = Path(__file__).parent
_START = dt.date(2010, 1, 1)
#: Seconds that each answer of the server is late: another region of a cloud.
_LATENCY = 0.05
#: Variables whose blocks are read, and their products: one file with all levels, and seven daily files.
_BLOCKS = {"thetao": "glorys", "adt": "sealevel"}


def main() -> None:
    """Measure, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the coarse archive and a small store")
    parser.add_argument("--data", type=Path, default=_HERE / "data", help="where the archive is")
    parser.add_argument("--results", type=Path, default=_HERE / "results", help="where the results go")
    parser.add_argument(
        "--open", nargs=2, metavar=("ROOT", "INVENTORY"), help="only open this, and say how long it took"
    )
    given = parser.parse_args()
    if given.open:
        started, cpu = time.perf_counter(), time.process_time()
        open_archive(given.open[0], inventory=given.open[1])
        print(json.dumps({"wall": time.perf_counter() - started, "cpu": time.process_time() - cpu}))
        return
    figures = measure_virtual(Scale(given.data.resolve(), given.quick))
    title = f"An archive through references; a request to the server takes {_LATENCY * 1000:.0f} ms more"
    report.write(given.results, "11-virtual", title, rows(figures), figures, ("virtualizarr", "fsspec", "s3fs"))


def measure_virtual(scale: Scale) -> dict[str, Any]:
    """Build, open and read: seconds, requests and bytes."""
    scale.make_archive(lambda said: None)
    small = scale.data / "references"
    shutil.rmtree(small, ignore_errors=True)
    started = time.perf_counter()
    made = virtualize(str(scale.archive), str(small), workers=1)
    figures: dict[str, Any] = {"files": made.read, "build_seconds": time.perf_counter() - started}
    figures["large"] = _large(scale, small, (5, 35) if scale.quick else (761, 5326))
    grid = RasterGrid.from_bounds(scale.resolution, (-180, -90, 180, 90))
    figures["local"] = {name: _local(scale, small, product, name, grid) for name, product in _BLOCKS.items()}
    figures["s3"] = _remote(scale, grid)
    return figures


def _large(scale: Scale, small: Path, counts: tuple[int, int]) -> dict[str, float]:
    """The tables of so many weekly and daily files, opened in a process of its own."""
    store, table = ReferenceStore.load(str(small)), read_parquet(str(small))
    rows: list[dict[str, Any]] = []
    usable: dict[UsableFile, tuple[dt.date, ...]] = {}
    found: dict[UsableFile, References] = {}
    for product in table["product"].unique():
        row = table[table["product"] == product].iloc[0].to_dict()
        listed = store.files[product, row["path"]]
        form = store.groups[listed.group]
        chunks = {name: store.chunks(listed, name) for name in form.variables}
        weekly = product == "glorys"
        for number in range(counts[not weekly]):
            date = _START + dt.timedelta(days=number * (7 if weekly else 1))
            path = f"{product}/{date:%Y/%m}/{Path(row['path']).stem}_{date:%Y%m%d}.nc"
            rows.append(row | {"path": path, "date": pd.Timestamp(date)})
            file = UsableFile(product, path, row["bytes"], row["mtime_ns"], form.grid, 1)
            usable[file], found[file] = (date,), References(replace(listed, path=path), form, chunks)
    large = pd.DataFrame(rows).astype(dict(table.dtypes))
    large.attrs = table.attrs
    output = scale.data / "references-large"
    shutil.rmtree(output, ignore_errors=True)
    started = time.perf_counter()
    written = write_references(Root(str(output)), large, usable, found)
    seconds = time.perf_counter() - started
    opened = [
        run_module("benchmarks.virtual", ["--open", table.attrs["root"], str(output)])
        for _ in range(1 if scale.quick else 5)
    ]
    shutil.rmtree(output)
    best = min(opened, key=lambda one: float(one["wall"]))
    return {
        "files": len(rows),
        "references": sum(group.references for group in written.groups),
        "bytes": written.bytes,
        "write_seconds": seconds,
        "open_wall_seconds": best["wall"],
        "open_cpu_seconds": best["cpu"],
    }


def _block(root: str, inventory: str | pd.DataFrame, product: str, variable: str) -> Block:
    """The block of the date of the reanalysis file."""
    table = read_parquet(inventory) if isinstance(inventory, str) else inventory
    held = holdings(table, {"glorys", product})
    block = select_block(
        root, held[product], held[product].product.variable(variable), held["glorys"].dates[0],
        window=7, minimum_files=1, maximum_distance_days=0,
    )  # fmt: skip
    assert isinstance(block, Block)
    return block


def _without(inventory: str) -> pd.DataFrame:
    table = read_parquet(inventory)
    table.attrs["references"] = ""
    return table


def _local(scale: Scale, store: Path, product: str, variable: str, grid: RasterGrid) -> dict[str, float]:
    """CPU-seconds of one block with references and without, the least of three in turn."""
    root = str(scale.archive)
    blocks = {
        "with": _block(root, str(store), product, variable),
        "without": _block(root, _without(str(store)), product, variable),
    }
    seconds: dict[str, list[float]] = {kind: [] for kind in blocks}
    read_block(blocks["with"], grid, minimum_valid_fraction=0.5, levels=slice(0, 1))  # compiles
    for _ in range(1 if scale.quick else 3):
        for kind, block in blocks.items():
            cpu = time.process_time()
            for first in range(0, block.levels, 7):
                read_block(block, grid, minimum_valid_fraction=0.5, levels=slice(first, min(first + 7, block.levels)))
            seconds[kind].append(time.process_time() - cpu)
    return {kind: min(measured) for kind, measured in seconds.items()}


def _remote(scale: Scale, grid: RasterGrid) -> dict[str, dict[str, float]]:
    """Requests, bytes and seconds of the same over S3."""
    found: dict[str, dict[str, float]] = {}
    with s3_server() as server:
        bucket = server.new_bucket()
        archive, store = f"{bucket}/archive", f"{bucket}/references"
        with environment(server.endpoint):
            for path in sorted(scale.archive.rglob("*.nc")):
                fsspec.filesystem("s3").put_file(str(path), f"{archive}/{path.relative_to(scale.archive)}")
        with Proxy(server.endpoint) as proxy, environment(proxy.endpoint), dask.config.set(scheduler="sync"):
            proxy.add(Fault(delay=_LATENCY, times=None))

            @contextmanager
            def measured(name: str) -> Iterator[None]:
                started = time.perf_counter()
                with proxy.counting() as count:
                    yield
                found[name] = _figures(count, time.perf_counter() - started)

            with measured("build"):
                virtualize(archive, store, workers=1)
            references.forget()
            with measured("open, scanned"):
                open_archive(archive, grid=grid)
            with measured("open, references"):
                open_archive(archive, grid=grid, inventory=store)
            plain = _without(store)
            for name, product in _BLOCKS.items():
                references.forget()
                for kind, table in (("files", plain), ("references, first", store), ("references", store)):
                    block = _block(archive, table, product, name)
                    _read(block, grid, measured, f"{name}, {kind}")
    return found


def _read(block: Block, grid: RasterGrid, measured: Callable[[str], Any], name: str) -> None:
    """The first slab of levels: what one task of the lazy dataset does."""
    with measured(name):
        read_block(block, grid, minimum_valid_fraction=0.5, levels=slice(0, min(7, block.levels)))


def _figures(count: Count, seconds: float) -> dict[str, float]:
    return {"requests": count.requests, "bytes": count.read, "seconds": seconds}


def rows(figures: dict[str, Any]) -> list[report.Row]:
    """One line for each thing that is done, without references and with them."""
    large, s3, local = figures["large"], figures["s3"], figures["local"]

    def line(what: str, without: str, through: str) -> report.Row:
        return {"what": what, "without": without, "with references": through}

    def asked(name: str) -> str:
        found = s3[name]
        return f"{found['requests']:,} requests, {found['bytes'] / 1e6:.1f} MB, {found['seconds']:.1f} s"

    made = f"{figures['build_seconds']:.1f} s"
    size = f"{large['references']:,} references in {large['bytes'] / 1e6:.1f} MB"
    opened = f"{large['open_wall_seconds']:.2f} s ({large['open_cpu_seconds']:.2f} CPU-s)"
    found = [
        line(f"make references to {figures['files']} files on disk, one process", "", made),
        line("the same files on the server", "", asked("build")),
        line(f"open {large['files']:,} files, {size}", "", opened),
        line("open the small archive on the server", f"scanned: {asked('open, scanned')}", asked("open, references")),
    ]
    for name in _BLOCKS:
        tables = asked(f"{name}, references, first")
        through = f"{asked(f'{name}, references')}; the first: {tables}"
        found.append(line(f"a slab of {name} from the server", asked(f"{name}, files"), through))
    for name, seconds in local.items():
        without, through = (f"{seconds[kind]:.2f} CPU-s" for kind in ("without", "with"))
        found.append(line(f"the block of {name} from disk", without, through))
    return found


if __name__ == "__main__":
    main()
