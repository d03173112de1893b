"""Risk: lengths or noise of the interpolation are not those of the ocean, or jump where profiles are few."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from oceanrecon.transform.covariance import Covariance, correlation, fit_covariance

BINS = np.concatenate([np.arange(0, 300, 25.0), np.arange(300, 1001, 100.0)])


def test_the_correlation_by_hand() -> None:
    half = (10 / 3) ** 0.5 * 100  # where the two pieces meet
    found = correlation(np.array([0.0, half, 1.5 * half, 2 * half, 1e4]), 100.0)
    # 1.5: 7.59375/12 - 5.0625/2 + 5/8 x 3.375 + 5/3 x 2.25 - 7.5 + 4 - 2/4.5 = 0.0164931
    np.testing.assert_allclose(found, [1, 5 / 24, 0.0164931, 0, 0], atol=1e-7)
    assert abs(correlation(np.array(5.0), 100.0) - np.exp(-0.5 * 0.05**2)) < 1e-4


def test_it_is_a_correlation_in_space() -> None:
    places = np.random.default_rng(1).normal(size=(300, 3))
    places /= np.linalg.norm(places, axis=1, keepdims=True)
    apart = np.linalg.norm(places[:, None] - places, axis=2)
    assert np.linalg.eigvalsh(correlation(apart, 0.3)).min() > -1e-9


def sampled(seed: int, length: float, noise: float, dates: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Products and counts by bin of 40 places in 2000 km, a new field of variance 1 and new places each date."""
    generator = np.random.default_rng(seed)
    products, counts = np.zeros(len(BINS) - 1), np.zeros(len(BINS) - 1)
    for _ in range(dates):
        places = generator.uniform(0, 2000, (40, 2))
        apart = np.linalg.norm(places[:, None] - places, axis=2)
        square = (1 - noise) * correlation(apart, length) + noise * np.eye(40)
        values = np.linalg.cholesky(square) @ generator.normal(size=40)
        first, second = np.triu_indices(40, 1)
        products += np.histogram(apart[first, second], BINS, weights=values[first] * values[second])[0]
        counts += np.histogram(apart[first, second], BINS)[0]
    return products, counts


def test_length_and_noise_of_simulated_fields_are_found() -> None:
    true = [(90.0, 0.2), (150.0, 0.3), (280.0, 0.1)]
    for number, (length, noise) in enumerate(true):
        products, counts = sampled(number, length, noise, dates=400)
        found = fit_covariance(BINS, 4 * products[:, None], counts[:, None], np.array([4.0]))
        assert found.length_km[0] == pytest.approx(length, rel=0.12)
        assert found.noise[0] == pytest.approx(4 * noise, abs=4 * 0.07)
        assert found.signal[0] + found.noise[0] == pytest.approx(4)


def exactly(lengths: list[float], pairs: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    counts = np.full((len(BINS) - 1, len(lengths)), pairs)
    middle = (BINS[1:] + BINS[:-1])[:, None] / 2
    return counts * 0.7 * correlation(middle, np.array(lengths)), counts


def test_a_level_without_pairs_has_the_length_of_its_neighbours() -> None:
    products, counts = exactly([200.0] * 30, 1e4)
    products[:, 12:17] = counts[:, 12:17] = 0
    variance = np.ones(30)
    variance[14] = np.nan
    found = fit_covariance(BINS, products, counts, variance)
    np.testing.assert_allclose(found.length_km, 200, rtol=0.03)
    np.testing.assert_allclose(found.signal, 0.7, atol=0.02)


def test_lengths_follow_the_depth_smoothly_and_few_pairs_count_little() -> None:
    found = fit_covariance(BINS, *exactly([100.0] * 10 + [300.0] * 10, 1e4), np.ones(20))
    assert found.length_km[0] == pytest.approx(100, rel=0.05) and found.length_km[-1] == pytest.approx(300, rel=0.05)
    assert (np.diff(found.length_km) >= 0).all() and np.diff(found.length_km).max() < 100
    products, counts = exactly([150.0] * 10, 1e4)
    counts[:, 9] = 2.0
    products[:, 9] = np.random.default_rng(0).normal(size=len(products)) * 2
    assert fit_covariance(BINS, products, counts, np.ones(10)).length_km[9] == pytest.approx(150, rel=0.05)


def test_bounds_and_what_cannot_be_fitted() -> None:
    zero = np.zeros((len(BINS) - 1, 2))
    found: Covariance = fit_covariance(BINS, zero, zero + 100, np.array([1.0, 2.0]))
    np.testing.assert_allclose(found.signal, [0.02, 0.04], rtol=1e-5)
    assert (found.length_km >= 30).all() and (found.length_km <= 1000).all()
    with pytest.raises(ValueError, match="take more dates"):
        fit_covariance(BINS, zero, zero, np.ones(2))
    with pytest.raises(ValueError, match=r"\(19, 3\)"):
        fit_covariance(BINS, zero, zero, np.ones(3))
