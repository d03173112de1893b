"""The tiles of a canvas as patches, read in batches."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from oceanrecon.training.data.dataset import PatchDataset
from oceanrecon.training.data.decode import Decode, to_tensors
from oceanrecon.training.inference.canvas import Canvas
from oceanrecon.training.state.patches import Patches
from oceanrecon.training.state.state import PHYSICAL, State


class CanvasPatches:
    """Reads the tiles of a canvas; those that do not fit into memory are read again at each step."""

    def __init__(self, dataset: PatchDataset, state: State, canvas: Canvas, *, batch: int, keep: int) -> None:
        """Of a data set.

        Args:
            dataset: one row for each tile of the canvas, in order.
            state: what scales them, on the device where they go.
            canvas: whose tiles they are.
            batch: tiles that are worked on together.
            keep: bytes of patches that may stay in memory.
        """
        self.canvas, self.state, self.batch = canvas, state, batch
        self.device = state.get_buffer("deviation").device
        self._dataset = dataset
        self._decode = Decode(dataset.form, PHYSICAL).to(self.device)
        self._kept: dict[int, Patches] = {}
        self._room = keep
        #: surface fields that any tile has a value of: bool [S]
        self.surface_seen = torch.zeros(len(dataset.form.surface), dtype=torch.bool, device=self.device)

    def read(self, tiles: Sequence[int]) -> Patches:
        """The patches of some tiles, without a target.

        Raises:
            OceanreconError: a file is not there, or is damaged.
        """
        lacking = [tile for tile in tiles if tile not in self._kept]
        read = dict(zip(lacking, self._read(lacking), strict=True)) if lacking else {}
        found = [self._kept[tile] if tile in self._kept else read[tile] for tile in tiles]
        for tile, patch in read.items():
            size = sum(values.nbytes for values in vars(patch).values() if isinstance(values, Tensor))
            if size <= self._room:
                self._room -= size
                self._kept[tile] = patch
        return joined(found)

    def _read(self, tiles: Sequence[int]) -> list[Patches]:
        codes = to_tensors(self._dataset.codes(tiles))
        decoded = self._decode({name: values.to(self.device) for name, values in codes.items()})
        patches = self.state.patches(decoded).replace(target=None, target_mask=None)
        self.surface_seen |= patches.surface_mask.any(dim=3).any(dim=2).any(dim=0)
        return [patches.take([number]) for number in range(len(patches))]


def joined(some: Sequence[Patches]) -> Patches:
    """Patches without a target, one after the other."""
    if len(some) == 1:
        return some[0]
    names = [name for name, values in vars(some[0]).items() if values is not None]
    return Patches(**{name: torch.cat([getattr(one, name) for one in some]) for name in names})
