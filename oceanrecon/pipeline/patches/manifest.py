"""``manifest.yaml`` of a patch index: what is in it, from what, by which rules; written last."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

from oceanrecon.pipeline.patches.plan import IndexPlan
from oceanrecon.pipeline.patches.spatial import INVALID
from oceanrecon.stores.manifest import PATCHES, SCHEMA_VERSION
from oceanrecon.stores.steps import StepFailure
from oceanrecon.stores.tables import Described

_LIBRARIES = ("dask", "distributed", "numpy", "oceanrecon", "pandas", "pyarrow")


def index_manifest(
    planned: IndexPlan,
    files: Described,
    rows: Mapping[str, int],
    profiles: int,
    failures: Iterable[StepFailure],
    notes: Iterable[str],
) -> dict[str, Any]:
    """The manifest of an index.

    Args:
        planned: what it was made by.
        files: its tables.
        rows: number of rows by phase.
        profiles: number of profiles.
        failures: profile files that could not be read.
        notes: what else there is to say of it.
    """
    settings, patches = planned.settings, planned.tiling.patches
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": PATCHES,
        "created_by": f"oceanrecon {version('oceanrecon')}",
        "created_utc": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "output_dir": settings.output,
        "grid": patches.grid.to_dict(),
        "tiling": {
            "tile": patches.tile,
            "stride": patches.stride,
            "edges": patches.edges,
            "periodic": patches.periodic,
            "rows": patches.shape[0],
            "columns": patches.shape[1],
        },
        "frequency": settings.rows.frequency,
        "days": settings.rows.days,
        "dates": planned.dates.table["date"].tolist(),
        "archive": None if settings.archive is None else settings.archive.root,
        "export": settings.export,
        "profiles": {
            "source": "gridded" if planned.section is not None else "files" if planned.months else None,
            "en4": None if settings.en4 is None else settings.en4.root,
            "argo": None if settings.argo is None else settings.argo.root,
            "quality": list(settings.rows.quality),
        },
        "split": {"method": settings.split.method, "strict": settings.split.strict},
        "footprint": planned.footprint.to_dict(),
        "counts": {
            "patches": int((planned.spatial["phase"] != INVALID).sum()),
            "rows": dict(rows),
            "profiles": profiles,
        },
        "notes": list(notes),
        "failures": [vars(failure) for failure in failures],
        "files": dict(sorted(files.items())),
        "versions": {name: version(name) for name in _LIBRARIES},
    }
