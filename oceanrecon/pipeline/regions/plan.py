"""Which files there are of which source and day, and which of them count."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from oceanrecon.access.paths import joined
from oceanrecon.access.systems import file_system, is_local
from oceanrecon.errors import ArchiveError, PlanError
from oceanrecon.pipeline.guard import Guard
from oceanrecon.region_config import RegionSettings
from oceanrecon.sources.daily.registry import DAILY
from oceanrecon.sources.daily.source import DailySource, RawFile, natural
from oceanrecon.sources.listing import absolute_root, list_files
from oceanrecon.stores.files import Root
from oceanrecon.stores.tile_inventory import INVENTORY

#: Of the bytes of tiles: another one makes all anew.
_FORMAT = 1
GUARD = Guard(
    what="folder of regional tiles",
    name="regions.yaml",
    fixed=("raw",),
    folders=("receipts", "failures", *DAILY),
    files=(INVENTORY,),
)


@dataclass(frozen=True)
class DayTask:
    """A day of a source: what is cut into regions at once."""

    source: str
    day: dt.date
    #: that count, by name
    files: tuple[RawFile, ...]
    #: addresses of those that a newer one replaces
    replaced: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``20230401``."""
        return f"{self.day:%Y%m%d}"

    @property
    def key(self) -> str:
        """sha256 of everything that decides the bytes of the day."""
        files = [(file.name, file.size, file.mtime_ns) for file in self.files]
        return hashlib.sha256(json.dumps([_FORMAT, self.source, self.name, files]).encode()).hexdigest()


@dataclass(frozen=True)
class RegionPlan:
    """The days there are, in the order in which they are made, and files whose names say nothing."""

    settings: RegionSettings
    tasks: tuple[DayTask, ...]
    #: below the raw archive, of folders of sources
    unknown: tuple[str, ...]
    #: sources without any file of the days that are wanted
    absent: tuple[str, ...]


def resolved(settings: RegionSettings) -> RegionSettings:
    """The settings with paths that mean the same from any working directory."""
    return settings.model_copy(update={name: Root(getattr(settings, name)).url for name in ("raw", "output")})


def check_output(settings: RegionSettings, *, resume: bool, overwrite: bool) -> None:
    """Refuse an output that is not ours to write; changes nothing.

    Raises:
        OutputError: see ``Guard.check``.
    """
    GUARD.check(Root(settings.output), settings, [settings.raw], resume=resume, overwrite=overwrite)


def plan_regions(settings: RegionSettings) -> RegionPlan:
    """Look through the raw archive.

    Raises:
        ArchiveError: it is not there, or cannot be read.
        PlanError: it has no file of the days and sources that are wanted.
    """
    settings = resolved(settings)
    chosen = [DAILY[key] for key in settings.sources]
    folders: dict[str, list[DailySource]] = {}
    for source in chosen:
        folders.setdefault(source.folder, []).append(source)
    tasks: list[DayTask] = []
    unknown: list[str] = []
    for folder, sources in folders.items():
        found: dict[str, list[RawFile]] = {source.key: [] for source in sources}
        for path, size, mtime_ns in _listed(settings.raw, folder):
            url = joined(absolute_root(settings.raw), path, ArchiveError)
            # two sources share a folder
            matches = [(one, one.match(url, size, mtime_ns)) for one in DAILY.values() if one.folder == folder]
            for source, file in matches:
                if file is not None and source in sources:
                    found[source.key].append(file)
            if not any(file for _, file in matches):
                unknown.append(path)
        for key, files in found.items():
            tasks += _tasks(key, (file for file in files if settings.wants(file.day)))
    if not tasks:
        others = f"; {len(unknown):,} files have other names, such as {unknown[0]}" if unknown else ""
        raise PlanError(
            f"{settings.raw} has no file of {', '.join(settings.sources)} from {settings.start or 'its first day'} to "
            f"{settings.end or 'its last'}: each source has its folder there ({', '.join(folders)}), with the names "
            f"that its files come with{others}"
        )
    there = {task.source for task in tasks}
    # the days with most to do first, so that none is left over at the end
    tasks.sort(key=lambda task: (-sum(file.size for file in task.files), task.source, task.day))
    absent = tuple(key for key in settings.sources if key not in there)
    return RegionPlan(settings, tuple(tasks), tuple(unknown), absent)


def _listed(raw: str, folder: str) -> Iterable[tuple[str, int, int]]:
    """Files of a source's folder; one that is not there has none, as long as the archive is."""
    filesystem, root = file_system(raw)
    if not filesystem.isdir(root):
        shown = root if is_local(filesystem) else raw
        raise ArchiveError(f"there is no folder {shown}: correct `raw`, or run `oceanrecon download CONFIG` first")
    return list_files(raw, folder) if filesystem.isdir(f"{root.rstrip('/')}/{folder}") else ()


def _tasks(source: str, files: Iterable[RawFile]) -> list[DayTask]:
    by_day: dict[dt.date, list[RawFile]] = {}
    for file in files:
        by_day.setdefault(file.day, []).append(file)
    tasks = []
    for day, some in by_day.items():
        counted = newest(some)
        urls = {file.url for file in counted}
        replaced = sorted(file.url for file in some if file.url not in urls)
        tasks.append(DayTask(source, day, tuple(counted), tuple(replaced)))
    return tasks


def newest(files: Iterable[RawFile]) -> list[RawFile]:
    """Of files that stand for the same part of a day, those of the latest revision; by name."""
    kept: dict[str, RawFile] = {}
    for file in sorted(files, key=lambda one: (natural(one.revision), one.name, one.url)):
        kept[file.part] = file
    return sorted(kept.values(), key=lambda one: one.name)
