"""Mean, deviation and percentiles of variables of a regional dataset: found in parts, merged, kept as JSON."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid.regions import Box
from oceanrecon.samples.regional.query import VARIABLES, TacoDataset, TacoFile, numbers, variable
from oceanrecon.stores.files import Root

_GLOBE: Box = (-180.0, -90.0, 180.0, 90.0)
_PERCENTS = (2.0, 98.0)
#: Different values that are counted apart: packed ones are 65,535 at most, and some files have packings of their own.
_DISTINCT = 1 << 20
#: Bits that are left of a float where there are more: its sign, its exponent, 11 of 23 after the point.
_KEPT = np.uint32(0xFFFFF000)


@dataclass(frozen=True)
class VariableStatistics:
    """What the values of a variable are."""

    count: int
    #: pixels or points without a value
    missing: int
    mean: float
    #: about the mean, of the population
    std: float
    p2: float
    p98: float
    minimum: float
    maximum: float
    #: whether the percentiles are those of the values themselves; else they are right to one part in 4096
    exact: bool


class Tally:
    """Values that are counted: tallies of parts, merged in any order, are that of the whole.

    Packed values are few, and how often each occurs is all that there is to know; mean and deviation are of two
    passes per part, in double, and merged as Chan, Golub and LeVeque do.
    """

    def __init__(self) -> None:
        self.count = self.missing = 0
        self._mean = self._squares = 0.0
        self._minimum, self._maximum = math.inf, -math.inf
        self._values = np.zeros(0, np.float32)
        self._counts = np.zeros(0, np.int64)
        self._exact = True

    def add(self, values: NDArray[np.floating]) -> None:
        """Some more values, NaN where missing, of any shape."""
        flat = np.asarray(values, np.float32).ravel()
        part = Tally()
        counted = pc.value_counts(pa.array(flat[np.isfinite(flat)]))
        there, often = (counted.field(number).to_numpy() for number in (0, 1))
        order = np.argsort(there)
        part._values, part._counts = there[order], often[order].astype(np.int64)
        part.count = int(part._counts.sum())
        part.missing = flat.size - part.count
        if part.count:
            wide = part._values.astype(np.float64)
            part._mean = float(wide @ part._counts) / part.count
            part._squares = float((wide - part._mean) ** 2 @ part._counts)
            part._minimum, part._maximum = float(wide[0]), float(wide[-1])
        self.merge(part)

    def merge(self, other: Tally) -> None:
        """All that another one has counted."""
        self.missing += other.missing
        if not other.count:
            return
        count = self.count + other.count
        apart = other._mean - self._mean
        self._mean += apart * other.count / count
        self._squares += other._squares + apart**2 * self.count * other.count / count
        self.count = count
        self._minimum = min(self._minimum, other._minimum)
        self._maximum = max(self._maximum, other._maximum)
        self._exact &= other._exact
        self._put(np.concatenate([self._values, other._values]), np.concatenate([self._counts, other._counts]))

    def result(self) -> VariableStatistics:
        """What the values are.

        Raises:
            OutputError: there is none.
        """
        if not self.count:
            raise OutputError(f"there is no value among {self.missing:,}: nothing is known of the variable")
        # those of rounded values may be beyond the values themselves
        low, high = (min(max(self._percentile(one), self._minimum), self._maximum) for one in _PERCENTS)
        return VariableStatistics(
            count=self.count, missing=self.missing, mean=self._mean, std=math.sqrt(self._squares / self.count),
            p2=low, p98=high, minimum=self._minimum, maximum=self._maximum, exact=self._exact,
        )  # fmt: skip

    def _put(self, values: NDArray[np.float32], counts: NDArray[np.int64]) -> None:
        self._values, self._counts = _added(values, counts)
        if self._values.size > _DISTINCT or not self._exact:
            self._exact = False
            # the middle of all floats that begin with these bits
            cut = (self._values.view(np.uint32) & _KEPT) | (~_KEPT >> np.uint32(1))
            self._values, self._counts = _added(cut.view(np.float32), self._counts)

    def _percentile(self, percent: float) -> float:
        """Between the two values next to that place, as numpy has it."""
        place = percent / 100 * (self.count - 1)
        upto = np.cumsum(self._counts)
        below, above = (
            float(self._values[np.searchsorted(upto, rank, side="right")])
            for rank in (math.floor(place), math.ceil(place))
        )  # fmt: skip
        return below + (above - below) * (place - math.floor(place))


def tally_file(
    dataset: TacoDataset, file: TacoFile, names: Iterable[str], *, lenient: bool = False
) -> dict[str, Tally]:
    """The values of variables in one file; ``lenient``: those that it has."""
    found = {}
    with dataset.open(file) as tile:
        for name in names:
            if lenient and name not in tile.names:
                continue
            values, _ = numbers(tile, name)
            found[name] = Tally()
            found[name].add(values)
    return found


def statistics_of(
    dataset: TacoDataset,
    tokens: Iterable[str] | None = None,
    dates: Collection[dt.date] | None = None,
    *,
    on_file: Callable[[int, int], None] | None = None,
) -> dict[str, VariableStatistics]:
    """Statistics of variables over some days, by token.

    Args:
        dataset: of ``open_taco``.
        tokens: of ``query.VARIABLES``, or ``source:variable``; ``None``: all of ``VARIABLES`` that have a value.
        dates: those to train on; all if ``None``.
        on_file: called with how many files are read, and how many there are.

    Raises:
        ConfigError: there is no such variable, no file of it, or no such day.
        OutputError: a file is damaged, or a variable has no value.
    """
    wanted = dict(VARIABLES) if tokens is None else {token: variable(token) for token in tokens}
    tallies = {token: Tally() for token in wanted}
    days = dataset.dates if dates is None else sorted(set(dates) & set(dataset.dates))
    if not days:
        raise ConfigError(
            f"{dataset.url} has none of the days that are asked for: it has {dataset.dates[0]} to {dataset.dates[-1]}"
        )
    files = dataset.files(_GLOBE, days, {one.source for one in wanted.values()})
    for number, file in enumerate(files, 1):
        here = {token: one.name for token, one in wanted.items() if one.source == file.source}
        found = tally_file(dataset, file, sorted(set(here.values())), lenient=tokens is None)
        for token, name in here.items():
            if name in found:
                tallies[token].merge(found[name])
        if on_file is not None:
            on_file(number, len(files))
    for token, tally in list(tallies.items()):
        if not tally.count and tokens is None:
            del tallies[token]
        elif not tally.count:
            raise ConfigError(
                f"{token} has no value on the days that are asked for: the dataset has {', '.join(dataset.sources)} "
                f"from {dataset.dates[0]} to {dataset.dates[-1]}"
            )
    if not tallies:
        raise ConfigError(f"no variable with a name of its own has a value in {dataset.url} on the days asked for")
    return {token: tally.result() for token, tally in tallies.items()}


def write_statistics(url: str, statistics: Mapping[str, VariableStatistics]) -> None:
    """Keep statistics as JSON.

    Raises:
        OutputError: they cannot be written.
    """
    folder, _, name = Root(url).url.rpartition("/")
    content = {token: asdict(one) for token, one in statistics.items()}
    Root(folder).write(name, json.dumps(content, indent=2).encode() + b"\n")


def read_statistics(url: str) -> dict[str, VariableStatistics]:
    """What ``write_statistics`` wrote.

    Raises:
        OutputError: there is none, or it is damaged.
    """
    folder, _, name = Root(url).url.rpartition("/")
    try:
        return {token: VariableStatistics(**one) for token, one in json.loads(Root(folder).read(name)).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise OutputError(f"{url} has no statistics, or damaged ones: {error}") from error


def normalised(values: NDArray[np.float32], statistics: VariableStatistics) -> NDArray[np.float32]:
    """Values less the mean, in deviations; NaN stays NaN."""
    scale = statistics.std or 1.0
    return ((values - statistics.mean) / scale).astype(np.float32)


def _added(values: NDArray[np.float32], counts: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Different values, rising, and how often each occurs."""
    order = np.argsort(values, kind="stable")
    values, counts = values[order], counts[order]
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]])) if values.size else np.zeros(0, int)
    return values[first], np.add.reduceat(counts, first) if values.size else counts
