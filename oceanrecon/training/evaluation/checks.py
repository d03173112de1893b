"""What makes scores honest, looked up anew: sides that share nothing, and floats that no model has seen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from oceanrecon.samples.index import Index
from oceanrecon.training.evaluation.contenders import Contender
from oceanrecon.training.evaluation.floats import FloatTruth

_PROOF = "proof.json"
_PIECE = 1 << 20
Check = dict[str, Any]


def checks(models: Sequence[Contender], floats: FloatTruth, dates: frozenset[int]) -> list[Check]:
    """What holds and what does not: ``what``, ``holds`` and what was ``found``.

    Args:
        models: that were scored.
        floats: that they were scored on, and that have looked at the inputs of the first.
        dates: of the rows, YYYYMMDD.
    """
    found = [
        _check(
            "no withheld float among the inputs",
            floats.leaked == 0,
            f"{floats.leaked:,} of {floats.looked:,} input values are not the mean of floats that were given, by the "
            "platform numbers of their profiles",
        ),
        _split(models[0].data.index),
    ]
    for model in models:
        found += [_floats(model), _dates(model, dates), _export(model)]
    return found


def _check(what: str, holds: bool, found: str) -> Check:
    return {"what": what, "holds": holds, "found": found}


def _split(index: Index) -> Check:
    """Whether the proof of the index holds, and is of its tables as they are."""
    what = "the sides of the split share neither pixels and days nor profiles"
    told = index.root.read_if_there(_PROOF)
    if told is None:
        return _check(what, False, f"{index.root.url} has no {_PROOF}: run `oceanrecon patches prove {index.root.url}`")
    proof = json.loads(told)
    other = sorted(
        name for name, sha256 in proof["tables"].items() if name.endswith(".parquet") and _sha256(index, name) != sha256
    )
    if other:
        return _check(what, False, f"the proof is of other tables than those that are there: {', '.join(other)}")
    checked = proof["checked"]
    rows = ", ".join(f"{count:,} {side}" for side, count in checked["rows"].items())
    return _check(
        what,
        bool(proof["holds"]),
        f"{_PROOF} of {index.root.url}, by its tables' checksums: {rows} rows, {len(proof['conflicts'])} conflicts",
    )


def _floats(model: Contender) -> Check:
    given = model.trained.settings.data.floats.model_dump(mode="json")
    told = model.trained.statistics.provenance.get("floats", {})
    fitted = {name: told.get(name) for name in given}
    return _check(
        f"{model.name}: its statistics withhold the same floats",
        fitted == given,
        ", ".join(f"{name} {value}" for name, value in fitted.items()),
    )


def _dates(model: Contender, dates: frozenset[int]) -> Check:
    provenance = model.trained.statistics.provenance
    fitted = provenance.get("dates", {}).get("training")
    what = f"{model.name}: its statistics were fitted to training rows"
    if fitted is None:
        return _check(what, False, "they do not say to which dates")
    shared = dates & set(fitted)
    pixels = provenance.get("pixels")
    return _check(
        what,
        not shared or pixels == "those of the training rows",
        f"{len(fitted):,} dates, {len(shared):,} of them among those that are scored; pixels: {pixels}",
    )


def _export(model: Contender) -> Check:
    same = model.fingerprints["export_fingerprint"] == model.trained.provenance["export_fingerprint"]
    found = "the same fingerprint" if same else "another fingerprint: rows were added or changed since the training"
    return _check(f"{model.name}: the export is that of its training", same, found)


def _sha256(index: Index, name: str) -> str | None:
    if not index.root.exists(name):
        return None
    digest = hashlib.sha256()
    with index.root.open(name) as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)
    return digest.hexdigest()
