"""Sources of Copernicus Marine: which of its datasets a day is taken from, and its files by the service's own tool."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from oceanrecon.download_config import AltimeterSettings, CopernicusSettings, DatasetSettings
from oceanrecon.errors import ArchiveError
from oceanrecon.pipeline.download.attempts import Manner, may_pass, refuse_full_disk, writing
from oceanrecon.pipeline.download.products import FAMILIES, Family
from oceanrecon.pipeline.download.received import STATE, Received
from oceanrecon.pipeline.download.remote import Listing, Outcome, Remote, Source, days_of
from oceanrecon.pipeline.download.toolbox import CatalogueFile, Toolbox

#: Files that the tool is asked for at once, per connection: it takes seconds to begin, and ends none of them early.
_PER_CONNECTION = 2


@dataclass(frozen=True)
class _Stream:
    """What of a source is listed together."""

    name: str
    datasets: tuple[DatasetSettings, ...]


class CopernicusSource(Source):
    """One source of Copernicus Marine."""

    #: the tool has connections of its own
    workers = 1

    def __init__(
        self, key: str, settings: CopernicusSettings, toolbox: Toolbox, received: Received, manner: Manner
    ) -> None:
        """Of a source of ``FAMILIES``, into the folder of the same name."""
        self._key, self._toolbox, self._received, self._manner = key, toolbox, received, manner
        self._family: Family = FAMILIES[key]
        self._streams = _streams(key, self._family, settings)
        self._versions = {_labelled(one): one for stream in self._streams for one in stream.datasets}

    def listings(self, first: dt.date, last: dt.date) -> Iterator[Listing]:
        """What its datasets have of these days; a dataset that cannot be listed makes its stream fail."""
        for stream in self._streams:
            try:
                yield self._listing(stream, days_of(first, last))
            except Exception as error:  # the package raises nearly anything
                yield Listing(stream.name, (), error=error)

    def groups(self, files: Sequence[Remote]) -> list[tuple[Remote, ...]]:
        """Files of one dataset, some for each connection."""
        size = _PER_CONNECTION * self._manner.connections
        by_dataset: dict[str, list[Remote]] = defaultdict(list)
        for file in files:
            by_dataset[file.dataset].append(file)
        return [
            tuple(some[number : number + size]) for some in by_dataset.values() for number in range(0, len(some), size)
        ]

    def fetch(self, group: Sequence[Remote]) -> Iterator[Outcome]:
        """Bring the files of one dataset; those that did not come are tried again."""
        # of this dataset only: another one's may be left there by a run that was killed
        staged = self._received.path(f"{STATE}/{self._key}/{group[0].dataset}")
        dataset = self._versions[group[0].dataset]
        with writing(staged):
            self._forget_others(staged, group)
        error: Exception = ArchiveError("it was not asked for")
        # the tool names files when they are whole: those of a run that was killed count
        waiting, errors, taken = self._take(group, staged, 0.0)
        yield from taken
        for number in range(1, self._manner.tries + 1):
            if not waiting:
                break
            started = time.monotonic()
            try:
                self._manner.check()
                urls = [remote.url for remote in waiting]
                self._toolbox.fetch(dataset.id, dataset.version, urls, staged, self._manner.connections)
                error = ArchiveError("the tool of Copernicus Marine ended without it, and without a reason")
            except Exception as raised:
                refuse_full_disk(raised)
                error = raised
            waiting, errors, taken = self._take(waiting, staged, (time.monotonic() - started) / len(waiting))
            yield from taken
            if not (taken or errors or may_pass(error)):
                break
            if waiting and number < self._manner.tries:
                self._manner.pause(number)
        for remote in waiting:
            yield Outcome(remote.stream, remote.target, remote.day, "failed", error=errors.get(remote.target, error))
        shutil.rmtree(staged, ignore_errors=True)

    def _forget_others(self, staged: Path, group: Sequence[Remote]) -> None:
        """Remove what a killed run left there of other files, and say for the next run of which files this is."""
        path = staged / "versions.json"
        versions = {remote.target: remote.version for remote in group}
        try:
            before: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            before = {}
        for left in staged.rglob("*"):
            target = f"{self._key}/{left.relative_to(staged).as_posix()}"
            if left.is_file() and (target not in versions or before.get(target) != versions[target]):
                left.unlink()
        staged.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(versions), encoding="utf-8")

    def _take(
        self, remotes: Sequence[Remote], staged: Path, seconds: float
    ) -> tuple[list[Remote], dict[str, Exception], list[Outcome]]:
        """Name the files that came: those that did not, what is wrong with those that came damaged, those that did."""
        left: list[Remote] = []
        errors: dict[str, Exception] = {}
        taken: list[Outcome] = []
        for remote in remotes:
            path = staged / remote.target.partition("/")[2]
            if not path.is_file():
                left.append(remote)
                continue
            try:
                record = self._received.take(remote, path)
            except Exception as error:
                refuse_full_disk(error)
                errors[remote.target] = error
                path.unlink(missing_ok=True)
                left.append(remote)
                continue
            taken.append(
                Outcome(remote.stream, remote.target, remote.day, "fetched", record.size, record.sha256, seconds)
            )
        return left, errors, taken

    def _listing(self, stream: _Stream, days: Sequence[dt.date]) -> Listing:
        found: dict[dt.date, dict[str, Remote]] = {}
        notes: list[str] = []
        for dataset in stream.datasets:
            wanted = [day for day in days if dataset.covers(day) and len(found.get(day, ())) < self._family.per_day]
            if wanted:
                of_days, more = self._of_dataset(stream, dataset, wanted)
                # a day is of one dataset: hours of two would not fit together
                found |= {day: files for day, files in of_days.items() if len(files) > len(found.get(day, ()))}
                notes += more
        missing = tuple(day for day in days if len(found.get(day, ())) < self._family.per_day)
        files = [remote for day in sorted(found) for _, remote in sorted(found[day].items())]
        return Listing(stream.name, tuple(files), missing, tuple(notes))

    def _of_dataset(
        self, stream: _Stream, dataset: DatasetSettings, days: Sequence[dt.date]
    ) -> tuple[dict[dt.date, dict[str, Remote]], list[str]]:
        """Its newest file of each day, and hour, and what is unusual."""
        months = "|".join(sorted({f"{day:%Y%m}" for day in days}))
        pattern = self._family.files.replace("{day}", rf"(?:{months})\d\d").replace("{hour}", r"\d\d")
        named = re.compile(self._family.files.replace("{day}", r"(?P<day>\d{8})").replace("{hour}", r"(?P<hour>\d\d)"))
        listed = self._manner.retried(lambda: self._toolbox.files(dataset.id, dataset.version, pattern))
        wanted = {f"{day:%Y%m%d}": day for day in days}
        found: dict[dt.date, dict[str, Remote]] = defaultdict(dict)
        notes = []
        for file in sorted(listed, key=_age):
            name = named.search(f"/{file.path}")
            day = wanted.get(name["day"]) if name is not None else None
            if name is None or day is None:
                continue
            hour = name.groupdict().get("hour") or ""
            if hour in found[day]:
                notes.append(f"{stream.name} has more than one file of {day} {hour}: {file.path} is the newest so far")
            found[day][hour] = Remote(
                stream.name, _labelled(dataset), day, f"{self._key}/{file.path}", file.url, file.size, file.version,
                file.md5,
            )  # fmt: skip
        return dict(found), notes


def _streams(key: str, family: Family, settings: CopernicusSettings) -> tuple[_Stream, ...]:
    datasets = settings.datasets or family.datasets
    if isinstance(settings, AltimeterSettings):
        return tuple(
            _Stream(f"{key} {satellite}", tuple(_of_satellite(dataset, satellite) for dataset in datasets))
            for satellite in settings.satellites
        )
    if family.all_of_them:
        return tuple(_Stream(f"{key} {dataset.id}", (dataset,)) for dataset in datasets)
    return (_Stream(key, datasets),)


def _age(file: CatalogueFile) -> tuple[str, list[int | str]]:
    """Sorts the newest last: by when it was put there, then by its name, in which 9 is before 10."""
    pieces = re.split(r"(\d+)", file.path.rpartition("/")[2])
    return file.modified, [int(piece) if piece.isdecimal() else piece for piece in pieces]


def _of_satellite(dataset: DatasetSettings, satellite: str) -> DatasetSettings:
    name = dataset.id.replace("{satellite}", dataset.satellites.get(satellite, satellite))
    return dataset.model_copy(update={"id": name})


def _labelled(dataset: DatasetSettings) -> str:
    return dataset.id if dataset.version is None else f"{dataset.id}_{dataset.version}"
