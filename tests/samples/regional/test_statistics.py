"""Risk: statistics depend on the order of files, count what is missing, or are guesses of a sample."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.samples.regional import statistics
from oceanrecon.samples.regional.query import open_taco
from oceanrecon.samples.regional.statistics import Tally, normalised, read_statistics, statistics_of, write_statistics
from tests.taco_files import Regional, small


def _values(size: int, *, packed: bool) -> NDArray[np.float32]:
    chance = np.random.default_rng(5)
    values = chance.normal(15, 4, size)
    if packed:
        values = np.rint((values - 20) / 1e-3) * 1e-3 + 20
    values[::7] = np.nan
    return values.astype(np.float32)


@pytest.mark.parametrize("packed", [True, False])
def test_parts_in_any_order_are_the_whole(packed: bool) -> None:
    values = _values(30_000, packed=packed)
    parts = []
    for some in np.array_split(values, [100, 5000, 5000, 21_000]):
        parts.append(Tally())
        parts[-1].add(some)
    merged = Tally()
    for part in reversed(parts):
        merged.merge(part)
    found = merged.result()
    there = values[np.isfinite(values)].astype(np.float64)
    assert found.exact
    assert (found.count, found.missing) == (there.size, values.size - there.size)
    assert found.mean == pytest.approx(there.mean(), rel=1e-12)
    assert found.std == pytest.approx(there.std(), rel=1e-10)
    assert (found.p2, found.p98) == tuple(np.percentile(there, [2, 98]))
    assert (found.minimum, found.maximum) == (there.min(), there.max())


def test_a_large_offset_does_not_cost_digits() -> None:
    tally = Tally()
    tally.add(np.array([1e6, 1e6 + 1, 1e6 + 2], np.float32))
    tally.add(np.array([1e6 + 3], np.float32))
    assert tally.result().std == pytest.approx(np.sqrt(1.25), rel=1e-12)


def test_too_many_values_are_said_to_be_rounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_DISTINCT", 1000)
    values = _values(30_000, packed=False)
    tally = Tally()
    for part in np.array_split(values, 5):
        tally.add(part)
    found = tally.result()
    there = values[np.isfinite(values)].astype(np.float64)
    assert not found.exact
    assert found.mean == pytest.approx(there.mean(), rel=1e-12)
    np.testing.assert_allclose([found.p2, found.p98], np.percentile(there, [2, 98]), rtol=1 / 4096)


def test_rounded_percentiles_are_within_the_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "_DISTINCT", 1000)
    tally = Tally()
    # four of a hundred values are the largest, which begins with the same bits as larger floats
    tally.add(np.concatenate([np.linspace(1, 2, 4800), np.full(200, 2.0)]).astype(np.float32))
    found = tally.result()
    assert not found.exact
    assert found.p98 == found.maximum == 2


def test_nothing_is_no_statistic() -> None:
    tally = Tally()
    tally.add(np.full(3, np.nan))
    with pytest.raises(OutputError, match="no value among 3"):
        tally.result()


def test_statistics_of_a_dataset_are_those_of_its_files(tmp_path: Path) -> None:
    small(tmp_path / "regions").build(tmp_path / "dataset")
    dataset = open_taco(str(tmp_path / "dataset"))
    first = dt.date(2024, 1, 10)
    found = statistics_of(dataset, ["l4_sst", "argo", "l3_ssh"], [first])
    # day 10, latitudes and longitudes balance
    assert found["l4_sst"].mean == pytest.approx(10, abs=1e-4)
    assert found["l4_sst"].count == 36 * 72
    assert found["argo"].count == 3
    assert found["argo"].mean == pytest.approx(53 / 3)
    assert (found["l3_ssh"].count, found["l3_ssh"].mean) == (2, -0.125)
    write_statistics(str(tmp_path / "statistics.json"), found)
    assert read_statistics(str(tmp_path / "statistics.json")) == found
    scaled = normalised(np.array([10, np.nan], np.float32), found["l4_sst"])
    assert scaled[0] == pytest.approx(0, abs=1e-4)
    assert np.isnan(scaled[1])
    with pytest.raises(ConfigError, match="l4_wind has no value"):
        statistics_of(dataset, ["l4_wind"])
    # nothing of no day took the place of a good file
    with pytest.raises(ConfigError, match="none of the days that are asked for: it has 2024-01-10 to 2024-01-11"):
        statistics_of(dataset, None, [dt.date(2024, 1, 30)])


def test_a_damaged_file_of_statistics_is_named(tmp_path: Path) -> None:
    (tmp_path / "statistics.json").write_text('{"l4_sst": {"mean": 1}}')
    with pytest.raises(OutputError, match=r"statistics\.json has no statistics, or damaged ones"):
        read_statistics(str(tmp_path / "statistics.json"))


def test_a_flag_that_is_missing_is_no_number(tmp_path: Path) -> None:
    regional = Regional(tmp_path / "regions")
    regional.gridded("l4_sst", 10, {"mask": lambda south, east, day: np.where(east < 0, -1, 3) + 0 * south},
                     attributes={"units": "1"}, missing=-1)  # fmt: skip
    regional.build(tmp_path / "dataset")
    found = statistics_of(open_taco(str(tmp_path / "dataset")), ["l4_sst:mask"])["l4_sst:mask"]
    assert (found.count, found.missing, found.mean, found.std) == (36 * 36, 36 * 36, 3, 0)
