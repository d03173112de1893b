"""Writes a synthetic archive: a folder per product or kind of profiles, files in their native form, with faults."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oceanrecon.access.healing import healed
from oceanrecon.access.systems import file_system, has_folders
from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid.levels import GLORYS_DEPTH
from oceanrecon.synthetic.argo import argo_jobs
from oceanrecon.synthetic.config import ArchiveSynthesis, GlorysSynthesis, ProductName, ProductSynthesis
from oceanrecon.synthetic.daily.jobs import daily_jobs
from oceanrecon.synthetic.en4 import en4_jobs
from oceanrecon.synthetic.fields import Band, level_fields, surface_fields
from oceanrecon.synthetic.job import Job
from oceanrecon.synthetic.native import NATIVE, Native, Stored
from oceanrecon.synthetic.netcdf import NetcdfFile, pack
from oceanrecon.synthetic.truth import Ocean, noon

#: Told after each file: how many are done, how many there are, the path of this one.
Progress = Callable[[int, int, str], None]
#: A band of rows is computed at once: about this many columns of water, so that memory stays below a gigabyte.
_BAND_CELLS = 1_600_000
_TRUNCATED_PART = 0.6


@dataclass(frozen=True)
class _File:
    """One file to write: its path below the archive, what is in it and what is wrong with it."""

    product: ProductName
    name: str
    dates: tuple[dt.date, ...]
    seed: int
    faults: frozenset[str] = frozenset()

    @property
    def path(self) -> str:
        return f"{self.product}/{self.name}"


def synthesize(config: ArchiveSynthesis, output: str | os.PathLike[str], progress: Progress | None = None) -> list[str]:
    """Write the archive to a folder or an fsspec URL; files that are there are replaced.

    Args:
        config: what to write.
        output: folder or fsspec URL of the archive; products are in ``glorys/``, ``ostia/``, ``sealevel/``, ``sss/``,
            profiles in ``en4/`` and ``argo/``; daily files in the folders of their sources.
        progress: called with (files done, files in all, path) after each file.

    Returns:
        Paths of the files relative to ``output``, in the order of writing.

    Raises:
        ConfigError: a variable that the product does not have, a region without two rows and columns of a grid or
            without deep water for profiles, or a fault of a profile that a float does not have.
        OutputError: the output cannot be written.
    """
    for name, product in config.products.items():
        _variables(name, product)
        _axes(config, name, product)
    jobs = [Job(file.path, partial(_write, config, file), "truncated" in file.faults) for file in _files(config)]
    jobs += en4_jobs(config) + argo_jobs(config) + daily_jobs(config)
    for done, job in enumerate(jobs, start=1):
        _publish(job, os.fspath(output))
        if progress is not None:
            progress(done, len(jobs), job.path)
    return [job.path for job in jobs]


def _files(config: ArchiveSynthesis) -> list[_File]:
    files = []
    for product, settings in config.products.items():
        native = NATIVE[product]
        faults = [fault for fault in config.faults if fault.product == product]
        together = {date: fault.dates for fault in faults if fault.kind == "several_days" for date in fault.dates}
        undated = 0
        for date in settings.dates:
            wrong = frozenset(fault.kind for fault in faults if date in fault.dates)
            file = _File(product, native.name_of(date), (date,), config.seed, wrong)
            if "missing" in wrong:
                continue
            if "superseded" in wrong:
                files.append(replace(file, name=native.name_of(date, superseded=True), seed=config.seed + 1))
            if date in together:
                dates = tuple(sorted(together[date]))
                if date != dates[0]:
                    continue
                # The provider's own tool names the files that it cuts like this.
                file = replace(file, name=f"{native.dataset}_{dates[0]}-{dates[-1]}.nc", dates=dates)
            if "undated" in wrong:
                undated += 1
                file = replace(file, name=f"{native.dataset}_copy{undated}.nc")
            files.append(file)
    return files


def _publish(job: Job, output: str) -> None:
    """Write a file under a temporary name and give it its own when it is whole."""
    local = "://" not in output
    destination = Path(output) / job.path if local else None
    folder = destination.parent if destination is not None else Path(tempfile.mkdtemp())
    temporary = folder / f".{uuid.uuid4().hex}.partial"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        job.write(str(temporary))
        if job.truncated:
            os.truncate(temporary, int(temporary.stat().st_size * _TRUNCATED_PART))
        if destination is not None:
            os.replace(temporary, destination)
        else:
            filesystem, path = file_system(f"{output.rstrip('/')}/{job.path}")
            if has_folders(output):
                filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
            healed(lambda: filesystem.put_file(str(temporary), path))
    except OSError as error:
        raise OutputError(
            f"cannot write {job.path} in {output}: {error}; free space or choose another output"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
        if destination is None:
            shutil.rmtree(folder, ignore_errors=True)


def _write(config: ArchiveSynthesis, file: _File, path: str) -> None:
    native, settings = NATIVE[file.product], config.products[file.product]
    variables = [_faulty(variable, file.faults) for variable in _variables(file.product, settings)]
    latitude, longitude = _axes(config, file.product, settings)
    depth = _depth(settings)
    with NetcdfFile(path, native.attributes) as target:
        _define(target, native, file, variables, latitude, longitude, depth)
        for index, date in enumerate(file.dates):
            for variable in variables:
                if variable.timeline:
                    target.write(variable.name, (index,), np.array([_correction(date)], variable.dtype))
            _write_day(target, file, native, variables, latitude, longitude, depth, index, noon(date))


def _write_day(
    target: NetcdfFile,
    file: _File,
    native: Native,
    variables: list[Stored],
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
    depth: NDArray[np.float64],
    index: int,
    day: float,
) -> None:
    ocean = Ocean(file.seed)
    by_name = {variable.name: variable for variable in variables}
    chunk_rows = native.chunks[-2]
    rows = chunk_rows * max(1, _BAND_CELLS // (chunk_rows * longitude.size))
    for first in range(0, latitude.size, rows):
        band = Band.of(ocean, latitude, longitude, first, rows, day)
        for name, values in surface_fields(file.product, ocean, band, by_name).items():
            stored = _stored(by_name[name], values)
            if by_name[name].levels:
                target.write(name, (index, 0, first, 0), stored[None, None])
            else:
                target.write(name, (index, first, 0), stored[None])
        if file.product == "glorys":
            for level, fields in level_fields(band, depth, native.chunks[0], by_name):
                for name, values in fields.items():
                    target.write(name, (index, level, first, 0), _stored(by_name[name], values)[None])


def _define(
    target: NetcdfFile,
    native: Native,
    file: _File,
    variables: list[Stored],
    latitude: NDArray[np.float64],
    longitude: NDArray[np.float64],
    depth: NDArray[np.float64],
) -> None:
    hours = np.array([24.0 * noon(date) for date in file.dates])
    unit = native.time_units.split()[0]
    if unit == "seconds":
        time = (hours - 24.0 * noon(dt.date(1981, 1, 1)) + 12.0) * 3600.0
    else:
        # DUACS stamps a day at its beginning.
        time = hours if unit == "hours" else np.floor(hours / 24.0)
    coordinates = {
        "time": time.astype(native.time_type),
        "depth": depth.astype(np.float32),
        "latitude": latitude.astype(np.float32),
        "longitude": longitude.astype(np.float32),
    }
    full = {"lat": "latitude", "lon": "longitude"}
    for dimension in native.dimensions:
        name = full.get(dimension, dimension)
        if name == "time":
            attributes = {**native.time_attributes, "units": native.time_units}
            target.dimension("time", len(file.dates) if "undated" in file.faults else coordinates["time"], attributes)
        elif name == "depth":
            target.dimension(
                dimension,
                coordinates[name],
                {"units": "m", "positive": "down", "standard_name": "depth", "long_name": "Depth", "axis": "Z"},
            )
        else:
            direction = ("degrees_north", "Y") if name == "latitude" else ("degrees_east", "X")
            values = coordinates[name]
            target.dimension(
                dimension,
                values,
                {
                    "units": direction[0],
                    "axis": direction[1],
                    "standard_name": name,
                    "long_name": name.capitalize(),
                    "valid_min": values.min(),
                    "valid_max": values.max(),
                },
            )
    for variable in variables:
        place = native.dimensions if variable.levels else tuple(d for d in native.dimensions if d != "depth")
        chunks = (1, *native.chunks[-len(place) + 1 :])
        if variable.timeline:
            place, chunks = ("time",), (1,)
        target.variable(
            variable.name, variable.dtype, place, chunks, variable.fill, _attributes(native, variable, file.faults)
        )


def _attributes(native: Native, variable: Stored, faults: frozenset[str]) -> dict[str, str | np.generic]:
    attributes: dict[str, str | np.generic] = {}
    kind = np.dtype(variable.dtype).type
    if "undeclared_fill" not in faults:
        attributes["_FillValue"] = kind(variable.fill)
    texts = {"long_name": variable.long_name, "standard_name": variable.standard_name, "units": variable.units}
    attributes |= {key: text for key, text in texts.items() if text}
    if not variable.plain:
        real = np.dtype(native.scale_type).type
        attributes |= {"scale_factor": real(variable.scale), "add_offset": real(variable.offset)}
    attributes |= dict(variable.more)  # type: ignore[arg-type]
    if variable.name == "mask":
        attributes["flag_masks"] = np.array([1, 2, 4, 8, 16], np.int8)  # type: ignore[assignment]
    if "no_units" in faults:
        attributes.pop("units", None)
        attributes.pop("unit_long", None)
    return attributes


def _faulty(variable: Stored, faults: frozenset[str]) -> Stored:
    if "celsius" in faults and variable.units == "kelvin" and variable.offset:
        return replace(variable, units="celsius", offset=variable.offset - 273.15)
    return variable


def _stored(variable: Stored, values: NDArray[np.floating]) -> NDArray[np.integer]:
    if variable.units == "celsius":
        values = values - 273.15
    return pack(values, variable.dtype, variable.scale, variable.offset, variable.fill)


def _correction(date: dt.date) -> int:
    """Drift of TOPEX-A, 0.1 mm; none after 1998, as in the product."""
    return 0 if date.year > 1998 else 40


def _variables(name: ProductName, product: ProductSynthesis) -> list[Stored]:
    known = {variable.name: variable for variable in NATIVE[name].variables}
    wanted = product.variables if product.variables is not None else tuple(known)
    for variable in wanted:
        if variable not in known:
            raise ConfigError(f"{name}.variables: {variable!r} is not in this product: it has {', '.join(known)}")
    return [known[variable] for variable in wanted]


def _depth(product: ProductSynthesis) -> NDArray[np.float64]:
    levels = product.levels if isinstance(product, GlorysSynthesis) else 0
    # float32 is what the files hold, so the truth is at those depths.
    return np.array(GLORYS_DEPTH[:levels] or (0.0,), np.float32).astype(np.float64)


def _axes(
    config: ArchiveSynthesis, name: ProductName, product: ProductSynthesis
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Latitudes and longitudes of a product's files, degrees."""
    native, cells = NATIVE[name], product.cells_per_degree
    west, south, east, north = config.region
    half = 0.5 if native.centred else 0.0
    low, high = native.latitudes
    steps = np.arange(round((high - low) * cells) + (0 if native.centred else 1))
    latitude = low + (steps + half) / cells
    latitude = latitude[(latitude >= south - 1e-9) & (latitude <= north + 1e-9)]
    if east - west > 360.0 - 1e-9:
        start = 0.0 if product.longitudes == "0..360" else -180.0
        longitude = start + (np.arange(round(360.0 * cells)) + half) / cells
    else:
        first = np.ceil(west * cells - half - 1e-6)
        last = np.floor(east * cells - half + 1e-6)
        longitude = (np.arange(first, last + 1) + half) / cells
        if product.longitudes == "0..360" and longitude.size and longitude[0] < 0.0:
            longitude += 360.0
    if latitude.size < 2 or longitude.size < 2:
        raise ConfigError(
            f"region {list(config.region)} holds {latitude.size} rows and {longitude.size} columns of {name} at "
            f"{cells:g} cells per degree: widen the region or raise `cells_per_degree`"
        )
    ordered = latitude[::-1] if product.latitudes == "descending" else latitude
    return ordered.astype(np.float64), longitude.astype(np.float64)
