"""Samples made harder, or just different: simulated observations, worse surface fields, turned patches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.samples.form import Dense, FieldName, Sample, SampleForm
from oceanrecon.transform.degrade import Degradation
from oceanrecon.transform.encode import stretch
from oceanrecon.transform.simulate import Simulation
from oceanrecon.transform.streams import stream
from oceanrecon.transform.turn import TURNS, turn, turn_pixels

_Stream = Callable[[str], np.random.Generator]


@dataclass(frozen=True)
class Augment:
    """What is done to each sample; the same for the same seed, epoch and row, whoever asks and whatever else is done.

    Raises:
        ConfigError: the seed is impossible.
    """

    seed: int
    #: replaces the profiles by values of the dense target
    simulation: Simulation | None = None
    #: of surface fields, which become values in K, PSU and m
    degradation: Degradation | None = None
    #: one of the eight turns and mirrors of the square
    turn: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**64:
            raise ConfigError(f"seed={self.seed} is no seed: give a whole number from 0 to 2^64 - 1")

    def check(self, form: SampleForm) -> None:
        """Whether it can be done to samples of a form.

        Raises:
            ConfigError: a surface field that is to be degraded is not among them.
        """
        if self.degradation is not None:
            unknown = [name for name in self.degradation.channels if name not in form.surface]
            if unknown:
                raise ConfigError(f"{unknown} cannot be degraded: the samples have {', '.join(form.surface)}")

    def __call__(self, sample: Sample, form: SampleForm, epoch: int) -> Sample:
        """A new sample; the one given stays as it is, and lends the arrays that do not change.

        What was done is in ``info["augmented"]``: the epoch, how many pixels were observed, the shifts (K) and the
        missing ones of the surface fields, and the number of the turn.

        Raises:
            ConfigError: see ``check``.
        """
        self.check(form)
        random = partial(stream, self.seed, epoch, sample.row)
        notes: dict[str, Any] = {"epoch": epoch}
        augmented = replace(sample, info={**sample.info, "augmented": notes})
        if self.simulation is not None:
            augmented = _simulated(augmented, form, self.simulation, random("simulation"))
            notes["observed"] = augmented.points.size
        if self.degradation is not None:
            augmented = _degraded(augmented, form, self.degradation, random, notes)
        if self.turn:
            notes["turn"] = int(random("turn").integers(TURNS))
            augmented = _turned(augmented, form, notes["turn"])
        return augmented


def _simulated(sample: Sample, form: SampleForm, simulation: Simulation, generator: np.random.Generator) -> Sample:
    """With values of the target instead of profiles."""
    targets = [sample.target[field.name] for field in form.fields]
    seen = None
    if simulation.per_depth:
        valid = np.logical_or.reduce([_valid(values, form) for values in targets])
        seen = np.zeros((valid.shape[0], sample.land.size), bool)
        for level, ocean in enumerate(valid):
            seen[level, simulation.pixels(ocean, generator)] = True
        points = np.flatnonzero(seen.any(axis=0)).astype(np.int32)
    else:
        points = simulation.pixels(np.logical_or.reduce([_wet(values, form) for values in targets]), generator)
    observed: dict[FieldName, NDArray[np.float32]] = {}
    for field, values in zip(form.fields, targets, strict=True):
        columns = np.take(values.reshape(values.shape[0], -1), points, axis=1)
        decoded = _decoded(np.ascontiguousarray(columns.T), field, form)
        if seen is not None:
            decoded[~seen[:, points].T] = np.nan
        observed[field.name] = decoded
    return replace(sample, points=points, observed=observed, age=np.zeros(points.size, np.float32))


def _degraded(
    sample: Sample, form: SampleForm, degradation: Degradation, random: _Stream, notes: dict[str, Any]
) -> Sample:
    """With worse surface fields; all of them as values, for they travel in one array."""
    surface = np.empty(sample.surface.shape, np.float32)
    notes |= {"offset": {}, "dropped": []}
    for at, (name, channel) in enumerate(zip(form.surface, form.channels, strict=True)):
        surface[at] = _decoded(sample.surface[at], channel, form)
        if name in degradation.channels:
            done = degradation.degrade(surface[at], channel.quantity, partial(_of_channel, random, name))
            surface[at] = done.values
            notes["offset"][name] = done.offset
            notes["dropped"] += [name] if done.dropped else []
    return replace(sample, surface=surface)


def _of_channel(random: _Stream, name: str, purpose: str) -> np.random.Generator:
    return random(f"{purpose} {name}")


def _turned(sample: Sample, form: SampleForm, how: int) -> Sample:
    """With every field turned alike."""
    points = turn_pixels(sample.points, how, form.tile)
    order = np.argsort(points)
    return replace(
        sample,
        target={name: np.ascontiguousarray(turn(values, how)) for name, values in sample.target.items()},
        surface=np.ascontiguousarray(turn(sample.surface, how)),
        land=np.ascontiguousarray(turn(sample.land, how)),
        points=points[order],
        observed={name: values[order] for name, values in sample.observed.items()},
        age=sample.age[order],
    )


def _missing(form: SampleForm) -> int:
    """The code that means missing; the same for all quantities."""
    assert form.encoding is not None  # these are codes
    return stretch("salinity", form.encoding).nodata


def _valid(values: NDArray[Any], form: SampleForm) -> NDArray[np.bool_]:
    """Where there is a value: the shape given."""
    valid: NDArray[np.bool_] = np.isfinite(values) if values.dtype.kind == "f" else values != _missing(form)
    return valid


def _wet(values: NDArray[Any], form: SampleForm) -> NDArray[np.bool_]:
    """Where there is a value on any level: [row, column] of [level, row, column]."""
    if values.dtype.kind == "f":
        wet: NDArray[np.bool_] = np.logical_or.reduce(_valid(values, form), axis=0)
        return wet
    # the code that means missing is the largest
    return _valid(values.min(axis=0), form)


def _decoded(stored: NDArray[Any], part: Dense, form: SampleForm) -> NDArray[np.float32]:
    """Values of codes, or the values that they are: NaN where missing, in the shape given."""
    if stored.dtype.kind == "f":
        return stored.astype(np.float32, copy=False)
    assert form.encoding is not None  # these are codes
    return stretch(part.quantity, form.encoding).decode(stored)
