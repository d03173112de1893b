"""The patches that a training reads: of an export or of the archives, by the sides of the index and of the floats."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from oceanrecon.grid import RasterGrid
from oceanrecon.patch_config import FloatSettings
from oceanrecon.samples.form import Sample, SampleForm, Source
from oceanrecon.samples.index import Index, SplitName, read_index
from oceanrecon.samples.withheld import FloatSplit
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import read_manifest, surface_window
from oceanrecon.train_config import DataSettings, ScenarioName
from oceanrecon.training.data.dataset import PatchDataset
from oceanrecon.training.data.datasets import ArchivePatches, ExportPatches
from oceanrecon.training.data.decode import Decode, Tensors, to_tensors
from oceanrecon.training.state.patches import Patches
from oceanrecon.training.state.state import PHYSICAL, State

#: Which floats a model is given on each side of the split: it is scored on those that it is not.
GIVEN = {"train": ("train",), "val": ("train",), "test": ("train", "val")}


class Data:
    """What the settings name; nothing is read before it is asked for."""

    def __init__(self, settings: DataSettings, scenario: ScenarioName) -> None:
        """Of the settings of a training."""
        self.settings, self.scenario = settings, scenario

    @cached_property
    def index(self) -> Index:
        """The patch index."""
        return read_index(self.settings.index)

    @property
    def grid(self) -> RasterGrid:
        """Of the patches."""
        return self.index.patches.grid

    @property
    def days(self) -> int:
        """Odd number of days around a date."""
        return self.index.window(self.settings.days)

    @property
    def surface_days(self) -> int:
        """Odd number of days that surface fields are means over: those of the export, if they are of one."""
        return self.days if self.settings.export is None else surface_window(read_manifest(Root(self.settings.export)))

    @property
    def quality(self) -> tuple[int, ...]:
        """Flags of levels that count, besides levels without one."""
        return self.index.quality

    def patches(
        self, split: SplitName, *, profiles_only: bool = False, target: bool = True,
        quality: Collection[int] | None = None,
    ) -> PatchDataset:  # fmt: skip
        """The rows of a side.

        Args:
            split: which.
            profiles_only: rows that have a profile.
            target: with the dense target; else neither export nor archives need a reanalysis.
            quality: flags of levels that count; default: those of the index.

        Raises:
            ConfigError: see ``ExportPatches`` and ``ArchivePatches``.
        """
        chosen = {
            "split": split, "scenario": self.scenario, "surface": self.settings.surface, "days": self.settings.days,
            "floats": float_split(self.settings.floats), "sides": GIVEN[split], "require_profiles": profiles_only,
            "target": target, "quality": quality,
        }  # fmt: skip
        if self.settings.export is None:
            return ArchivePatches(self.settings.index, **chosen)  # type: ignore[arg-type]
        return ExportPatches(self.settings.export, self.settings.index, **chosen)  # type: ignore[arg-type]


def float_split(settings: FloatSettings) -> FloatSplit:
    """Which floats are withheld."""
    return FloatSplit(settings.seed, settings.val, settings.test)


class Selected:
    """Some rows of a source, as a source."""

    def __init__(self, source: Source, chosen: NDArray[np.int64]) -> None:
        """Of a source and which of its rows."""
        self._source, self._chosen = source, chosen
        rows = source.rows
        self.rows = replace(rows, patch_id=rows.patch_id[chosen], date=rows.date[chosen])

    @property
    def form(self) -> SampleForm:
        """Of the source."""
        return self._source.form

    def samples(self, rows: Sequence[int]) -> list[Sample]:
        """See ``samples.form.Source``."""
        return self._source.samples([int(self._chosen[row]) for row in rows])


def spread(dataset: PatchDataset, most: int) -> PatchDataset:
    """At most so many rows of a data set, evenly through all of them."""
    if len(dataset) <= most:
        return dataset
    return PatchDataset(Selected(dataset.source, np.linspace(0, len(dataset) - 1, most).round().astype(np.int64)))


def decoded(dataset: PatchDataset, state: State, size: int, device: torch.device) -> Iterator[tuple[Tensors, Patches]]:
    """The rows of a data set in order, in batches on a device: what ``Decode`` gives, and what models look at."""
    decode = Decode(dataset.form, PHYSICAL).to(device)
    for first in range(0, len(dataset), size):
        codes = to_tensors(dataset.codes(range(first, min(first + size, len(dataset)))))
        batch = decode({name: values.to(device) for name, values in codes.items()})
        yield batch, state.patches(batch)
