"""Whether an output folder may be written, and how it is made ready or emptied: nothing of the user's is ever lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import yaml
from pydantic import BaseModel

from oceanrecon.config import dump_settings
from oceanrecon.errors import OutputError
from oceanrecon.stores.files import STAGING, Root
from oceanrecon.stores.jobs import JOBS
from oceanrecon.stores.lease_record import LEASE
from oceanrecon.stores.manifest import MANIFEST

#: There while an overwrite removes what was there before.
_OVERWRITING = ".overwriting"


@dataclass(frozen=True)
class Guard:
    """What marks a folder as one kind of output: its settings, as they were resolved, under a line of our own."""

    #: ``export`` or ``profile store``, with its article in messages
    what: str
    #: file of the settings
    name: str
    #: settings that decide the bytes: an output has one value of each
    fixed: tuple[str, ...]
    #: everything below the output that its tasks write, receipts first
    folders: tuple[str, ...]
    #: other files of the output, beside its manifest
    files: tuple[str, ...] = ()

    @property
    def _header(self) -> bytes:
        """First line of the settings in an output: no one else's file has it."""
        return (
            f"# Settings of an oceanrecon {self.what}, as they were resolved; the {self.what} belongs to them: do not "
            "edit.\n"
        ).encode()

    def owns(self, root: Root) -> bool:
        """Whether there is such an output."""
        return (root.read_if_there(self.name) or b"").startswith(self._header)

    def check(
        self, root: Root, settings: BaseModel, reads: Iterable[str | None], *, resume: bool, overwrite: bool
    ) -> None:
        """Refuse an output that is not ours to write; changes nothing.

        Args:
            root: the output.
            settings: with paths that mean the same from any working directory.
            reads: absolute paths that the settings read.
            resume: go on with what is there.
            overwrite: replace what is there.

        Raises:
            OutputError: it holds other files; or such an output, and neither ``resume`` nor ``overwrite`` is given; or
                one that was made with other settings; or what the settings read would be written over or removed.
        """
        if not self.owns(root):
            # on object stores the lease is one file
            if root.names() - {STAGING, JOBS, LEASE, f"{LEASE}.json"}:
                raise OutputError(
                    f"{root.url} has files in it but is no {self.what}: choose another output, or an empty folder"
                )
            return
        emptied = overwrite or (resume and root.exists(_OVERWRITING))  # what is there is on its way out
        if resume or overwrite:
            self._spare(root, reads, emptied=emptied)
        if emptied:
            return
        if not resume:
            raise OutputError(
                f"{root.url} holds {_with_article(self.what)}: add --resume to complete or extend it, or --overwrite "
                "to make it anew"
            )
        before, now = yaml.safe_load(root.read(self.name)), yaml.safe_load(dump_settings(settings))
        for key in self.fixed:
            if before.get(key) != now.get(key):
                where, there, here = _difference(key, before.get(key), now.get(key))
                raise OutputError(
                    f"{root.url} was made with other settings ({where}: {there} there, {here} here): take another "
                    "output, or the same settings, or --overwrite"
                )

    def _spare(self, root: Root, reads: Iterable[str | None], *, emptied: bool) -> None:
        """Refuse to read what is written anew, or removed: all of the output where it is emptied."""
        own = {f"{root.url}/{name}" for name in (MANIFEST, self.name, *self.files)}
        folders = tuple(f"{root.url}/{name}/" for name in self.folders) if emptied else ()
        for path in reads:
            if path is not None and (path in own or f"{path}/".startswith(folders)):
                raise OutputError(
                    f"{'--overwrite would remove' if emptied else 'this would write over'} {path}, which the settings "
                    "read: copy it elsewhere first"
                )

    def refuse_emptied(self, root: Root) -> None:
        """Refuse to go on with an output whose overwrite was killed: what is there is on its way out.

        Raises:
            OutputError: it is so.
        """
        if root.exists(_OVERWRITING):
            raise OutputError(
                f"{root.url} was being emptied for an --overwrite that was killed: run that again, or resume this job, "
                "which empties the rest first"
            )

    def prepare(self, root: Root, settings: BaseModel, *, overwrite: bool) -> None:
        """Make the output ready; what is there is only ever removed for an ``overwrite``.

        An overwrite that was killed left its mark: whoever comes next removes the rest first, so that nothing of the
        older output is taken for the new one.
        """
        root.clear_staging()
        if overwrite and root.exists(self.name):
            root.write(_OVERWRITING, b"")
        if root.exists(_OVERWRITING):
            for file in (MANIFEST, *self.files):
                root.remove(file)
            for folder in self.folders:
                root.remove_tree(folder)
            self.write(root, settings)
            root.remove(_OVERWRITING)
        elif not root.exists(self.name):
            self.write(root, settings)

    def write(self, root: Root, settings: BaseModel) -> None:
        """Keep the settings, every default written out, as what marks the folder."""
        root.write(self.name, self._header + dump_settings(settings).encode())


def _difference(key: str, there: object, here: object) -> tuple[str, object, object]:
    """The first setting in which two groups of settings differ, and its values."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in {**there, **here}:
            if there.get(name) != here.get(name):
                return _difference(f"{key}.{name}", there.get(name), here.get(name))
    return key, there, here


def _with_article(what: str) -> str:
    return f"an {what}" if what[0] in "aeiou" else f"a {what}"
