"""EN4's profiles: one archive a year, unpacked into the files of its months."""

from __future__ import annotations

import datetime as dt
import lzma
import os
import shutil
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from functools import partial

from oceanrecon.download_config import En4Settings
from oceanrecon.errors import PlanError, SourceError
from oceanrecon.pipeline.download import web
from oceanrecon.pipeline.download.attempts import Manner, refuse_full_disk
from oceanrecon.pipeline.download.received import Received, Record, bring
from oceanrecon.pipeline.download.remote import Listing, Outcome, Remote, Source

KEY = "en4"
#: What an archive raises whose bytes are not those that were packed.
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)


class En4Source(Source):
    """The yearly archives on a web server."""

    def __init__(self, settings: En4Settings, received: Received, manner: Manner) -> None:
        """Of a server, into one flat folder."""
        self._settings, self._received, self._manner = settings, received, manner
        self.workers = manner.connections

    def listings(self, first: dt.date, last: dt.date) -> Iterator[Listing]:
        """The archives of the years."""
        files, missing = [], []
        try:
            for year in range(first.year, last.year + 1):
                day = max(first, dt.date(year, 1, 1))
                found = self._archive(year, day)
                if found is None:
                    missing.append(day)
                else:
                    files.append(found)
        except Exception as error:
            yield Listing(KEY, (), error=error)
            return
        notes = tuple(f"en4 has no archive of {day.year}" for day in missing)
        yield Listing(KEY, tuple(files), tuple(missing), notes)

    def fetch(self, group: Sequence[Remote]) -> Iterator[Outcome]:
        """Bring the archives."""
        return bring(group, partial(web.fetch, manner=self._manner), self._received, self._manner)

    def finish(self, files: Sequence[Remote], failed: frozenset[str]) -> Iterator[Outcome]:
        """Unpack the archives: a month that is there as it came out of this one is kept."""
        for remote in files:
            if remote.target not in failed:
                yield from self._unpack(remote)

    def _archive(self, year: int, day: dt.date) -> Remote | None:
        for url in self._settings.addresses(year):
            stated = web.ask(url, self._manner)
            if stated is not None:
                return Remote(KEY, KEY, day, f"{KEY}/{KEY}_{year}.zip", url, stated.size, stated.version)
        return None

    def _unpack(self, remote: Remote) -> Iterator[Outcome]:
        archive = self._received.path(remote.target)
        why: Exception
        try:
            of = self._received.adopt(remote).sha256
            with zipfile.ZipFile(archive) as opened:
                members = sorted(
                    (member for member in opened.infolist() if member.filename.endswith(".nc")),
                    key=lambda one: one.filename,
                )
                if not members:
                    raise SourceError("it has no NetCDF file in it")
                self._check_space(members, of)
                for member in members:
                    yield self._member(opened, member, remote, of)
            return
        except PlanError as error:
            why = error
        except _DAMAGED as error:
            archive.unlink(missing_ok=True)
            why = SourceError(f"damaged ({error}): it is removed; run the same command again, which fetches it anew")
        except Exception as error:  # zipfile raises nearly anything
            refuse_full_disk(error)
            why = SourceError(f"cannot be unpacked ({error}): it stays as it came; remove {archive} to fetch it anew")
        yield Outcome(KEY, remote.target, remote.day, "failed", error=why)

    def _check_space(self, members: Sequence[zipfile.ZipInfo], of: str) -> None:
        needed = sum(member.file_size for member in members if self._there(member, of) is None)
        free = shutil.disk_usage(self._received.folder).free
        if needed > free:
            raise PlanError(
                f"its files take {needed:,} bytes, and {self._received.folder} has {free:,} left: free some space, "
                "then run the same command again"
            )

    def _there(self, member: zipfile.ZipInfo, of: str) -> Record | None:
        """What is recorded of a file that is there as it came out of the archive of this checksum."""
        before = self._received.record(_target(member))
        return before if before is not None and before.version == of else None

    def _member(self, opened: zipfile.ZipFile, member: zipfile.ZipInfo, remote: Remote, of: str) -> Outcome:
        started = time.monotonic()
        target = _target(member)
        before = self._there(member, of)
        if before is not None:
            return Outcome(KEY, target, remote.day, "kept", before.size, before.sha256)
        path = self._received.path(target)
        part = path.with_name(f"{path.name}.part")
        try:
            # the checksum of the archive is compared when the end is reached
            with opened.open(member) as packed, open(part, "wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
            made = self._received.add(target, of)
        except OSError as error:
            refuse_full_disk(error)
            return Outcome(KEY, target, remote.day, "failed", error=error)
        finally:
            part.unlink(missing_ok=True)
        return Outcome(KEY, target, remote.day, "made", made.size, made.sha256, time.monotonic() - started)


def _target(member: zipfile.ZipInfo) -> str:
    return f"{KEY}/{member.filename.rpartition('/')[2]}"
