"""Risk: a score that is wrong, that depends on the order of rows, or that calls a good ensemble badly calibrated."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from oceanrecon.training.evaluation.intervals import (
    SCORES,
    coverage,
    difference,
    interval,
    redrawn,
    resampled,
    spread_skill,
)
from oceanrecon.training.evaluation.scores import SPREAD_EDGES, SUMS, Reference, Scores, fair_crps, rank

GROUPINGS = {"all": ("all",), "basin": ("atlantic", "pacific")}


def reference(values: Tensor, **given: object) -> Reference:
    """Points of one float in the Pacific, all known, unless told otherwise."""
    points = len(values)
    zeros = torch.zeros(points, dtype=torch.int64)
    made: dict[str, object] = {
        "known": torch.ones_like(values, dtype=torch.bool),
        "units": ("float",),
        "unit": zeros,
        "classes": {"all": zeros, "basin": zeros + 1},
        "weight": torch.ones(points),
    }
    return Reference(values, **(made | given))  # type: ignore[arg-type]


def scores(members: int, depth: tuple[float, ...] = (5.0,)) -> Scores:
    return Scores(("temperature",), depth, np.ones(len(depth)), GROUPINGS, members)


def score(name: str, found: Scores, grouping: str = "all", group: str = "all") -> list[float]:
    return list(SCORES[name](found.of_group(grouping, group).sum(axis=0)))


def test_scores_by_hand() -> None:
    found = scores(1)
    nan = math.nan
    # the third is not known, and may be anything; the last counts three times
    found.add(
        reference(
            torch.tensor([[1.0], [-2.0], [nan], [0.5]]),
            known=torch.tensor([[True], [True], [False], [True]]),
            weight=torch.tensor([1.0, 1.0, 1.0, 3.0]),
            classes={"all": torch.zeros(4, dtype=torch.int64), "basin": torch.tensor([0, 0, 0, 1])},
        ),
        torch.tensor([[[2.0], [-4.0], [nan], [0.0]]]),
    )
    # errors 1, -2, -0.5 (x3)
    assert score("bias", found) == pytest.approx([(1 - 2 - 1.5) / 5])
    assert score("mae", found) == pytest.approx([(1 + 2 + 1.5) / 5])
    assert score("crps", found) == score("mae", found)
    assert score("rmse", found) == pytest.approx([math.sqrt((1 + 4 + 0.75) / 5)])
    assert score("correlation", found) == pytest.approx([(2 + 8) / math.sqrt((1 + 4 + 0.75) * (4 + 16))])
    assert score("rmse", found, "basin", "atlantic") == pytest.approx([math.sqrt(2.5)])
    assert score("rmse", found, "basin", "pacific") == pytest.approx([0.5])
    assert found.of_group("all", "all")[0, 0, SUMS.index("count")] == 3


def test_nothing_known_is_no_score_and_no_zero() -> None:
    found = scores(1, (5.0, 50.0))
    known = torch.tensor([[True, False]])
    found.add(reference(torch.tensor([[1.0, 2.0]]), known=known), torch.zeros(1, 1, 2))
    rmse = score("rmse", found)
    assert rmse[0] == 1.0
    assert math.isnan(rmse[1])
    assert math.isnan(score("correlation", found)[0])  # the estimate is the climatology
    assert np.isnan(score("rmse", found, "basin", "atlantic")).all()


@pytest.mark.parametrize("count", [2, 3, 7])
def test_crps_is_its_definition(count: int) -> None:
    generator = torch.Generator().manual_seed(count)
    members = torch.randn(count, 5, 2, generator=generator).double()
    truth = torch.randn(5, 2, generator=generator).double()
    pairs = [(members[i] - members[j]).abs() for i, j in itertools.permutations(range(count), 2)]
    wanted = (members - truth).abs().mean(dim=0) - 0.5 * torch.stack(pairs).mean(dim=0)
    torch.testing.assert_close(fair_crps(members, truth), wanted)


@pytest.mark.parametrize("count", [2, 4, 16])
def test_crps_of_draws_is_on_average_that_of_their_distribution(count: int) -> None:
    """Gneiting and Raftery 2007, formula 21; that of few draws would be larger if it were not fair."""
    generator = torch.Generator().manual_seed(0)
    members = 0.3 + 1.5 * torch.randn(count, 400_000, generator=generator, dtype=torch.float64)
    z = (1.0 - 0.3) / 1.5
    wanted = 1.5 * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / math.sqrt(math.pi))
    found = fair_crps(members, torch.full((400_000,), 1.0, dtype=torch.float64))
    assert found.mean().item() == pytest.approx(wanted, abs=5 * found.std().item() / 400_000**0.5)


def calibrated(points: int, members: int, inflated: float = 1.0) -> tuple[Tensor, Tensor]:
    """Truth and members, draws of one distribution whose middle and width are other ones at each point."""
    generator = torch.Generator().manual_seed(3)
    middle, width = torch.randn(points, 1, generator=generator), 0.3 + torch.rand(points, 1, generator=generator)
    truth = middle + width * torch.randn(points, 1, generator=generator)
    return truth, middle + inflated * width * torch.randn(members, points, 1, generator=generator)


@pytest.mark.parametrize("members", [4, 16])
def test_a_calibrated_ensemble_is_called_calibrated(members: int) -> None:
    points = 100_000
    truth, drawn = calibrated(points, members)
    found = scores(members)
    found.add(reference(truth), drawn)
    sums = found.of_group("all", "all").sum(axis=0)
    assert spread_skill(sums, members)[0] == pytest.approx(1.0, abs=0.01)
    ranks = found.ranks["all", "all"][0]
    expected = points / (members + 1)
    assert ((ranks - expected) ** 2 / expected).sum() < 3 * members  # chi-squared
    for share in (0.5, 0.9):
        assert coverage(sums, share)[0] == pytest.approx(share, abs=0.01)
    # and it is so wherever the members are alike and wherever they are not
    weight, variance, square = found.spread[0].T
    many = weight > 2000
    assert many.sum() > 2
    if members == 16:  # of few members a small spread is often chance
        ratio = np.sqrt((members + 1) / members * variance[many] / square[many])
        np.testing.assert_allclose(ratio, 1.0, atol=0.35)


def test_an_ensemble_that_is_too_sure_is_called_so() -> None:
    truth, drawn = calibrated(20_000, 8, inflated=0.5)
    found = scores(8)
    found.add(reference(truth), drawn)
    assert spread_skill(found.of_group("all", "all").sum(axis=0), 8)[0] < 0.6
    ranks = found.ranks["all", "all"][0]
    assert ranks[0] > 2 * ranks[4] and ranks[-1] > 2 * ranks[4]
    assert coverage(found.of_group("all", "all").sum(axis=0), 0.5)[0] < 0.4


def test_members_get_the_error_of_a_float() -> None:
    """What is exact but for the error of the float is perfect, once the members have that error too."""
    generator = torch.Generator().manual_seed(1)
    exact = torch.randn(50_000, 1, generator=generator)
    measured = exact + 0.4 * torch.randn(50_000, 1, generator=generator)
    found, without = scores(8), scores(8)
    found.add(reference(measured, noise=torch.tensor([0.4])), exact.expand(8, -1, -1))
    without.add(reference(measured), exact.expand(8, -1, -1))
    assert spread_skill(found.of_group("all", "all").sum(axis=0), 8)[0] == pytest.approx(1.0, abs=0.01)
    assert coverage(found.of_group("all", "all").sum(axis=0), 0.9)[0] == pytest.approx(0.9, abs=0.01)
    assert spread_skill(without.of_group("all", "all").sum(axis=0), 8)[0] == 0.0
    # the single estimate is scored as it is
    assert score("rmse", found) == pytest.approx(score("rmse", without), rel=0.06)


def test_the_single_estimate_may_be_another_than_the_mean_of_members() -> None:
    truth, drawn = torch.zeros(1, 1), torch.tensor([[[1.0]], [[3.0]]])
    found = scores(2)
    found.add(reference(truth), drawn, mean=torch.tensor([[0.5]]))
    assert score("rmse", found) == [0.5]
    # variance 2 (M - 1), mean 2: sqrt(3/2 * 2 / 4)
    assert spread_skill(found.of_group("all", "all").sum(axis=0), 2)[0] == pytest.approx(math.sqrt(0.75))


def test_equals_are_ranked_by_chance() -> None:
    chance = torch.rand(30_000, generator=torch.Generator().manual_seed(0))
    members = torch.tensor([0.0, 0.0, -1.0, 2.0])[:, None].expand(4, 30_000)
    found = torch.bincount(rank(members, torch.zeros(30_000), chance), minlength=5)
    assert found[0] == found[4] == 0
    np.testing.assert_allclose(found[1:4] / 30_000, 1 / 3, atol=0.02)


def test_order_of_rows_and_merging_change_nothing() -> None:
    truth, drawn = calibrated(60, 4)
    drawn[0, ::3] = truth[::3]  # equals, so that chance has a say
    parts = []
    for number in range(3):
        part = slice(20 * number, 20 * number + 20)
        classes = {name: torch.arange(20) % len(classes) for name, classes in GROUPINGS.items()}
        unit = torch.arange(20) % 3
        made = reference(
            truth[part], units=("a", "b", f"only {number}"), unit=unit, classes=classes, noise=torch.tensor([0.1]),
            seed=number,
        )  # fmt: skip
        parts.append((made, drawn[:, part]))
    whole, backwards, merged = scores(4), scores(4), scores(4)
    for made, members in parts:
        whole.add(made, members)
        single = scores(4)
        single.add(made, members)
        merged.merge(single)
    for made, members in reversed(parts):
        backwards.add(made, members)
    assert whole.units() == ("a", "b", "only 0", "only 1", "only 2")
    for other in (backwards, merged):
        for name in GROUPINGS["basin"]:
            np.testing.assert_allclose(whole.of_group("basin", name), other.of_group("basin", name), rtol=1e-12)
            np.testing.assert_array_equal(whole.ranks["basin", name], other.ranks["basin", name])
        np.testing.assert_allclose(whole.spread, other.spread, rtol=1e-12)
    assert whole.spread.shape == (1, len(SPREAD_EDGES) + 1, 3)


def test_what_cannot_be_scored_is_refused() -> None:
    found = scores(2)
    with pytest.raises(ValueError, match="1 of 2 estimates are not finite"):
        found.add(reference(torch.zeros(2, 1)), torch.tensor([[[0.0], [1.0]], [[0.0], [math.inf]]]))
    with pytest.raises(ValueError, match="2 members of"):
        found.add(reference(torch.zeros(2, 1)), torch.zeros(3, 2, 1))
    with pytest.raises(ValueError, match="do not add"):
        found.merge(scores(3))
    with pytest.raises(ValueError, match="weight"):
        reference(torch.zeros(2, 1), weight=torch.ones(3))


def by_float(values: np.ndarray) -> np.ndarray:
    """Sums of errors [float, value]: [float, 1, SUMS]."""
    found = Scores(("temperature",), (5.0,), np.ones(1), {"all": ("all",)}, 1)
    floats, each = values.shape
    unit = torch.arange(floats).repeat_interleave(each)
    zeros = torch.zeros(floats * each, dtype=torch.int64)
    made = Reference(
        torch.zeros(floats * each, 1, dtype=torch.float64), torch.ones(floats * each, 1, dtype=torch.bool),
        tuple(f"{number:04}" for number in range(floats)), unit, {"all": zeros}, torch.ones(floats * each),
    )  # fmt: skip
    found.add(made, torch.as_tensor(values.reshape(1, -1, 1)))
    return found.of_group("all", "all")


def test_whole_floats_are_resampled() -> None:
    """Ten values of a float that are alike say no more than one."""
    errors = np.random.default_rng(0).normal(0.2, 1.0, size=(200, 1))
    draws = resampled(200, 4000, seed=1)
    ten = by_float(np.repeat(errors, 10, axis=1))
    value, low, high = interval(SCORES["bias"], ten, redrawn(draws, ten))
    half = 1.96 * errors.std() / math.sqrt(200)  # of a normal mean
    np.testing.assert_allclose([value[0], low[0], high[0]], errors.mean() + np.array([0, -half, half]), atol=0.012)
    _, *single = interval(SCORES["bias"], by_float(errors), redrawn(draws, by_float(errors)))
    np.testing.assert_allclose([low, high], single)


def test_a_difference_is_known_better_than_its_parts() -> None:
    generator = np.random.default_rng(0)
    hard = generator.normal(0, 1, size=(150, 4))
    one, other = by_float(hard), by_float(1.1 * hard)
    draws = resampled(150, 1000, seed=1)
    first, second = (one, redrawn(draws, one)), (other, redrawn(draws, other))
    value, low, high = difference(SCORES["rmse"], first, second)
    _, *limits = interval(SCORES["rmse"], *first)
    assert low[0] < value[0] < high[0] < 0
    assert high[0] - low[0] < 0.2 * (limits[1][0] - limits[0][0])
    with pytest.raises(ValueError, match="cannot be compared"):
        difference(SCORES["rmse"], first, (by_float(hard[:, :3]), first[1]))


def test_one_float_alone_has_no_interval() -> None:
    sums = by_float(np.full((1, 5), 2.0))
    value, low, high = interval(SCORES["rmse"], sums, redrawn(resampled(1, 10, seed=0), sums))
    assert value[0] == 2.0
    assert np.isnan([low[0], high[0]]).all()
