"""Trying again: which errors pass, how long to wait, and how a run that is stopped ends soon."""

from __future__ import annotations

import errno
import ftplib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TypeVar

from oceanrecon.access.passing import is_passing
from oceanrecon.errors import OceanreconError, OutputError

S = TypeVar("S")
T = TypeVar("T")
#: Seconds that a pause has at most.
_LONGEST = 60.0
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class CutError(OceanreconError):
    """A file came in part only, or its content is not what its source says: another try may bring it."""


class FullDiskError(OutputError):
    """The disk is full, which ends a run."""


class StoppedError(OceanreconError):
    """The run was stopped while this was done."""


@dataclass(frozen=True)
class Manner:
    """How patiently things are fetched."""

    tries: int
    #: before the second try, seconds
    wait: float
    #: of a connection without a byte, seconds
    timeout: float
    connections: int
    stop: Event = field(default_factory=Event)

    def check(self) -> None:
        """Raise where the run is to end.

        Raises:
            StoppedError: it is.
        """
        if self.stop.is_set():
            raise StoppedError("stopped before it was there: run the same command again")

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Stop what other threads do when an error leaves the block."""
        try:
            yield
        except BaseException:
            self.stop.set()
            raise

    def pause(self, number: int) -> None:
        """Wait after the try of this number failed, or until the run is stopped."""
        self.stop.wait(min(self.wait * 2 ** (number - 1), _LONGEST))

    def retried(self, action: Callable[[], T]) -> T:
        """What ``action`` returns, tried again where that may help.

        Raises:
            Exception: of the last try.
        """
        for number in range(1, self.tries + 1):
            self.check()
            try:
                return action()
            except Exception as error:
                refuse_full_disk(error)
                if number == self.tries or not may_pass(error):
                    raise
                self.pause(number)
        raise AssertionError("unreachable: the last try returns or raises")

    def side_by_side(self, action: Callable[[S], T], items: Iterable[S]) -> list[T]:
        """What ``action`` returns of each item, in their order; an interrupt ends all of them soon.

        Raises:
            Exception: of the first item that has one.
        """
        with ThreadPoolExecutor(self.connections) as pool:
            try:
                return list(pool.map(action, items))
            except BaseException as error:
                if not isinstance(error, Exception):
                    self.stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def may_pass(error: Exception) -> bool:
    """Whether another try may help."""
    if isinstance(error, StoppedError):
        return False
    return isinstance(error, CutError | ftplib.error_temp | EOFError) or is_passing(error)


def refuse_full_disk(error: Exception) -> None:
    """Raise where an error says that the disk is full: nothing that follows would be different.

    Raises:
        FullDiskError: it is.
    """
    if isinstance(error, FullDiskError):
        raise error
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        raise FullDiskError(
            f"the disk is full ({error.strerror}): free some space or choose another output, then run the same command "
            "again, which keeps what is there"
        ) from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Say what could not be written.

    Raises:
        OutputError: an ``OSError`` came, such as that the disk is full.
    """
    try:
        yield
    except OSError as error:
        refuse_full_disk(error)
        raise OutputError(f"cannot write {path}: {error.strerror or error}; choose an output that can be") from error
