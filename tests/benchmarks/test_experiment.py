"""Risk: the experiment says that a model beats a baseline on the truth, and it does not."""

from __future__ import annotations

import math
from typing import Any

import pytest

from benchmarks.experiment import goal_rows, truth_goals, truth_rows


def found() -> dict[str, Any]:
    """Two levels count; above 10 m and below 1000 m the diffusion is worst."""
    rmse = {
        "diffusion": [9.0, 3.0, 4.0, 9.0], "climatology": [1.0, 5.0, 5.0, 1.0], "idw": [1.0, 3.0, 4.1, 1.0],
        "oi": [1.0, 3.0, 4.0, 1.0], "unet": [1.0, 1.0, 1.0, 1.0],
    }  # fmt: skip
    return {
        "depth_m": [5.0, 10.0, 1000.0, 1500.0],
        "rmse": {run: {"temperature": values, "salinity": values[::-1]} for run, values in rmse.items()},
    }


def test_goals_on_the_truth_by_hand() -> None:
    goals = truth_goals(found())
    assert [one["what"].split(" below that of ")[1] for one in goals[:3]] == [
        f"{name}, 10 to 1000 m together" for name in ("climatology", "idw", "oi")
    ]
    # as good as is not better
    assert [one["holds"] for one in goals] == [True, True, False] * 2
    assert goals[0]["found"] == f"{math.sqrt(12.5) / 5:.3f} times: {math.sqrt(12.5):.3g} and 5 K"
    assert goals[3]["found"].endswith("PSU")
    assert [row[""] for row in goal_rows(goals)] == ["reached", "reached", "**missed**"] * 2


def test_the_table_has_the_same_numbers_as_the_goals() -> None:
    row = next(row for row in truth_rows(found()) if row["model"] == "diffusion: temperature, K")
    assert float(row["10 to 1000 m"]) == pytest.approx(math.sqrt(12.5), abs=1e-4)
