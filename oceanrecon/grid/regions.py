"""Named regions of the ocean that are mostly coast: boxes, and how much land a patch there may have."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oceanrecon.errors import ConfigError

#: West, south, east, north, degrees.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Region:
    """A box in longitude and latitude; ``west > east`` crosses the dateline.

    Raises:
        ConfigError: the box is empty or off the globe.
    """

    name: str
    box: Box
    #: largest share of land of a patch that is kept because its centre is here
    max_land_fraction: float

    def __post_init__(self) -> None:
        west, south, east, north = self.box
        if not (-90 <= south < north <= 90 and -180 <= west <= 360 and -180 <= east <= 360 and west != east):
            raise ConfigError(
                f"the box {list(self.box)} of region {self.name!r} is none: give west, south, east, north in degrees, "
                "south < north in -90..90, longitudes in -180..360; west > east crosses the dateline"
            )

    def contains(self, latitude: ArrayLike, longitude: ArrayLike) -> NDArray[np.bool_]:
        """Whether points (degrees, longitudes of any turn) are in the box, its edges included."""
        west, south, east, north = self.box
        north_south, east_west = np.asarray(latitude, np.float64), np.asarray(longitude, np.float64)
        # degrees east of the western edge, so that the dateline is a place like any other
        width = east - west if east > west else east - west + 360.0
        inside = (north_south >= south) & (north_south <= north) & (np.mod(east_west - west, 360.0) <= width)
        return np.asarray(inside, np.bool_)


#: The boxes and caps of the published tables.
REGIONS = {
    region.name: region
    for region in (
        Region("mediterranean", (-6.0, 30.0, 37.0, 46.0), 0.60),
        Region("baltic", (9.0, 53.0, 31.0, 66.0), 0.85),
        Region("red_sea", (32.0, 12.0, 44.0, 30.0), 0.85),
        Region("hudson_bay", (-96.0, 50.0, -74.0, 65.0), 0.95),
    )
}


def find_region(name: str) -> Region:
    """A region by its name.

    Raises:
        ConfigError: there is none of that name; says the nearest one.
    """
    if name in REGIONS:
        return REGIONS[name]
    near = difflib.get_close_matches(name, REGIONS, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(REGIONS)};"
    raise ConfigError(f"unknown region {name!r}: {hint} a region of your own needs `box` and `max_land_fraction`")
