"""``metadata/stac-item.json``: the package as one STAC item, made of core fields only, so that no schema is fetched."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from typing import Any

from oceanrecon.errors import OutputError
from oceanrecon.stores.hub.facts import (
    CARD,
    LICENSE,
    PROFILES_TABLE,
    SPDX,
    VARIABLES_TABLE,
    AssetKind,
    Box,
    PackageFacts,
    hub_library,
)

STAC_VERSION = "1.1.0"
_ZARR = "application/vnd.zarr"
_PARQUET = "application/vnd.apache.parquet"
#: key, title, media type and roles
_ASSETS: dict[AssetKind, tuple[str, str, str, list[str]]] = {
    "rasters": (
        "rasters",
        "Gridded fields, one GeoTIFF per variable and date",
        "image/tiff; application=geotiff",
        ["data"],
    ),
    "gridded": ("compact_argo", "Profiles on the pixels of the grid", _ZARR, ["data"]),
    "manifest": ("manifest", "What the gridded export holds", "application/yaml", ["metadata"]),
    "masks": ("masks", "Land mask of the grid", "image/tiff; application=geotiff", ["data"]),
}
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)")

_Json = dict[str, Any]


def stac_item(facts: PackageFacts) -> _Json:
    """The item; links and assets are relative to its own place in the package."""
    coverage = facts.coverage
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [],
        "id": facts.name,
        "bbox": list(coverage.bbox),
        "geometry": geometry(coverage.bbox),
        "properties": {
            "title": facts.title,
            "description": facts.summary,
            "keywords": facts.keywords,
            "license": SPDX.get(facts.license, "other"),
            "providers": _providers(facts),
            "datetime": None,
            "start_datetime": f"{coverage.start.isoformat()}T00:00:00Z",
            "end_datetime": f"{coverage.end.isoformat()}T23:59:59Z",
            "created": facts.created_utc,
            "oceanrecon:profile_count": facts.contents.profile_count,
            "oceanrecon:depth_m": list(facts.contents.depth),
        },
        "links": [
            {"rel": "license", "href": f"../{LICENSE}", "type": "text/plain", "title": "Terms of the sources"},
            {"rel": "about", "href": f"../{CARD}", "type": "text/markdown", "title": "Card of the dataset"},
            *(
                {"rel": "cite-as", "href": f"https://doi.org/{product.doi}", "title": product.title}
                for product in facts.upstream
            ),
        ],
        "assets": {
            "zarr": _asset(facts.store, "Profiles with all variables", _ZARR, ["data"]),
            "profiles": _asset(PROFILES_TABLE, "One row per profile", _PARQUET, ["metadata", "index"]),
            "variables": _asset(VARIABLES_TABLE, "One row per variable", _PARQUET, ["metadata"]),
            **{
                key: _asset(asset.path, title, media_type, roles)
                for asset in facts.assets
                for key, title, media_type, roles in (_ASSETS[asset.kind],)
            },
        },
    }


def geometry(bbox: Box) -> _Json:
    """The box as GeoJSON: cut in two at the dateline where it crosses it, a point where it has no extent."""
    west, south, east, north = bbox
    if west == east and south == north:
        return {"type": "Point", "coordinates": [west, south]}
    if west <= east:
        return {"type": "Polygon", "coordinates": [_ring(west, south, east, north)]}
    parts = [[_ring(west, south, 180.0, north)], [_ring(-180.0, south, east, north)]]
    return {"type": "MultiPolygon", "coordinates": parts}


def validate_stac(item: Mapping[str, Any]) -> None:
    """Check an item against the STAC core schemas that come with pystac; nothing is fetched.

    Raises:
        OutputError: it is not valid, with the reason; or pystac is not installed.
    """
    hub_library("jsonschema", "validate a STAC item")
    pystac = hub_library("pystac", "validate a STAC item")
    validation = hub_library("pystac.validation", "validate a STAC item")
    if item.get("stac_version") != STAC_VERSION or item.get("stac_extensions"):
        raise OutputError(
            f"the STAC item is not valid: it must be of version {STAC_VERSION} without extensions, and says "
            f"{item.get('stac_version')!r} with {item.get('stac_extensions')!r}"
        )
    try:
        validation.validate_dict(
            dict(item), stac_object_type=pystac.STACObjectType.ITEM, stac_version=STAC_VERSION, extensions=[]
        )
    except pystac.STACValidationError as error:
        raise OutputError(f"the STAC item is not valid: {_first_line(error)}") from error
    for problem in _time_problems(item["properties"]):
        raise OutputError(f"the STAC item is not valid: {problem}")


def _time_problems(properties: Mapping[str, Any]) -> Iterator[str]:
    """What the schemas let through: they do not look into formats."""
    for name in ("datetime", "start_datetime", "end_datetime", "created"):
        value = properties.get(name)
        if value is None:
            continue
        try:
            correct = _RFC3339.fullmatch(value) is not None and bool(dt.datetime.fromisoformat(value))
        except (TypeError, ValueError):
            correct = False
        if not correct:
            yield f"{name} {value!r} is not a time in UTC by RFC 3339, such as 2012-02-29T00:00:00Z"
    if properties.get("datetime") is None and properties["start_datetime"] > properties["end_datetime"]:
        yield f"it ends ({properties['end_datetime']}) before it starts ({properties['start_datetime']})"


def _first_line(error: Exception) -> str:
    cause = error.__cause__
    return str(getattr(cause, "message", None) or error).splitlines()[0]


def _ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def _asset(path: str, title: str, media_type: str, roles: list[str]) -> _Json:
    return {"href": f"../{path}", "title": title, "type": media_type, "roles": roles}


def _providers(facts: PackageFacts) -> list[_Json]:
    credited = {product.provider: product.url for product in facts.upstream}
    producers = [{"name": name, "url": url, "roles": ["producer", "licensor"]} for name, url in credited.items()]
    return [*producers, {"name": facts.creator, "roles": ["processor"]}]
