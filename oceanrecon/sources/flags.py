"""The surface mask of an OSTIA file: what its flags mean, and where some of them are set.

Files say it in two ways, and both are in use: ``flag_masks`` are bits of which a cell may have several, ``flag_values``
are numbers of which it has one (a 3 is then not a 1 and a 2). With both, the bits of the mask must equal the value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError, SourceError
from oceanrecon.grid import Axis
from oceanrecon.sources.hdf import open_hdf
from oceanrecon.sources.header import read_header
from oceanrecon.sources.registry import product

MASK = "mask"


@dataclass(frozen=True, eq=False)
class FlaggedCells:
    """Which cells of a file some flags are set in."""

    latitude: Axis
    longitude: Axis
    #: a flag is set, or the cell has no flags at all: [latitude, longitude]
    flagged: NDArray[np.bool_]


@dataclass(frozen=True)
class Flag:
    """One meaning: set where ``stored & mask == value``, or, without a value, where any bit of the mask is."""

    mask: int | None
    value: int | None

    def of(self, stored: NDArray[Any]) -> NDArray[np.bool_]:
        """Where it is set, of stored numbers of any shape."""
        bits = stored if self.mask is None else stored & stored.dtype.type(self.mask)
        return np.asarray(bits != 0 if self.value is None else bits == self.value, np.bool_)


def read_flagged(url: str, meanings: Sequence[str]) -> FlaggedCells:
    """Where some flags are set in the first time of an OSTIA file (path or fsspec URL).

    Args:
        url: the file.
        meanings: as the file spells them, such as ``land``.

    Raises:
        SourceError: the file cannot be read, or has no flags.
        ConfigError: a meaning is not one of the file's; lists those.
    """
    try:
        header = read_header(url, product("ostia"))
        with open_hdf(url) as opened:
            if MASK not in opened:
                raise SourceError(f"no variable {MASK!r}; the file holds {', '.join(sorted(opened))}")
            variable = opened[MASK]
            flags = parse_flags({name: variable.attrs[name] for name in variable.attrs})
            stored = np.asarray(variable[()])
            fill = variable.attrs.get("_FillValue")
    except SourceError as error:
        raise SourceError(f"{url}: {error}") from error
    for meaning in meanings:
        if meaning not in flags:
            raise ConfigError(f"{url} has no flag {meaning!r}: its mask says {', '.join(flags)}")
    shape = (header.latitude.size, header.longitude.size)
    if stored.dtype.kind not in "iu" or stored.shape[-2:] != shape:
        raise SourceError(f"{url}: {MASK} is {stored.dtype} {stored.shape}: expected are whole numbers on {shape}")
    stored = stored.reshape(-1, *shape)[0]
    flagged = np.zeros(shape, bool) if fill is None else stored == np.asarray(fill).reshape(-1)[0]
    if flagged.all():
        raise SourceError(f"{url}: {MASK} is missing in every cell: take another file")
    for meaning in meanings:
        flagged |= flags[meaning].of(stored)
    return FlaggedCells(header.latitude, header.longitude, flagged)


def parse_flags(attributes: dict[str, Any]) -> dict[str, Flag]:
    """Flags by meaning, from the attributes of a variable (CF 3.5).

    Raises:
        SourceError: there are none, or not as many numbers as meanings.
    """
    meanings = _words(attributes.get("flag_meanings", b""))
    masks, values = (_numbers(attributes.get(name)) for name in ("flag_masks", "flag_values"))
    if not meanings or (masks is None and values is None):
        raise SourceError(f"{MASK} has no flag_meanings with flag_masks or flag_values: take a file that has them")
    for name, numbers in (("flag_masks", masks), ("flag_values", values)):
        if numbers is not None and len(numbers) != len(meanings):
            raise SourceError(f"{MASK} has {len(numbers)} {name} for {len(meanings)} flag_meanings: {meanings}")
    return {
        meaning: Flag(None if masks is None else masks[number], None if values is None else values[number])
        for number, meaning in enumerate(meanings)
    }


def _words(stored: Any) -> list[str]:
    if isinstance(stored, np.ndarray):
        stored = stored.reshape(-1)[0] if stored.size else b""
    return (stored.decode("utf-8", "replace") if isinstance(stored, bytes) else str(stored)).split()


def _numbers(stored: Any) -> list[int] | None:
    return None if stored is None else [int(number) for number in np.asarray(stored).reshape(-1)]
