"""``python -m benchmarks.cloud``: requests and bytes of a sample, a map and a block, over an S3 server on this machine.

The archive is that of ``python -m benchmarks.run``, and the export the uint8 one of its patches, made where they are
not there. A proxy before the server counts; ``docs/cloud.md`` has the figures.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import fsspec
import numpy as np
from numpy.typing import NDArray

import oceanrecon
from benchmarks import report
from benchmarks.data import Scale
from benchmarks.patch_data import export_folder, make_exports
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.samples.rows import every_row
from oceanrecon.sources.block import Block, read_block
from oceanrecon.sources.inventory import scan
from oceanrecon.sources.select import holdings, select_block
from oceanrecon.training.data import ExportPatches
from tests.s3 import Proxy, environment, s3_server

_HERE = Path(__file__).parent
#: Variables whose blocks are read, and their products.
_BLOCKS = {"thetao": "glorys", "adt": "sealevel", "sos": "sss", "analysed_sst": "ostia"}
_SURFACE = ("analysed_sst", "adt", "sos")
#: Levels that are read at once, as a task of the lazy dataset does.
_SLAB = 7
#: Longitude and latitude of samples: the open Atlantic, and the Sahara.
_SEA, _LAND = (-40.0, 30.0), (10.0, 23.0)
_BOX = {"latitude": slice(35, 25), "longitude": slice(-45, -35)}


def main() -> None:
    """Count, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the coarse archive")
    parser.add_argument("--data", type=Path, default=_HERE / "data", help="where the archive is")
    parser.add_argument("--results", type=Path, default=_HERE / "results", help="where the results go")
    given = parser.parse_args()
    figures = measure_cloud(Scale(given.data.resolve(), given.quick))
    rows = [
        {"what": name, "requests": f"{found['requests']:,}", "kB": f"{found['bytes'] / 1e3:,.0f}"}
        for name, found in figures.items()
    ]
    report.write(given.results, "15-cloud", "What S3 is asked for", rows, figures, ("fsspec", "s3fs", "moto"))


def measure_cloud(scale: Scale) -> dict[str, dict[str, int]]:
    """Requests and bytes of answers, by what is done."""
    scale.make_archive(lambda said: None)
    scale.make_profiles(lambda said: None)
    make_exports(scale, ["uint8"], lambda said: None)
    found: dict[str, dict[str, int]] = {}
    with s3_server() as server, dask.config.set(scheduler="sync"):
        bucket = server.new_bucket()
        with environment(server.endpoint):
            _put(scale.archive, f"{bucket}/archive", ["**/*.nc"])
            made = ["manifest.yaml", "masks/*", "dense.zarr/**/*", "argo/argo_profiles_on_grid.zarr/**/*"]
            _put(export_folder(scale, "uint8"), f"{bucket}/export", made)
        with Proxy(server.endpoint) as proxy, environment(proxy.endpoint):

            @contextmanager
            def counted(name: str) -> Iterator[None]:
                with proxy.counting() as count:
                    yield
                found[name] = {"requests": count.requests, "bytes": count.read}

            _samples(f"{bucket}/export", counted)
            _maps(f"{bucket}/export", counted)
            _blocks(f"{bucket}/archive", RasterGrid.from_bounds(scale.resolution, (-180, -90, 180, 90)), counted)
    return found


def _put(folder: Path, url: str, patterns: Sequence[str]) -> None:
    for path in (path for pattern in patterns for path in sorted(folder.glob(pattern)) if path.is_file()):
        fsspec.filesystem("s3").put_file(str(path), f"{url}/{path.relative_to(folder).as_posix()}")


def _samples(export: str, counted: Any) -> None:
    opened = oceanrecon.open_export(export)
    grid = RasterGrid.from_bounds(360 / opened.sizes["longitude"], (-180, -90, 180, 90))
    dates = [int(str(date)[:10].replace("-", "")) for date in opened.time.values]
    for side in (64, 128):
        if side > grid.height:
            continue
        patches = PatchGrid(grid, side, side, "regular")
        rows = every_row(patches, dates[len(dates) // 2 :][:1])  # whose week is in the month that has profiles
        if side == 64:
            with counted("ExportPatches(...)"):
                data = ExportPatches(export, rows=rows, surface=_SURFACE, require_profiles=False)
        else:
            data = ExportPatches(export, rows=rows, surface=_SURFACE, require_profiles=False)
        sea, land = (_tile(patches, *place) for place in (_SEA, _LAND))
        with counted(f"a sample of {side} pixels, the first of its date"):
            data[sea]
        for number in (1, 2, 3):
            with counted(f"a sample of {side} pixels, another of that date, {number}"):
                data[(sea + number) % len(rows)]
        with counted(f"a sample of {side} pixels on land"):
            data[land]


def _tile(patches: PatchGrid, longitude: float, latitude: float) -> int:
    """Number of the tile that has a place."""
    south, north, west, east = patches.bounds()
    inside: NDArray[np.bool_] = (south <= latitude) & (latitude < north) & (west <= longitude) & (longitude < east)
    return int(np.flatnonzero(inside)[0])


def _maps(export: str, counted: Any) -> None:
    with counted("open_export"):
        opened = oceanrecon.open_export(export)
    reads = {
        "10 x 10 degrees, all levels": opened.thetao.isel(time=0).sel(_BOX),
        "one level of the globe": opened.thetao.isel(time=0, depth=0),
        "a surface field of the globe": opened.analysed_sst.isel(time=0),
    }
    for name, field in reads.items():
        with counted(name):
            field.compute()


def _blocks(archive: str, grid: RasterGrid, counted: Any) -> None:
    with counted("scan the archive"):
        inventory = scan(archive)
    held = holdings(inventory, {"glorys", *_BLOCKS.values()})
    for name, product in _BLOCKS.items():

        def block(product: str = product, name: str = name) -> Block:
            chosen = select_block(
                archive, held[product], held[product].product.variable(name), held["glorys"].dates[0],
                window=7, minimum_files=1, maximum_distance_days=0,
            )  # fmt: skip
            assert isinstance(chosen, Block)
            return chosen

        if block().levels > 1:
            with counted(f"{_SLAB} levels of {name}"):
                read_block(block(), grid, minimum_valid_fraction=0.5, levels=slice(0, _SLAB))
        with counted(f"a block of {name}"):
            read_block(block(), grid, minimum_valid_fraction=0.5)


if __name__ == "__main__":
    main()
