"""``manifest.yaml`` of a profile store, and the attributes of the store: what it is, from what, by which rules."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from oceanrecon.grid import parse_date
from oceanrecon.grid.times import next_month
from oceanrecon.pipeline.profiles.plan import EnrichPlan
from oceanrecon.pipeline.profiles.schema import ENRICHED, STATUS
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.stores.columns import metadata_files
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import PROFILES, SCHEMA_VERSION, write_manifest
from oceanrecon.stores.steps import Step, read_failures, read_steps

_LIBRARIES = ("dask", "distributed", "gsw", "h5py", "netCDF4", "numba", "numpy", "oceanrecon", "pyarrow", "zarr")
_SOURCES = {
    "en4": "EN4 profiles of the Met Office Hadley Centre",
    "argo": "Argo GDAC, doi:10.17882/42182",
}
#: The rules, as they are kept with the data.
PROCESSING = {
    "identity": "platform, cycle and direction; of the same Argo cycle in several files the one of the best data mode; "
    "an EN4 profile less than one hour and 5 km away from an accepted Argo profile of its platform is that profile",
    "quality": "flags of values and of depths filter levels; impossible positions and dates reject the profile",
    "depth": "per variable: levels sorted by depth, equal depths averaged; a target depth between the shallowest and "
    "the deepest level has a value where the nearer neighbour is within max(10 % of it, 10 m); linear; never "
    "extrapolated",
    "argo": "adjusted values where the data mode is A or D; depth and potential temperature by TEOS-10",
    "time": "the gridded file whose date is nearest to the day of the profile, ties to the earlier; none further away "
    "than max_gap_days",
    "place": "bilinear over the four nodes around the profile, normalised by those that have a value; the nearest node "
    "for masks and flags; periodic in longitude",
}


def store_attributes(planned: EnrichPlan, months: Mapping[str, Step], shard_keys: Sequence[str]) -> dict[str, Any]:
    """Attributes of the store: the same inputs and settings give the same."""
    recipe = planned.recipe
    kinds = sorted({used.kind for step in months.values() for used in step.sources} & set(_SOURCES))
    return {
        "title": "Ocean profiles on model levels, with gridded fields sampled beside them",
        "featureType": "profile",
        "source": "; ".join(_SOURCES[kind] for kind in kinds),
        "profile_sources": {kind: _SOURCES[kind] for kind in kinds},
        "gridded_sources": {
            name: {"title": PRODUCTS[name].title, "dataset": PRODUCTS[name].dataset} for name in recipe.products
        },
        "quality": recipe.quality,
        "sampling": recipe.sampling,
        "max_gap_days": recipe.max_gap_days,
        "processing": PROCESSING,
        "status_values": {str(number): meaning for number, meaning in enumerate(STATUS)},
        "months": list(months),
        "days_held": held_days(planned, months),
        "counts": counts_of(planned.undated, months),
        # what is made from a part of the store is made again when these change
        "shard_keys": list(shard_keys),
    }


def held_days(planned: EnrichPlan, months: Mapping[str, Step]) -> list[list[int]]:
    """First and last day (YYYYMMDD) of each stretch of days whose profiles the store has.

    Where EN4 is among the sources, a month without its EN4 file is none of them: a few floats are not all profiles. Of
    Argo alone a month needs an accepted profile. A month that failed anew, and whose older receipt does not say its
    days, is none either: nobody knows whether it has those that are asked for.
    """
    with_en4 = {name for name, step in months.items() if any(used.kind == "en4" for used in step.sources)}
    en4 = bool(with_en4) or planned.settings.en4 is not None
    asked = {month.name: month for month in planned.months}
    found: list[list[dt.date]] = []
    for name, step in months.items():
        if not (name in with_en4 if en4 else step.counts["accepted"]):
            continue
        if step.days:
            first, last = (parse_date(day) for day in step.days)
        elif name in asked:  # an older receipt: of these days where it has their key
            if step.key != asked[name].key(planned.recipe):
                continue
            first, last = asked[name].days(planned.recipe)
        else:
            first = parse_date(f"{name}-01")
            last = next_month(first) - dt.timedelta(days=1)
        if found and found[-1][1] + dt.timedelta(days=1) == first:
            found[-1][1] = last
        else:
            found.append([first, last])
    return [[int(f"{day:%Y%m%d}") for day in stretch] for stretch in found]


def counts_of(undated: Mapping[str, int], months: Mapping[str, Step]) -> dict[str, int]:
    """Profiles by what became of them, in all months."""
    counts: Counter[str] = Counter(undated)
    for step in months.values():
        counts.update(step.counts)
    return dict(sorted(counts.items()))


def write_profile_manifest(root: Root, planned: EnrichPlan, profiles: int, *, workers: int, resume: bool) -> None:
    """Write ``manifest.yaml``, the last file of a run; from receipts alone, but for its head."""
    months, _ = read_steps(root, "months")
    shards, _ = read_steps(root, "shards")
    manifest: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "kind": PROFILES,
        "created_by": f"oceanrecon {version('oceanrecon')}",
        "created_utc": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "output_dir": root.url,
        "parallelism": {"workers": workers},
        "resume": {"skip_existing": resume},
        "store": {"path": ENRICHED, "profiles": profiles, "depth_axis_m": list(planned.recipe.depth)},
        "quality": planned.recipe.quality,
        "sampling": planned.recipe.sampling,
        "max_gap_days": planned.recipe.max_gap_days,
        "processing": PROCESSING,
        "notes": list(planned.notes),
        "counts": counts_of(planned.undated, months),
        "counts_without_date": dict(planned.undated),
        "months": {
            name: {"counts": dict(step.counts), "notes": list(step.notes), "files": _described(step)}
            for name, step in months.items()
        },
        "shards": {name: _described(step) for name, step in shards.items()},
        "files": {
            path: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for path, data in root.read_many(metadata_files(root, ENRICHED)).items()
        },
        "sources": _sources(months),
        "failures": [vars(failure) for failure in read_failures(root)],
        "versions": {name: version(name) for name in _LIBRARIES},
    }
    write_manifest(root, manifest)


def _described(step: Step) -> dict[str, dict[str, int | str]]:
    return {file.path: {"bytes": file.bytes, "sha256": file.sha256} for file in step.files}


def _sources(months: Mapping[str, Step]) -> dict[str, dict[str, dict[str, int]]]:
    found: dict[str, dict[str, dict[str, int]]] = {}
    for used in (used for step in months.values() for used in step.sources):
        found.setdefault(used.kind, {})[used.path] = {"bytes": used.bytes, "mtime_ns": used.mtime_ns}
    return {kind: dict(sorted(files.items())) for kind, files in sorted(found.items())}
