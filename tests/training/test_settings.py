"""Risk: settings mean something else than they say: rates, steps of samplers, what differs of two trainings."""

from __future__ import annotations

import pytest

from oceanrecon.train_config import SamplerSettings, StageSettings, sampler_values
from oceanrecon.training.diffusion.discrete import Discrete
from oceanrecon.training.loop.module import rate_at
from oceanrecon.training.loop.provenance import differences


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("cosine", {10: 1.0, 40: 0.75, 55: 0.5, 70: 0.25, 100: 0.0}),
        ("inverse_root", {10: 1.0, 40: 0.5, 90: 1 / 3}),
    ],
)
def test_the_learning_rate_rises_and_falls(schedule: str, rates: dict[int, float]) -> None:
    stage = StageSettings.model_validate({"samples": 8, "schedule": schedule, "warmup": 0.1})
    assert [rate_at(stage, step, 100) for step in range(10)] == pytest.approx([(1 + n) / 11 for n in range(10)])
    assert {step: rate_at(stage, step, 100) for step in rates} == pytest.approx(rates, abs=1e-9)


def test_what_differs_of_settings_is_named() -> None:
    there = {"a": {"b": 1, "c": [1, 2]}, "d": [{"e": 1.5}, {"e": 2}]}
    here = {"a": {"b": 1, "c": [1]}, "d": [{"e": 1.5}, {"e": None}], "f": True}
    assert list(differences(there, there)) == []
    assert list(differences(there, here)) == [
        "a.c: [1, 2] there, [1] here",
        "d.1.e: 2 there, None here",
        "f: None there, True here",
    ]


def test_another_sampler_does_not_take_over_what_it_has_no_use_for() -> None:
    def chosen(usual: dict[str, object], method: str | None, steps: int | None) -> SamplerSettings:
        values = sampler_values(SamplerSettings.model_validate(usual), method, steps)
        return SamplerSettings.model_validate(values)

    heun = {"method": "heun", "steps": 7, "churn": 2.0}
    assert chosen(heun, None, None).model_dump() == heun
    assert chosen(heun, "heun", 9).model_dump() == {**heun, "steps": 9}
    assert chosen(heun, "dpm", None).model_dump() == {"method": "dpm", "steps": 7, "churn": 0.0}
    assert chosen({"method": "ddim", "steps": 50}, "ddpm", None).steps == Discrete().steps == 1000
    assert chosen({"method": "ddpm"}, "ddim", None).steps == 12
    with pytest.raises(ValueError, match="takes all 1,000 steps, not 20"):
        chosen({"method": "ddim"}, "ddpm", 20)
