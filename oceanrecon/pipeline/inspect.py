"""The figures of an export, from its manifest and receipts alone."""

from __future__ import annotations

from typing import Any

from oceanrecon.pipeline.rebuild import load_export
from oceanrecon.sources.registry import product as find_product
from oceanrecon.stores.receipts import Receipt, read_failures, read_receipts, total_statistics


def inspect_export(url: str) -> dict[str, Any]:
    """What an export holds: whole figures, ``variables`` (one entry each) and ``failures``.

    Raises:
        OutputError: there is no finished export.
    """
    existing = load_export(url)
    manifest, grid = existing.manifest, existing.recipe.grid
    receipts = read_receipts(existing.root).receipts
    by_variable: dict[tuple[str, str], list[Receipt]] = {}
    for receipt in receipts:
        by_variable.setdefault((receipt.product, receipt.variable), []).append(receipt)
    formats = [name for name in ("geotiff", "zarr") if getattr(existing.settings.formats, name) is not None]
    targets = manifest["target_dates"]
    return {
        "export": existing.root.url,
        "made": f"{manifest['created_utc']} by {manifest['created_by']}",
        "archive": existing.archive_root,
        "targets": f"{len(targets)}: {targets[0]} .. {targets[-1]}",
        "grid": f"{grid.width} x {grid.height} at {grid.dx:g} degrees, {list(grid.bounds)}",
        "levels": len(manifest["depth_axis_m"]),
        "encoding": manifest["encoding"],
        "window_days": existing.settings.window_days,
        "formats": " and ".join(formats),
        "land_mask": manifest["grid"]["source_original"],
        "left_out": ", ".join(manifest["products"]["left_out"]) or "nothing",
        "files": sum(len(receipt.files) for receipt in receipts),
        "bytes": sum(file.bytes for receipt in receipts for file in receipt.files),
        "cpu_seconds": round(sum(receipt.timing["cpu"] for receipt in receipts), 1),
        "variables": [
            _variable(product, name, group, len(targets), existing.recipe.window_days)
            for (product, name), group in by_variable.items()
        ],
        "failures": [(f.variable, f.date, f.message) for f in read_failures(existing.root)],
    }


def _variable(product_name: str, name: str, receipts: list[Receipt], targets: int, window: int) -> dict[str, Any]:
    product = find_product(product_name)
    total = total_statistics([total_statistics(receipt.statistics) for receipt in receipts])
    pixels = total.valid_count + total.nodata_count
    used = sorted({len(receipt.days_used) for receipt in receipts})
    distance = max(receipt.target_distance_days for receipt in receipts)
    days = f"{used[0]}..{used[-1]} of {window}" if product.windowed else f"1, at most {distance} days away"
    return {
        "variable": name,
        "product": product_name,
        "units": product.variable(name).units,
        "times": len(receipts),
        "targets": targets,
        "minimum": total.minimum,
        "maximum": total.maximum,
        "mean": total.mean,
        "missing_share": total.nodata_count / pixels,
        "clipped_share": (total.clipped_low_count + total.clipped_high_count) / max(total.valid_count, 1),
        "days": days,
        "bytes": sum(file.bytes for receipt in receipts for file in receipt.files),
    }
