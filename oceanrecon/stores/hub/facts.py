"""What a package is about: the facts that its card, citation, STAC item and Croissant description are made from."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from oceanrecon.errors import ConfigError, OutputError, how_to_install

#: Where everything is in a package that is not data.
CARD = "README.md"
LICENSE = "LICENSE"
CHECKSUMS = "checksums.txt"
PROFILES_TABLE = "indices/profiles.parquet"
VARIABLES_TABLE = "indices/variables.parquet"
EXAMPLES = ("examples/open_with_xarray.py", "examples/subset_by_region_time.py")
DESCRIPTION = "metadata/dataset_description.json"
CITATION = "metadata/citation.cff"
STAC_ITEM = "metadata/stac-item.json"
CROISSANT = "croissant.json"
#: All of them but the checksums, which are theirs and those of the data.
GENERATED = (
    CARD, LICENSE, PROFILES_TABLE, VARIABLES_TABLE, *EXAMPLES, DESCRIPTION, CITATION, STAC_ITEM, CROISSANT,
)  # fmt: skip

AssetKind = Literal["rasters", "gridded", "manifest", "masks"]
VariableKind = Literal["coordinate", "data_variable"]
#: West, south, east, north in degrees; west is larger than east where the box crosses the dateline.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Upstream:
    """A product that a package is made from, as its providers want it cited."""

    #: as in settings and variable names
    name: str
    title: str
    #: who is credited
    provider: str
    url: str
    doi: str
    #: under what the data are given out
    terms: str
    #: of the publication to cite: (family name, given names); the provider where there are none
    authors: tuple[tuple[str, str], ...] = ()
    #: title of that publication, journal and year, where there is one
    article: str = ""
    journal: str = ""
    year: int | None = None


def _copernicus(name: str, title: str, dataset: str, doi: str) -> Upstream:
    return Upstream(
        name,
        f"{title} ({dataset})",
        "E.U. Copernicus Marine Service Information",
        "https://marine.copernicus.eu",
        doi,
        "Copernicus Marine Service licence: free to use and pass on, with credit to its provider",
    )


#: By the names of the sources, in the order in which they are cited.
UPSTREAM: Mapping[str, Upstream] = {
    product.name: product
    for product in (
        _copernicus(
            "glorys",
            "Global Ocean Physics Reanalysis, GLORYS12V1",
            "GLOBAL_MULTIYEAR_PHY_001_030",
            "10.48670/moi-00021",
        ),
        _copernicus(
            "ostia",
            "Global Ocean OSTIA Sea Surface Temperature and Sea Ice Reprocessed",
            "SST_GLO_SST_L4_REP_OBSERVATIONS_010_011",
            "10.48670/moi-00168",
        ),
        _copernicus(
            "sealevel",
            "Global Ocean Gridded L4 Sea Surface Heights, DUACS",
            "SEALEVEL_GLO_PHY_L4_MY_008_047",
            "10.48670/moi-00148",
        ),
        _copernicus(
            "sss",
            "Multi Observation Global Ocean Sea Surface Salinity and Density",
            "MULTIOBS_GLO_PHY_S_SURFACE_MYNRT_015_013",
            "10.48670/moi-00051",
        ),
        Upstream(
            "en4",
            "EN4 quality-controlled ocean temperature and salinity profiles",
            "Met Office Hadley Centre",
            "https://www.metoffice.gov.uk/hadobs/en4",
            "10.1002/2013JC009067",
            "British Crown copyright, Met Office: Non-Commercial Government Licence, see its page",
            (("Good", "Simon A."), ("Martin", "Matthew J."), ("Rayner", "Nick A.")),
            "EN4: Quality controlled ocean temperature and salinity profiles and monthly objective analyses with "
            "uncertainty estimates",
            "Journal of Geophysical Research: Oceans",
            2013,
        ),
        Upstream(
            "argo",
            "Argo float data and metadata from Global Data Assembly Centre (Argo GDAC)",
            "International Argo Program",
            "https://argo.ucsd.edu",
            "10.17882/42182",
            "CC-BY-4.0",
        ),
    )
}

#: Licences as the hub writes them, and their SPDX names; any other is described by the file LICENSE.
SPDX = {
    "apache-2.0": "Apache-2.0",
    "cc-by-4.0": "CC-BY-4.0",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "cc-by-sa-4.0": "CC-BY-SA-4.0",
    "cc0-1.0": "CC0-1.0",
    "mit": "MIT",
    "odc-by": "ODC-By-1.0",
}


@dataclass(frozen=True)
class VariableFacts:
    """One array of the store; a text that the store does not have is empty."""

    name: str
    kind: VariableKind
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    units: str
    long_name: str
    standard_name: str
    #: the product it comes from, and its name there
    source_product: str
    source_variable: str
    description: str


@dataclass(frozen=True)
class StoreContents:
    """What the enriched store holds: its variables, depths (m, downwards) and group attributes."""

    profile_count: int
    depth: tuple[float, ...]
    variables: tuple[VariableFacts, ...]
    attrs: Mapping[str, Any]


@dataclass(frozen=True)
class Coverage:
    """Where and when the profiles are; both dates included."""

    start: dt.date
    end: dt.date
    bbox: Box


@dataclass(frozen=True)
class Asset:
    """Something beside the store and its tables: a file or a folder, relative to the package."""

    kind: AssetKind
    path: str


def check_names(name: str, licence: str) -> None:
    """Refuse what cannot be the name or the licence of a package.

    Raises:
        ConfigError: says what may be.
    """
    if not re.fullmatch("[A-Za-z0-9][A-Za-z0-9._-]*", name):
        raise ConfigError(f"package.name: {name!r} is no name: use letters, digits, '-', '_' and '.'")
    if licence != "other" and licence not in SPDX:
        raise ConfigError(f"package.license: {licence!r} is not known: use {', '.join(SPDX)}, or other")


@dataclass(frozen=True)
class PackageFacts:
    """All that the texts and metadata of a package say."""

    #: short name of letters, digits, ``-``, ``_`` and ``.``, such as ``north-atlantic-profiles``
    name: str
    title: str
    #: as the hub writes it: a key of :data:`SPDX`, or ``other``
    license: str
    #: person or organisation that it is cited by
    creator: str
    #: program and version
    created_by: str
    #: such as ``2026-01-31T12:00:00Z``
    created_utc: str
    #: of the enriched store, relative to the package, such as ``data/name.zarr``
    store: str
    contents: StoreContents
    coverage: Coverage
    #: keys of :data:`UPSTREAM`
    sources: tuple[str, ...]
    assets: tuple[Asset, ...] = field(default=())

    def __post_init__(self) -> None:
        check_names(self.name, self.license)
        unknown = sorted(set(self.sources) - UPSTREAM.keys())
        if unknown:
            raise ConfigError(f"no citation is known for the source {unknown[0]!r}: use {', '.join(UPSTREAM)}")

    @property
    def upstream(self) -> tuple[Upstream, ...]:
        """The products that it is made from, in the order of citation."""
        return tuple(product for name, product in UPSTREAM.items() if name in self.sources)

    @property
    def summary(self) -> str:
        """What it is, in two sentences."""
        span = f"{self.coverage.start.isoformat()} to {self.coverage.end.isoformat()}"
        depth = self.contents.depth
        products = ", ".join(product.name for product in self.upstream)
        return (
            f"{self.contents.profile_count:,} temperature and salinity profiles of the ocean from {span}, on "
            f"{len(depth)} depth levels ({depth[0]:g} to {depth[-1]:g} m), with gridded fields sampled at the place "
            f"and date of each. Sources: {products}."
        )

    @property
    def keywords(self) -> list[str]:
        """Tags of the card."""
        product_tags = {
            "glorys": "glorys",
            "ostia": "ostia",
            "sealevel": "sea-level",
            "sss": "sea-surface-salinity",
            "en4": "en4",
            "argo": "argo",
        }
        tags = ["oceanography", *(product_tags[product.name] for product in self.upstream), "zarr"]
        return [*tags, "geotiff"] if any(asset.kind == "rasters" for asset in self.assets) else tags

    def asset(self, kind: AssetKind) -> Asset | None:
        """The asset of this kind, if the package has it."""
        return next((asset for asset in self.assets if asset.kind == kind), None)


def to_json(document: Mapping[str, Any]) -> bytes:
    """JSON as people read it; the same document gives the same bytes.

    Raises:
        OutputError: it holds what JSON has not, such as NaN.
    """
    try:
        return (json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise OutputError(f"metadata cannot be written as JSON: {error}") from error


def hub_library(name: str, purpose: str) -> Any:
    """A library of the extra ``hub``, imported when it is needed.

    Raises:
        OutputError: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise OutputError(
            f"to {purpose}, {name.partition('.')[0]} is needed and not installed ({error}): " + how_to_install("hub")
        ) from error
