"""Risk: a model cannot learn, ignores what it is given, or fails where there is nothing to see."""

from __future__ import annotations

import pytest
import torch

from oceanrecon.train_config import DropSettings, SamplerSettings
from oceanrecon.training.inference.members import patch_noise, sampled_members
from oceanrecon.training.loop.module import learning
from oceanrecon.training.model.autoencoder import Autoencoder
from oceanrecon.training.model.build import build
from oceanrecon.training.model.conditions import channels, conditions, context
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.model.estimators import Regression
from oceanrecon.training.model.reconstructor import Estimate
from oceanrecon.training.model.unet import UNet, _Block, _Stage
from oceanrecon.training.objectives.chance import Chance
from oceanrecon.training.objectives.losses import likelihood, mean_of, squares, weighted_likelihood
from oceanrecon.training.objectives.task import weights
from oceanrecon.training.state.patches import Patches
from tests.training.tiny import SIDE, batch, model, patches, settings, state

NOTHING = DropSettings(surface=0.0, some=0.0, everything=0.0)
DPM = SamplerSettings(method="dpm", steps=6)


def loss_of(found: torch.nn.Module, given: Patches, step: int) -> torch.Tensor:
    assert given.target is not None and given.target_mask is not None
    weight = weights(given, given.target_mask)
    if isinstance(found, Autoencoder):
        errors = (found.decode(found.encode(given.target, given.target_mask)) - given.target).square()
    elif isinstance(found, Diffusion):
        with torch.no_grad():
            estimate = found.estimate(given)
            clean, weight_mask = found.encoded(given.target, given.target_mask, estimate)
        chance = Chance(0, step, torch.arange(len(given)))
        draw = torch.cat([chance.normal("level", 1), chance.uniform("step", 1)], dim=1)
        wrong, counts = found.errors(clean, chance.normal("noise", *clean.shape[1:]), draw, given, estimate)
        errors = counts * wrong.square()
        weight = weights(given, weight_mask)
    else:
        estimate = found.estimate(given)  # type: ignore[operator]
        errors = squares(estimate, given.target)
    total, count = mean_of(errors, weight)
    return total / count


@pytest.mark.parametrize(
    ("kind", "changes", "share"),
    [
        ("profile", {}, 0.35),
        ("unet", {}, 0.1),
        ("regression", {}, 0.1),
        (
            "regression",
            {"model": {"kind": "regression", "width": 16, "multipliers": [1, 2], "first_guess": False}},
            0.1,
        ),
        ("diffusion", {}, 0.5),
        ("diffusion", {"diffusion": {"space": "eof", "modes": 4}}, 0.5),
        ("diffusion", {"diffusion": {"process": "discrete", "sampler": {"method": "ddim"}}}, 0.5),
        ("autoencoder", {}, 0.1),
    ],
)
def test_one_batch_is_learnt_by_heart(kind: str, changes: dict[str, object], share: float) -> None:
    chosen = settings(kind, **changes)
    found = build(chosen, state(), lambda run: None)  # type: ignore[arg-type, return-value]
    given = patches()
    stage = chosen.stages[-1]
    network = learning(found, stage)
    if isinstance(found, Diffusion):
        assert given.target is not None and given.target_mask is not None
        found.codec.fit([(found.diffused(given.target, given.target_mask, found.estimate(given)), given.target_mask)])
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    first = torch.stack([loss_of(found, given, step).detach() for step in range(4)]).mean()
    for step in range(120):
        optimizer.zero_grad()
        loss_of(found, given, step % 4).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    last = torch.stack([loss_of(found, given, step).detach() for step in range(4)]).mean()
    assert last < share * first


def wakened(kind: str) -> torch.nn.Module:
    """A model whose layers that begin with zeros have other numbers, so that everything can be seen."""
    found = model(kind)
    torch.manual_seed(1)
    for values in found.parameters():
        if not values.any():
            torch.nn.init.normal_(values, std=0.1)
    return found.eval()


def test_every_condition_and_every_skip_is_used() -> None:
    found = wakened("regression")
    assert isinstance(found, Regression) and found.guess is not None
    given = patches()
    guess = found.guess.estimate(given)
    seen, whole = conditions(given, guess), context(given)
    assert seen.shape[1] == channels(6, 2, guess=True)
    whole_answer = found.net(seen, whole)
    size = 6
    parts = {
        "profiles": (0, size), "masks": (size, 2 * size), "age": (2 * size, 2 * size + 1), "surface": (13, 15),
        "surface masks": (15, 17), "depth": (17, 18), "ocean": (18, 19), "place": (19, 22), "guess": (22, 28),
        "its deviation": (28, 34),
    }  # fmt: skip
    assert parts["its deviation"][1] == seen.shape[1]
    for name, (first, last) in parts.items():
        without = seen.clone()
        assert without[:, first:last].any(), name
        without[:, first:last] = 0
        assert (found.net(without, whole) - whole_answer).abs().max() > 1e-4, name
    assert (found.net(seen, torch.zeros_like(whole)) - whole_answer).abs().max() > 1e-4
    blocks = [stage.main for stage in found.net.up if isinstance(stage, _Stage) and isinstance(stage.main, _Block)]
    before = 32  # of the middle
    for number, block in enumerate(blocks):

        def cut(
            module: torch.nn.Module, args: tuple[torch.Tensor, ...], kept: int = before
        ) -> tuple[torch.Tensor, ...]:
            assert args[0][:, kept:].any()
            return (torch.cat([args[0][:, :kept], torch.zeros_like(args[0][:, kept:])], dim=1), *args[1:])

        hook = block.register_forward_pre_hook(cut)
        assert (found.net(seen, whole) - whole_answer).abs().max() > 1e-4, f"skip {number}"
        hook.remove()
        before = block.outputs
    assert len(blocks) == 4  # two resolutions, two each


def test_a_denoiser_sees_state_level_estimate_and_what_is_visible() -> None:
    found = wakened("diffusion")
    assert isinstance(found, Diffusion)
    given = patches()
    estimate = found.estimate(given)
    noisy, sigma = torch.randn(2, 6, SIDE, SIDE), torch.tensor(0.7)
    answer = found.denoiser(given, estimate)(noisy, sigma)
    assert (found.denoiser(given, estimate)(noisy, torch.tensor(0.9)) - answer).abs().max() > 1e-4
    shifted = type(estimate)(estimate.mean + 0.5, estimate.deviation)
    assert (found.denoiser(given, shifted)(noisy, sigma) - answer).abs().max() > 1e-4
    hidden = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.bool)
    hidden[:, :, 8:] = True
    part = found.denoiser(given, estimate, hidden)
    changed = noisy.clone()
    changed[:, :, :8] += 1.0
    # what is not visible of a state does not reach the network: only its own pixels know of it
    assert torch.allclose(part(changed, sigma)[:, :, 8:], part(noisy, sigma)[:, :, 8:], atol=1e-6)
    assert (part(noisy, sigma) - answer).abs().max() > 1e-4


@pytest.mark.parametrize("kind", ["climatology", "idw", "oi", "profile", "unet", "regression", "diffusion"])
def test_nothing_observed_and_a_level_that_is_all_masked(kind: str) -> None:
    found = model(kind)
    made = batch(2, profiles=0)
    made["y_valid_mask"] = made["y_valid_mask"].clone()
    made["y_valid_mask"][:, 2] = False
    made["eo_valid_mask"] = torch.zeros_like(made["eo_valid_mask"])
    given = state().patches(made)
    estimate = found.estimate(given)
    assert estimate.mean.isfinite().all()
    if kind in ("climatology", "idw", "oi"):
        assert not estimate.mean.any()
        return
    loss = loss_of(found, given, 0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite()
    if isinstance(found, Diffusion):
        members = sampled_members(found, given, estimate, 2, DPM, seed=3)
        assert members.shape == (2, 2, 6, SIDE, SIDE) and members.isfinite().all()


def test_nothing_to_score_is_a_loss_of_zero_that_can_be_learnt_from() -> None:
    found = model("regression")
    made = batch(1)
    for suffix in ("", "_salinity"):
        made[f"y{suffix}_valid_mask"] = torch.zeros_like(made[f"y{suffix}_valid_mask"])
    given = state().patches(made)
    assert given.target is not None and given.target_mask is not None
    estimate = found.estimate(given)
    total, count = mean_of(likelihood(estimate, given.target), weights(given, given.target_mask))
    (total / count.clamp(min=1e-12)).backward()  # type: ignore[no-untyped-call]
    assert total == 0 == count
    assert all(values.grad is None or values.grad.isfinite().all() for values in found.parameters())


def test_members_of_overlapping_patches_begin_with_the_same_noise() -> None:
    found = model("diffusion")
    assert isinstance(found, Diffusion)
    found.shape.amplitude.copy_(torch.tensor([0.2, 0.0, 0.0, 0.8, 0.0, 0.3]))  # noise that reaches over the edge
    here, there = patches(count=1, column=345), patches(count=1, column=353)  # both over the dateline
    first = patch_noise(found, here, here.day.tolist(), 0, seed=1, member=2)
    second = patch_noise(found, there, there.day.tolist(), 0, seed=1, member=2)
    assert torch.equal(first[..., 8:], second[..., :8])
    again = sampled_members(found, here, found.estimate(here), 2, DPM, seed=1)
    assert torch.equal(again, sampled_members(found, here, found.estimate(here), 2, DPM, seed=1))
    assert not torch.equal(again[:, 0], again[:, 1])


def test_likelihood_is_that_of_a_gaussian_and_least_at_the_true_deviation() -> None:
    one = Estimate(torch.tensor([1.0]), torch.tensor([2.0]))
    # (3 - 1)^2 / 4 / 2 + log(4) / 2; to learn from, times the root of the variance
    assert likelihood(one, torch.tensor([3.0])).item() == pytest.approx(0.5 + 0.6931472)
    assert weighted_likelihood(one, torch.tensor([3.0])).item() == pytest.approx(2 * (0.5 + 0.6931472))
    errors = 0.3 * torch.randn(20_000, generator=torch.Generator().manual_seed(0))
    guesses = torch.linspace(0.1, 0.6, 51)
    scores = torch.stack([likelihood(Estimate(torch.zeros(1), guess), errors).mean() for guess in guesses])
    assert guesses[scores.argmin()].item() == pytest.approx(0.3, abs=0.011)


def test_any_width_has_heads_that_divide_it() -> None:
    net = UNet(3, 2, 5, width=80, multipliers=(1, 3), blocks=1, attention=1)  # 240 channels: no seven heads of 32
    assert net(torch.zeros(1, 3, 8, 8), torch.zeros(1, 5)).shape == (1, 2, 8, 8)
