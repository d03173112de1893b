"""Risks: a layout that is not what its name says, counts that are guesses, numbers that come back changed."""

from __future__ import annotations

import time
from math import prod
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import rasterio
import zarr

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.pipeline.chunking.cases import Case, expand, export_formats, shipped
from oceanrecon.pipeline.chunking.delayed import TRAFFIC, delayed_url
from oceanrecon.pipeline.chunking.field import Field, Reads, random_reads
from oceanrecon.pipeline.chunking.read import ReadResult, measure_reads
from oceanrecon.pipeline.chunking.write import METADATA, chunks_of, open_writer, parts_of
from oceanrecon.stores.files import Root
from tests.pipeline.chunking.small import DATES, HEIGHT, LEVELS, WIDTH, a_case, a_field, settings

#: One patch of four chunks of 16 pixels, one map, one series.
READS = Reads(
    patch=(((1, 2), (0, LEVELS), (16, 48), (16, 48)),),
    map=(((2, 3), (1, 2), (0, HEIGHT), (0, WIDTH)),),
    series=(((0, DATES), (0, LEVELS), (20, 21), (30, 31)),),
)


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> Field:
    return a_field(tmp_path_factory.mktemp("field"))


def written(case: Case, field: Field, root: Root) -> Root:
    writer = open_writer(case, field, root)
    writer.create()
    for part in parts_of(case, field):
        writer.write(part, part.values(field, case))
    return root


def sizes(folder: Path) -> dict[str, int]:
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}


def _folder(root: Root) -> Path:
    return Path("/" + root.url.partition(":///")[2]) if root.local_path is None else root.local_path


def read(case: Case, field: Field, root: Root) -> dict[tuple[str, str], ReadResult]:
    objects = [path for path in sizes(_folder(root)) if not path.startswith(".staging/")]
    found = measure_reads(case, field, root, READS, objects, far=root.local_path is None)
    return {(one.kind, one.reader): one for one in found}


@pytest.mark.parametrize(
    ("grid", "objects", "chunks"),
    [
        ({}, DATES, DATES),  # chunks of 64 pixels
        ({"chunk": [{"side": 16}]}, DATES, DATES * 12),
        ({"chunk": [{"side": 16, "levels": 1}]}, DATES, DATES * 12 * LEVELS),
        ({"chunk": [{"side": 16, "dates": 2}], "shard": [{"dates": 4}]}, 1, 2 * 12),
        ({"chunk": [{"side": 16}], "shard": [{"side": 32}]}, DATES * 4, DATES * 12),
        ({"chunk": [{"side": 16}], "shard": [{"side": 32, "dates": 3}]}, 2 * 4, DATES * 12),
        ({"chunk": [{"side": 16}], "writer": ["library"]}, DATES, DATES * 12),
        ({"encoding": ["uint16"], "chunk": [{"side": 16}]}, DATES, DATES * 12),
        ({"encoding": ["float32"], "codec": ["blosc-lz4"], "shuffle": ["bits"]}, DATES, DATES),
        ({"store": ["geotiff-pixel"]}, DATES, DATES),
        ({"store": ["geotiff-band"], "encoding": ["uint16"], "chunk": [{"side": 16}]}, DATES, DATES * 12 * LEVELS),
        ({"store": ["geotiff-pixel"], "encoding": ["float32"]}, DATES, DATES),
        ({"store": ["cog"], "encoding": ["float32"], "codec": ["none"], "chunk": [{"side": 16}]}, DATES,
         DATES * 12 * LEVELS),
    ],
)  # fmt: skip
def test_every_layout_has_its_objects_and_reads_what_was_written(
    grid: dict[str, Any], objects: int, chunks: int, field: Field, tmp_path: Path
) -> None:
    case = a_case(field, grid)
    written(case, field, Root(str(tmp_path)))
    files = sizes(tmp_path)

    assert (len(files) - (METADATA in files), chunks_of(case, field)) == (objects, chunks)
    for url in (str(tmp_path), delayed_url(str(tmp_path), 0)):
        assert len(read(case, field, Root(url))) == (6 if case.is_zarr else 3)


def test_a_shard_of_land_alone_is_no_object_and_reads_as_missing(tmp_path: Path) -> None:
    size = settings("bench", [{}]).sizes.model_dump() | {"bounds": [0, 10, 32, 34]}  # the Sahara, and some sea
    field = a_field(tmp_path, size=size)
    case = a_case(field, {"chunk": [{"side": 16}], "shard": [{"side": 16}]})
    for folder, url in ((tmp_path / "a", str(tmp_path / "a")), (tmp_path / "b", delayed_url(str(tmp_path / "b"), 0))):
        root = written(case, field, Root(url))
        assert len(parts_of(case, field)) > len(sizes(folder)) - 1 > 0
        read(case, field, root)


def test_chunks_shards_and_codecs_are_those_that_are_named(field: Field, tmp_path: Path) -> None:
    grid = {
        "encoding": ["uint16"], "chunk": [{"side": 16, "dates": 2, "levels": 1}],
        "shard": [{"dates": 4, "side": 32}], "codec": ["blosc-lz4"], "level": [5], "shuffle": ["bits"],
    }  # fmt: skip
    case = a_case(field, grid)
    array: Any = zarr.open_array(str(Path(written(case, field, Root(str(tmp_path))).url) / "values"), mode="r")

    assert (array.chunks, array.shards) == ((2, 1, 16, 16), (4, LEVELS, 32, 32))
    blosc, crc = array.compressors
    assert (blosc.cname.value, blosc.clevel, blosc.shuffle.value) == ("lz4", 5, "bitshuffle")
    assert type(crc).__name__ == "Crc32cCodec"
    assert case.label == "uint16 zarr 16 x2 dates x1 levels in 32 x4 dates blosc-lz4-5-bits"


@pytest.mark.parametrize(("store", "interleave"), [("geotiff-pixel", "pixel"), ("geotiff-band", "band")])
def test_interleave_and_blocks_of_a_geotiff_are_those_that_are_named(
    store: str, interleave: str, field: Field, tmp_path: Path
) -> None:
    for encoding in ("uint8", "float32"):
        case = a_case(field, {"store": [store], "encoding": [encoding], "chunk": [{"side": 32}]})
        written(case, field, Root(str(tmp_path / encoding)))
        with rasterio.open(tmp_path / encoding / "0000.tif") as dataset:
            told = (dataset.profile["interleave"], dataset.block_shapes[0], dataset.dtypes[0], dataset.compression.name)
        assert told == (interleave, (32, 32), encoding, "zstd")


@pytest.mark.parametrize("encoding", ["uint8", "uint16", "float32"])
def test_what_is_not_compressed_has_exactly_the_bytes_of_its_numbers(
    encoding: str, field: Field, tmp_path: Path
) -> None:
    case = a_case(field, {"encoding": [encoding], "codec": ["none"], "chunk": [{"side": 16}]})
    files = sizes(Path(written(case, field, Root(str(tmp_path))).url))
    del files[METADATA]

    checksum, entry, chunks = 4, 16, 12
    numbers = LEVELS * HEIGHT * WIDTH * np.dtype(encoding).itemsize
    assert set(files.values()) == {numbers + chunks * (checksum + entry) + checksum}


def test_requests_are_those_that_are_needed(field: Field, tmp_path: Path) -> None:
    case = a_case(field, {"chunk": [{"side": 16}]})
    found = read(case, field, written(case, field, Root(delayed_url(str(tmp_path), 1))))

    # the index is known; neighbours are one range
    assert found["patch", "oceanrecon"].requests.median == 1
    # metadata, index, chunks
    assert found["map", "oceanrecon"].requests.median == 3
    assert found["series", "oceanrecon"].requests.median == 1 + 2 * DATES
    # no more than the file of a date
    assert found["map", "oceanrecon"].bytes.median <= sum(sizes(tmp_path).values())


def test_calls_on_a_local_disk_are_counted_without_those_of_the_counting(field: Field, tmp_path: Path) -> None:
    case = a_case(field, {"codec": ["none"], "chunk": [{"side": 16}]})
    root = written(case, field, Root(str(tmp_path)))
    one_chunk = Reads((((1, 2), (0, LEVELS), (16, 32), (16, 32)),), READS.map, READS.series)
    found = measure_reads(case, field, root, one_chunk, list(sizes(tmp_path)), far=False)[0]

    assert (found.requests.median, found.bytes.median) == (1, LEVELS * 16 * 16 + 4)


def test_requests_that_are_made_together_wait_together(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"0123456789")
    url = delayed_url(str(tmp_path / "a"), 100)
    files: Any = fsspec.core.url_to_fs(url)[0]
    before, began = TRAFFIC.requests, time.monotonic()
    data = files.cat_ranges([url] * 30, list(range(10)) * 3, [9] * 30)
    wall = time.monotonic() - began

    assert data[1] == b"12345678"
    assert TRAFFIC.requests - before == 30
    assert 0.1 <= wall < 2.9  # one after the other: 3


@pytest.mark.parametrize("reader", ["oceanrecon", "zarr-python"])
def test_numbers_that_come_back_changed_are_an_error(reader: str, field: Field, tmp_path: Path) -> None:
    case = a_case(field, {"chunk": [{"side": 16}], "codec": ["none"]})
    root = written(case, field, Root(str(tmp_path)))
    for shard in (tmp_path / "values" / "c").rglob("0"):
        if shard.is_file():  # the shards of two dates change places: each is whole
            other = shard.parents[3] / ("1" if shard.parents[2].name == "2" else "2")
            if shard.parents[2].name == "2":
                one, two = shard.read_bytes(), (other / "0" / "0" / "0").read_bytes()
                shard.write_bytes(two)
                (other / "0" / "0" / "0").write_bytes(one)

    with pytest.raises(OutputError, match=r"numbers of date 1, levels .* other than they were written"):
        read(case, field, root)


@pytest.mark.parametrize(
    ("grid", "reason"),
    [
        ({"store": ["geotiff-pixel"], "codec": ["zstd"], "shuffle": ["bytes"]}, "GeoTIFF has no shuffle"),
        ({"store": ["cog"], "codec": ["blosc-lz4"]}, "GeoTIFF has no blosc-lz4"),
        ({"store": ["geotiff-band"], "shard": [{"dates": 2}]}, "a GeoTIFF is one date of the whole field"),
        ({"store": ["geotiff-band"], "chunk": [{"side": 40}]}, "a multiple of 16, not 40"),
        ({"encoding": ["uint16"], "codec": ["zstd"], "shuffle": ["bytes"]}, "only Blosc shuffles, not zstd"),
        ({"codec": ["blosc-zstd"], "shuffle": ["bytes"]}, "one byte have no bytes to shuffle"),
        ({"codec": ["blosc-zstd"], "level": [12]}, "Blosc has levels up to 9, not 12"),
        ({"chunk": [{"side": 16, "levels": LEVELS}]}, f"the field has {LEVELS} levels"),
        ({"chunk": [{"side": 16, "dates": 8}], "shard": [{"dates": 8}]}, f"the field has {DATES} dates"),
        ({"chunk": [{"side": 16, "dates": 2}], "shard": [{"dates": 3}]}, "does not hold whole chunks of 2"),
        ({"chunk": [{"side": 48}], "shard": [{"side": 64}]}, "does not hold whole chunks of 48"),
        ({"chunk": [{"side": 64}], "shard": [{"side": 64}]}, "holds all of them without being asked"),
    ],
)
def test_a_layout_that_does_not_exist_is_left_out_with_a_reason(grid: dict[str, Any], reason: str) -> None:
    grids = settings("bench", [grid]).grids
    cases, skipped = expand(grids, (DATES, LEVELS, HEIGHT, WIDTH), ("uint8", "uint16", "float32"))

    assert [reason in one.reason for one in skipped] == [True]
    assert cases == [case for name in grids[0].encoding for case in shipped(name).values()]


def test_what_is_shipped_is_always_measured_and_nothing_twice() -> None:
    grids = settings("bench", [{"codec": ["none"], "level": [1, 9]}, {"encoding": ["uint16"]}, {}]).grids
    cases, _ = expand(grids, (DATES, LEVELS, HEIGHT, WIDTH), ("uint8", "uint16"))

    assert [case.label for case in cases] == [
        "uint8 zarr 64 zstd-1", "uint8 geotiff-pixel 256 zstd-1", "uint16 zarr 64 blosc-zstd-1-bytes",
        "uint16 geotiff-pixel 256 zstd-1", "uint8 zarr 64 none",
    ]  # fmt: skip
    assert len({case.key for case in cases}) == len(cases)


def test_digits_that_the_source_has_not_are_not_made_up() -> None:
    grids = settings("bench", [{"encoding": ["uint8", "uint16"]}]).grids
    cases, skipped = expand(grids, (DATES, LEVELS, HEIGHT, WIDTH), ("uint8",))

    assert {case.encoding for case in cases} == {"uint8"}
    assert skipped[0].reason == "the source has only uint8: more digits would be made up"


@pytest.mark.parametrize(
    ("grid", "formats"),
    [
        ({}, "zarr: {chunk: 64, level: 1}"),
        ({"encoding": ["uint16"], "level": [3], "chunk": [{"side": 32}]}, "zarr: {chunk: 32, level: 3}"),
        ({"store": ["geotiff-band"]}, "geotiff: {interleave: band, level: 1}"),
        ({"store": ["cog"], "level": [9]}, "geotiff: {cog: true, level: 9}"),
        ({"store": ["cog"], "chunk": [{"side": 128}]}, None),
        ({"chunk": [{"side": 16, "levels": 1}]}, None),
        ({"writer": ["library"]}, None),
        ({"encoding": ["float32"]}, None),
    ],
)
def test_the_settings_that_are_told_make_an_export_write_the_layout(
    grid: dict[str, Any], formats: str | None, field: Field
) -> None:
    import yaml

    from oceanrecon.config import FormatSettings

    assert export_formats(a_case(field, grid)) == formats
    if formats is not None:
        FormatSettings.model_validate(yaml.safe_load(formats))


def test_the_reads_are_the_same_for_every_layout_and_inside_the_field(field: Field) -> None:
    chosen = settings("bench", [{}])
    reads = random_reads(field, chosen)

    assert reads == random_reads(field, chosen)
    assert (len(reads.patch), len(reads.map), len(reads.series)) == (3, 2, 2)
    for box in (*reads.patch, *reads.map, *reads.series):
        assert all(0 <= start < stop <= size for (start, stop), size in zip(box, field.shape, strict=True))
    assert {prod(stop - start for start, stop in box) for box in reads.patch} == {LEVELS * 24 * 24}


def test_a_field_that_is_smaller_than_a_patch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"size.tile 49: the field has only 48 x 64 pixels; give a smaller one"):
        a_field(tmp_path, size=settings("bench", [{}]).sizes.model_dump() | {"tile": 49})


def test_a_request_takes_as_long_as_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(1_000_000))
    url = delayed_url(str(tmp_path / "a"), 0, 10)
    files: Any = fsspec.core.url_to_fs(url)[0]
    began = time.monotonic()
    files.cat_file(url)

    assert 0.1 <= time.monotonic() - began < 3
