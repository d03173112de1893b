"""Builds a TACO dataset from an inventory and its regional files, or adds days to one that is there."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.pipeline.taco.listing import Origin, choose
from oceanrecon.pipeline.taco.stage import staged, sync_folder
from oceanrecon.stores.files import Root
from oceanrecon.stores.tables import encode_parquet
from oceanrecon.stores.taco import (
    COLLECTION,
    LEVELS,
    SLOTS,
    ZIP_SUFFIX,
    Description,
    Member,
    TacoStore,
    completed,
    empty_file,
    members_of,
    on_disk,
    read_collection,
    read_level,
)
from oceanrecon.stores.taco_tables import collection, described, folder_tables, level_table
from oceanrecon.stores.taco_zip import open_store, write_zip

Form = Literal["folder", "zip"]


@dataclass(frozen=True)
class Built:
    """What a build did."""

    dates: int
    #: files with data
    files: int
    #: empty files, of sources that have nothing
    absent: int
    #: of the files with data
    bytes: int
    #: files that are the same file as that of the regional form, and cost no space
    linked: int
    #: that were not there before
    new_dates: tuple[str, ...]
    #: files of the inventory that are of days that were there before, and are not in the dataset as they are now
    late: int = 0


def build_taco(
    inventory: str,
    output: str,
    about: Description,
    *,
    form: Form = "folder",
    sources: Collection[str] | None = None,
    start: dt.date | None = None,
    end: dt.date | None = None,
    overwrite: bool = False,
    on_file: Callable[[int, int], None] | None = None,
) -> Built:
    """Build a dataset; files of the same file system are linked, not copied.

    Args:
        inventory: folder or fsspec URL of regional files with their inventory, or the inventory there.
        output: local folder, or file ``*.tacozip``.
        about: what the dataset says of itself.
        form: ``zip`` is one file.
        sources: that are taken; all if ``None``.
        start: first day; that of the inventory if ``None``.
        end: last day, included.
        overwrite: replace a dataset that is there, once the new one is whole.
        on_file: called with how many files are placed, and how many there are.

    Raises:
        ConfigError: the inventory has nothing of what is asked for, or the name does not fit the form.
        OutputError: there is something already, or a file is missing or not what the inventory says.
    """
    target = _target(output, form)
    with staged(target) as new:
        _may_replace(target, overwrite=overwrite)
        found = choose(inventory, sources, start, end)
        members = completed(found)
        linked = _write(new, members, found, replace(about, sources=_in_order(sources or ())), form, on_file)
    return _built(members, linked, {member.date for member in members})


def append_taco(
    inventory: str,
    output: str,
    *,
    sources: Collection[str] | None = None,
    start: dt.date | None = None,
    end: dt.date | None = None,
    on_file: Callable[[int, int], None] | None = None,
) -> Built:
    """Add the days of an inventory that a dataset does not have; the days that it has stay as they are.

    Args:
        inventory: as of ``build_taco``.
        output: the dataset.
        sources: that are taken, those that it was built of, as all its days are of the same ones; ``None``: these.
        start: as of ``build_taco``.
        end: as of ``build_taco``.
        on_file: as of ``build_taco``.

    Raises:
        OutputError: there is no dataset, or see ``build_taco``.
        ConfigError: the inventory has nothing of what is asked for, or the dataset was built of other sources.
    """
    form: Form = "zip" if output.endswith(ZIP_SUFFIX) else "folder"
    target = _target(output, form)
    if not target.parent.is_dir():
        raise OutputError(f"there is no dataset {target}: `oceanrecon taco build` makes it")
    with staged(target) as new:
        if not target.exists():
            raise OutputError(f"there is no dataset {target}: `oceanrecon taco build` makes it")
        store = open_store(str(target))
        about = described(read_collection(store))
        built_of = about.sources or tuple(slot.source for slot in SLOTS)
        if sources is not None and set(sources) != set(built_of):
            raise ConfigError(
                f"{target} was built of {', '.join(built_of)}, and {', '.join(sorted(sources))} are asked for: all its "
                "days have the same sources; give these, or build it anew with --overwrite"
            )
        sources = about.sources or None
        before = _origins(store)
        dates = {member.date for member in before}
        found = choose(inventory, sources, start, end)
        more = {member: origin for member, origin in found.items() if member.date not in dates}
        everything = before | more
        members = completed(everything)
        new_dates = {member.date for member in more}
        linked = _write(new, members, everything, about, form, on_file) if more else 0
    late = sum(member not in before and member.date in dates for member in found)
    return replace(_built(members, linked, new_dates), late=late)


def _in_order(sources: Collection[str]) -> tuple[str, ...]:
    return tuple(slot.source for slot in SLOTS if slot.source in sources)


def _target(output: str, form: Form) -> Path:
    path = Root(output).local_path
    if path is None:
        raise ConfigError(f"{output} is not on a local disk: build the dataset on one, and copy it then")
    try:
        target = path.resolve()  # what a link leads to is made or replaced, not the link
    except (OSError, RuntimeError) as error:
        raise ConfigError(f"{output} leads nowhere: {error}; choose another output") from error
    if (target.suffix == ZIP_SUFFIX) != (form == "zip"):
        raise ConfigError(
            f"{output} does not fit the form {form!r}: a name that ends with {ZIP_SUFFIX} is one of a file"
        )
    return target


def _may_replace(target: Path, *, overwrite: bool) -> None:
    if not target.exists():
        return
    if not overwrite:
        raise OutputError(
            f"{target} exists: add days to it with --resume, replace it with --overwrite, or choose another output"
        )
    if target.is_file() and target.suffix == ZIP_SUFFIX:
        open_store(str(target))  # which it has to be
    elif not target.is_dir() or (any(target.iterdir()) and not (target / COLLECTION).is_file()):
        raise OutputError(f"{target} is no TACO dataset, and is not replaced by one: choose another output")


def _origins(store: TacoStore) -> dict[Member, Origin]:
    """The files of a dataset that have data."""
    members, spans = members_of(read_level(store, 2))
    there = [member for member in members if member.available]
    if spans is None:
        root = Root(store.url)
        return {member: Origin(root, f"DATA/{member.path}") for member in there}
    folder, _, name = store.url.rpartition("/")
    return {member: Origin(Root(folder), name, *spans[member.path]) for member in there}


def _write(
    new: Path,
    members: Sequence[Member],
    origins: Mapping[Member, Origin],
    about: Description,
    form: Form,
    on_file: Callable[[int, int], None] | None,
) -> int:
    """Make the dataset at a new place; how many files are linked."""
    done = 0

    def report() -> None:
        nonlocal done
        done += 1
        if on_file is not None:
            on_file(done, len(members))

    if form == "zip":

        def pieces(member: Member) -> Iterator[bytes]:
            report()
            return origins[member].pieces() if member.available else iter([empty_file()])

        write_zip(new, members, pieces, about)
        return 0
    nothing = Origin(Root(str(new.parent)), "empty.nc")
    _save(new.parent / nothing.path, iter([empty_file()]))
    linked = 0
    for member in members:
        path = new / "DATA" / member.path
        with on_disk(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        was = _lay(path, member, origins.get(member, nothing))
        linked += was and member.available
        report()
    tables = [level_table(members, level) for level in range(len(LEVELS))]
    folders = (*folder_tables(tables[2], 1), *folder_tables(tables[1], 0))
    small = {name: encode_parquet(table) for name, table in folders}
    encoded = {name: encode_parquet(table) for name, table in zip(LEVELS, tables, strict=True)}
    last = {COLLECTION: collection(about, members, encoded)}
    for name, content in {**small, **encoded, **last}.items():
        with on_disk(new / name):
            (new / name).parent.mkdir(exist_ok=True)
        _save(new / name, iter([content]))
    with on_disk(new):
        for folder, _, _ in os.walk(new):
            sync_folder(Path(folder))
    return linked


def _lay(path: Path, member: Member, origin: Origin) -> bool:
    """Put the file of a member at a path; whether it is linked."""
    source = origin.local()
    if source is not None:
        try:
            size = source.stat().st_size
        except FileNotFoundError:
            raise OutputError(
                f"{source} is gone, and the inventory has it: run `oceanrecon regions format` again"
            ) from None
        if size != member.size:
            raise _altered(source, size, member)
        try:
            os.link(source.resolve(), path)  # of a link the file itself, as the link would lead elsewhere from here
            return True
        except OSError:  # another file system, or one without links, or too many of them
            pass
    size, checksum = _save(path, origin.pieces())
    if (size, checksum) != (member.size, member.sha256):
        raise _altered(origin.root.url_of(origin.path), size, member)
    return False


def _save(path: Path, pieces: Iterator[bytes]) -> tuple[int, str]:
    """Write a new file; its size and checksum. One that is there may be a link to a regional file: it is left alone."""
    size, checksum = 0, hashlib.sha256()
    with on_disk(path), open(path, "xb") as file:
        for piece in pieces:
            file.write(piece)
            size += len(piece)
            checksum.update(piece)
        file.flush()
        os.fsync(file.fileno())
    return size, checksum.hexdigest()


def _altered(source: Path | str, size: int, member: Member) -> OutputError:
    return OutputError(
        f"{source} is not what its row says (it has {size:,} bytes, {member.size:,} are right): run `oceanrecon "
        "regions format` again, and build the dataset of what that writes"
    )


def _built(members: Sequence[Member], linked: int, new: Collection[str]) -> Built:
    there = [member for member in members if member.available]
    return Built(
        dates=len({member.date for member in members}),
        files=len(there),
        absent=len(members) - len(there),
        bytes=sum(member.size for member in there),
        linked=linked,
        new_dates=tuple(sorted(new)),
    )
