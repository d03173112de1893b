"""A small patch for tests of what is done to samples; without torch, so that workers start quickly."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.samples.augment import Augment
from oceanrecon.samples.form import Sample, SampleForm, Scenario
from oceanrecon.transform.degrade import Degradation
from oceanrecon.transform.encode import EncodingName, stretch
from oceanrecon.transform.simulate import Simulation

TILE, LEVELS = 24, 5
SIMULATION = Simulation("tracks", hidden=0.9)
DEGRADATION = Degradation(("analysed_sst", "adt"), dropout=0.4)
EVERYTHING = Augment(11, SIMULATION, DEGRADATION, turn=True)


def form_of(encoding: EncodingName | None = "uint16", scenario: Scenario = "joint") -> SampleForm:
    return SampleForm(scenario, TILE, tuple(range(LEVELS)), ("analysed_sst", "sos", "adt"), encoding)


def make(row: int, form: SampleForm) -> Sample:
    """A patch with a coast and a sea floor, salinity a little smaller than temperature; in codes, or values."""
    random = np.random.default_rng(row)
    south, east = np.mgrid[:TILE, :TILE]
    depth = (east + south // 3 - 6) // 4
    wet = np.arange(LEVELS)[:, None, None] < depth

    def stored(quantity: str, where: NDArray[np.bool_]) -> NDArray[Any]:
        code = stretch(quantity, form.encoding or "uint16")
        codes = np.where(where, random.integers(0, code.last_code, where.shape), code.nodata).astype(code.dtype)
        return codes if form.encoding else code.decode(codes)

    target = {part.name: stored(part.quantity, wet & (at == 0 or random.random(wet.shape) < 0.8))
              for at, part in enumerate(form.fields)}  # fmt: skip
    points = np.array([3, 50], np.int32)
    return Sample(
        row=row,
        patch_id=9,
        date=20120222,
        coords=np.array([10, 20], np.float32),
        target=target,
        surface=np.stack([stored(part.quantity, depth > 0) for part in form.channels]),
        land=(depth <= 0).astype(np.uint8),
        points=points,
        observed={part.name: np.full((2, LEVELS), 290, np.float32) for part in form.fields},
        age=np.array([-2.0, 1.5], np.float32),
        info={"row of": "a table"},
    )


def augmented(rows: list[int]) -> list[Sample]:
    return [EVERYTHING(make(row, form_of()), form_of(), 3) for row in rows]
