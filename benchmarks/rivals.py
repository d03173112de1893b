"""The same patches of one ``dense.zarr`` by us and by others, in one process: what a CPU-second of each gives."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from benchmarks.data import Scale
from benchmarks.meter import Pass, metered, middle
from benchmarks.patch_data import Case, export_folder, rows_of
from benchmarks.patches import BATCH, arguments, parsed, parts, repeats, sample_count, source_of, with_passes
from benchmarks.processes import run_module
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.stored import Codes, open_codes
from oceanrecon.samples.tiles import Tile
from oceanrecon.stores.byte_ranges import Files, Range
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import read_manifest
from oceanrecon.stores.shard_reader import Shard, ShardArray, open_arrays
from oceanrecon.transform.encode import stretch

#: For tensorstore: the indexes of shards stay, and a few chunks; a whole pass would stay with much more.
_CACHE_BYTES = 16_000_000
#: The reader that the others are compared with.
OURS = "ours, the whole sample, 16 at a time"

#: By variable: codes of a patch, with any dimensions of one in front.
Dense = dict[str, NDArray[Any]]
#: Reads some rows, and gives what it has of each; nothing where that is not kept.
Reader = Callable[[Sequence[int]], Iterator[Dense]]
#: Of a step: the decoded values of others are as good as ours, which are of float32, too.
_TOLERANCE = 0.1


@dataclass(frozen=True, eq=False)
class _Store:
    """One export, and the places in it that are read."""

    scale: Scale
    case: Case
    source: ExportSource

    @property
    def root(self) -> Root:
        """Of the export."""
        return Root(str(export_folder(self.scale, self.case.encoding)))

    @property
    def url(self) -> str:
        """Of the zarr store."""
        return self.root.url_of("dense.zarr")

    @cached_property
    def variables(self) -> list[str]:
        """All that a sample has of it."""
        return [part.variable for part in self.source.form.variables]

    @cached_property
    def _corners(self) -> tuple[list[int], list[int], list[int]]:
        rows = self.source.rows
        manifest = read_manifest(self.root)
        times = np.searchsorted(np.array(manifest["target_dates"]), rows.date)
        width = self.source.grid.width
        return times.tolist(), (rows.patch_id // width).tolist(), (rows.patch_id % width).tolist()

    def corner(self, row: int) -> tuple[int, int, int]:
        """Number of the time, first row and first column."""
        times, rows, columns = self._corners
        return times[row], rows[row], columns[row]

    def box(self, row: int) -> tuple[int, slice, slice]:
        """The same as an index."""
        time, first, left = self.corner(row)
        size = self.source.rows.tile
        return time, slice(first, first + size), slice(left, left + size)


def measure_rivals(scale: Scale, case: Case) -> dict[str, Pass | None]:
    """Every reader by name; ``None``: its library is not installed."""
    return with_passes(run_module("benchmarks.rivals", arguments(scale, case)))


def _measure(scale: Scale, case: Case) -> dict[str, Any]:
    # the others cannot read across the dateline in one piece
    rows = rows_of(scale, case, periodic=False)
    store = _Store(scale, case, source_of(scale, case, rows))
    chosen = np.random.default_rng(1).permutation(len(rows))[: sample_count(scale)].tolist()
    readers = {name: make(store) if find_spec(library) else None for name, (library, make) in _READERS.items()}
    ours = _ours_dense(store)
    passes: dict[str, list[Pass]] = {name: [] for name in readers}
    there = {name: reader for name, reader in readers.items() if reader is not None}
    for name, reader in there.items():
        _check(store, name, reader(chosen), ours(chosen))  # and opens, and keeps, what it does once
    for _ in range(repeats(scale)):
        for name, reader in there.items():  # one after the other: machines drift
            passes[name].append(_metered(reader, chosen))
    return {
        name: asdict(middle(tried, lambda one: one.cpu_seconds)) if tried else None for name, tried in passes.items()
    }


def _metered(reader: Reader, rows: Sequence[int]) -> Pass:
    return metered(lambda: sum(1 for _ in reader(rows)))


def _check(store: _Store, name: str, found: Iterator[Dense], expected: Iterator[Dense]) -> None:
    """Patch by patch: the same codes, or what they decode to."""
    parts_of = {part.variable: part for part in store.source.form.variables}
    for number, (theirs, ours) in enumerate(zip(found, expected, strict=True)):
        if theirs and theirs.keys() != ours.keys():
            raise SystemExit(f"{name} reads {', '.join(theirs)}, and we {', '.join(ours)}")
        for variable, values in theirs.items():
            codes = ours[variable].squeeze()
            if values.dtype.kind == "u":
                same = np.array_equal(values.squeeze(), codes)
            else:
                code = stretch(parts_of[variable].quantity, store.case.encoding)
                away = {"rtol": 0.0, "atol": _TOLERANCE * code.step}
                same = np.allclose(values.squeeze(), code.decode(codes), **away, equal_nan=True)
            if not same:
                raise SystemExit(f"{name} reads another {variable} than we do in patch {number}")


def _ours(store: _Store, size: int) -> Reader:
    source = store.source

    def read(rows: Sequence[int]) -> Iterator[Dense]:
        for some in parts(rows, size):
            for sample in source.samples(some):
                channels = zip(source.form.channels, sample.surface, strict=True)
                yield {field.variable: sample.target[field.name] for field in source.form.fields} | {
                    channel.variable: values for channel, values in channels
                }

    return read


def _ours_dense(store: _Store) -> Reader:
    source = store.source
    manifest = read_manifest(store.root)
    codes: Codes = open_codes(Files(store.root), manifest, "zarr", source.form.variables)
    dates, ids = source.rows.date.tolist(), source.rows.patch_id.tolist()

    def read(rows: Sequence[int]) -> Iterator[Dense]:
        for some in parts(rows):
            places = [(dates[row], Tile.of(source.grid, ids[row], source.rows.tile)) for row in some]
            found = codes.read([(name, date, tile) for date, tile in places for name in store.variables])
            yield from _by_row(store, found)

    return read


def _by_row(store: _Store, found: Sequence[NDArray[Any]]) -> Iterator[Dense]:
    """Of all variables of one row after the other."""
    step = len(store.variables)
    for first in range(0, len(found), step):
        yield dict(zip(store.variables, found[first : first + step], strict=True))


def _inflating(store: _Store) -> Reader:
    """Only decompresses and checks the chunks that each patch touches, for each anew; their bytes are in memory."""
    files = Files(store.root)
    arrays = open_arrays(files, "dense.zarr")
    side = store.source.rows.tile

    @cache
    def chunks(row: int) -> list[tuple[ShardArray, bytes, Shard, Shard]]:
        time, first, left = store.corner(row)
        found = []
        for array in (arrays[name] for name in store.variables):
            levels = ((0, array.shape[1]),) if len(array.shape) == 4 else ()
            box = ((time, time + 1), *levels, (first, first + side), (left, left + side))
            array.read(box)  # now it knows the indexes
            indexes = {shard: index for shard in array.shards(box) if (index := array.kept_index(shard)) is not None}
            for shard, chunk, offset, length in array.stored(box, indexes):
                (data,) = files.read([Range(array.shard_path(shard), offset, offset + length)])
                found.append((array, data, chunk, shard))
        return found

    def read(rows: Sequence[int]) -> Iterator[Dense]:
        for row in rows:
            for array, data, chunk, shard in chunks(row):
                array.decode(memoryview(data), chunk, shard)
            yield {}

    return read


def _tensorstore(store: _Store) -> Reader:
    import tensorstore

    context = tensorstore.Context({"cache_pool": {"total_bytes_limit": _CACHE_BYTES}})
    arrays = {
        name: tensorstore.open(
            {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store.url}/{name}/"}},
            context=context, read=True, recheck_cached=False,
        ).result()
        for name in store.variables
    }  # fmt: skip

    def read(rows: Sequence[int]) -> Iterator[Dense]:
        for some in parts(rows):
            together = tensorstore.Batch()
            asked = []
            for row in some:
                time, rows_, columns = store.box(row)
                asked += [array[time, ..., rows_, columns].read(batch=together) for array in arrays.values()]
            together.submit()
            yield from _by_row(store, [future.result() for future in asked])

    return read


def _xarray(store: _Store, *, decoded: bool) -> Reader:
    dataset = xr.open_zarr(store.url, chunks=None, mask_and_scale=decoded)[store.variables]

    def read(rows: Sequence[int]) -> Iterator[Dense]:
        for row in rows:
            time, height, width = store.box(row)
            found = dataset.isel(time=time, latitude=height, longitude=width).load()
            yield {name: found[name].values for name in store.variables}

    return read


def _xbatcher(store: _Store) -> Reader:
    import xbatcher

    dataset = xr.open_zarr(store.url, chunks=None, mask_and_scale=False)[store.variables]
    side, stride = store.source.rows.tile, store.case.stride
    overlap = {"latitude": side - stride, "longitude": side - stride}
    generator = xbatcher.BatchGenerator(dataset, {"time": 1, "latitude": side, "longitude": side}, overlap)
    down, across = ((size - side) // stride + 1 for size in (store.source.grid.height, store.source.grid.width))

    def number(row: int) -> int:
        time, first, left = store.corner(row)
        return (time * down + first // stride) * across + left // stride

    def read(rows: Sequence[int]) -> Iterator[Dense]:
        for row in rows:
            found = generator[number(row)]
            yield {name: found[name].values for name in store.variables}

    return read


_READERS: dict[str, tuple[str, Callable[[_Store], Reader]]] = {
    "decompressing the chunks alone": ("numcodecs", _inflating),
    OURS: ("oceanrecon", lambda store: _ours(store, BATCH)),
    "ours, the whole sample, one at a time": ("oceanrecon", lambda store: _ours(store, 1)),
    "ours, the dense part, 16 at a time": ("oceanrecon", _ours_dense),
    "tensorstore, the dense part, 16 at a time": ("tensorstore", _tensorstore),
    "xarray, the dense part": ("xarray", lambda store: _xarray(store, decoded=False)),
    "xarray, the dense part, decoded": ("xarray", lambda store: _xarray(store, decoded=True)),
    "xbatcher, the dense part": ("xbatcher", _xbatcher),
}


if __name__ == "__main__":
    json.dump(_measure(*parsed(sys.argv[1:])), sys.stdout)
