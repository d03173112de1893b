"""Risk: a goal that was missed is told as reached."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from oceanrecon.training.evaluation.goals import goals

DEPTH = [5.0, 50.0, 500.0, 2000.0]


def model(rmse: list[float | None], crps: float, mae: float, spread: float | None = None) -> dict[str, Any]:
    pooled = {"rmse": {"value": 1.0}, "crps": {"value": crps}, "mae": {"value": mae}, "spread_skill": {"value": spread}}
    return {"groups": {"all": {"all": {"temperature": {"levels": {"rmse": {"value": rmse}}, "pooled": pooled}}}}}


def numbers() -> dict[str, Any]:
    return {
        "fields": {"temperature": "K"},
        "depth": DEPTH,
        "models": {
            name: {"kind": kind} for name, kind in {"d": "diffusion", "r": "regression", "c": "climatology"}.items()
        },
        "scores": {
            "floats": {
                # worse than the climatology where it does not count: above 10 and below 1000 m
                "r": model([9.0, 1.0, 2.0, 9.0], 0.5, 0.8),
                "c": model([1.0, 2.0, 3.0, 1.0], 1.0, 1.0),
                "d": model([1.0, 1.0, 1.0, 1.0], 0.6, 0.8, 1.05),
            }
        },
        "spectra": {
            "d": {
                "bands_km": [25.0, 50.0, 100.0, 200.0],
                "shortest_km": 60.0,
                "fields": {
                    "temperature": {"ratio": {"member": [[None] * 3, [0.1, 0.8, 1.2], [None, 0.9, None], [9, 9, 9]]}}
                },
            }
        },
    }


def test_all_are_reached() -> None:
    found = goals(numbers())
    assert [one["holds"] for one in found] == [True] * 5
    assert [one["found"] for one in found] == [
        "at 2 of 2 levels", "1.000 times: 1 and 1 K", "0.750 times: 0.6 and 0.8 K", "1.050", "at 2 of 2 levels"
    ]  # fmt: skip
    assert "from 60 km on" in found[-1]["what"]


@pytest.mark.parametrize(
    ("path", "value", "goal", "told"),
    [
        (("r", "levels", "rmse", "value"), [1.0, 1.0, 3.0, 1.0], 0, "at 1 of 2 levels; not at 500 m (1.00 times)"),
        (("d", "pooled", "rmse", "value"), 1.03, 1, "1.030 times: 1.03 and 1 K"),
        (("d", "pooled", "crps", "value"), 0.61, 2, "0.762 times: 0.61 and 0.8 K"),
        (("d", "pooled", "spread_skill", "value"), 0.89, 3, "0.890"),
    ],
)
def test_one_is_missed(path: tuple[str, ...], value: Any, goal: int, told: str) -> None:
    given = numbers()
    name, *keys, last = path
    place = given["scores"]["floats"][name]["groups"]["all"]["all"]["temperature"]
    for key in keys:
        place = place[key]
    place[last] = value
    found = goals(given)
    assert [number for number, one in enumerate(found) if not one["holds"]] == [goal]
    assert found[goal]["found"] == told


def test_members_that_are_too_smooth_are_told() -> None:
    given = numbers()
    given["spectra"]["d"]["fields"]["temperature"]["ratio"]["member"][1][1] = 0.79
    assert goals(given)[-1] | {"what": ""} == {
        "what": "", "holds": False, "found": "at 1 of 2 levels; not at 50 m (0.79 to 1.20)"
    }  # fmt: skip


def test_without_floats_or_such_models_there_is_none() -> None:
    given = copy.deepcopy(numbers())
    for one in given["scores"]["floats"].values():
        one["groups"]["all"] = {}
    assert len(goals(given)) == 1
    given["models"] = {"c": {"kind": "climatology"}}
    assert goals(given) == []
