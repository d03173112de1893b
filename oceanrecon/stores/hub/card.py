"""The texts of a package: card, licence notice, description, citation and the examples that readers run first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from oceanrecon.stores.hub.examples import OPEN_WITH_XARRAY, SUBSET_BY_REGION_TIME
from oceanrecon.stores.hub.facts import (
    CARD,
    CHECKSUMS,
    CITATION,
    CROISSANT,
    DESCRIPTION,
    EXAMPLES,
    LICENSE,
    PROFILES_TABLE,
    SPDX,
    VARIABLES_TABLE,
    AssetKind,
    PackageFacts,
    Upstream,
    to_json,
)
from oceanrecon.stores.hub.tables import profile_columns

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_MORE = "10M<n<100M"
_ASSETS: dict[AssetKind, str] = {
    "rasters": "the gridded fields as GeoTIFF, one file per variable and date",
    "gridded": "the profiles as codes on the pixels of that grid (zarr)",
    "manifest": "what the gridded export holds, from which files, with checksums",
    "masks": "the land mask of the grid",
}


def texts(facts: PackageFacts) -> dict[str, bytes]:
    """Every text of a package but its STAC item and Croissant description: path -> content."""
    folder, _, store = facts.store.rpartition("/")
    filled = {"@FOLDER@": folder, "@STORE@": store, "@START@": facts.coverage.start.isoformat()}
    scripts = dict(zip(EXAMPLES, (OPEN_WITH_XARRAY, SUBSET_BY_REGION_TIME), strict=True))
    for path, script in scripts.items():
        for mark, text in filled.items():
            script = script.replace(mark, text)
        scripts[path] = script
    return {
        CARD: card(facts).encode(),
        LICENSE: licence_notice(facts).encode(),
        DESCRIPTION: to_json(description(facts)),
        CITATION: citation(facts).encode(),
        **{path: script.encode() for path, script in scripts.items()},
    }


def card(facts: PackageFacts) -> str:
    """``README.md``: the YAML header that hubs read, then what a person wants to know."""
    header: dict[str, Any] = {"license": facts.license}
    if facts.license == "other":
        header |= {"license_name": "terms-of-the-sources", "license_link": LICENSE}
    count = facts.contents.profile_count
    header |= {
        "pretty_name": facts.title,
        "tags": facts.keywords,
        "size_categories": [next((size for limit, size in _SIZES if count < limit), _MORE)],
        "configs": [
            # One configuration each: a viewer takes the splits of one configuration to have the same columns.
            _configuration("profile-index", "profiles", PROFILES_TABLE) | {"default": True},
            _configuration("variable-index", "variables", VARIABLES_TABLE),
        ],
    }
    columns = profile_columns([variable.name for variable in facts.contents.variables])
    contents = [
        (facts.store, "the profiles with all variables (zarr v3)"),
        (PROFILES_TABLE, "one row per profile: where, when, from which file, how many valid levels"),
        (VARIABLES_TABLE, "one row per variable: dimensions, units, names, source"),
        *((asset.path, _ASSETS[asset.kind]) for asset in facts.assets),
        ("examples/", "two short programs to start from"),
        ("metadata/", "description, citation and STAC item"),
        (CROISSANT, "description of the tables for machine-learning tools"),
        (CHECKSUMS, "`sha256sum -c` checks all of these"),
    ]
    west, south, east, north = facts.coverage.bbox
    across = " (across the dateline)" if west > east else ""
    return f"""---
{_yaml(header)}---

# {facts.title}

{facts.summary}

| | |
|:--|:--|
| profiles | {count:,} |
| dates | {facts.coverage.start.isoformat()} to {facts.coverage.end.isoformat()} |
| longitude | {west:g} to {east:g}{across} |
| latitude | {south:g} to {north:g} |
| depth levels | {len(facts.contents.depth)}, {facts.contents.depth[0]:g} to {facts.contents.depth[-1]:g} m |
| variables | {len(facts.contents.variables)} |
| made by | {facts.created_by} |

## What is here

{_table(("path", "what it is"), [(f"`{path}`", text) for path, text in contents])}

Missing numbers are NaN; flags and the meaning of their values are in the attributes of each variable. Temperature of a
profile comes twice: `argo_temp_on_glorys_depth` as measured (in situ) and `argo_potm_on_glorys_depth` as potential
temperature, which is what a model's temperature is compared with. The quality rules that rows and levels passed are in
the attributes of the store.

## Reading it

```python
import xarray as xr

profiles = xr.open_zarr("{facts.store}", chunks=None)
```

`examples/subset_by_region_time.py` shows how the index table finds the rows of a region and period without reading the
store.

## Columns of `{PROFILES_TABLE}`

{_table(("column", "what it is"), [(f"`{column.name}`", column.description) for column in columns])}

## Sources and credit

{_table(("source", "credit", "doi", "terms"), [_credit(product) for product in facts.upstream])}

Please cite the sources that you use; `{CITATION}` has them all. The terms are in `{LICENSE}`.
"""


def licence_notice(facts: PackageFacts) -> str:
    """``LICENSE``: under which terms the package and what it is made from may be used."""
    own = (
        "This package adds no terms of its own to those of its sources."
        if facts.license == "other"
        else f"This package is given out under {SPDX[facts.license]}, as far as the terms of its sources allow."
    )
    products = "\n\n".join(
        f"{product.title}\n  credit: {product.provider}, {product.url}\n  cite:   https://doi.org/{product.doi}\n"
        f"  terms:  {product.terms}"
        for product in facts.upstream
    )
    return f"""{facts.title}

{own}
It holds values derived from the products below; their terms hold for those values, and whoever passes
them on has to give the same credit.

{products}
"""


def description(facts: PackageFacts) -> dict[str, Any]:
    """``metadata/dataset_description.json``."""
    start, end = facts.coverage.start, facts.coverage.end
    return {
        "name": facts.name,
        "title": facts.title,
        "description": facts.summary,
        "created_by": facts.created_by,
        "created_utc": facts.created_utc,
        "license": facts.license,
        "zarr_path": facts.store,
        "profile_count": facts.contents.profile_count,
        "glorys_depth_count": len(facts.contents.depth),
        "glorys_depth_m": list(facts.contents.depth),
        "profile_date_range": {
            "start": int(f"{start:%Y%m%d}"),
            "end": int(f"{end:%Y%m%d}"),
            "start_iso": start.isoformat(),
            "end_iso": end.isoformat(),
        },
        "bbox": list(facts.coverage.bbox),
        "sources": {product.name: f"https://doi.org/{product.doi}" for product in facts.upstream},
        "variables": [variable.name for variable in facts.contents.variables],
        "zarr_attrs": dict(facts.contents.attrs),
        "includes_geotiff_assets": facts.asset("rasters") is not None,
        "assets": {asset.kind: asset.path for asset in facts.assets},
    }


def citation(facts: PackageFacts) -> str:
    """``metadata/citation.cff`` (Citation File Format 1.2.0), with a reference for each source."""
    document: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "If you use this dataset, please cite it and the products that it is made from.",
        "type": "dataset",
        "title": facts.title,
        "abstract": facts.summary,
        "authors": [{"name": facts.creator}],
        "date-released": facts.created_utc[:10],
        "keywords": facts.keywords,
    }
    if facts.license in SPDX:
        document["license"] = SPDX[facts.license]
    return _yaml(document | {"references": [_reference(product) for product in facts.upstream]})


def _reference(product: Upstream) -> dict[str, Any]:
    provider = {"name": product.provider, "website": product.url}
    reference: dict[str, Any] = {"type": "data", "title": product.title, "authors": [provider]}
    if product.article:
        reference = {
            "type": "article",
            "title": product.article,
            "authors": [{"family-names": family, "given-names": given} for family, given in product.authors],
            "journal": product.journal,
            "year": product.year,
            "institution": provider,
        }
    return reference | {"doi": product.doi, "url": product.url}


def _credit(product: Upstream) -> tuple[str, str, str, str]:
    doi = f"[{product.doi}](https://doi.org/{product.doi})"
    return product.title, f"[{product.provider}]({product.url})", doi, product.terms


def _configuration(name: str, split: str, path: str) -> dict[str, Any]:
    return {"config_name": name, "data_files": [{"split": split, "path": path}]}


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, [":--"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _yaml(document: dict[str, Any]) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=1000)
