"""The seasonal course of a field: mean, annual and semi-annual harmonics of every cell, from what dates there are."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

#: Mean; cosine and sine of the year; cosine and sine of half the year.
TERMS = 5
#: Days of the mean Gregorian year, counted from ``EPOCH``.
YEAR = 365.2425
EPOCH = dt.date(2000, 1, 1)
_PAIRS = [(row, column) for row in range(TERMS) for column in range(row, TERMS)]


def season(date: dt.date) -> NDArray[np.float64]:
    """The terms at a date: float64 [TERMS]; of the mean Gregorian year, so that every date has its own place."""
    angle = 2 * np.pi * (date - EPOCH).days / YEAR
    return np.array([1, np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)])


@dataclass
class SeasonSums:
    """Normal equations of a least-squares fit, in any shape of cells; sums of two are the fit of both."""

    #: of products of terms, upper triangle: [15, *cells]
    squares: NDArray[np.float64]
    #: of terms and values: [TERMS, *cells]
    values: NDArray[np.float64]

    @classmethod
    def empty(cls, shape: tuple[int, ...]) -> SeasonSums:
        """Of nothing."""
        return cls(np.zeros((len(_PAIRS), *shape)), np.zeros((TERMS, *shape)))

    def add(self, date: dt.date, mean: NDArray[np.floating], weight: NDArray[np.floating]) -> None:
        """Count a date's means: [*cells]; where the weight is 0 the mean may be anything."""
        terms = season(date)
        known = np.where(weight > 0, mean, 0.0) * weight
        for number, (row, column) in enumerate(_PAIRS):
            self.squares[number] += terms[row] * terms[column] * weight
        for number, term in enumerate(terms):
            self.values[number] += term * known

    @property
    def weight(self) -> NDArray[np.float64]:
        """Of all dates together: [*cells]."""
        return np.asarray(self.squares[0])

    def smoothed(self, rows: float, columns: NDArray[np.float64], *, periodic: bool = True) -> SeasonSums:
        """Let cells learn from their neighbours, along the last two dimensions of a grid.

        Args:
            rows: standard deviation of the weights, in rows.
            columns: the same in columns, of each row, as meridians meet at the poles.
            periodic: whether the columns go around the globe.
        """
        mode: Literal["wrap", "constant"] = "wrap" if periodic else "constant"

        def smooth(sums: NDArray[np.float64]) -> NDArray[np.float64]:
            found: NDArray[np.float64] = gaussian_filter1d(sums, rows, axis=-2, mode="constant")
            for row, width in enumerate(columns):
                found[..., row, :] = gaussian_filter1d(found[..., row, :], width, axis=-1, mode=mode)
            return found

        return SeasonSums(smooth(self.squares), smooth(self.values))

    def solve(self, ridge: float) -> NDArray[np.float32]:
        """Coefficients of the terms: float32 [TERMS, *cells], NaN in cells that know nothing.

        Args:
            ridge: how many dates' weight pulls the harmonics to 0, so that few dates give a mean and no wild season.
        """
        shape = self.values.shape[1:]
        matrix = np.zeros((*shape, TERMS, TERMS))
        for number, (row, column) in enumerate(_PAIRS):
            matrix[..., row, column] = matrix[..., column, row] = self.squares[number]
        known = matrix[..., 0, 0] > 0
        found = np.full((TERMS, *shape), np.nan, np.float32)
        if known.any():
            wanted = matrix[known] + np.diag([0.0, *[ridge] * (TERMS - 1)])
            found[:, known] = np.linalg.solve(wanted, self.values[:, known].T[..., None])[..., 0].T
        return found


def at_date(coefficients: NDArray[np.floating], date: dt.date) -> NDArray[np.floating]:
    """The field that the season has at a date: [*cells]."""
    return np.tensordot(season(date).astype(coefficients.dtype), coefficients, axes=1)
