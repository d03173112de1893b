"""The rows of a data set: which patch at which date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.grid import PatchGrid


@dataclass(frozen=True, eq=False)
class Rows:
    """Patch-dates, in the order of their table; arrays only, so that millions are quick to send to a worker."""

    #: [row]
    patch_id: NDArray[np.int64]
    #: YYYYMMDD: [row]
    date: NDArray[np.int32]
    #: side of a patch, pixels
    tile: int

    def __len__(self) -> int:
        return self.patch_id.size

    def name(self, row: int) -> str:
        """``row 12 (patch 345, 20120307)``, for messages."""
        return f"row {row} (patch {self.patch_id[row]}, {self.date[row]})"


def every_row(patches: PatchGrid, dates: Sequence[int], keep: NDArray[np.bool_] | None = None) -> Rows:
    """Every patch (of those to ``keep``: [tile]) at every date (YYYYMMDD), date by date.

    Raises:
        ConfigError: there is none.
    """
    ids = patches.ids if keep is None else patches.ids[keep]
    if not ids.size or not dates:
        raise ConfigError(f"{ids.size} patches at {len(dates)} dates make no row: give at least one of both")
    return Rows(np.tile(ids, len(dates)), np.repeat(np.array(dates, np.int32), ids.size), patches.tile)
