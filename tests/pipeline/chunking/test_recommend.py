"""Risk: a recommendation that nobody can follow, or that the rule does not give."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oceanrecon.bench_config import ReaderWeights
from oceanrecon.pipeline.chunking.cases import Case, shipped
from oceanrecon.pipeline.chunking.measure import Spread
from oceanrecon.pipeline.chunking.read import Kind, ReadResult
from oceanrecon.pipeline.chunking.recommend import cost_of, figures_of, recommend
from oceanrecon.pipeline.chunking.results import CaseResult, PlaceResult, WriteResult

DEFAULT = shipped("uint8")["zarr"]
SMALL = replace(DEFAULT, side=32)
BY_LEVEL = replace(DEFAULT, chunk_levels=1, writer="zarr-python")


def read(kind: Kind, cpu: float, wall: float) -> ReadResult:
    requests = Spread.of([1])
    return ReadResult(kind, "oceanrecon", 1, Spread.of([wall]), Spread.of([cpu]), requests, requests, 0)


def place(patch: float, *, near: bool = True, stored: int = 100, write: float = 1.0, objects: int = 5) -> PlaceResult:
    """Where CPU time is ``patch``, and elapsed time ten times that; maps and series take a second."""
    reads = (read("patch", patch, 10 * patch), read("map", 1, 1), read("series", 1, 1))
    return PlaceResult("disk", near, WriteResult(1, 0.1, 0.2, 9.0, write, 1, 0, objects, stored), reads)


def result(case: Case, *places: PlaceResult) -> CaseResult:
    return CaseResult(case, 1000, 10, places)


PATCHES = {"training": ReaderWeights(patch=1)}


def test_the_cost_is_a_weighted_geometric_mean() -> None:
    figures = {"patch": 8.0, "map": 1.0, "series": 1.0, "write": 2.0, "stored": 1.0, "objects": 1.0}

    assert cost_of(figures, ReaderWeights(patch=2, write=1)) == pytest.approx((8 * 8 * 2) ** (1 / 3))
    assert cost_of(figures, ReaderWeights(patch=20, write=10)) == pytest.approx((8 * 8 * 2) ** (1 / 3))


def test_near_places_count_with_cpu_time_and_far_ones_with_elapsed_time() -> None:
    figures = figures_of(result(DEFAULT, place(2.0), place(3.0, near=False)))

    assert figures["patch"] == pytest.approx((2.0 * 30.0) ** 0.5)


def test_what_is_shipped_is_kept_unless_something_is_clearly_cheaper() -> None:
    (kept,) = recommend([result(DEFAULT, place(1.0)), result(SMALL, place(0.88))], PATCHES)
    (changed,) = recommend([result(DEFAULT, place(1.0)), result(SMALL, place(0.8))], PATCHES)

    assert (kept.case, kept.is_shipped, kept.cheapest.case) == (DEFAULT, True, SMALL)
    assert kept.cheapest.cost == pytest.approx(0.88)
    assert (changed.case, changed.is_shipped) == (SMALL, False)
    assert changed.defaults["zarr"].cost == pytest.approx(1.25)
    assert changed.formats == "zarr: {chunk: 32, level: 1}"


def test_a_layout_that_no_export_writes_is_named_and_not_recommended() -> None:
    (found,) = recommend([result(DEFAULT, place(1.0)), result(BY_LEVEL, place(0.1))], PATCHES)

    assert (found.case, found.cheapest.case) == (DEFAULT, BY_LEVEL)
    assert found.cheapest.cost == pytest.approx(0.1)


def test_types_of_numbers_do_not_compete() -> None:
    wide = shipped("uint16")["zarr"]
    found = recommend([result(DEFAULT, place(1.0)), result(wide, place(9.0))], PATCHES)

    assert [(one.encoding, one.case) for one in found] == [("uint8", DEFAULT), ("uint16", wide)]


def test_where_an_export_writes_nothing_of_it_the_cheapest_is_named_without_settings() -> None:
    floats = replace(BY_LEVEL, encoding="float32")
    (found,) = recommend([result(floats, place(1.0))], PATCHES)

    assert (found.case, found.formats, dict(found.defaults), found.is_shipped) == (floats, None, {}, False)


def test_a_layout_that_failed_is_no_candidate() -> None:
    failed = CaseResult(SMALL, 1000, 10, (), "disk: the disk is full")
    (found,) = recommend([result(DEFAULT, place(1.0)), failed], PATCHES)

    assert found.case == DEFAULT
    assert recommend([failed], PATCHES) == []
