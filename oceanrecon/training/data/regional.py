"""Patches of a regional dataset as a torch data set: boxes of some days of many sources, with their masks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from oceanrecon.errors import ConfigError, OceanreconError
from oceanrecon.samples.regional.query import RegionalQuery, open_taco, variable
from oceanrecon.samples.regional.read import Patch, Reading, read_patches
from oceanrecon.samples.regional.statistics import VariableStatistics, normalised

_NAN = float("nan")
_EPOCH = np.datetime64("1970-01-01", "us")


class RegionalDataset(Dataset[dict[str, Any]]):
    """Samples of a dataset of ``oceanrecon taco build``, one for each query.

    A sample is ``{"inputs": {token: {"data", "lats", "lons", "mask"}}, "targets": the same, "coords": {"lats",
    "lons"}, "metadata": {"bbox", "time_range", "n_files"}}``. ``mask`` says where ``data`` has a value: elsewhere it is
    NaN, or what ``reading.fill`` says. Points (``argo``) have ``times`` (seconds since 1970) and ``pressure`` (dbar)
    beside. ``coords`` are those of the pixels, empty where each source has its own. A variable that is not there has
    a patch of the same shape without a valid value.
    """

    def __init__(
        self,
        url: str,
        queries: Sequence[RegionalQuery],
        inputs: Sequence[str],
        targets: Sequence[str] = (),
        *,
        reading: Reading | None = None,
        statistics: Mapping[str, VariableStatistics] | None = None,
    ) -> None:
        """Of a dataset.

        Args:
            url: folder, file ``*.tacozip``, or URL.
            queries: boxes and days, such as ``samples.regional.draw`` makes.
            inputs: tokens of ``samples.regional.query.VARIABLES``, or ``source:variable``.
            targets: likewise.
            reading: pixels, aggregation over the days, and what stands where there is no value; by default 128 x 128
                pixels and the mean.
            statistics: by token: values are given less the mean, in deviations. The fill is not.

        Raises:
            OutputError: there is no dataset, or it is damaged.
            ConfigError: there is no such variable, no statistics of one, or no query.
        """
        self._tokens = tuple(dict.fromkeys((*inputs, *targets)))
        for token in self._tokens:
            variable(token)
            if statistics is not None and token not in statistics:
                raise ConfigError(
                    f"there are no statistics of {token}, but of {', '.join(statistics)}: find them first"
                )
        if not queries:
            raise ConfigError("there is no query: `samples.regional.draw.training_queries` makes some")
        self.queries = tuple(queries)
        self.inputs, self.targets = tuple(inputs), tuple(targets)
        self.reading = reading or Reading(shape=(128, 128))
        self._statistics = statistics
        self._dataset = open_taco(url)
        self._process = os.getpid()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_process"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._process = os.getpid()

    def __len__(self) -> int:
        return len(self.queries)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if os.getpid() != self._process and "://" in self._dataset.url:
            raise OceanreconError(
                f"this data set of {self._dataset.url} was opened in process {self._process} and is used in a fork of "
                "it, where connections do not work: give the DataLoader multiprocessing_context='spawn'"
            )
        if not -len(self) <= index < len(self):
            raise IndexError(f"query {index} of {len(self)}")
        query = self.queries[index]
        patches, opened = read_patches(self._dataset, query, self._tokens, self.reading)
        items = {token: self._item(token, patch) for token, patch in patches.items()}
        grid = self.reading.grid(query.box)
        axes = (np.zeros(0), np.zeros(0)) if grid is None else (grid.latitude, grid.longitude)
        return {
            "inputs": {token: items[token] for token in self.inputs},
            "targets": {token: items[token] for token in self.targets},
            "coords": {"lats": torch.from_numpy(axes[0]), "lons": torch.from_numpy(axes[1])},
            "metadata": {
                "bbox": query.box,
                "time_range": (query.start.isoformat(), query.end.isoformat()),
                "n_files": opened,
            },
        }

    def _item(self, token: str, patch: Patch) -> dict[str, Tensor]:
        data = patch.data
        if self._statistics is not None:
            scaled = normalised(data, self._statistics[token])
            data = np.where(patch.mask, scaled, np.float32(self.reading.fill)).astype(np.float32)
        item = {"data": data, "lats": patch.lats, "lons": patch.lons, "mask": patch.mask}
        if patch.times is not None:
            item["times"] = _seconds(patch.times)
            nothing = np.full(data.shape, np.nan, np.float32)
            item["pressure"] = nothing if patch.pressure is None else patch.pressure
        return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in item.items()}


def collate_regional(samples: Sequence[Mapping[str, Any]], fill: float = float("nan")) -> dict[str, Any]:
    """Samples side by side: sample ``i`` of each variable is sample ``i`` of the batch.

    Patches of several sizes are widened to the largest, towards the north and the east: what is added has the mask
    false, the fill as data, and NaN as coordinates. Metadata become lists.
    """
    batch: dict[str, Any] = {}
    for part in ("inputs", "targets"):
        batch[part] = {
            token: {
                name: _side_by_side([sample[part][token][name] for sample in samples], fill if name == "data" else _NAN)
                for name in item
            }
            for token, item in samples[0][part].items()
        }
    coords, facts = samples[0]["coords"], samples[0]["metadata"]
    batch["coords"] = {name: _side_by_side([sample["coords"][name] for sample in samples], _NAN) for name in coords}
    batch["metadata"] = {name: [sample["metadata"][name] for sample in samples] for name in facts}
    return batch


def _side_by_side(parts: Sequence[Tensor], fill: float) -> Tensor:
    """Along a new first dimension, each as large as the largest."""
    shape = [max(part.shape[axis] for part in parts) for axis in range(parts[0].ndim)]
    nothing: Any = False if parts[0].dtype == torch.bool else fill
    whole = torch.full((len(parts), *shape), nothing, dtype=parts[0].dtype)
    for number, part in enumerate(parts):
        whole[number][tuple(slice(size) for size in part.shape)] = part
    return whole


def _seconds(times: NDArray[np.datetime64]) -> NDArray[np.float64]:
    """Since 1970, NaN where not known."""
    return np.where(np.isnat(times), np.nan, (times - _EPOCH).astype(np.int64) / 1e6)
