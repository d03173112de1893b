"""Risk: a source that keeps all that it has read, or that gives other numbers when it has let something go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.profile_config import ProfileFilesSettings
from oceanrecon.samples import profiles, raw_profiles
from oceanrecon.samples.archive import ArchiveSource
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.form import Sample
from oceanrecon.samples.rows import Rows, every_row
from oceanrecon.samples.stored import TiffCodes
from oceanrecon.sources import box
from oceanrecon.stores import shard_reader, tiff_reader
from tests.archives import settings

GRID = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))
PATCHES = PatchGrid(GRID, 20, 20)
DATES = (20120222, 20120229, 20120307)


def exported(url: Path, **more: Any) -> ExportSource:
    return ExportSource(str(url), every_row(PATCHES, DATES), scenario="joint", **more)


def back_and_forth(number: int) -> Iterator[int]:
    """Rows of all dates, and again of those that were let go."""
    for step in range(number):
        yield step * (len(PATCHES.ids) + 1) % (3 * len(PATCHES.ids))


def assert_same(one: Sample, other: Sample) -> None:
    np.testing.assert_array_equal(one.surface, other.surface)
    np.testing.assert_array_equal(one.points, other.points)
    for name in ("temperature", "salinity"):
        np.testing.assert_array_equal(one.target[name], other.target[name])
        np.testing.assert_array_equal(one.observed[name], other.observed[name])


def test_an_export_keeps_places_and_indexes_of_few(
    with_profiles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = exported(with_profiles["uint16"])
    monkeypatch.setattr(profiles, "_KEPT_TARGETS", 1)
    monkeypatch.setattr(shard_reader, "_KEPT_INDEXES", 2)
    found = exported(with_profiles["uint16"])
    seen: set[int] = set()
    for row in back_and_forth(12):
        assert_same(found.samples([row])[0], expected.samples([row])[0])
        assert len(found._profiles._kept) == 1
        seen |= found._profiles._kept.keys()
    assert len(seen) == 3
    # several targets in one call: more than are kept
    rows = range(0, len(expected), 5)
    for one, other in zip(found.samples(rows), expected.samples(rows), strict=True):
        assert_same(one, other)
    assert len(found._profiles._kept) == 1
    assert {len(array._indexes) for array in found._stored._arrays.values()} == {2}  # type: ignore[attr-defined]


def test_the_places_that_were_used_last_are_kept(
    with_profiles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "_KEPT_TARGETS", 2)
    found = exported(with_profiles["uint16"], days=1)
    for date in (0, 1, 0, 2):
        found.samples([date * len(PATCHES.ids)])
    kept = [int(found._profiles._targets[target]) for target in found._profiles._kept]
    assert kept == [int(found._profiles._targets[number]) for number in (0, 2)]


def test_few_geotiffs_stay_open_and_the_others_are_closed(
    with_profiles: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = exported(with_profiles["uint8"], store="geotiff")
    monkeypatch.setattr(tiff_reader, "_KEPT", 2)
    found = exported(with_profiles["uint8"], store="geotiff")
    assert isinstance(found._stored, TiffCodes)
    reader = found._stored._reader
    opened = []
    for row in back_and_forth(6):
        assert_same(found.samples([row])[0], expected.samples([row])[0])
        assert len(reader._open) == 2
        opened += [dataset for dataset, _ in reader._open.values()]
    assert sum(not dataset.closed for dataset in {id(one): one for one in opened}.values()) == 2
    del found, reader
    assert all(dataset.closed for dataset in opened)


def test_an_archive_keeps_few_months_files_and_facts(
    archive: Path, sources_of_profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made() -> ArchiveSource:
        dates = np.array([20120222, 20120305, 20120301], np.int32)  # of February, of March, of both
        land = np.zeros((60, 120), np.uint8)
        # sea, and the south pole
        rows = Rows(np.concatenate([np.full(3, 10 * 120 + 100), np.full(3, 58 * 120)]), np.tile(dates, 2), 2)
        return ArchiveSource(
            settings(archive, "unused").archive, rows, grid=GRID, land=land, scenario="joint", days=3,
            en4=ProfileFilesSettings(root=f"{sources_of_profiles}/en4"),
        )  # fmt: skip

    expected = made()
    monkeypatch.setattr(raw_profiles, "_KEPT_MONTHS", 1)
    monkeypatch.setattr(raw_profiles, "_KEPT_FILES", 1)
    monkeypatch.setattr(box, "_REMEMBERED", 2)
    found = made()
    found._boxes._chunks._most = 4000
    for row, month in ((0, 2), (1, 3), (2, 3), (0, 2), (3, 2), (4, 3), (5, 3), (3, 2)):
        assert_same(found.samples([row])[0], expected.samples([row])[0])
        # the one that was used last
        assert [first.month for first in found._profiles._months] == [month]
        assert len(found._boxes._valued) == (2 if row > 2 or found._boxes._valued else 0)
        assert sum(len(chunk) for _, chunk in found._boxes._chunks._chunks.values()) <= 4000
    # rows of one call that need both months, and again
    rows = [2, 5, 1, 0]
    for one, other in zip(found.samples(rows), expected.samples(rows), strict=True):
        assert_same(one, other)


def test_few_files_of_profiles_stay_open_and_the_others_are_closed(
    archive: Path, sources_of_profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made() -> ArchiveSource:
        rows = Rows(np.zeros(3, np.int64), np.array([20120222, 20120301, 20120307], np.int32), 60)
        return ArchiveSource(
            settings(archive, "unused").archive, rows, grid=GRID, land=np.zeros((60, 120), np.uint8), scenario="joint",
            en4=ProfileFilesSettings(root=f"{sources_of_profiles}/en4"),
        )  # fmt: skip

    expected = made()
    monkeypatch.setattr(raw_profiles, "_KEPT_FILES", 1)
    found = made()
    opened: list[Any] = []
    for row in (0, 1, 2, 0, 1):
        sample = found.samples([row])[0]
        assert sample.points.size
        assert_same(sample, expected.samples([row])[0])
        assert len(found._profiles._open) == 1
        opened += [reader._opened._dataset for reader, _ in found._profiles._open.values()]
    assert len({id(dataset) for dataset in opened}) > 2
    assert {id(dataset) for dataset in opened if dataset.isopen()} == {id(opened[-1])}
