"""Sources of in-situ profiles: which files they are, the headers of a file's profiles, and their levels."""

from __future__ import annotations

import fnmatch
import re
from contextlib import ExitStack
from types import ModuleType, TracebackType
from typing import Self

import pandas as pd

from oceanrecon.access.passing import told
from oceanrecon.errors import ArchiveError, OceanreconError
from oceanrecon.sources import argo, en4
from oceanrecon.sources.listing import absolute_root, list_files
from oceanrecon.sources.netcdf import NetcdfFile, naming
from oceanrecon.sources.profile_file import HEADER_COLUMNS, NAMES, Levels, ProfileFile, is_profile_name
from oceanrecon.sources.quality import QualityMode, SourceKind
from oceanrecon.sources.unchanged import check_unchanged

__all__ = [
    "HEADER_COLUMNS",
    "LevelReader",
    "Levels",
    "ProfileFile",
    "QualityMode",
    "SourceKind",
    "is_profile_name",
    "list_profile_files",
    "read_headers",
    "read_platforms",
]

_READERS: dict[SourceKind, ModuleType] = {"en4": en4, "argo": argo}


def list_profile_files(root: str, kind: SourceKind, pattern: str = "") -> list[ProfileFile]:
    """The files of a source of profiles, sorted by path.

    Args:
        root: folder, a path or fsspec URL; files may lie in folders below it.
        kind: what they are.
        pattern: a glob for the file name, or, when it has a slash, for the path below ``root``. Then the name does not
            have to follow the rule of its kind.

    Raises:
        ArchiveError: there is no such folder, it cannot be listed, or none of its files fits.
    """
    try:
        found = list(list_files(root))
    except OceanreconError:
        raise
    except Exception as error:  # remote drivers raise classes of their own, and ImportError where there is none
        raise ArchiveError(f"{root} cannot be listed: {told(error)}") from error
    stored_root = absolute_root(root)
    files = [
        ProfileFile(kind, stored_root, path, size, mtime) for path, size, mtime in found if _fits(path, kind, pattern)
    ]
    if not files:
        expected = f"matches {pattern!r}" if pattern else f"is named as {_EXAMPLES[kind]}"
        raise ArchiveError(
            f"no file of {len(found)} below {root} {expected}: correct the path, the kind ({kind}) or the pattern"
        )
    return sorted(files, key=lambda file: file.path)


_EXAMPLES: dict[SourceKind, str] = {
    "en4": "EN.4.2.2.f.profiles.g10.201001.nc",
    "argo": "6901929_prof.nc or D6901929_124.nc",
}


def _fits(path: str, kind: SourceKind, pattern: str) -> bool:
    name = path.rsplit("/", 1)[-1]
    if pattern:
        return fnmatch.fnmatchcase(path if "/" in pattern else name, pattern)
    return re.fullmatch(NAMES[kind], name) is not None


def read_headers(file: ProfileFile) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The headers of a file's profiles, one row per profile with ``HEADER_COLUMNS``, and what is unusual about it.

    Raises:
        SourceError: the file changed since it was listed, cannot be read, or lacks a variable; begins with its name.
    """
    with naming(file.url), _open(file) as opened:
        table: pd.DataFrame = _READERS[file.kind].headers(opened)
        return table, opened.take_notes()


def read_platforms(file: ProfileFile) -> list[str]:
    """The different platform numbers of a file, as it writes them: a small part of its headers.

    Raises:
        SourceError: see ``read_headers``.
    """
    with naming(file.url), _open(file) as opened:
        names = opened.texts("PLATFORM_NUMBER") if "PLATFORM_NUMBER" in opened else ()
        return sorted({str(name) for name in names})


class LevelReader:
    """Reads levels of a file, opened once for several batches of its profiles; a context manager.

    A batch costs about 60 bytes per profile and slot, whatever the file's size; NetCDF-4 adds the inflated chunks that
    are kept for the next batch, 64 MiB per variable at most.
    """

    def __init__(self, file: ProfileFile) -> None:
        """Of ``file``, which is opened on entering."""
        self._file = file
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        """Open the file.

        Raises:
            SourceError: it changed since it was listed, or cannot be read; begins with its name.
        """
        with naming(self._file.url):
            self._opened = self._stack.enter_context(_open(self._file))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def read(self, rows: pd.DataFrame) -> Levels:
        """Levels of some profiles.

        Args:
            rows: of the table of headers of this file, by ascending ``profile_idx``.

        Raises:
            SourceError: the file is damaged; begins with its name.
        """
        with naming(self._file.url):
            levels: Levels = _READERS[self._file.kind].levels(self._opened, rows)
            return levels


def _open(file: ProfileFile) -> NetcdfFile:
    check_unchanged(file.url, file.bytes, file.mtime_ns)
    return NetcdfFile(file.url, file.path)
