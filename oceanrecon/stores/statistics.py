"""The statistics of an export on disk: climatology, deviations, vertical modes and covariances of its anomalies.

A folder with ``statistics.npz``, all arrays, and ``manifest.yaml``, written last: what they are of, and their checksum.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import OutputError
from oceanrecon.grid.coarse import Nesting
from oceanrecon.grid.raster import RasterGrid
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import MANIFEST, SCHEMA_VERSION, STATISTICS, read_manifest, write_manifest
from oceanrecon.transform.covariance import Covariance
from oceanrecon.transform.harmonic import TERMS

ARRAYS = "statistics.npz"
Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Modes:
    """Empirical orthogonal functions of the scaled anomalies of a column, V = fields x levels, temperature first."""

    #: falling: [V]
    variance: Values
    #: rows are modes, orthonormal: [V, V]
    modes: Values


@dataclass(frozen=True, eq=False)
class Statistics:
    """What ``oceanrecon statistics`` fitted to the training dates and floats of an export.

    Values are in K, PSU and m. A scaled anomaly is (value - climatology of place, level and date) / deviation of the
    level.

    Raises:
        OutputError: an array has another shape, or holds what is not a number.
    """

    #: ``temperature`` and ``salinity``, those that there are
    fields: tuple[str, ...]
    #: ``analysed_sst``, ``sos`` and ``adt``, those that there are
    surface: tuple[str, ...]
    #: m, downwards
    depth: tuple[float, ...]
    #: of the export
    grid: RasterGrid
    #: of the climatology: the same extent
    coarse: RasterGrid
    #: of ``transform.harmonic.season``: by field [TERMS, level, row, column], by surface field [TERMS, row, column]
    terms: Mapping[str, Values]
    #: of anomalies, above 0: by field [level], by surface field []
    deviation: Mapping[str, Values]
    eof: Modes
    #: levels with water at each pixel of ``grid``, 0 on land: [height, width]
    deepest: NDArray[np.int8]
    #: of scaled anomalies, whose variance is about 1, by field
    covariance: Mapping[str, Covariance]
    #: export, dates, floats and settings that they are of
    provenance: Mapping[str, Any]

    def __post_init__(self) -> None:
        wanted = _shapes(self)
        for name, values in _arrays(self).items():
            if values.shape != wanted[name]:
                raise OutputError(f"statistics: {name} has the shape {values.shape}, and {wanted[name]} is right")
            if not np.isfinite(values).all():
                raise OutputError(f"statistics: {name} has {int((~np.isfinite(values)).sum())} values that are missing")
        for name, deviation in self.deviation.items():
            if not (deviation > 0).all():
                raise OutputError(f"statistics: deviation/{name} is {float(deviation.min())}: it has to be above 0")

    @cached_property
    def nesting(self) -> Nesting:
        """How the pixels of ``grid`` lie in the cells of ``coarse``: the climatology of a pixel is interpolated."""
        return Nesting.of(self.grid, self.coarse)


def pack(statistics: Statistics) -> tuple[dict[str, Any], bytes]:
    """What they are of, in plain types, and their arrays as a file of numpy's: both go into models, too."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **_arrays(statistics))  # type: ignore[arg-type]
    described = {
        "fields": list(statistics.fields),
        "surface": list(statistics.surface),
        "depth": list(statistics.depth),
        "grid": statistics.grid.to_dict(),
        "coarse": statistics.coarse.to_dict(),
        "provenance": dict(statistics.provenance),
    }
    return described, stream.getvalue()


def unpack(described: Mapping[str, Any], data: bytes) -> Statistics:
    """The statistics of what ``pack`` made.

    Raises:
        OutputError: they are damaged.
    """
    try:
        with np.load(io.BytesIO(data)) as stored:
            arrays = {name: stored[name] for name in stored.files}
        fields, surface = tuple(described["fields"]), tuple(described["surface"])
        return Statistics(
            fields=fields,
            surface=surface,
            depth=tuple(described["depth"]),
            grid=RasterGrid(**described["grid"]),
            coarse=RasterGrid(**described["coarse"]),
            terms={name: arrays[f"terms/{name}"] for name in (*fields, *surface)},
            deviation={name: arrays[f"deviation/{name}"] for name in (*fields, *surface)},
            eof=Modes(arrays["eof/variance"], arrays["eof/modes"]),
            deepest=arrays["deepest"],
            covariance={
                name: Covariance(*(arrays[f"covariance/{name}/{part}"] for part in _COVARIANCE)) for name in fields
            },
            provenance=described["provenance"],
        )
    except (KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise OutputError(f"damaged statistics: {error!r}") from error


def write_statistics(root: Root, statistics: Statistics) -> None:
    """Write the arrays, and then the manifest: until it is there, there are no statistics.

    Raises:
        OutputError: they cannot be written.
    """
    root.remove(MANIFEST)
    described, data = pack(statistics)
    root.write(ARRAYS, data)
    files = {ARRAYS: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}}
    write_manifest(root, {"schema_version": SCHEMA_VERSION, "kind": STATISTICS, "files": files, **described})


def read_statistics(url: str) -> Statistics:
    """The statistics in a folder or at an fsspec URL.

    Raises:
        OutputError: there are none, they are damaged, or another version wrote them.
    """
    root = Root(url)
    manifest = read_manifest(root, STATISTICS)
    remedy = "run `oceanrecon statistics CONFIG --overwrite`"
    data = root.read_if_there(ARRAYS)
    if data is None:
        raise OutputError(f"{root.url_of(ARRAYS)} is gone: {remedy}")
    if hashlib.sha256(data).hexdigest() != manifest.get("files", {}).get(ARRAYS, {}).get("sha256"):
        raise OutputError(f"{root.url_of(ARRAYS)} is not what was written: {remedy}")
    try:
        return unpack(manifest, data)
    except OutputError as error:
        raise OutputError(f"{root.url}: {error}: {remedy}") from error


_COVARIANCE = ("length_km", "signal", "noise")


def _arrays(statistics: Statistics) -> dict[str, NDArray[Any]]:
    """By name in the file."""
    return {
        **{f"terms/{name}": values for name, values in statistics.terms.items()},
        **{f"deviation/{name}": values for name, values in statistics.deviation.items()},
        "eof/variance": statistics.eof.variance,
        "eof/modes": statistics.eof.modes,
        "deepest": statistics.deepest,
        **{
            f"covariance/{name}/{part}": getattr(covariance, part)
            for name, covariance in statistics.covariance.items()
            for part in _COVARIANCE
        },
    }


def _shapes(statistics: Statistics) -> dict[str, tuple[int, ...]]:
    levels, coarse, grid = len(statistics.depth), statistics.coarse, statistics.grid
    size = len(statistics.fields) * levels
    return {
        **{f"terms/{name}": (TERMS, levels, coarse.height, coarse.width) for name in statistics.fields},
        **{f"terms/{name}": (TERMS, coarse.height, coarse.width) for name in statistics.surface},
        **{f"deviation/{name}": (levels,) for name in statistics.fields},
        **{f"deviation/{name}": () for name in statistics.surface},
        "eof/variance": (size,),
        "eof/modes": (size, size),
        "deepest": (grid.height, grid.width),
        **{f"covariance/{name}/{part}": (levels,) for name in statistics.fields for part in _COVARIANCE},
    }
