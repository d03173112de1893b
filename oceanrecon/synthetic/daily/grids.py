"""Fields of a day in files of one time; and the products of the synthetic archive, in the folders of sources."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.grid.times import EPOCH
from oceanrecon.synthetic.config import ArchiveSynthesis, GlorysSynthesis, ProductName, ProductSynthesis
from oceanrecon.synthetic.job import Job
from oceanrecon.synthetic.native import NATIVE
from oceanrecon.synthetic.netcdf import Attributes, NetcdfFile, pack

#: Folder of a raw archive for each product.
FOLDERS: dict[ProductName, str] = {"glorys": "glorys", "ostia": "l4_sst", "sealevel": "l4_ssh", "sss": "l4_sss"}
_CHUNK = 360


@dataclass(frozen=True)
class Packed:
    """How a variable is stored: ``value = stored * scale + offset``; without a scale, as integers."""

    dtype: str
    fill: int
    attributes: Attributes
    scale: float | None = None
    offset: float = 0.0


def global_axes(cells_per_degree: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes and longitudes of the centres of the cells of the globe, degrees, rising from -90 and -180."""
    rows, columns = round(180 * cells_per_degree), round(360 * cells_per_degree)
    latitude = -90.0 + (np.arange(rows) + 0.5) * (180.0 / rows)
    longitude = -180.0 + (np.arange(columns) + 0.5) * (360.0 / columns)
    return np.asarray(latitude, np.float64), np.asarray(longitude, np.float64)


def write_grid(
    path: str,
    axes: tuple[NDArray[np.float64], NDArray[np.float64]],
    names: Sequence[str],
    moment: dt.datetime,
    fields: Mapping[str, tuple[Packed, NDArray[Any]]],
    attributes: Attributes,
) -> None:
    """Write fields of one time.

    Args:
        path: of the file.
        axes: latitudes and longitudes, degrees.
        names: of these two dimensions.
        moment: UTC.
        fields: how each variable is stored, and its values, NaN where missing: [row, column].
        attributes: of the file.
    """
    units = ("degrees_north", "degrees_east")
    seconds = (moment - dt.datetime.combine(EPOCH, dt.time())).total_seconds()
    time = {"standard_name": "time", "units": f"seconds since {EPOCH} 00:00:00", "calendar": "gregorian"}
    with NetcdfFile(path, attributes) as file:
        file.dimension("time", np.array([seconds]), time)
        for name, axis, unit, standard in zip(names, axes, units, ("latitude", "longitude"), strict=True):
            file.dimension(name, axis.astype(np.float32), {"units": unit, "standard_name": standard})
        for name, (packed, values) in fields.items():
            kind = np.dtype(packed.dtype).type
            described: dict[str, Any] = {**packed.attributes, "_FillValue": kind(packed.fill)}
            scale = 1.0 if packed.scale is None else packed.scale
            if packed.scale is not None:
                described |= {"scale_factor": np.float64(scale), "add_offset": np.float64(packed.offset)}
            file.variable(name, packed.dtype, ("time", *names), (1, _CHUNK, _CHUNK), packed.fill, described)
            stored = pack(np.asarray(values, np.float64), packed.dtype, scale, packed.offset, packed.fill)
            file.write(name, (0, 0, 0), stored[None])


def product_jobs(seed: int, day: dt.date, products: Mapping[ProductName, float], levels: int = 11) -> list[Job]:
    """A day's files of products of the synthetic archive, each in the folder of its source.

    Args:
        seed: number of the ocean.
        day: of the files.
        products: which, and their cells per degree.
        levels: of the reanalysis, from the surface: 11 go down to 15.8 m.
    """
    return [
        Job(f"{FOLDERS[name]}/{NATIVE[name].name_of(day)}", partial(_write, seed, day, name, cells, levels))
        for name, cells in products.items()
    ]


def _write(seed: int, day: dt.date, name: ProductName, cells: float, levels: int, path: str) -> None:
    # that module makes an archive of these, too
    from oceanrecon.synthetic.synthesize import synthesize

    settings = {"start": day, "end": day, "cells_per_degree": cells}
    product = GlorysSynthesis(**settings, levels=levels) if name == "glorys" else ProductSynthesis(**settings)
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        (made,) = synthesize(ArchiveSynthesis(seed=seed, **{name: product}), folder)
        os.replace(Path(folder) / made, path)
