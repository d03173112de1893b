"""The tables of a TACO dataset, and what it says of itself, made from its files."""

from __future__ import annotations

import hashlib
import io
import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from oceanrecon.errors import OutputError
from oceanrecon.grid.octants import OCTANTS
from oceanrecon.grid.regions import Box
from oceanrecon.stores.taco import COLLECTION, FOLDER_TABLE, LEVELS, SLOTS, Description, Member, date_id, hull
from oceanrecon.stores.tile_inventory import box_wkb

#: Of the format.
_TACO_VERSION = "0.5.0"
_CRS = "EPSG:4326"
#: Key of COLLECTION.json: what the tables are, so that a table that was changed is found.
TABLES = "oceanrecon:tables"
#: Likewise: which sources were chosen.
SOURCES = "oceanrecon:sources"
_REGIONS = tuple(octant.name for octant in OCTANTS)
#: Files of a region, and of a date.
_WIDE, _MANY = len(SLOTS), len(SLOTS) * len(_REGIONS)

#: By path below the dataset: where the content is in the one file, offset and size.
Spans = Mapping[str, tuple[int, int]]


def level_table(members: Sequence[Member], level: int, spans: Spans | None = None) -> pa.Table:
    """The table of a level of the tree: dates, regions of dates, or files of regions of dates.

    Args:
        members: as of ``completed``.
        level: 0, 1 or 2.
        spans: in the one file; of a folder that of its ``__meta__``.
    """
    size = (_MANY, _WIDE, 1)[level]
    groups = [members[first : first + size] for first in range(0, len(members), size)]
    firsts = [group[0] for group in groups]
    extents = [one.extent for one in firsts] if level == 2 else [hull(group) for group in groups]
    columns: dict[str, pa.Array] = {
        "id": _texts((date_id(one.date), one.region, one.slot.file)[level] for one in firsts),
        "type": _texts(["FILE" if level == 2 else "FOLDER"] * len(groups)),
    }
    if level < 2:
        columns["n_available"] = pa.array([sum(one.available for one in group) for group in groups], pa.int64())
    else:
        columns |= {
            "available": pa.array([one.available for one in firsts], pa.bool_()),
            "data_source": _texts(one.source for one in firsts),
            "modality": _texts(one.slot.modality for one in firsts),
            "sensor": _texts(one.sensor for one in firsts),
            "variable": _texts(one.variable for one in firsts),
            "res_deg_lat": pa.array([one.resolution_degrees for one in firsts], pa.float64()),
            "res_km_lat": pa.array([one.resolution_km for one in firsts], pa.float64()),
            "n_obs": pa.array([one.n_obs for one in firsts], pa.int64()),
            "valid": pa.array([one.valid for one in firsts], pa.int64()),
            "size": pa.array([one.size for one in firsts], pa.int64()),
            "sha256": _texts(one.sha256 for one in firsts),
        }
    columns |= {
        "istac:centroid": pa.array([extent and _centre(extent.box) for extent in extents], pa.binary()),
        "istac:crs": _texts([_CRS] * len(groups)),
        "istac:geometry": pa.array([extent and box_wkb(extent.box) for extent in extents], pa.binary()),
        "istac:time_end": _times(None if extent is None else extent.end for extent in extents),
        "istac:time_middle": _times(None if extent is None else (extent.start + extent.end) // 2 for extent in extents),
        "istac:time_start": _times(None if extent is None else extent.start for extent in extents),
        "internal:current_id": pa.array(range(len(groups)), pa.int64()),
        "internal:parent_id": pa.array(
            [number // (1, len(_REGIONS), _WIDE)[level] for number in range(len(groups))], pa.int64()
        ),
    }
    paths = [one.path if level == 2 else "/".join([*one.path.split("/")[: level + 1], ""]) for one in firsts]
    if spans is not None:
        found = [spans[f"DATA/{path}{'' if level == 2 else FOLDER_TABLE}"] for path in paths]
        columns["internal:offset"] = pa.array([offset for offset, _ in found], pa.int64())
        columns["internal:size"] = pa.array([length for _, length in found], pa.int64())
    if level:
        columns["internal:relative_path"] = _texts(paths)
    return pa.table(columns)


def folder_tables(table: pa.Table, level: int) -> Iterator[tuple[str, pa.Table]]:
    """Path and table of ``__meta__`` of all folders of a level, from the table of what they hold.

    Args:
        table: of the level below.
        level: of the folders, 0 or 1.
    """
    size = len(_REGIONS) if level == 0 else _WIDE
    kept = [
        name for name in table.column_names
        if not name.startswith("internal:") or name in ("internal:offset", "internal:size")
    ]  # fmt: skip
    paths = table.column("internal:relative_path").to_pylist()
    for first in range(0, table.num_rows, size):
        folder = paths[first].rstrip("/").rpartition("/")[0]
        yield f"DATA/{folder}/{FOLDER_TABLE}", table.slice(first, size).select(kept)


def collection(about: Description, members: Sequence[Member], tables: Mapping[str, bytes]) -> bytes:
    """What ``COLLECTION.json`` holds.

    Args:
        about: what the dataset says of itself.
        members: as of ``completed``.
        tables: content of ``LEVELS``.
    """
    extent = hull(members)
    content = {
        "id": about.id,
        "dataset_version": about.version,
        "description": about.description,
        "licenses": list(about.licenses),
        "providers": [{"name": name, "roles": ["producer"], "url": None, "links": None} for name in about.providers],
        "tasks": list(about.tasks),
        "taco_version": _TACO_VERSION,
        "title": about.title,
        "curators": None,
        "keywords": list(about.keywords),
        "extent": {"spatial": list(extent.box), "temporal": [instant(extent.start), instant(extent.end)]},
        "taco:pit_schema": tree_schema(len(members) // _MANY),
        "taco:field_schema": {
            f"level{number}": [
                [column.name, str(column.type), _COLUMNS[column.name]]
                for column in pq.read_schema(io.BytesIO(tables[path]))
            ]
            for number, path in enumerate(LEVELS)
        },
        SOURCES: list(about.sources),
        TABLES: {path: stamp(tables[path]) for path in LEVELS},
    }
    return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"


def described(content: Mapping[str, Any]) -> Description:
    """What the dataset of a ``COLLECTION.json`` says of itself.

    Raises:
        OutputError: something is missing.
    """
    try:
        return Description(
            id=content["id"],
            version=content["dataset_version"],
            title=content["title"],
            description=content["description"],
            licenses=tuple(content["licenses"]),
            providers=tuple(provider["name"] for provider in content["providers"]),
            tasks=tuple(content["tasks"]),
            keywords=tuple(content["keywords"] or ()),
            sources=tuple(content[SOURCES]),
        )
    except (KeyError, TypeError) as error:
        raise OutputError(f"{COLLECTION} is not of a dataset of ours: {error!r}; build it anew") from error


def stamp(content: bytes) -> dict[str, int | str]:
    """Size and checksum."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def stamps(content: Mapping[str, Any]) -> dict[str, dict[str, int | str]]:
    """Sizes and checksums of the tables, as ``COLLECTION.json`` has them; none where another tool wrote it."""
    return dict(content.get(TABLES, {}))


def tree_schema(dates: int) -> dict[str, Any]:
    """The tree, as the format describes it."""
    wide = len(_REGIONS)
    files = {"n": dates * _WIDE, "type": ["FILE"] * _WIDE, "id": [slot.file for slot in SLOTS]}
    return {
        "root": {"n": dates, "type": "FOLDER"},
        "shape": [dates, wide, _WIDE],
        "hierarchy": {
            "1": [{"n": dates * wide, "type": ["FOLDER"] * wide, "id": list(_REGIONS)}],
            "2": [files] * wide,
        },
    }


def instant(microseconds: int) -> str:
    """ISO 8601, UTC, of microseconds since 1970."""
    seconds, rest = divmod(microseconds, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest).isoformat().replace("+00:00", "Z")


_COLUMNS = {
    "id": "name, unique in its folder",
    "type": "FILE or FOLDER",
    "available": "whether the file has data",
    "n_available": "files that have data",
    "data_source": "key of the source",
    "modality": "model, satellite or in_situ",
    "sensor": "what measured",
    "variable": "what it is of",
    "res_deg_lat": "spacing of latitudes, degrees",
    "res_km_lat": "spacing of latitudes, km",
    "n_obs": "points, or cells that have some",
    "valid": "values that are there",
    "size": "bytes",
    "sha256": "checksum of the file",
    "istac:centroid": "centre of the box of the data, WKB, EPSG:4326",
    "istac:crs": "reference system of the coordinates",
    "istac:geometry": "box of the data, WKB",
    "istac:time_end": "last instant of the data, UTC",
    "istac:time_middle": "between the first and the last, UTC",
    "istac:time_start": "first instant of the data, UTC",
    "internal:current_id": "place in this table",
    "internal:parent_id": "place of its folder in the table above",
    "internal:offset": "first byte in the one file",
    "internal:size": "bytes in the one file",
    "internal:relative_path": "path below DATA",
}


def _centre(box: Box) -> bytes:
    west, south, east, north = box
    return struct.pack("<BI2d", 1, 1, (west + east) / 2, (south + north) / 2)


def _texts(values: Iterable[str]) -> pa.Array:
    return pa.array(list(values), pa.string())


def _times(values: Iterable[int | None]) -> pa.Array:
    return pa.array(list(values), pa.timestamp("us"))
