"""A download: what the sources have and what is there already, and then, if asked for, what is not."""

from __future__ import annotations

import datetime as dt
import shutil
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from oceanrecon.download_config import DownloadSettings
from oceanrecon.errors import MissingExtraError, PlanError
from oceanrecon.pipeline.download.argo import ArgoSource
from oceanrecon.pipeline.download.attempts import Manner
from oceanrecon.pipeline.download.copernicus import CopernicusSource
from oceanrecon.pipeline.download.en4 import En4Source
from oceanrecon.pipeline.download.products import FAMILIES
from oceanrecon.pipeline.download.received import Received, alone
from oceanrecon.pipeline.download.redact import Redactor
from oceanrecon.pipeline.download.remote import Listing, Outcome, Remote, Source, batches
from oceanrecon.pipeline.download.report import Entry, Report
from oceanrecon.pipeline.download.swot import SwotSource
from oceanrecon.pipeline.download.toolbox import Toolbox
from oceanrecon.stores.files import Root

#: Files done, files in all, and the last of them.
OnProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Failure:
    """What did not work, and why; without names and passwords."""

    stream: str
    #: file, or empty where the stream could not be listed
    target: str
    message: str


@dataclass(frozen=True)
class Wanted:
    """What a source has of the days that are wanted, and what of it is there already."""

    stream: str
    files: tuple[Remote, ...] = ()
    #: targets of the files that are there
    there: frozenset[str] = frozenset()
    #: days of which the source has nothing, or not all
    missing: tuple[dt.date, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def to_fetch(self) -> tuple[Remote, ...]:
        """Files that are not there."""
        return tuple(file for file in self.files if file.target not in self.there)


@dataclass(frozen=True)
class DownloadResult:
    """What a download found, and what it did."""

    output: str
    wanted: tuple[Wanted, ...]
    failures: tuple[Failure, ...]
    #: JSON report; ``None``: nothing was to be fetched but listed only
    report: str | None = None
    #: files by how they went: fetched, made, kept, failed
    counts: Mapping[str, int] = field(default_factory=dict)
    #: that came now
    bytes_fetched: int = 0
    seconds: float = 0.0


def download(
    settings: DownloadSettings, *, fetch: bool = False, on_progress: OnProgress | None = None
) -> DownloadResult:
    """List what the sources have, and ``fetch`` what is not there; without that nothing is written.

    What goes wrong with a source or a file is recorded, and the others go on.

    Raises:
        ConfigError: a source has impossible settings.
        MissingExtraError: a package is not installed that a source needs.
        OutputError: the folder cannot be written, the disk is full, or another download is at work there.
        PlanError: the disk has not enough space.
    """
    started = time.monotonic()
    folder = Path(Root(settings.output).url)
    redact = Redactor.of_this_user()
    manner = Manner(settings.tries, settings.wait_seconds, settings.timeout_seconds, settings.connections)
    with ExitStack() as stack:
        if fetch:
            stack.enter_context(alone(folder))
        received = Received(folder)
        sources = _sources(settings, received, manner)
        for source in sources:
            stack.callback(source.close)
        stack.enter_context(manner.ending())
        found = [(source, one) for source in sources for one in source.listings(settings.start, settings.end)]
        plan = [(source, *_planned(listing, received)) for source, listing in found]
        failures = [
            Failure(listing.stream, "", redact(_said(listing.error)))
            for _, listing, _ in plan
            if listing.error is not None
        ]
        wanted = tuple(one for _, _, one in plan)
        if not fetch:
            return DownloadResult(str(folder), wanted, tuple(failures), seconds=time.monotonic() - started)
        _check_space(received, wanted)
        report = Report(folder, redact)
        stack.callback(report.close)
        for _, listing, _ in plan:
            if listing.error is not None:
                report.failed(listing.stream, settings.start, settings.end, listing.error)
        run = _Run(received, manner, report, sum(len(one.to_fetch) for one in wanted), on_progress)
        for first, last in batches(settings.start, settings.end, settings.batch_days):
            for source, listing, one in plan:
                if listing.error is None:
                    run.batch(source, one, first, last)
        report.save(whole=True)
        failures += [Failure(one.stream, one.target, redact(_said(one.error))) for one in run.failed]
    return DownloadResult(
        str(folder), wanted, tuple(failures), str(report.path), dict(run.counts), run.bytes, time.monotonic() - started
    )


class _Run:
    """Fetches batch after batch, and counts."""

    def __init__(
        self, received: Received, manner: Manner, report: Report, total: int, on_progress: OnProgress | None
    ) -> None:
        self._received, self._manner, self._report = received, manner, report
        self._total, self._on_progress = total, on_progress
        self._done = self.bytes = 0
        self.counts: Counter[str] = Counter({"fetched": 0, "made": 0, "kept": 0, "failed": 0})
        self.failed: list[Outcome] = []

    def batch(self, source: Source, wanted: Wanted, first: dt.date, last: dt.date) -> None:
        """The files of one stream of some days, and what is made of them."""
        files = [file for file in wanted.files if first <= file.day <= last]
        missing = [day for day in wanted.missing if first <= day <= last]
        if not files and not missing:
            return
        entry = self._report.begin(wanted.stream, first, last, missing)
        fetch = []
        for file in files:
            if file.target in wanted.there:
                record = self._received.adopt(file)
                kept = Outcome(file.stream, file.target, file.day, "kept", record.size, record.sha256)
                self._add(entry, kept)
            else:
                fetch.append(file)
        failed = set()
        # its threads have ended before the folder is free for another run, also where what is done here is interrupted
        with closing(_fetched(source, fetch, self._manner)) as outcomes:
            for outcome in outcomes:
                self._add(entry, outcome)
                if outcome.status == "failed":
                    failed.add(outcome.target)
                self._done += 1
                if self._on_progress is not None:
                    self._on_progress(self._done, self._total, outcome.target)
        for outcome in source.finish(files, frozenset(failed)):
            self._add(entry, outcome)
        entry.end()

    def _add(self, entry: Entry, outcome: Outcome) -> None:
        entry.add(outcome)
        self.counts[outcome.status] += 1
        if outcome.status == "fetched":
            self.bytes += outcome.bytes
        if outcome.status == "failed":
            self.failed.append(outcome)


def _fetched(source: Source, files: Sequence[Remote], manner: Manner) -> Generator[Outcome, None, None]:
    """How each file went, as they come."""
    groups = source.groups(files)
    if source.workers == 1:
        for group in groups:
            yield from source.fetch(group)
        return
    with ThreadPoolExecutor(source.workers) as pool:
        try:
            for future in as_completed([pool.submit(_all, source, group) for group in groups]):
                yield from future.result()
        except BaseException:
            # an interrupt, or a full disk: what runs ends at its next piece
            manner.stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _all(source: Source, group: Sequence[Remote]) -> list[Outcome]:
    return list(source.fetch(group))


def _planned(listing: Listing, received: Received) -> tuple[Listing, Wanted]:
    """A listing, and what of it is there; a name that leads out of the folder makes it one that failed."""
    try:
        there = frozenset(file.target for file in listing.files if received.has(file))
    except Exception as error:
        return replace(listing, files=(), error=error), Wanted(listing.stream, notes=listing.notes)
    return listing, Wanted(listing.stream, listing.files, there, listing.missing, listing.notes)


def _said(error: Exception | None) -> str:
    return f"{type(error).__name__}: {error}"


def _check_space(received: Received, wanted: Sequence[Wanted]) -> None:
    folder = received.folder
    needed = sum(received.lacking(file) for one in wanted for file in one.to_fetch)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise PlanError(
            f"{needed:,} bytes are to be fetched, and {folder} has {free:,} left: free some space, choose another "
            "output, or fetch fewer days"
        )


class _Unavailable(Source):
    """A source whose service cannot be used, of which the reason is known."""

    workers = 1

    def __init__(self, key: str, error: Exception) -> None:
        self._key, self._error = key, error

    def listings(self, first: dt.date, last: dt.date) -> Iterator[Listing]:
        yield Listing(self._key, (), error=self._error)

    def fetch(self, group: Sequence[Remote]) -> Iterator[Outcome]:
        yield from ()


def _sources(settings: DownloadSettings, received: Received, manner: Manner) -> list[Source]:
    chosen = settings.sources
    made: list[Source] = []
    of_copernicus = [key for key in chosen.chosen if key in FAMILIES]
    if of_copernicus:
        toolbox = Toolbox()
        try:
            manner.retried(toolbox.check_login)
        except MissingExtraError:
            raise
        except Exception as error:  # the others go on
            made += [_Unavailable(key, error) for key in of_copernicus]
        else:
            made += [CopernicusSource(key, getattr(chosen, key), toolbox, received, manner) for key in of_copernicus]
    if chosen.l3_swot is not None:
        made.append(SwotSource(chosen.l3_swot, received, manner))
    if chosen.argo is not None:
        made.append(ArgoSource(chosen.argo, received, manner))
    if chosen.en4 is not None:
        made.append(En4Source(chosen.en4, received, manner))
    return made
