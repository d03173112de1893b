"""The floor: what the outputs of one date cost at least with the libraries in use, each step alone, in CPU-seconds.

Every step runs on its own, warmed up, with the package's lowest-level functions and nothing between them: no dask, no
receipts, no files opened in between.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from isal import isal_zlib

from benchmarks.data import Scale
from benchmarks.processes import run_module, touch_memory
from oceanrecon.pipeline.recipe import Recipe
from oceanrecon.sources.block import Block, SourceReader
from oceanrecon.sources.hdf import open_hdf, unshuffle
from oceanrecon.sources.opened import HdfFile
from oceanrecon.sources.registry import product as find_product
from oceanrecon.stores.files import Root
from oceanrecon.stores.geotiff import encode_geotiff
from oceanrecon.stores.zarr_store import encode_days_shard, encode_shard
from oceanrecon.transform.encode import Codes, EncodingName
from oceanrecon.transform.regrid import Unpacking, regrid_encode, regrid_largest
from oceanrecon.transform.window import WindowMean

#: The steps that each kind of output needs.
STEPS = {
    "geotiff": ("inflate", "unshuffle", "window", "regrid", "geotiff", "geotiff file"),
    "zarr": ("inflate", "unshuffle", "window", "regrid", "days", "zarr", "zarr file"),
}
STEPS["both"] = tuple(dict.fromkeys(STEPS["geotiff"] + STEPS["zarr"]))


#: CPU-seconds by variable and step.
Floor = dict[str, dict[str, float]]


@dataclass
class Costs:
    """CPU-seconds of each step."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Add what runs inside to ``step``."""
        started = time.process_time()
        yield
        self.seconds[step] += time.process_time() - started


def floor_of(floor: Floor, formats: str) -> float:
    """CPU-seconds of everything that ``formats`` need."""
    return sum(steps.get(step, 0.0) for steps in floor.values() for step in STEPS[formats])


def least(floors: list[Floor]) -> Floor:
    """The least of several measurements, step by step: whatever else runs on a machine only adds."""
    return {
        variable: {step: min(floor[variable][step] for floor in floors) for step in floors[0][variable]}
        for variable in floors[0]
    }


def measure_floor(scale: Scale, encoding: EncodingName) -> Floor:
    """The floor of all outputs, measured in a process of its own."""
    floor: Floor = run_module("benchmarks.floor", [str(scale.data), "quick" if scale.quick else "full", encoding])
    return floor


def _measure(scale: Scale, encoding: EncodingName) -> Floor:
    tiny = scale.tiny.plan("both", encoding)
    for block in tiny.blocks:  # compiles
        _one(scale.tiny, block, tiny.recipe)
    touch_memory(quick=scale.quick)
    planned = scale.plan("both", encoding)
    return {block.variable: dict(_one(scale, block, planned.recipe).seconds) for block in planned.blocks}


def _one(scale: Scale, block: Block, recipe: Recipe) -> Costs:
    costs = Costs()
    product = find_product(block.product)
    code = recipe.stretch(product.variable(block.variable))
    weights = block.weights(recipe.grid, recipe.minimum_valid_fraction)
    codes: Codes = np.empty((block.levels, recipe.grid.height, recipe.grid.width), dtype=code.dtype)
    codes[...] = 0  # the memory is there before the clock runs
    window = WindowMean((block.latitude.size, block.longitude.size))
    for source in block.sources:
        with open_hdf(block.url(source)) as file:
            reader = SourceReader(HdfFile(file), block, source)
            _decode(file[block.variable], costs)
            step = reader.levels_per_chunk
            for first in range(0, block.levels, step):
                slab = reader.read(first, min(first + step, block.levels))
                if product.windowed:
                    with costs.measure("window"):
                        window.add(slab[0], reader.unpacking)
                else:
                    with costs.measure("regrid"):
                        regrid_encode(slab, weights, reader.unpacking, code, codes[first : first + step])
    if product.windowed:
        with costs.measure("window"):
            mean = window.mean()[None]
        with costs.measure("regrid"):
            regrid_encode(mean, weights, Unpacking(), code, codes)
        with costs.measure("days"):
            days = regrid_largest(window.count, weights)
    assert recipe.geotiff is not None
    root = Root(str(scale.data / "floor"))
    with costs.measure("geotiff"):
        data = encode_geotiff(
            codes, recipe.grid, code, tags={}, band_tags=[{}] * block.levels, descriptions=[""] * block.levels,
            options=recipe.geotiff,
        )  # fmt: skip
    _file(costs, "geotiff file", root, data)
    dense = recipe.dense_variable(product, product.variable(block.variable))
    layout = recipe.layout(block.depth, (), (dense,))
    with costs.measure("zarr"):
        data = encode_shard(codes if block.depth else codes[0], dense, layout)
    _file(costs, "zarr file", root, data)
    if product.windowed:
        with costs.measure("zarr"):
            data = encode_days_shard(days, layout)
        _file(costs, "zarr file", root, data)
    shutil.rmtree(Path(root.url))
    return costs


def _decode(dataset: Any, costs: Costs) -> None:
    """Inflate and unshuffle every chunk of a variable; reading them from the page cache is not counted."""
    raw = [
        dataset.id.read_direct_chunk(dataset.id.get_chunk_info(number).chunk_offset)[1]
        for number in range(dataset.id.get_num_chunks())
    ]
    chunk = (1,) * (4 - dataset.ndim) + dataset.chunks
    out = np.zeros(chunk, dataset.dtype)
    for data in raw:
        with costs.measure("inflate"):
            plain = isal_zlib.decompress(data, bufsize=out.nbytes)
        with costs.measure("unshuffle"):
            unshuffle(plain, chunk, (0,) * 4, (0,) * 4, chunk, out)


def _file(costs: Costs, step: str, root: Root, data: bytes) -> None:
    with costs.measure(step):
        root.write("file", data)
        hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    folder, size, name = sys.argv[1:]
    json.dump(_measure(Scale(Path(folder), size == "quick"), name), sys.stdout)  # type: ignore[arg-type]
