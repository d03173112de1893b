"""Samples of an export: codes of its ``dense.zarr``, or of its GeoTIFFs, and its gridded profiles."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.samples.choice import GOOD, Choice, MissingSurface, blanks, check_rows
from oceanrecon.samples.form import CHANNELS, Dense, Sample, SampleForm, Scenario
from oceanrecon.samples.profiles import GriddedProfiles
from oceanrecon.samples.rows import Rows
from oceanrecon.samples.stored import Codes, Store, open_codes
from oceanrecon.samples.tiles import Tile, centre, cut
from oceanrecon.samples.withheld import FloatSplit
from oceanrecon.stores.byte_ranges import GRIDDING, REMEDY, Files
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import export_grid, read_manifest, surface_window
from oceanrecon.stores.mask import read_land_mask_on
from oceanrecon.stores.shard_reader import read_boxes
from oceanrecon.transform.encode import stretch


class ExportSource:
    """Reads samples of an export; cheap to send to a worker, which opens files of its own."""

    def __init__(
        self,
        url: str,
        rows: Rows,
        *,
        scenario: Scenario = "temperature",
        surface: Sequence[str] = tuple(CHANNELS),
        days: int | None = None,
        store: Store | None = None,
        quality: Collection[int] = GOOD,
        withhold: Collection[str | int] = (),
        floats: FloatSplit | None = None,
        sides: Sequence[str] = ("train",),
        target: bool = True,
        missing_surface: MissingSurface = "error",
    ) -> None:
        """Of the export at a folder or fsspec URL.

        Temperatures of its profiles have to be potential, as those of the reanalysis are.

        Args:
            url: the export.
            rows: which patches at which dates.
            scenario: which fields are learnt.
            surface: which surface fields are inputs, in order.
            days: odd number of days around a date whose profiles are inputs; default: what the export was made with.
            store: ``zarr`` or ``geotiff``; default: ``dense.zarr`` where the export has it.
            quality: flags of levels that count; a level without a flag counts, too.
            withhold: WMO platform numbers whose profiles are no inputs.
            floats: which platforms are for training, validation and test; default: all are inputs.
            sides: with ``floats``: of ``train``, ``val`` and ``test``, those whose profiles are inputs.
            target: read the dense target; else it is missing everywhere, and the export needs none.
            missing_surface: a surface field that the export lacks, of all dates or of one, is an ``error``, or a
                channel without values (``blank``).

        Raises:
            OutputError: there is no export.
            ConfigError: it lacks a variable, a date, the profiles, or days of the window; its land mask cannot be read
                or is of another grid; or its profiles were put on the grid with in-situ temperatures, and temperature
                is learnt.
        """
        root = Root(url)
        manifest = read_manifest(root)
        #: odd number of days that surface fields are means over
        self.window_days = surface_window(manifest)
        #: date -> dates of the files that its target is of
        self.reanalysis = reanalysis_dates(manifest)
        choice = Choice.of(
            scenario, surface, self.window_days if days is None else days, quality, withhold, floats, sides
        )
        self.rows = rows
        self.grid: RasterGrid = export_grid(manifest)
        check_rows(rows, self.grid)
        self._root = root
        self._files = Files(root)
        self._profiles = open_profiles(self._files, manifest, self.grid, choice)
        self.form = SampleForm(
            scenario, rows.tile, tuple(manifest["depth_axis_m"]) or self._profiles.depth, choice.surface,
            manifest["encoding"],
        )  # fmt: skip
        self._land = read_land_mask_on(self.grid, root.url_of(manifest["grid"]["source"]), REMEDY)
        #: what is missing where it is not there
        self._optional: tuple[Dense, ...] = self.form.channels if blanks(missing_surface) else ()
        self._read: tuple[Dense, ...] = self.form.variables if target else self.form.channels
        self._stored: Codes = open_codes(self._files, manifest, store, self._read, self._optional)
        self._check_dates()

    def __len__(self) -> int:
        return len(self.rows)

    def samples(self, rows: Sequence[int]) -> list[Sample]:
        """Some rows; what they need is read together.

        Raises:
            OutputError: a file is not there, or is damaged; names the row, the file and the remedy.
        """
        try:
            return self._samples(rows)
        except OutputError:
            for row in rows:  # which of them it is
                try:
                    self._samples([row])
                except OutputError as error:
                    raise OutputError(f"{self.rows.name(row)}: {error}") from error
            raise

    def _samples(self, rows: Sequence[int]) -> list[Sample]:
        fields = self.form.fields
        tiles = [Tile.of(self.grid, int(self.rows.patch_id[row]), self.rows.tile) for row in rows]
        dates = [int(self.rows.date[row]) for row in rows]
        places = list(zip(dates, tiles, strict=True))
        there = [
            (part.variable, date, tile)
            for date, tile in places
            for part in self._read
            if date in self._stored.dates[part.variable]
        ]
        dense = dict(zip(there, self._stored.read(there), strict=True))
        found = self._profiles.find(places)
        requests = [self._profiles.requests(one, fields) for one in found]
        read = iter(read_boxes([request for some in requests for request in some]))
        samples = []
        for number, (row, (date, tile)) in enumerate(zip(rows, places, strict=True)):
            observed = self._profiles.values(
                found[number], fields, [next(read) for _ in requests[number]], len(self.form.depth)
            )
            samples.append(
                Sample(
                    row=int(row),
                    patch_id=int(self.rows.patch_id[row]),
                    date=date,
                    coords=centre(self.grid, tile),
                    target={
                        field.name: self._or_missing(dense.get((field.variable, date, tile)), len(self.form.depth))
                        for field in fields
                    },
                    surface=np.concatenate(
                        [self._or_missing(dense.get((part.variable, date, tile)), 1) for part in self.form.channels]
                    ),
                    land=cut(self._land, tile),
                    points=observed.points,
                    observed=observed.values,
                    age=observed.age,
                )
            )
        return samples

    def _or_missing(self, codes: NDArray[Any] | None, levels: int) -> NDArray[Any]:
        """The codes, or those of a field that is missing everywhere: [level, row, column]."""
        if codes is not None:
            return codes
        assert self.form.encoding is not None  # of an export
        code = stretch("salinity", self.form.encoding)  # missing is the same code for all quantities
        return np.broadcast_to(np.array(code.nodata, code.dtype), (levels, self.form.tile, self.form.tile))

    def _check_dates(self) -> None:
        dates, first = np.unique(self.rows.date, return_index=True)
        for date, row in zip(dates.tolist(), first.tolist(), strict=True):
            for part in self._read:
                if part not in self._optional and date not in self._stored.dates[part.variable]:
                    held = sorted(self._stored.dates[part.variable])
                    raise ConfigError(
                        f"{self.rows.name(row)}: {self._root.url} has no {part.variable} of {date}: it has "
                        f"{len(held)} dates from {held[0]} to {held[-1]}; export that date (`oceanrecon export "
                        "--resume` makes what failed again), or leave the row out"
                    )
            try:
                self._profiles.check_days(date)
            except ConfigError as error:
                raise ConfigError(f"{self.rows.name(row)}: {error}") from None


def open_profiles(files: Files, manifest: Mapping[str, Any], grid: RasterGrid, choice: Choice) -> GriddedProfiles:
    """The gridded profiles of an export.

    Raises:
        ConfigError: it has none, or other temperatures than the reanalysis.
    """
    section = manifest.get("argo")
    if not section:
        raise ConfigError(
            f"{files.root.url} has no gridded profiles, which are the inputs of scenario {choice.scenario!r}: run "
            f"`oceanrecon profiles grid CONFIG` with grid.export {files.root.url}"
        )
    return GriddedProfiles(Files(files.root, GRIDDING), section, grid, choice)


def reanalysis_dates(manifest: Mapping[str, Any]) -> dict[int, list[int]]:
    """Of an export: date -> dates of the files that its target is of."""
    stores = [manifest["rasters"], *([] if manifest["dense"] is None else [manifest["dense"]["shards"]])]
    listed = (entries for store in stores for entries in store.get("glorys", {}).values())
    return {entry["date"]: entry["days_used"] for entries in listed for entry in entries if "days_used" in entry}
