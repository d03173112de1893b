"""The GeoTIFF tags of an export: names and places are those that existing loaders look for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from oceanrecon.stores.receipts import BandStatistics
from oceanrecon.transform.encode import Stretch


def dataset_tags(
    product: str,
    variable: str,
    stretch: Stretch,
    date: dt.date,
    *,
    source_files: Sequence[str],
    days_used: Sequence[dt.date],
    aggregate_days: int | None,
    regridding: str,
    statistics: BandStatistics | None = None,
) -> dict[str, str]:
    """Tags of the whole file.

    Args:
        product: source product, such as ``glorys``.
        variable: such as ``thetao``.
        stretch: how the codes decode.
        date: the target date.
        source_files: names of the source files.
        days_used: the dates whose values are in it, ascending.
        aggregate_days: the window, for products that are averaged over it, else ``None``.
        regridding: the method.
        statistics: for files of one band; a file of levels has its counters in the bands (a reader adds up both).
    """
    described = stretch.manifest()
    tags = {
        "source_product": product,
        "variable": variable,
        "stretch_name": stretch.name,
        "storage_dtype": stretch.storage_dtype,
        "stretch_min": _text(stretch.minimum),
        "stretch_max": _text(stretch.maximum),
        "stretch_units": stretch.units,
        **{name: _text(described[name]) for name in _CODE_KEYS},
        "decode_formula": described["decode"],
        "date": f"{date:%Y%m%d}",
        # From the target, never from the clock: the same inputs give the same bytes.
        "TIFFTAG_DATETIME": f"{date:%Y:%m:%d} 00:00:00",
        "days_used": ",".join(f"{day:%Y%m%d}" for day in days_used),
        "regridding": regridding,
    }
    if days_used:
        tags["time_coverage_start"] = days_used[0].isoformat()
        tags["time_coverage_end"] = days_used[-1].isoformat()
    if aggregate_days is None:
        tags["source_file"] = ",".join(source_files)
    else:
        tags["aggregate_days"] = str(aggregate_days)
        tags["source_files"] = ",".join(source_files)
    if statistics is not None:
        tags |= {name: str(count) for name, count in statistics.counts().items()}
    return tags


def level_tags(stretch: Stretch, depth: float, statistics: BandStatistics) -> dict[str, str]:
    """Tags of one band of a file of levels; ``depth`` in m."""
    described = {name: _text(value) for name, value in stretch.manifest().items()}
    counts = {name: str(count) for name, count in statistics.counts().items()}
    return {"depth_m": _text(depth), **described, **counts}


def level_description(depth: float) -> str:
    """Description of a band at ``depth`` m, such as ``depth_0.494025_m``."""
    return f"depth_{depth:g}_m"


_CODE_KEYS = (
    "nodata",
    "valid_code_min",
    "valid_code_max",
    "valid_code_count",
    "quantization_step",
    "max_abs_quantization_error",
)


def _text(value: object) -> str:
    return repr(value) if isinstance(value, float) else str(value)
