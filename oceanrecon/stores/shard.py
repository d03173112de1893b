"""Shards of zarr v3: the codec ``sharding_indexed`` of its specification, for one time of one variable.

Encoded here and not by zarr-python, which takes twice to three times the CPU for the same chunks. A shard is its
chunks one after the other, each with its CRC-32C, then offset and length of each (all ones: not stored, all fill
value), then a CRC-32C of these.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import Zstd, blosc
from numpy.typing import NDArray

from oceanrecon.errors import OutputError

_ABSENT = 2**64 - 1
_ENTRY_BYTES = 16
_CRC_BYTES = 4

# One process is one thread; and this is what makes blosc safe to call from the threads of a test or a server.
blosc.use_threads = False


@dataclass(frozen=True)
class ShardFormat:
    """What one time of an array looks like: [*levels, height, width] in chunks of [*levels, side, side]."""

    levels: tuple[int, ...]
    height: int
    width: int
    side: int
    dtype: np.dtype[Any]
    fill: int
    #: of zstd
    level: int

    @property
    def chunks(self) -> tuple[int, int]:
        """Rows and columns of chunks."""
        return (-(-self.height // self.side), -(-self.width // self.side))

    @property
    def _blosc_level(self) -> int:
        return min(self.level, 9)  # blosc has nine levels, and makes zstd's 22 of its own 9

    def metadata(self) -> dict[str, Any]:
        """``fill_value``, ``data_type``, ``chunk_grid`` and ``codecs`` of an array with a leading time dimension."""
        rows, columns = self.chunks
        if self.dtype.itemsize == 1:
            stored: list[dict[str, Any]] = [
                {"name": "bytes"},
                {"name": "zstd", "configuration": {"level": self.level, "checksum": False}},
            ]
        else:
            # Bytes of one significance side by side compress better; blosc is the specified codec that shuffles.
            blosc_options = {
                "typesize": self.dtype.itemsize,
                "cname": "zstd",
                "clevel": self._blosc_level,
                "shuffle": "shuffle",
                "blocksize": 0,
            }
            stored = [_LITTLE_ENDIAN, {"name": "blosc", "configuration": blosc_options}]
        stored.append({"name": "crc32c"})  # a flipped bit is an error where it is read, not a wrong number
        return {
            "data_type": self.dtype.name,
            "fill_value": self.fill,
            "chunk_grid": {
                "name": "regular",
                "configuration": {"chunk_shape": [1, *self.levels, rows * self.side, columns * self.side]},
            },
            "codecs": [
                {
                    "name": "sharding_indexed",
                    "configuration": {
                        "chunk_shape": [1, *self.levels, self.side, self.side],
                        "codecs": stored,
                        "index_codecs": [_LITTLE_ENDIAN, {"name": "crc32c"}],
                        "index_location": "end",
                    },
                }
            ],
        }

    def encode(self, codes: NDArray[Any]) -> bytes:
        """The shard of ``codes``: [*levels, height, width]; the same codes give the same bytes."""
        expected = (*self.levels, self.height, self.width)
        if codes.shape != expected or codes.dtype != self.dtype:
            raise OutputError(
                f"codes {codes.dtype}{list(codes.shape)} do not fit a shard {self.dtype}{list(expected)}: this is a "
                "fault in the caller"
            )
        rows, columns = self.chunks
        side = self.side
        zstd = Zstd(level=self.level)
        index = np.full((rows, columns, 2), _ABSENT, dtype="<u8")
        tile = np.empty((*self.levels, side, side), self.dtype)
        shard = io.BytesIO()  # grows in place and hands its buffer over: there is no second copy of the shard
        for row in range(rows):
            for column in range(columns):
                part = codes[..., row * side : (row + 1) * side, column * side : (column + 1) * side]
                if part.shape != tile.shape:
                    tile[...] = self.fill
                tile[..., : part.shape[-2], : part.shape[-1]] = part
                if (tile == self.fill).all():
                    continue
                if self.dtype.itemsize == 1:
                    chunk = zstd.encode(tile)
                else:
                    chunk = blosc.compress(tile, b"zstd", self._blosc_level, blosc.SHUFFLE, 0, self.dtype.itemsize)
                index[row, column] = shard.tell(), len(chunk) + _CRC_BYTES
                shard.write(chunk + _crc(chunk))
        table = index.tobytes()
        shard.write(table + _crc(table))
        return shard.getvalue()

    def decode(self, data: bytes) -> NDArray[Any]:
        """The codes of a shard: [*levels, height, width].

        Raises:
            OutputError: the shard is damaged.
        """
        codes = np.full((*self.levels, self.height, self.width), self.fill, self.dtype)
        for row, column, chunk in self._stored_chunks(data):
            tile = self._decode_chunk(row, column, chunk)
            part = codes[..., row : row + self.side, column : column + self.side]
            part[...] = tile[..., : part.shape[-2], : part.shape[-1]]
        return codes

    def problems(self, data: bytes) -> list[str]:
        """What is wrong with a shard, each as a sentence; every chunk is decoded, one at a time."""
        problems = []
        try:
            for row, column, chunk in self._stored_chunks(data):
                try:
                    self._decode_chunk(row, column, chunk)
                except OutputError as error:
                    problems.append(str(error))
        except OutputError as error:
            problems.append(str(error))
        return problems

    def _stored_chunks(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """First row, first column and bytes of every chunk that is stored."""
        rows, columns = self.chunks
        tail = rows * columns * _ENTRY_BYTES + _CRC_BYTES
        end = len(data) - tail
        if end < 0:
            raise OutputError(f"the shard has {len(data):,} bytes, fewer than the {tail:,} of its index alone")
        table = data[end:-_CRC_BYTES]
        if _crc(table) != data[-_CRC_BYTES:]:
            raise OutputError("the checksum of the shard's index is wrong")
        for number, (offset, length) in enumerate(np.frombuffer(table, "<u8").reshape(-1, 2).tolist()):
            if offset == _ABSENT:
                continue
            if offset + length > end:
                raise OutputError(f"chunk {number} of the shard reaches beyond its data")
            yield number // columns * self.side, number % columns * self.side, data[offset : offset + length]

    def _decode_chunk(self, row: int, column: int, chunk: bytes) -> NDArray[Any]:
        stored = chunk[:-_CRC_BYTES]
        if _crc(stored) != chunk[-_CRC_BYTES:]:
            raise OutputError(f"the chunk at row {row}, column {column} cannot be decoded: its checksum is wrong")
        try:
            raw = Zstd().decode(stored) if self.dtype.itemsize == 1 else blosc.decompress(stored)
            tile: NDArray[Any] = np.frombuffer(raw, self.dtype).reshape(*self.levels, self.side, self.side)
        except (RuntimeError, ValueError) as error:
            raise OutputError(f"the chunk at row {row}, column {column} cannot be decoded: {error}") from error
        return tile


_LITTLE_ENDIAN = {"name": "bytes", "configuration": {"endian": "little"}}


def _crc(data: bytes) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(_CRC_BYTES, "little")
