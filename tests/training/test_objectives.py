"""Risk: the network is asked for what it was given, or samples from something other than it learnt from."""

from __future__ import annotations

import pytest
import torch

from oceanrecon.train_config import DropSettings, StageSettings
from oceanrecon.training.inference.members import visible_columns
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.objectives.chance import Chance
from oceanrecon.training.objectives.hide import hide
from oceanrecon.training.objectives.task import ambient_task, dense_task, visible_share, weights
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


def test_ambient_asks_for_profiles_that_it_hides_and_never_looks_at_the_dense_target() -> None:
    given = patches(count=200, profiles=40).replace(target=None, target_mask=None)
    for loss_on in ("support", "withheld"):
        stage = StageSettings(objective="ambient", samples=1, hidden=0.25, loss_on=loss_on)
        task = ambient_task(given, stage, NOTHING, chance(torch.arange(200)))
        observed = given.observed_mask.any(dim=1, keepdim=True)
        seen = task.given.observed_mask.any(dim=1, keepdim=True)
        assert task.visible is not None
        assert torch.equal(task.visible | seen, observed) and not (task.visible & seen).any()
        assert (task.visible.sum() / observed.sum()).item() == pytest.approx(0.25, abs=0.02)
        assert torch.equal(task.target, given.observed)
        wanted = given.observed_mask if loss_on == "support" else given.observed_mask & task.visible
        assert torch.equal(task.mask, wanted)


def test_sampling_shows_the_network_as_much_of_a_state_as_training_did() -> None:
    given = patches(count=200, profiles=40)
    stage = StageSettings(objective="ambient", samples=1, hidden=0.25)
    task = ambient_task(given, stage, NOTHING, chance(torch.arange(200)))
    seen, ocean = visible_share(task)
    found = model("diffusion")
    assert isinstance(found, Diffusion)
    assert visible_columns(found, given, given.day.tolist(), 0, 0) is None  # dense: all of it
    found.share.copy_(seen / ocean)
    shown = [visible_columns(found, given.take([0]), [734000 + day], 0, 0) for day in range(300)]
    shares = torch.stack([one.sum() for one in shown if one is not None]) / given.wet[:1].any(dim=1).sum()
    assert shares.mean().item() == pytest.approx((seen / ocean).item(), rel=0.05)
    # a fixed state: what the network is shown of it is zero elsewhere, in sampling as in training
    one, part = given.take([0]), shown[0]
    assert part is not None
    estimate, noisy, inputs = found.estimate(one), torch.randn(1, 6, SIDE, SIDE), []
    hook = found.net.register_forward_pre_hook(lambda module, args: inputs.append(args[0]))
    found.denoiser(one, estimate, part)(noisy, torch.tensor(1.0))
    found.errors(noisy, torch.zeros_like(noisy), torch.zeros(1, 2), one, estimate, part)
    hook.remove()
    for fields in inputs:
        assert not (fields[:, :6] * ~part).any() and torch.equal(fields[:, 6:7].bool(), part)


def test_dense_asks_for_the_target_where_there_is_water() -> None:
    made = batch(2)
    given = state().patches(made)
    task = dense_task(given, NOTHING, chance(torch.arange(2)))
    assert task.visible is None
    weight = weights(given, task.mask)
    # rows 40 to 55 are 19.5 N to 4.5 N
    assert weight[0, 0, 0, 0].item() == pytest.approx(0.9426, abs=1e-4)
    assert torch.equal(weight > 0, torch.cat([made["y_valid_mask"], made["y_salinity_valid_mask"]], dim=1))
