"""Risk: guidance pastes observations, trusts them twice, or moves what no observation is near.

For a Gaussian with a known correlation the best denoiser is known, and so is the posterior of observations.
"""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch
from torch import Tensor

from oceanrecon.errors import ConfigError
from oceanrecon.training.diffusion.codecs import NetworkCode
from oceanrecon.training.diffusion.edm import Denoiser, NoiseLevels
from oceanrecon.training.diffusion.guidance import Linear, guided
from oceanrecon.training.diffusion.samplers import dpm_solver
from oceanrecon.training.inference.guide import guide, profile_noise
from oceanrecon.training.interpolation import Columns
from oceanrecon.training.model.autoencoder import Autoencoder
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.state.patches import Patches
from oceanrecon.training.state.state import State
from oceanrecon.transform.covariance import correlation
from tests.training.profiles_only import observed
from tests.training.tiny import GRID, model
from tests.training.tiny import form as tiny_form
from tests.training.tiny import patches as tiny_patches
from tests.training.tiny import state as tiny_state
from tests.training.tiny import statistics as tiny_statistics

SIDE, TRUTHS, MEMBERS, ERROR = 16, 40, 4, 0.1
PLAIN = Linear(lambda state: state, lambda change: change)
STEPS = NoiseLevels(smallest=0.01).steps(16)


def field(mask: Tensor, values: Tensor) -> Patches:
    """Patches of a quarter of a degree at the equator, one channel: [B, 1, H, W]."""
    return observed(mask, values, west=178.0, north=2.0, step=0.25)


def prior() -> Tensor:
    """Covariance of the pixels of a patch, of a length of 100 km: float64 [N, N]."""
    everywhere = torch.ones(1, 1, SIDE, SIDE, dtype=torch.bool)
    patch = field(everywhere, everywhere.float())
    columns = Columns.of(everywhere, patch.latitude, patch.longitude)
    order = columns.index[0, 0].argsort()
    found: Tensor = correlation(columns.between[0, 0][order][:, order], 100.0)
    return found


PRIOR = prior()
POWER, WAVES = torch.linalg.eigh(PRIOR)


def best(noisy: Tensor, sigma: Tensor) -> Tensor:
    """Mean of the prior, given a noisy one of its states."""
    gain: Tensor = WAVES * (POWER / (POWER + sigma.double() ** 2)) @ WAVES.T
    return (noisy.double().flatten(1) @ gain).view(noisy.shape).to(noisy.dtype)


def test_members_are_those_of_the_posterior() -> None:
    generator = torch.Generator().manual_seed(1)
    size = SIDE**2
    root = torch.linalg.cholesky(PRIOR + 1e-8 * torch.eye(size))
    truth = torch.randn(TRUTHS, size, generator=generator, dtype=torch.float64) @ root.T
    seen = torch.rand(size, generator=generator) < 0.06
    values = truth + ERROR**0.5 * torch.randn(truth.shape, generator=generator, dtype=torch.float64)
    shape = (TRUTHS, 1, SIDE, SIDE)
    given = field(seen.expand(TRUTHS, -1).view(shape), values.view(shape).float())
    gain = PRIOR[:, seen] @ torch.linalg.inv(PRIOR[seen][:, seen] + ERROR * torch.eye(int(seen.sum())))
    posterior = values[:, seen] @ gain.T
    variance = (PRIOR - gain @ PRIOR[seen]).diagonal().mean().item()

    def members(denoise: Denoiser) -> Tensor:
        drawn = []
        for number in range(MEMBERS):
            noise = torch.randn(shape, generator=torch.Generator().manual_seed(number))
            drawn.append(dpm_solver(denoise, lambda _, noise=noise: noise, STEPS).flatten(1).double())  # type: ignore[misc]
        return torch.stack(drawn)

    def fit(found: Tensor) -> tuple[float, float, float]:
        """Error of the mean, variance over that of the posterior, and chi square of what observations differ by."""
        away = (found.mean(dim=0) - posterior).square().mean().item()
        chi = ((found - values)[..., seen].square() / ERROR).mean().item()
        return (away - variance / MEMBERS) ** 0.5, found.var(dim=0).mean().item() / variance, chi

    noise = torch.tensor([ERROR])
    one = torch.ones(shape)
    free_error, _, free_chi = fit(members(best))
    error, spread, chi = fit(members(guided(best, given, PLAIN, one, noise, 1.0)))
    # truth and a member are alike to an observation: both differ by its error, so that chi square is 1
    assert free_error > 0.7 and free_chi > 15
    assert error < 0.15 and spread == pytest.approx(1, abs=0.2) and 0.8 < chi < 1.6
    _, _, weak = fit(members(guided(best, given, PLAIN, one, noise, 0.2)))
    assert chi < weak < free_chi


def observed_once(value: float = 2.0) -> Patches:
    mask = torch.zeros(2, 1, SIDE, SIDE, dtype=torch.bool)
    mask[0, 0, 8, 8] = True
    return field(mask, torch.full(mask.shape, value))


def test_a_step_by_hand() -> None:
    given = observed_once()
    state = torch.zeros(2, 1, SIDE, SIDE)

    def moved(sigma: float, deviation: float = 1.0) -> Tensor:
        denoise = guided(
            lambda noisy, _: noisy, given, PLAIN, torch.full_like(state, deviation), torch.tensor([0.25]), 1.0
        )
        return denoise(state, torch.tensor(sigma))

    # nothing is known yet: 1 / (1 + 0.25) of 2; and with half the deviation 0.25 / (0.25 + 0.25)
    assert moved(1e4)[0, 0, 8, 8].item() == pytest.approx(1.6, abs=1e-4)
    assert moved(1e4, 0.5)[0, 0, 8, 8].item() == pytest.approx(1.0, abs=1e-4)
    # 2 pi (100 km)^2 are 81.3 pixels of 27.8 km; at a level of 3 log(1 + 81.3 / 9) x 9 / 81.3 = 0.255 is left
    pixels = 2 * math.pi * 1e4 / (math.radians(0.25) * 6371) ** 2
    left = math.log(1 + pixels / 9) * 9 / pixels
    assert left == pytest.approx(0.255, abs=1e-3)
    assert moved(3.0)[0, 0, 8, 8].item() == pytest.approx(2 * left / (left + 0.25), abs=1e-3)
    assert moved(0.01).abs().max() < 0.01
    # its reach is shorter then, and the patch without observations never moves
    far, near = moved(1e4), moved(0.3)
    assert near[0, 0, 8, 11] / near[0, 0, 8, 8] < far[0, 0, 8, 11] / far[0, 0, 8, 8]
    assert not far[1].any()


def test_without_observations_or_strength_nothing_changes_at_all() -> None:
    state = torch.randn(2, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    given = observed_once()
    none = given.replace(observed_mask=torch.zeros_like(given.observed_mask))
    arguments = (PLAIN, torch.ones_like(state), torch.tensor([0.25]))
    for sigma in (80.0, 0.5):
        level = torch.tensor(sigma)
        assert torch.equal(guided(best, none, *arguments, 1.0)(state, level), best(state, level))
        assert torch.equal(guided(best, given, *arguments, 1.0)(state, level)[1], best(state, level)[1])
    assert guide(model("diffusion"), tiny_state(), 0.0) is None


def test_other_states_are_pulled_at_in_their_own_numbers_and_never_on_land() -> None:
    given = observed_once()
    wet = torch.ones_like(given.wet)
    wet[..., 9:] = False
    given = given.replace(wet=wet)
    half = torch.tensor([0.5, 0.5])[:, None, None]
    # two numbers whose mean, times 4, plus 1 is the anomaly
    space = Linear(
        lambda state: 1 + 4 * (state * half).sum(dim=1, keepdim=True),
        lambda change: (change / 4).expand(-1, 2, -1, -1),
    )
    denoise = guided(lambda noisy, _: noisy, given, space, torch.full(wet.shape, 4.0), torch.tensor([1.6]), 2.0)
    found = denoise(torch.zeros(2, 2, SIDE, SIDE), torch.tensor(1e4))
    # 2 - 1, of which 16 / (16 + 1.6 / 2)
    assert space.decode(found)[0, 0, 8, 8].item() == pytest.approx(1 + 16 / 16.8, abs=1e-3)
    assert not found[..., 9:].any() and found[0, :, 8, 7].abs().min() > 0


def test_levels_that_vary_as_one_leave_less_uncertain() -> None:
    given, level = observed_once(), torch.tensor(3.0)
    state = torch.zeros(2, 1, SIDE, SIDE)
    arguments = (given, PLAIN, torch.ones_like(state), torch.tensor([0.25]), 1.0)
    alone, together = (
        guided(lambda noisy, _: noisy, *arguments, alike=alike)(state, level)[0, 0, 8, 8] for alike in (1.0, 10.0)
    )
    assert 0 < together < alone


@pytest.mark.parametrize(("of", "space"), [("residual", "levels"), ("state", "levels"), ("residual", "eof")])
def test_a_diffusion_model_is_pulled_at_as_far_as_deviation_and_noise_say(of: str, space: str) -> None:
    diffusion = model("diffusion", diffusion={"of": of, "space": space, "modes": 6 if space == "eof" else None})
    assert isinstance(diffusion, Diffusion)
    diffusion.spread.fill_(1.5)
    given = tiny_patches(profiles=1)
    with torch.no_grad():
        estimate = diffusion.estimate(given)
        plain = diffusion.denoiser(given, estimate)
        pull = guide(diffusion, tiny_state(), 1.0)
        assert pull is not None
        pulled = pull(plain, given, estimate)
        state, level = torch.zeros(2, diffusion.latent, SIDE, SIDE), torch.tensor(1e4)
        before, after = (diffusion.decoded(found(state, level), given, estimate) for found in (plain, pulled))
    assert estimate.deviation is not None
    # only residuals are calibrated
    variance = ((1.5 if of == "residual" else 1.0) * estimate.deviation) ** 2
    noise = profile_noise(tiny_state())[:, None, None]
    wanted = before + variance / (variance + noise) * (given.observed - before)
    seen = given.observed_mask
    assert seen.any()
    # modes give what they expect of all levels
    torch.testing.assert_close(after[seen], wanted[seen], atol=0.01 if space == "levels" else 0.15, rtol=0)
    assert not (after - before)[~given.wet].any() or space == "eof"


def test_the_code_of_a_network_cannot_be_guided() -> None:
    diffusion = model("diffusion")
    assert isinstance(diffusion, Diffusion)
    diffusion.codec = NetworkCode(Autoencoder(6, 2, (8,)))
    with pytest.raises(ConfigError, match="sample without guidance"):
        guide(diffusion, tiny_state(), 1.0)


def test_a_guidance_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"guidance=-1: give 0, for none, or more"):
        guide(model("diffusion"), tiny_state(), -1)
    with pytest.raises(ConfigError, match=r"guidance=1.0 pulls the members of a diffusion model, and this is none"):
        guide(model("regression"), tiny_state(), 1.0)


def test_a_profile_errs_by_its_instrument_too() -> None:
    # 0.1 of the statistics; 0.002 K of 1, 0.8 and 0.4 K, and 0.01 PSU of 0.3, 0.2 and 0.1 PSU
    wanted = [0.100004, 0.10000625, 0.100025, 0.1 + 1 / 900, 0.1025, 0.11]
    for of, expected in (("reanalysis", wanted), ("assumed", wanted), ("profiles", [0.1] * 6)):
        provenance = {"covariance_of": {"temperature": of, "salinity": of}}
        joint = State(dataclasses.replace(tiny_statistics(), provenance=provenance), tiny_form(), GRID)
        torch.testing.assert_close(profile_noise(joint), torch.tensor(expected), atol=1e-7, rtol=0)
    # of pairs of profiles, it is in the noise
    torch.testing.assert_close(profile_noise(tiny_state("salinity")), torch.full((3,), 0.1), atol=1e-7, rtol=0)
