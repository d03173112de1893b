"""Argo's profiles of each day and basin, made into one file of points a day."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial

from oceanrecon.download_config import ArgoSettings
from oceanrecon.errors import ArchiveError
from oceanrecon.pipeline.download import web
from oceanrecon.pipeline.download.argo_points import UnreadableError, write_points
from oceanrecon.pipeline.download.attempts import Manner, refuse_full_disk
from oceanrecon.pipeline.download.received import Received, bring
from oceanrecon.pipeline.download.remote import Listing, Outcome, Remote, Source, days_of

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
            found = self._manner.side_by_side(self._file, wanted)
        except Exception as error:
            yield Listing(KEY, (), error=error)
            return
        files = tuple(file for file, _ in found if file is not None)
        there = {file.day for file in files}
        notes = tuple(note for _, note in found if note)
        yield Listing(KEY, files, tuple(day for day in days if day not in there), notes)

    def fetch(self, group: Sequence[Remote]) -> Iterator[Outcome]:
        """Bring the files."""
        return bring(group, partial(web.fetch, manner=self._manner), self._received, self._manner)

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
        except UnreadableError as error:
            error.file.unlink(missing_ok=True)
            why = ArchiveError(f"{error}; the file is removed: run the same command again, which fetches it anew")
            return Outcome(KEY, target, day, "failed", seconds=time.monotonic() - started, error=why)
        except Exception as error:
            refuse_full_disk(error)
            return Outcome(KEY, target, day, "failed", seconds=time.monotonic() - started, error=error)
        return Outcome(KEY, target, day, "made", made.size, made.sha256, time.monotonic() - started)

    def _file(self, wanted: tuple[dt.date, str]) -> tuple[Remote | None, str]:
        """The file of a day and a basin, and what is unusual about it."""
        day, basin = wanted
        url = self._settings.address(basin, day)
        target = f"{PROFILES}/{basin}/{day:%Y%m%d}_prof.nc"
        stated = web.ask(url, self._manner)
        if stated is not None:
            return Remote(KEY, PROFILES, day, target, url, stated.size, stated.version), ""
        before = self._received.record(target)
        if before is None:
            return None, ""
        # without it the day would be made again, and smaller
        note = f"argo has no {url} any more: {target} is used as it came before"
        return Remote(KEY, PROFILES, day, target, url, before.size, before.version), note
