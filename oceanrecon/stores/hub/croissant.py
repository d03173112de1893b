"""``croissant.json``: the package for machine-learning tools, in the Croissant 1.0 vocabulary."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from oceanrecon.errors import OutputError
from oceanrecon.stores.hub.facts import LICENSE, SPDX, PackageFacts, hub_library
from oceanrecon.stores.hub.links import Placed
from oceanrecon.stores.hub.tables import VARIABLE_COLUMNS, ProfilesTable, TableColumn

_PARQUET = "application/x-parquet"
_ZARR = "application/vnd.zarr"

_Json = dict[str, Any]

#: Terms of the vocabulary and what they stand for; every Croissant file repeats them.
_CONTEXT: _Json = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{
        term: f"cr:{term}"
        for term in (
            "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet",
            "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet",
            "references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField",
            "transform",
        )
    },
}  # fmt: skip


def croissant(facts: PackageFacts, profiles: ProfilesTable, variables: Placed) -> _Json:
    """The description; paths are relative to the package.

    Args:
        facts: what the package is about.
        profiles: ``profiles.parquet`` as it was written.
        variables: ``variables.parquet`` as it was written.
    """
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": facts.name,
        "alternateName": facts.title,
        "description": facts.summary,
        "keywords": facts.keywords,
        "license": f"https://spdx.org/licenses/{SPDX[facts.license]}.html" if facts.license in SPDX else LICENSE,
        "creator": {"@type": "sc:Organization", "name": facts.creator},
        "citeAs": _bibtex(facts),
        "datePublished": facts.created_utc[:10],
        "version": "1.0.0",
        "distribution": [
            _file(profiles.file, "One row per profile"),
            _file(variables, "One row per variable of the store"),
            *_file_sets(facts),
        ],
        "recordSet": [
            _record_set("profiles", "The profiles: where, when, from which file", profiles.file, profiles.columns),
            _record_set("variables", "The variables of the store", variables, VARIABLE_COLUMNS),
        ],
    }


def validate_croissant(document: Mapping[str, Any]) -> None:
    """Check a description with mlcroissant; neither files nor the network are read.

    Raises:
        OutputError: it is not valid, with the reasons; or mlcroissant is not installed.
    """
    library = hub_library("mlcroissant", "validate a Croissant description")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # mlcroissant uses a class that rdflib calls old
            library.Dataset(jsonld=copy.deepcopy(dict(document)))  # which it would change
    except (library.ValidationError, ValueError, KeyError, TypeError) as error:
        reasons = " ".join(str(error).split()) or type(error).__name__
        raise OutputError(f"the Croissant description is not valid: {reasons}") from error


def _file(file: Placed, text: str) -> _Json:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "description": text,
        "contentUrl": file.path,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": _PARQUET,
        "sha256": file.sha256,
    }


def _file_sets(facts: PackageFacts) -> list[_Json]:
    sets = [
        _file_set("store", facts.store, "All variables of the profiles, a zarr v3 store", f"{facts.store}/**", _ZARR)
    ]
    for asset in facts.assets:
        if asset.kind == "rasters":
            text = "Gridded fields, one GeoTIFF per variable and date"
            sets.append(_file_set("rasters", asset.path, text, f"{asset.path}/**/*.tif", "image/tiff"))
        elif asset.kind == "gridded":
            text = "The profiles on the pixels of the grid, a zarr v3 store"
            sets.append(_file_set("gridded", asset.path, text, f"{asset.path}/**", _ZARR))
    return sets


def _file_set(identifier: str, name: str, text: str, includes: str, encoding: str) -> _Json:
    return {
        "@type": "cr:FileSet",
        "@id": identifier,
        "name": name,
        "description": text,
        "includes": includes,
        "encodingFormat": encoding,
    }


def _record_set(name: str, text: str, file: Placed, columns: Sequence[TableColumn]) -> _Json:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": text,
        "key": {"@id": f"{name}/{columns[0].name}"},
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column.name}",
                "name": column.name,
                "description": column.description,
                "dataType": _data_type(column.type),
                "source": {"fileObject": {"@id": file.path}, "extract": {"column": column.name}},
            }
            for column in columns
        ],
    }


def _data_type(stored: pa.DataType) -> str:
    if pa.types.is_integer(stored):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(stored) else "sc:Text"


def _bibtex(facts: PackageFacts) -> str:
    key = "".join(letter if letter.isalnum() else "_" for letter in facts.name)
    note = "; ".join(f"{product.provider}, doi:{product.doi}" for product in facts.upstream)
    fields = {
        "author": f"{{{facts.creator}}}",  # twice in braces: one name, not family and given ones
        "title": facts.title,
        "year": facts.created_utc[:4],
        "note": f"Made from: {note}",
    }
    return f"@misc{{{key}, " + ", ".join(f"{name} = {{{text}}}" for name, text in fields.items()) + "}"
