"""Argo's profiles of each day and basin, made into one file of points a day."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from oceanrecon.download_config import ArgoSettings
from oceanrecon.errors import ArchiveError
from oceanrecon.pipeline.download import web
from oceanrecon.pipeline.download.argo_points import write_points
from oceanrecon.pipeline.download.attempts import Manner, refuse_full_disk
from oceanrecon.pipeline.download.received import Received
from oceanrecon.pipeline.download.remote import Listing, Outcome, Remote, Source, days_of
from oceanrecon.pipeline.download.single import fetch_one

KEY = "argo"
#: Folder of the profiles as they come, by basin.
PROFILES = "argo_gdac"


class ArgoSource(Source):
    """The profiles of a data assembly centre, by basin and day, on a web server."""

    def __init__(self, settings: ArgoSettings, received: Received, manner: Manner) -> None:
        """Of a server; points go into one flat folder."""
        self._settings, self._received, self._manner = settings, received, manner
        self.workers = manner.connections

    def listings(self, first: dt.date, last: dt.date) -> Iterator[Listing]:
        """The files of all days and basins; a basin may have no profile on a day."""
        days = days_of(first, last)
        wanted = [(day, basin) for day in days for basin in self._settings.basins]
        try:
            with ThreadPoolExecutor(self._manner.connections) as pool:
                files = [file for file in pool.map(self._file, wanted) if file is not None]
        except Exception as error:
            yield Listing(KEY, (), error=error)
            return
        there = {file.day for file in files}
        yield Listing(KEY, tuple(files), tuple(day for day in days if day not in there))

    def fetch(self, group: Sequence[Remote]) -> Iterator[Outcome]:
        """Bring the files."""
        for remote in group:
            yield fetch_one(remote, lambda one, part: web.fetch(one, part, self._manner), self._received, self._manner)

    def finish(self, files: Sequence[Remote], failed: frozenset[str]) -> Iterator[Outcome]:
        """Make the file of each day out of those of its basins; not without one of them that there is."""
        by_day: dict[dt.date, list[Remote]] = defaultdict(list)
        for remote in files:
            by_day[remote.day].append(remote)
        for day, remotes in sorted(by_day.items()):
            target = f"{KEY}/argo_{day:%Y%m%d}.nc"
            lost = [remote.target for remote in remotes if remote.target in failed]
            if lost:
                why = ArchiveError(f"not made without {', '.join(lost)}: run the same command again")
                yield Outcome(KEY, target, day, "failed", error=why)
                continue
            yield self._made(target, day, remotes)

    def _made(self, target: str, day: dt.date, remotes: Sequence[Remote]) -> Outcome:
        started = time.monotonic()
        try:
            sources = [self._received.adopt(remote).sha256 for remote in remotes]
            rule = f"{self._settings.deepest} {sorted(self._settings.flags)}"
            of = hashlib.sha256(" ".join([rule, *sources]).encode()).hexdigest()
            before = self._received.record(target)
            if before is not None and before.version == of:
                return Outcome(KEY, target, day, "kept", before.size, before.sha256)
            path = self._received.path(target)
            part = path.with_name(f"{path.name}.part")
            part.parent.mkdir(parents=True, exist_ok=True)
            paths = [self._received.path(remote.target) for remote in remotes]
            write_points(part, paths, self._settings.deepest, self._settings.flags)
            part.replace(path)
            made = self._received.add(target, of)
        except Exception as error:
            refuse_full_disk(error)
            return Outcome(KEY, target, day, "failed", seconds=time.monotonic() - started, error=error)
        return Outcome(KEY, target, day, "made", made.size, made.sha256, time.monotonic() - started)

    def _file(self, wanted: tuple[dt.date, str]) -> Remote | None:
        day, basin = wanted
        url = self._settings.address(basin, day)
        stated = web.ask(url, self._manner)
        if stated is None:
            return None
        target = f"{PROFILES}/{basin}/{url.partition('?')[0].rpartition('/')[2]}"
        return Remote(KEY, PROFILES, day, target, url, stated.size, stated.version)
