"""Keeps the record, the log and the dashboard of a job up to date while it runs."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import Any

from distributed import Client

from oceanrecon.errors import OceanreconError, OutputError
from oceanrecon.pipeline.export import ExportWatch
from oceanrecon.pipeline.plan import Plan
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.service.dashboard.plugin import TOPIC
from oceanrecon.stores.files import Root
from oceanrecon.stores.jobs import (
    MOST_FAILURES,
    JobRecord,
    JobState,
    asked_to_cancel,
    ended,
    job_path,
    now_utc,
    write_record,
)
from oceanrecon.stores.lease import Hold, Keeper
from oceanrecon.stores.receipts import Failure, Receipt, read_receipts

#: Seconds between two writes of the record, locally and where each costs a request; between two looks for `cancel`.
_WRITE_LOCAL, _WRITE_REMOTE = 2.0, 10.0
_LOOK_LOCAL, _LOOK_REMOTE = 1.0, 5.0
#: How often a block may be on when its driver is lost; fruitless drivers that are put up with beside those.
_MOST_STRIKES, _MOST_FRUITLESS = 3, 5
#: Errors of a block that is set aside.
_DEADLY = ("KilledWorker", "DeadlyTaskError", "StalledTaskError")
#: Lines of a log that are kept: object stores cannot append, so all of it is written each time.
_MOST_LINES = 2000


class CancelledJobError(OceanreconError):
    """Somebody asked the job to stop."""


class FruitlessJobError(OceanreconError):
    """Whoever drives the job is lost before a block is made, again and again."""


class Recorder(ExportWatch):
    """Watches the run of one job, and is the only one who writes its record."""

    def __init__(
        self,
        root: Root,
        record: JobRecord,
        client: Client,
        keeper: Keeper,
        after_loss: bool = False,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Of a job that begins now.

        Args:
            root: the job's output.
            record: as it was written last.
            client: whose scheduler is told.
            keeper: holds the output for the job.
            after_loss: the driver before this one was lost.
            on_progress: called after each block.
        """
        self.record = record
        self.driver = record.driver
        self._root, self._client, self._keeper = root, client, keeper
        self._after_loss = after_loss
        self._on_progress = on_progress
        self._started = time.monotonic()
        self._written = self._sent = self._looked = float("-inf")
        self._lines = _read_log(root, record.id)
        self._log_dirty = False
        remote = root.local_path is None
        self._every, self._look = (_WRITE_REMOTE, _LOOK_REMOTE) if remote else (_WRITE_LOCAL, _LOOK_LOCAL)
        self._enough = 0
        self._tried = ""
        #: key that the receipt of each block will have that has not ended yet
        self._open: dict[tuple[str, str], str] = {}

    def expects(self, planned: Plan) -> None:
        """Tell the page which dates there will be: it draws those that nobody has begun."""
        self._send()
        self._open = {(block.variable, f"{block.date:%Y%m%d}"): planned.recipe.key(block) for block in planned.blocks}
        wanted: dict[tuple[str, str], list[str]] = defaultdict(list)
        for block in planned.blocks:
            wanted[block.product, block.variable].append(f"{block.date:%Y%m%d}")
        for gap in planned.missing:
            wanted[gap.product, gap.variable].append(f"{gap.date:%Y%m%d}")
        for (product, variable), dates in wanted.items():
            self._tell({"type": "blocks", "product": product, "variable": variable, "state": "waiting", "dates": dates})

    def begins(self, kept: Sequence[Receipt], failures: Sequence[Failure]) -> None:
        """What is there already, and what cannot be made, before the first block."""
        counts = {
            name: {"blocks": variable["blocks"], "kept": 0, "done": 0, "failed": 0}
            for name, variable in self.record.plan.variables.items()
        }
        for receipt in kept:
            counts[receipt.variable]["kept"] += 1
        fruitless = 0
        if self._after_loss and len(kept) <= self.record.total("kept"):
            fruitless = self.record.fruitless_starts + 1
        self.record = replace(
            self.record, counts=counts, failures=(), failure_count=0, set_aside=(), bytes_written=0, cpu_seconds=0.0,
            fruitless_starts=fruitless,
        )  # fmt: skip
        if fruitless > _MOST_FRUITLESS + _MOST_STRIKES * len(self.record.strikes):
            raise FruitlessJobError(
                f"{fruitless} drivers were lost one after the other before a block was made: see the workers' logs"
            )
        self.note(f"{len(kept)} of {self.record.plan.blocks} blocks are there already")
        by_variable: dict[tuple[str, str], list[str]] = defaultdict(list)
        for receipt in kept:
            self._open.pop((receipt.variable, receipt.date), None)
            by_variable[receipt.product, receipt.variable].append(receipt.date)
        for (product, variable), dates in by_variable.items():
            self._tell({"type": "blocks", "product": product, "variable": variable, "state": "kept", "dates": dates})
        for failure in failures:  # blocks that cannot be made are in no plan
            counts.setdefault(failure.variable, {"blocks": 0, "kept": 0, "done": 0, "failed": 0})["blocks"] += 1
        self.record = replace(self.record, counts=counts)
        for failure in failures:
            self._failed(failure, 0.0)  # no worker was asked
        # as many as could have been in flight, and those that fail before any work is done
        self._enough = 2 * sum(self._client.nthreads().values()) + len(failures)
        self.flush()

    def ended(self, outcome: Receipt | Failure, progress: Progress, seconds: float) -> None:
        """A block was made, or failed for good."""
        if isinstance(outcome, Failure):
            if (outcome.variable, outcome.date) not in self._open:  # it was there, and has vanished
                counts = self.record.counts[outcome.variable]
                self._count(outcome.variable, "done" if counts["done"] else "kept", -1)
            self._failed(outcome, seconds)
        else:
            self._made(outcome)
        if self._on_progress is not None:
            self._on_progress(progress)

    def note(self, text: str) -> None:
        """Add a line to the log."""
        self._lines = [*self._lines, json.dumps({"time": now_utc(), "message": text})]
        self._lines = self._lines[-_MOST_LINES:]
        self._log_dirty = True

    @property
    def careful(self) -> bool:  # type: ignore[override]
        """Blocks are made one by one, until those that the last driver was lost with have had their turn."""
        ended = self.record.total("done") + self.record.total("failed")
        return self.record.fruitless_starts > 0 and ended < self._enough

    def admits(self, variable: str, date: str) -> bool:
        """Whether a block may be tried; while we are careful, that it is tried is written down first."""
        name = f"{variable} {date}"
        self._acquit(self._tried)  # one by one: it has ended, and we live
        self._tried = name
        strikes = self.record.strikes.get(name, 0)
        if strikes >= _MOST_STRIKES:
            return False
        if self.careful:
            self.record = replace(self.record, strikes={**self.record.strikes, name: strikes + 1})
            self.flush()
        return True

    def _acquit(self, name: str) -> None:
        if name in self.record.strikes:
            strikes = {other: count for other, count in self.record.strikes.items() if other != name}
            self.record = replace(self.record, strikes=strikes)

    def retried(self, text: str) -> None:
        """A block is tried again, or suspected."""
        self.record = replace(self.record, retries=self.record.retries + 1)
        self.note(text)

    def lost(self, worker: str) -> None:
        """A worker is gone."""
        self.note(f"a worker is gone: {worker}; what it was making is made again elsewhere")

    def tell(self, progress: Progress) -> None:
        """A group of profiles is on the grid."""
        if self._on_progress is not None:
            self._on_progress(progress)

    @property
    def hold(self) -> Hold:
        """Under which the job writes."""
        return self._keeper.hold

    def owns(self) -> bool:
        """Whether the output is the job's still, asked of the store."""
        return self._keeper.owns()

    def check(self) -> None:
        """Write what has changed, and see whether the job has to stop.

        Raises:
            CancelledJobError: somebody asked for it.
            LeaseError: another job, or another driver of this one, holds the output now.
        """
        self._keeper.check()
        now = time.monotonic()
        if now - self._looked >= self._look:
            self._looked = now
            asked = False
            with suppress(OutputError):  # one look that fails is no reason to end
                asked = asked_to_cancel(self._root, self.record.id)
            if asked:
                raise CancelledJobError(f"cancelled; `oceanrecon resume {self.record.id}` goes on")
        if now - self._sent >= 1.0:
            self._send()
        if now - self._written >= self._every:
            self._write()

    def ends(self, state: JobState, message: str = "") -> JobRecord:
        """The job is over: the last record, log and event."""
        if state == "cancelled":
            self._count_late()
        self.note(f"{state}: {message}" if message else state)
        self.record = ended(self.record, state, message)
        self.flush()
        if self.owns():
            self._root.clear_staging()  # the last thing before the output is let go
        return self.record

    def flush(self) -> None:
        """Write the record and the log, and tell the scheduler, now."""
        self._send()
        self._write()

    def _made(self, receipt: Receipt) -> None:
        self._open.pop((receipt.variable, receipt.date), None)
        written = sum(file.bytes for file in receipt.files)
        peak = int(receipt.timing["peak_memory_bytes"])
        self._count(receipt.variable, "done")
        self._acquit(f"{receipt.variable} {receipt.date}")
        self.record = replace(
            self.record,
            bytes_written=self.record.bytes_written + written,
            cpu_seconds=round(self.record.cpu_seconds + receipt.timing["cpu"], 3),
            peak_memory_bytes=max(self.record.peak_memory_bytes, peak),
        )
        self._tell(
            {
                "type": "blocks", "product": receipt.product, "variable": receipt.variable, "state": "done",
                "dates": [receipt.date], "bytes": written, "seconds": receipt.timing["wall"], "peak": peak,
            }
        )  # fmt: skip

    def _count_late(self) -> None:
        """Blocks that were on their way when the job was cancelled, and have ended since."""
        with suppress(OutputError):
            for receipt in read_receipts(self._root).receipts:
                if self._open.get((receipt.variable, receipt.date)) == receipt.key:
                    self._made(receipt)

    def _failed(self, failure: Failure, seconds: float) -> None:
        self._open.pop((failure.variable, failure.date), None)
        self._count(failure.variable, "failed")
        self.note(f"{failure.variable} {failure.date} failed: {failure.error}: {failure.message}")
        record = self.record
        set_aside = record.set_aside
        name = f"{failure.variable} {failure.date}"
        if failure.error in _DEADLY:
            set_aside = (*set_aside, name)
        else:
            self._acquit(name)
            record = self.record
        self.record = replace(
            record,
            failures=(*record.failures, asdict(failure))[:MOST_FAILURES],
            failure_count=record.failure_count + 1,
            set_aside=set_aside,
        )
        self._tell(
            {
                "type": "blocks", "product": failure.product, "variable": failure.variable, "state": "failed",
                "dates": [failure.date], "seconds": seconds, "message": failure.message,
            }
        )  # fmt: skip

    def _count(self, variable: str, what: str, more: int = 1) -> None:
        counts = {name: dict(values) for name, values in self.record.counts.items()}
        counts[variable][what] += more
        self.record = replace(self.record, counts=counts)

    def _send(self) -> None:
        self._sent = time.monotonic()
        self.record = replace(
            self.record, updated_utc=now_utc(), wall_seconds=round(time.monotonic() - self._started, 1)
        )
        self._tell({"type": "job", "record": asdict(self.record)})

    def _tell(self, message: dict[str, Any]) -> None:
        """An event for the scheduler's page; a job does not fail for it."""
        filled = {"bytes": 0, "seconds": 0.0, "peak": 0, "message": ""} | message if "dates" in message else message
        with suppress(OSError, ValueError, RuntimeError, AttributeError):  # the last: a client that lost its scheduler
            self._client.log_event(TOPIC, {"job": self.record.id, **filled})

    def _write(self) -> None:
        """The record also says that the driver lives, so it is written when nothing has changed too."""
        self._written = time.monotonic()
        with suppress(OutputError):  # a full disk: the blocks will say so, and end the run
            write_record(self._root, self.record)
            if self._log_dirty:
                self._root.write(job_path(self.record.id, "log.jsonl"), ("\n".join(self._lines) + "\n").encode())
                self._log_dirty = False


def _read_log(root: Root, job: str) -> list[str]:
    path = job_path(job, "log.jsonl")
    return root.read(path).decode().splitlines() if root.exists(path) else []
