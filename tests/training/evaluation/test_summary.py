"""Risk: what is written is of another level, group or unit than it says, or JSON cannot hold it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from oceanrecon.training.evaluation.scores import Reference, Scores, central
from oceanrecon.training.evaluation.summary import compare, rounded, summarise


def scored(estimate: float, known: bool = True) -> Scores:
    """Two floats, two levels whose deviations are 1 K and 2 K; the lower level of the second is not known."""
    found = Scores(("temperature",), (5.0, 500.0), np.array([1.0, 2.0]), {"all": ("all",), "sea": ("near", "far")}, 2)
    zeros = torch.zeros(2, dtype=torch.int64)
    reference = Reference(
        torch.zeros(2, 2), torch.tensor([[True, True], [known, False]]), ("b", "a"), torch.arange(2),
        {"all": zeros, "sea": zeros + 1}, torch.ones(2),
    )  # fmt: skip
    # spread and error of the lower level are twice those of the upper one: the same, in their deviations
    size = torch.tensor([1.0, 2.0])
    found.add(reference, torch.stack([(estimate + 0.5) * size, (estimate - 0.5) * size])[:, None].expand(2, 2, 2))
    return found


def test_a_summary_by_hand() -> None:
    told = json.loads(json.dumps(summarise(scored(3.0)), allow_nan=False))
    assert (told["members"], told["units"]) == (2, 2)
    assert set(told["groups"]["sea"]) == {"far"}
    levels, pooled = (told["groups"]["all"]["all"]["temperature"][which] for which in ("levels", "pooled"))
    assert (levels["count"], levels["units"]) == ([2, 1], [2, 1])
    assert (pooled["count"], pooled["units"]) == (3, 2)
    assert levels["rmse"]["value"] == [3.0, 6.0]
    assert levels["rmse"]["low"] == [3.0, None]  # of one float there is no interval
    assert pooled["bias"]["value"] == 4.0
    assert pooled["rmse"]["value"] == pytest.approx(math.sqrt((9 + 9 + 36) / 3), rel=1e-5)
    # all members are above what is true
    assert levels["ranks"] == [[2.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    spread = told["spread"]["temperature"]
    place = int(np.flatnonzero(spread["weight"])[0])
    assert spread["weight"][place] == 3.0
    # variance of 3.5 and 2.5 is a half, and (M + 1) / M is 3/2
    assert spread["spread"][place] == pytest.approx(math.sqrt(1.5 * 0.5), rel=1e-5)
    assert spread["error"][place] == 3.0
    assert spread["edges"][place - 1] < math.sqrt(0.5) <= spread["edges"][place] * (1 + 1e-6)


def test_a_comparison_is_the_first_less_the_second() -> None:
    told = compare(scored(3.0), scored(1.0))["temperature"]
    assert told["levels"]["rmse"]["value"] == [2.0, 4.0]
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(scored(3.0), scored(1.0, known=False))


def test_coverage_counts_ranks_that_a_limit_cuts_in_part() -> None:
    """Of four members there are five ranks; the central half is the middle one and three quarters of its neighbours."""
    assert central(4, 0.5).tolist() == pytest.approx([0.0, 0.75, 1.0, 0.75, 0.0])
    assert central(4, 0.5).mean() == pytest.approx(0.5)
    assert central(16, 0.9).mean() == pytest.approx(0.9)


def test_coverage_has_an_interval_by_float() -> None:
    """Of 30 floats with ten values each, in 20 all truths are in the middle, and in 10 all are outside."""
    found = Scores(("temperature",), (5.0,), np.ones(1), {"all": ("all",)}, 4)
    floats = torch.arange(30).repeat_interleave(10)
    truth = torch.where(floats < 20, 0.0, 9.0)[:, None]
    reference = Reference(
        truth, torch.ones(300, 1, dtype=torch.bool), tuple(f"{one:02}" for one in range(30)), floats,
        {"all": torch.zeros(300, dtype=torch.int64)}, torch.ones(300),
    )  # fmt: skip
    members = torch.tensor([-2.0, -1.0, 1.0, 2.0])
    found.add(reference, members[:, None, None].expand(4, 300, 1))
    told = summarise(found)["groups"]["all"]["all"]["temperature"]
    half = told["pooled"]["coverage"]["50"]
    assert half["value"] == pytest.approx(2 / 3, rel=1e-5)
    # of 30 draws, not of 300: 2/3 +- 1.96 x 0.086
    assert half["low"] == pytest.approx(0.50, abs=0.04) and half["high"] == pytest.approx(0.835, abs=0.04)
    # three quarters of an outermost rank, a fifth of all, are in the middle 90 %
    assert told["levels"]["coverage"]["90"]["value"] == [pytest.approx((20 + 0.75 * 10) / 30, rel=1e-5)]


def test_numbers_for_json() -> None:
    assert rounded([[1 / 3, math.nan], [math.inf, 2]]) == [[0.333333, None], [None, 2.0]]
