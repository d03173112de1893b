"""Whole samples in code form, sample by sample: ``samples.zarr``, quick to read in any order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import OutputError
from oceanrecon.samples.form import CHANNELS, Dense, FieldName, Sample, SampleForm
from oceanrecon.samples.rows import Rows
from oceanrecon.samples.written_rows import REWRITE, choose, naming_rows
from oceanrecon.stores.byte_ranges import Files
from oceanrecon.stores.columns import Table
from oceanrecon.stores.files import Root
from oceanrecon.stores.sample_store import SAMPLE, Member, SampleLayout
from oceanrecon.stores.shard_reader import group_metadata, open_arrays, read_boxes, read_small
from oceanrecon.transform.encode import stretch

STORE = "samples.zarr"
#: The sides of the split, by their numbers in ``phase``; ``none``: rows that belong to none.
PHASES = ("none", "train", "val", "test", "guard")
#: Points of a chunk: the profiles of nearly every sample are in one.
_SLOTS = 1024
_UNITS = {"temperature_kelvin": "K", "salinity": "PSU", "sea_height": "m"}


def layout_of(form: SampleForm, shard_samples: int) -> SampleLayout:
    """The store of samples of a form."""
    tile, levels = form.tile, len(form.depth)
    field_dims, field_shape = ("level", "row", "column"), (levels, tile, tile)
    dtype, fill = ("float32", float("nan")) if form.encoding is None else (form.encoding, _missing(form))
    slots, slot_chunk = tile * tile, min(tile * tile, _SLOTS)
    members = [
        Member(f"y{part.suffix}", dtype, field_dims, field_shape, fill, _decoding(form, part) | {"_FillValue": fill}
               | {"long_name": f"{part.name}, dense target"})
        for part in form.fields
    ]  # fmt: skip
    channels = [{"name": part.variable, **_decoding(form, part)} for part in form.channels]
    members += [
        Member("eo", dtype, ("channel", "row", "column"), (len(channels), tile, tile), fill,
               {"long_name": "surface fields", "channels": channels, "missing": fill}),
        Member("land", "uint8", ("row", "column"), (tile, tile), 255, {"long_name": "1 on land, 0 on water"}),
        Member("points", "int32", ("slot",), (slots,), -1,
               {"long_name": "pixels with profiles, row * tile + column; -1 after the last"}, chunk=(slot_chunk,)),
        Member("age", "float32", ("slot",), (slots,), 0.0,
               {"long_name": "mean of the days of the profiles of the pixel, after the date", "units": "days"},
               chunk=(slot_chunk,)),
    ]  # fmt: skip
    members += [
        Member(f"x{part.suffix}", "float32", ("slot", "level"), (slots, levels), float("nan"),
               {"long_name": f"{part.name}, mean of the profiles of the pixel", "units": _UNITS[part.quantity]},
               chunk=(slot_chunk, levels))
        for part in form.fields
    ]  # fmt: skip
    attrs = {
        "title": "Training samples in code form",
        "scenario": form.scenario,
        "tile": tile,
        "depth_axis_m": list(form.depth),
        "surface": list(form.surface),
        "encoding": form.encoding,
        "phases": list(PHASES),
    }
    return SampleLayout(tuple(members), shard_samples, attrs)


def _missing(form: SampleForm) -> int:
    assert form.encoding is not None
    return stretch("salinity", form.encoding).nodata


def _decoding(form: SampleForm, part: Dense) -> dict[str, Any]:
    units = _UNITS[part.quantity]
    if form.encoding is None:
        return {"units": units}
    code = stretch(part.quantity, form.encoding)
    return {"units": units, "scale_factor": code.step, "add_offset": code.minimum}


def values_of(member: Member, form: SampleForm, samples: Mapping[int, Sample], size: int) -> NDArray[Any]:
    """What a member holds of some samples, by their places in a shard of ``size``: [sample, ...]."""
    fields = {f"y{part.suffix}": part.name for part in form.fields} | {
        f"x{part.suffix}": part.name for part in form.fields
    }
    shape = member.shape
    if member.dimensions[0] == "slot":  # only as many slots as any of them needs
        shape = (max((sample.points.size for sample in samples.values()), default=0), *shape[1:])
    values = np.full((size, *shape), member.fill, member.dtype)
    for place, sample in samples.items():
        if member.name == "eo":
            values[place] = sample.surface
        elif member.name == "land":
            values[place] = sample.land
        elif member.name == "points":
            values[place, : sample.points.size] = sample.points
        elif member.name == "age":
            values[place, : sample.points.size] = sample.age
        elif member.name[0] == "x":
            values[place, : sample.points.size] = sample.observed[fields[member.name]]
        else:
            values[place] = sample.target[fields[member.name]]
    return values


def tables_of(form: SampleForm, columns: Mapping[str, NDArray[Any]]) -> tuple[Table, ...]:
    """The small arrays beside the members: the depths, and what is known of each sample."""
    described = {
        "patch_id": ("int64", "number of the patch"),
        "date": ("int32", "date, YYYYMMDD"),
        "export_index": ("int64", "row of the table that it was written from"),
        "phase": ("int8", "side of the split: number in the attribute phases of the store"),
        "latitude": ("float32", "latitude of the centre"),
        "longitude": ("float32", "longitude of the centre"),
        "point_count": ("int32", "pixels with profiles; -1: the sample could not be written"),
    }
    depth = {"standard_name": "depth", "units": "m", "positive": "down"}
    return Table("depth", "level", np.array(form.depth, np.float32), depth), *(
        Table(name, SAMPLE, columns[name].astype(dtype), {"long_name": text})
        for name, (dtype, text) in described.items()
    )


class WrittenZarr:
    """Reads ``samples.zarr``; cheap to send to a worker, which opens files of its own."""

    def __init__(self, root: Root, split: str) -> None:
        """Of the samples below ``root`` on one side of the split, or ``all``.

        Raises:
            OutputError: the store is not there, or is damaged.
            ConfigError: there is no sample on that side.
        """
        self._root = root
        group = group_metadata(root, STORE, REWRITE)
        attrs = group["attributes"]
        self.form = SampleForm(
            attrs["scenario"],
            int(attrs["tile"]),
            tuple(attrs["depth_axis_m"]),
            tuple(attrs["surface"]),
            attrs["encoding"],
        )
        self._arrays = open_arrays(Files(root, REWRITE), STORE, group=group)
        small = partial(read_small, root, STORE, group=group, remedy=REWRITE)
        #: samples of a file
        self.shard_rows = self._arrays["land"].shard[0]
        count = small("point_count")
        names = np.array(attrs["phases"])[small("phase")]
        #: place in the store: [row]
        self.positions = np.flatnonzero(choose(root, split, names, count >= 0))
        self._count = count[self.positions]
        self._numbers = small("export_index")[self.positions]
        places = [small(name)[self.positions] for name in ("latitude", "longitude")]
        self._coords = np.stack(places, axis=1).astype(np.float32)
        self.rows = Rows(
            small("patch_id")[self.positions].astype(np.int64),
            small("date")[self.positions].astype(np.int32),
            self.form.tile,
        )

    def __len__(self) -> int:
        return len(self.rows)

    def samples(self, rows: Sequence[int]) -> list[Sample]:
        """Some rows; what they need is read together.

        Raises:
            OutputError: a file is not there, or is damaged; names the row, the file and the remedy.
        """
        return naming_rows(self._samples, self.rows, rows)

    def _samples(self, rows: Sequence[int]) -> list[Sample]:
        fields = self.form.fields
        whole = ["land", "eo", *(f"y{part.suffix}" for part in fields)]
        ragged = ["points", *(f"x{part.suffix}" for part in fields)]
        if "age" in self._arrays:  # which older samples do not know
            ragged.append("age")
        requests = []
        for row in rows:
            place = int(self.positions[row])
            for name in whole:
                array = self._arrays[name]
                requests.append((array, ((place, place + 1), *((0, size) for size in array.shape[1:]))))
            for name in ragged:
                array = self._arrays[name]
                slots = (0, int(self._count[row]))
                requests.append((array, ((place, place + 1), slots, *((0, size) for size in array.shape[2:]))))
        read = iter(read_boxes(requests))
        samples = []
        for row in rows:
            values = {name: next(read)[0] for name in (*whole, *ragged)}
            if not values["land"].size or (values["land"] == _NO_LAND).any():
                raise OutputError(
                    f"{self._root.url_of(STORE)}: place {self.positions[row]} holds no sample; "
                    "`oceanrecon patches write CONFIG --overwrite` makes all anew"
                )
            samples.append(
                Sample(
                    row=int(row),
                    patch_id=int(self.rows.patch_id[row]),
                    date=int(self.rows.date[row]),
                    coords=self._coords[row],
                    target=_by_field(values, self.form, "y"),
                    surface=values["eo"],
                    land=values["land"],
                    points=values["points"],
                    observed=_by_field(values, self.form, "x"),
                    age=values.get("age", np.zeros(values["points"].size, np.float32)),
                    info={"row": int(self._numbers[row])},
                )
            )
        return samples


_NO_LAND = 255


def _by_field(values: Mapping[str, NDArray[Any]], form: SampleForm, letter: str) -> dict[FieldName, NDArray[Any]]:
    return {part.name: values[f"{letter}{part.suffix}"] for part in form.fields}


assert set(_UNITS) == {part.quantity for part in CHANNELS.values()}
