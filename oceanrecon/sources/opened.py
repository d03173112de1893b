"""A file of an archive, open for reading: by HDF5, or through references where there are some."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator
from contextlib import contextmanager
from typing import Protocol

import h5py

from oceanrecon.sources.hdf import ChunkCache, DiskVariable, StoredVariable, open_hdf
from oceanrecon.sources.header import VariableHeader, variable_header
from oceanrecon.sources.product import Product
from oceanrecon.sources.references import open_referenced
from oceanrecon.sources.unchanged import check_unchanged


class OpenFile(Protocol):
    """What the readers of fields need of a file."""

    @property
    def names(self) -> Collection[str]:
        """Variables that can be read."""

    def header(self, name: str, product: Product) -> VariableHeader:
        """How a variable is stored."""

    def variable(self, name: str, cache: ChunkCache | None = None, key: Hashable = None) -> DiskVariable:
        """A variable; its inflated chunks go through ``cache``, where it is called ``key``."""


class HdfFile:
    """An open HDF5 file."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file

    @property
    def names(self) -> Collection[str]:
        """All that is in it."""
        return sorted(self._file)

    def header(self, name: str, product: Product) -> VariableHeader:
        """See ``header.variable_header``."""
        return variable_header(self._file, name, product)

    def variable(self, name: str, cache: ChunkCache | None = None, key: Hashable = None) -> DiskVariable:
        """See ``hdf.StoredVariable``."""
        return StoredVariable(self._file[name], cache, key, getattr(self._file, "ranges", None))


@contextmanager
def open_file(
    url: str, path: str, size: int, mtime_ns: int, *, product: str, references: str = ""
) -> Iterator[OpenFile]:
    """Open a file of an archive that is still as it was listed.

    Args:
        url: of the file.
        path: of the file, relative to the archive's root.
        size: bytes, when it was listed.
        mtime_ns: modification time, when it was listed; 0: not known.
        product: whose file it is.
        references: of the archive, see ``references``; empty: there are none.

    Raises:
        SourceError: it is gone, changed, or cannot be read.
    """
    if references:
        with open_referenced(url, references, product, path, size, mtime_ns) as file:
            if file is not None:
                yield file
                return
    check_unchanged(url, size, mtime_ns)
    with open_hdf(url, size) as opened:
        yield HdfFile(opened)
