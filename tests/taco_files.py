"""Small regional files and their inventory, written as ``regions format`` writes them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid.octants import OCTANTS, CellGrid, cut, octant_of
from oceanrecon.pipeline.taco.build import Built, build_taco
from oceanrecon.stores.files import Root
from oceanrecon.stores.taco import Description
from oceanrecon.stores.tile_file import About, StoredTile, tile_path, write_cells, write_gridded, write_points
from oceanrecon.stores.tile_inventory import TileRow, write_inventory
from oceanrecon.transform.binning import Binned, extent_of
from oceanrecon.transform.day import GriddedDay, PointDay, Track, Values

ABOUT = Description(
    id="small",
    version="1.0.0",
    title="A small dataset",
    description="Fields of formulas",
    licenses=("CC-BY-4.0",),
    providers=("tests",),
)
SST = {"standard_name": "sea_surface_temperature", "units": "degree_Celsius"}
HEIGHT = {"standard_name": "sea_surface_height_above_sea_level", "units": "m"}
#: Names of the eight regions.
ALL = tuple(octant.name for octant in OCTANTS)
#: Value of a field at latitudes and longitudes on a day of a month.
Formula = Callable[[NDArray[np.float64], NDArray[np.float64], int], NDArray[Any]]


def plane(latitude: NDArray[np.float64], longitude: NDArray[np.float64], day: int) -> NDArray[np.float64]:
    """Values that tell where they are, also across the dateline: periodic in longitude, linear in latitude."""
    return np.asarray(day + 0.05 * latitude + 2 * np.cos(np.radians(longitude)))


class Regional:
    """A folder of regional files that is added to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: list[TileRow] = []

    @property
    def url(self) -> str:
        return str(self.folder)

    def gridded(
        self,
        source: str,
        day: int,
        fields: Mapping[str, Formula],
        *,
        step: float = 5.0,
        attributes: Mapping[str, Any] = SST,
        regions: Sequence[str] = ALL,
        missing: int | None = None,
        grid: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    ) -> None:
        """A day of January 2024 of fields on a global grid whose cells are aligned with the octants, or on another.

        With a number for what is missing they are integers.
        """
        latitude, longitude = grid or (np.arange(-90 + step / 2, 90, step), np.arange(-180 + step / 2, 180, step))
        rows, columns = latitude[:, None], longitude[None, :]
        values = {}
        for name, formula in fields.items():
            data = np.broadcast_to(formula(rows, columns, day), (latitude.size, longitude.size))
            dtype = np.float32 if missing is None else np.int16
            values[name] = Values(np.ascontiguousarray(data, dtype), attributes, missing)
        noon = np.datetime64(f"2024-01-{day:02d}T12:00:00", "us")
        whole = GriddedDay(latitude, longitude, values, noon, noon)
        for number, part, where in cut(latitude, longitude):
            octant = OCTANTS[number]
            if octant.name in regions:
                path = tile_path(source, octant.name, _date(day))
                self._add(
                    source, day,
                    write_gridded(Root(self.url), path, octant, whole, part, where, _about(source, day)),
                )  # fmt: skip

    def points(
        self, day: int, latitude: Sequence[float], longitude: Sequence[float], values: Sequence[float],
        more: Mapping[str, Values] | None = None,
    ) -> None:  # fmt: skip
        """A day of Argo points: temperature, pressure, and more."""
        south, east = np.array(latitude, np.float64), np.array(longitude, np.float64)
        time = np.full(south.size, np.datetime64(f"2024-01-{day:02d}T06:00:00", "us"))
        data = {"TEMP": Values(np.array(values, np.float32), {"units": "degree_Celsius"}),
                "PRES": Values(np.arange(south.size, dtype=np.float32), {"units": "decibar"}),
                **(more or {})}  # fmt: skip
        whole = PointDay(south, east, time, data, np.zeros(0, np.int16))
        for number, octant in enumerate(OCTANTS):
            there = np.flatnonzero(octant_of(south, east) == number)
            if there.size:
                path = tile_path("argo", octant.name, _date(day))
                self._add(
                    "argo", day,
                    write_points(Root(self.url), path, octant, whole, there, _about("argo", day)),
                )  # fmt: skip

    def cells(self, source: str, day: int, octant_number: int, size_km: float, cells: Mapping[int, float]) -> None:
        """A day of cells with one point each, of one octant."""
        octant = OCTANTS[octant_number]
        grid = CellGrid(octant, size_km)
        places = np.array(sorted(cells), np.int64)
        one = np.ones(places.size, np.int32)
        noon = np.datetime64(f"2024-01-{day:02d}T12:00:00", "us")
        binned = Binned(
            grid=grid,
            cells=places,
            n_obs=one,
            means={"sla_filtered": np.array([cells[place] for place in places.tolist()], np.float32)},
            stds={"sla_filtered": np.full(places.size, np.nan, np.float32)},
            counts={"sla_filtered": one},
            attributes={"sla_filtered": HEIGHT},
            primary_track=np.zeros(places.size, np.int16),
            n_tracks=np.ones(places.size, np.int16),
            tracks=(Track("track.nc", "Jason-1"),),
            track_times=np.array([0.0]),
            start=noon,
            end=noon,
            extent=extent_of(grid.latitude[places // grid.shape[1]], grid.longitude[places % grid.shape[1]]),
        )
        path = tile_path(source, octant.name, _date(day))
        self._add(source, day, write_cells(Root(self.url), path, grid, binned, _about(source, day)))

    def build(self, output: Path, **options: Any) -> Built:
        """Write the inventory and build a dataset of everything."""
        self.write()
        return build_taco(self.url, str(output), ABOUT, **options)

    def write(self) -> None:
        write_inventory(Root(self.url), self.rows)

    def _add(self, source: str, day: int, tile: StoredTile) -> None:
        self.rows.append(
            TileRow(
                path=tile.path,
                source=source,
                region=tile.region,
                date=f"202401{day:02d}",
                variable="sst",
                sensor="formula",
                box=tile.extent,
                start=tile.start,
                end=tile.end,
                size=tile.bytes,
                sha256=tile.sha256,
                source_files=("made.nc",),
                source_version="1",
                resolution=tile.spacing,
                observations=tile.n_obs,
                valid=sum(tile.valid.values()),
            )
        )


def small(folder: Path) -> Regional:
    """Two days: temperature and height everywhere, points and cells in the North Atlantic."""
    regional = Regional(folder)
    for day in (10, 11):
        regional.gridded("l4_sst", day, {"analysed_sst": plane})
        regional.gridded("l4_ssh", day, {"sla": lambda south, east, day: plane(south, east, day) / 10 + 0 * south},
                         step=10.0, attributes=HEIGHT)  # fmt: skip
        regional.points(day, [10.0, 20.5, -30.0], [-40.0, -5.0, 170.0], [20.0, 21.0, 12.0])
    regional.cells("l3_ssh", 10, 5, 100.0, {0: 0.25, 500: -0.5})
    return regional


def _date(day: int) -> dt.date:
    return dt.date(2024, 1, day)


def _about(source: str, day: int) -> About:
    return About(source, f"{source} of formulas", _date(day), ("made.nc",), "made")
