"""Looks at an output all the time while something goes wrong with it: is all that is visible whole and true?"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import yaml

from oceanrecon.errors import OutputError
from oceanrecon.stores.files import Root

#: Where every byte is the same in each run.
DATA = ("rasters/", "masks/", "dense.zarr/")
#: Keys of a manifest that differ from run to run.
OF_THE_RUN = ("created_utc", "output_dir", "parallelism", "resume")


def manifest(root: Root) -> dict[str, Any]:
    """The manifest of an export without what differs from run to run."""
    return _lasting(yaml.safe_load(root.read("manifest.yaml")))


def _lasting(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key not in OF_THE_RUN}


def listed(value: Any) -> Iterator[tuple[str, str]]:
    """Path and SHA-256 of each file that a manifest lists."""
    if isinstance(value, dict):
        if "path" in value and "sha256" in value:
            yield value["path"], value["sha256"]
        for inner in value.values():
            yield from listed(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from listed(inner)


@dataclass
class Reference:
    """An undisturbed export."""

    root: Root
    #: content of its data, by path
    files: Mapping[str, bytes] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, url: str) -> Reference:
        """The export at a URL."""
        root = Root(url)
        return cls(root, root.read_many([path for path in root.list() if path.startswith(DATA)]), manifest(root))

    def sha256(self, path: str) -> str:
        """Checksum that a file must have; none where it must not be there."""
        return hashlib.sha256(self.files[path]).hexdigest() if path in self.files else ""


class Observer:
    """Compares what an output shows with an undisturbed export, again and again, in a thread."""

    def __init__(self, url: str, reference: Reference) -> None:
        self.root, self.reference = Root(url), reference
        #: what must never be seen
        self.wrong: list[str] = []
        #: looks, and files that were compared
        self.looks = self.compared = 0
        self._known: dict[str, object] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        if error[0] is None:
            self.check()

    def check(self) -> None:
        """Look now, and fail where anything was wrong at any time."""
        self._look()
        assert not self.wrong, "\n".join(self.wrong)

    def receipts(self) -> set[str]:
        """Paths of the receipts that are there."""
        return {path for path in self.root.list("receipts") if path.endswith(".json")}

    def _run(self) -> None:
        while not self._stop.wait(0.05 if self.root.local_path is not None else 1.0):
            try:
                self._look()
            except OutputError:  # a server that is away
                continue
            except Exception as error:
                self.wrong.append(f"cannot look: {error!r}")
                return

    def _look(self) -> None:
        self.looks += 1
        for path, stamp in self._states().items():
            if self._known.get(path) == stamp:
                continue
            (content,) = [*self.root.read_many([path]).values(), None][:1]
            if content is None:  # gone since
                continue
            self._known[path] = stamp
            self.compared += 1
            self._judge(path, content)

    def _judge(self, path: str, content: bytes) -> None:
        if path.startswith(DATA):
            if path.endswith("zarr.json"):
                json.loads(content)
            elif content != self.reference.files.get(path):
                self.wrong.append(f"{path} is not what an undisturbed run gives: {len(content)} bytes")
        elif path.startswith("receipts/"):
            self._claims(path, [(file["path"], file["sha256"]) for file in json.loads(content)["files"]])
        elif path == "manifest.yaml":
            said = yaml.safe_load(content)
            self._claims(path, list(listed(said)))
            if not said["failures"] and _lasting(said) != self.reference.manifest:
                self.wrong.append("manifest.yaml says that all is there, and is not that of an undisturbed run")
        elif path.endswith("record.json") and json.loads(content)["state"] == "complete":
            if manifest(self.root) != self.reference.manifest:
                self.wrong.append(f"{path} says complete, and the manifest is another")

    def _claims(self, path: str, files: list[tuple[str, str]]) -> None:
        """What a receipt or manifest lists has to be there, as it says."""
        for file, checksum in files:
            if checksum != self.reference.sha256(file):
                self.wrong.append(f"{path} lists {file} with another checksum than an undisturbed run")
            # a block that fails takes its receipt back before its files
            elif not self.root.exists(file) and self.root.exists(path):
                self.wrong.append(f"{path} lists {file}, which is not there")

    def _states(self) -> dict[str, object]:
        """A stamp of each file that changes with its content."""
        local = self.root.local_path
        if local is None:
            remote = self.root._remote()
            base = len(str(remote._strip_protocol(self.root.url)).rstrip("/")) + 1
            listed = remote.find(self.root.url, detail=True)
            return {path[base:]: info["ETag"] for path, info in listed.items() if "ETag" in info}  # others are folders
        found: dict[str, object] = {}
        for path in self.root.list():
            try:
                state = (local / path).stat()
            except FileNotFoundError:
                continue
            found[path] = state.st_ino, state.st_mtime_ns, state.st_size
        return found


@contextmanager
def observing(url: str, reference: Reference) -> Iterator[Observer]:
    """Looks while something happens, and fails afterwards where anything was wrong at any time."""
    with Observer(url, reference) as observer:
        yield observer
    assert observer.looks > 3 and observer.compared > 0, "nothing was seen"
