"""Risk: what networks are compared with, and get as first guess, is not optimal interpolation but something near it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from oceanrecon.training.baselines.oi import OptimalInterpolation
from oceanrecon.training.baselines.simple import Climatology, InverseDistance
from oceanrecon.training.interpolation import Columns, Interpolation
from oceanrecon.training.state.patches import Patches
from oceanrecon.transform.covariance import Covariance, correlation
from tests.training.profiles_only import observed

Array = NDArray[np.float64]
#: Lengths that are steps of a tenth, as those of the program are.
LENGTHS = [float(1.1**step) for step in (45, 50, 50)]


def analysis(oi: OptimalInterpolation, given: Patches) -> tuple[Tensor, Tensor]:
    """The mean, and the part of the signal's variance that is not known."""
    found = oi.estimate(given)
    assert found.deviation is not None
    return found.mean, (found.deviation.square() - oi.noise) / oi.signal


def covariance(signal: float = 0.8, noise: float = 0.2, lengths: list[float] = LENGTHS) -> Covariance:
    size = len(lengths)
    return Covariance(
        np.array(lengths, np.float32), np.full(size, signal, np.float32), np.full(size, noise, np.float32)
    )


def some(seed: int, batch: int, size: int, share: float, west: float = 20.0, step: float = 0.5) -> Patches:
    """Columns by chance, of which levels are missing by chance, too."""
    generator = torch.Generator().manual_seed(seed)
    columns = torch.rand(batch, 1, size, size, generator=generator) < share
    mask = columns & (torch.rand(batch, 3, size, size, generator=generator) < 0.8)
    return observed(mask, torch.randn(mask.shape, generator=generator), west=west, north=40.0, step=step)


def dense(given: Patches, number: int, channel: int, length: float, ratio: float) -> tuple[Array, Array]:
    """Optimal interpolation of one channel as the textbook has it, in double precision: analysis and error, [H, W]."""
    latitude, longitude = np.deg2rad(
        np.stack(np.meshgrid(given.latitude[number], given.longitude[number], indexing="ij")).astype(np.float64)
    )
    places = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=-1
    )
    mask = given.observed_mask[number, channel].numpy()
    seen = places[mask]
    between = correlation(6371 * np.linalg.norm(seen[:, None] - seen, axis=-1), length) + ratio * np.eye(len(seen))
    reach = correlation(6371 * np.linalg.norm(places[:, :, None] - seen, axis=-1), length)
    weights = np.linalg.solve(between, reach.reshape(-1, len(seen)).T)
    values = given.observed[number, channel].numpy()[mask].astype(np.float64)
    error = 1 - np.einsum("hwp,phw->hw", reach, weights.reshape(len(seen), *mask.shape))
    return (values @ weights).reshape(mask.shape), error


@pytest.mark.parametrize("west", [20.0, 176.0])
def test_it_is_the_textbooks_analysis_and_error_also_across_the_dateline(west: float) -> None:
    given = some(1, 2, 16, 0.06, west=west)
    mean, error = analysis(OptimalInterpolation([covariance()]), given)
    for number in range(2):
        for channel, length in enumerate(LENGTHS):
            expected, left = dense(given, number, channel, length, 0.25)
            np.testing.assert_allclose(mean[number, channel], expected, atol=2e-5)
            np.testing.assert_allclose(error[number, channel], left, atol=2e-5)


def test_one_profile_by_hand() -> None:
    mask = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    mask[0, 0, 1, 1] = True
    given = observed(mask, torch.full(mask.shape, 2.0), west=20.0, north=0.5, step=0.5)
    found = OptimalInterpolation([covariance(lengths=[LENGTHS[0]])]).estimate(given)
    assert found.deviation is not None
    # on the equator: 0.8 / (0.8 + 0.2) of 2, and half a degree is 55.6 km; what is left of 0.8 is 0.16
    alike = float(correlation(np.array(6371 * 2 * np.sin(np.deg2rad(0.25))), LENGTHS[0]))
    assert found.mean[0, 0, 1, 1].item() == pytest.approx(1.6, abs=1e-5)
    assert found.mean[0, 0, 1, 2].item() == pytest.approx(1.6 * alike, abs=1e-5)
    assert found.deviation[0, 0, 1, 1].item() == pytest.approx((0.16 + 0.2) ** 0.5, abs=1e-5)


def test_without_noise_it_is_exact_even_where_columns_are_side_by_side() -> None:
    given = some(2, 1, 12, 0.4, step=0.1)
    mean, error = analysis(OptimalInterpolation([covariance(1.0, 0.0)]), given)
    seen = given.observed_mask
    assert seen.sum() > 100 and torch.isfinite(mean).all()
    # neighbours differ wildly here at a tenth of a length; the program assumes a noise of 1e-4
    for channel, length in enumerate(LENGTHS):
        expected, _ = dense(given, 0, channel, length, 1e-4)
        assert (mean[0, channel] - torch.from_numpy(expected)).abs().max() < 5e-3 * np.abs(expected).max()
    assert error[seen].max() < 2e-3


def test_a_level_or_a_patch_without_observations_is_climatology() -> None:
    given = some(3, 2, 8, 0.2)
    mask = given.observed_mask.clone()
    mask[0, 1] = False
    mask[1] = False
    # and what is masked is never looked at
    given = given.replace(observed_mask=mask, observed=torch.where(mask, given.observed, torch.nan))
    mean, error = analysis(OptimalInterpolation([covariance()]), given)
    idw = InverseDistance().estimate(given).mean
    for found in (mean, idw):
        assert torch.isfinite(found).all() and found[0, 0].abs().max() > 0
        assert not found[0, 1].any() and not found[1].any()
    assert (error[0, 1] == 1).all() and (error[1] == 1).all()


def test_blocks_of_the_nearest_are_close_to_all_at_once() -> None:
    given = some(4, 2, 40, 0.15, step=0.1)  # sides that are no whole number of blocks
    assert given.observed_mask.any(dim=1).sum(dim=(1, 2)).min() > 200
    interpolation = Interpolation([30.0, 45.0, 45.0])
    ratio = torch.tensor(0.5)
    found = []
    for nearest in (None, 120):
        columns = Columns.of(given.observed_mask, given.latitude, given.longitude, nearest)
        found.append(interpolation.analysis(columns, columns.at(given.observed), ratio))
    (whole, left), (parts, parts_left) = found
    assert parts.shape == whole.shape
    assert (whole - parts).square().mean() < 0.01 * whole.square().mean()
    assert (left - parts_left).abs().mean() < 0.01 and (parts_left >= left - 1e-5).all()


def test_a_float_that_is_there_twice_counts_twice_and_order_does_not_matter() -> None:
    given = some(5, 2, 10, 0.1)
    oi = OptimalInterpolation([covariance()])
    mean, error = analysis(oi, given)
    swapped = oi.estimate(given.take([1, 0])).mean
    assert torch.equal(mean, swapped[[1, 0]])
    turned = given.replace(
        observed=given.observed.flip(3), observed_mask=given.observed_mask.flip(3), longitude=given.longitude.flip(1)
    )
    again, left = analysis(oi, turned)
    torch.testing.assert_close(again.flip(3), mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(left.flip(3), error, atol=1e-5, rtol=0)
    mask = torch.zeros(1, 3, 1, 2, dtype=torch.bool)
    mask[..., 0] = True
    alone = observed(mask, torch.ones(mask.shape), west=20.0, north=40.0, step=0.01)
    twice = alone.replace(observed=torch.ones(mask.shape), observed_mask=torch.ones_like(mask))
    # 1 / (1 + 1/4) and 2 / (2 + 1/4)
    assert oi.estimate(alone).mean[0, 0, 0, 0].item() == pytest.approx(0.8, abs=1e-4)
    assert oi.estimate(twice).mean[0, 0, 0, 0].item() == pytest.approx(2 / 2.25, abs=1e-4)


def test_on_fields_of_its_covariance_it_is_as_wrong_as_it_says_and_better_than_distances() -> None:
    size, count, length = 12, 60, LENGTHS[1]
    everywhere = torch.ones(1, 1, size, size, dtype=torch.bool)
    grid = observed(everywhere, everywhere.float(), west=20.0, north=40.0, step=0.5)
    columns = Columns.of(everywhere, grid.latitude, grid.longitude)
    order = columns.index[0, 0].argsort()
    alike: Tensor = correlation(columns.between[0, 0][order][:, order], length)
    root = torch.linalg.cholesky(alike + 1e-8 * torch.eye(len(alike)))
    generator = torch.Generator().manual_seed(0)
    shape = (count, 1, size, size)
    truth = (torch.randn(count, len(alike), generator=generator, dtype=torch.float64) @ root.T).float().view(shape)
    mask = torch.rand(shape, generator=generator) < 0.08
    values = truth * 0.8**0.5 + 0.2**0.5 * torch.randn(shape, generator=generator)
    given = observed(mask, values, west=20.0, north=40.0, step=0.5)
    mean, error = analysis(OptimalInterpolation([covariance(lengths=[length])]), given)
    wrong = (mean - truth * 0.8**0.5).square()
    assert (wrong.mean() / (0.8 * error).mean()).item() == pytest.approx(1, abs=0.1)
    away = (InverseDistance().estimate(given).mean - truth * 0.8**0.5).square().mean()
    assert wrong.mean() < 0.85 * away and wrong.mean() < 0.6 * 0.8


def test_inverse_distances_by_hand() -> None:
    mask = torch.zeros(1, 1, 1, 5, dtype=torch.bool)
    mask[..., [0, 3]] = True
    given = observed(mask, torch.tensor([[[[1.0, 0, 0, 4.0, 0]]]]), west=178.0, north=0.0, step=1.0)
    found = InverseDistance().estimate(given).mean[0, 0, 0]
    # one and two degrees away: (1 x 1 + 4 x 1/4) / (1 + 1/4)
    np.testing.assert_allclose(found, [1, 1.6, (1 / 4 + 4) / 1.25, 4, (1 / 16 + 4) / (1 / 16 + 1)], atol=1e-4)


def test_climatology_is_as_wrong_as_anomalies_are_large() -> None:
    found = Climatology([covariance(0.8, 0.45)]).estimate(some(6, 1, 4, 0.1))
    assert not found.mean.any() and found.deviation is not None
    torch.testing.assert_close(found.deviation, torch.full((1, 3, 4, 4), 1.25**0.5))


def with_surface(seed: int, batch: int, size: int) -> Patches:
    """A target that is 0.9, 0.5, 0 of the first field, -0.4 of the second at the second level, and noise of 0.1."""
    generator = torch.Generator().manual_seed(seed)
    given = some(seed, batch, size, 0.05)
    surface = torch.randn(batch, 3, size, size, generator=generator)
    there = torch.rand(surface.shape, generator=generator) < 0.8
    target = torch.stack(
        [0.9 * surface[:, 0], 0.5 * surface[:, 0] - 0.4 * surface[:, 1], torch.zeros_like(surface[:, 0])], dim=1
    )
    target = target + 0.1 * torch.randn(target.shape, generator=generator)
    return given.replace(
        surface=surface * there, surface_mask=there, target=target, target_mask=torch.ones_like(given.wet),
        observed=torch.where(given.observed_mask, target, 0),
    )  # fmt: skip


def test_a_regression_on_surface_fields_is_found_for_each_set_of_them() -> None:
    oi = OptimalInterpolation([covariance(0.9, 0.1)], surface=3)
    given = with_surface(7, 2, 16)
    plain = OptimalInterpolation([covariance(0.9, 0.1)]).estimate(given).mean
    unfitted = oi.estimate(given).mean
    torch.testing.assert_close(unfitted, plain)
    oi.fit(with_surface(seed, 4, 32) for seed in (8, 9, 10))
    assert oi.regression is not None
    # of the four sizes of each field alike, though white fields have little that is coarse
    expected = torch.tensor([[0.9, 0, 0], [0.5, -0.4, 0], [0, 0, 0]])
    for size, within in enumerate((0.03, 0.05, 0.1, 0.2)):
        torch.testing.assert_close(oi.regression.coefficients[7, :, size::4], expected, atol=within, rtol=0)
    # without the first field the second explains 0.16 of the second level; with both it is 0.25 + 0.16
    torch.testing.assert_close(oi.regression.explained[6], torch.tensor([0.0, 0.16, 0.0]), atol=0.03, rtol=0)
    torch.testing.assert_close(oi.regression.explained[7], torch.tensor([0.81, 0.41, 0.0]), atol=0.03, rtol=0)
    nothing = given.replace(observed_mask=torch.zeros_like(given.observed_mask))
    mean = oi.estimate(nothing).mean
    has = given.surface_mask.all(dim=1)
    away = (given.target - mean)[:, :2].movedim(1, -1)[has] if given.target is not None else mean
    assert away.square().mean().sqrt() < 0.13
    # a variance of 1, of which 1 is left without any field, 0.6 of the second level with both, a fifth of the first
    found = oi.estimate(nothing.replace(surface_mask=given.surface_mask & (torch.arange(16)[:, None] > 7)))
    assert found.deviation is not None and not found.mean[:, :, :8].any()
    torch.testing.assert_close(found.deviation[:, :, :8], torch.ones(2, 3, 8, 16))
    variance = found.deviation[:, :, 8:].square().movedim(1, -1)[has[:, 8:]].mean(dim=0)
    torch.testing.assert_close(variance, torch.tensor([0.19, 0.59, 1.0]), atol=0.04, rtol=0)


def test_a_target_that_is_smoother_than_its_surface_field_is_estimated_as_smooth() -> None:
    oi = OptimalInterpolation([covariance(0.9, 0.1)], surface=3)
    found = []
    for seed in (1, 2):
        given = with_surface(seed, 4, 48)
        white = given.surface[:, 0]
        smooth = torch.from_numpy(gaussian_filter(white.numpy(), 0.7, axes=(1, 2), truncate=3.0))
        given = given.replace(
            surface_mask=torch.ones_like(given.surface_mask), target=smooth[:, None].expand(-1, 3, -1, -1),
            observed_mask=torch.zeros_like(given.observed_mask),
        )  # fmt: skip
        if seed == 1:
            oi.fit([given])
        found.append((oi.estimate(given).mean - smooth[:, None])[..., 6:-6, 6:-6])
    assert oi.regression is not None
    # nothing of what a filter of 0.7 pixels takes, all that it leaves
    torch.testing.assert_close(
        oi.regression.coefficients[7, 0, :4], torch.tensor([0.0, 1.0, 1.0, 1.0]), atol=0.05, rtol=0
    )
    assert found[1].square().mean() < 0.001


def test_surface_fields_and_profiles_together_are_better_than_each_alone() -> None:
    oi = OptimalInterpolation([covariance(0.9, 0.1)], surface=3)
    oi.fit([with_surface(11, 4, 32)])
    given = with_surface(12, 4, 16)
    assert given.target is not None
    plain = OptimalInterpolation([covariance(0.9, 0.1)]).estimate(given).mean
    both = oi.estimate(given).mean
    assert (both - given.target)[:, :2].square().mean() < 0.5 * (plain - given.target)[:, :2].square().mean()


def test_a_regression_is_fitted_to_profiles_where_there_is_no_target_and_to_nothing_never() -> None:
    oi = OptimalInterpolation([covariance(0.9, 0.1)], surface=3)
    given = with_surface(13, 16, 64)
    oi.fit([given.replace(target=None, target_mask=None)])
    assert oi.regression is not None
    assert oi.regression.coefficients[7, 0, 0].item() == pytest.approx(0.9, abs=0.1)
    nothing = given.replace(target=None, target_mask=None, observed_mask=torch.zeros_like(given.observed_mask))
    with pytest.raises(ValueError, match="no training patch"):
        oi.fit([nothing])
