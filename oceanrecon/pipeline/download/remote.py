"""What flows through a download: files at their source, what a listing found of them, and how each of them went."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

#: How a file went: fetched or made now, or as it is already.
Status = Literal["fetched", "made", "kept", "failed"]


@dataclass(frozen=True)
class Remote:
    """A file at its source."""

    #: such as ``l3_ssh s3a``: source, and what of it
    stream: str
    #: of the dataset that it is of, with its version where that was chosen; or of the server
    dataset: str
    #: first day that is wanted of it
    day: dt.date
    #: where it is put: relative to the folder of raw files, with ``/``
    target: str
    url: str
    #: bytes; ``None``: the source does not say
    size: int | None
    #: changes when the content does: an ETag, or a time of modification; empty: the source does not say
    version: str
    #: of the content, where the source says so
    md5: str | None = None

    @property
    def name(self) -> str:
        """Of the file."""
        return self.target.rpartition("/")[2]


@dataclass(frozen=True)
class Listing:
    """What a source has of the days that are wanted."""

    stream: str
    files: tuple[Remote, ...]
    #: days of which it has nothing, or not all
    missing: tuple[dt.date, ...] = ()
    notes: tuple[str, ...] = ()
    #: why it could not be listed
    error: Exception | None = None


@dataclass(frozen=True)
class Outcome:
    """How one file went."""

    stream: str
    target: str
    day: dt.date
    status: Status
    #: of the whole file
    bytes: int = 0
    sha256: str = ""
    seconds: float = 0.0
    error: Exception | None = None


class Source(ABC):
    """A service that has files."""

    #: groups that are fetched at the same time
    workers: int

    @abstractmethod
    def listings(self, first: dt.date, last: dt.date) -> Iterator[Listing]:
        """What it has of these days, by stream; what goes wrong is in the listing."""

    @abstractmethod
    def fetch(self, group: Sequence[Remote]) -> Iterator[Outcome]:
        """Fetch files that are not there; what goes wrong with one of them is in its outcome."""

    def groups(self, files: Sequence[Remote]) -> list[tuple[Remote, ...]]:
        """The files, as they are fetched together: one by one."""
        return [(file,) for file in files]

    def finish(self, files: Sequence[Remote], failed: frozenset[str]) -> Iterator[Outcome]:
        """Make what is made of some files once they are there: nothing; ``failed`` are the targets that are not."""
        yield from ()

    def close(self) -> None:  # noqa: B027 - most have nothing open
        """Leave the service."""


def days_of(first: dt.date, last: dt.date) -> list[dt.date]:
    """All days from one to another, both included."""
    return [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]


def batches(first: dt.date, last: dt.date, length: int) -> list[tuple[dt.date, dt.date]]:
    """First and last day of spans of so many days; the last span may be shorter, and ends with the last day."""
    starts = days_of(first, last)[::length]
    return [(start, min(start + dt.timedelta(days=length - 1), last)) for start in starts]
