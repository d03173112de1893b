"""Patches as models see them: scaled anomalies of observations, surface fields and target, side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Patches:
    """Some patches, on one device.

    ``B`` patches of ``C`` channels (levels of temperature, then of salinity, those that the scenario has) and ``S``
    surface fields on ``H x W`` pixels; row 0 is north, column 0 is west. Values are scaled anomalies: what
    ``State`` makes of K, PSU and m; 0 where there is none.
    """

    #: proleptic ordinals of the dates (1 is 0001-01-01): int64 [B]
    day: Tensor
    #: of pixel centres, degrees: [B, H]
    latitude: Tensor
    #: of pixel centres, degrees: [B, W]
    longitude: Tensor
    #: of the grid of the statistics: int64 [B, H]
    row: Tensor
    #: of the same, 0 to its width: int64 [B, W]
    column: Tensor
    #: of profiles: [B, C, H, W]
    observed: Tensor
    #: where there is one: bool [B, C, H, W]
    observed_mask: Tensor
    #: days from the date to that of the profile: [B, 1, H, W]
    age: Tensor
    #: [B, S, H, W]
    surface: Tensor
    #: bool [B, S, H, W]
    surface_mask: Tensor
    #: levels above the sea floor: bool [B, C, H, W]
    wet: Tensor
    #: dense target: [B, C, H, W]
    target: Tensor | None = None
    #: bool [B, C, H, W]
    target_mask: Tensor | None = None
    #: columns of the grid of the statistics, where it goes around the globe: int64 [B]
    around: Tensor | None = None

    def __len__(self) -> int:
        return len(self.day)

    @property
    def device(self) -> torch.device:
        """Where they are."""
        return self.observed.device

    def replace(self, **changes: Tensor | None) -> Patches:
        """The same, with other tensors in places."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def take(self, rows: Sequence[int]) -> Patches:
        """Some of them, in this order; a row may be there more than once."""
        index = torch.tensor(rows, device=self.device)
        changes = {
            field.name: values[index]
            for field in dataclasses.fields(self)
            if (values := getattr(self, field.name)) is not None
        }
        return dataclasses.replace(self, **changes)

    def repeated(self, times: int) -> Patches:
        """Each as often as that, one after the other: [B * times, ...]."""
        return self.take([row for row in range(len(self)) for _ in range(times)])
