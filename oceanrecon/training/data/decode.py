"""From code form to what a model gets: decoding, normalisation and masks, on whatever device the batch is.

Codes are an eighth to a quarter of the bytes of float fields and masks: they travel, and become these where they
arrive.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from oceanrecon.samples.form import Batch, SampleForm
from oceanrecon.transform.encode import stretch
from oceanrecon.transform.normalise import PUBLISHED, Normalisation

Tensors = dict[str, Tensor]


def to_tensors(batch: Batch) -> Tensors:
    """A batch of arrays as tensors that share their memory."""
    return {name: torch.from_numpy(np.ascontiguousarray(values)) for name, values in batch.items()}


class Decode(nn.Module):
    """Decodes and normalises batches in code form (``samples.form.collate``).

    Out come, all float32 unless said otherwise, for ``B`` samples of ``L`` levels on ``H x W`` pixels:

    * ``x``, ``y`` [B, L, H, W]: profiles and dense target, normalised, 0 where missing; and ``x_salinity``,
      ``y_salinity`` where the scenario has salinity;
    * ``x_age`` [B, 1, H, W]: mean of the days of the profiles in the pixel, after the date; 0 where there is none;
    * ``x_valid_mask``, ``y_valid_mask`` bool [B, L, H, W]; ``x_valid_mask_1d`` bool [B, 1, H, W]: any level;
      ``y_supervision_weight`` [B, L, H, W]: the mask of ``y`` as numbers; with ``x_salinity_valid_mask`` and so on;
    * ``eo`` [B, C, H, W]: the surface fields, normalised, 0 where missing; ``eo_valid_mask`` bool;
    * ``land_mask`` [B, 1, H, W]: 1 in the ocean, where the target has any level (of a patch without a target: where
      any surface field has a value, or else where the land mask has water);
    * ``coords`` [B, 2]: latitude and longitude of the centre; ``date`` int64 [B], YYYYMMDD; ``row``, ``patch_id``.
    """

    def __init__(self, form: SampleForm, normalisation: Mapping[str, Normalisation] = PUBLISHED) -> None:
        """Of samples of a form; ``normalisation`` by quantity."""
        super().__init__()
        self.form = form
        self._normalisation = {part.quantity: normalisation[part.quantity] for part in form.variables}
        values = [self._normalisation[part.quantity].of_values() for part in form.channels]
        codes = values
        if form.encoding is not None:
            codes = [
                self._normalisation[part.quantity].of_codes(part.quantity, form.encoding) for part in form.channels
            ]
        for name, pairs in (("_code", codes), ("_value", values)):
            table = torch.tensor(pairs, dtype=torch.float64).float()
            self.register_buffer(f"{name}_offset", table[:, 0].reshape(1, -1, 1, 1), persistent=False)
            self.register_buffer(f"{name}_factor", table[:, 1].reshape(1, -1, 1, 1), persistent=False)

    def forward(self, batch: Tensors) -> Tensors:
        """Decode a batch; see the class."""
        decoded: Tensors = {name: batch[name] for name in ("row", "patch_id", "date", "coords")}
        eo = batch["eo"]
        coded = not eo.is_floating_point()
        which = "code" if coded else "value"
        decoded["eo"], decoded["eo_valid_mask"] = self._scaled(
            eo, self.get_buffer(f"_{which}_offset"), self.get_buffer(f"_{which}_factor")
        )
        decoded["x_age"] = _placed(batch["points"], batch["age"][:, None], batch["land"].shape)
        wet = None
        for field in self.form.fields:
            normalisation = self._normalisation[field.quantity]
            y = batch[f"y{field.suffix}"]
            if y.is_floating_point() or self.form.encoding is None:
                offset, factor = normalisation.of_values()
            else:
                offset, factor = normalisation.of_codes(field.quantity, self.form.encoding)
            decoded[f"y{field.suffix}"], valid = self._scaled(y, offset, factor)
            decoded[f"y{field.suffix}_valid_mask"] = valid
            decoded[f"y{field.suffix}_supervision_weight"] = valid.float()
            some = valid.any(dim=1, keepdim=True)
            wet = some if wet is None else wet | some
            decoded |= self._scattered(batch, field.suffix, normalisation, valid.shape)
        decoded["land_mask"] = _ocean(wet, decoded["eo_valid_mask"], batch["land"])
        return decoded

    def _scaled(self, stored: Tensor, offset: Tensor | float, factor: Tensor | float) -> tuple[Tensor, Tensor]:
        """Values and where they are: float32, 0 elsewhere."""
        if stored.is_floating_point():
            valid = torch.isfinite(stored)
        else:
            assert self.form.encoding is not None
            valid = stored != stretch("salinity", self.form.encoding).nodata
        # in place: on a CPU, fresh memory costs more than the arithmetic
        values = stored.to(torch.float32, copy=True).mul_(factor).add_(offset)
        return values.masked_fill_(~valid, 0.0), valid

    def _scattered(self, batch: Tensors, suffix: str, normalisation: Normalisation, shape: torch.Size) -> Tensors:
        """Profiles as rasters."""
        samples, _, height, width = shape
        values = batch[f"x{suffix}"]
        valid = torch.isfinite(values)
        offset, factor = normalisation.of_values()
        normalised = torch.where(valid, values * factor + offset, 0.0)
        pixels = torch.Size((samples, height, width))
        mask = _placed(batch["points"], valid, pixels)
        return {
            f"x{suffix}": _placed(batch["points"], normalised, pixels),
            f"x{suffix}_valid_mask": mask,
            f"x{suffix}_valid_mask_1d": mask.any(dim=1, keepdim=True),
        }


def _placed(points: Tensor, values: Tensor, shape: torch.Size) -> Tensor:
    """What is known of pixels, [point, channel], as rasters: [sample, channel, row, column], 0 elsewhere."""
    samples, height, width = shape
    sample = torch.div(points, height * width, rounding_mode="floor")
    placed = values.new_zeros((samples, values.shape[1], height * width))
    placed[sample, :, points - sample * (height * width)] = values
    return placed.reshape(samples, -1, height, width)


def _ocean(wet: Tensor | None, surface: Tensor, land: Tensor) -> Tensor:
    """1 in the ocean: [sample, 1, row, column]."""
    assert wet is not None  # every scenario has a field
    seen = surface.any(dim=1, keepdim=True)
    water = (land == 0).unsqueeze(1)

    def none(mask: Tensor) -> Tensor:
        return ~mask.flatten(1).any(dim=1).reshape(-1, 1, 1, 1)

    fallback = torch.where(none(seen), water, seen)
    return torch.where(none(wet), fallback, wet).float()
