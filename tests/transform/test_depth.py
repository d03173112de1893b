"""Profiles onto fixed depths: by hand, against numpy.interp, and what must hold for any profile."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from oceanrecon.transform.depth import Aligned, align

LEVELS = np.geomspace(0.494, 5727.9, 50).astype(np.float32).astype(np.float64)
GOOD = np.isin(np.arange(256), [1, 2, 255])
NAN = float("nan")


def one(
    depth: Sequence[float],
    values: Sequence[float],
    target: Sequence[float],
    flags: Sequence[int] | None = None,
    depth_flags: Sequence[int] | None = None,
    *,
    usable: bool = True,
) -> tuple[Aligned, Aligned]:
    """One variable of one profile, and its depths; flags are good unless given."""
    ones = [1] * len(depth)
    aligned = align(
        np.array([depth], dtype=np.float32),
        np.array([depth_flags or ones], dtype=np.int8),
        [np.array([values], dtype=np.float32)],
        [np.array([flags or ones], dtype=np.int8)],
        GOOD,
        [np.array([usable])],
        np.array(target, dtype=np.float64),
    )
    assert len(aligned) == 2
    return aligned[0], aligned[1]


def by_hand(
    depth: NDArray[np.float32],
    depth_flags: NDArray[np.int8],
    values: NDArray[np.float32],
    flags: NDArray[np.int8],
    target: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """One profile by the text of the rule: numpy.unique averages, numpy.interp interpolates."""
    ok = np.isfinite(depth) & np.isfinite(values) & (depth >= 0)
    ok &= np.isin(flags, [-1, 1, 2]) & np.isin(depth_flags, [-1, 1, 2])
    out, out_flags = np.full(target.size, np.nan), np.full(target.size, -1)
    if not ok.any():
        return out, out_flags
    x, group = np.unique(depth[ok].astype(np.float64), return_inverse=True)
    y = np.bincount(group, values[ok].astype(np.float64)) / np.bincount(group)
    worst = np.array([flags[ok][group == i].max() for i in range(x.size)])
    distance = np.abs(x[:, None] - target).min(axis=0)
    valid = (target >= x[0]) & (target <= x[-1]) & (distance <= np.maximum(0.1 * target, 10.0))
    out[valid] = np.interp(target[valid], x, y)
    for level in np.flatnonzero(valid):
        z = target[level]
        nearest = int(np.abs(x - z).argmin())
        neighbours = [nearest] if distance[level] <= 1e-6 else [int((x < z).sum()) - 1, int((x < z).sum())]
        out_flags[level] = worst[neighbours].max()
    return out, out_flags


def test_the_worked_example() -> None:
    got, _ = one([5, 5, 100, 300], [20, 22, 15, 10], [0.494, 5, 7.9, 20, 90, 109, 250, 300])
    expected = [NAN, 21, 20.817, NAN, 15.632, 14.775, NAN, 10]
    np.testing.assert_allclose(got.values[0], expected, atol=5e-4)
    assert got.values.dtype == np.float32
    assert got.flags.dtype == np.int8


def test_thousands_of_random_profiles_agree_with_numpy_interp() -> None:
    """Sorted, shuffled, rounded (so that depths repeat) and short profiles with every kind of gap and flag."""
    random = np.random.default_rng(1)
    profiles, slots = 3000, 40
    depth = random.choice([50.0, 500.0, 3000.0], (profiles, 1)) * random.random((profiles, slots))
    depth[::2] = np.sort(depth[::2], axis=1)
    depth[::3] = np.round(depth[::3], -1)
    depth[random.random(depth.shape) < 0.05] *= -1
    depth[random.random(depth.shape) < random.choice([0.0, 0.3, 0.97], (profiles, 1))] = np.nan
    depth[random.random(depth.shape) < 0.01] = np.inf
    stored = depth.astype(np.float32)
    values = [random.normal(15, 8, depth.shape).astype(np.float32) for _ in range(2)]
    values[0][random.random(depth.shape) < 0.1] = np.nan
    values[1][random.random(depth.shape) < 0.05] = -np.inf
    flags = [random.choice([-1, 0, 1, 2, 4, 99], depth.shape, p=[0.2, 0.02, 0.5, 0.2, 0.06, 0.02]) for _ in range(3)]
    whole = [f.astype(np.int8) for f in flags]
    usable = [random.random(profiles) < 0.95 for _ in range(2)]

    *variables, depths = align(stored, whole[2], values, whole[:2], GOOD, usable, LEVELS)

    covered = 0
    for v, got in enumerate(variables):
        for p in range(profiles):
            expected, worst = by_hand(stored[p], whole[2][p], values[v][p], whole[v][p], LEVELS)
            if not usable[v][p]:
                expected, worst = np.full(50, np.nan), np.full(50, -1)
            np.testing.assert_allclose(got.values[p], expected, rtol=1e-6, atol=1e-6)
            np.testing.assert_array_equal(got.flags[p], worst)
            covered += np.isfinite(expected).sum()
    assert covered > profiles * 10
    for p in range(profiles):
        expected, worst = by_hand(stored[p], whole[2][p], stored[p], whole[2][p], LEVELS)
        np.testing.assert_array_equal(depths.values[p], np.where(np.isnan(expected), np.nan, LEVELS).astype(np.float32))
        np.testing.assert_array_equal(depths.flags[p], worst)


@pytest.mark.parametrize(
    ("depth", "target", "valid"),
    [
        ([0, 20], 10.0, True),  # both neighbours at exactly 10 m
        ([0, 30], 10.0, True),
        ([0, 30], 10.001, False),
        ([0, 30], 20.0, True),
        ([180, 400], 200.0, True),  # exactly a tenth
        ([179.99, 400], 200.0, False),
        ([100, 220], 200.0, True),
        ([100, 220.01], 200.0, False),
    ],
)
def test_the_nearer_neighbour_is_within_ten_metres_or_a_tenth(depth: list[float], target: float, valid: bool) -> None:
    got, _ = one(depth, [1, 2], [target])
    assert np.isfinite(got.values[0, 0]) == valid
    assert got.flags[0, 0] == (1 if valid else -1)


def test_nothing_is_extrapolated() -> None:
    got, depths = one([5, 15], [20, 10], [4.999, 5, 10, 15, 15.001])
    np.testing.assert_array_equal(got.values[0], np.array([NAN, 20, 15, 10, NAN], dtype=np.float32))
    np.testing.assert_array_equal(depths.values[0], np.array([NAN, 5, 10, 15, NAN], dtype=np.float32))


def test_a_single_observation_counts_at_its_own_depth_only() -> None:
    got, _ = one([NAN, 5, NAN], [1, 7, 3], [4.99, 5, 5.01])
    np.testing.assert_array_equal(got.values[0], np.array([NAN, 7, NAN], dtype=np.float32))


def test_equal_depths_are_averaged_and_keep_the_worst_flag() -> None:
    got, _ = one([5, 5, 5, 10, 10], [20, 21, 25, 3, 5], [5, 10], flags=[1, 2, -1, -1, 1])
    assert got.values[0].tolist() == [22, 4]
    assert got.flags[0].tolist() == [2, 1]


def test_flags_of_a_level_are_its_own_or_the_worse_of_its_neighbours() -> None:
    got, depths = one(
        [5, 10, 15, 20], [1, 2, 3, 4], [5, 7, 10, 12, 15, 18], flags=[-1, -1, 2, 1], depth_flags=[1, 2, -1, -1]
    )
    assert got.flags[0].tolist() == [-1, -1, -1, 2, 2, 2]
    assert np.isfinite(got.values).all(), "a missing flag is accepted here, and is not a missing value"
    assert depths.flags[0].tolist() == [1, 2, 2, 2, -1, -1]


def test_a_level_within_a_micrometre_of_an_observation_takes_its_flag() -> None:
    """15.1 is stored as 15.10000038 in float32; the value there still has both neighbours."""
    got, _ = one([5, 15.1, 25], [1, 2, 3], [15.1, 15.100002], flags=[1, 2, 1])
    assert got.flags[0].tolist() == [2, 2]
    got, _ = one([5, 15.1, 25], [1, 2, 3], [15.1, 15.100002], flags=[2, 1, 2])
    assert got.flags[0].tolist() == [1, 2]


def test_refused_levels_are_as_if_they_were_not_there() -> None:
    """The value's flag and the depth's flag both count; 0, 4 and an unknown character refuse."""
    target = [5, 10, 15, 20, 25]
    got, depths = one(target, [1, 99, 3, 99, 5], target, flags=[1, 4, 1, 1, 2], depth_flags=[1, 1, 1, 0, 1])
    np.testing.assert_array_equal(got.values[0], np.array([1, 2, 3, 4, 5], dtype=np.float32))
    assert got.flags[0].tolist() == [1, 1, 1, 2, 2]
    assert depths.flags[0].tolist() == [1, 1, 1, 1, 1]
    got, _ = one(target, [1, 2, 3, 4, 5], target, flags=[99, 1, 1, 1, 99])
    np.testing.assert_array_equal(np.isfinite(got.values[0]), [False, True, True, True, False])


def test_the_order_of_slots_does_not_matter() -> None:
    random = np.random.default_rng(2)
    depth = np.sort(random.uniform(0, 300, 60))
    values = random.normal(size=60)
    shuffled = random.permutation(60)
    straight, upside_down, mixed = (
        one(depth[by].tolist(), values[by].tolist(), LEVELS.tolist())[0]
        for by in (np.arange(60), np.arange(60)[::-1], shuffled)
    )
    assert np.isfinite(straight.values).sum() > 15
    np.testing.assert_array_equal(upside_down.values, straight.values)
    np.testing.assert_array_equal(mixed.values, straight.values)


def test_depths_above_the_surface_and_missing_ones_are_left_out() -> None:
    got, _ = one([-0.1, NAN, 0, 8, np.inf], [50, 60, 1, 2, 70], [0, 4, 8])
    np.testing.assert_array_equal(got.values[0], np.array([1, 1.5, 2], dtype=np.float32))


@pytest.mark.parametrize("depth", [[NAN] * 3, [-1.0, -2.0, -3.0]])
def test_a_profile_without_usable_depths_is_missing(depth: list[float]) -> None:
    for aligned in one(depth, [1, 2, 3], [1, 2, 3]):
        assert np.isnan(aligned.values).all()
        assert (aligned.flags == -1).all()


def test_a_rejected_variable_leaves_the_depths() -> None:
    got, depths = one([5, 10], [1, 2], [5, 10], usable=False)
    assert np.isnan(got.values).all()
    assert (got.flags == -1).all()
    assert depths.flags[0].tolist() == [1, 1]


def test_one_profile_leaves_nothing_behind_for_the_next() -> None:
    depth = np.array([[5, 10, 15, 20], [5, NAN, NAN, NAN], [NAN] * 4, [10, 20, NAN, NAN]], dtype=np.float32)
    flags = np.ones(depth.shape, dtype=np.int8)
    together = align(depth, flags, [depth * 2], [flags], GOOD, [np.ones(4, dtype=bool)], LEVELS)[0]
    for p in range(4):
        alone, _ = one(depth[p].tolist(), (depth[p] * 2).tolist(), LEVELS.tolist())
        np.testing.assert_array_equal(together.values[p], alone.values[0])
        np.testing.assert_array_equal(together.flags[p], alone.flags[0])


def test_flags_of_depths_may_follow_another_convention_than_those_of_values() -> None:
    depth = np.array([[5, 10, 15]], dtype=np.float32)
    depth_flags = np.array([[0, 0, 4]], dtype=np.int8)  # not checked, not checked, rejected
    flags = np.ones((1, 3), dtype=np.int8)
    all_but_4 = np.ones(256, dtype=bool)
    all_but_4[4] = False
    usable = [np.ones(1, dtype=bool)]
    target = np.array([5.0, 7.5, 15.0])
    strict = align(depth, depth_flags, [depth], [flags], GOOD, usable, target)
    assert np.isnan([part.values for part in strict]).all()
    lenient = align(depth, depth_flags, [depth], [flags], GOOD, usable, target, depth_accepted=all_but_4)
    assert [part.values.tolist() for part in lenient] == [[[5.0, 7.5, pytest.approx(float("nan"), nan_ok=True)]]] * 2
    assert [part.flags.tolist() for part in lenient] == [[[1, 1, -1]], [[0, 0, -1]]]


def test_any_memory_layout_and_no_profiles_at_all() -> None:
    wide = np.tile(np.array([5, -9, 10, -9, 15, -9], dtype=np.float32), (2, 1))
    wide.flags.writeable = False
    flags = np.ones((3, 2), dtype=np.int8).T
    part = wide[:, ::2]
    got, depths = align(part, flags, [part.astype(">f4")], [flags], GOOD, [np.ones(2, dtype=bool)], np.array([7.5]))
    assert got.values.tolist() == [[7.5], [7.5]]
    empty = align(part[:0], flags[:0], [part[:0]], [flags[:0]], GOOD, [np.ones(0, dtype=bool)], LEVELS)
    assert [a.values.shape for a in empty] == [(0, 50), (0, 50)]
    only_depths = align(part, flags, [], [], GOOD, [], np.array([7.5]))
    assert [a.values.tolist() for a in only_depths] == [depths.values.tolist()]


def test_shapes_and_targets_that_do_not_fit_are_refused() -> None:
    depth, flags, usable = np.ones((2, 3), dtype=np.float32), np.ones((2, 3), dtype=np.int8), np.ones(2, dtype=bool)
    with pytest.raises(ValueError, match=r"one shape, got \(2, 3\) and \(2, 2\)"):
        align(depth, flags, [depth[:, :2]], [flags], GOOD, [usable], LEVELS)
    with pytest.raises(ValueError, match=r"usable\[2\] for each of 1"):
        align(depth, flags, [depth], [flags], GOOD, [usable[:1]], LEVELS)
    with pytest.raises(ValueError, match="per uint8"):
        align(depth, flags, [depth], [flags], GOOD[:10], [usable], LEVELS)
    with pytest.raises(ValueError, match="ascending"):
        align(depth, flags, [depth], [flags], GOOD, [usable], LEVELS[::-1])


numbers = st.floats(-40, 400, width=32) | st.sampled_from([NAN, 0.0, 5.0, 10.0])


@settings(max_examples=300)
@given(st.lists(st.tuples(numbers, numbers, st.sampled_from([-1, 0, 1, 2, 4])), min_size=1, max_size=12))
def test_values_stay_between_the_observations_in_value_and_in_depth(slots: list[tuple[float, float, int]]) -> None:
    depth, values, flags = (list(column) for column in zip(*slots, strict=True))
    target = np.arange(0, 400, 2.5)
    got, _ = one(depth, values, target.tolist(), [int(f) for f in flags])
    found = np.isfinite(got.values[0])
    used = [(d, v, f) for d, v, f in slots if d >= 0 and v == v and f in (-1, 1, 2)]
    assert not found.any() or used
    for z, value, flag in zip(target[found], got.values[0][found], got.flags[0][found], strict=True):
        assert min(d for d, _, _ in used) <= z <= max(d for d, _, _ in used)
        assert min(v for _, v, _ in used) <= value <= max(v for _, v, _ in used)
        assert flag in {f for _, _, f in used}
    assert (got.flags[0][~found] == -1).all()
