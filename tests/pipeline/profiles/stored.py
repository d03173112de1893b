"""Small enriched stores with whatever values a test wants, written by the store's own writer, without an enrichment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oceanrecon.pipeline.profiles.schema import ENRICHED, enriched_columns
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.stores.columns import ColumnLayout, encode_rows, metadata, shard_path
from oceanrecon.stores.files import Root

DEPTH = (0.5, 5.0, 10.0, 300.0)


def write_store(
    folder: Path,
    values: Mapping[str, Any],
    products: Sequence[str] = ("glorys", "ostia", "sss"),
    depth: tuple[float, ...] = DEPTH,
    **attrs: Any,
) -> Path:
    """Write ``enriched_argo_profiles.zarr`` into a folder; columns that are not given are missing in every row."""
    rows = len(np.asarray(values["profile_date"]))
    columns = enriched_columns(PRODUCTS[name] for name in products)
    layout = ColumnLayout(columns, depth, {"quality": "standard", "sampling": "primary", "max_gap_days": 7} | attrs)
    unknown = set(values) - {column.name for column in columns}
    assert not unknown and rows <= layout.shard_rows, unknown
    root = Root(str(folder))
    for column in columns:
        if rows and column.name in values:
            kind = object if column.dtype == "string" else column.dtype
            shard = encode_rows(layout, column, np.asarray(values[column.name], dtype=kind))
            if shard is not None:
                root.write(shard_path(ENRICHED, column, 0), shard)
    for path, content in metadata(layout, rows).items():
        root.write(f"{ENRICHED}/{path}", content)
    root.clear_staging()
    return folder


def random_values(rows: int, seed: int = 0, depth: tuple[float, ...] = DEPTH) -> dict[str, Any]:
    """Values of all columns that are inspected, in two years around 2012-02-29, with gaps of every kind."""
    random = np.random.default_rng(seed)
    shape = (rows, len(depth))

    def measured(low: float, high: float, size: Any = shape, missing: float = 0.3) -> Any:
        drawn = random.uniform(low, high, size).astype(np.float32)
        return np.where(random.random(size) < missing, np.float32(np.nan), drawn)

    days = np.datetime64("2011-03-01") + np.sort(random.integers(0, 730, rows))
    kind = np.where(random.random(rows) < 0.4, "argo", "en4").astype(object)
    temp, psal = measured(-1.9, 31), measured(30, 38)
    return {
        "source_kind": kind,
        "data_mode": random.choice(["D", "A", "R", ""], rows).astype(object),
        "platform_number": random.choice(["", *(f"59000{number:02d}" for number in range(40))], rows).astype(object),
        "profile_date": np.array([int(str(day).replace("-", "")) for day in days], np.int64),
        "latitude": random.uniform(-78, 78, rows),
        "longitude": random.uniform(-180, 180, rows),
        "argo_temp_on_glorys_depth": temp,
        "argo_potm_on_glorys_depth": np.where(random.random(shape) < 0.1, np.float32(np.nan), temp - np.float32(0.03)),
        "argo_psal_on_glorys_depth": psal,
        "glorys_thetao": temp + measured(-1.5, 2),
        "glorys_so": psal + measured(-0.4, 0.3),
        "ostia_analysed_sst": measured(271.3, 304, rows),
        "sss_sos": measured(30, 38, rows),
        **{f"{name}_temporal_status": random.integers(0, 4, rows) for name in ("glorys", "ostia", "sss")},
    }
