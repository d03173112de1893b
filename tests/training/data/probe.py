"""What the tests of loaders share, importable in their workers."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.samples.form import Batch
from oceanrecon.samples.rows import Rows, every_row
from oceanrecon.training.data import ExportPatches
from oceanrecon.training.data.dataset import PatchDataset, Place

DATES = (20120222, 20120229, 20120307)
#: 3 degree cells: 120 columns, 60 rows; 24 tiles of 10
PATCHES = PatchGrid(RasterGrid.from_bounds(3.0, (-180, -90, 180, 90)), 10, 20, "regular")


def rows() -> Rows:
    """54 rows: three dates of 18 patches."""
    return every_row(PATCHES, DATES)


def patches(export: Path, **more: Any) -> ExportPatches:
    return ExportPatches(str(export), rows=rows(), **more)


class Loaded(PatchDataset):
    """Of any source; its batches name the modules that the process which read them has loaded."""

    def codes(
        self,
        indices: Sequence[SupportsIndex | Place],
        empty: Callable[[tuple[int, ...], Any], NDArray[Any]] = np.empty,
    ) -> Batch:
        assert super().codes(indices, empty)
        return {"modules": np.frombuffer(",".join(sys.modules).encode(), np.uint8).copy()}


class PageFaults:
    """In place of a data set: how often the system had to give a worker a page while it took and left 50 MB."""

    def codes(self, places: Any, empty: Any = None) -> Batch:
        """One number, after buffers of 1 MB one after another, as those of chunks are."""
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(50):
            np.ones(1 << 20, np.uint8)
        return {"faults": np.array([resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before])}
