"""Reads a patch index: which patches there are, and which of them at which dates are for what."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.samples.rows import Rows
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import PATCHES, read_manifest

if TYPE_CHECKING:
    import pandas as pd

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
        if split != "all" and split not in SIDES:
            raise ConfigError(f"there is no split {split!r}: it is one of {', '.join((*SIDES, 'all'))}")
        table = self._rows
        phase = table["phase"].to_numpy()
        keep = np.isin(phase, SIDES) if split == "all" else phase == split
        if require_profiles:
            keep = keep & (table["argo_valid"].to_numpy() > 0)
        if not keep.any():
            raise self._empty(split, require_profiles)
        return Rows(
            table["patch_id"].to_numpy(np.int64)[keep], table["date"].to_numpy(np.int32)[keep], self.patches.tile
        )

    @cached_property
    def _rows(self) -> pd.DataFrame:
        return self._read(self.frequency, ["patch_id", "date", "phase", "argo_valid"])

    def _empty(self, split: str, require_profiles: bool) -> ConfigError:
        counts = self.manifest["counts"]["rows"]
        has = ", ".join(f"{count:,} {phase}" for phase, count in counts.items())
        remedy = "change `split` in the settings (its shares, years or table), and run `patches index --overwrite`"
        if require_profiles and split != "all" and counts.get(split):
            remedy = "none of these has a profile: take require_profiles=False, or give profiles of these dates"
        return ConfigError(f"{self.root.url} has no rows of split {split!r} (rows by phase: {has}): {remedy}")

    def _read(self, name: str, columns: list[str] | None = None) -> pd.DataFrame:
        import fsspec
        import pandas as pd
        import pyarrow as pa

        url = self.root.url_of(f"{name}.parquet")
        try:
            with fsspec.open(url, "rb") as stream:
                return pd.read_parquet(stream, columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise OutputError(
                f"{url} cannot be read ({error}): `oceanrecon verify {self.root.url}` tells what is wrong, and "
                "`oceanrecon patches index CONFIG --resume` makes it again"
            ) from error


def read_index(url: str) -> Index:
    """The patch index at a folder or fsspec URL.

    Raises:
        OutputError: there is no finished index.
    """
    return Index(url)
