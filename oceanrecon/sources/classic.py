"""How long a NetCDF classic file has to be by its own header: the netCDF library reads zeros where one is cut off.

The layout is that of "The NetCDF Classic Format Specification" (versions 1, 2 and 5).
"""

from __future__ import annotations

import math
from typing import BinaryIO

#: Bytes of a value by nc_type: byte, char, short, int, float, double, ubyte, ushort, uint, int64, uint64.
_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}


class _Header:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        magic = self.take(4)
        if magic[:3] != b"CDF" or magic[3] not in (1, 2, 5):
            raise ValueError(f"not NetCDF classic: {magic!r}")
        #: bytes of a count, and of a place in the file
        self.count_bytes = 8 if magic[3] == 5 else 4
        self.place_bytes = 4 if magic[3] == 1 else 8

    def take(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) != size:
            raise EOFError
        return data

    def integer(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def count(self) -> int:
        return self.integer(self.count_bytes)

    def skip_padded(self, size: int) -> None:
        self.take(-(-size // 4) * 4)

    def skip_attributes(self) -> None:
        self.take(4)
        for _ in range(self.count()):
            self.skip_padded(self.count())
            kind = self.integer(4)
            self.skip_padded(self.count() * _BYTES[kind])


def classic_size(stream: BinaryIO) -> int:
    """Bytes that a NetCDF classic file needs to hold all values that its header promises, without the last padding.

    Raises:
        EOFError: the file ends within its header.
        ValueError: it is not NetCDF classic.
        KeyError: the header has a type that there is none of.
    """
    header = _Header(stream)
    records = header.count()
    if records == 256**header.count_bytes - 1:
        records = 0  # still being written: their number is not known
    header.take(4)
    lengths = []
    for _ in range(header.count()):
        header.skip_padded(header.count())
        lengths.append(header.count())
    header.skip_attributes()
    end = 0
    by_record: list[tuple[int, int]] = []
    header.take(4)
    for _ in range(header.count()):
        header.skip_padded(header.count())
        shape = [lengths[header.count()] for _ in range(header.count())]
        header.skip_attributes()
        item = _BYTES[header.integer(4)]
        header.take(header.count_bytes)  # its own statement of its size overflows for large variables
        begin = header.integer(header.place_bytes)
        if shape and shape[0] == 0:  # the record dimension
            by_record.append((begin, math.prod(shape[1:]) * item))
        else:
            end = max(end, begin + math.prod(shape) * item)
    # a record variable is padded, but for a single one
    step = sum(-(-size // 4) * 4 for _, size in by_record) if len(by_record) > 1 else sum(size for _, size in by_record)
    for begin, size in by_record if records else ():
        end = max(end, begin + (records - 1) * step + size)
    return end
