"""One layout per kind of reader and encoding, by a rule that is stated and can be weighed otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp, log
from typing import Any

from oceanrecon.bench_config import ReaderWeights, ValueType
from oceanrecon.pipeline.chunking.cases import Case, export_formats, native_writer, shipped
from oceanrecon.pipeline.chunking.read import KINDS, Kind
from oceanrecon.pipeline.chunking.results import CaseResult, PlaceResult

#: Dearer by less than this is as good: measurements, and synthetic fields, tell no more.
TIE = 0.15
#: In words, for whoever sees the result.
RULE = (
    "The cost of a layout is a weighted geometric mean: each of its figures, to the power of its weight. A read counts "
    "with its CPU time on a local disk and with its elapsed time at a far place, all places alike. Among the layouts "
    "of an encoding that an export can write the cheapest is recommended, or what is shipped where that is at most "
    f"{100 * TIE:.0f} % dearer."
)


@dataclass(frozen=True)
class Rival:
    """Another layout, and how many times the cost of the recommended one it has."""

    case: Case
    cost: float


@dataclass(frozen=True)
class Recommendation:
    """What one kind of reader is best served with."""

    reader: str
    encoding: ValueType
    case: Case
    #: the figures behind it
    figures: Mapping[str, float]
    #: settings that make an export write it, as YAML; none can for ``float32``
    formats: str | None
    #: what is shipped, by store
    defaults: Mapping[str, Rival]
    #: the cheapest of all, also of those that an export cannot write
    cheapest: Rival

    @property
    def is_shipped(self) -> bool:
        """Whether it is what an export writes anyway, in one of its stores."""
        return self.case in [rival.case for rival in self.defaults.values()]

    def to_dict(self) -> dict[str, Any]:
        """For JSON, with names for people."""
        return asdict(self) | {
            "label": self.case.label,
            "is_shipped": self.is_shipped,
            "defaults": {store: {"label": one.case.label, "cost": one.cost} for store, one in self.defaults.items()},
            "cheapest": {"label": self.cheapest.case.label, "cost": self.cheapest.cost},
        }


def recommend(results: Sequence[CaseResult], readers: Mapping[str, ReaderWeights]) -> list[Recommendation]:
    """A recommendation for each kind of reader and each encoding that was measured."""
    # a layout that is there by another writer, too, shows what that costs
    measured = [result for result in results if result.done and result.case.writer == native_writer(result.case)]
    found = []
    for encoding in dict.fromkeys(result.case.encoding for result in measured):
        some = [result for result in measured if result.case.encoding == encoding]
        for reader, weights in readers.items():
            found.append(_best(reader, encoding, some, weights))
    return found


def _best(reader: str, encoding: ValueType, results: Sequence[CaseResult], weights: ReaderWeights) -> Recommendation:
    costs = {result.case: cost_of(figures_of(result), weights) for result in results}
    writable = {case: cost for case, cost in costs.items() if export_formats(case)} or costs
    defaults = {store: case for store, case in shipped(encoding).items() if case in costs}
    chosen = min(writable, key=writable.__getitem__)
    default = min(defaults.values(), key=costs.__getitem__, default=chosen)
    if costs[default] <= costs[chosen] * (1 + TIE):
        chosen = default
    cheapest = min(costs, key=costs.__getitem__)
    return Recommendation(
        reader,
        encoding,
        chosen,
        next(figures_of(result) for result in results if result.case == chosen),
        export_formats(chosen),
        {store: Rival(case, costs[case] / costs[chosen]) for store, case in defaults.items()},
        Rival(cheapest, costs[cheapest] / costs[chosen]),
    )


def figures_of(result: CaseResult) -> dict[str, float]:
    """What is weighed: seconds of each read and of the write, bytes, objects."""
    places = result.places
    return {
        **{str(kind): _mean([_seconds(place, kind) for place in places]) for kind in KINDS},
        "write": _mean([place.write.cpu_seconds for place in places]),
        "stored": _mean([place.write.stored_bytes for place in places]),
        "objects": _mean([place.write.objects for place in places]),
    }


def _seconds(place: PlaceResult, kind: Kind) -> float:
    read = place.read(kind)
    return (read.cpu_seconds if place.near else read.wall_seconds).median


def _mean(values: Sequence[float]) -> float:
    """Geometric: a place where everything takes long does not drown the others."""
    return exp(sum(log(max(value, 1e-9)) for value in values) / len(values))


def cost_of(figures: Mapping[str, float], weights: ReaderWeights) -> float:
    """The product of the figures, each to the power of its share of the weights."""
    shares = {name: weight for name, weight in weights.model_dump().items() if weight}
    return exp(sum(weight * log(max(figures[name], 1e-9)) for name, weight in shares.items()) / sum(shares.values()))
