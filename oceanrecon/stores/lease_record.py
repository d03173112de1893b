"""What a lease says of who has an output and until when: its record, and the messages that are made of it."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from dataclasses import dataclass

from oceanrecon.stores.files import Root
from oceanrecon.stores.processes import has_ended
from oceanrecon.stores.swap import Seen

#: The record's name, in an output.
LEASE = "lease"
#: No lease lasts longer; one whose record is damaged is over when the record is this old.
LONGEST = 600.0
#: Of a lease's length: how early its holder stops, and how long after the end who comes next waits.
MARGIN = 1 / 6

#: Holders of this kind are runs of a command, and not jobs that can be watched and resumed.
_RUN = "run of "
#: A command that is simply given again.
VERIFY = "verify --discard-bad"


def run_holder(command: str) -> str:
    """A holder for one run of a command such as ``regions format``."""
    return f"{_RUN}`oceanrecon {command}` {uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class Record:
    """What is stored. Times are seconds since 1970 by the store's clock."""

    #: empty where nobody has the output
    holder: str
    who: str
    #: of one ``Lease``: tells it from others of the same holder
    token: str
    generation: int
    taken: float
    expires: float
    #: how long it lasts from one renewal to the end
    seconds: float
    #: of the process that it ends with, see ``processes.own``; empty where it outlives the one that took it
    process: str = ""
    damaged: bool = False

    @property
    def free_at(self) -> float:
        """When others may take it, unless it is renewed."""
        return self.expires + self.seconds * MARGIN

    def rules(self, now: float) -> bool:
        """Whether others must leave the output alone."""
        return (bool(self.holder) or self.damaged) and now <= self.free_at and not has_ended(self.process)

    def encode(self) -> bytes:
        """As ``parse`` reads it."""
        return (
            json.dumps(
                {
                    "holder": self.holder, "who": self.who, "token": self.token, "generation": self.generation,
                    "taken_utc": utc(self.taken), "expires_utc": utc(self.expires), "seconds": self.seconds,
                    "process": self.process,
                },
                indent=1,
            )
            + "\n"
        ).encode()  # fmt: skip


def parse(seen: Seen) -> Record | None:
    """The record that is there, ``None`` where there is none; one that cannot be read is ``damaged``."""
    if seen.data is None:
        return None
    try:
        values = json.loads(seen.data)
        record = Record(
            str(values["holder"]), str(values["who"]), str(values["token"]), int(values["generation"]),
            _seconds(values["taken_utc"]), _seconds(values["expires_utc"]), float(values["seconds"]),
            str(values["process"]),
        )  # fmt: skip
        if 0 < record.seconds <= LONGEST:
            return record
    except (ValueError, TypeError, KeyError):
        pass
    written = seen.changed()
    return Record("", "", "", 0, written, written + LONGEST, 0.0, damaged=True)


def next_generation(seen: Seen, there: Record | None) -> int:
    """The generation of a record that replaces this one."""
    if isinstance(seen.version, int):
        return seen.version + 1
    return there.generation + 1 if there is not None else 1


def is_held(root: Root, there: Record, now: float) -> str:
    """Why the output cannot be taken, and what to do."""
    left = f"{utc(there.free_at)} (in {there.free_at - now:.0f} s)"
    if there.damaged:
        return (
            f"the lease of {root.url} is damaged, so nobody knows who is at work on it: try again after {left}, "
            "when whoever it was has ended or renewed it"
        )
    message = f"{root.url} is being written by {name_of(there.holder)} ({there.who}) since {utc(there.taken)}: "
    if _is_run(there.holder):
        message += f"wait until it has ended; if it is dead, from {left} any run may have the output"
    else:
        message += (
            f"`oceanrecon watch {there.holder}` follows it, `oceanrecon cancel {there.holder}` stops it; if it is "
            f"dead, `oceanrecon resume {there.holder}` goes on with it, and from {left} any job may have the output"
        )
    if there.free_at - now > 2 * LONGEST:
        message += f". That is too long: a clock is wrong. If nobody is at work, remove {LEASE}/ from the output"
    return message


def is_gone(root: Root, holder: str, there: Record | None) -> str:
    """Why a holder may not go on, and what to do."""
    name = name_of(holder)
    if there is not None and there.damaged:
        return f"nothing more is written for {name}: the lease of {root.url} is damaged; try again in a minute"
    if there is None or not there.holder:
        return f"nothing more is written for {name}: it has ended, and its lease of {root.url} was released"
    if there.holder == holder:
        return f"nothing more is written by this run of {name}: a newer one goes on with {root.url}"
    follow = "wait until that has ended" if _is_run(there.holder) else f"`oceanrecon watch {there.holder}` follows it"
    return (
        f"nothing more is written for {name}: since {utc(there.taken)} {name_of(there.holder)} ({there.who}) has "
        f"{root.url}; {follow}, and after it {_again(holder)} makes what is missing"
    )


def ran_out(root: Root, record: Record) -> str:
    """Why a lease that was not renewed in time is lost, and what to do."""
    return (
        f"nothing more is written for {name_of(record.holder)}: its lease of {root.url} could not be renewed before "
        f"{utc(record.expires)}, and another may have it; see to the disk and the network, then "
        f"{_again(record.holder)} goes on"
    )


def _is_run(holder: str) -> bool:
    return holder.startswith(_RUN)


def name_of(holder: str) -> str:
    """A holder in a sentence."""
    return f"a {holder}" if _is_run(holder) else f"job {holder}"


def _again(holder: str) -> str:
    if not _is_run(holder):
        return f"`oceanrecon resume {holder}`"
    return "the same command once more" if VERIFY in holder else "the same command with `--resume`"


def utc(seconds: float) -> str:
    """A time as users read it, ISO 8601."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _seconds(utc: str) -> float:
    return dt.datetime.fromisoformat(utc).timestamp()
