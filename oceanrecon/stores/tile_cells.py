"""Writes the cells of a region that points of a day were counted in; those without any take no room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from oceanrecon.grid.octants import CellGrid
from oceanrecon.stores.files import Root
from oceanrecon.stores.tile_about import TIME, About, StoredTile, global_attributes, span_of, store, write_axes
from oceanrecon.stores.tile_form import CellChunks, NetcdfImage
from oceanrecon.transform.binning import Binned

_PLANE = ("lat", "lon")
_NAN = np.float32(np.nan)


def write_cells(root: Root, path: str, grid: CellGrid, binned: Binned, about: About) -> StoredTile:
    """Write what was counted in the cells of an octant.

    For each variable ``v``: ``v`` (mean), ``v_std`` (population deviation, NaN with fewer than two values) and
    ``v_count``; for all together ``n_obs``, ``primary_track``, ``n_tracks``, ``is_overlap``, and the tracks themselves.

    Args:
        root: of the output.
        path: of the file below it.
        grid: of the cells.
        binned: cells that have points: at least one.
        about: for the attributes.

    Raises:
        OutputError: it cannot be written.
    """
    start, end = span_of(binned.start, binned.end, about.date)
    attributes = global_attributes(about, grid.octant, (start, end))
    attributes |= {"resolution_km": np.float64(grid.size_km), "resolution_degrees": np.array(grid.spacing)}
    cells = CellChunks(binned.cells, grid.shape)
    with NetcdfImage(attributes) as image:
        write_axes(image, grid.latitude, grid.longitude, about.date)
        for name in binned.means:
            _write_statistics(image, cells, binned, name)
        _write_tracks(image, cells, binned)
        data = image.finish()
    return store(
        root, path, data, grid.octant,
        extent=binned.extent,
        start=start,
        end=end,
        n_obs=int(binned.n_obs.sum()),
        valid={name: int(count.sum()) for name, count in binned.counts.items()},
        spacing=grid.spacing,
        n_tracks=len(binned.tracks),
    )  # fmt: skip


def _write_statistics(image: NetcdfImage, cells: CellChunks, binned: Binned, name: str) -> None:
    own = binned.attributes[name]
    title = str(own.get("long_name", name))
    units = {"units": own["units"]} if "units" in own else {}
    about: dict[str, Mapping[str, Any]] = {
        name: {
            **own, "ancillary_variables": f"{name}_std {name}_count", "cell_methods": "area: time: mean",
            "_FillValue": _NAN,
        },
        f"{name}_std": {
            "long_name": f"{title}: standard deviation of the observations of a cell", **units,
            "cell_methods": "area: time: standard_deviation", "_FillValue": _NAN,
        },
        f"{name}_count": {"long_name": f"{title}: observations of a cell that have a value", "units": "1"},
    }  # fmt: skip
    values = (binned.means[name], binned.stds[name], binned.counts[name])
    for (each, attributes), data, fill in zip(about.items(), values, (_NAN, _NAN, np.int32(0)), strict=True):
        image.sparse(each, _PLANE, cells, data.astype(fill.dtype), fill, {**attributes, "coordinates": "time"})


def _write_tracks(image: NetcdfImage, cells: CellChunks, binned: Binned) -> None:
    # no _FillValue: readers would make floats of these
    for name, data, fill, attributes in (
        ("n_obs", binned.n_obs, np.int32(0),
         {"standard_name": "number_of_observations", "long_name": "Observations of a cell", "units": "1"}),
        ("primary_track", binned.primary_track, np.int16(-1),
         {"long_name": "Place in track_ids, from 0, of the track with most observations of a cell; -1: none"}),
        ("n_tracks", binned.n_tracks, np.int16(0),
         {"long_name": "Tracks that have an observation in a cell", "units": "1"}),
        ("is_overlap", binned.n_tracks > 1, np.int8(0),
         {"long_name": "Whether a cell has several tracks", "flag_values": np.array([0, 1], np.int8),
          "flag_meanings": "at_most_one_track several_tracks"}),
    ):  # fmt: skip
        image.sparse(name, _PLANE, cells, data.astype(fill.dtype), fill, {**attributes, "coordinates": "time"})
    image.dimension("track", len(binned.tracks))
    for name, texts, title in (
        ("track_ids", [track.name for track in binned.tracks], "File of a track"),
        ("track_platforms", [track.platform for track in binned.tracks], "Platform of a track"),
    ):
        image.texts(name, "track", np.char.encode(texts, "utf-8"), {"long_name": title})
    mean = {**TIME, "long_name": "Mean time of the observations of a track in this region", "_FillValue": np.nan}
    image.small("track_times", ("track",), binned.track_times.astype(np.float64), mean)
