"""Points of a day into cells of the eight octants: mean, spread and number of the values, and which tracks are there.

Files come one at a time, and only the cells that hold points cost anything. What is kept of a point until the end is
its cell and its values, 16 bytes for three variables: less than sums of squares would take, which are as many where
points and cells are equally close, and lose digits. So mean and deviation are those of two passes, in double.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid.octants import OCTANTS, CellGrid, octant_of, wrapped
from oceanrecon.grid.regions import Box
from oceanrecon.transform.compiled import Array, compiled
from oceanrecon.transform.day import PointDay, Track

_SECOND = np.timedelta64(1, "s")


@dataclass(frozen=True, eq=False)
class Binned:
    """The cells of an octant that hold points of a day. Tracks are those with a point here, in the order of names.

    ``means``, ``stds`` and ``counts`` are by variable; the deviation is that of the values of the cell about their
    mean (population), not a number with fewer than two of them.
    """

    grid: CellGrid
    #: row x columns + column, rising: int64 [cell]
    cells: NDArray[np.int64]
    #: points of each cell, with or without values: int32 [cell]
    n_obs: NDArray[np.int32]
    #: float32, NaN where there is no value: [cell]
    means: Mapping[str, NDArray[np.float32]]
    stds: Mapping[str, NDArray[np.float32]]
    #: values of the variable: int32 [cell]
    counts: Mapping[str, NDArray[np.int32]]
    #: CF attributes by variable
    attributes: Mapping[str, Mapping[str, Any]]
    #: place in ``tracks`` of the one with most points of the cell, the first of equals: int16 [cell]
    primary_track: NDArray[np.int16]
    #: tracks that have a point in the cell: int16 [cell]
    n_tracks: NDArray[np.int16]
    tracks: tuple[Track, ...]
    #: mean of the times of each track's points here, seconds since 1970, NaN without any: float64 [track]
    track_times: NDArray[np.float64]
    #: first and last time of a point here, UTC, NaT without any: datetime64[us]
    start: np.datetime64
    end: np.datetime64
    #: from the westernmost, southernmost to the easternmost, northernmost point with a value, degrees; ``None``: none
    extent: Box | None


@dataclass(eq=False)
class _Part:
    """Points of one track in one octant."""

    track: Track
    #: of each point; later its place among the cells that hold points: int32 [point]
    cells: NDArray[np.int32]
    #: by variable: float32 [point]
    values: dict[str, NDArray[np.float32]]
    attributes: Mapping[str, Mapping[str, Any]]
    #: sum of the times since 1970 in seconds, and how many there are
    seconds: float
    times: int
    start: np.datetime64
    end: np.datetime64
    #: of the points with a value
    extent: Box | None


class DayBins:
    """Points of one day, in cells of all octants. Add the files in any order: the result is the same."""

    def __init__(self, size_km: float) -> None:
        """With cells of ``size_km`` at 45 degrees (``CellGrid``)."""
        self._grids = tuple(CellGrid(octant, size_km) for octant in OCTANTS)
        self._parts: list[list[_Part]] = [[] for _ in OCTANTS]
        #: points so far that have a position, and points that have none and are in no octant
        self.placed, self.unplaced = 0, 0

    def add(self, day: PointDay) -> None:
        """Count in the points of a file.

        Args:
            day: of one track, whose name is that of the file; no other file of the day has that name.

        Raises:
            ValueError: it has points of several tracks.
        """
        if len(day.tracks) != 1:
            raise ValueError(f"one track at a time is binned: not {len(day.tracks)}")
        number = octant_of(day.latitude, day.longitude)
        many = np.bincount(number + 1, minlength=len(OCTANTS) + 1)
        self.unplaced += int(many[0])
        self.placed += int(many[1:].sum())
        for which in np.flatnonzero(many[1:]).tolist():
            self._parts[which].append(self._part(which, day, np.flatnonzero(number == which)))

    def _part(self, which: int, day: PointDay, points: NDArray[np.intp]) -> _Part:
        latitude, longitude = day.latitude[points], wrapped(day.longitude[points])
        time = day.time[points]
        time = time[~np.isnat(time)]
        never = np.datetime64("NaT", "us")
        seconds = (time - np.datetime64(0, "s")) / _SECOND
        values = {name: one.data[points].astype(np.float32) for name, one in day.values.items()}
        measured = np.zeros(points.size, bool)
        for data in values.values():
            measured |= np.isfinite(data)
        return _Part(
            track=day.tracks[0],
            cells=self._grids[which].cell(latitude, longitude).astype(np.int32),
            values=values,
            attributes={name: one.attributes for name, one in day.values.items()},
            seconds=float(seconds.sum()),
            times=time.size,
            start=time.min() if time.size else never,
            end=time.max() if time.size else never,
            extent=extent_of(latitude[measured], longitude[measured]),
        )

    def finish(self) -> Iterator[Binned]:
        """Each octant that holds points, in the order of ``OCTANTS``, which then forgets them."""
        for which in range(len(OCTANTS)):
            if self._parts[which]:
                # nothing is held here while others work on it
                yield self._finished(which)

    def _finished(self, which: int) -> Binned:
        parts, self._parts[which] = self._parts[which], []
        return _binned(self._grids[which], sorted(parts, key=lambda part: part.track.name))


def _binned(grid: CellGrid, parts: list[_Part]) -> Binned:
    rows, columns = grid.shape
    words = np.zeros(rows * columns // 64 + 1, np.uint64)
    for part in parts:
        _occupy(part.cells, words)
    before = np.zeros(words.size + 1, np.int64)
    _number(words, before)
    cells = np.empty(before[-1], np.int64)
    _list(words, before, cells)
    for part in parts:
        _locate(part.cells, words, before)
    n_obs, most, run = (np.zeros(cells.size, np.int32) for _ in range(3))
    primary, last = (np.full(cells.size, -1, np.int16) for _ in range(2))
    n_tracks = np.zeros(cells.size, np.int16)
    for number, part in enumerate(parts):
        _visit(part.cells, number, n_obs, last, run, most, primary, n_tracks)
    del last, run, most
    means, stds, counts, attributes = {}, {}, {}, {}
    for name in dict.fromkeys(name for part in parts for name in part.values):
        attributes[name] = _merged([part.attributes[name] for part in parts if name in part.attributes])
        means[name], stds[name], counts[name] = _statistics(
            [(part.cells, part.values.pop(name)) for part in parts if name in part.values], cells.size
        )
    extents = np.array([part.extent for part in parts if part.extent is not None]).reshape(-1, 4)
    corners = np.concatenate([extents[:, :2], extents[:, 2:]])
    return Binned(
        grid=grid,
        cells=cells,
        n_obs=n_obs,
        means=means,
        stds=stds,
        counts=counts,
        attributes=attributes,
        primary_track=primary,
        n_tracks=n_tracks,
        tracks=tuple(part.track for part in parts),
        track_times=np.array([part.seconds / part.times if part.times else np.nan for part in parts]),
        # fmin and fmax pass over NaT
        start=np.fmin.reduce(np.array([part.start for part in parts])),
        end=np.fmax.reduce(np.array([part.end for part in parts])),
        extent=extent_of(corners[:, 1], corners[:, 0]),
    )


def extent_of(latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> Box | None:
    """West, south, east, north of points; ``None`` where there are none."""
    if not latitude.size:
        return None
    return float(longitude.min()), float(latitude.min()), float(longitude.max()), float(latitude.max())


def _statistics(
    parts: list[tuple[NDArray[np.int32], NDArray[np.float32]]], size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int32]]:
    """Mean, deviation and number of values of each of ``size`` cells; parts: cells and values of their points."""
    total, count = np.zeros(size), np.zeros(size, np.int32)
    for cells, values in parts:
        _add(cells, values, total, count)
    with np.errstate(invalid="ignore"):
        mean = np.divide(total, count, out=total)
        square = np.zeros(size)
        for cells, values in parts:
            _add_squares(cells, values, mean, square)
        spread = np.sqrt(np.divide(square, count, out=square), out=square)
    spread[count < 2] = np.nan
    return mean.astype(np.float32), spread.astype(np.float32), count


def _merged(every: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Attributes of a variable in all its files; texts that differ are joined, and of other values the first is it."""
    found: dict[str, list[Any]] = {}
    for attributes in every:
        for key, value in attributes.items():
            known = found.setdefault(key, [])
            if not known or (isinstance(value, str) and value not in known):
                known.append(value)
    return {key: "; ".join(values) if len(values) > 1 else values[0] for key, values in found.items()}


@compiled
def _occupy(cells: Array, words: Array) -> None:
    """Set the bits of cells."""
    for point in range(cells.size):
        cell = cells[point]
        words[cell >> 6] |= np.uint64(1) << np.uint64(cell & 63)


@compiled
def _ones(word: np.uint64) -> np.int64:
    """How many bits are set."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@compiled
def _number(words: Array, before: Array) -> None:
    """How many bits are set before each word, and in all."""
    for word in range(words.size):
        before[word + 1] = before[word] + _ones(words[word])


@compiled
def _list(words: Array, before: Array, cells: Array) -> None:
    """The cells whose bits are set, rising."""
    for word in range(words.size):
        at = before[word]
        bits = words[word]
        cell = word << 6
        while bits != np.uint64(0):
            if bits & np.uint64(1):
                cells[at] = cell
                at += 1
            bits >>= np.uint64(1)
            cell += 1


@compiled
def _locate(cells: Array, words: Array, before: Array) -> None:
    """Replace each cell by its place among those whose bits are set."""
    for point in range(cells.size):
        cell = cells[point]
        lower = (np.uint64(1) << np.uint64(cell & 63)) - np.uint64(1)
        cells[point] = before[cell >> 6] + _ones(words[cell >> 6] & lower)


@compiled
def _visit(
    cells: Array, track: int, n_obs: Array, last: Array, run: Array, most: Array, primary: Array, n_tracks: Array
) -> None:
    """Count the points of a track; ``last`` is the track that was here last, ``run`` its points, ``most`` the best."""
    for point in range(cells.size):
        cell = cells[point]
        n_obs[cell] += 1
        if last[cell] != track:
            last[cell] = track
            run[cell] = 0
            n_tracks[cell] += 1
        run[cell] += 1
        if run[cell] > most[cell]:
            most[cell] = run[cell]
            primary[cell] = track


@compiled
def _add(cells: Array, values: Array, total: Array, count: Array) -> None:
    for point in range(cells.size):
        value = values[point]
        if np.isfinite(value):
            total[cells[point]] += value
            count[cells[point]] += 1


@compiled
def _add_squares(cells: Array, values: Array, mean: Array, square: Array) -> None:
    for point in range(cells.size):
        value = values[point]
        if np.isfinite(value):
            away = value - mean[cells[point]]
            square[cells[point]] += away * away
