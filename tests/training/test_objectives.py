"""Risk: the network is asked for what it was given, or samples from something other than it learnt from."""

from __future__ import annotations

from typing import Literal

import pytest
import torch

from oceanrecon.train_config import DropSettings, StageSettings
from oceanrecon.training.inference.members import visible_columns
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.objectives.chance import Chance
from oceanrecon.training.objectives.hide import hide
from oceanrecon.training.objectives.task import ambient_task, dense_task, weights
from oceanrecon.training.objectives.visible import counted, in_training
from oceanrecon.training.state.patches import Patches
from tests.training.tiny import SIDE, batch, model, patches, state

NOTHING = DropSettings(surface=0.0, some=0.0, everything=0.0)


def chance(rows: torch.Tensor, step: int = 0) -> Chance:
    return Chance(7, step, rows)


def test_draws_are_of_row_and_step_whatever_the_batch() -> None:
    whole = chance(torch.arange(6), 5).normal("noise", 3, 4, 4)
    part = chance(torch.tensor([4, 1]), 5).normal("noise", 3, 4, 4)
    assert torch.equal(part, whole[[4, 1]])
    assert not torch.equal(whole, chance(torch.arange(6), 6).normal("noise", 3, 4, 4))
    assert not torch.equal(whole, chance(torch.arange(6), 5).normal("level", 3, 4, 4))


def test_what_is_hidden_is_hidden_in_the_shares_that_were_asked_for() -> None:
    count = 400
    given = patches(count=count, profiles=40)
    columns = given.observed_mask.any(dim=1).sum(dim=(1, 2)).float()
    found = hide(given, DropSettings(surface=0.2, some=0.5, everything=0.1), chance(torch.arange(count)))
    left = found.observed_mask.any(dim=1).sum(dim=(1, 2)) / columns
    # a tenth has none; of the others half has all, and half an even share of 0 to 1: a mean of 0.9 (0.5 + 0.5 x 0.5)
    assert (left == 0).float().mean() == pytest.approx(0.1 + 0.9 * 0.5 / 40, abs=0.04)
    assert (left == 1).float().mean() == pytest.approx(0.9 * 0.5, abs=0.08)
    assert left.mean() == pytest.approx(0.9 * 0.75, abs=0.05)
    seen = found.surface_mask.flatten(2).any(dim=2).float()
    assert seen.mean() == pytest.approx(0.8, abs=0.04)
    assert not (found.observed * ~found.observed_mask).any() and not (found.surface * ~found.surface_mask).any()
    assert not (found.age * ~found.observed_mask.any(dim=1, keepdim=True)).any()
    kept = hide(given, NOTHING, chance(torch.arange(count)))
    assert torch.equal(kept.observed, given.observed) and torch.equal(kept.surface, given.surface)


def uneven(count: int) -> Patches:
    """Profiles, of which a third ends after the first level, a third after the second; salinity is in half of them."""
    given = patches(count=count, profiles=40).replace(target=None, target_mask=None)
    draws = chance(torch.arange(count)).uniform("reach", 2, SIDE, SIDE)
    reach = 3 * draws[:, :1] >= torch.arange(3)[:, None, None]
    salty = reach & (draws[:, 1:] < 0.5)
    mask = given.observed_mask & torch.cat([reach, salty], dim=1)
    return given.replace(observed_mask=mask, observed=given.observed * mask)


@pytest.mark.parametrize("loss_on", ["support", "withheld"])
def test_ambient_asks_for_profiles_that_it_hides_and_never_looks_at_the_dense_target(
    loss_on: Literal["support", "withheld"],
) -> None:
    given = uneven(200)
    stage = StageSettings(objective="ambient", samples=1, hidden=0.25, loss_on=loss_on)
    task = ambient_task(given, stage, NOTHING, chance(torch.arange(200)))
    assert task.hidden is not None
    seen = task.given.observed_mask
    assert torch.equal(task.hidden | seen, given.observed_mask)
    assert not (task.hidden.any(dim=1) & seen.any(dim=1)).any()  # whole columns
    shares = task.hidden.sum(dim=(0, 2, 3)) / given.observed_mask.sum(dim=(0, 2, 3))
    torch.testing.assert_close(shares, torch.full((6,), 0.25), atol=0.03, rtol=0)
    assert torch.equal(task.target, given.observed)
    assert torch.equal(task.mask, given.observed_mask if loss_on == "support" else task.hidden)


@pytest.mark.parametrize("space", ["levels", "eof"])
def test_sampling_shows_the_network_of_a_state_what_training_showed(space: str) -> None:
    """As much of each channel, never where a profile is given, and lower levels only below those above them."""
    count = 400
    stage = StageSettings(objective="ambient", samples=1, hidden=0.25)
    drop = DropSettings(surface=0.0, some=0.5, everything=0.1)
    task = ambient_task(uneven(count), stage, drop, chance(torch.arange(count)))
    found = model("diffusion", diffusion={"space": space, "modes": 4 if space == "eof" else None})
    assert isinstance(found, Diffusion) and task.hidden is not None
    days = list(range(734000, 734000 + count))
    assert visible_columns(found, task.given, days, 0, 0) is None  # dense: everywhere
    seen, free = counted(found, task)
    found.share.copy_(seen / free)
    trained, sampled = in_training(found, task), visible_columns(found, task.given, days, 0, 0)
    assert trained is not None and sampled is not None
    # in training where it was measured, and nowhere else; modes are of whole columns
    measured = task.hidden if space == "levels" else task.hidden.any(dim=1, keepdim=True).expand(-1, 4, -1, -1)
    assert torch.equal(trained, measured)
    profiles = task.given.observed_mask.any(dim=1, keepdim=True)
    for shown in (trained, sampled):
        assert not (shown & profiles).any()
        torch.testing.assert_close(shown.sum(dim=(0, 2, 3)) / free, found.share, rtol=0.1, atol=0)
        below = shown if space == "eof" else shown[:, :3]
        assert not (below[:, 1:] & ~below[:, :-1]).any()
    if space == "levels":  # 1, 2/3, 1/3 of the hidden columns
        assert torch.allclose(found.share[:3] / found.share[0], torch.tensor([1, 2 / 3, 1 / 3]), atol=0.05)
        assert (sampled[:, 3:] & ~sampled[:, :3]).sum() == 0  # salinity where temperature is


def test_the_network_sees_nothing_of_a_state_where_it_is_not_visible() -> None:
    given = patches(count=1)
    found = model("diffusion")
    assert isinstance(found, Diffusion)
    found.share.copy_(torch.linspace(0.6, 0.1, 6))
    part = visible_columns(found, given, given.day.tolist(), 0, 0)
    assert part is not None and part.any(dim=(0, 2, 3)).all()
    estimate, noisy, inputs = found.estimate(given), torch.randn(1, 6, SIDE, SIDE), []
    hook = found.net.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    found.denoiser(given, estimate, part)(noisy, torch.tensor(1.0))
    found.errors(noisy, torch.zeros_like(noisy), torch.zeros(1, 2), given, estimate, part)
    hook.remove()
    for fields in inputs:
        assert torch.equal(fields[:, :6] != 0, part)
        torch.testing.assert_close(fields[:, 6:7], part.float().mean(dim=1, keepdim=True))


def test_dense_asks_for_the_target_where_there_is_water() -> None:
    made = batch(2)
    given = state().patches(made)
    task = dense_task(given, NOTHING, chance(torch.arange(2)))
    assert task.hidden is None
    weight = weights(given, task.mask)
    # rows 40 to 55 are 19.5 N to 4.5 N
    assert weight[0, 0, 0, 0].item() == pytest.approx(0.9426, abs=1e-4)
    assert torch.equal(weight > 0, torch.cat([made["y_valid_mask"], made["y_salinity_valid_mask"]], dim=1))
