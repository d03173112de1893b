"""A regularly spaced coordinate axis, recovered from the rounded values that product files carry."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Largest distance of a value from the regular axis, as a part of the spacing. Real files are within 0.001
#: (float32 at 0.05 degrees, or coordinates rounded to four decimals on 1/24 degree).
IRREGULARITY = 0.02
#: Origins lie on a multiple of this part of the spacing (half cells, and blocks of two or four cells).
_SNAP_PART = 1 / 8
_SNAP_TOLERANCE = 0.002


@dataclass(frozen=True)
class Axis:
    """Cell centres ``first + step * i`` for ``i`` in ``range(size)``, in degrees; ``step`` is negative southwards.

    ``period`` is 360 for a longitude axis whose cells go once round the globe, else ``None``.
    """

    first: float
    step: float
    size: int
    period: float | None = None

    @classmethod
    def from_values(cls, values: ArrayLike, *, longitude: bool = False) -> Axis:
        """Recover the axis from its stored centres (often float32).

        The spacing is taken from the two ends and then, like the origin, set to the round number it must have
        been before it was stored (``1/12``, not ``0.083333336``), where that is within the rounding of the file.

        Raises:
            ValueError: the values are not one-dimensional, fewer than two, not finite or not regularly spaced.
        """
        stored = np.asarray(values, dtype=np.float64)
        if stored.ndim != 1 or stored.size < 2:
            raise ValueError(f"an axis needs at least two values in one dimension, got shape {stored.shape}")
        if not np.isfinite(stored).all():
            raise ValueError("the axis has values that are not finite")
        size = int(stored.size)
        step = float((stored[-1] - stored[0]) / (size - 1))
        if step == 0.0:
            raise ValueError(f"the axis has no spacing: it starts and ends at {stored[0]}")
        worst = float(np.abs(stored - (stored[0] + step * np.arange(size))).max() / abs(step))
        if worst > IRREGULARITY:
            raise ValueError(
                f"the axis is not regularly spaced: a value is {worst:.3g} cells away from a spacing of {step:.6g}"
            )
        period = None
        if longitude and abs(abs(step) * size - 360.0) < 0.5 * abs(step):
            period = 360.0
            step = float(np.copysign(360.0 / size, step))
        else:
            cells_per_degree = round(1.0 / abs(step), 0)
            if cells_per_degree >= 1 and abs(cells_per_degree * abs(step) - 1.0) * size < 0.05:
                step = float(np.copysign(1.0 / cells_per_degree, step))
        unit = abs(step) * _SNAP_PART
        first = float(stored[0])
        rounded = round(first / unit) * unit
        if abs(rounded - first) < _SNAP_TOLERANCE * abs(step):
            first = rounded
        return cls(first=first, step=step, size=size, period=period)

    @property
    def values(self) -> NDArray[np.float64]:
        """The centres, degrees: [size]."""
        return self.first + self.step * np.arange(self.size, dtype=np.float64)

    def position(self, centres: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fractional index of ``centres`` (degrees): [n].

        Periodic axes give positions in ``[0, size)``. Longitudes of a regional axis are first moved by whole turns
        to where the axis is, so that files in 0..360 and grids in -180..180 meet.
        """
        if self.period is not None:
            position = np.mod((centres - self.first) / self.step, self.size)
        else:
            position = (centres - self.first) / self.step
        nearest = np.rint(position)
        exact = np.abs(position - nearest) < 1e-6
        position = np.where(exact, nearest, position)
        if self.period is not None:
            position = np.where(position >= self.size, position - self.size, position)
        return position

    def moved_to(self, centres: NDArray[np.float64]) -> NDArray[np.float64]:
        """``centres`` (longitudes, degrees) moved by whole turns to the range that this regional axis covers."""
        middle = self.first + 0.5 * self.step * (self.size - 1)
        return middle + np.mod(centres - middle + 180.0, 360.0) - 180.0

    def to_dict(self) -> dict[str, float | int | None]:
        """For JSON."""
        return {"first": self.first, "step": self.step, "size": self.size, "period": self.period}
