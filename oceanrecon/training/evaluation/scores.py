"""Sums from which scores follow: by what is resampled together (a float, a date), by group, field and level.

Sums of parts add up to those of the whole, whatever the order, and scores are made of sums alone (``summary``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: What is summed, each times the weight of its point: 1, error of the estimate, its absolute value and square, CRPS,
#: squares and product of the two anomalies, variance of the members, squared error of their mean, whether the truth is
#: in their central 50 and 90 %; and how many values.
SUMS = (
    "weight", "error", "absolute", "square", "crps", "truth_square", "estimate_square", "product", "variance",
    "ensemble_square", "inside_50", "inside_90", "count",
)  # fmt: skip
#: Shares of central intervals whose coverage is told.
COVERAGES = (0.5, 0.9)
#: Edges of classes of spread, as shares of the deviation of anomalies: doublings of the square, from 1/32 to 4.
SPREAD_EDGES = 2.0 ** np.arange(-5.0, 2.5, 0.5)


@dataclass(frozen=True)
class Reference:
    """What estimates are compared with: N points of C = fields x levels values.

    A float's estimates get its observation error added; a dense target has none.
    """

    #: anomalies from the climatology, K and PSU; anything where not known: [N, C]
    values: Tensor
    #: [N, C] bool
    known: Tensor
    #: what is resampled together: platform numbers, or dates
    units: tuple[str, ...]
    #: which of them each point is of: [N]
    unit: Tensor
    #: by grouping, the class of each point: [N] each
    classes: Mapping[str, Tensor]
    #: of each point, such as the cosine of latitude: [N]
    weight: Tensor
    #: deviation of the observation error, K and PSU: [C]
    noise: Tensor | None = None
    #: of the draws of that error, and of ranks among equals; the same for the same points
    seed: int = 0

    def __post_init__(self) -> None:
        points, channels = self.values.shape
        shapes = {"known": tuple(self.known.shape), "unit": tuple(self.unit.shape), "weight": tuple(self.weight.shape)}
        wanted: dict[str, tuple[int, ...]] = {"known": (points, channels), "unit": (points,), "weight": (points,)}
        shapes |= {f"classes {name}": tuple(number.shape) for name, number in self.classes.items()}
        wanted |= {f"classes {name}": (points,) for name in self.classes}
        if self.noise is not None:
            shapes["noise"], wanted["noise"] = tuple(self.noise.shape), (channels,)
        wrong = {name: shape for name, shape in shapes.items() if shape != wanted[name]}
        if wrong:
            raise ValueError(
                f"{points} points of {channels} values need { ({name: wanted[name] for name in wrong}) }, not {wrong}"
            )


@dataclass
class Scores:
    """Sums of one model against one kind of reference."""

    #: ("temperature", "salinity") or one of them
    fields: tuple[str, ...]
    #: m
    depth: tuple[float, ...]
    #: deviation of anomalies of each channel, K and PSU, by which spread is classed: [C]
    deviation: NDArray[np.float64]
    #: names of classes, by grouping
    groupings: Mapping[str, tuple[str, ...]]
    #: how many members there are; 1 is an estimate without uncertainty
    members: int
    #: by unit, grouping and class: [C, SUMS]
    sums: dict[tuple[str, str, str], NDArray[np.float64]] = field(default_factory=dict)
    #: weight of the values that have so many members below them, by grouping and class: [C, members + 1]
    ranks: dict[tuple[str, str], NDArray[np.float64]] = field(default_factory=dict)
    #: weight, variance and squared error of the mean, by class of spread: [C, SPREAD_EDGES + 1, 3]
    spread: NDArray[np.float64] = field(init=False)

    def __post_init__(self) -> None:
        self.spread = np.zeros((self.channels, len(SPREAD_EDGES) + 1, 3))
        if self.deviation.shape != (self.channels,) or self.members < 1:
            raise ValueError(
                f"scores of {self.channels} channels need a deviation of each, not {self.deviation.shape}, and at "
                f"least 1 member, not {self.members}"
            )

    @property
    def channels(self) -> int:
        """Fields times levels."""
        return len(self.fields) * len(self.depth)

    def add(self, reference: Reference, members: Tensor, mean: Tensor | None = None) -> None:
        """Count some points.

        Args:
            reference: what is true.
            members: anomalies, K and PSU: [M, N, C].
            mean: the best single estimate: [N, C]; the mean of the members by default.

        Raises:
            ValueError: another shape or number of members, or an estimate is not finite where the reference is known.
        """
        known = reference.known
        if members.shape != (self.members, *reference.values.shape) or known.shape[1] != self.channels:
            raise ValueError(
                f"{self.members} members of {tuple(reference.values.shape)} values of {self.channels} channels were "
                f"to be scored, not {tuple(members.shape)}"
            )
        mean = members.mean(dim=0) if mean is None else mean
        bad = int((known & ~(members.isfinite().all(dim=0) & mean.isfinite())).sum())
        if bad:
            raise ValueError(f"{bad} of {int(known.sum())} estimates are not finite where the reference is known")
        zero = reference.values.new_zeros(())
        truth = torch.where(known, reference.values, zero)
        mean = torch.where(known, mean.to(truth), zero)
        members = torch.where(known, members.to(truth), zero)
        generator = torch.Generator().manual_seed(reference.seed)
        if reference.noise is not None and self.members > 1:
            drawn = torch.randn(members.shape, generator=generator, dtype=torch.float32).to(members)
            members = members + drawn * reference.noise.to(members)
        error = mean - truth
        variance = members.var(dim=0) if self.members > 1 else torch.zeros_like(truth)
        ensemble_square = (members.mean(dim=0) - truth).square()
        one = torch.ones_like(truth)
        ties = torch.rand(truth.shape, generator=generator).to(truth.device)
        ranks = rank(members, truth, ties)
        terms = (
            one, error, error.abs(), error.square(), fair_crps(members, truth), truth.square(), mean.square(),
            mean * truth, variance, ensemble_square,
            *(torch.from_numpy(central(self.members, share)).to(truth)[ranks] for share in COVERAGES),
        )  # fmt: skip
        weight = known * reference.weight.double()[:, None]
        weighted = torch.stack([term * weight for term in terms] + [known.double()])
        self._sum(reference, weighted)
        if self.members > 1:
            self._rank(reference, ranks, weight)
            self._class_spread(variance, weighted)

    def merge(self, other: Scores) -> None:
        """Count what another one has counted.

        Raises:
            ValueError: it is of other fields, levels, groups or numbers of members.
        """
        mine, theirs = (
            (one.fields, one.depth, dict(one.groupings), one.members, one.deviation.tolist()) for one in (self, other)
        )
        if mine != theirs:
            raise ValueError(f"scores of {theirs[:4]} do not add to those of {mine[:4]}")
        for key, sums in other.sums.items():
            self.sums[key] = self.sums.get(key, 0.0) + sums
        for group, ranks in other.ranks.items():
            self.ranks[group] = self.ranks.get(group, 0.0) + ranks
        self.spread = self.spread + other.spread

    def units(self) -> tuple[str, ...]:
        """What is resampled, in order of name."""
        return tuple(sorted({unit for unit, _, _ in self.sums}))

    def of_group(self, grouping: str, name: str) -> NDArray[np.float64]:
        """Sums of all units, in order of name, zero where a unit has nothing there: [unit, C, SUMS]."""
        nothing = np.zeros((self.channels, len(SUMS)))
        return np.stack([self.sums.get((unit, grouping, name), nothing) for unit in self.units()] or [nothing])

    def _sum(self, reference: Reference, weighted: Tensor) -> None:
        """Add [SUMS, N, C] up by unit and class."""
        for grouping, names in self.groupings.items():
            place = reference.unit * len(names) + reference.classes[grouping]
            shape = (len(SUMS), len(reference.units) * len(names), self.channels)
            totals = _add_up(weighted, place, shape)
            for number in np.flatnonzero(totals[-1].any(axis=-1)):
                unit, name = divmod(int(number), len(names))
                key = reference.units[unit], grouping, names[name]
                self.sums[key] = self.sums.get(key, 0.0) + totals[:, number].T

    def _rank(self, reference: Reference, ranks: Tensor, weight: Tensor) -> None:
        each = torch.stack([weight * (ranks == number) for number in range(self.members + 1)])
        for grouping, names in self.groupings.items():
            totals = _add_up(each, reference.classes[grouping], (self.members + 1, len(names), self.channels))
            for number in np.flatnonzero(totals.any(axis=(0, 2))):
                key = grouping, names[number]
                self.ranks[key] = self.ranks.get(key, 0.0) + totals[:, number].T

    def _class_spread(self, variance: Tensor, weighted: Tensor) -> None:
        relative = variance.sqrt() / torch.as_tensor(self.deviation).to(variance)
        place = torch.bucketize(relative, torch.as_tensor(SPREAD_EDGES).to(relative))
        three = weighted[[SUMS.index(name) for name in ("weight", "variance", "ensemble_square")]]
        each = torch.zeros(3, len(SPREAD_EDGES) + 1, self.channels, dtype=torch.float64, device=three.device)
        each.scatter_add_(1, place.expand(3, -1, -1), three)
        self.spread = self.spread + each.cpu().numpy().transpose(2, 1, 0)


def fair_crps(members: Tensor, truth: Tensor) -> Tensor:
    """Continuous ranked probability score that does not reward an ensemble for being small.

    Mean distance of the members from the truth less half of the mean distance between two different members (Ferro,
    *Fair scores for ensemble forecasts*, 2014); of one member its distance.

    Args:
        members: [M, ...].
        truth: [...].
    """
    count = members.shape[0]
    distance = (members - truth).abs().mean(dim=0)
    if count == 1:
        return distance
    ordered = members.sort(dim=0).values
    # a member that has k below it adds to k distances and takes from the others
    factor = 2.0 * torch.arange(count, device=members.device) - (count - 1)
    between = torch.tensordot(factor.to(ordered), ordered, dims=1)
    found: Tensor = distance - between / (count * (count - 1))
    return found


def rank(members: Tensor, truth: Tensor, chance: Tensor) -> Tensor:
    """How many members are below the truth; those that equal it are by chance.

    Args:
        members: [M, ...].
        truth: [...].
        chance: evenly between 0 and 1, 1 excluded: [...].
    """
    below, equal = (members < truth).sum(dim=0), (members == truth).sum(dim=0)
    found: Tensor = below + (chance * (equal + 1)).long()
    return found


def central(members: int, share: float) -> NDArray[np.float64]:
    """Of each rank, how much of it is in the central interval of an ensemble that should hold ``share``: [members + 1].

    Between which members that interval ends need not be a whole number: a rank that is cut by its limit counts in
    part, so that a calibrated ensemble of any size has exactly ``share``.

    Args:
        members: of the ensemble.
        share: between 0 and 1.
    """
    edges = np.linspace(0.0, 1.0, members + 2)
    inside = np.clip(edges, (1 - share) / 2, (1 + share) / 2)
    return np.asarray(np.diff(inside) * (members + 1))


def _add_up(each: Tensor, place: Tensor, shape: tuple[int, int, int]) -> NDArray[Any]:
    """Sums over the points of a place: [K, N, C] to [K, place, C]."""
    totals = torch.zeros(shape, dtype=torch.float64, device=each.device)
    totals.index_add_(1, place, each.double())
    found: NDArray[Any] = totals.cpu().numpy()
    return found
