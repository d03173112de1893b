"""Reads boxes of sharded zarr v3 arrays: what loaders use, thousands of times a second and on any fsspec URL.

zarr-python takes five times the CPU for a small box, and its event loop hangs after a fork. Here the index of a shard
is read once and kept, the byte ranges of many boxes are asked for together (``cat_ranges``), and chunks are decoded
straight into their places. A shard that is not there is an error, where zarr would read missing values: whether a time
was ever written is for the caller to know.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import VLenUTF8, blosc, zstd
from numpy.typing import NDArray

from oceanrecon.errors import OutputError
from oceanrecon.stores.byte_ranges import REMEDY, Files, Range
from oceanrecon.stores.files import Root

#: First and last (excluded) index per dimension.
Box = tuple[tuple[int, int], ...]
#: Number of a shard, or of a chunk, along each dimension.
Shard = tuple[int, ...]

_ABSENT = 2**64 - 1
_CRC_BYTES = 4
#: Indexes of shards that each array keeps; of a global field at 0.1 degree they have 26 KB: 13 MB.
_KEPT_INDEXES = 512
#: Ranges with less than this between them are read as one.
_GAP = 16384
blosc.use_threads = False


class ShardArray:
    """One array, opened from its metadata (``zarr.json``); small and quick to pickle."""

    def __init__(
        self,
        files: Files,
        path: str,
        metadata: Mapping[str, Any],
        written: Collection[str] | None = None,
        keep: int = 0,
        sparse: bool = False,
    ) -> None:
        """At ``path`` below the root of ``files``; shards that are not among the paths ``written`` are all fill value.

        So many decoded chunks are kept as ``keep`` says. ``sparse``: any shard may not be there, and is fill value.

        Raises:
            OutputError: the array is not sharded, or has codecs that are not read here.
        """
        self._files, self.path, self._written, self.sparse = files, path, written, sparse
        self.attrs: dict[str, Any] = dict(metadata.get("attributes", {}))
        self.shape = tuple(int(size) for size in metadata["shape"])
        codecs = metadata["codecs"]
        if [codec["name"] for codec in codecs] != ["sharding_indexed"]:
            raise OutputError(f"{self.url} is not sharded: it was not written by oceanrecon")
        sharding = codecs[0]["configuration"]
        self.shard = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
        self.chunk = tuple(sharding["chunk_shape"])
        self._per_shard = tuple(size // part for size, part in zip(self.shard, self.chunk, strict=True))
        self._text = metadata["data_type"] == "string"
        self.dtype: np.dtype[Any] = np.dtype(object if self._text else metadata["data_type"])
        self.fill: Any = np.array(metadata["fill_value"]).astype(self.dtype)[()]
        self._decode, self._checked = _decoder(sharding["codecs"], self.url)
        if sharding.get("index_location", "end") != "end" or [c["name"] for c in sharding["index_codecs"]] != [
            "bytes", "crc32c"
        ]:  # fmt: skip
            raise OutputError(f"{self.url} keeps the indexes of its shards in another form than oceanrecon does")
        self._indexes: OrderedDict[Shard, NDArray[np.uint64]] = OrderedDict()
        self._keep = keep
        self._chunks: OrderedDict[Shard, NDArray[Any]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_indexes": OrderedDict(), "_chunks": OrderedDict()}

    @property
    def url(self) -> str:
        """Where it is."""
        return self._files.root.url_of(self.path)

    def read(self, box: Box) -> NDArray[Any]:
        """The numbers of a box, fill values where a chunk was not stored.

        Raises:
            OutputError: a shard is not there, or is damaged; names it.
        """
        return read_boxes([(self, box)])[0]

    def shard_path(self, shard: Shard) -> str:
        """Path of a shard, relative to the root."""
        return f"{self.path}/c/" + "/".join(map(str, shard))

    def shards(self, box: Box) -> Iterator[Shard]:
        """The shards that a box touches."""
        return product(
            *(
                range(start // size, -(-stop // size)) if stop > start else ()
                for (start, stop), size in zip(box, self.shard, strict=True)
            )
        )

    def check(self, box: Box) -> None:
        """Whether a box is inside the array.

        Raises:
            OutputError: it is not.
        """
        if len(box) != len(self.shape) or any(
            not 0 <= start <= stop <= size for (start, stop), size in zip(box, self.shape, strict=False)
        ):
            raise OutputError(
                f"{self.url} has the shape {self.shape}: {box} is not inside; this is a fault in the caller"
            )

    def kept_index(self, shard: Shard) -> NDArray[np.uint64] | None:
        """The index of a shard, where it is known: offset and length of each chunk."""
        if shard in self._indexes:
            self._indexes.move_to_end(shard)
            return self._indexes[shard]
        if self._written is not None and self.shard_path(shard) not in self._written:
            return self._nothing()
        return None

    def _nothing(self) -> NDArray[np.uint64]:
        """The index of a shard that is not there."""
        return np.full((*self._per_shard, 2), _ABSENT, np.uint64)

    def index_range(self, shard: Shard) -> Range:
        """Where the index of a shard is."""
        return Range(self.shard_path(shard), -(prod(self._per_shard) * 16 + _CRC_BYTES), None)

    def take_index(self, shard: Shard, data: bytes | None) -> NDArray[np.uint64]:
        """The index of a shard from its bytes, which is kept for a while; ``None``: it is not there.

        Raises:
            OutputError: it is not there, and has to be; or it is damaged.
        """
        if data is None:
            if not self.sparse:
                url = self._files.root.url_of(self.shard_path(shard))
                raise OutputError(f"{url} is not there; {self._files.remedy}")
            return self._nothing()
        table = data[:-_CRC_BYTES]
        if google_crc32c.value(table).to_bytes(_CRC_BYTES, "little") != data[-_CRC_BYTES:]:
            raise OutputError(
                f"{self._files.root.url_of(self.shard_path(shard))} is damaged: the checksum of its index is wrong; "
                f"{self._files.remedy}"
            )
        index = np.frombuffer(table, "<u8").reshape(*self._per_shard, 2)
        self._indexes[shard] = index
        if len(self._indexes) > _KEPT_INDEXES:
            self._indexes.popitem(last=False)
        return index

    def stored(self, box: Box, indexes: Mapping[Shard, NDArray[np.uint64]]) -> Iterator[tuple[Shard, Shard, int, int]]:
        """Of each stored chunk in a box: its shard, its number along each dimension, its offset and length."""
        for shard in self.shards(box):
            index = indexes[shard]
            first = [number * size for number, size in zip(shard, self.shard, strict=True)]
            parts = []
            for (start, stop), low, size, chunk in zip(box, first, self.shard, self.chunk, strict=True):
                begin, end = max(start - low, 0), min(stop - low, size)
                parts.append(range(begin // chunk, -(-end // chunk)))
            for inner in product(*parts):
                offset, length = index[inner].tolist()
                if offset != _ABSENT:
                    yield (
                        shard,
                        tuple(number * per + at for number, per, at in zip(shard, self._per_shard, inner, strict=True)),
                        offset,
                        length,
                    )

    def kept_chunk(self, chunk: Shard) -> NDArray[Any] | None:
        """The numbers of a chunk, where they are kept."""
        if chunk in self._chunks:
            self._chunks.move_to_end(chunk)
            return self._chunks[chunk]
        return None

    def keep_chunk(self, chunk: Shard, values: NDArray[Any]) -> None:
        """Keep the numbers of a chunk for a while, where that is wanted."""
        if self._keep:
            self._chunks[chunk] = values
            if len(self._chunks) > self._keep:
                self._chunks.popitem(last=False)

    def decode(self, data: memoryview, chunk: Shard, shard: Shard) -> NDArray[Any]:
        """The numbers of a chunk."""
        try:
            if self._checked:
                if google_crc32c.value(bytes(data[:-_CRC_BYTES])).to_bytes(4, "little") != data[-_CRC_BYTES:]:
                    raise ValueError("its checksum is wrong")
                data = data[:-_CRC_BYTES]
            raw = self._decode(data)
            values: NDArray[Any] = (raw if self._text else np.frombuffer(raw, self.dtype)).reshape(self.chunk)
        except (RuntimeError, ValueError) as error:
            raise OutputError(
                f"{self._files.root.url_of(self.shard_path(shard))} is damaged: the chunk at "
                f"{[number * size for number, size in zip(chunk, self.chunk, strict=True)]} cannot be decoded "
                f"({error}); {self._files.remedy}"
            ) from error
        return values

    def place(self, values: NDArray[Any], chunk: Shard, box: Box, out: NDArray[Any]) -> None:
        """Put the part of a chunk that is in a box where it belongs."""
        source, target = [], []
        for number, size, (start, stop) in zip(chunk, self.chunk, box, strict=True):
            low = number * size
            begin, end = max(start, low), min(stop, low + size)
            source.append(slice(begin - low, end - low))
            target.append(slice(begin - start, end - start))
        out[tuple(target)] = values[tuple(source)]


def read_boxes(requests: Sequence[tuple[ShardArray, Box]]) -> list[NDArray[Any]]:
    """The numbers of many boxes of arrays below one root; what is read is asked for together.

    Raises:
        OutputError: a shard is not there, or is damaged; names it.
    """
    if not requests:
        return []
    files = requests[0][0]._files
    indexes = _indexes(files, requests)
    outputs: list[NDArray[Any]] = []
    pieces = []
    for number, (array, box) in enumerate(requests):
        shape = tuple(stop - start for start, stop in box)
        stored = list(array.stored(box, indexes[id(array)]))
        whole = prod(-(-stop // size) - start // size for (start, stop), size in zip(box, array.chunk, strict=True))
        outputs.append(
            np.empty(shape, array.dtype) if len(stored) == whole else np.full(shape, array.fill, array.dtype)
        )
        for shard, chunk, offset, length in stored:
            if (kept := array.kept_chunk(chunk)) is not None:
                array.place(kept, chunk, box, outputs[number])
            else:
                pieces.append((array.shard_path(shard), offset, length, number, shard, chunk))
    pieces.sort(key=lambda piece: piece[:2])
    ranges: list[Range] = []
    within: list[tuple[int, int]] = []
    for path, offset, length, *_ in pieces:
        last = ranges[-1] if ranges else None
        if last is not None and last.path == path and last.stop is not None and offset - last.stop <= _GAP:
            ranges[-1] = Range(path, last.start, max(last.stop, offset + length))  # two boxes may want one chunk
        else:
            ranges.append(Range(path, offset, offset + length))
        within.append((len(ranges) - 1, offset - ranges[-1].start))
    read = [memoryview(data) for data in files.read(ranges)]
    before: tuple[str, int] | None = None
    for (path, offset, length, number, shard, chunk), (part, at) in zip(pieces, within, strict=True):
        array, box = requests[number]
        if before != (path, offset):  # neighbouring boxes share chunks
            values = array.decode(read[part][at : at + length], chunk, shard)
            before = path, offset
            array.keep_chunk(chunk, values)
        array.place(values, chunk, box, outputs[number])
    return outputs


def _indexes(files: Files, requests: Sequence[tuple[ShardArray, Box]]) -> dict[int, dict[Shard, NDArray[np.uint64]]]:
    """The indexes of all shards that some boxes touch, by ``id`` of the array; unknown ones are read together."""
    known: dict[int, dict[Shard, NDArray[np.uint64]]] = {}
    wanted: list[tuple[ShardArray, Shard]] = []
    asked: set[tuple[int, Shard]] = set()
    for array, box in requests:
        array.check(box)
        own = known.setdefault(id(array), {})
        for shard in array.shards(box):
            if shard in own or (id(array), shard) in asked:
                continue
            index = array.kept_index(shard)
            if index is None:
                asked.add((id(array), shard))
                wanted.append((array, shard))
            else:
                own[shard] = index
    read = files.read_if_there([array.index_range(shard) for array, shard in wanted])
    for (array, shard), data in zip(wanted, read, strict=True):
        known[id(array)][shard] = array.take_index(shard, data)
    return known


def open_arrays(
    files: Files,
    prefix: str,
    written: Collection[str] | None = None,
    keep: int = 0,
    *,
    sparse: bool = False,
    group: Mapping[str, Any] | None = None,
) -> dict[str, ShardArray]:
    """The sharded arrays of a zarr v3 group, from its consolidated metadata, by name.

    Args:
        files: how to read below the root that the group is in.
        prefix: path of the group.
        written: paths of the files that the group has; shards that are not among them hold fill values only. Default:
            a shard that is not there is an error.
        keep: decoded chunks that each array keeps.
        sparse: a shard that is not there holds fill values only.
        group: its metadata, where they are known: they are not read again.

    Raises:
        OutputError: there is no such group.
    """
    arrays = (group or group_metadata(files.root, prefix, files.remedy))["consolidated_metadata"]["metadata"]
    return {
        name: ShardArray(files, f"{prefix}/{name}", metadata, written, keep, sparse)
        for name, metadata in arrays.items()
        if is_sharded(metadata)
    }


def is_sharded(metadata: Mapping[str, Any]) -> bool:
    """Whether these are the metadata of a sharded array."""
    return metadata.get("node_type") == "array" and [codec["name"] for codec in metadata["codecs"]] == [
        "sharding_indexed"
    ]


def read_small(
    root: Root,
    prefix: str,
    name: str,
    group: Mapping[str, Any] | None = None,
    *,
    sha256: str | None = None,
    remedy: str = REMEDY,
) -> NDArray[Any]:
    """A whole small array of a group: one chunk of plain numbers.

    Args:
        root: what the group is in.
        prefix: path of the group.
        name: of the array.
        group: its metadata, where they are known: they are not read again.
        sha256: of its one file, where it is known; the file has no checksum of its own.
        remedy: what a message about a damaged file ends with.

    Raises:
        OutputError: it is not there, is none, or is damaged.
    """
    metadata = (group or group_metadata(root, prefix, remedy))["consolidated_metadata"]["metadata"].get(name)
    if metadata is None or [codec["name"] for codec in metadata["codecs"]] != ["bytes"]:
        raise OutputError(f"{root.url_of(prefix)} has no {name}: it was not written by this version of oceanrecon")
    path, dtype, size = f"{prefix}/{name}/c/0", np.dtype(metadata["data_type"]).newbyteorder("<"), metadata["shape"][0]
    data = _read_or_tell(root, path, remedy)
    if len(data) < size * dtype.itemsize or len(data) % dtype.itemsize:
        raise OutputError(f"{root.url_of(path)} is damaged: it has {len(data):,} bytes for {size:,} numbers; {remedy}")
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise OutputError(f"{root.url_of(path)} is damaged: its checksum is not that of the manifest; {remedy}")
    return np.frombuffer(data, dtype)[:size]


def group_metadata(root: Root, prefix: str, remedy: str = REMEDY) -> dict[str, Any]:
    """``zarr.json`` of a group with consolidated metadata.

    Raises:
        OutputError: there is no such group, or it is damaged; the message ends with ``remedy``.
    """
    path = f"{prefix}/zarr.json"
    try:
        metadata = json.loads(_read_or_tell(root, path, remedy))
    except ValueError as error:
        raise OutputError(f"{root.url_of(path)} is damaged: it is no JSON ({error}); {remedy}") from error
    if not isinstance(metadata, dict) or not metadata.get("consolidated_metadata"):
        raise OutputError(f"{root.url_of(path)} has no consolidated metadata: it was not written by oceanrecon")
    return metadata


def _read_or_tell(root: Root, path: str, remedy: str) -> bytes:
    """A whole file; a message about why it cannot be read ends with ``remedy``."""
    try:
        return root.read(path)
    except OutputError as error:
        raise OutputError(f"{error}; {remedy}") from error.__cause__


def _decoder(codecs: Sequence[Mapping[str, Any]], url: str) -> tuple[Callable[[Any], Any], bool]:
    """What decodes a chunk, and whether a checksum comes after it."""
    names = [codec["name"] for codec in codecs]
    checked = names[-1] == "crc32c"
    steps = names[: -1 if checked else None]
    if steps[0] == "vlen-utf8" and steps[1:] == ["zstd"]:
        return _decode_text, checked
    if steps == ["bytes", "zstd"]:
        return zstd.decompress, checked
    if steps == ["bytes", "blosc"]:
        return blosc.decompress, checked
    if steps == ["bytes"]:  # not compressed
        return memoryview, checked
    raise OutputError(
        f"{url} has the codecs {', '.join(names)}, which are not read here: it was not written by oceanrecon"
    )


def _decode_text(data: Any) -> Any:
    return VLenUTF8().decode(zstd.decompress(data))
