"""Makes a folder that is ready for a dataset hub: the store by hard links, tables, card, STAC item, Croissant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.pipeline.profiles.locate import PACKAGED
from oceanrecon.pipeline.profiles.schema import ENRICHED
from oceanrecon.pipeline.recipe import MASK
from oceanrecon.profile_config import PackageSettings, ProfilesSettings
from oceanrecon.stores.files import Root
from oceanrecon.stores.hub.card import texts
from oceanrecon.stores.hub.croissant import croissant, validate_croissant
from oceanrecon.stores.hub.facts import CROISSANT, STAC_ITEM, Asset, PackageFacts, check_names, hub_library, to_json
from oceanrecon.stores.hub.links import Placed, claim, place, put, tree, write_checksums
from oceanrecon.stores.hub.stac import stac_item, validate_stac
from oceanrecon.stores.hub.tables import describe_store, write_profiles, write_variables
from oceanrecon.stores.manifest import MANIFEST, PROFILES, dump_manifest, read_manifest

_Known = dict[str, tuple[int, str]]


@dataclass(frozen=True)
class PackageResult:
    """What a package holds."""

    output: str
    profiles: int
    files: int
    #: of those, hard links, which take no space
    linked: int
    bytes: int
    notes: tuple[str, ...]


def make_package(settings: ProfilesSettings, *, on_file: Callable[[int, int], None] | None = None) -> PackageResult:
    """Make the package of a profile store.

    Nothing is ever deleted in the folder, and no file of somebody else's replaced. A run that was stopped is gone on
    with by running it again.

    Args:
        settings: of the profile store, with ``package``.
        on_file: called with how many files are in place, and how many there will be.

    Raises:
        ConfigError: the settings have no ``package``, or a library that checks the package is not installed.
        OutputError: there is no finished store, the folder holds other files, or cannot be written.
    """
    wanted = settings.package
    if wanted is None:
        raise ConfigError("the settings have no `package`: add `package: {output: FOLDER}`")
    check_names(wanted.name, wanted.license)
    for library in ("pystac", "mlcroissant"):  # before anything is written
        hub_library(library, "check the package")
    source, package = Root(settings.output), Root(wanted.output)
    manifest = _manifest(source)
    groups = [_Group(source, tree(source, ENRICHED, PACKAGED), _known_of_store(manifest))]
    assets: tuple[Asset, ...] = ()
    rewritten: dict[str, bytes] = {}
    if wanted.with_export and settings.grid is not None:
        export = Root(settings.grid.export)
        group, assets, rewritten = _export(export, package)
        groups.append(group)
    paths = [path for group in groups for path in group.files]
    claim(package, [*paths, *rewritten], [PACKAGED, *(asset.path for asset in assets if asset.path != MANIFEST)])
    placed: list[Placed] = []
    for group in groups:
        for file in place(group.source, group.files, package, mode=_MODES[wanted.files], known=group.known):
            placed.append(file)
            if on_file is not None:
                on_file(len(placed), len(paths))
    table = write_profiles(source, ENRICHED, package)
    facts = PackageFacts(
        name=wanted.name,
        title=wanted.title,
        license=wanted.license,
        creator=wanted.creator,
        created_by=f"oceanrecon {version('oceanrecon')}",
        created_utc=dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        store=PACKAGED,
        contents=describe_store(source, ENRICHED),
        coverage=table.coverage,
        sources=tuple(manifest["sources"]),
        assets=assets,
    )
    variables = write_variables(package, facts.contents.variables, PACKAGED)
    item, described = stac_item(facts), croissant(facts, table, variables)
    validate_stac(item)
    validate_croissant(described)
    made = texts(facts) | {STAC_ITEM: to_json(item), CROISSANT: to_json(described)} | rewritten
    placed += [table.file, variables, *put(package, made)]
    write_checksums(package, placed)
    linked = sum(file.linked for file in placed)
    return PackageResult(
        output=package.url,
        profiles=facts.contents.profile_count,
        files=len(placed),
        linked=linked,
        bytes=sum(file.bytes for file in placed),
        notes=tuple(_notes(manifest, wanted, linked, len(paths))),
    )


_MODES: dict[str, Any] = {"link": "hardlink", "copy": "copy"}


@dataclass(frozen=True)
class _Group:
    """Files that come from one folder: their paths in the package, and their size and checksum where known."""

    source: Root
    files: dict[str, str]
    known: _Known


def _manifest(source: Root) -> dict[str, Any]:
    manifest = read_manifest(source, PROFILES)
    if not source.exists(f"{ENRICHED}/zarr.json"):
        raise OutputError(
            f"{source.url} has no finished profile store: run `oceanrecon profiles enrich CONFIG`, or --resume it"
        )
    return manifest


def _known_of_store(manifest: dict[str, Any]) -> _Known:
    described = dict(manifest["files"])
    for files in manifest["shards"].values():
        described |= files
    return {path: (of["bytes"], of["sha256"]) for path, of in described.items()}


def _export(export: Root, package: Root) -> tuple[_Group, tuple[Asset, ...], dict[str, bytes]]:
    """Rasters, mask and gridded profiles of an export, and its manifest as it is true of the package."""
    manifest = read_manifest(export)
    known: _Known = {}
    for entry in _entries(manifest["rasters"]):
        known[entry["path"]] = (entry["bytes"], entry["sha256"])
    section = manifest.get("argo")
    for path, of in (section or {"files": {}})["files"].items():
        known[path] = (of["bytes"], of["sha256"])
    if MASK in manifest["files"]:
        of = manifest["files"][MASK]
        known[MASK] = (of["bytes"], of["sha256"])
    if not known:
        raise OutputError(
            f"{export.url} has no GeoTIFFs, no mask and no gridded profiles: set package.with_export to false"
        )
    assets = [
        Asset("rasters", "rasters") if any(path.startswith("rasters/") for path in known) else None,
        Asset("masks", "masks") if MASK in known else None,
        Asset("gridded", section["path"]) if section else None,
        Asset("manifest", MANIFEST),
    ]
    # the dense store is not part of a package: its paths would lead nowhere
    manifest |= {
        "output_dir": package.url.rpartition("/")[2],
        "dense": None,
        "files": {path: of for path, of in manifest["files"].items() if path in known},
    }
    files = {path: path for path in sorted(known)}
    return _Group(export, files, known), tuple(asset for asset in assets if asset), {MANIFEST: dump_manifest(manifest)}


def _entries(rasters: dict[str, dict[str, list[dict[str, Any]]]]) -> Iterator[dict[str, Any]]:
    for variables in rasters.values():
        for entries in variables.values():
            yield from entries


def _notes(manifest: dict[str, Any], wanted: PackageSettings, linked: int, files: int) -> Iterator[str]:
    if wanted.files == "link" and linked < files:
        yield f"{files - linked} of {files} files are copies: the package is on another disk than its sources"
    if manifest["failures"]:
        first, count = manifest["failures"][0], len(manifest["failures"])
        yield f"the store lacks {count} months or files, such as {first['name']}: {first['message']}"
