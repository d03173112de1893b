"""What a scheduler remembers of its export jobs: their last record, their dates, and how fast they went."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from oceanrecon.service.dashboard.cells import STATES, Cells
from oceanrecon.stores.jobs import ENDED

#: Rates "now" are over so many seconds.
RECENT = 300.0
#: A running job tells of itself every second; after so many seconds without a word something is wrong.
SILENT = 60.0
#: Jobs that have ended and are still shown, and jobs in all: drivers that died never end.
_MOST_ENDED, _MOST = 100, 300
_MOST_FAILURES = 200
#: Samples of a whole job: at most so many, at first so many seconds apart.
_MOST_SAMPLES, _STEP = 240, 5.0


@dataclass(frozen=True)
class Rate:
    """How fast a job makes progress."""

    dates_per_hour: float
    bytes_per_second: float


@dataclass(frozen=True)
class Sample:
    """How far a job was at a time."""

    time: float
    done: int
    bytes: int
    #: seconds that workers were busy with the blocks that have ended
    work: float


class Job:
    """One job, as its driver's events tell it. Times are the scheduler's, in seconds."""

    def __init__(self, record: Mapping[str, Any], now: float) -> None:
        """Of the first record that came."""
        self.record = record
        self.heard = now
        self.ended_at: float | None = None
        #: changes with whatever the map shows
        self.version = 0
        self.peak = 0
        #: by variable and date, the newest last
        self.failures: dict[tuple[str, str], dict[str, Any]] = {}
        self._begin(now)
        self.update(record, now)

    def update(self, record: Mapping[str, Any], now: float) -> None:
        """A record came."""
        if record["starts"] != self.record["starts"]:
            self._begin(now, record)
        elif record["counts"] != self.record["counts"]:
            self.version += 1
        self.record = record
        self.heard = now
        self.ended_at = (self.ended_at or now) if record["state"] in ENDED else None
        told = {(failure["variable"], failure["date"]): failure for failure in record["failures"]}
        if record["failure_count"] <= len(record["failures"]):  # the record has them all
            self.failures = {block: failure for block, failure in self.failures.items() if block in told}
        for block, failure in told.items():
            self.failures.setdefault(block, dict(failure))["error"] = failure["error"]
        if record["state"] != "queued":
            self._sample(now)

    def blocks(self, message: Mapping[str, Any], now: float) -> None:
        """Blocks of one variable came to a state."""
        product, variable, state, dates = (message[name] for name in ("product", "variable", "state", "dates"))
        if state == "waiting":
            self.cells.wait(product, variable, dates)
        else:
            self.cells.mark(product, variable, dates, state)
        self.heard = now
        self.version += 1
        self.peak = max(self.peak, message["peak"])
        if state in ("done", "failed"):
            # a block that fails keeps a worker busy too, and says nothing of what others cost
            self._work += message["seconds"]
        if state == "done":
            self._blocks[variable] = self._blocks.get(variable, 0) + len(dates)
            self._seconds[variable] = self._seconds.get(variable, 0.0) + message["seconds"]
        for date in dates:
            # again: the newest is the last
            self.failures.pop((variable, date), None)
            if state == "failed":
                self.failures[variable, date] = {
                    "product": product, "variable": variable, "date": date, "error": "", "message": message["message"],
                }  # fmt: skip
        while len(self.failures) > _MOST_FAILURES:
            del self.failures[next(iter(self.failures))]

    @property
    def id(self) -> str:
        """The job's id."""
        return str(self.record["id"])

    @property
    def ended(self) -> bool:
        """Whether nothing happens any more."""
        return self.ended_at is not None

    @property
    def peak_memory(self) -> int:
        """Largest memory of any worker so far, bytes."""
        told: int = self.record["peak_memory_bytes"]
        return max(self.peak, told)

    def silent(self, now: float) -> float | None:
        """Seconds since the last word of a job that should tell of itself."""
        quiet = now - self.heard
        return quiet if self.record["state"] == "running" and quiet > SILENT else None

    def counts(self) -> dict[str, dict[str, int]]:
        """Blocks of each variable by state (``STATES``)."""
        found = {}
        planned = self.record["plan"]["variables"]
        for variable in (*planned, *(name for name in self.record["counts"] if name not in planned)):
            told = self.record["counts"].get(variable, {})
            ended = {state: int(told.get(state, 0)) for state in STATES[1:]}
            blocks = int(told.get("blocks") or planned.get(variable, {}).get("blocks", 0))
            found[variable] = {"waiting": max(blocks - sum(ended.values()), 0), **ended}
        return found

    def totals(self) -> dict[str, int]:
        """Blocks by state, of all variables."""
        counts = self.counts().values()
        return {state: sum(of[state] for of in counts) for state in STATES}

    def recent(self, now: float) -> Rate | None:
        """How fast it went in the last minutes; ``None`` before there is anything to compare."""
        return self._rate(self._window(now), now)

    def overall(self, now: float) -> Rate | None:
        """How fast it went since its driver began."""
        return self._rate(self._since, now)

    def left(self, now: float) -> float | None:
        """Seconds until it is done, if it goes on as in the last minutes, each variable at its own cost."""
        if self.ended or not self._blocks or self.silent(now) is not None:
            return None
        ahead = sum(of["waiting"] * self._cost(name) for name, of in self.counts().items())
        if ahead == 0:  # what comes after the last block has no measure
            return None
        for before in (self._window(now), self._since):
            if before is not None and (passed := now - before.time) > 0:
                speed = (self._work - before.work) / passed
                if speed > 0:
                    return ahead / speed
        return None

    def history(self) -> list[tuple[float, Rate]]:
        """Rates over the job's whole time, each of the minute or more before it."""
        samples, found, behind = self._samples, [], 0
        if len(samples) < 2:
            return []
        window = max(60.0, (samples[-1].time - samples[0].time) / 40)
        for sample in samples[1:]:
            while samples[behind + 1].time < sample.time - window:
                behind += 1
            rate = self._between(samples[behind], sample.done, sample.bytes, sample.time)
            if rate is not None:
                found.append((sample.time, rate))
        return found

    def _cost(self, variable: str) -> float:
        """Seconds of a block; of a variable that has not begun, of others of its product, or of all."""
        products = {name: planned["product"] for name, planned in self.record["plan"]["variables"].items()}
        alike = [name for name in self._blocks if name == variable]
        alike = alike or [name for name in self._blocks if products.get(name) == products.get(variable)]
        alike = alike or list(self._blocks)
        return sum(self._seconds[name] for name in alike) / sum(self._blocks[name] for name in alike)

    def _begin(self, now: float, record: Mapping[str, Any] | None = None) -> None:
        """A driver begins: what is done already is told anew, and rates count from here."""
        self.cells = Cells((record or self.record)["plan"])
        self.failures = {}
        self.peak = 0
        self.version += 1
        self.heard = now
        self._work = 0.0
        self._seconds: dict[str, float] = {}
        self._blocks: dict[str, int] = {}
        self._forget_rates()

    def _forget_rates(self) -> None:
        self._since: Sample | None = None
        self._recent: deque[Sample] = deque()
        self._samples: list[Sample] = []
        self._step = _STEP

    def _sample(self, now: float) -> None:
        sample = Sample(now, self.totals()["done"], self.record["bytes_written"], self._work)
        if self._recent and sample.done < self._recent[-1].done:
            # the first record of a driver has what the one before it did
            self._forget_rates()
        self._since = self._since or sample
        if not self._recent or now - self._recent[-1].time >= 2.0:
            self._recent.append(sample)
        # one that is older stays: what it was when the window began
        while len(self._recent) > 1 and self._recent[1].time <= now - RECENT:
            self._recent.popleft()
        if not self._samples or now - self._samples[-1].time >= self._step:
            self._samples.append(sample)
        if len(self._samples) > _MOST_SAMPLES:
            self._samples, self._step = self._samples[::2], self._step * 2

    def _window(self, now: float) -> Sample | None:
        """How far it was when the last minutes began."""
        start = now - RECENT
        before = [sample for sample in self._recent if sample.time <= start]
        if before:
            return replace(before[-1], time=start)
        return self._recent[0] if self._recent else None

    def _rate(self, before: Sample | None, now: float) -> Rate | None:
        at = self.ended_at if self.ended_at is not None else now
        if before is None:
            return None
        return self._between(before, self.totals()["done"], self.record["bytes_written"], at)

    def _between(self, before: Sample, done: int, written: int, now: float) -> Rate | None:
        passed = now - before.time
        plan = self.record["plan"]
        if passed <= 0 or not plan["blocks"]:
            return None
        dates = (done - before.done) * plan["dates"] / plan["blocks"]
        return Rate(3600 * dates / passed, (written - before.bytes) / passed)


class Jobs:
    """Every job of a scheduler, the oldest first; of those that have ended the newest."""

    def __init__(self) -> None:
        """Of none yet."""
        self._jobs: dict[str, Job] = {}

    def __iter__(self) -> Iterator[Job]:
        return iter(list(self._jobs.values()))

    def __len__(self) -> int:
        return len(self._jobs)

    def get(self, job: str) -> Job | None:
        """The job with an id."""
        return self._jobs.get(job)

    def event(self, message: Mapping[str, Any], now: float) -> None:
        """A message of a driver came: see ``oceanrecon.service.jobs``."""
        if message["type"] == "job":
            record = message["record"]
            known = self._jobs.get(record["id"])
            if known is None:
                self._jobs[record["id"]] = Job(record, now)
                self._forget()
            else:
                known.update(record, now)
        elif message["type"] == "blocks" and (job := self._jobs.get(message["job"])) is not None:
            job.blocks(message, now)

    def _forget(self) -> None:
        ended = [job.id for job in self if job.ended]
        for job in ended[: max(len(ended) - _MOST_ENDED, 0)]:
            del self._jobs[job]
        if len(self._jobs) > _MOST:
            del self._jobs[min(self, key=lambda job: job.heard).id]
