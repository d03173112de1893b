"""Receipts of the steps of a profile store: a month that was enriched, a shard that was assembled; and failures.

A step whose receipt has the same key, and whose files are there, is not done again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from oceanrecon.stores.files import Root

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class StoredFile:
    """A file of a step; ``path`` is relative to the output."""

    path: str
    bytes: int
    sha256: str
    #: of profiles, where the file holds some
    rows: int = 0


@dataclass(frozen=True)
class UsedFile:
    """A file that a step read; ``path`` is relative to the root of its kind."""

    #: ``en4``, ``argo``, or the name of a gridded product
    kind: str
    path: str
    bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Step:
    """What one step wrote, from what, and how."""

    #: ``months`` or ``shards``
    kind: str
    #: ``2012-03``, or the number of a shard
    name: str
    #: sha256 of everything that decides the bytes
    key: str
    files: tuple[StoredFile, ...]
    sources: tuple[UsedFile, ...] = ()
    #: profiles by what became of them, such as ``accepted`` and ``position_flag``
    counts: Mapping[str, int] = field(default_factory=dict)
    #: what is unusual, such as an unknown flag
    notes: tuple[str, ...] = ()
    #: seconds, by stage; memory in bytes
    timing: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    #: of a month: sha256 of its columns and depths, which all parts of a store have in common
    form: str = ""
    #: of a shard: ``[sha256 of a part, first row, last row (excluded)]`` of what it holds, in order
    pieces: tuple[tuple[str, int, int], ...] = ()
    #: of a day of a source: what the inventory says of each of its files
    rows: tuple[Mapping[str, Any], ...] = ()
    #: of a month: first and last day whose profiles it has, YYYYMMDD; older receipts do not say
    days: tuple[int, ...] = ()


@dataclass(frozen=True)
class StepFailure:
    """Why a step could not be done, or a source file not be read."""

    #: ``months``, ``shards`` or ``files``
    kind: str
    name: str
    #: the error's class
    error: str
    message: str


def step_path(folder: str, kind: str, name: str) -> str:
    """Where a receipt or a failure is: ``folder`` is ``receipts`` or ``failures``; a name may have folders."""
    return f"{folder}/{kind}/{name}.json"


def write_step(root: Root, step: Step) -> None:
    """Record a finished step, and forget that it ever failed."""
    root.write(step_path("receipts", step.kind, step.name), _to_json(asdict(step)))
    root.remove(step_path("failures", step.kind, step.name))


def write_failure(root: Root, failure: StepFailure, *, keep: bool = False) -> None:
    """Record that a step could not be done; what it did before no longer counts, unless it is to be kept."""
    root.write(step_path("failures", failure.kind, failure.name), _to_json(asdict(failure)))
    if not keep:
        root.remove(step_path("receipts", failure.kind, failure.name))


def read_steps(root: Root, kind: str) -> tuple[dict[str, Step], tuple[str, ...]]:
    """The finished steps of a kind by name, in the order of their names; and the paths of damaged receipts."""
    steps: dict[str, Step] = {}
    damaged: list[str] = []
    for path, data in _read_all(root, f"receipts/{kind}"):
        step = _step(data)
        if step is None:
            damaged.append(path)
        else:
            steps[step.name] = step
    return dict(sorted(steps.items())), tuple(damaged)


def _step(data: bytes) -> Step | None:
    try:
        values = _checked(json.loads(data))
        return Step(
            files=tuple(StoredFile(**item) for item in values.pop("files")),
            sources=tuple(UsedFile(**item) for item in values.pop("sources")),
            notes=tuple(values.pop("notes")),
            pieces=tuple((sha256, start, stop) for sha256, start, stop in values.pop("pieces")),
            rows=tuple(values.pop("rows", ())),
            days=tuple(values.pop("days", ())),
            **values,
        )
    except (ValueError, TypeError, KeyError):
        return None


def read_failures(root: Root) -> list[StepFailure]:
    """All recorded failures, sorted by kind and name; damaged ones are left out."""
    found = []
    for _, data in _read_all(root, "failures"):
        try:
            found.append(StepFailure(**_checked(json.loads(data))))
        except (ValueError, TypeError, KeyError):
            continue
    return sorted(found, key=lambda failure: (failure.kind, failure.name))


def forget_failures(root: Root, kind: str, gone: Callable[[str], bool]) -> None:
    """Remove the recorded failures of a kind whose names are ``gone``: mended, or no step any more."""
    for failure in read_failures(root):
        if failure.kind == kind and gone(failure.name):
            root.remove(step_path("failures", kind, failure.name))


def _read_all(root: Root, folder: str) -> Iterable[tuple[str, bytes]]:
    return root.read_many([path for path in root.list(folder) if path.endswith(".json")]).items()


def _to_json(values: dict[str, Any]) -> bytes:
    content = {"schema_version": SCHEMA_VERSION, **values}
    return (json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()


def _checked(values: Any) -> dict[str, Any]:
    if not isinstance(values, dict) or values.pop("schema_version") != SCHEMA_VERSION:
        raise ValueError("written by another version")
    return values
