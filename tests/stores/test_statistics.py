"""Risk: statistics are read that are damaged, of another shape, or that hold what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from oceanrecon.errors import OutputError
from oceanrecon.grid import RasterGrid
from oceanrecon.grid.coarse import coarse_grid
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import export_fingerprint
from oceanrecon.stores.statistics import ARRAYS, Modes, Statistics, read_statistics, write_statistics
from oceanrecon.transform.covariance import Covariance

GRID = RasterGrid.from_bounds(0.5, (-180.0, -60.0, 180.0, 60.0))


def made() -> Statistics:
    """Two fields on three levels, and one surface field; every number its own."""
    random = np.random.default_rng(3)
    coarse = coarse_grid(GRID, 10.0)
    place = (coarse.height, coarse.width)

    def some(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return random.random(shape, np.float32) + np.float32(0.5)

    fields = ("temperature", "salinity")
    return Statistics(
        fields=fields,
        surface=("adt",),
        depth=(0.5, 10.0, 100.0),
        grid=GRID,
        coarse=coarse,
        terms={**{name: some(5, 3, *place) for name in fields}, "adt": some(5, *place)},
        deviation={**{name: some(3) for name in fields}, "adt": some()},
        eof=Modes(some(6), some(6, 6)),
        deepest=random.integers(0, 4, (GRID.height, GRID.width)).astype(np.int8),
        covariance={name: Covariance(some(3), some(3), some(3)) for name in fields},
        provenance={"export": {"url": "somewhere"}, "dates": [20120229]},
    )


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    statistics = made()
    write_statistics(Root(str(tmp_path)), statistics)
    found = read_statistics(str(tmp_path))
    assert (found.fields, found.surface, found.depth) == (statistics.fields, statistics.surface, statistics.depth)
    assert (found.grid, found.coarse, found.provenance) == (GRID, statistics.coarse, statistics.provenance)
    for name in ("temperature", "salinity", "adt"):
        np.testing.assert_array_equal(found.terms[name], statistics.terms[name])
        np.testing.assert_array_equal(found.deviation[name], statistics.deviation[name])
    np.testing.assert_array_equal(found.deepest, statistics.deepest)
    np.testing.assert_array_equal(found.eof.modes, statistics.eof.modes)
    np.testing.assert_array_equal(found.covariance["salinity"].noise, statistics.covariance["salinity"].noise)
    assert found.nesting.row.shape == (240,)


def test_the_same_statistics_are_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_statistics(Root(str(tmp_path / name)), made())
    assert (tmp_path / "a" / ARRAYS).read_bytes() == (tmp_path / "b" / ARRAYS).read_bytes()


@pytest.mark.parametrize("harm", ["gone", "changed", "cut", "no manifest", "other output"])
def test_damage_is_an_error_that_says_what_to_do(tmp_path: Path, harm: str) -> None:
    write_statistics(Root(str(tmp_path)), made())
    path, manifest = tmp_path / ARRAYS, tmp_path / "manifest.yaml"
    data = path.read_bytes()
    if harm == "gone":
        path.unlink()
    elif harm == "changed":
        path.write_bytes(data[:500] + bytes([data[500] ^ 1]) + data[501:])
    elif harm == "cut":
        path.write_bytes(data[:500])
    elif harm == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text().replace("kind: statistics", "kind: patches"))
    with pytest.raises(OutputError, match=r"statistics|patch index"):
        read_statistics(str(tmp_path))


def test_nothing_missing_and_no_other_shape_is_taken() -> None:
    statistics = made()
    hole = statistics.terms["salinity"].copy()
    hole[0, 1, 2, 3] = np.nan
    with pytest.raises(OutputError, match="terms/salinity has 1 values that are missing"):
        replace(statistics, terms={**statistics.terms, "salinity": hole})
    with pytest.raises(OutputError, match=r"deepest has the shape \(3, 3\)"):
        replace(statistics, deepest=np.zeros((3, 3), np.int8))
    with pytest.raises(OutputError, match=r"deviation/adt is 0\.0"):
        replace(statistics, deviation={**statistics.deviation, "adt": np.zeros((), np.float32)})


def test_a_fingerprint_is_of_what_an_export_holds(exported: Path) -> None:
    manifest = yaml.safe_load((exported / "manifest.yaml").read_text())
    print_ = export_fingerprint(manifest)
    elsewhere = {**manifest, "output_dir": "/other", "created_utc": "later", "resume": {"skip_existing": True}}
    assert export_fingerprint(elsewhere) == print_
    entry = manifest["rasters"]["glorys"]["thetao"][0]
    entry["sha256"] = entry["sha256"][::-1]
    assert export_fingerprint(manifest) != print_
