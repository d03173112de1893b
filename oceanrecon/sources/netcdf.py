"""Reads rows of the variables of a file of profiles, NetCDF classic or NetCDF-4, by the netCDF library.

Nothing is masked or scaled by the library: what is missing is decided here, the same way for both formats.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import netCDF4
import numpy as np
from numpy.typing import DTypeLike, NDArray

from oceanrecon.access.healing import healed
from oceanrecon.access.passing import told
from oceanrecon.access.systems import file_system
from oceanrecon.errors import SourceError
from oceanrecon.sources.classic import classic_size
from oceanrecon.sources.quality import MISSING_FLAG, UNKNOWN_FLAG

#: The netCDF library must not be called from two threads at once, whatever the files.
_LOCK = threading.Lock()
#: From here on a number is a fill, declared or not: 99999, 999999, 9.97e36.
_FILL = 99990.0
#: Rows of the file that are read at once, and the gap between two wanted ones that is read over.
_ROWS, _GAP = 4096, 32
#: Bytes of inflated NetCDF-4 chunks that are kept per variable, so that the next batch does not inflate them again.
_CHUNK_CACHE = 64 << 20

#: Flag by character.
_FLAGS = np.full(256, UNKNOWN_FLAG, dtype=np.int8)
_FLAGS[[ord(" "), 0]] = MISSING_FLAG
_FLAGS[ord("0") : ord("9") + 1] = np.arange(10)
_LETTERS = _FLAGS.copy()
_LETTERS[ord("A") : ord("F") + 1] = np.arange(ord("A"), ord("F") + 1)


@contextmanager
def naming(url: str) -> Iterator[None]:
    """Makes every failure within a ``SourceError`` that begins with the name of the file.

    Raises:
        SourceError: the file cannot be read.
    """
    try:
        yield
    except SourceError as error:
        raise SourceError(f"{url}: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged header makes the library raise nearly anything
        raise SourceError(f"{url}: unreadable: {type(error).__name__}: {error}; download it again") from error


class NetcdfFile:
    """An open file; a context manager. ``notes`` collects what is unusual about what was read."""

    def __init__(self, url: str, name: str) -> None:
        """Of a path or fsspec URL; notes call it ``name``.

        Raises:
            SourceError: it is not there, not NetCDF, or truncated.
        """
        self.name = name
        self.notes: list[str] = []
        with ExitStack() as stack:
            path = _local_copy(url, stack) if "://" in url else url
            _check(path)
            with _LOCK:
                self._dataset = netCDF4.Dataset(path, "r")
                self._dataset.set_auto_maskandscale(False)
                self._dataset.set_auto_chartostring(False)
            self._variables: dict[str, Any] = dict(self._dataset.variables)
            self._prepared: set[str] = set()
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _LOCK:
            self._dataset.close()
        self._stack.close()

    def __contains__(self, name: str) -> bool:
        return name in self._variables

    def take_notes(self) -> tuple[str, ...]:
        """The notes so far, which it forgets."""
        notes, self.notes = tuple(self.notes), []
        return notes

    def require(self, names: tuple[str, ...], product: str) -> None:
        """Refuse a file that lacks a variable of ``names``.

        Raises:
            SourceError: names what is missing.
        """
        missing = [name for name in names if name not in self]
        if missing:
            raise SourceError(
                f"missing variable {', '.join(missing)}, which every {product} has: download the file again, or take "
                "it out of the folder"
            )

    def shape(self, name: str) -> tuple[int, ...]:
        """Of a variable, without the dimension that some writers add to single characters."""
        variable = self._variables[name]
        shape = tuple(int(size) for size in variable.shape)
        if shape[-1:] == (1,) and variable.dimensions[-1].lower().startswith("string"):
            return shape[:-1]
        return shape

    def check_shape(self, names: tuple[str, ...], shape: tuple[int, ...]) -> None:
        """Refuse a file whose variables ``names``, where it has them, do not have this shape.

        Raises:
            SourceError: names the variable and both shapes.
        """
        for name in names:
            if name in self and self.shape(name) != shape:
                raise SourceError(
                    f"variable {name} has the shape {self.shape(name)} instead of {shape}: download the file again"
                )

    def numbers(self, name: str, rows: NDArray[np.int64] | None = None, dtype: DTypeLike = "f8") -> NDArray[Any]:
        """Values of ``rows`` (ascending; all where ``None``), NaN where missing: [row, ...] of ``dtype``.

        Missing is what the variable declares so, what is not finite, and whatever is 99990 or more either way.
        """
        variable = self._variables[name]
        if variable.dtype == str or variable.dtype.kind not in "iuf":
            raise SourceError(f"variable {name} holds {variable.dtype} instead of numbers: download the file again")
        with _LOCK:
            stated = {key: variable.getncattr(key) for key in variable.ncattrs() if key in _STATED}
        out: NDArray[Any] = np.empty(self._rows_shape(name, rows), dtype=dtype)
        for part, stored in self._read(name, rows):
            values = out[part]
            with np.errstate(invalid="ignore", over="ignore"):
                values[...] = stored
                if "scale_factor" in stated or "add_offset" in stated:
                    values *= stated.get("scale_factor", 1.0)
                    values += stated.get("add_offset", 0.0)
                values[~(np.abs(values) < _FILL)] = np.nan
            for key in ("_FillValue", "missing_value"):
                if key in stated:
                    values[stored == stated[key]] = np.nan
        return out

    def flags(self, name: str, rows: NDArray[np.int64] | None = None, *, letters: bool = False) -> NDArray[np.int8]:
        """Flags of ``rows``; the variable must be there. ``letters``: A to F are flags, too."""
        table = _LETTERS if letters else _FLAGS
        out: NDArray[np.int8] = np.empty(self._rows_shape(name, rows), dtype=np.int8)
        unknown = np.zeros(256, dtype=np.int64)
        for part, stored in self._read(name, rows):
            codes = self._characters(name, stored).reshape(out[part].shape)
            out[part] = table[codes]
            strange = out[part] == UNKNOWN_FLAG
            if strange.any():
                unknown += np.bincount(codes[strange], minlength=256)
        for code in np.flatnonzero(unknown):
            self.notes.append(
                f"{self.name}: {name} has the unknown flag {chr(code)!r} {unknown[code]:,} times: it is accepted by "
                "quality none only"
            )
        return out

    def flags_or_missing(
        self, name: str, shape: tuple[int, ...], rows: NDArray[np.int64] | None = None, *, letters: bool = False
    ) -> NDArray[np.int8]:
        """``flags``, or that many missing ones where there is no such variable."""
        if name in self:
            return self.flags(name, rows, letters=letters)
        return np.full(shape, MISSING_FLAG, dtype=np.int8)

    def texts(self, name: str) -> NDArray[Any]:
        """One text per row without the blanks around it: objects. A single character per row will do, too."""
        parts = [part for _, part in self._read(name, None)]
        if not parts:
            return np.empty(0, dtype=object)
        stored = np.concatenate(parts)
        self._characters(name, stored)
        whole = np.ascontiguousarray(stored.reshape(len(stored), -1))
        distinct, inverse = np.unique(whole.view(f"S{whole.shape[1]}").ravel(), return_inverse=True)
        decoded = [text.replace(b"\0", b" ").decode("ascii", "replace").strip() for text in distinct.tolist()]
        return np.array(decoded, dtype=object)[inverse]

    def _characters(self, name: str, stored: NDArray[Any]) -> NDArray[np.uint8]:
        if stored.dtype != "S1":
            raise SourceError(f"variable {name} holds {stored.dtype} instead of characters: download the file again")
        return np.ascontiguousarray(stored).view(np.uint8)

    def _rows_shape(self, name: str, rows: NDArray[np.int64] | None) -> tuple[int, ...]:
        shape = self.shape(name)
        return shape if rows is None else (len(rows), *shape[1:])

    def _read(self, name: str, rows: NDArray[np.int64] | None) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Stored values of ``rows`` bit by bit: where they belong in the result, and they themselves."""
        variable = self._variables[name]
        if rows is None:
            rows = np.arange(variable.shape[0])
        self._prepare(name)
        for low, high in _runs(rows):
            first, last = int(rows[low]), int(rows[high - 1]) + 1
            try:
                with _LOCK:
                    stored = np.asarray(variable[first:last])
            except (OSError, RuntimeError, IndexError, ValueError) as error:
                raise SourceError(f"variable {name} is damaged ({error}): download the file again") from error
            yield slice(low, high), stored if high - low == last - first else stored[rows[low:high] - first]

    def _prepare(self, name: str) -> None:
        """Have a row of NetCDF-4 chunks fit into the cache."""
        if name in self._prepared:
            return
        self._prepared.add(name)
        variable = self._variables[name]
        with _LOCK:
            chunks = variable.chunking()
            if not isinstance(chunks, list) or variable.dtype == str:
                return
            across = [-(-size // chunk) for size, chunk in zip(variable.shape[1:], chunks[1:], strict=True)]
            needed = int(np.prod(chunks, dtype=np.int64) * np.prod(across, dtype=np.int64)) * variable.dtype.itemsize
            size, slots, preemption = variable.get_var_chunk_cache()
            if size < needed <= _CHUNK_CACHE:
                variable.set_var_chunk_cache(needed, slots, preemption)


#: Attributes that say how numbers are stored.
_STATED = ("_FillValue", "missing_value", "scale_factor", "add_offset")


def _runs(rows: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Ranges of ascending ``rows`` that are read at once: close together, and few."""
    breaks = np.flatnonzero(np.diff(rows) > _GAP) + 1
    for low, high in zip([0, *breaks.tolist()], [*breaks.tolist(), len(rows)], strict=True):
        at = low
        while at < high:
            after = at + int(np.searchsorted(rows[at:high], rows[at] + _ROWS))
            yield at, after
            at = after


def _local_copy(url: str, stack: ExitStack) -> str:
    """A temporary copy of a remote file: its many small reads stay local, and memory is not what holds it."""
    descriptor, path = tempfile.mkstemp(suffix=".nc")
    os.close(descriptor)
    stack.callback(Path(path).unlink, missing_ok=True)
    try:
        filesystem, remote = file_system(url)
        healed(lambda: filesystem.get_file(remote, path))
    except FileNotFoundError:
        raise SourceError("the file does not exist: restore it") from None
    except Exception as error:  # remote drivers raise classes of their own
        raise SourceError(f"it cannot be fetched: {told(error)}") from error
    return path


def _check(path: str) -> None:
    """Refuse what is no NetCDF file, or only the beginning of one."""
    try:
        with open(path, "rb") as stream:
            start = stream.read(8)
            if not start:
                raise SourceError("empty file: download it again")
            if start[:3] == b"CDF":
                stream.seek(0)
                _check_size(stream, os.fstat(stream.fileno()).st_size)
            elif start[:4] != b"\x89HDF":
                raise SourceError(f"not a NetCDF file: it starts with {start!r}; download it again")
    except FileNotFoundError:
        raise SourceError("the file does not exist: restore it") from None


def _check_size(stream: BinaryIO, size: int) -> None:
    try:
        expected = classic_size(stream)
    except EOFError:
        raise SourceError(f"truncated: it ends within its header, after {size:,} bytes; download it again") from None
    except (ValueError, KeyError, IndexError) as error:
        raise SourceError(f"its header is damaged ({error!r}): download it again") from error
    if size < expected:
        raise SourceError(f"truncated: {size:,} of {expected:,} bytes are there; download it again")
