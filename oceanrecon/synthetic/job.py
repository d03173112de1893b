"""One file to write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Job:
    """A file's path below the archive, and what writes it to a local path."""

    path: str
    write: Callable[[str], None]
    #: only its first part is kept
    truncated: bool = False
