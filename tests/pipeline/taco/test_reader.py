"""Risk: the standard reader of TACO datasets cannot open ours, or finds other files in them."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
import tacoreader
from tacoreader.storage.base import TacoBackend

from oceanrecon.grid.octants import OCTANTS
from oceanrecon.pipeline.taco.build import append_taco
from oceanrecon.stores.taco import SLOTS
from oceanrecon.stores.taco_zip import Window
from oceanrecon.stores.tile_file import open_tile
from tests.taco_files import plane, small

# the reader asks duckdb 1.5 in a way that it calls old, and that duckdb 2 no longer has
pytestmark = pytest.mark.filterwarnings("ignore:fetch_arrow_table:DeprecationWarning")

_PART = re.compile(r"/vsisubfile/(\d+)_(\d+),(.*)")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look for an extension on the internet each time."""
    monkeypatch.setattr(TacoBackend, "_setup_duckdb_connection", lambda self: duckdb.connect(":memory:"))
    tacoreader.use("pandas")


@pytest.mark.parametrize("name", ["dataset", "one.tacozip"])
def test_the_standard_reader_finds_every_file(tmp_path: Path, name: str) -> None:
    small(tmp_path / "regions").build(tmp_path / name, form="zip" if name.endswith("zip") else "folder")
    loaded = tacoreader.load(str(tmp_path / name))
    assert loaded.extent["spatial"] == [-180, -90, 180, 90]
    dates = loaded.data
    assert list(dates["id"]) == ["2024_01_10", "2024_01_11"]
    regions = dates.read(1)
    assert list(regions["id"]) == [octant.name for octant in OCTANTS]
    files = regions.read("NORTH_INDIAN")
    assert list(files["id"]) == [slot.file for slot in SLOTS]
    assert list(files["id"][files["available"]]) == ["l4_ssh.nc", "l4_sst.nc"]
    values, latitude, longitude = _field(files.read("l4_sst.nc"), "analysed_sst")
    np.testing.assert_allclose(values, plane(latitude[:, None], longitude, 11), atol=6e-4)
    assert latitude.min() == 2.5
    assert longitude.max() == 87.5
    available = loaded.sql('SELECT "l1:id" FROM l2 WHERE "l2:available" AND "l2:data_source" = \'argo\'')
    assert sorted(available["l1:id"]) == [
        "NORTH_ATLANTIC",
        "NORTH_ATLANTIC",
        "SOUTH_PACIFIC_EAST",
        "SOUTH_PACIFIC_EAST",
    ]
    assert list(loaded.filter_datetime("2024-01-11/2024-01-11").data["id"]) == ["2024_01_11"]


def test_the_standard_reader_finds_days_that_were_added(tmp_path: Path) -> None:
    regional = small(tmp_path / "regions")
    regional.build(tmp_path / "dataset")
    regional.gridded("l4_sst", 12, {"analysed_sst": plane})
    regional.write()
    append_taco(regional.url, str(tmp_path / "dataset"))
    loaded = tacoreader.load(str(tmp_path / "dataset"))
    values, latitude, longitude = _field(loaded.data.read(2).read("SOUTH_INDIAN").read("l4_sst.nc"), "analysed_sst")
    np.testing.assert_allclose(values, plane(latitude[:, None], longitude, 12), atol=6e-4)


def test_a_window_of_a_file_ends_where_it_ends(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(100)))
    with open(tmp_path / "file", "rb") as file:
        window = Window(file, 10, 20)
        assert window.read() == bytes(range(10, 30))
        assert window.read(1) == b""
        assert window.seek(-5, 2) == 15
        assert window.read(100) == bytes(range(25, 30))
        assert window.seek(2) == window.tell() == 2
        assert window.read(3) == bytes(range(12, 15))


def _field(path: str, name: str) -> tuple[Any, Any, Any]:
    """A variable of a file that the reader has found, and its coordinates."""
    part = _PART.fullmatch(path)
    if part is None:
        with open_tile(path) as tile:
            return tile.read(name), tile.latitude, tile.longitude
    with (
        open(part[3], "rb") as file,
        open_tile(io.BufferedReader(Window(file, int(part[1]), int(part[2])))) as tile,
    ):
        return tile.read(name), tile.latitude, tile.longitude
