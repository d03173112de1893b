"""The real coastline at 0.1 degree and the distance to it, from a small file that ships with the package."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LAND_CELL = 0.1
DISTANCE_CELL = 0.5
COAST_FILE = Path(__file__).with_name("coast.npz")
_EARTH_KM = 6371.0


@dataclass(frozen=True)
class Coast:
    """Land and the distance to it, row 0 at the south, column 0 at 180 degrees west.

    ``land``: [1800, 3600] bool, cells of 0.1 degree. ``distance``: [361, 721] float32, km from the nodes of a
    0.5 degree lattice (poles and both sides of the dateline included) to the nearest land, 0 on land.
    """

    land: NDArray[np.bool_]
    distance: NDArray[np.float32]

    def land_at(self, latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether the 0.1 degree cell of each node is land: [latitude, longitude]."""
        return self.is_land(latitude[:, None], longitude[None, :])

    def is_land(self, latitude: NDArray[np.float64], longitude: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether the 0.1 degree cell of each place is land; latitudes and longitudes broadcast."""
        rows = np.clip(np.floor((latitude + 90.0) / LAND_CELL + 1e-6), 0, self.land.shape[0] - 1).astype(np.intp)
        columns = np.floor(np.mod(longitude + 180.0, 360.0) / LAND_CELL + 1e-6).astype(np.intp) % self.land.shape[1]
        return np.asarray(self.land[rows, columns], np.bool_)


@lru_cache(maxsize=1)
def coast() -> Coast:
    """The packaged coastline."""
    with np.load(COAST_FILE) as stored:
        land = np.unpackbits(stored["land"]).reshape(1800, 3600).astype(bool)
        # Stored as differences along the rows, which deflate packs ten times better than the distances.
        distance = np.cumsum(stored["distance"], axis=1, dtype=np.int32).astype(np.float32)
    return Coast(land, distance)


def make_coast_file(path: Path = COAST_FILE) -> None:
    """Make the packaged file from ``global-land-mask`` (1 km): 0.9 GB of memory and some 20 s of CPU, done once.

    A 0.1 degree cell is land when more than half of nine points in it are. Distances are great circles to the
    centre of the nearest land cell.
    """
    from global_land_mask import globe
    from scipy.spatial import cKDTree

    offsets = (np.arange(3) - 1.0) * LAND_CELL / 3.0
    latitude = -90.0 + LAND_CELL * (np.arange(1800) + 0.5)
    longitude = -180.0 + LAND_CELL * (np.arange(3600) + 0.5)
    count = np.zeros((1800, 3600), np.uint8)
    for south_north in offsets:
        for west_east in offsets:
            count += globe.is_land((latitude + south_north)[:, None], (longitude + west_east)[None, :])
    land = count > 4

    shore = land & ~(
        np.roll(land, 1, axis=1) & np.roll(land, -1, axis=1) & np.roll(land, 1, axis=0) & np.roll(land, -1, axis=0)
    )
    rows, columns = np.nonzero(shore)
    tree = cKDTree(_unit_vectors(latitude[rows], longitude[columns]))
    node_latitude, node_longitude = np.meshgrid(np.linspace(-90, 90, 361), np.linspace(-180, 180, 721), indexing="ij")
    chord, _ = tree.query(_unit_vectors(node_latitude.ravel(), node_longitude.ravel()))
    distance = np.rint(2 * np.arcsin(np.minimum(chord / 2, 1)) * _EARTH_KM).reshape(node_latitude.shape)
    on_land = Coast(land, np.empty(0, np.float32)).land_at(node_latitude[:, 0], node_longitude[0])
    distance[on_land] = 0
    differences = np.diff(distance.astype(np.int16), axis=1, prepend=np.int16(0))
    np.savez_compressed(path, land=np.packbits(land), distance=differences)


def _unit_vectors(latitude: NDArray[np.floating], longitude: NDArray[np.floating]) -> NDArray[np.floating]:
    """Points on the unit sphere: [n, 3]."""
    phi, lam = np.deg2rad(latitude), np.deg2rad(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)
