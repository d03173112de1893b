"""Risk: points are lost or counted twice, statistics are off, and tracks are said to be where they are not."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binned_statistic_2d

from oceanrecon.grid.octants import OCTANTS
from oceanrecon.transform.binning import Binned, DayBins
from oceanrecon.transform.day import PointDay, Track, Values

START = np.datetime64("2024-02-29T00:00:00", "us")


def points(
    name: str,
    latitude: Sequence[float] | NDArray[np.float64],
    longitude: Sequence[float] | NDArray[np.float64],
    values: Mapping[str, Any],
    attributes: Mapping[str, str] | None = None,
) -> PointDay:
    """A file, a point a second."""
    size = len(latitude)
    time = START + np.arange(size).astype("m8[s]")
    found = {key: Values(np.asarray(data, np.float32), attributes or {}) for key, data in values.items()}
    track = (Track(name, name.upper()),)
    return PointDay(np.asarray(latitude, float), np.asarray(longitude, float), time, found, np.zeros(size, "i2"), track)


def binned(files: Sequence[PointDay], size_km: float = 2.0) -> list[Binned]:
    bins = DayBins(size_km)
    for file in files:
        bins.add(file)
    return list(bins.finish())


SPECIAL = [-90.0, -1e-9, 0.0, 45.0, 89.99999, 90.0]
TURNS = [-180.0, -90.0, -1e-15, 0.0, 90.0, 179.9999999, 180.0, 359.9999999, 360.0]


@given(
    st.lists(
        st.tuples(
            st.one_of(st.sampled_from(SPECIAL), st.floats(-90, 90), st.just(float("nan"))),
            st.one_of(st.sampled_from(TURNS), st.floats(-180, 360)),
        ),
        min_size=1,
        max_size=40,
    )
)
def test_counts_over_all_regions_are_the_points_in_range(places: list[tuple[float, float]]) -> None:
    latitude, longitude = map(list, zip(*places, strict=True))
    bins = DayBins(7.0)
    bins.add(points("one", latitude, longitude, {"sla": np.ones(len(places))}))
    placed = int(np.isfinite(latitude).sum())
    assert (bins.placed, bins.unplaced) == (placed, len(places) - placed)
    found = list(bins.finish())
    assert sum(int(one.n_obs.sum()) for one in found) == placed
    assert sum(int(one.counts["sla"].sum()) for one in found) == placed
    assert all((np.diff(one.cells) > 0).all() and one.n_obs.all() for one in found)


def test_mean_spread_and_count_agree_with_scipy_in_every_region() -> None:
    random = np.random.default_rng(1)
    size = 6000
    latitude, longitude = random.uniform(-90, 90, size), random.uniform(-180, 180, size)
    values = random.normal(0.1, 0.3, size).astype(np.float32)
    values[random.random(size) < 0.3] = np.nan
    parts = np.array_split(np.arange(size), 5)
    files = [points(f"f{n}", latitude[at], longitude[at], {"sla": values[at]}) for n, at in enumerate(parts)]
    found = {one.grid.octant.name: one for one in binned(files, 600.0)}
    assert len(found) == 8
    for octant in OCTANTS:
        one = found[octant.name]
        rows, columns = one.grid.shape
        edges = [
            octant.south + np.arange(rows + 1) * one.grid.spacing[0],
            octant.west + np.arange(columns + 1) * one.grid.spacing[1],
        ]
        inside = (latitude >= octant.south) & (latitude < octant.north)
        inside &= (longitude >= octant.west) & (longitude < octant.east)
        valid = inside & np.isfinite(values)

        def of(
            statistic: str, which: NDArray[np.bool_], cells: NDArray[np.int64] = one.cells, edges: Any = edges
        ) -> NDArray[np.float64]:
            made = binned_statistic_2d(latitude[which], longitude[which], values[which], statistic, bins=edges)
            return np.asarray(made.statistic.ravel()[cells])

        np.testing.assert_array_equal(one.n_obs, of("count", inside))
        np.testing.assert_array_equal(one.counts["sla"], of("count", valid))
        np.testing.assert_allclose(one.means["sla"], of("mean", valid), rtol=2e-6, atol=1e-8)
        spread = np.where(one.counts["sla"] < 2, np.nan, of("std", valid))
        np.testing.assert_allclose(one.stds["sla"], spread, rtol=2e-6, atol=1e-8)
        assert one.n_obs.sum() == inside.sum()


def test_a_small_spread_on_a_large_offset_keeps_its_digits() -> None:
    """2^14 and 2^14 + 2^-9, as close as float32 has them: the deviation is 2^-10; a sum of squares has few digits."""
    (one,) = binned([points("one", [10.0, 10.0], [20.0, 20.0], {"mdt": [16384.0, 16384.0 + 2.0**-9]})])
    assert one.stds["mdt"].tolist() == [2.0**-10]


def test_one_value_has_no_spread_and_a_point_without_value_counts_as_a_point() -> None:
    nan = float("nan")
    (one,) = binned([points("one", [10.0] * 3, [20.0] * 3, {"a": [1.0, nan, nan], "b": [nan, nan, nan]})])
    assert one.n_obs.tolist() == [3]
    assert (one.means["a"].tolist(), one.counts["a"].tolist()) == ([1.0], [1])
    assert np.isnan(one.stds["a"]).all() and np.isnan(one.means["b"]).all()
    assert one.counts["b"].tolist() == [0]


def test_tracks_that_share_no_cell_overlap_nowhere() -> None:
    """Known fault: a cumulative mask called nearly every cell of later tracks shared."""
    along = np.arange(10.0, 20.0, 0.01)
    files = [points(f"f{n}", along, np.full(along.size, 30.0 + n), {"sla": along}) for n in range(3)]
    (one,) = binned(files)
    assert set(one.n_tracks.tolist()) == {1}
    assert sorted(set(one.primary_track.tolist())) == [0, 1, 2]


def test_crossing_tracks_overlap_in_the_cells_that_they_share() -> None:
    along = np.arange(10.0, 20.0, 0.005)
    fixed = np.full(along.size, 15.0)
    west_east, south_north = points("a", fixed, along, {"sla": along}), points("b", along, fixed, {"sla": along})
    (one,) = binned([west_east, south_north])
    shared = set(one.grid.cell(fixed, along).tolist()) & set(one.grid.cell(along, fixed).tolist())
    assert len(shared) == 1
    assert set(one.cells[one.n_tracks > 1].tolist()) == shared


def test_tracks_are_those_with_a_point_in_the_region_and_the_primary_is_the_one_with_most() -> None:
    """Known fault: ids of all files of the day, whose places were not those that cells named."""
    here, there = ([10.0], [20.0]), ([-10.0], [20.0])
    files = [
        points("c", here[0] * 3, here[1] * 3, {"sla": [1.0] * 3}),
        points("a", there[0] * 9, there[1] * 9, {"sla": [1.0] * 9}),
        points("d", here[0] * 2, here[1] * 2, {"sla": [1.0] * 2}),
        points("b", here[0] * 2, here[1] * 2, {"sla": [1.0] * 2}),
    ]
    south, north = binned(files)
    assert [track.name for track in south.tracks] == ["a"]
    assert [(track.name, track.platform) for track in north.tracks] == [("b", "B"), ("c", "C"), ("d", "D")]
    assert north.primary_track.tolist() == [1]
    assert north.n_tracks.tolist() == [3]
    # of equals the first: b
    (tied,) = binned([files[2], files[3]])
    assert tied.primary_track.tolist() == [0]


def test_times_and_extent_are_those_of_the_points_in_the_region() -> None:
    one = points("a", [-1.0, 1.0, 2.0, 5.0], [350.0, 10.0, 30.0, 20.0], {"sla": [0.0] * 4})
    one.time[3] = np.datetime64("NaT")
    south, north = binned([one])
    start = (START - np.datetime64(0, "s")) / np.timedelta64(1, "s")
    assert north.track_times.tolist() == [start + 1.5]
    assert (north.start, north.end) == (START + np.timedelta64(1, "s"), START + np.timedelta64(2, "s"))
    assert north.extent == (10.0, 1.0, 30.0, 5.0)
    assert south.extent == (-10.0, -1.0, -10.0, -1.0)
    one.time[:] = np.datetime64("NaT")
    assert all(np.isnat(each.start) and np.isnan(each.track_times).all() for each in binned([one]))


def test_the_extent_is_that_of_the_points_with_a_value() -> None:
    nan = float("nan")
    inside = points("a", [1.0, 2.0, 5.0], [10.0, 30.0, 80.0], {"sla": [0.0, nan, nan], "mdt": [nan, 0.0, nan]})
    outside = points("b", [80.0], [85.0], {"sla": [nan]})
    (one,) = binned([inside, outside])
    assert one.extent == (10.0, 1.0, 30.0, 2.0) and one.n_obs.sum() == 4
    assert binned([outside])[0].extent is None


def test_many_points_cost_less_than_any_array_of_the_tile() -> None:
    """Known fault: arrays of all 17.7 million cells, for points in a few of them."""
    random = np.random.default_rng(5)
    size = 200_000
    many = points("a", random.uniform(10, 20, size), random.uniform(10, 20, size), {"sla": np.ones(size)})
    binned([points("a", [10.0], [20.0], {"sla": [1.0]})])  # what is compiled and imported is no cost of points
    tracemalloc.start()
    try:
        (one,) = binned([many])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert one.n_obs.sum() == size
    rows, columns = one.grid.shape
    assert rows * columns > 17.7e6 and peak < 2 * rows * columns


def test_the_order_of_files_changes_nothing() -> None:
    random = np.random.default_rng(2)
    files = [
        points(name, random.uniform(9, 11, 800), random.uniform(19, 21, 800), {"sla": random.normal(size=800)})
        for name in ("b", "a", "c")
    ]
    (one,), (other,) = binned(files, 20.0), binned(files[::-1], 20.0)
    for name in ("cells", "n_obs", "primary_track", "n_tracks", "track_times"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.means["sla"].tobytes() == other.means["sla"].tobytes()
    assert one.stds["sla"].tobytes() == other.stds["sla"].tobytes()
    assert one.tracks == other.tracks


def test_a_variable_that_a_file_lacks_is_missing_there_and_texts_of_all_files_are_kept() -> None:
    first = points("a", [10.0], [20.0], {"sla": [1.0], "mdt": [2.0]}, {"comment": "one; two", "units": "m"})
    second = points("b", [10.0], [20.0], {"sla": [3.0]}, {"comment": "three", "units": "m"})
    third = points("c", [10.0], [20.0], {"sla": [5.0]}, {"comment": "one; two", "units": "m"})
    (one,) = binned([first, second, third])
    assert (one.means["sla"].tolist(), one.counts["mdt"].tolist()) == ([3.0], [1])
    assert one.attributes["sla"] == {"comment": "one; two; three", "units": "m"}


def test_a_file_of_several_tracks_is_refused() -> None:
    one = points("a", [10.0], [20.0], {"sla": [1.0]})
    several = PointDay(one.latitude, one.longitude, one.time, one.values, one.track, (*one.tracks, Track("b", "B")))
    with pytest.raises(ValueError, match="one track"):
        DayBins(7.0).add(several)
