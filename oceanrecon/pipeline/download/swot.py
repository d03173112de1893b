"""SWOT's half orbits: of each cycle and pass the newest version, by the day on which it starts."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from oceanrecon.download_config import SwotSettings
from oceanrecon.errors import ArchiveError
from oceanrecon.pipeline.download.attempts import Manner
from oceanrecon.pipeline.download.ftp import Entry, Server
from oceanrecon.pipeline.download.received import Received, bring
from oceanrecon.pipeline.download.remote import Listing, Outcome, Remote, Source, days_of

KEY = "l3_swot"
_CYCLE = re.compile(r"cycle_\d+")
_NAME = re.compile(
    r"SWOT_L3_LR_SSH_\w+?_(?P<pass>\d{3}_\d{3})_(?P<day>\d{8})T\d{6}_\d{8}T\d{6}_v(?P<version>[\d.]+)\.nc"
)


class SwotSource(Source):
    """The swaths of level 3 on an FTP server, one folder per cycle."""

    def __init__(self, settings: SwotSettings, received: Received, manner: Manner) -> None:
        """Of a server, into one flat folder."""
        self._settings, self._received, self._manner = settings, received, manner
        self._server = Server(settings, manner)
        self.workers = manner.connections

    def listings(self, first: dt.date, last: dt.date) -> Iterator[Listing]:
        """All cycles are listed: their numbers do not say their days, as there are two orbits."""
        days = days_of(first, last)
        try:
            yield self._listing(days)
        except Exception as error:
            yield Listing(KEY, (), error=error)

    def fetch(self, group: Sequence[Remote]) -> Iterator[Outcome]:
        """Bring the files."""
        return bring(group, self._server.fetch, self._received, self._manner)

    def close(self) -> None:
        """Leave the server."""
        self._server.close()

    def _listing(self, days: Sequence[dt.date]) -> Listing:
        top = self._settings.folder.rstrip("/")
        cycles = [entry.name for entry in self._server.entries(top) if _CYCLE.fullmatch(entry.name) and entry.is_folder]
        if not cycles:
            raise ArchiveError(f"{self._settings.host} has no cycles in {top}: correct `sources.l3_swot.folder`")
        newest: dict[str, tuple[tuple[int, ...], dt.date, str, Entry]] = {}
        wanted = {f"{day:%Y%m%d}": day for day in days}
        listed = self._manner.side_by_side(lambda cycle: self._server.entries(f"{top}/{cycle}"), cycles)
        for cycle, entries in zip(cycles, listed, strict=True):
            for entry in entries:
                name = _NAME.fullmatch(entry.name)
                if name is None or entry.is_folder or name["day"] not in wanted:
                    continue
                version = tuple(int(number) for number in name["version"].strip(".").split("."))
                found = (version, wanted[name["day"]], f"{top}/{cycle}/{entry.name}", entry)
                if name["pass"] not in newest or newest[name["pass"]][0] < version:
                    newest[name["pass"]] = found
        files = [
            Remote(KEY, self._settings.host, day, f"{KEY}/{entry.name}", url, entry.size, entry.modified)
            for _, day, url, entry in newest.values()
        ]
        files = self._manner.side_by_side(self._versioned, files)
        files.sort(key=lambda file: (file.day, file.name))
        there = {file.day for file in files}
        return Listing(KEY, tuple(files), tuple(day for day in days if day not in there))

    def _versioned(self, remote: Remote) -> Remote:
        return remote if remote.version else replace(remote, version=self._server.modified(remote.url))
