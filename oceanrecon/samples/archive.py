"""Samples straight from the NetCDF archives, without an export: only the pixels of a patch are read and regridded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from oceanrecon.config import ArchiveSettings
from oceanrecon.errors import ArchiveError, ConfigError, OceanreconError, SourceError
from oceanrecon.grid import RasterGrid, parse_date, window_days
from oceanrecon.grid.levels import GLORYS_DEPTH
from oceanrecon.profile_config import ProfileFilesSettings
from oceanrecon.samples.choice import GOOD, Choice, MissingSurface, blanks, check_rows
from oceanrecon.samples.form import CHANNELS, Dense, Sample, SampleForm, Scenario
from oceanrecon.samples.raw_profiles import RawProfiles, UsedProfile
from oceanrecon.samples.rows import Rows
from oceanrecon.samples.tiles import Tile, centre, cut
from oceanrecon.samples.withheld import FloatSplit
from oceanrecon.sources.block import Block
from oceanrecon.sources.box import BoxReader
from oceanrecon.sources.listing import absolute_root
from oceanrecon.sources.months import Sampling
from oceanrecon.sources.quality import QualityMode
from oceanrecon.sources.registry import product as find_product
from oceanrecon.sources.select import Holding, Missing, holdings, select_block
from oceanrecon.sources.stated import stated_inventory


class ArchiveSource:
    """Reads samples of an archive: values in K, PSU and m, NaN where missing.

    Cheap enough to send to a worker, which opens files of its own: what travels is the list of files and, with Argo,
    some 40 bytes of each profile that is accepted.
    """

    def __init__(
        self,
        archive: ArchiveSettings,
        rows: Rows,
        *,
        grid: RasterGrid,
        land: NDArray[np.uint8],
        en4: ProfileFilesSettings | None = None,
        argo: ProfileFilesSettings | None = None,
        scenario: Scenario = "temperature",
        surface: Sequence[str] = tuple(CHANNELS),
        days: int = 7,
        quality: Collection[int] = GOOD,
        withhold: Collection[str | int] = (),
        floats: FloatSplit | None = None,
        sides: Sequence[str] = ("train",),
        target: bool = True,
        depth: Sequence[float] = GLORYS_DEPTH,
        missing_surface: MissingSurface = "error",
        profile_quality: QualityMode = "standard",
        sampling: Sampling = "primary",
        minimum_files: int = 1,
        minimum_valid_fraction: float = 0.5,
        maximum_distance_days: int = 3,
    ) -> None:
        """Of the archive that the settings describe; it is scanned, unless they name its inventory.

        Temperatures of profiles are potential, as those of the reanalysis are.

        Args:
            archive: where the gridded files are.
            rows: which patches at which dates.
            grid: of the patches.
            land: 1 on land, 0 on water: [height, width].
            en4: monthly EN4 files.
            argo: Argo files; with EN4, its copies of these profiles are left out.
            scenario: which fields are learnt.
            surface: which surface fields are inputs, in order.
            days: odd number of days around a date: surface fields are means over the files of these days, profiles are
                theirs, and the target is the mean, over these days, of the reanalysis file nearest to each.
            quality: flags of levels that count; a level without a flag counts, too.
            withhold: WMO platform numbers whose profiles are no inputs.
            floats: which platforms are for training, validation and test; default: all are inputs.
            sides: with ``floats``: of ``train``, ``val`` and ``test``, those whose profiles are inputs.
            target: read the dense target; else it is missing everywhere, and the archive needs no reanalysis.
            depth: levels of the samples (m) where no target says them.
            missing_surface: a surface field that the archive lacks, of all dates or of one, is an ``error``, or a
                channel without values (``blank``); a file that is there and cannot be used is an error in any case.
            profile_quality: which flags are accepted in the files of profiles.
            sampling: ``primary``, or all samplings of an Argo cycle.
            minimum_files: a mean over fewer files is an error.
            minimum_valid_fraction: least valid weight of a target cell.
            maximum_distance_days: how far the nearest reanalysis file may be from a day.

        Raises:
            ConfigError: the archive lacks a variable, a row lacks files or profiles, or no profiles are given.
            ArchiveError: there is no such archive, or no file of a product or of profiles.
            SourceError: an Argo file cannot be read.
        """
        choice = Choice.of(scenario, surface, days, quality, withhold, floats, sides)
        check_rows(rows, grid)
        if en4 is None and argo is None:
            raise ConfigError("no profiles, which are the inputs of every scenario: give `en4`, `argo` or both")
        if land.shape != (grid.height, grid.width):
            raise ConfigError(f"the land mask has the shape {land.shape}, the grid {(grid.height, grid.width)}")
        self.rows, self.grid = rows, grid
        self._land, self._days = land, days
        self._minimum_files, self._maximum_distance_days = minimum_files, maximum_distance_days
        self._root = absolute_root(archive.root)
        self.form = SampleForm(scenario, rows.tile, tuple(depth), choice.surface, None)
        #: what is missing where it is not there
        self._optional: tuple[Dense, ...] = self.form.channels if blanks(missing_surface) else ()
        self._read: tuple[Dense, ...] = self.form.variables if target else self.form.channels
        self._held = self._holdings(archive)
        if target:
            reanalysis = self._held[self.form.fields[0].product].form
            assert reanalysis is not None  # it has the variable
            self.form = replace(self.form, depth=reanalysis.depth)
        self._boxes = BoxReader(grid, minimum_valid_fraction)
        self._profiles = RawProfiles(
            en4, argo, grid, self.form.depth, choice, profile_quality=profile_quality, sampling=sampling
        )
        self._check_dates()

    def __len__(self) -> int:
        return len(self.rows)

    def samples(self, rows: Sequence[int]) -> list[Sample]:
        """Some rows; those of one date one after the other, so that its files stay open.

        Raises:
            SourceError: a file is gone, changed since it was listed, or is damaged; names the row, the file and the
                remedy.
        """
        made: dict[int, Sample] = {}
        for row in sorted(set(rows), key=lambda row: (self.rows.date[row], self.rows.patch_id[row])):
            try:
                made[row] = self._sample(row)
            except OceanreconError as error:
                raise SourceError(f"{self.rows.name(row)}: {error}") from error
        return [made[row] for row in rows]

    def profiles(self, row: int) -> list[UsedProfile]:
        """The profiles that the sample of a row has, each by itself, where and when it was measured.

        Raises:
            SourceError: a file is gone, changed, or damaged; begins with its name.
        """
        tile = Tile.of(self.grid, int(self.rows.patch_id[row]), self.rows.tile)
        return self._profiles.used(int(self.rows.date[row]), tile, self.form.fields)

    def _sample(self, row: int) -> Sample:
        patch, date = int(self.rows.patch_id[row]), int(self.rows.date[row])
        tile = Tile.of(self.grid, patch, self.rows.tile)
        down = tile.row + np.arange(tile.size)
        across = (tile.column + np.arange(tile.size)) % self.grid.width
        values: dict[Dense, NDArray[np.float32]] = {}
        for part in self.form.variables:
            block = self._block(part, date) if part in self._read else None
            if isinstance(block, Block):
                values[part] = self._boxes.read(block, down, across)
            elif block is None or (part in self._optional and not block.unusable):
                levels = len(self.form.depth) if part in self.form.fields else 1
                values[part] = np.full((levels, tile.size, tile.size), np.nan, np.float32)
            else:  # since the dates were checked: never
                raise ArchiveError(self._told(block))
        fields = self.form.fields
        observed = self._profiles.read(date, tile, fields)
        return Sample(
            row=row,
            patch_id=patch,
            date=date,
            coords=centre(self.grid, tile),
            target={field.name: values[field] for field in fields},
            surface=np.concatenate([values[part] for part in self.form.channels]),
            land=cut(self._land, tile),
            points=observed.points,
            observed=observed.values,
            age=observed.age,
        )

    def _block(self, part: Dense, date: int) -> Block | Missing | None:
        """What makes a variable at a date, by the rules of an export; ``None``: the archive lacks all of it."""
        holding = self._held.get(part.product)
        if holding is None or part.variable not in holding.variables:
            return None
        variable = holding.product.variable(part.variable)
        day = parse_date(date)
        if holding.product.windowed:
            return select_block(
                self._root, holding, variable, day, window=self._days, minimum_files=self._minimum_files,
                maximum_distance_days=self._maximum_distance_days,
            )  # fmt: skip
        nearest = [
            select_block(
                self._root, holding, variable, one, window=1, minimum_files=1,
                maximum_distance_days=self._maximum_distance_days,
            )
            for one in window_days(day, self._days)
        ]  # fmt: skip
        for found in nearest:
            if isinstance(found, Missing) and found.unusable:
                return found
        blocks = [found for found in nearest if isinstance(found, Block)]
        if not blocks:
            return nearest[len(nearest) // 2]
        return replace(blocks[0], date=day, sources=tuple(source for block in blocks for source in block.sources))

    def _holdings(self, archive: ArchiveSettings) -> dict[str, Holding]:
        needed = [part for part in self._read if part not in self._optional]
        lacking = [part.product for part in needed if part.product not in archive.products]
        if lacking:
            raise ConfigError(
                f"archive.products does not name {lacking[0]!r}, which a sample needs: add it, or choose a scenario "
                "and surface fields without it"
            )
        names = [name for name in dict.fromkeys(part.product for part in self._read) if name in archive.products]
        wanted = archive.model_copy(update={"products": {name: archive.products[name] for name in names}})
        held = holdings(stated_inventory(wanted), names) if names else {}
        for part in needed:
            holding = held[part.product]
            if holding.form is None:
                raise ArchiveError(
                    f"no file of product {part.product!r} can be used, such as "
                    f"{next(iter(holding.unusable.values()))}: mend them, or choose a scenario and surface fields "
                    "without it"
                )
            if part.variable not in holding.variables:
                raise ConfigError(
                    f"the {part.product} files of {self._root} have no {part.variable} (they have "
                    f"{', '.join(holding.variables)}): download it, or choose a scenario and surface fields without it"
                )
        return held

    def _check_dates(self) -> None:
        """Every row has files: those that lack some are found before the first is read."""
        dates, first = np.unique(self.rows.date, return_index=True)
        for date, row in zip(dates.tolist(), first.tolist(), strict=True):
            for part in self._read:
                found = self._block(part, date)
                if isinstance(found, Missing) and (part not in self._optional or found.unusable):
                    raise ConfigError(
                        f"{self.rows.name(row)}: {part.variable}: {self._told(found)}, or leave the row out"
                    )
            try:
                self._profiles.check_days(date)
            except ConfigError as error:
                raise ConfigError(f"{self.rows.name(row)}: {error}") from None

    def _told(self, missing: Missing) -> str:
        """Why there is no block, and what to do in terms of a source."""
        if missing.unusable:
            return missing.message
        fewer = "fewer `minimum_files`, " if self._minimum_files > 1 else ""
        choice = f'{fewer}more `days` (of an index: make it with more `rows.days`) or missing_surface="blank"'
        if not find_product(missing.product).windowed:
            choice = "more `maximum_distance_days` (of an index: make it with more `rows.max_glorys_days`)"
        return f"{missing.reason}: complete the archive, choose {choice}"
