"""Finds out where the chunks of one NetCDF-4 file lie, by VirtualiZarr; needs the extra ``virtual``.

References can say less than HDF5 can. A file of which they would not say all is left to be opened, and why is kept.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np

from oceanrecon.access.healing import healed
from oceanrecon.access.paths import joined
from oceanrecon.access.systems import file_system, is_local
from oceanrecon.errors import MissingExtraError, SourceError, how_to_install
from oceanrecon.sources.hdf import DIRECT_FILTERS, open_hdf
from oceanrecon.sources.header import variable_header
from oceanrecon.sources.listing import absolute_root
from oceanrecon.sources.product import Product
from oceanrecon.sources.references import Chunks, Form, ListedFile, VariableForm, etag_of
from oceanrecon.sources.registry import product as find_product

#: What VirtualiZarr calls the filters that are inflated here.
_CODECS = {1: "zlib", 2: "shuffle"}
#: More dimensions are not read.
_DIMENSIONS = 4


class _Inexpressible(Exception):
    """References cannot say all of a file."""


@dataclass(frozen=True)
class UsableFile:
    """A file of an inventory."""

    product: str
    path: str
    bytes: int
    mtime_ns: int
    #: of its axes, from the inventory
    grid: str
    #: that it has; 0: not all of them can be used
    times: int


@dataclass(frozen=True)
class References:
    """What was found of a file: its form and chunks, or why there are none."""

    listed: ListedFile
    form: Form | None
    chunks: Mapping[str, Chunks]
    #: it could not be read
    failed: bool = False


def check_virtualizarr() -> None:
    """Refuse where VirtualiZarr is not installed.

    Raises:
        MissingExtraError: names the extra that brings it.
    """
    try:
        import virtualizarr  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"references need VirtualiZarr ({error}): {how_to_install('virtual')}") from error


def find_references(root: str, files: Sequence[UsableFile]) -> list[References]:
    """Where the chunks of some files lie, in order; picklable, for other processes. A bad file never stops the rest."""
    return [_find(absolute_root(root), file) for file in files]


def _find(root: str, file: UsableFile) -> References:
    url, etag = joined(root, file.path, SourceError), ""

    def without(reason: str, failed: bool) -> References:
        listed = ListedFile(file.product, file.path, file.bytes, file.mtime_ns, etag, "", 0, reason)
        return References(listed, None, {}, failed)

    try:
        etag = _etag(url, file.bytes)
        form, chunks = _read(url, file)
    except _Inexpressible as error:
        return without(str(error), False)
    except (SourceError, OSError) as error:
        return without(str(error), True)
    except MemoryError:
        raise
    except Exception as error:  # a damaged file makes h5py raise nearly anything
        return without(f"unreadable: {type(error).__name__}: {error}; download it again", True)
    return References(ListedFile(file.product, file.path, file.bytes, file.mtime_ns, etag, "", 0, ""), form, chunks)


def _etag(url: str, size: int) -> str:
    filesystem, path = file_system(url)
    info = healed(lambda: filesystem.info(path))
    if int(info.get("size") or 0) != size:
        raise SourceError(f"it changed since it was listed ({size:,} bytes then): run the same command again")
    return "" if is_local(filesystem) else etag_of(info)


def _read(url: str, file: UsableFile) -> tuple[Form, dict[str, Chunks]]:
    product = find_product(file.product)
    if not file.times:
        raise _Inexpressible("only some of its times can be used")
    with open_hdf(url, file.bytes) as opened, ExitStack() as stack:
        variables = [*product.variables, *product.sampled]
        names = sorted({variable.name for variable in variables if variable.name in opened})
        forms = {name: _form(opened, name, product, file.times) for name in names}
        handle = getattr(opened, "ranges", None) or stack.enter_context(open(url, "rb"))
        handle.seek(0)
        found = _parsed(handle, [name for name in opened if name not in names])
        chunks = {name: _chunks(name, form, found) for name, form in forms.items()}
    return Form(file.product, file.grid, file.times, forms), chunks


def _form(opened: h5py.File, name: str, product: Product, times: int) -> VariableForm:
    """How a variable is stored, if references can say it."""
    dataset: Any = opened[name]
    header = variable_header(opened, name, product)
    plist = dataset.id.get_create_plist()
    layout = plist.get_layout()
    if len(header.shape) > _DIMENSIONS or 0 in header.shape:
        raise _Inexpressible(f"variable {name} has the shape {header.shape}")
    if layout == h5py.h5d.CHUNKED:
        chunks = header.chunks
        assert chunks is not None  # it is chunked
        if list(header.filters) not in ([], *DIRECT_FILTERS):
            raise _Inexpressible(f"variable {name} is written with the HDF5 filters {list(header.filters)}")
        skipped: list[tuple[int, ...]] = []
        dataset.id.chunk_iter(lambda info: skipped.append(info.chunk_offset) if info.filter_mask else None)
        if skipped:
            raise _Inexpressible(f"the chunk of variable {name} at {skipped[0]} was not put through all filters")
    elif layout == h5py.h5d.CONTIGUOUS and not plist.get_external_count():
        # a plane of levels can be fetched alone
        chunks = (1,) * (len(header.shape) - 2) + header.shape[-2:]
    else:
        raise _Inexpressible(f"variable {name} does not lie in the file as such (compact, external or virtual)")
    if "time" in header.dimensions:
        if header.shape[0] != times or times % chunks[0]:
            raise _Inexpressible(f"variable {name} has {header.shape[0]} times in chunks of {chunks[0]}")
    elif times != 1:
        raise _Inexpressible(f"variable {name} has no time, and the file has {times}")
    fill = np.asarray(dataset.fillvalue, dataset.dtype).tobytes()
    return VariableForm(header, chunks, fill.hex())


class _OneFile:
    """In the place of VirtualiZarr's registry of object stores: files are opened here, as all others are."""

    def resolve(self, url: str) -> tuple[None, str]:
        """No store, and the same address."""
        return None, url


def _parsed(handle: Any, others: Sequence[str]) -> dict[str, Any]:
    """The references of an open file without ``others``, in kerchunk's form."""
    from virtualizarr.parsers import HDFParser

    with warnings.catch_warnings():
        # that numcodecs are not part of zarr version 3: what is written is version 2
        warnings.simplefilter("ignore", UserWarning)
        parser = HDFParser(drop_variables=others, reader_factory=lambda store, path: handle)
        registry: Any = _OneFile()
        store = parser("file:///", registry)
        virtual = store.to_virtual_dataset(loadable_variables=[], decode_times=False)
        found: dict[str, Any] = virtual.vz.to_kerchunk(format="dict")["refs"]
    return found


def _chunks(name: str, form: VariableForm, found: Mapping[str, Any]) -> Chunks:
    """Offsets and sizes from references, which must describe the variable as we do."""
    header = form.header
    stored = json.loads(found[f"{name}/.zarray"])
    codecs = [codec["id"] for codec in stored["filters"] or ()]
    described = tuple(stored["shape"]), tuple(stored["chunks"]), np.dtype(stored["dtype"]), codecs
    whole = header.chunks or header.shape
    if described != (header.shape, whole, np.dtype(header.dtype), [_CODECS[number] for number in header.filters]):
        raise _Inexpressible(f"VirtualiZarr describes variable {name} as {described}")
    places = {
        tuple(int(part) for part in key.rpartition("/")[2].split(".")): entry[1:]
        for key, entry in found.items()
        if key.startswith(f"{name}/") and "/." not in key
    }
    offsets, sizes = np.zeros(form.grid, np.int64), np.zeros(form.grid, np.int64)
    if header.chunks is not None:
        for index, (offset, size) in places.items():
            offsets[index], sizes[index] = offset, size
    elif places:
        ((offset, size),) = places.values()
        plane = math.prod(form.chunks) * np.dtype(header.dtype).itemsize
        if size != plane * form.count:
            raise _Inexpressible(f"variable {name} takes {size:,} bytes instead of {plane * form.count:,}")
        offsets[...] = offset + plane * np.arange(form.count).reshape(form.grid)
        sizes[...] = plane
    return offsets.reshape(-1), sizes.reshape(-1)
