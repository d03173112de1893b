"""A small enriched store, written with zarr alone, and the package facts about it."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from oceanrecon.stores.files import Root
from oceanrecon.stores.hub.card import texts
from oceanrecon.stores.hub.croissant import croissant
from oceanrecon.stores.hub.facts import CROISSANT, STAC_ITEM, Asset, PackageFacts, to_json
from oceanrecon.stores.hub.links import Placed, claim, place, put, tree, write_checksums
from oceanrecon.stores.hub.stac import stac_item
from oceanrecon.stores.hub.tables import ProfilesTable, describe_store, write_profiles, write_variables

STORE = "enriched_argo_profiles.zarr"
PACKAGED = "data/sample.zarr"
DEPTH = np.array([0.494025, 1.541375, 9.572997, 109.7293, 5727.917], np.float32)
ROWS = 21  # shards of 8 rows: two whole ones and a part


def columns(longitude: NDArray[np.float64]) -> dict[str, tuple[NDArray[Any], dict[str, Any]]]:
    """Name -> values and attributes; the values are random, but the same every time."""
    random = np.random.default_rng(3)
    rows = np.arange(ROWS)
    day = np.array([20120228, 20120229, 20120301])[rows // 7]
    found: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
        "profile": (rows, {"long_name": "row"}),
        "profile_source_file": (np.array([f"EN.4.2.2.f.profiles.g10.{d // 100}.nc" for d in day], object), {}),
        "profile_idx": (rows[::-1].copy(), {}),
        "profile_date": (day, {"long_name": "day, YYYYMMDD"}),
        "profile_juld": (22702.0 + rows / 7, {"units": "days since 1950-01-01", "standard_name": "time"}),
        "latitude": (np.linspace(-33.25, 61.5, ROWS), {"units": "degrees_north", "standard_name": "latitude"}),
        "longitude": (longitude, {"units": "degrees_east", "standard_name": "longitude"}),
        "valid_observed_depth_count": (random.integers(0, 400, ROWS), {}),
        "glorys_thetao": (random.normal(10, 5, (ROWS, DEPTH.size)).astype("f4"), {"units": "degC"}),
        "sealevel_adt": (random.normal(0, 1, ROWS).astype("f4"), {"units": "m", "long_name": "sea level"}),
        "glorys_temporal_status": (random.integers(0, 4, ROWS).astype("i1"), {"flag_values": [0, 1, 2, 3]}),
        "sealevel_temporal_status": (random.integers(0, 4, ROWS).astype("i1"), {}),
        "platform_number": (np.array([["6901929", "", "Q190002é"][row % 3] for row in rows], object), {}),
        "cycle_number": (np.where(rows % 3, -1, rows).astype("i4"), {}),
        "data_mode": (np.array(["D" if row % 3 == 0 else "" for row in rows], object), {}),
    }
    for name in ("temp", "potm", "psal"):
        valid = random.random((ROWS, DEPTH.size)) < 0.7
        values = np.where(valid, random.normal(20, 5, valid.shape), np.nan).astype("f4")
        found[f"argo_{name}_on_glorys_depth"] = values, {"units": "1" if name == "psal" else "degC"}
        found[f"argo_{name}_valid_on_glorys_depth"] = valid, {"coordinates": "latitude longitude"}
    return found


def write_store(
    folder: Path, longitude: NDArray[np.float64] | None = None, *, rows: int = ROWS, leave_out: str = ""
) -> Root:
    """The store below ``folder``; a root of that folder."""
    where = np.linspace(-40.0, 12.5, ROWS) if longitude is None else longitude
    attrs: dict[str, Any] = {
        "Conventions": "CF-1.11",
        "title": "sample",
        "quality": {"mode": "standard", "levels": [1, 2, -1]},
    }
    group = zarr.open_group(folder / STORE, mode="w", zarr_format=3, attributes=attrs)
    for name, (values, attributes) in columns(where).items():
        if name == leave_out:
            continue
        levels = values.shape[1:]
        array = group.create_array(
            name,
            shape=(rows, *levels),
            dtype="string" if values.dtype == object else values.dtype,
            chunks=(4, *levels),
            shards=(8, *levels),
            dimension_names=["profile", "glorys_depth"][: 1 + len(levels)],
            attributes=attributes,
        )
        array[...] = values[:rows]
    group.create_array(
        "glorys_depth", data=DEPTH, dimension_names=["glorys_depth"], attributes={"units": "m", "positive": "down"},
        compressors=None,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(str(folder / STORE))
    return Root(str(folder))


def make_facts(source: Root, table: ProfilesTable, **changes: Any) -> PackageFacts:
    """Facts of a package of that store."""
    facts = PackageFacts(
        name="sample-profiles",
        title="Sample: profiles of nowhere",
        license="other",
        creator="Institute of Samples",
        created_by="oceanrecon 0.1",
        created_utc="2026-01-31T12:34:56Z",
        store=PACKAGED,
        contents=describe_store(source, STORE),
        coverage=table.coverage,
        sources=("argo", "glorys", "en4", "sealevel"),
    )
    return dataclasses.replace(facts, **changes)


def write_package(source: Root, package: Root, **changes: Any) -> tuple[PackageFacts, ProfilesTable, Placed]:
    """A whole package, as the command makes it."""
    files = tree(source, STORE, PACKAGED)
    claim(package, files.keys(), [PACKAGED])
    placed = list(place(source, files, package))
    table = write_profiles(source, STORE, package)
    facts = make_facts(source, table, **changes)
    variables = write_variables(package, facts.contents.variables, PACKAGED)
    described = {STAC_ITEM: to_json(stac_item(facts)), CROISSANT: to_json(croissant(facts, table, variables))}
    placed += [table.file, variables, *put(package, texts(facts) | described)]
    write_checksums(package, placed)
    return facts, table, variables


ASSETS = (
    Asset("rasters", "rasters"),
    Asset("gridded", "argo/argo_profiles_on_grid.zarr"),
    Asset("manifest", "manifest.yaml"),
    Asset("masks", "masks"),
)
