"""The codes of an export, by variable, date and tile: from ``dense.zarr``, or from its GeoTIFFs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError
from oceanrecon.samples.form import Dense
from oceanrecon.samples.tiles import Band, Tile
from oceanrecon.stores.byte_ranges import Files
from oceanrecon.stores.files import Root
from oceanrecon.stores.shard_reader import open_arrays, read_boxes
from oceanrecon.stores.tiff_reader import TiffReader

Store = Literal["zarr", "geotiff"]
#: Variable, date (YYYYMMDD), and what of it.
Wanted = tuple[str, int, Tile | Band]


class Codes(Protocol):
    """Reads codes."""

    #: by variable: the dates that are there, and the path of each
    dates: dict[str, dict[int, str]]

    def read(self, wanted: Sequence[Wanted]) -> list[NDArray[Any]]:
        """[level, row, column] each, with one level where the variable has none.

        Raises:
            OutputError: a file is not there, or is damaged; names it.
        """
        ...


class ZarrCodes:
    """Codes of ``dense.zarr``."""

    def __init__(
        self, files: Files, manifest: Mapping[str, Any], variables: Iterable[Dense], optional: Collection[Dense]
    ) -> None:
        """Of the export below the root of ``files``."""
        path = manifest["dense"]["path"]
        arrays = open_arrays(files, path)
        self.dates = _dates(files.root, manifest["dense"]["shards"], variables, optional)
        self._arrays = {variable: arrays[variable] for variable, paths in self.dates.items() if paths}
        # the time of a shard is in its name: dense.zarr/thetao/c/<time>/0/0/0
        at = len(f"{path}//c/")
        self._times = {
            variable: {date: int(shard[at + len(variable) :].split("/")[0]) for date, shard in paths.items()}
            for variable, paths in self.dates.items()
        }

    def read(self, wanted: Sequence[Wanted]) -> list[NDArray[Any]]:
        """See ``Codes``."""
        requests = []
        for variable, date, tile in wanted:
            array, time = self._arrays[variable], self._times[variable][date]
            levels = ((0, array.shape[1]),) if len(array.shape) == 4 else ()
            corner = ((time, time + 1), *levels, (tile.row, tile.row + tile.size))
            requests += [(array, (*corner, columns)) for columns in tile.columns]
        found = iter(read_boxes(requests))
        values = []
        for _, _, tile in wanted:
            parts = [next(found) for _ in tile.columns]
            whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1)
            values.append(whole.reshape(-1, tile.size, whole.shape[-1]))
        return values


class TiffCodes:
    """Codes of GeoTIFFs."""

    def __init__(
        self, root: Root, manifest: Mapping[str, Any], variables: Iterable[Dense], optional: Collection[Dense]
    ) -> None:
        """Of the export below ``root``."""
        self.dates = _dates(root, manifest["rasters"], variables, optional)
        self._reader = TiffReader(root)

    def read(self, wanted: Sequence[Wanted]) -> list[NDArray[Any]]:
        """See ``Codes``."""
        values = []
        for variable, date, tile in wanted:
            path = self.dates[variable][date]
            rows = (tile.row, tile.row + tile.size)
            parts = [self._reader.read(path, rows, columns) for columns in tile.columns]
            values.append(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-1))
        return values


def open_codes(
    files: Files,
    manifest: Mapping[str, Any],
    store: Store | None,
    variables: Sequence[Dense],
    optional: Collection[Dense] = (),
) -> ZarrCodes | TiffCodes:
    """The codes of some variables of an export.

    Args:
        files: how to read below the export.
        manifest: of the export.
        store: which of its two forms; default: ``dense.zarr`` where the export has it.
        variables: which.
        optional: those of them that the export may lack: they have no dates then.

    Raises:
        ConfigError: the export has not that form, or not that variable.
    """
    if store not in (None, "zarr", "geotiff"):
        raise ConfigError(f"there is no store {store!r}: it is zarr or geotiff")
    if store == "zarr" or (store is None and manifest["dense"] is not None):
        if manifest["dense"] is None:
            raise ConfigError(f"{files.root.url} has no dense.zarr: export with formats.zarr, or take store='geotiff'")
        return ZarrCodes(files, manifest, variables, optional)
    return TiffCodes(files.root, manifest, variables, optional)


def _dates(
    root: Root, entries: Mapping[str, Mapping[str, Any]], variables: Iterable[Dense], optional: Collection[Dense]
) -> dict[str, dict[int, str]]:
    """By variable: its dates and paths."""
    found = {}
    for part in variables:
        listed = entries.get(part.product, {}).get(part.variable)
        if not listed and part not in optional:
            has = ", ".join(name for group in entries.values() for name, some in group.items() if some) or "nothing"
            raise ConfigError(
                f"{root.url} has no {part.variable} in this form (it has {has}): export it, or choose a scenario, "
                "surface fields and a store without it"
            )
        found[part.variable] = {int(entry["date"]): str(entry["path"]) for entry in listed or ()}
    return found
