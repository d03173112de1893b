"""The head of an export's manifest: what the receipts of its blocks do not know."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from importlib.metadata import version

import rasterio

from oceanrecon.pipeline.plan import Plan
from oceanrecon.pipeline.recipe import DENSE, MASK
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.stores.files import Root
from oceanrecon.stores.geotiff import compression_name
from oceanrecon.stores.manifest import ExportedProduct, ExportHeader
from oceanrecon.stores.mask import mask_source
from oceanrecon.stores.receipts import Receipt
from oceanrecon.stores.zarr_store import metadata_files
from oceanrecon.transform.regrid import AREA_THRESHOLD

_LIBRARIES = ("dask", "distributed", "h5py", "numba", "numpy", "oceanrecon", "rasterio", "xarray", "zarr")


def header(
    planned: Plan, *, targets: Sequence[dt.date], receipts: Sequence[Receipt], resume: bool, workers: int
) -> ExportHeader:
    """The head of the manifest of an export that has these receipts, by this and earlier runs."""
    recipe, settings = planned.recipe, planned.settings
    root = Root(recipe.output)
    names = {(block.product, block.variable) for block in planned.blocks}
    names |= {(gap.product, gap.variable) for gap in planned.missing}
    names |= {(receipt.product, receipt.variable) for receipt in receipts}
    products = tuple(
        ExportedProduct(
            name=product.name,
            dataset=product.dataset,
            variables=tuple(v.name for v in product.variables if (product.name, v.name) in names),
            windowed=product.windowed,
        )
        for product in PRODUCTS.values()
        if any(name == product.name for name, _ in names)
    )
    stretches = {
        recipe.stretch(PRODUCTS[product.name].variable(name)).name: recipe.stretch(
            PRODUCTS[product.name].variable(name)
        )
        for product in products
        for name in product.variables
    }
    exported = {product.name for product in products}
    return ExportHeader(
        created_by=f"oceanrecon {version('oceanrecon')}",
        created_utc=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        output_dir=root.url,
        # with the targets of earlier runs, where this one extends them
        start=min(settings.targets.start or targets[0], targets[0]),
        end=max(settings.targets.end or targets[-1], targets[-1]),
        grid=recipe.grid,
        mask_path=MASK,
        mask_source=mask_source(root.url_of(MASK)) if root.exists(MASK) else "",
        encoding=recipe.encoding,
        stretches=tuple(stretches.values()),
        targets=tuple(targets),
        target_rule=_rule(planned),
        window_days=recipe.window_days,
        depth=planned.depth,
        products=products,
        left_out={name: why for name, why in planned.left_out.items() if name not in exported},
        regridding={
            "method": "separable bilinear; area-weighted where the source is finer than half a target cell",
            "area_threshold": round(AREA_THRESHOLD, 3),
            "minimum_valid_fraction": recipe.minimum_valid_fraction,
            "longitude": "periodic where the source goes round the globe",
            "edges": "targets within half a source cell outside the source take its edge value",
            "order": "mean over the window first, then one regridding",
        },
        compression=compression_name() if recipe.geotiff is not None else None,
        dense_path=DENSE if recipe.zarr is not None else None,
        workers=workers,
        resume=resume,
        versions={**{name: version(name) for name in _LIBRARIES}, "gdal": rasterio.__gdal_version__},
        files=_files(root, zarr=recipe.zarr is not None),
    )


def _files(root: Root, *, zarr: bool) -> dict[str, dict[str, int | str]]:
    paths = [MASK] if root.exists(MASK) else []
    paths += metadata_files(root, DENSE) if zarr else []
    contents = root.read_many(paths)
    return {
        path: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in sorted(contents.items())
    }


def _rule(planned: Plan) -> str:
    targets = planned.settings.targets
    if targets.dates is not None:
        return "an explicit list"
    if targets.every_days is not None:
        return f"every {targets.every_days} days"
    return "dates of the glorys files"
