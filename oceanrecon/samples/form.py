"""What a sample is: its scenario, its fields, and the arrays that it travels as."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from oceanrecon.samples.rows import Rows
from oceanrecon.transform.encode import EncodingName

Scenario = Literal["temperature", "salinity", "joint"]
FieldName = Literal["temperature", "salinity"]


@dataclass(frozen=True)
class Dense:
    """A dense field: which variable of which product."""

    product: str
    variable: str
    quantity: str


@dataclass(frozen=True)
class Channel(Dense):
    """A surface field, one channel of ``eo``."""


@dataclass(frozen=True)
class Field(Dense):
    """A field with levels that is learnt: its dense target, and the profiles that see it."""

    name: FieldName
    #: short name in the gridded profile store
    profiles: str
    #: of the keys of a decoded sample: ``x``, ``x_salinity``
    suffix: str


FIELDS: Mapping[FieldName, Field] = {
    "temperature": Field("glorys", "thetao", "temperature_kelvin", "temperature", "temp", ""),
    "salinity": Field("glorys", "so", "salinity", "salinity", "psal", "_salinity"),
}
SCENARIOS: Mapping[Scenario, tuple[FieldName, ...]] = {
    "temperature": ("temperature",),
    "salinity": ("salinity",),
    "joint": ("temperature", "salinity"),
}
#: In the order of the channels.
CHANNELS: Mapping[str, Channel] = {
    "analysed_sst": Channel("ostia", "analysed_sst", "temperature_kelvin"),
    "sos": Channel("sss", "sos", "salinity"),
    "adt": Channel("sealevel", "adt", "sea_height"),
}


@dataclass(frozen=True)
class SampleForm:
    """What all samples of a source have in common, and all that is needed to decode them."""

    scenario: Scenario
    #: side of a patch, pixels
    tile: int
    #: m, downwards
    depth: tuple[float, ...]
    #: names of ``CHANNELS``, in order
    surface: tuple[str, ...]
    #: of the codes; ``None``: values in K, PSU and m, NaN where missing
    encoding: EncodingName | None

    @property
    def fields(self) -> tuple[Field, ...]:
        """The fields of the scenario."""
        return tuple(FIELDS[name] for name in SCENARIOS[self.scenario])

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The surface channels."""
        return tuple(CHANNELS[name] for name in self.surface)

    @property
    def variables(self) -> tuple[Dense, ...]:
        """Everything dense, fields before channels."""
        return (*self.fields, *self.channels)


@dataclass(frozen=True, eq=False)
class Sample:
    """One patch at one date, as it is read: codes (or float values), and profiles as the pixels that they are in.

    Row 0 is north, column 0 is west.
    """

    #: of the source's rows
    row: int
    patch_id: int
    #: YYYYMMDD
    date: int
    #: latitude and longitude of the centre, degrees: [2]
    coords: NDArray[np.float32]
    #: by field: [level, row, column], codes or values
    target: Mapping[FieldName, NDArray[Any]]
    #: [channel, row, column], codes or values
    surface: NDArray[Any]
    #: 1 on land, 0 on water: [row, column]
    land: NDArray[np.uint8]
    #: pixels with profiles, ``row * tile + column``, ascending: [point]
    points: NDArray[np.int32]
    #: by field: the mean of the profiles of each of these, K and PSU, NaN where there is none: [point, level]
    observed: Mapping[FieldName, NDArray[np.float32]]
    #: mean of the days of the profiles of each of these, counted from ``date``; 0 where no one knows: [point]
    age: NDArray[np.float32]
    #: what else is known, such as the row of a table
    info: Mapping[str, Any] = field(default_factory=dict)


class Source(Protocol):
    """Where samples come from; small enough to be sent to the workers of a loader, which open files of their own."""

    @property
    def form(self) -> SampleForm:
        """What all samples have in common."""
        ...

    @property
    def rows(self) -> Rows:
        """Which patches at which dates."""
        ...

    def samples(self, rows: Sequence[int]) -> list[Sample]:
        """Some rows; what they need is read together.

        Raises:
            OceanreconError: a file is not there, or is damaged; names the row, the file and the remedy.
        """
        ...


Batch = dict[str, NDArray[Any]]


def collate(
    samples: Sequence[Sample], fields: Sequence[Field], empty: Callable[[tuple[int, ...], Any], NDArray[Any]] = np.empty
) -> Batch:
    """Samples side by side, in code form.

    ``row``, ``patch_id``, ``date``: [sample]; ``coords``: [sample, 2]; ``land``: [sample, row, column]; ``eo``:
    [sample, channel, row, column]; per field ``y``, ``y_salinity``: [sample, level, row, column]. The profiles of all
    samples follow each other: ``points``, pixels counted from the first of the first sample, [point]; ``age``:
    [point] float32; ``x``, ``x_salinity``: [point, level] float32. ``empty`` makes the large arrays, of a shape and
    type.
    """

    def stack(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        dtype = np.result_type(*parts)
        return np.stack(parts, out=empty((len(parts), *parts[0].shape), dtype))

    area = samples[0].land.size
    batch: Batch = {
        "row": np.array([sample.row for sample in samples], np.int64),
        "patch_id": np.array([sample.patch_id for sample in samples], np.int64),
        "date": np.array([sample.date for sample in samples], np.int64),
        "coords": np.stack([sample.coords for sample in samples]),
        "land": stack([sample.land for sample in samples]),
        "eo": stack([sample.surface for sample in samples]),
        "points": np.concatenate(
            [sample.points.astype(np.int64) + number * area for number, sample in enumerate(samples)]
        ),
        "age": np.concatenate([sample.age for sample in samples]),
    }
    for part in fields:
        batch[f"y{part.suffix}"] = stack([sample.target[part.name] for sample in samples])
        batch[f"x{part.suffix}"] = np.concatenate([sample.observed[part.name] for sample in samples])
    return batch
