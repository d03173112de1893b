"""Stores of whole samples: zarr v3, one array per member, a chunk per sample; opened by plain ``xr.open_zarr``.

A shard is a fixed range of samples and the unit of writing, as in profile stores (``stores.columns``).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import google_crc32c
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec
from zarr.core.buffer import Buffer
from zarr.errors import ZarrUserWarning
from zarr.storage import MemoryStore

from oceanrecon.stores.columns import Table

SAMPLE = "sample"
#: ZSTD level: more costs twice the CPU for a few per cent.
_LEVEL = 1


@dataclass(frozen=True)
class Member:
    """One array of a store: what it holds of each sample."""

    name: str
    dtype: str
    #: after ``sample``
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    #: of what was never written
    fill: float | int
    attrs: Mapping[str, Any]
    #: of a chunk, where it is less than all of a sample
    chunk: tuple[int, ...] = ()

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of a chunk, its one sample included."""
        return (1, *(self.chunk or self.shape))


@dataclass(frozen=True)
class SampleLayout:
    """A store: its members, how many samples a shard has, and its attributes."""

    members: tuple[Member, ...]
    shard_samples: int
    attrs: Mapping[str, Any] = field(default_factory=dict)


def shard_path(prefix: str, member: Member, number: int) -> str:
    """Path of the shard with the samples from ``number * shard_samples`` on."""
    return "/".join([prefix, member.name, "c", str(number), *("0" for _ in member.shape)])


def encode_shard(layout: SampleLayout, member: Member, values: NDArray[Any]) -> bytes:
    """A shard of at most ``shard_samples`` samples: [sample, ...]; the same values give the same bytes.

    There is always a file: one that is not there is damage, and never a shard without anything in it.
    """
    stored: dict[str, Buffer] = {}
    array = _create(MemoryStore(stored), layout, member, values.shape[0])
    array[(slice(None), *(slice(size) for size in values.shape[1:]))] = values
    data = stored.get(shard_path("", member, 0).lstrip("/"))
    return _empty(layout, member) if data is None else data.to_bytes()


def metadata(layout: SampleLayout, samples: int, tables: Sequence[Table]) -> dict[str, bytes]:
    """Every file of a store with that many samples that holds none, by path; the group, written last, is the last.

    The group's metadata repeats that of all arrays, for readers over HTTP, where nothing can be listed.
    """
    stored: dict[str, Buffer] = {}
    store = MemoryStore(stored)
    zarr.create_group(store, attributes={"Conventions": "CF-1.11", **layout.attrs})
    for member in layout.members:
        _create(store, layout, member, samples)
    for table in tables:
        array = zarr.create_array(
            store, name=table.name, shape=table.values.shape, dtype=table.values.dtype,
            chunks=(max(table.values.size, 1),), compressors=None, fill_value=0, attributes=dict(table.attrs),
            dimension_names=[table.dimension], config={"write_empty_chunks": True},
        )  # fmt: skip
        array[...] = table.values
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ZarrUserWarning)  # consolidated metadata are in no specification of v3 yet
        zarr.consolidate_metadata(store)
    files = {path: data.to_bytes() for path, data in sorted(stored.items()) if path != "zarr.json"}
    return files | {"zarr.json": stored["zarr.json"].to_bytes()}


def _create(store: MemoryStore, layout: SampleLayout, member: Member, samples: int) -> zarr.Array[Any]:
    compressor: BloscCodec | ZstdCodec = ZstdCodec(level=_LEVEL)
    size = np.dtype(member.dtype).itemsize
    if size > 1:  # bytes of one significance side by side compress better
        compressor = BloscCodec(typesize=size, cname="zstd", clevel=_LEVEL, shuffle="shuffle")
    return zarr.create_array(
        store,
        name=member.name,
        shape=(samples, *member.shape),
        dtype=member.dtype,
        chunks=member.chunks,
        shards=(layout.shard_samples, *_whole_chunks(member)),
        # a flipped bit is an error where it is read, not a wrong number
        compressors=[compressor, Crc32cCodec()],
        fill_value=member.fill,
        attributes=dict(member.attrs),
        dimension_names=[SAMPLE, *member.dimensions],
    )


def _whole_chunks(member: Member) -> tuple[int, ...]:
    """The shape of a sample, rounded up to whole chunks."""
    return tuple(-(-size // chunk) * chunk for size, chunk in zip(member.shape, member.chunks[1:], strict=True))


def _empty(layout: SampleLayout, member: Member) -> bytes:
    """A shard without a chunk: an index of ones, and its checksum."""
    whole = zip(_whole_chunks(member), member.chunks[1:], strict=True)
    index = b"\xff" * (16 * layout.shard_samples * prod(size // chunk for size, chunk in whole))
    return index + int(google_crc32c.value(index)).to_bytes(4, "little")
