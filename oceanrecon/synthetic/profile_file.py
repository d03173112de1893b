"""Writes files of profiles through the netCDF library, always the same bytes for the same values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

import netCDF4
import numpy as np
from numpy.typing import NDArray

from oceanrecon.synthetic.netcdf import Attributes

#: What a value that is missing is stored as.
FILL = 99999.0
_CHUNK_PROFILES = 500


@dataclass(frozen=True)
class Form:
    """One variable as it is stored. Characters (``S1``) have a blank as fill, numbers ``FILL`` where none is named."""

    name: str
    type: Literal["S1", "i4", "f4", "f8"]
    dimensions: tuple[str, ...]
    attributes: Attributes = field(default_factory=dict)
    fill: float = FILL


@contextmanager
def new_file(
    path: str,
    form: Literal["NETCDF3_CLASSIC", "NETCDF4"],
    sizes: Mapping[str, int],
    variables: Sequence[Form],
    attributes: Attributes,
) -> Iterator[netCDF4.Dataset]:
    """A new file with all its variables declared, to be filled in the ``with`` block.

    Args:
        path: local file.
        form: of the file; NetCDF-4 is deflated in chunks of some hundred profiles and all levels.
        sizes: dimensions and their lengths; one of length 0 is unlimited, as classic files know no empty ones.
        variables: their forms, in the order of the file.
        attributes: of the file.

    Raises:
        OSError: the file cannot be written.
    """
    packed = form == "NETCDF4"
    try:
        with netCDF4.Dataset(path, "w", format=form) as file:
            for name, size in sizes.items():
                file.createDimension(name, size)
            for variable in variables:
                shape = [max(1, sizes[name]) for name in variable.dimensions]
                chunks = [min(_CHUNK_PROFILES, shape[0]), *shape[1:]] if packed and variable.dimensions else None
                stored = file.createVariable(
                    variable.name,
                    variable.type,
                    variable.dimensions,
                    fill_value=b" " if variable.type == "S1" else np.dtype(variable.type).type(variable.fill),
                    compression="zlib" if packed else None,
                    complevel=1,
                    chunksizes=chunks,
                )
                stored.setncatts(dict(variable.attributes))
            file.setncatts(dict(attributes))
            file.set_auto_maskandscale(False)
            yield file
    except RuntimeError as error:  # what the netCDF library's own errors are
        raise OSError(str(error)) from error


def characters(texts: Sequence[str], length: int) -> NDArray[np.bytes_]:
    """Texts as the files hold them, padded with blanks: [text, length]."""
    padded = b"".join(text.encode()[:length].ljust(length) for text in texts)
    return np.frombuffer(padded, "S1").reshape(len(texts), length)


def stored(values: NDArray[np.floating]) -> NDArray[np.float32]:
    """Values as 4-byte numbers with ``FILL`` where they are missing."""
    return np.where(np.isnan(values), np.float32(FILL), values.astype(np.float32))
