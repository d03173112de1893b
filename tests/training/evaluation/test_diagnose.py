"""Risk: a diagnosis shows something else than what the model does.

An untrained network says nothing, so that its denoiser only shrinks: what it makes of noise follows by hand.
"""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from oceanrecon.errors import ConfigError
from oceanrecon.plots.diagnosis import draw_diagnosis, render_diagnosis
from oceanrecon.plots.diagnosis_figures import draw_levels, draw_samplers
from oceanrecon.stores.files import Root
from oceanrecon.training.evaluation import denoising
from oceanrecon.training.evaluation.denoising import (
    STEPS,
    Level,
    by_level,
    by_sampler,
    nothing_above,
    on_the_way,
    samplers,
)
from oceanrecon.training.evaluation.diagnose import Diagnosis, curves, diagnose, sampling
from oceanrecon.training.inference.members import sampled_members
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.model.stored import Trained, save_model
from oceanrecon.training.objectives.task import weights
from tests.training import tiny

DISCRETE = {"diffusion": {"process": "discrete", "sampler": {"method": "ddim", "steps": 10}}}


def diffusion(**changes: object) -> Diffusion:
    found = tiny.model("diffusion", **changes)
    assert isinstance(found, Diffusion)
    return found.eval()


def trained(model: Diffusion, **changes: object) -> Trained:
    return Trained(model, tiny.settings("diffusion", **changes), tiny.statistics(), tiny.form(), 7, 7, {})


def test_a_network_that_says_nothing_leaves_what_shrinking_leaves() -> None:
    """Of a state s and noise n of level v the preconditioning alone keeps (s + v n) / (1 + v^2)."""
    model, patches = diffusion(), tiny.patches(count=2)
    assert patches.target is not None and patches.target_mask is not None
    with torch.inference_mode():
        estimate = model.estimate(patches)
        state, mask = model.encoded(patches.target, patches.target_mask, estimate)
    counted = weights(patches, mask).double()
    power = ((state.double().square() * counted).sum() / counted.sum()).item()
    levels = by_level(model, [patches.take([0]), patches.take([1])])
    assert [levels[0].sigma, levels[-1].sigma] == pytest.approx([model.levels.smallest, model.levels.largest])
    for level in levels:
        shrunk = (level.sigma**4 * power + level.sigma**2) / (1 + level.sigma**2) ** 2
        # noise and state are as good as independent in 2,976 cells
        assert level.error == pytest.approx(shrunk, rel=0.15)
        assert level.estimate == pytest.approx(power)
        assert level.blind == pytest.approx(level.sigma**2 * power / (level.sigma**2 + power))
        assert level.loss == pytest.approx(level.error * (1 + level.sigma**2) / level.sigma**2, rel=1e-5)


def test_where_the_network_adds_nothing_is_the_lowest_level_of_those_at_the_top() -> None:
    def level(sigma: float, error: float) -> Level:
        return Level(sigma, error, 1.0, 1.0, None)

    assert nothing_above([level(0.1, 1.5), level(1.0, 0.5), level(10.0, 0.995), level(80.0, 1.0)]) == 10.0
    assert nothing_above([level(0.1, 0.2), level(80.0, 0.9)]) is None


@pytest.mark.parametrize("changes", [{}, DISCRETE])
def test_samplers_come_closer_to_the_finest_as_they_take_more_steps(changes: dict[str, object]) -> None:
    model, patches = diffusion(**changes), tiny.patches(count=2)
    found = list(by_sampler(model, patches, 2, 0))
    assert [one.sampler for one in found] == samplers(model)[::-1]
    for method in {one.sampler.method for one in found}:
        own = [one for one in found if one.sampler.method == method]
        assert [one.sampler.steps for one in own] == list(reversed(STEPS))
        distance = [one.distance.sum().item() for one in own]
        assert distance[:4] == sorted(distance[:4])  # with 4 steps, chance has a say
        assert own[0].evaluations == (63 if method == "heun" else 32)
    assert found[0].distance.sum() == 0


def test_a_member_on_its_way_ends_as_the_sampler_does() -> None:
    model, patches = diffusion(), tiny.patches(count=1)
    with torch.inference_mode():
        estimate = model.estimate(patches)
        sampler = samplers(model)[2]
        moments = on_the_way(model, patches, estimate, sampler, 0, 5)
        member = sampled_members(model, patches, estimate, 1, sampler, 0)[0, 0]
    assert [one.step for one in moments] == [1, 4, 6, 9, 12]
    assert moments[-1].sigma == 0
    torch.testing.assert_close(moments[-1].noisy + estimate.mean[0], member)
    # all of them are of the size of a state, whatever the noise
    for moment in moments:
        assert 0.5 < (moment.noisy / moments[-1].noisy).median() < 2


@pytest.fixture(scope="module")
def diagnosis() -> Diagnosis:
    model = diffusion()
    some = [tiny.patches(count=2), tiny.patches(count=1, seed=1, profiles=12)]
    told: list[tuple[int, int, str]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(denoising, "STEPS", (2, 3))
        found, arrays = sampling(trained(model), model, tiny.state(), some, 2, 0, lambda *what: told.append(what))
    assert [done for done, _, _ in told] == list(range(1, told[0][1] + 1))
    numbers = {
        "run": "runs/<one>", "kind": "diffusion", "created_by": "oceanrecon", "created_utc": "now", "device": "cpu",
        "notes": [], "curves": [{}], "sampling": {**found, "split": "val", "rows": 3},
    }  # fmt: skip
    return Diagnosis(numbers, arrays)


def test_errors_are_in_the_units_of_the_field(diagnosis: Diagnosis) -> None:
    """The estimate of an untrained model is that of optimal interpolation; checked cell by cell."""
    model, state = diffusion(), tiny.state()
    squares, counts = 0.0, 0.0
    for some in (tiny.patches(count=2), tiny.patches(count=1, seed=1, profiles=12)):
        assert some.target is not None and some.target_mask is not None
        with torch.inference_mode():
            error = state.values(model.estimate(some).mean, some) - state.values(some.target, some)
        weight = weights(some, some.target_mask)[:, 3:]
        squares += (error[:, 3:].square() * weight).sum().item()
        counts += weight.sum().item()
    assert diagnosis.numbers["sampling"]["estimate"]["salinity"]["rmse"] == pytest.approx(
        math.sqrt(squares / counts), rel=1e-3
    )


def test_the_member_shown_is_of_the_patch_with_the_most_profiles(diagnosis: Diagnosis) -> None:
    example = diagnosis.numbers["sampling"]["way"][1]
    assert example["field"] == "salinity" and example["depth"] == 100.0
    # columns 172 to 187 of a grid of 1 degree from 180 W, rows 40 to 55 from 60 N
    assert example["extent"] == pytest.approx([-8, 8, 4, 20])
    wanted = {key for one in diagnosis.numbers["sampling"]["way"] for key in _keys(one)}
    assert wanted == set(diagnosis.arrays)


def _keys(example: dict[str, object]) -> set[str]:
    moments, truth = example["moments"], example["truth"]
    assert isinstance(moments, list) and isinstance(truth, dict)
    cuts = [truth, *(one[name] for one in moments for name in ("noisy", "clean"))]
    return {"place", "land", *(cut[name] for cut in cuts for name in ("map", "section"))}


def test_the_page_has_what_was_found(diagnosis: Diagnosis, tmp_path: Path) -> None:
    done: list[str] = []
    diagnosis.write(str(tmp_path))
    shown = copy.deepcopy(dict(diagnosis.numbers))
    del shown["sampling"]["way"][0]
    path = draw_diagnosis(shown, diagnosis.arrays, str(tmp_path), lambda number, total, name: done.append(name))
    page = Path(path).read_text()
    assert done == ["samplers", "levels", "way_salinity", "section_salinity"]
    assert page.count("<img") == 4 and "runs/&lt;one&gt;" in page
    numbers = json.loads((tmp_path / "diagnosis.json").read_text())["sampling"]
    first = numbers["samplers"][0]
    assert f"{first['fields']['temperature']['rmse']:.4g} K" in page
    panels = draw_samplers(numbers).axes
    lines = {line.get_label(): line for line in panels[0].get_lines()}
    heun = [one for one in numbers["samplers"] if one["method"] == "heun"]
    assert np.asarray(lines["heun"].get_ydata()).tolist() == [one["fields"]["temperature"]["rmse"] for one in heun]
    assert np.asarray(lines["heun"].get_xdata()).tolist() == [3, 5]
    assert len(draw_levels(numbers).axes) == 2


def test_a_model_of_numbered_steps_has_no_loss_by_level() -> None:
    model = diffusion(**DISCRETE)
    found, _ = sampling(trained(model, **DISCRETE), model, tiny.state(), [tiny.patches(count=1)], 2, 0)
    assert {one["loss"] for one in found["levels"]} == {None} and found["usual"] == "ddim, 10 steps"
    assert len(draw_levels(found).axes) == 1


def test_patches_without_a_dense_target_are_refused() -> None:
    model, patches = diffusion(), tiny.patches(count=1)
    assert patches.target_mask is not None
    none = patches.replace(target_mask=torch.zeros_like(patches.target_mask))
    with pytest.raises(ConfigError, match="none of these patches"):
        sampling(trained(model), model, tiny.state(), [none], 2, 0)


def test_curves_of_a_log_of_which_lines_are_in_parts(tmp_path: Path) -> None:
    (tmp_path / "logs" / "1").mkdir(parents=True)
    (tmp_path / "logs" / "1" / "metrics.csv").write_text(
        "epoch,lr-AdamW,step,train/loss,train/samples,train/samples_per_second,train/waiting_share,val/loss\n"
        ",0.001,19,,,,,\n"
        "0,,19,0.5,160.0,18.5,0.25,\n"
        "0,,19,,,,,0.75\n"
        "0,,39,nan,320.0,20.5,0.125,\n"
    )
    stage, missing = curves(Root(str(tmp_path)), tiny.settings("diffusion"))
    assert missing == {}
    assert stage.pop("title").startswith("1: estimate, dense")
    assert stage == {
        "loss": {"step": [19], "value": [0.5]},
        "validation": {"step": [19], "value": [0.75]},
        "rate": {"step": [19], "value": [0.001]},
        "samples_per_second": {"step": [19, 39], "value": [18.5, 20.5]},
        "waiting_share": {"step": [19, 39], "value": [0.25, 0.125]},
    }


def test_a_page_of_a_training_alone(tmp_path: Path) -> None:
    stage = {"title": "1: estimate, dense, 8 samples", "loss": {"step": [0, 3], "value": [0.5, 0.25]}}
    numbers = {
        "run": "run", "kind": "regression", "created_by": "oceanrecon", "created_utc": "now", "device": "cpu",
        "notes": ["there is no diffusion"], "curves": [stage], "sampling": None,
    }  # fmt: skip
    page = Path(draw_diagnosis(numbers, {}, str(tmp_path))).read_text()
    assert page.count("<img") == 1 and "there is no diffusion" in page and "Samplers" not in page
    assert "<td class=text>1: estimate, dense, 8 samples</td><td>4</td><td>0.25</td>" in page
    assert "Training" not in render_diagnosis({**numbers, "curves": [{}]}, {})


def test_a_model_without_diffusion_is_read_without_its_data(tmp_path: Path) -> None:
    for kind in ("climatology", "regression"):
        made = Trained(tiny.model(kind), tiny.settings(kind), tiny.statistics(), tiny.form(), 7, 7, {})
        save_model(Root(str(tmp_path / kind)), made)
    with pytest.raises(ConfigError, match="climatology: it was not trained"):
        diagnose(str(tmp_path / "climatology"))
    found = diagnose(str(tmp_path / "regression" / "model.pt"), device="cpu").numbers
    assert found["sampling"] is None and found["curves"] == [{}] and len(found["notes"]) == 2
    with pytest.raises(ConfigError, match="members=1"):
        diagnose(str(tmp_path / "regression"), members=1)
