"""Chunks that are read as they lie on disk hold what the NetCDF library reads."""

from pathlib import Path
from typing import Any

import h5py
import netCDF4
import numpy as np
import pytest

from oceanrecon.errors import SourceError
from oceanrecon.sources.hdf import ChunkCache, StoredVariable, open_hdf


@pytest.mark.parametrize("dtype", ["i2", "i4", "f4", "i1", ">i2"])
@pytest.mark.parametrize(
    "options", [{}, {"zlib": True}, {"zlib": True, "shuffle": False}, {"zlib": True, "fletcher32": True}]
)
def test_equal_to_netcdf4(tmp_path: Path, dtype: str, options: dict[str, bool]) -> None:
    path = tmp_path / "file.nc"
    values = np.random.default_rng(0).integers(-100, 100, (2, 9, 50, 70)).astype(dtype)
    with netCDF4.Dataset(path, "w") as file:
        for name, size in zip("tzyx", values.shape, strict=True):
            file.createDimension(name, size)
        order: dict[str, Any] = {"endian": "big" if dtype.startswith(">") else "native", **options}
        variable = file.createVariable("v", np.dtype(dtype), tuple("tzyx"), chunksizes=(1, 4, 16, 32), **order)
        variable[:] = values
    with open_hdf(str(path)) as opened:
        stored = StoredVariable(opened["v"])
        # ranges that start and end within chunks, and reach the ragged edge
        np.testing.assert_array_equal(
            stored.read((1, slice(3, 9), slice(None), slice(20, 70))), values[1:2, 3:9, :, 20:70]
        )


def test_a_chunk_never_written_is_fill(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("v", (8, 8), "i2", chunks=(4, 4), compression="gzip", shuffle=True, fillvalue=-7)
        dataset[:4, :4] = 3
    with open_hdf(str(path)) as opened:
        read = StoredVariable(opened["v"]).read((slice(None), slice(None)))
    assert (read[:4, :4] == 3).all()
    assert (read == -7).sum() == 48


def test_a_damaged_chunk_is_named_and_never_read_as_values(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    with h5py.File(path, "w") as file:
        data = np.random.default_rng(0).integers(0, 9, (64, 64))
        dataset = file.create_dataset("v", data=data, chunks=(32, 32), compression="gzip", shuffle=True)
        at = dataset.id.get_chunk_info_by_coord((32, 0))
    content = bytearray(path.read_bytes())
    for place in range(at.byte_offset + 20, at.byte_offset + at.size - 20):
        content[place] ^= 0x5A
    path.write_bytes(content)
    with open_hdf(str(path)) as opened, pytest.raises(SourceError, match="variable v is damaged"):
        StoredVariable(opened["v"]).read((slice(None), slice(None)))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty file"), (b"CDF\x01" + bytes(60), "nccopy"), (b"<html>404</html>", "not a NetCDF-4")],
)
def test_what_is_no_file_of_ours_says_what_it_is(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file.nc"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=message), open_hdf(str(path)):
        pass


def test_inflated_chunks_are_kept_up_to_so_many_bytes_and_the_oldest_go(tmp_path: Path) -> None:
    cache = ChunkCache(20)
    for number in range(4):
        cache.put(number, (False, bytes(10)))
        assert cache.get(0)  # used all the time
    assert [number for number in range(4) if cache.get(number)] == [0, 3]
    cache.put("large", (False, bytes(21)))  # more than all that may be kept
    assert [key for key in (*range(4), "large") if cache.get(key)] == []
    cache.put("small", (False, bytes(20)))
    assert cache.get("small")
    path = tmp_path / "file.h5"
    values = np.arange(64, dtype="i4").reshape(8, 8)
    with h5py.File(path, "w") as file:
        file.create_dataset("v", data=values, chunks=(2, 8), compression="gzip", shuffle=True)
    cache = ChunkCache(2 * 64)  # two chunks of four
    with open_hdf(str(path)) as opened:
        stored = StoredVariable(opened["v"], cache, "v")
        for row in (0, 7, 3, 4, 0, 1, 6):
            np.testing.assert_array_equal(stored.read((row, slice(None))), values[row : row + 1])
            assert sum(len(chunk) for _, chunk in cache._chunks.values()) <= 2 * 64
    assert list(cache._chunks) == [("v", (0, 0)), ("v", (6, 0))]
