"""Reads a patch index: which patches there are, and which of them at which dates are for what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid import PatchGrid, RasterGrid, nearest_date, parse_date, window_days
from oceanrecon.samples.rows import Rows
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import PATCHES, read_manifest

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SplitName = Literal["train", "val", "test", "all"]
#: The sides of a split, in order; rows of any other phase are never handed out.
SIDES: tuple[SplitName, ...] = ("train", "val", "test")


class Index:
    """The output of ``oceanrecon patches index``; tables are read when they are asked for."""

    def __init__(self, url: str) -> None:
        """At a folder or fsspec URL.

        Raises:
            OutputError: there is no finished index.
        """
        self.root = Root(url)
        self.manifest: dict[str, Any] = read_manifest(self.root, PATCHES)
        tiling = self.manifest["tiling"]
        self.patches = PatchGrid(
            RasterGrid(**self.manifest["grid"]), tiling["tile"], tiling["stride"], tiling["edges"], tiling["periodic"]
        )
        self.frequency: str = self.manifest["frequency"]
        #: odd number of days around a date whose profiles count
        self.days: int = self.manifest["days"]
        #: flags of levels that count, besides levels without one
        self.quality: tuple[int, ...] = tuple(self.manifest["profiles"]["quality"])
        #: root that the paths of the tables are relative to; ``None`` where the index was made without an archive
        self.archive: str | None = self.manifest["archive"]
        self.export: str | None = self.manifest["export"]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_rows"}

    def spatial(self) -> pd.DataFrame:
        """``patches.parquet``: one row per patch.

        Raises:
            OutputError: it is gone or damaged.
        """
        return self._read("patches")

    def table(self) -> pd.DataFrame:
        """``weekly.parquet`` or ``daily.parquet``: one row per patch and date.

        Raises:
            OutputError: it is gone or damaged.
        """
        return self._read(self.frequency)

    def profiles(self) -> pd.DataFrame:
        """``profiles.parquet``: one row per accepted profile.

        Raises:
            OutputError: it is gone or damaged.
        """
        return self._read("profiles")

    def rows(self, split: SplitName = "train", require_profiles: bool = True) -> Rows:
        """The rows of one side of the split, or of all three, in the order of the table.

        Args:
            split: which; ``all`` is ``train``, ``val`` and ``test``, never what is left out between them.
            require_profiles: only rows with a profile, where the table has others.

        Raises:
            ConfigError: there is no such side, or it has no row.
            OutputError: the table is gone or damaged.
        """
        table, keep = self._rows, self._chosen(split, require_profiles)
        return Rows(
            table["patch_id"].to_numpy(np.int64)[keep], table["date"].to_numpy(np.int32)[keep], self.patches.tile
        )

    def described(self, split: SplitName = "train", require_profiles: bool = True) -> Described:
        """What the table says of the rows that ``rows`` gives; some 150 bytes a row.

        Raises:
            ConfigError: see ``rows``.
            OutputError: the table is gone or damaged.
        """
        from pyarrow import parquet

        keep = self._chosen(split, require_profiles)
        with self._reading(self.frequency) as stream:
            file = parquet.ParquetFile(stream)
            texts = [field.name for field in file.schema_arrow if str(field.type) in ("string", "large_string")]
        with self._reading(self.frequency) as stream:
            return Described(parquet.read_table(stream, read_dictionary=texts).filter(keep).combine_chunks())

    def _chosen(self, split: SplitName, require_profiles: bool) -> NDArray[np.bool_]:
        """Which rows of the table: [row]; raises as ``rows``."""
        if split != "all" and split not in SIDES:
            raise ConfigError(f"there is no split {split!r}: it is one of {', '.join((*SIDES, 'all'))}")
        phase = self._rows["phase"].to_numpy()
        keep: NDArray[np.bool_] = np.isin(phase, SIDES if split == "all" else (split,))
        if require_profiles:
            keep = keep & (self._rows["argo_valid"].to_numpy() > 0)
        if not keep.any():
            raise self._empty(split, require_profiles)
        return keep

    def window(self, days: int | None) -> int:
        """The days around a date that a sample is of: ``days``, or those of the index.

        Raises:
            ConfigError: they are more than those of the index, of which alone it is known that sides share nothing.
        """
        if days is not None and days > self.days:
            raise ConfigError(
                f"days={days} is more than the {self.days} days that {self.root.url} was made with, so that training "
                f"and validation may share data: make the index with rows.days={days}, or take fewer days"
            )
        return self.days if days is None else days

    def check_export(self, export: str, window: int, reanalysis: Mapping[int, Sequence[int]], rows: Rows) -> None:
        """Whether samples of an export are of the days and files by which the sides of the split were told apart.

        Args:
            export: its name in messages.
            window: odd number of days that its surface fields are means over.
            reanalysis: date -> dates of the files that its target is of.
            rows: of this index.

        Raises:
            ConfigError: surface fields are means over more days, or a target is of another file.
        """
        footprint = self.manifest["footprint"]
        dates = np.unique(rows.date)
        known = np.isin(dates, footprint["target_dates"]) & (window <= int(footprint["window_days"]))
        why = ""
        if window > self.days and not known.all():
            why = f"its surface fields of {dates[~known][0]} are means over {window} days"
        files = [parse_date(date) for date in footprint["glorys_dates"]]
        for date in dates.tolist():
            nearest = {nearest_date(files, day) for day in window_days(parse_date(date), self.days)}
            other = [day for day in reanalysis.get(date, ()) if parse_date(day) not in nearest]
            if other:
                why = f"its target of {date} is the reanalysis of {other[0]}"
        if why:
            raise ConfigError(
                f"{self.root.url} was not made for {export}: {why}, of which it does not know that training and "
                f"validation share nothing; make an index with `export: {export}` in its settings"
            )

    @cached_property
    def _rows(self) -> pd.DataFrame:
        return self._read(self.frequency, ["patch_id", "date", "phase", "argo_valid"])

    def _empty(self, split: str, require_profiles: bool) -> ConfigError:
        counts = self.manifest["counts"]["rows"]
        has = ", ".join(f"{count:,} {phase}" for phase, count in counts.items())
        remedy = "change `split` in the settings (its shares, years or table), and run `patches index --overwrite`"
        if require_profiles and any(counts.get(side) for side in (SIDES if split == "all" else (split,))):
            remedy = "none of these has a profile: take require_profiles=False, or give profiles of these dates"
        return ConfigError(f"{self.root.url} has no rows of split {split!r} (rows by phase: {has}): {remedy}")

    def _read(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        import pandas as pd

        with self._reading(name) as stream:
            return pd.read_parquet(stream, columns=columns)

    @contextmanager
    def _reading(self, name: str) -> Iterator[BinaryIO]:
        """A table, open for reading."""
        import pyarrow as pa

        url = self.root.url_of(f"{name}.parquet")
        try:
            with self.root.open(f"{name}.parquet") as stream:
                yield stream
        except (OSError, ValueError, pa.ArrowException) as error:
            raise OutputError(
                f"{url} cannot be read ({error}): `oceanrecon verify {self.root.url}` tells what is wrong, and "
                "`oceanrecon patches index CONFIG --resume` makes it again"
            ) from error


class Described:
    """What the table says of some rows; cheap to send to a worker for what it holds."""

    def __init__(self, table: pa.Table) -> None:
        """Of these rows of the table."""
        self._table = table.select([name for name in table.column_names if table[name].null_count < len(table)])

    def __call__(self, row: int) -> dict[str, Any]:
        """The columns that have a value in any row; where this one has none, a text is empty, and a number is -1."""
        found: dict[str, Any] = {name: self._table[name][row].as_py() for name in self._table.column_names}
        texts = {field.name for field in self._table.schema if str(field.type).startswith("dictionary")}
        return {name: ("" if name in texts else -1) if value is None else value for name, value in found.items()}


def read_index(url: str) -> Index:
    """The patch index at a folder or fsspec URL.

    Raises:
        OutputError: there is no finished index.
    """
    return Index(url)
