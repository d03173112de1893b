"""Risk: anomalies are of another place, date or level than the values that they stand for."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
import torch

from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid
from oceanrecon.training.state.state import State, ordinals, seasons
from oceanrecon.transform.harmonic import at_date, season
from tests.training.tiny import GRID, SIDE, batch, form, state, statistics


def test_an_anomaly_is_the_value_less_climatology_over_the_deviation_of_its_level() -> None:
    made = batch(1, column=350)  # columns 350 to 365: across the dateline
    given = state().patches(made)
    stored = statistics()
    climatology = stored.nesting.interpolated(at_date(stored.terms["salinity"], dt.date(2012, 2, 29)))
    columns = (np.arange(SIDE) + 350) % GRID.width
    there = climatology[:, 40 : 40 + SIDE][:, :, columns]
    expected = (made["y_salinity"][0].numpy() - there) / np.array([0.3, 0.2, 0.1])[:, None, None]
    valid = made["y_salinity_valid_mask"][0].numpy()
    assert given.target is not None
    np.testing.assert_allclose(given.target[0, 3:].numpy()[valid], expected[valid], atol=2e-4)
    # rows 40 to 55 from 60 N: 19.5 N to 4.5 N; columns from 350: 170.5 E to 174.5 W
    assert given.latitude[0, [0, -1]].tolist() == [19.5, 4.5]
    assert given.longitude[0, [0, -1]].tolist() == [170.5, -174.5]
    assert given.column[0].tolist() == columns.tolist()
    # the westernmost columns have two levels of water: the third is dry
    assert given.wet[0, 2, 0].tolist() == [True] * 10 + [False] * 3 + [True] * 3


def test_values_come_back_of_one_field_and_of_members() -> None:
    made = batch(2)
    scale = state()
    given = scale.patches(made)
    assert given.target is not None
    back = scale.values(given.target[:, None].expand(-1, 3, -1, -1, -1), given)
    expected = torch.cat([made["y"], made["y_salinity"]], dim=1)
    valid = torch.cat([made["y_valid_mask"], made["y_salinity_valid_mask"]], dim=1)
    assert back.shape == (2, 3, 6, SIDE, SIDE)
    assert (back[:, 2] - expected)[valid].abs().max() < 1e-4


def test_one_mean_and_deviation_for_all_levels_is_the_published_scaling() -> None:
    scale = State(statistics(), form(), GRID, "values")
    given = scale.patches(batch(1))
    made = batch(1)
    assert given.target is not None
    valid = made["y_valid_mask"][0, 0]
    expected = (made["y"][0, 0] - 289.74267177946783) / 10.933397487585731
    assert (given.target[0, 0] - expected)[valid].abs().max() < 1e-5
    # a variance of 0.9 of anomalies of 0.4 K is 0.9 (0.4 / 10.93)^2
    assert scale.covariances()[0].signal[2] == pytest.approx(0.9 * (0.4 / 10.933397) ** 2)


def test_the_device_counts_days_as_python_does() -> None:
    dates = [dt.date(2012, 2, 29), dt.date(2000, 2, 29), dt.date(1999, 12, 31), dt.date(2100, 3, 1)]
    found = ordinals(torch.tensor([date.year * 10_000 + date.month * 100 + date.day for date in dates]))
    assert found.tolist() == [date.toordinal() for date in dates]
    np.testing.assert_allclose(seasons(found).numpy(), np.stack([season(date) for date in dates]), atol=1e-12)


def test_a_part_of_the_grid_has_the_climatology_of_the_whole() -> None:
    part = RasterGrid.from_bounds(1.0, (170.0, -30.0, 180.0, 30.0))
    made = batch(1, column=350)
    made = {name: values[..., :10, :10] if values.ndim == 4 else values for name, values in made.items()}
    whole = state().patches(made)
    made["patch_id"] = torch.tensor([10 * part.width])  # row 40 is 20 N, the tenth of the part
    own = State(statistics(), form(), part).patches(made)
    assert whole.target is not None and own.target is not None
    assert torch.equal(own.target, whole.target)
    assert torch.equal(own.column, whole.column)
    for bad in (
        RasterGrid.from_bounds(0.5, (0.0, 0.0, 10.0, 10.0)),
        RasterGrid.from_bounds(1.0, (0.0, 50.0, 10.0, 70.0)),
    ):
        with pytest.raises(ConfigError, match="no part of that of the statistics"):
            State(statistics(), form(), bad)


def test_vertical_modes_of_one_field_are_those_of_its_part_of_the_covariance() -> None:
    variance, modes = state("salinity").modes()
    # the made modes are the levels themselves: of salinity the last three
    assert variance.tolist() == pytest.approx([0.4, 0.2, 0.1])
    assert modes.abs().tolist() == torch.eye(3).tolist()


def test_half_precision_around_it_changes_nothing() -> None:
    plain = state().patches(batch(2))
    with torch.autocast("cpu", torch.bfloat16):
        within = state().patches(batch(2))
        back = state().values(within.observed, within)
    assert plain.target is not None and within.target is not None
    assert torch.equal(plain.target, within.target) and torch.equal(plain.surface, within.surface)
    assert torch.equal(back, state().values(plain.observed, plain))
