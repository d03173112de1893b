"""Risk: a model cannot learn, ignores what it is given, or fails where there is nothing to see."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from oceanrecon.train_config import SamplerSettings
from oceanrecon.training.data.decode import Tensors
from oceanrecon.training.inference.members import patch_noise, sampled_members
from oceanrecon.training.loop.module import StageModule, learning
from oceanrecon.training.model import diffusion, estimators
from oceanrecon.training.model.autoencoder import Autoencoder
from oceanrecon.training.model.build import build
from oceanrecon.training.model.conditions import channels, conditions, context
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.model.reconstructor import Estimate, Reconstructor
from oceanrecon.training.model.unet import UNet, _Block, _Stage
from oceanrecon.training.objectives.chance import Chance
from oceanrecon.training.objectives.losses import likelihood, mean_of, squares, weighted_likelihood
from oceanrecon.training.objectives.task import weights
from oceanrecon.training.objectives.visible import counted
from oceanrecon.training.state.patches import Patches
from tests.training.tiny import SIDE, batch, model, patches, settings, state

DPM = SamplerSettings(method="dpm", steps=6)


#: What a diffusion model may diffuse, and how.
DIFFUSIONS: dict[str, dict[str, object]] = {
    "residual": {},
    "state": {"of": "state"},
    "eof": {"space": "eof", "modes": 4},
    "autoencoder": {"space": "autoencoder", "of": "state", "autoencoder": "run"},
    "x0": {"process": "discrete", "prediction": "x0", "sampler": {"method": "ddim"}},
    "epsilon": {"process": "discrete", "prediction": "epsilon", "sampler": {"method": "ddim"}},
    "v": {"process": "discrete", "prediction": "v", "sampler": {"method": "ddim"}},
}


def autoencoder(run: str) -> Autoencoder:
    torch.manual_seed(2)
    return Autoencoder(6, 3, (8,))


def loss_of(found: torch.nn.Module, given: Patches) -> torch.Tensor:
    """Of what estimates or codes."""
    assert given.target is not None and given.target_mask is not None
    if isinstance(found, Autoencoder):
        errors = (found.decode(found.encode(given.target, given.target_mask)) - given.target).square()
    else:
        errors = squares(found.estimate(given), given.target)  # type: ignore[operator]
    total, count = mean_of(errors, weights(given, given.target_mask))
    return total / count


@pytest.mark.parametrize(
    ("kind", "changes", "steps"),
    [
        ("profile", {}, 400),
        ("unet", {}, 100),
        ("regression", {}, 100),
        ("regression", {"width": 16, "multipliers": [1, 2], "blocks": 1, "first_guess": False}, 100),
        ("autoencoder", {}, 100),
    ],
)
def test_one_batch_is_learnt_by_heart(kind: str, changes: dict[str, object], steps: int) -> None:
    chosen = settings(kind, **({"model": {"kind": kind, **changes}} if changes else {}))
    found, given = build(chosen, state(), autoencoder), patches()
    optimizer = torch.optim.Adam(learning(found, chosen.stages[-1]).parameters(), lr=5e-3)
    first = loss_of(found, given).item()
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(found, given).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    assert loss_of(found, given).item() < 0.1 * first


@pytest.mark.parametrize("name", DIFFUSIONS)
def test_a_denoiser_learns_one_batch_by_heart(name: str) -> None:
    """Fresh noise in every step; then other noise, in which next to nothing of the state is left, is taken away."""
    torch.manual_seed(0)
    found = build(settings("diffusion", diffusion=DIFFUSIONS[name]), state(), autoencoder)
    assert isinstance(found, Diffusion)
    given = patches()
    assert given.target is not None and given.target_mask is not None
    with torch.no_grad():
        estimate, mask = found.estimate(given), given.target_mask
        found.codec.fit([(found.diffused(given.target, mask, estimate), mask)])
        clean, known = found.encoded(given.target, mask, estimate)
    weight = weights(given, known).expand_as(clean)

    def mean(wrong: torch.Tensor) -> torch.Tensor:
        total, count = mean_of(wrong, weight)
        return total / count

    @torch.no_grad()
    def errors() -> list[float]:
        denoise = found.denoiser(given, estimate)
        noise = Chance(1, 0, torch.arange(2)).normal("noise", *clean.shape[1:])
        levels = (0.3, 3.0, 10.0)
        return [mean((denoise(clean + one * noise, torch.tensor(one)) - clean).square()).item() for one in levels]

    first = errors()
    optimizer = torch.optim.Adam(found.net.parameters(), lr=5e-3)
    falling = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 120)
    for step in range(120):
        optimizer.zero_grad()
        chance = Chance(0, step, torch.arange(2))
        draw = torch.cat([chance.normal("level", 1), chance.uniform("step", 1)], dim=1)
        wrong, counts = found.errors(clean, chance.normal("noise", *clean.shape[1:]), draw, given, estimate)
        mean(counts * wrong.square()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        falling.step()
    last = errors()
    assert last[0] < first[0] and last[1] < 0.3 * first[1] and last[2] < 0.3 * first[2]
    assert last[1] < 0.3 or name == "epsilon"  # of a variance of 1; noise that is taken for state counts threefold


def wakened(kind: str) -> torch.nn.Module:
    """A model whose layers that begin with zeros have other numbers, so that everything can be seen."""
    found = model(kind)
    torch.manual_seed(1)
    for values in found.parameters():
        if not values.any():
            torch.nn.init.normal_(values, std=0.1)
    return found.eval()


def answer_of(found: torch.nn.Module, given: Patches) -> Callable[[], torch.Tensor]:
    """Asks a model again and again; of one that samples only the denoiser looks again."""
    if isinstance(found, Diffusion):
        estimate, noisy = found.estimate(given), torch.randn(2, 6, SIDE, SIDE)
        return lambda: found.denoiser(given, estimate)(noisy, torch.tensor(0.7))
    return lambda: found.estimate(given).mean  # type: ignore[operator]


@pytest.mark.parametrize("kind", ["profile", "unet", "regression", "diffusion"])
@torch.no_grad()
def test_every_condition_is_used(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, given = wakened(kind), patches()
    answer = answer_of(found, given)
    whole, size = answer(), 6
    parts = {
        "profiles": (0, size), "masks": (size, 2 * size), "age": (12, 13), "surface": (13, 15),
        "surface masks": (15, 17), "depth": (17, 18), "ocean": (18, 19), "place": (19, 22),
    }  # fmt: skip
    if kind in ("regression", "diffusion"):
        parts |= {"guess": (22, 28), "its deviation": (28, 34)}
    place = diffusion if kind == "diffusion" else estimators
    for name, (first, last) in parts.items():

        def without(
            some: Patches, guess: Estimate | None = None, first: int = first, last: int = last, name: str = name
        ) -> torch.Tensor:
            seen = conditions(some, guess)
            assert seen.shape[1] == max(end for _, end in parts.values()) == channels(6, 2, guess=guess is not None)
            assert seen[:, first:last].any(), name
            seen[:, first:last] = 0
            return seen

        with monkeypatch.context() as patch:
            patch.setattr(place, "conditions", without)
            assert (answer() - whole).abs().max() > 1e-4, name
    with monkeypatch.context() as patch:
        patch.setattr(place, "context", lambda some: torch.zeros_like(context(some)))
        assert (answer() - whole).abs().max() > 1e-4


@pytest.mark.parametrize("kind", ["unet", "regression", "diffusion"])
@torch.no_grad()
def test_every_skip_is_used(kind: str) -> None:
    found = wakened(kind)
    answer = answer_of(found, patches())
    whole, net = answer(), found.net
    assert isinstance(net, UNet)
    blocks = [stage.main for stage in net.up if isinstance(stage, _Stage) and isinstance(stage.main, _Block)]
    before = 32  # of the middle
    for number, block in enumerate(blocks):

        def cut(
            module: torch.nn.Module, args: tuple[torch.Tensor, ...], kept: int = before
        ) -> tuple[torch.Tensor, ...]:
            assert args[0][:, kept:].any()
            return (torch.cat([args[0][:, :kept], torch.zeros_like(args[0][:, kept:])], dim=1), *args[1:])

        hook = block.register_forward_pre_hook(cut)
        assert (answer() - whole).abs().max() > 1e-4, f"skip {number}"
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
    shown = torch.zeros(2, 6, SIDE, SIDE, dtype=torch.bool)
    shown[:, :, 8:] = True
    part = found.denoiser(given, estimate, shown)
    changed = noisy.clone()
    changed[:, :, :8] += 1.0
    # what is not visible of a state does not reach the network: only its own pixels know of it
    assert torch.allclose(part(changed, sigma)[:, :, 8:], part(noisy, sigma)[:, :, 8:], atol=1e-6)
    assert (part(noisy, sigma) - answer).abs().max() > 1e-4


def nothing_seen() -> Tensors:
    """No profile, no surface field, and of the target one level that is masked everywhere."""
    made = batch(2, profiles=0)
    made["y_valid_mask"] = made["y_valid_mask"].clone()
    made["y_valid_mask"][:, 2] = False
    made["eo_valid_mask"] = torch.zeros_like(made["eo_valid_mask"])
    return made


def level_never_measured() -> Tensors:
    """Profiles and a target without the last level of temperature."""
    made = batch(2)
    for name in ("x_valid_mask", "y_valid_mask"):
        made[name] = made[name].clone()
        made[name][:, 2] = False
    return made


@pytest.mark.parametrize("kind", ["climatology", "idw", "oi"])
def test_a_baseline_that_sees_nothing_expects_what_is_usual(kind: str) -> None:
    assert not model(kind).estimate(state().patches(nothing_seen())).mean.any()


@pytest.mark.parametrize("made", [nothing_seen, level_never_measured])
@pytest.mark.parametrize("objective", ["dense", "ambient"])
@pytest.mark.parametrize("name", ["profile", "unet", "regression", *DIFFUSIONS])
def test_nothing_observed_and_a_level_that_is_all_masked(
    name: str, objective: str, made: Callable[[], Tensors]
) -> None:
    kind = "diffusion" if name in DIFFUSIONS else name
    last = {"network": "diffusion" if kind == "diffusion" else "estimate", "objective": objective, "samples": 16}
    stages = [{"network": "estimate", "samples": 16}, last] if kind == "diffusion" else [last]
    chosen = settings(kind, stages=stages, diffusion=DIFFUSIONS.get(name, {}))
    found, given = build(chosen, state(), autoencoder), state().patches(made())
    stage = StageModule(found, state(), chosen, len(stages) - 1, 10, {})
    if isinstance(found, Diffusion):
        right, mask = stage_target(given, objective)
        found.codec.fit([(found.diffused(right, mask, found.estimate(given)), mask)])
    total, weight, task = stage._sums(made(), 0)
    (total / weight.clamp(min=1e-12)).backward()  # type: ignore[no-untyped-call]
    assert total.isfinite() and task is not None
    gradients = [values.grad for values in learning(found, chosen.stages[-1]).parameters() if values.grad is not None]
    assert gradients and all(values.isfinite().all() for values in gradients)
    assert isinstance(found, Reconstructor)
    estimate = found.estimate(given)
    assert estimate.mean.isfinite().all()
    if isinstance(found, Diffusion):
        if objective == "ambient":
            seen, free = counted(found, task)
            assert free.sum() > 0 and (seen.sum() == 0) == (made is nothing_seen)
            found.share.copy_(seen / free.clamp(min=1))
        sampler = chosen.diffusion.sampler.model_copy(update={"steps": 4})
        members = sampled_members(found, given, estimate, 2, sampler, seed=3)
        assert members.shape == (2, 2, 6, SIDE, SIDE) and members.isfinite().all()


def stage_target(given: Patches, objective: str) -> tuple[torch.Tensor, torch.Tensor]:
    if objective == "ambient":
        return given.observed, given.observed_mask
    assert given.target is not None and given.target_mask is not None
    return given.target, given.target_mask


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
