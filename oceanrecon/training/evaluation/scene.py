"""One row of an evaluation: what is true there, and what every model makes of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oceanrecon.samples.form import FIELDS, FieldName
from oceanrecon.training.data.decode import Tensors
from oceanrecon.training.evaluation.contenders import Contender
from oceanrecon.training.evaluation.floats import FloatTruth, Withheld
from oceanrecon.training.evaluation.groups import nearest_km
from oceanrecon.training.state.state import State

#: Fewer values tell no deviation.
_FEW = 20


@dataclass(frozen=True, eq=False)
class Scene:
    """A patch at a date; tensors are K and PSU, on one device."""

    #: of the chosen rows
    row: int
    patch_id: int
    date: dt.date
    #: of pixel centres, degrees: [H], [W]
    latitude: NDArray[np.float64]
    longitude: NDArray[np.float64]
    #: dense target, anything where not known: [C, H, W]
    target: Tensor
    #: levels above the sea floor whose target is known: bool [C, H, W]
    known: Tensor
    #: [C, H, W]
    climatology: Tensor
    #: pixels with a profile among the inputs: [H, W]
    seen: NDArray[np.bool_]
    #: by model: [C, H, W]
    means: Mapping[str, Tensor]
    #: by model: [M, C, H, W]
    members: Mapping[str, Tensor]
    withheld: Withheld

    def places(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
        """Latitude and longitude of pixels."""
        return self.latitude[rows], self.longitude[columns]

    def distance(self, latitude: NDArray[np.floating], longitude: NDArray[np.floating]) -> NDArray[np.float64]:
        """From places to the nearest profile among the inputs of the first model in this patch, km."""
        return nearest_km(latitude, longitude, *self.places(*np.nonzero(self.seen)))


def scenes(
    models: Sequence[Contender],
    reference: State,
    fields: Sequence[FieldName],
    floats: FloatTruth,
    members: int,
    seed: int,
) -> Iterator[Scene]:
    """Row by row.

    Args:
        models: the first one's inputs are looked at, and its target is the truth.
        reference: of the first model's statistics: what an anomaly is.
        fields: that are scored.
        floats: of these rows; told of the inputs.
        members: of each ensemble.
        seed: of the members.
    """
    first_row = 0
    channels = models[0].channels(fields)
    for made in zip(*(model.estimated(fields, members, seed) for model in models), strict=True):
        first = made[0]
        patches, wet = first.patches, first.patches.wet[:, channels]
        climatology = reference.values(torch.zeros_like(patches.observed), patches)[:, channels]
        target, known = (_stacked(first.batch, f"y{{}}{end}", fields) for end in ("", "_valid_mask"))
        inputs, given = (_stacked(first.batch, f"x{{}}{end}", fields) for end in ("", "_valid_mask"))
        for at in range(len(patches)):
            row = first_row + at
            floats.check(row, inputs[at].cpu().numpy(), given[at].cpu().numpy())
            yield Scene(
                row=row,
                patch_id=int(first.batch["patch_id"][at]),
                date=dt.date.fromordinal(int(patches.day[at])),
                latitude=patches.latitude[at].double().cpu().numpy(),
                longitude=patches.longitude[at].double().cpu().numpy(),
                target=target[at],
                known=known[at] & wet[at],
                climatology=climatology[at],
                seen=given[at].any(dim=0).cpu().numpy(),
                means={model.name: one.mean[at] for model, one in zip(models, made, strict=True)},
                members={model.name: one.members[at] for model, one in zip(models, made, strict=True)},
                withheld=floats.withheld[row],
            )
        first_row += len(patches)


def observation_error(model: Contender, reference: State, fields: Sequence[FieldName]) -> Tensor:
    """Deviation of a float's values from what a pixel has, K and PSU: [C].

    Two numbers are too large for it, and the smaller one is taken, level by level: what anomalies of profiles do not
    share with their neighbours, which is also of eddies that no profile sees twice; and how far the floats that models
    are given are from the dense target in their pixels, which is also of the target's own errors.

    Args:
        model: whose inputs and target are looked at.
        reference: of its statistics.
        fields: that are scored.
    """
    channels = model.channels(fields)
    deviation = reference.get_buffer("deviation")[channels]
    alone = torch.cat([torch.from_numpy(one.noise) for one in reference.covariances()])[channels].to(deviation)
    squares, count = torch.zeros(2, len(channels), dtype=torch.float64, device=deviation.device)
    for batch in model.inputs():
        observed, target = (_stacked(batch, f"{name}{{}}", fields) for name in "xy")
        both = _stacked(batch, "x{}_valid_mask", fields) & _stacked(batch, "y{}_valid_mask", fields)
        squares += ((observed - target).double().square() * both).sum(dim=(0, 2, 3))
        count += both.sum(dim=(0, 2, 3))
    apart = torch.where(count >= _FEW, (squares / count.clamp(min=1)).sqrt(), torch.inf).to(deviation)
    return torch.minimum(alone.sqrt() * deviation, apart)


def _stacked(batch: Tensors, key: str, fields: Sequence[FieldName]) -> Tensor:
    """Of what was decoded: [B, C, H, W]."""
    return torch.cat([batch[key.format(FIELDS[name].suffix)] for name in fields], dim=1)
