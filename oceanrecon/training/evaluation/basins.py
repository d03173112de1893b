"""In which ocean or sea a position is: rings drawn by hand, whose sides lie on land wherever two waters do not meet."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: Longitude and latitude of the corners of a ring, degrees; none crosses the dateline.
_Ring = tuple[tuple[float, float], ...]

#: Southern limit of the Atlantic, Indian and Pacific, and southern limit of the Arctic, degrees north.
_SOUTHERN, _ARCTIC = -60.0, 66.0

#: Seas first: where two rings overlap the first one counts. The Kattegat is Baltic, the Sea of Marmara is Black Sea,
#: the Persian Gulf and the Malacca Strait are Indian, and Hudson Bay and the White Sea are Arctic.
_RINGS: tuple[tuple[str, _Ring], ...] = (
    (
        "baltic",
        ((9.5, 53.3), (9.5, 57.0), (10.6, 57.75), (12.0, 57.9), (13.5, 61.0), (15.0, 63.5), (19.0, 66.3), (27.0, 66.3),
         (31.0, 60.5), (31.0, 59.0), (22.0, 53.3)),
    ),
    ("black_sea", ((26.5, 40.2), (26.5, 47.5), (42.0, 47.5), (42.0, 40.2))),
    (
        "mediterranean",
        ((-5.6, 30.0), (-5.6, 37.0), (0.0, 42.6), (4.0, 46.0), (14.0, 46.2), (20.0, 44.0), (27.0, 41.0), (37.0, 37.5),
         (37.0, 31.0), (34.0, 31.0), (30.0, 30.0)),
    ),
    (
        "red_sea",
        ((31.8, 30.2), (36.0, 30.2), (40.5, 22.0), (43.7, 16.0), (43.5, 12.7), (43.2, 12.5), (41.5, 12.8), (38.5, 15.0),
         (36.4, 18.0), (34.0, 23.0), (33.0, 26.0), (32.0, 28.0)),
    ),
    ("arctic", ((-96.0, 50.0), (-96.0, 66.0), (-71.0, 66.0), (-71.0, 60.5), (-76.5, 57.0), (-76.5, 50.0))),
    ("arctic", ((31.0, 63.0), (31.0, 66.0), (45.0, 66.0), (45.0, 63.0))),
    (
        "atlantic",
        ((-67.3, -60.0), (-67.3, -55.0), (-72.0, -50.0), (-71.0, -30.0), (-69.0, -18.0), (-76.0, -8.0), (-79.0, -3.0),
         (-77.5, 2.0), (-76.5, 5.0), (-77.3, 7.7), (-78.2, 9.1), (-79.6, 9.15), (-80.5, 8.75), (-81.7, 8.55),
         (-82.8, 9.0), (-84.0, 10.1), (-85.5, 11.3), (-86.5, 13.0), (-88.5, 14.5), (-91.0, 15.5), (-94.5, 16.9),
         (-98.0, 19.0), (-103.0, 23.0), (-107.0, 30.0), (-110.0, 45.0), (-100.0, 50.0), (-100.0, 66.0), (45.0, 66.0),
         (45.0, 48.0), (30.0, 46.0), (30.0, 31.0), (20.0, 10.0), (25.0, -10.0), (22.0, -30.0), (20.0, -34.8),
         (20.0, -60.0)),
    ),
    (
        "indian",
        ((20.0, -60.0), (20.0, -34.8), (22.0, -30.0), (25.0, -10.0), (20.0, 10.0), (30.0, 31.0), (30.0, 32.0),
         (98.0, 32.0), (98.0, 22.0), (99.0, 16.0), (99.0, 12.0), (99.3, 9.0), (100.3, 6.5), (102.0, 3.5), (103.5, 1.3),
         (104.0, -3.0), (105.5, -6.0), (106.5, -6.6), (110.0, -7.4), (115.2, -8.4), (118.0, -8.6), (121.5, -8.6),
         (124.5, -8.3), (127.0, -8.4), (131.0, -8.0), (141.0, -8.5), (142.3, -11.0), (143.0, -20.0), (145.0, -37.0),
         (146.3, -39.0), (146.8, -41.0), (146.8, -60.0)),
    ),
)  # fmt: skip

BASINS = (
    "north_atlantic", "south_atlantic", "north_pacific", "south_pacific", "indian", "southern", "arctic",
    "mediterranean", "black_sea", "baltic", "red_sea",
)  # fmt: skip


def basin(latitude: ArrayLike, longitude: ArrayLike) -> NDArray[np.int64]:
    """The number of a position's basin in ``BASINS``; a position on land gets that of some water near it.

    The Southern Ocean begins at 60 degrees south, the Arctic at 66 degrees north; what is in no ring is Pacific.

    Args:
        latitude: degrees north, any shape.
        longitude: degrees east, of any turn, of a shape that fits.
    """
    north, east = np.broadcast_arrays(
        np.asarray(latitude, np.float64), np.mod(np.asarray(longitude, np.float64) + 180.0, 360.0) - 180.0
    )
    found = np.where(north >= 0, BASINS.index("north_pacific"), BASINS.index("south_pacific"))
    for name, ring in reversed(_RINGS):
        number = (
            np.where(north >= 0, BASINS.index("north_atlantic"), BASINS.index("south_atlantic"))
            if name == "atlantic"
            else BASINS.index(name)
        )
        found = np.where(_inside(ring, north, east), number, found)
    found = np.where(north < _SOUTHERN, BASINS.index("southern"), found)
    # the Gulf of Bothnia reaches beyond the Arctic's limit
    arctic = (north >= _ARCTIC) & (found != BASINS.index("baltic"))
    return np.where(arctic, BASINS.index("arctic"), found)


def _inside(ring: _Ring, north: NDArray[np.float64], east: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a ray from a point towards the east crosses an odd number of sides."""
    inside = np.zeros(north.shape, bool)
    for (x0, y0), (x1, y1) in pairwise((*ring, ring[0])):
        if y0 != y1:
            crosses = (y0 > north) != (y1 > north)
            inside ^= crosses & (east < x0 + (north - y0) * (x1 - x0) / (y1 - y0))
    return inside
