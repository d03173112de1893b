"""Augmented samples: the same for the same seed, epoch and row; and every field changed alike."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.samples.augment import Augment
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.form import FieldName, Sample, SampleForm, Scenario, collate
from oceanrecon.samples.rows import every_row
from oceanrecon.training.data.decode import Decode, to_tensors
from oceanrecon.transform.degrade import Degradation
from oceanrecon.transform.encode import EncodingName, stretch
from oceanrecon.transform.simulate import Simulation
from oceanrecon.transform.streams import stream
from oceanrecon.transform.turn import turn
from tests.samples.patch import DEGRADATION, EVERYTHING, LEVELS, SIMULATION, TILE, augmented, form_of, make


def values(sample: Sample, form: SampleForm) -> dict[FieldName, NDArray[np.float32]]:
    """The dense targets in K and PSU, by the formula of the codes."""
    found: dict[FieldName, NDArray[np.float32]] = {}
    for part in form.fields:
        stored = sample.target[part.name]
        if form.encoding is not None:
            code = stretch(part.quantity, form.encoding)
            decoded = code.minimum + stored.astype(np.float64) * (code.maximum - code.minimum) / code.last_code
            stored = np.where(stored == code.nodata, np.nan, decoded).astype(np.float32)
        found[part.name] = stored
    return found


def parts(sample: Sample) -> Iterator[tuple[str, Any]]:
    for field in fields(sample):
        value = getattr(sample, field.name)
        if isinstance(value, dict):
            yield from ((f"{field.name} {name}", part) for name, part in value.items())
        else:
            yield field.name, value


def assert_same(one: Sample, other: Sample) -> None:
    for (name, left), (_, right) in zip(parts(one), parts(other), strict=True):
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype, name
        np.testing.assert_equal(left, right, err_msg=name)


def test_a_sample_depends_neither_on_the_worker_nor_on_the_order() -> None:
    expected = augmented([0, 1, 2, 3])
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as workers:
        others = [sample for some in workers.map(augmented, [[3, 1], [2, 0]]) for sample in some]
    for sample in [*others, *reversed(augmented([3, 2, 1, 0]))]:
        assert_same(sample, expected[sample.row])


def test_another_seed_epoch_or_row_makes_another_sample() -> None:
    form = form_of()
    one = make(0, form)
    seen = [
        EVERYTHING(one, form, 0),
        EVERYTHING(one, form, 1),
        EVERYTHING(replace(one, row=1), form, 0),
        replace(EVERYTHING, seed=12)(one, form, 0),
    ]
    assert len({sample.points.tobytes() for sample in seen}) == 4
    # each on its own: the surface, and the turns of many rows
    degraded = Augment(11, degradation=DEGRADATION)
    surfaces = [
        degraded(one, form, 0),
        degraded(one, form, 1),
        degraded(replace(one, row=1), form, 0),
        replace(degraded, seed=12)(one, form, 0),
    ]
    assert len({sample.surface.tobytes() for sample in surfaces}) == 4

    def turns(seed: int, epoch: int, first: int) -> tuple[int, ...]:
        turned = Augment(seed, turn=True)
        rows = (turned(replace(one, row=first + row), form, epoch) for row in range(20))
        return tuple(sample.info["augmented"]["turn"] for sample in rows)

    assert len({turns(11, 0, 0), turns(12, 0, 0), turns(11, 1, 0), turns(11, 0, 20)}) == 4


def test_the_sample_given_stays_as_it_is() -> None:
    given = make(0, form_of())
    for epoch in range(4):
        EVERYTHING(given, form_of(), epoch)
    assert_same(given, make(0, form_of()))


@pytest.mark.parametrize("row", range(4))
def test_what_is_done_besides_changes_no_draw(row: int) -> None:
    form = form_of()
    given = make(row, form)
    whole = EVERYTHING(given, form, 0)
    alone = Augment(11, SIMULATION)(given, form, 0)
    degraded = Augment(11, degradation=DEGRADATION)(given, form, 0)
    notes = whole.info["augmented"]
    assert notes["observed"] == alone.points.size
    assert notes["offset"] == degraded.info["augmented"]["offset"]
    assert notes["turn"] == Augment(11, turn=True)(given, form, 0).info["augmented"]["turn"]
    np.testing.assert_array_equal(whole.surface, turn(degraded.surface, notes["turn"]))
    other = Augment(11, degradation=Degradation(("adt",), dropout=0.4))(given, form, 0)
    np.testing.assert_array_equal(degraded.surface[2], other.surface[2])


@pytest.mark.parametrize("encoding", ["uint8", "uint16", None])
@pytest.mark.parametrize("scenario", ["temperature", "salinity", "joint"])
@pytest.mark.parametrize("simulation", [SIMULATION, Simulation("columns", 40), Simulation("rectangles", hidden=0.5)])
def test_observations_are_values_of_the_target(
    encoding: EncodingName | None, scenario: Scenario, simulation: Simulation
) -> None:
    form = form_of(encoding, scenario)
    given = make(2, form)
    sample = Augment(5, simulation)(given, form, 0)
    dense = values(given, form)
    ocean = np.logical_or.reduce([np.isfinite(field).any(axis=0) for field in dense.values()]).ravel()
    np.testing.assert_array_equal(
        sample.points, simulation.pixels(ocean.reshape(TILE, TILE), stream(5, 0, 2, "simulation"))
    )
    assert sample.points.size
    assert ocean[sample.points].all()
    for name, field in dense.items():
        np.testing.assert_array_equal(sample.observed[name], field.reshape(LEVELS, -1)[:, sample.points].T)
    assert sample.info["row of"] == "a table"


@pytest.mark.parametrize("encoding", ["uint8", None])
def test_each_level_has_pixels_of_its_own_where_asked_for(encoding: EncodingName | None) -> None:
    form = form_of(encoding)
    given = make(1, form)
    simulation = Simulation("tracks", hidden=0.9, per_depth=True)
    sample = Augment(5, simulation)(given, form, 0)
    dense = values(given, form)
    raster = {name: np.full((LEVELS, TILE * TILE), np.nan, np.float32) for name in dense}
    for name, observed in sample.observed.items():
        raster[name][:, sample.points] = observed.T
    seen = np.logical_or.reduce([np.isfinite(field) for field in raster.values()])
    wet = np.logical_or.reduce([np.isfinite(field) for field in dense.values()]).reshape(LEVELS, -1)
    for level in range(LEVELS):
        total = int(wet[level].sum())
        assert seen[level].sum() == total - int(0.9 * total + 1e-9)
    # joint: both fields of a level are observed at the same pixels
    for name, field in raster.items():
        expected = np.where(seen, dense[name].reshape(LEVELS, -1), np.nan)
        np.testing.assert_array_equal(field, expected)
    assert (seen[0] != seen[1]).any()
    assert seen.any(axis=0).sum() == sample.points.size


@pytest.mark.parametrize("per_depth", [False, True])
@pytest.mark.parametrize("kind", ["columns", "tracks", "rectangles"])
def test_a_patch_of_land_has_no_observation(kind: Any, per_depth: bool) -> None:
    form = form_of("uint8")
    land = make(0, form)
    land = replace(land, target={name: np.full_like(codes, 255) for name, codes in land.target.items()})
    sample = Augment(1, Simulation(kind, per_depth=per_depth), turn=True)(land, form, 0)
    assert sample.points.shape == (0,)
    assert sample.points.dtype == np.int32
    assert {part.shape for part in sample.observed.values()} == {(0, LEVELS)}
    assert collate([sample, EVERYTHING(make(1, form), form, 0)], form.fields)["points"].size > 0


def test_all_fields_turn_together() -> None:
    """Decoded: every raster of the turned sample is the raster of the sample, turned."""
    form = form_of()
    decode = Decode(form)
    found = set()
    for row in range(30):
        given = Augment(2, Simulation("columns", 50))(make(row, form), form, 0)
        turned = Augment(2, turn=True)(given, form, 0)
        how = turned.info["augmented"]["turn"]
        found.add(how)
        assert (np.diff(turned.points) > 0).all()
        before, after = (decode(to_tensors(collate([sample], form.fields))) for sample in (given, turned))
        for name, raster in before.items():
            moved = turn(raster.numpy(), how) if raster.ndim == 4 else raster.numpy()
            np.testing.assert_array_equal(after[name].numpy(), moved, err_msg=name)
        np.testing.assert_array_equal(turned.land, turn(given.land, how))
        assert all(part.flags.c_contiguous for _, part in parts(turned) if isinstance(part, np.ndarray))
    assert found == set(range(8))


def test_degraded_fields_are_values_and_dropped_ones_are_masked() -> None:
    form = form_of("uint8")
    decode = Decode(form)
    samples = [Augment(3, degradation=DEGRADATION)(make(row, form), form, 0) for row in range(8)]
    batch = decode(to_tensors(collate(samples, form.fields)))
    dropped = [sample.info["augmented"]["dropped"] for sample in samples]
    assert {len(names) for names in dropped} >= {0, 1}
    for number, (sample, names) in enumerate(zip(samples, dropped, strict=True)):
        given = make(number, form)
        assert sample.surface.dtype == np.float32
        for at, (name, part) in enumerate(zip(form.surface, form.channels, strict=True)):
            mask = batch["eo_valid_mask"][number, at].numpy()
            np.testing.assert_array_equal(mask, (given.surface[at] != 255) & (name not in names))
            if name not in DEGRADATION.channels:  # not a bit of it has changed
                np.testing.assert_array_equal(
                    sample.surface[at], stretch(part.quantity, "uint8").decode(given.surface[at])
                )


def test_a_field_that_the_samples_lack_is_named() -> None:
    form = replace(form_of(), surface=("sos",))
    with pytest.raises(ConfigError, match=r"\['analysed_sst'\] cannot be degraded: the samples have sos"):
        Augment(1, degradation=Degradation(("analysed_sst", "sos"))).check(form)


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_an_impossible_seed_is_named(seed: int) -> None:
    with pytest.raises(ConfigError, match=f"seed={seed} is no seed"):
        Augment(seed)


@pytest.mark.parametrize("store", ["zarr", "geotiff"])
def test_samples_of_an_export_see_their_own_target(with_profiles: dict[str, Path], store: Any) -> None:
    """What a model gets as input is what it gets as target, where it was observed; the profiles are gone."""
    grid = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))
    rows = every_row(PatchGrid(grid, 20, 20, "last", periodic=True), [20120222, 20120229])
    source = ExportSource(str(with_profiles["uint8"]), rows, scenario="joint", store=store)
    augment = Augment(1, Simulation("columns", 30), turn=True)
    samples = [augment(sample, source.form, 0) for sample in source.samples(range(6))]
    batch = Decode(source.form)(to_tensors(collate(samples, source.form.fields)))
    for suffix in ("", "_salinity"):
        x, y = batch[f"x{suffix}"].numpy(), batch[f"y{suffix}"].numpy()
        seen = batch[f"x{suffix}_valid_mask"].numpy()
        assert seen.any(axis=(1, 2, 3)).sum() >= 4
        np.testing.assert_allclose(x[seen], y[seen], rtol=0, atol=4e-6)
        assert batch[f"y{suffix}_valid_mask"].numpy()[seen].all()
