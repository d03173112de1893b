"""Who writes to an output: one job at a time, for as long as it goes on saying so.

A lease is a record in the output (``lease/``, on S3 ``lease.json``) that names its holder and when it ends. Its holder
renews it long before that; a holder that dies does not, and once its lease has ended the output is free. Every change
is a compare-and-swap (``stores.swap``), so that of several who want the output exactly one gets it.

Ends are by the store's clock, so that the clocks of machines need not agree. A holder counts by its own steady clock,
from before its last renewal, and stops a margin before the end; who comes next waits until a margin after it.
"""

from __future__ import annotations

import getpass
import os
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace

from oceanrecon.access.healing import healed
from oceanrecon.errors import LeaseError, OutputError
from oceanrecon.stores.files import Root
from oceanrecon.stores.lease_record import (
    LEASE,
    LONGEST,
    MARGIN,
    Record,
    is_gone,
    is_held,
    name_of,
    next_generation,
    parse,
    ran_out,
    utc,
)
from oceanrecon.stores.processes import own_process
from oceanrecon.stores.swap import Register, Seen, register

SECONDS = 60.0
#: Of a lease's length: between two renewals, and before a renewal that failed is tried again.
_RENEWAL, _AGAIN = 1 / 4, 1 / 40
_TRIES = 10
#: After its last renewal a lease of the usual length keeps others away for so long, seconds.
HELD = SECONDS * (1 + MARGIN)


def _steady() -> float:
    # unlike time.monotonic, this goes on while a laptop sleeps
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True)
class Clock:
    """What a lease goes by; tests set it."""

    #: seconds, never set
    steady: Callable[[], float] = _steady
    #: seconds since 1970; ``None``: the store's own clock
    wall: Callable[[], float] | None = None


@dataclass(frozen=True)
class Holder:
    """Who has an output, until when at least. Times are UTC, ISO 8601, with ``Z``."""

    #: a job id or a ``run_holder``; empty where the record is damaged, so that nobody knows
    holder: str
    #: ``user@host, process 123``
    who: str
    taken_utc: str
    expires_utc: str
    #: counts the changes of the lease
    generation: int
    #: of that very lease
    token: str


@dataclass(frozen=True)
class Hold:
    """A lease as those carry it who write for its holder, on other machines: it cannot be renewed, only looked at."""

    #: URL of the output
    output: str
    holder: str
    #: of that very lease: an older driver of the same job has another
    token: str

    def check(self) -> None:
        """Refuse to go on where the lease has gone to another job, or another driver; one read, before each write.

        A holder whose lease has ended while nobody else came passes: what it writes disturbs nobody.

        Raises:
            LeaseError: someone else has the output, or nobody.
            OutputError: the record cannot be read.
        """
        root = Root(self.output)
        store = register(root, LEASE)
        if store is None:
            return
        there = parse(healed(store.read))
        if there is None or there.damaged or there.holder != self.holder or there.token != self.token:
            raise LeaseError(is_gone(root, self.holder, there))


class Lease:
    """One holder of an output; made by ``take``."""

    def __init__(self, root: Root, store: Register | None, record: Record, clock: Clock) -> None:
        self._root, self._store, self._record, self._clock = root, store, record, clock
        self._version: int | str | None = None
        self._until = float("inf") if store is None else float("-inf")
        self._over = ""

    @classmethod
    def take(
        cls,
        root: Root,
        holder: str,
        *,
        who: str | None = None,
        seconds: float = SECONDS,
        tied: bool = False,
        clock: Clock | None = None,
    ) -> Lease:
        """Take an output that nobody has, or whose holder's lease has ended, or whose holder has the same name.

        Args:
            root: the output; its folder is made where it is not there.
            holder: a job id, or ``run_holder``. The same one takes over from itself at once; its older lease is lost
                at its next renewal.
            who: for messages; user, host and process unless given.
            seconds: how long the lease lasts without a renewal, at most ``LONGEST``.
            tied: it ends with this process, which others on this machine see at once, without waiting for its end.
            clock: for tests.

        Raises:
            LeaseError: another holder has it; names it, until when, and what to do.
            OutputError: the record cannot be read or written.
        """
        if not holder or not 0 < seconds <= LONGEST:
            raise ValueError(f"a lease needs a holder and at most {LONGEST:.0f} seconds, not {holder!r} and {seconds}")
        store = register(root, LEASE)
        process = own_process() if tied else ""
        record = Record(holder, who or _me(), uuid.uuid4().hex, 0, 0.0, 0.0, seconds, process)
        lease = cls(root, store, record, clock or Clock())
        if store is None:
            _warn(root)
            return lease
        for _ in range(_TRIES):
            if healed(lambda: lease._take(store)):
                if not healed(lambda: store.refuses(lease._record.encode())):
                    _warn(root)
                return lease
        raise LeaseError(f"several are taking {root.url} at once: try again in a few seconds")

    @property
    def holder(self) -> str:
        """Whose it is."""
        return self._record.holder

    @property
    def hold(self) -> Hold:
        """For those who write for its holder."""
        return Hold(self._root.url, self.holder, self._record.token)

    @property
    def seconds(self) -> float:
        """How long it lasts without a renewal."""
        return self._record.seconds

    def held(self) -> bool:
        """Whether it is still safely ours, by the clock of this machine alone."""
        return not self._over and self._clock.steady() < self._until

    def renew(self) -> None:
        """Let it last ``seconds`` from now.

        Raises:
            LeaseError: it is lost for good: it ended before it could be renewed, or someone else has taken it.
            OutputError: the record cannot be read or written; to be tried again while it is ``held``.
        """
        store = self._store
        for _ in range(_TRIES):
            if not self.held():
                raise self._lost(ran_out(self._root, self._record))
            if store is None:
                return
            started = self._clock.steady()
            seen = store.read()
            there = parse(seen)
            if not self._is_ours(seen, there):
                raise self._lost(is_gone(self._root, self.holder, there))
            renewed = replace(self._record, expires=self._now(store) + self.seconds)
            if self._swap(store, seen, there, started, renewed):
                return
        raise OutputError(f"cannot renew the lease of {self._root.url}: its record changes all the time")

    def release(self) -> None:
        """Free the output if it is still ours; from now on it is not ``held``, even where that fails.

        Raises:
            OutputError: the record cannot be read or written; the output is free once the lease has ended.
        """
        self._lost(f"{name_of(self.holder)} has released {self._root.url}")
        store = self._store
        if store is None:
            return
        for _ in range(_TRIES):
            seen = store.read()
            there = parse(seen)
            if not self._is_ours(seen, there):
                return
            free = replace(self._record, holder="", generation=next_generation(seen, there))
            if store.swap(seen.version, free.encode()) is not None:
                return
        raise OutputError(f"cannot release the lease of {self._root.url}: its record changes all the time")

    def _is_ours(self, seen: Seen, there: Record | None) -> bool:
        if there is None or there.damaged:
            return there is not None and seen.version == self._version
        # by the token, not the version: a renewal that seemed to fail may have been written
        return there.token == self._record.token and bool(there.holder)

    def _take(self, store: Register) -> bool:
        started = self._clock.steady()
        seen = store.read()
        there = parse(seen)
        now = self._now(store)
        if there is not None and there.holder != self.holder and there.rules(now):
            raise LeaseError(is_held(self._root, there, now))
        return self._swap(store, seen, there, started, replace(self._record, taken=now, expires=now + self.seconds))

    def _swap(self, store: Register, seen: Seen, there: Record | None, started: float, record: Record) -> bool:
        record = replace(record, generation=next_generation(seen, there))
        version = store.swap(seen.version, record.encode())
        if version is None:
            return False
        self._version, self._record = version, record
        self._until = started + self.seconds * (1 - MARGIN)
        return True

    def _now(self, store: Register) -> float:
        return store.stamp() if self._clock.wall is None else self._clock.wall()

    def _lost(self, why: str) -> LeaseError:
        self._over = self._over or why
        return LeaseError(self._over)


class Keeper(AbstractContextManager["Keeper"]):
    """Renews a lease from a thread of its own while a block of code runs, and releases it afterwards."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._error: LeaseError | None = None
        self._stop = threading.Event()
        self._left = False
        self._thread = threading.Thread(target=self._renew, name="oceanrecon-lease", daemon=True)

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # a renewal that hangs is not waited for: of it and the release, one comes after the other
        self._thread.join(self._lease.seconds * MARGIN)
        if self._lease.held() and not self._left:
            with suppress(OutputError):  # it ends by itself
                self._lease.release()

    @property
    def hold(self) -> Hold:
        """For those who write meanwhile."""
        return self._lease.hold

    def check(self) -> None:
        """Refuse to go on where ``lost``.

        Raises:
            LeaseError: nothing more may be written.
        """
        if self.lost is not None:
            raise self.lost

    def leave(self) -> None:
        """End without a release: the same holder comes back from elsewhere, or the lease ends by itself."""
        self._left = True

    def owns(self) -> bool:
        """Whether the lease is ours still, asked of the store; where that is away, as far as we know."""
        try:
            self._lease.renew()
        except LeaseError:
            return False
        except OutputError:
            return self.lost is None
        return True

    @property
    def lost(self) -> LeaseError | None:
        """Why nothing more may be written, or ``None`` while all is well; asks no store."""
        if self._error is None and not self._stop.is_set() and not self._lease.held():
            return LeaseError(ran_out(self._lease._root, self._lease._record))  # a renewal hangs
        return self._error

    def _renew(self) -> None:
        failure = ""
        wait = self._lease.seconds * _RENEWAL
        while not self._stop.wait(wait):
            try:
                self._lease.renew()
                failure, wait = "", self._lease.seconds * _RENEWAL
            except LeaseError as error:
                self._error = LeaseError(f"{error}{failure}")
                return
            except Exception as error:  # whatever it is, it may pass before the lease ends
                failure, wait = f" ({error})", self._lease.seconds * _AGAIN


def current(root: Root) -> Holder | None:
    """Who has an output now, or ``None`` where nobody has it, or it had a holder whose lease has ended.

    Raises:
        OutputError: the record cannot be read.
    """
    store = register(root, LEASE)
    if store is None:
        return None
    there = parse(healed(store.read))
    if there is None or not _rules(there, store):
        return None
    return Holder(there.holder, there.who, utc(there.taken), utc(there.expires), there.generation, there.token)


def _rules(there: Record, store: Register) -> bool:
    """Whether a record rules, for one who only looks: the store's clock is asked where ours says that it has ended."""
    if there.rules(store.now()):
        return True
    try:
        return (bool(there.holder) or there.damaged) and there.rules(store.stamp())
    except OutputError:  # it may be read, and not written
        return False


def _warn(root: Root) -> None:
    warnings.warn(
        f"nothing prevents two jobs from writing to {root.url} at once, because its store cannot compare and swap: "
        "start one after the other",
        stacklevel=3,
    )


def _me() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"
