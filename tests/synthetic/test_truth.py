"""The ocean must be stable, seamless, moving, and the same for the same seed."""

import datetime as dt

import gsw
import numpy as np
import pytest

from oceanrecon.grid import RasterGrid
from oceanrecon.grid.levels import GLORYS_DEPTH
from oceanrecon.synthetic.coast import coast
from oceanrecon.synthetic.eddies import eddies_at
from oceanrecon.synthetic.truth import Ocean, noon, sea_floor

OCEAN = Ocean(1)
LEVELS = np.array(GLORYS_DEPTH)


@pytest.mark.parametrize("date", [dt.date(2012, 2, 29), dt.date(2012, 8, 29)])
def test_no_wet_column_overturns_by_teos_10(date: dt.date) -> None:
    latitude, longitude = np.arange(-78.0, 90.0, 2.0), np.arange(-180.0, 180.0, 2.0)
    temperature, salinity = OCEAN.columns(latitude, longitude, noon(date)).levels(LEVELS)
    absolute = gsw.SR_from_SP(salinity.astype(float))
    conservative = gsw.CT_from_pt(absolute, temperature.astype(float))
    pressure = np.broadcast_to(gsw.p_from_z(-LEVELS[:, None], latitude[None, :])[:, :, None], absolute.shape)
    squared, _ = gsw.Nsquared(absolute, conservative, pressure, lat=latitude[None, :, None])
    land = coast().land_at(latitude, longitude)
    wet = ~land & (LEVELS[1:, None, None] <= sea_floor(latitude, longitude))
    # float32 profiles: water that is mixed to within rounding is neutral.
    assert squared[wet].min() > -5e-9
    assert np.median(squared[:25][wet[:25]]) > 1e-6


def test_both_sides_of_the_dateline_and_both_conventions_meet() -> None:
    latitude = np.array([-30.0, -29.75, 10.0 / 3, 45.0])[:2]
    west = OCEAN.columns(latitude, np.arange(-180.25, -179.5, 0.25), 22_000.5).values
    east = OCEAN.columns(latitude, np.arange(179.75, 180.5, 0.25), 22_000.5).values
    np.testing.assert_allclose(west, east, rtol=2e-5, atol=2e-4)


def test_the_pole_has_one_value_on_all_meridians() -> None:
    values = OCEAN.columns(np.array([89.75, 90.0]), np.arange(-180.0, 180.0, 30.0), 22_000.5).values
    assert np.ptp(values[:, 1], axis=-1).max() < 1e-3


def test_a_block_has_the_values_of_the_whole() -> None:
    latitude, longitude = np.arange(30.0, 40.0, 0.5), np.arange(-70.0, -50.0, 0.5)
    whole = OCEAN.columns(latitude, longitude, 22_000.5).values
    part = OCEAN.columns(latitude[::-1][5:9], longitude[3:11], 22_000.5).values
    np.testing.assert_allclose(part, whole[:, ::-1][:, 5:9, 3:11], rtol=1e-5, atol=1e-4)


def test_eddies_move_from_day_to_day_but_never_jump() -> None:
    fields = [
        eddies_at(22_000.5 + day, 1).field(np.arange(30.0, 40.0, 0.25), np.arange(-70.0, -50.0, 0.25))
        for day in (0, 1, 60)
    ]
    tomorrow, later = (np.abs(field - fields[0]).max() for field in fields[1:])
    assert 0.5 < tomorrow < 25.0 < later
    assert np.abs(fields[0]).max() > 30.0


def test_sea_level_follows_the_steric_height_of_teos_10() -> None:
    """Independent oracle: gsw over 1500 m, in the open Pacific and Indian Ocean."""
    latitude, longitude = np.arange(-45.0, -10.0, 0.5), np.arange(-130.0, -95.0, 0.5)
    columns = OCEAN.columns(latitude, longitude, noon(dt.date(2012, 3, 7)))
    depth = np.concatenate([np.arange(0.0, 200.0, 5.0), np.arange(200.0, 1501.0, 25.0)])
    temperature, salinity = columns.levels(depth)
    absolute = gsw.SR_from_SP(salinity.astype(float))
    conservative = gsw.CT_from_pt(absolute, temperature.astype(float))
    anomaly = gsw.specvol_anom_standard(absolute, conservative, depth[:, None, None])
    steric = np.trapezoid(anomaly, depth * 1.0e4, axis=0) / 9.7963
    difference = columns.sea_level - steric
    assert np.std(steric) > 0.2
    assert np.std(difference) < 0.03


def test_summers_are_on_the_right_side_of_the_equator() -> None:
    latitude, longitude = np.array([-40.0, 40.0]), np.array([-150.0, -149.0])
    february, august = (
        OCEAN.columns(latitude, longitude, noon(dt.date(2012, month, 20))).surface_temperature.mean(axis=1)
        for month in (2, 8)
    )
    assert february[0] > august[0] + 2.0
    assert august[1] > february[1] + 3.0


def test_truth_has_the_export_s_units_and_missing_values() -> None:
    grid = RasterGrid.from_bounds(2.0, (-180, -90, 180, 90))
    truth = OCEAN.truth_on(grid, [dt.date(2012, 2, 29)], GLORYS_DEPTH[::10], window=3)
    assert truth["thetao"].shape == (1, 5, 90, 180)
    assert truth["adt"].shape == (1, 90, 180)
    land = coast().land_at(grid.latitude, grid.longitude)
    assert np.array_equal(np.isnan(truth["sos"][0]), land)
    assert np.isnan(truth["thetao"][0, -1]).sum() > land.sum()
    for name, low, high in (
        ("thetao", 271, 306),
        ("analysed_sst", 271, 306),
        ("so", 0, 42),
        ("dos", 995, 1030),
        ("adt", -2, 2),
    ):
        assert low < np.nanmin(truth[name]) <= np.nanmax(truth[name]) < high, name
    # Row 0 is north: the Arctic is cold, the equator is warm.
    assert np.nanmean(truth["analysed_sst"][0, :5]) < 275 < 295 < np.nanmean(truth["analysed_sst"][0, 43:47])


def test_known_places_are_land_and_water() -> None:
    latitude, longitude = np.array([46.8, 0.0, 43.2]), np.array([8.2, -150.0, 34.0])
    land = coast().land_at(latitude, longitude)
    assert land[0, 0]  # the Alps
    assert not land[1, 1]  # the Pacific
    assert not land[2, 2]  # the Black Sea
    salinity = OCEAN.columns(np.array([43.2, 43.3]), np.array([34.0, 34.1]), 22_000.5).surface_salinity
    assert salinity.max() < 20
