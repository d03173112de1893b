"""``manifest.yaml``: what an export holds, built from receipts alone; loaders read only the paths it lists.

The keys up to ``rasters`` are those of the published layout and keep their meaning; the others are ours.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import yaml

from oceanrecon.errors import OutputError
from oceanrecon.grid.raster import RasterGrid
from oceanrecon.grid.times import EPOCH
from oceanrecon.stores.files import Root
from oceanrecon.stores.jobs import read_records
from oceanrecon.stores.receipts import Failure, FileRole, Receipt, WrittenFile, total_statistics
from oceanrecon.transform.encode import EncodingName, Stretch

SCHEMA_VERSION = 1
MANIFEST = "manifest.yaml"


@dataclass(frozen=True)
class ExportedProduct:
    """A product that an export has, with its variables in order."""

    name: str
    #: dataset identifier of the provider
    dataset: str
    variables: tuple[str, ...]
    #: mean over the window; else the file of the (nearest) date as it is
    windowed: bool


@dataclass(frozen=True)
class ExportHeader:
    """All of a manifest that receipts do not know."""

    #: program and version
    created_by: str
    #: ISO 8601
    created_utc: str
    output_dir: str
    #: requested range, both included
    start: dt.date
    end: dt.date
    grid: RasterGrid
    #: land mask, relative to the export
    mask_path: str
    #: where the land mask comes from
    mask_source: str
    encoding: EncodingName
    stretches: tuple[Stretch, ...]
    #: all targets, ascending, also those of earlier runs
    targets: tuple[dt.date, ...]
    #: such as ``dates of glorys``
    target_rule: str
    window_days: int
    #: m, downwards
    depth: tuple[float, ...]
    products: tuple[ExportedProduct, ...]
    #: product -> why it is left out
    left_out: Mapping[str, str]
    #: method and parameters, such as ``minimum_valid_fraction``
    regridding: Mapping[str, Any]
    #: of the GeoTIFFs (``ZSTD``), or ``None`` where there are none
    compression: str | None
    #: path of the zarr store relative to the export, or ``None`` where there is none
    dense_path: str | None
    workers: int
    resume: bool
    versions: Mapping[str, str]
    #: path -> bytes and sha256 of the files that belong to no block: the mask, and the metadata of the zarr store
    files: Mapping[str, Mapping[str, int | str]] = field(default_factory=dict)


def build_manifest(
    header: ExportHeader,
    receipts: Sequence[Receipt],
    failures: Sequence[Failure],
    argo: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The manifest of an export.

    The same export gives the same manifest but for ``created_utc``, ``output_dir``, ``parallelism`` and ``resume``.

    Args:
        header: what receipts do not know.
        receipts: of every finished block, in any order.
        failures: of every block that could not be made, in any order.
        argo: what is said of gridded profiles, where the export has some.
    """
    grid = header.grid
    ordered = sorted(receipts, key=lambda receipt: receipt.date)
    return {
        "schema_version": SCHEMA_VERSION,
        "created_by": header.created_by,
        "created_utc": header.created_utc,
        "output_dir": header.output_dir,
        "requested_date_range": {"start_date": _number(header.start), "end_date": _number(header.end)},
        "grid": {
            "source": header.mask_path,
            "source_original": header.mask_source,
            "width": grid.width,
            "height": grid.height,
            "crs": grid.crs,
            "transform_gdal": list(grid.transform_gdal),
            "resolution": {"x": grid.dx, "y": grid.dy},
        },
        "stretch": {stretch.name: stretch.manifest() for stretch in header.stretches},
        "surface_temporal_aggregation": {"target": "glorys", "window_days": header.window_days},
        "parallelism": {"raster_workers": header.workers},
        "resume": {"skip_existing": header.resume},
        "depth_axis_m": list(header.depth),
        "target_dates": [_number(date) for date in header.targets],
        "rasters": _by_variable(header, ordered, "geotiff"),
        "encoding": header.encoding,
        "time": {
            "units": f"days since {EPOCH.isoformat()}",
            "calendar": "proleptic_gregorian",
            "targets": header.target_rule,
            "window": f"days d with |d - target| <= {(header.window_days - 1) // 2}",
            "coverage_start": header.targets[0].isoformat() if header.targets else None,
            "coverage_end": header.targets[-1].isoformat() if header.targets else None,
        },
        "regridding": dict(header.regridding),
        "products": {
            "exported": {
                product.name: {"dataset": product.dataset, "variables": list(product.variables)}
                for product in header.products
            },
            "left_out": dict(sorted(header.left_out.items())),
        },
        "dense": None
        if header.dense_path is None
        else {"path": header.dense_path, "shards": _by_variable(header, ordered, "zarr")},
        "argo": None if argo is None else dict(argo),
        "files": {path: dict(described) for path, described in header.files.items()},
        "sources": _sources(header, ordered),
        "failures": [
            asdict(failure)
            for failure in sorted(failures, key=lambda failure: (failure.product, failure.variable, failure.date))
        ],
        "versions": dict(sorted(header.versions.items())),
    }


def write_manifest(root: Root, manifest: Mapping[str, Any]) -> None:
    """Write ``manifest.yaml``; the last file of an export."""
    root.write(MANIFEST, dump_manifest(manifest))


def dump_manifest(manifest: Mapping[str, Any]) -> bytes:
    """The file that a manifest is kept as."""
    return yaml.dump(dict(manifest), Dumper=_Dumper, sort_keys=False, width=120).encode()


#: ``kind`` of the manifest of a profile store, of a patch index, and of statistics; that of an export has none.
PROFILES, PATCHES, STATISTICS = "profiles", "patches", "statistics"
#: By kind: what it is, with its article; the command that makes it; what shows it.
_KINDS: dict[str | None, tuple[str, str, str]] = {
    None: ("an export", "export", "`oceanrecon inspect`"),
    PROFILES: ("a profile store", "profiles enrich", "`oceanrecon profiles inspect`"),
    PATCHES: ("a patch index", "patches index", "`oceanrecon patches stats`"),
    STATISTICS: ("a folder of statistics", "statistics", "docs/statistics.md"),
}


def read_manifest(root: Root, kind: str | None = None) -> dict[str, Any]:
    """The manifest of an export; or of what ``kind`` says: ``PROFILES``, ``PATCHES`` or ``STATISTICS``.

    Raises:
        OutputError: there is none, it is not YAML, it is one of another kind, or a later version wrote it.
    """
    what, command, _ = _KINDS[kind]
    if root.local_path is not None and not root.local_path.is_dir():
        raise OutputError(f"there is no folder {root.url}: correct the path, or make it with `oceanrecon {command}`")
    content = root.read_if_there(MANIFEST)
    if content is None:
        name = what.partition(" ")[2]
        job = next(iter(read_records(root)), None) if kind is None else None
        if job is not None:
            raise OutputError(
                f"{root.url} has not finished: its job {job.id} is {job.state}; "
                + (
                    f"`oceanrecon resume {job.id}` goes on with it"
                    if job.ended
                    else f"`oceanrecon watch {job.id}` follows it; if nobody drives it, `oceanrecon resume {job.id}`"
                )
            )
        raise OutputError(
            f"{root.url} has no {MANIFEST}: it is no {name}, or one that has not finished; run `{command} --resume`"
        )
    try:
        manifest = yaml.load(content, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise OutputError(
            f"{root.url_of(MANIFEST)} is damaged: {error}; run `{command} --resume` to write it again"
        ) from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise OutputError(
            f"{root.url_of(MANIFEST)} has schema_version {version}, this program reads {SCHEMA_VERSION}: use the "
            "version that wrote it"
        )
    if manifest.get("kind") != kind:
        found, _, hint = _KINDS.get(manifest.get("kind"), ("another output", "", "its page in the documentation"))
        raise OutputError(f"{root.url} is {found}: see {hint}, or give another folder")
    return dict(manifest)


class _Dumper(yaml.CSafeDumper):
    """Writes equal lists out each time: an alias would puzzle who reads the file."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _by_variable(
    header: ExportHeader, receipts: Iterable[Receipt], role: FileRole
) -> dict[str, dict[str, list[dict[str, Any]]]]:
    listed: dict[str, dict[str, list[dict[str, Any]]]] = {
        product.name: {variable: [] for variable in product.variables} for product in header.products
    }
    windowed = {product.name: product.windowed for product in header.products}
    for receipt in receipts:
        file = receipt.file(role)
        if file is not None:
            entry = _entry(header, receipt, file, windowed=windowed[receipt.product])
            listed[receipt.product][receipt.variable].append(entry)
    return listed


def _entry(header: ExportHeader, receipt: Receipt, file: WrittenFile, *, windowed: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"date": int(receipt.date), "path": file.path, "bytes": file.bytes, "sha256": file.sha256}
    days = receipt.file("days")
    if file.role == "zarr" and days is not None:
        entry["days"] = {"path": days.path, "bytes": days.bytes, "sha256": days.sha256}
    if file.role == "geotiff":
        entry |= {"compression": header.compression, "band_count": len(receipt.statistics)}
    elif receipt.file("geotiff") is not None:
        # Said once per block: a reader of YAML takes a second per hundred thousand words.
        return entry
    total = total_statistics(receipt.statistics)
    paths = list(dict.fromkeys(source.path for source in receipt.sources))
    entry |= {"source_files": paths} if windowed else {"source_file": paths[0]}
    return entry | {
        "stats": total.counts(),
        "values": {"minimum": total.minimum, "maximum": total.maximum, "mean": total.mean},
        "days_used": [int(day) for day in receipt.days_used],
        "target_distance_days": receipt.target_distance_days,
        "regridding": receipt.regridding,
        "encoding": header.encoding,
        "warnings": list(receipt.warnings),
    }


def _sources(header: ExportHeader, receipts: Iterable[Receipt]) -> dict[str, dict[str, dict[str, int]]]:
    sources: dict[str, dict[str, dict[str, int]]] = {product.name: {} for product in header.products}
    for receipt in receipts:
        for source in receipt.sources:
            described = {"bytes": source.bytes, "mtime_ns": source.mtime_ns}
            if source.revision is not None:
                described["revision"] = int(source.revision)
            sources[receipt.product][source.path] = described
    return {product: dict(sorted(files.items())) for product, files in sources.items()}


def _number(date: dt.date) -> int:
    return int(f"{date:%Y%m%d}")


def surface_window(manifest: Mapping[str, Any]) -> int:
    """Odd number of days that the surface fields of an export are means over."""
    return int(manifest["surface_temporal_aggregation"]["window_days"])


def valid_fraction(manifest: Mapping[str, Any]) -> float:
    """Least valid weight of a cell that an export was made with."""
    return float(manifest["regridding"]["minimum_valid_fraction"])


def export_fingerprint(manifest: Mapping[str, Any]) -> str:
    """sha256 of what an export holds: grid, depths, encoding, and the checksum of every file of fields and profiles.

    Neither where it lies nor how often it was resumed changes it.
    """
    dense = manifest["dense"] or {}
    files = [
        [product, variable, entry["date"], entry["sha256"]]
        for listed in (manifest["rasters"], dense.get("shards", {}))
        for product, variables in listed.items()
        for variable, entries in variables.items()
        for entry in entries
    ]
    argo = manifest.get("argo") or {}
    described = {key: argo.get(key) for key in ("encoding", "temperature_source", "window_days", "files")}
    grid = manifest["grid"]
    place = [grid["width"], grid["height"], grid["crs"], grid["transform_gdal"], manifest["files"].get(grid["source"])]
    stable = [place, manifest["depth_axis_m"], manifest["encoding"], files, described]
    return hashlib.sha256(json.dumps(stable, sort_keys=True).encode()).hexdigest()


def export_grid(manifest: dict[str, Any]) -> RasterGrid:
    """The grid of an export, from its manifest."""
    described = manifest["grid"]
    west, dx, _, north, _, dy = described["transform_gdal"]
    return RasterGrid(west, north, dx, -dy, described["width"], described["height"], described["crs"])
