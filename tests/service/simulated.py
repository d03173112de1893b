"""Drivers that only talk: the messages of export jobs, for the page and the metrics of the scheduler.

`python -m tests.service.simulated PICTURE` takes the picture of the documentation.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

#: variable -> product, seconds of a block, bytes of a block, peak of its worker
VARIABLES: dict[str, tuple[str, float, int, int]] = {
    "thetao": ("glorys", 9.0, 62_000_000, 905_000_000),
    "so": ("glorys", 8.5, 57_000_000, 890_000_000),
    "analysed_sst": ("ostia", 2.2, 2_300_000, 640_000_000),
    "adt": ("sealevel", 1.4, 1_900_000, 510_000_000),
    "sos": ("sss", 1.1, 1_700_000, 480_000_000),
    "dos": ("sss", 1.1, 1_700_000, 480_000_000),
}
Message = dict[str, Any]


def weekly(count: int, first: dt.date = dt.date(2006, 1, 4), step: int = 7) -> list[str]:
    """Dates, evenly spaced."""
    return [f"{first + dt.timedelta(days=step * index):%Y%m%d}" for index in range(count)]


def utc(when: float) -> str:
    """A time as records have it."""
    return dt.datetime.fromtimestamp(when, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Driver:
    """The messages of one job. Time is told to it."""

    id: str
    dates: Sequence[str]
    variables: Sequence[str] = tuple(VARIABLES)
    output: str = "s3://ocean/glorys-0.1"
    who: str = "maria@login1"
    submitted: float = 0.0
    workers: int = 16
    record: Message = field(default_factory=dict)

    def __post_init__(self) -> None:
        plan = {
            "variables": {name: {"product": VARIABLES[name][0], "blocks": len(self.dates)} for name in self.variables},
            "first_date": self.dates[0],
            "last_date": self.dates[-1],
            "dates": len(self.dates),
            "blocks": len(self.dates) * len(self.variables),
            "task_memory_bytes": 1_100_000_000,
            "output_bytes": sum(VARIABLES[name][2] for name in self.variables) * len(self.dates),
        }
        self.record = {
            "id": self.id, "kind": "export", "output": self.output, "state": "queued", "message": "",
            "submitted_utc": utc(self.submitted), "started_utc": None, "updated_utc": utc(self.submitted),
            "ended_utc": None, "who": self.who, "scheduler": "tls://10.0.0.4:8786", "driver": None, "starts": 0,
            "settings": {}, "plan": plan,
            "counts": {name: {"blocks": len(self.dates), "kept": 0, "done": 0, "failed": 0} for name in self.variables},
            "bytes_written": 0, "cpu_seconds": 0.0, "wall_seconds": 0.0, "peak_memory_bytes": 0, "retries": 0,
            "failures": [], "failure_count": 0, "set_aside": [], "versions": {},
        }  # fmt: skip

    def job(self, now: float, **changes: Any) -> Message:
        """A record, as it is now."""
        self.record = {**self.record, "updated_utc": utc(now), **changes}
        counts = {name: dict(told) for name, told in self.record["counts"].items()}
        return {"type": "job", "record": {**self.record, "counts": counts}}

    def begin(self, now: float) -> Message:
        """A driver begins."""
        return self.job(
            now, state="running", started_utc=self.record["started_utc"] or utc(now), driver="tls://10.0.0.17:40213",
            starts=self.record["starts"] + 1,
        )  # fmt: skip

    def end(self, now: float, state: str, message: str = "") -> Message:
        """It is over."""
        return self.job(now, state=state, message=message, ended_utc=utc(now))

    def blocks(self, variable: str, dates: Sequence[str], state: str = "done", message: str = "") -> Message:
        """Blocks of one variable."""
        product, seconds, written, peak = VARIABLES[variable]
        made = len(dates) if state == "done" else 0
        if state != "waiting":
            self.record["counts"][variable][state] += len(dates)
        self.record["bytes_written"] += written * made
        if made:
            self.record["peak_memory_bytes"] = max(self.record["peak_memory_bytes"], peak)
        if state == "failed":
            self.record["failure_count"] += len(dates)
            failed = {"product": product, "variable": variable, "error": "ReadError", "message": message}
            self.record["failures"] = [*self.record["failures"], *({**failed, "date": date} for date in dates)][:100]
        return {
            "type": "blocks", "job": self.id, "variable": variable, "product": product, "state": state,
            "dates": list(dates), "bytes": written * made, "seconds": seconds * made, "peak": peak * bool(made),
            "message": message,
        }  # fmt: skip

    def missing(self, variable: str, dates: Sequence[str], message: str = "no file") -> Message:
        """Dates of one variable that the archive does not have: they are in no plan, and count once they failed."""
        told = self.record["counts"].setdefault(variable, {"blocks": 0, "kept": 0, "done": 0, "failed": 0})
        told["blocks"] += len(dates)
        return self.blocks(variable, dates, "failed", message)

    def run(
        self,
        start: float,
        until: float,
        *,
        kept: int = 0,
        failing: Callable[[str, str], str | None] = lambda variable, date: None,
        order: str = "date",
    ) -> Iterator[tuple[float, Message]]:
        """(time, message) from ``start``, in the order of dates or of variables, until all is done or it is late."""
        yield start, self.begin(start)
        for variable in self.variables:
            yield start, self.blocks(variable, self.dates, "waiting")
            if kept:
                yield start, self.blocks(variable, self.dates[:kept], "kept")
        left = [(date, variable) for date in self.dates[kept:] for variable in self.variables]
        if order == "variable":
            left.sort(key=lambda block: self.variables.index(block[1]))
        now, told = start, start
        for date, variable in left:
            now += VARIABLES[variable][1] / self.workers
            if now > until:
                yield until, self.job(until)
                return
            message = failing(variable, date)
            yield now, self.blocks(variable, [date], "done" if message is None else "failed", message or "")
            if now - told >= 1:
                told = now
                yield now, self.job(now)
        yield now, self.end(now, "incomplete" if self.record["failure_count"] else "complete")
