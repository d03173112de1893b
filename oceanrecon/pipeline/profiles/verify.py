"""Checks a profile store against its receipts, and on demand against its sources; and packages against checksums."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import yaml

from oceanrecon.config import parse_settings
from oceanrecon.pipeline.holding import discarding
from oceanrecon.pipeline.local import OnDone
from oceanrecon.pipeline.profiles.month import make_month
from oceanrecon.pipeline.profiles.plan import EnrichPlan, plan_profiles
from oceanrecon.pipeline.profiles.recipe import SETTINGS
from oceanrecon.pipeline.profiles.schema import ENRICHED
from oceanrecon.pipeline.verify import Problem, Verification, check_bytes, check_steps
from oceanrecon.profile_config import ProfilesSettings
from oceanrecon.sources.unchanged import changed_since
from oceanrecon.stores.files import Root
from oceanrecon.stores.hub.links import read_checksums
from oceanrecon.stores.manifest import PROFILES, read_manifest
from oceanrecon.stores.steps import Step, read_steps, step_path

_AGAIN = "`oceanrecon profiles enrich CONFIG --resume`"
_REMEDY = f"run verify --discard-bad, then {_AGAIN}"


def verify_profiles(
    url: str, *, deep: bool = False, discard_bad: bool = False, on_done: OnDone | None = None
) -> Verification:
    """Check a profile store: checksums, sources unchanged.

    Args:
        url: output of an enrichment.
        deep: make every month again from its sources, and compare.
        discard_bad: remove the receipts of months and shards whose files are bad, so that ``profiles enrich --resume``
            makes them again.
        on_done: called with how many months are checked, and how many there are.

    Raises:
        OutputError: there is no finished profile store.
        LeaseError: bad files are to be discarded, and somebody writes there.
    """
    root = Root(url)
    manifest = read_manifest(root, PROFILES)
    with discarding(root, discard_bad):
        return _verify(root, manifest, deep=deep, discard_bad=discard_bad, on_done=on_done)


def _verify(
    root: Root, manifest: Mapping[str, Any], *, deep: bool, discard_bad: bool, on_done: OnDone | None
) -> Verification:
    problems = check_steps(root, ("months", "shards"), _REMEDY, discard_bad=discard_bad)
    if not root.exists(f"{ENRICHED}/zarr.json"):
        problems.append(Problem("unfinished", ENRICHED, f"the store is not finished: run {_AGAIN}"))
    for path, of in manifest["files"].items():
        problem, _ = check_bytes(root, path, of["bytes"], of["sha256"], _REMEDY)
        if problem is not None:
            problems.append(problem)
            if discard_bad:
                root.remove(path)
    months, _ = read_steps(root, "months")
    shards, _ = read_steps(root, "shards")
    listed = {
        path
        for files in (*manifest["shards"].values(), *(m["files"] for m in manifest["months"].values()))
        for path in files
    }
    written = {file.path for step in (*months.values(), *shards.values()) for file in step.files}
    problems += [
        Problem("unfinished", path, f"the manifest and the receipts differ: run {_AGAIN}")
        for path in sorted(listed ^ written)
    ]
    settings = parse_settings(ProfilesSettings, yaml.safe_load(root.read(SETTINGS)), root.url_of(SETTINGS))
    planned = plan_profiles(settings) if deep else None
    for number, (name, step) in enumerate(months.items(), start=1):
        found = list(_sources(settings, step))
        if planned is not None:
            found = list(_content(planned, step))
            if found and discard_bad:
                root.remove(step_path("receipts", "months", name))
        problems += found
        if on_done is not None:
            on_done(number, len(months))
    files = [file for step in (*months.values(), *shards.values()) for file in step.files]
    return Verification(len(files), sum(file.bytes for file in files), len(months), tuple(problems))


def _sources(settings: ProfilesSettings, step: Step) -> Iterator[Problem]:
    """Files that are gone, or were written since."""
    for used in step.sources:
        group = getattr(settings, used.kind) if used.kind in ("en4", "argo") else settings.archive
        if group is None:
            continue
        folder = Root(group.root)
        place = folder.url_of(used.path)
        changed = changed_since(place, used.bytes, used.mtime_ns)
        if changed is None:
            yield Problem("stale", step.name, f"its source {place} is gone (the store is as it was): restore it")
        elif changed:
            yield Problem("stale", step.name, f"its source {place} changed since: run {_AGAIN}, or verify --deep")


def _content(planned: EnrichPlan, step: Step) -> Iterator[Problem]:
    """Whether a month is the same when it is made again."""
    month = next((month for month in planned.months if month.name == step.name), None)
    if month is None:
        yield Problem("unchecked", step.name, "its sources are gone: restore them")
        return
    with tempfile.TemporaryDirectory() as folder:
        made = make_month(month, replace(planned.recipe, output=folder))
        if not isinstance(made, Step):
            yield Problem("unchecked", step.name, str(getattr(made, "message", made)))
            return
        before = {file.path: file.sha256 for file in step.files}
        for file in made.files:
            if before.get(file.path) != file.sha256:
                yield Problem("stale", file.path, f"it is another one when made from today's sources: run {_AGAIN}")


def verify_package(url: str, *, on_done: OnDone | None = None) -> Verification:
    """Check every file of a package against its ``checksums.txt``.

    Raises:
        OutputError: there is none, or it is damaged.
    """
    root = Root(url)
    known = read_checksums(root)
    problems: list[Problem] = []
    total = 0
    for number, (path, sha256) in enumerate(known.items(), start=1):
        size = root.size(path)
        problem, _ = check_bytes(root, path, size or 0, sha256, "run `oceanrecon profiles package` again")
        problems += [] if problem is None else [problem]
        total += size or 0
        if on_done is not None:
            on_done(number, len(known))
    return Verification(len(known), total, 0, tuple(problems))
