"""Risk: the explanation of a pixel is another calculation than the one that made it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import oceanrecon
from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.pipeline.explain import explain
from tests.archives import DEPTH, PRODUCTS, VARIABLES

Command = Callable[..., tuple[int, str, str]]
#: dateline, both poles, the coast and the inside of the continent, open sea
PLACES = [(-180, 10.4), (179.999, -40), (33, 89.9), (12, -89.9), (31, 10), (-31.2, 20), (5, 5), (-140.5, -12.3)]


@pytest.mark.parametrize("variable", [name for product in PRODUCTS for name in VARIABLES[product]])
def test_it_agrees_with_the_export_everywhere(exported: Path, variable: str) -> None:
    random = np.random.default_rng(5)
    places = PLACES + [(float(x), float(y)) for x, y in random.uniform((-180, -90), (180, 90), (8, 2))]
    opened = oceanrecon.open_export(str(exported))[variable].isel(time=1).load()
    for longitude, latitude in places:
        for depth in DEPTH[::2] if "depth" in opened.dims else (None,):
            found = explain(str(exported), variable, "2012-02-29", longitude, latitude, depth)
            assert found.agrees and set(found.found) == {"geotiff", "zarr"}, (longitude, latitude, found)
            at = {"latitude": found.latitude, "longitude": found.longitude}
            stored = opened.sel(at | ({} if depth is None else {"depth": depth}), method="nearest").item()
            assert abs(found.latitude - latitude) <= 1.5 + 1e-9
            assert abs((found.longitude - longitude + 180) % 360 - 180) <= 1.5 + 1e-9
            if np.isnan(stored):
                assert (found.code, found.decoded, found.value) == (255, None, None)
            else:
                assert found.decoded == pytest.approx(stored, abs=1e-4)
                assert found.value is not None and found.valid_fraction >= 0.5


def test_the_weights_files_and_values_can_be_checked_by_hand(exported: Path) -> None:
    # centre 1.5 N 178.5 E; sea level cells are at 2.5 and -2.5 N, 177.5 and 182.5 E
    found = explain(str(exported), "adt", "2012-03-07", 178.5, 1.5)
    assert len(found.files) == 6  # one day of the window is not in the archive
    assert [file.date for file in found.files] == [f"201203{day:02}" for day in range(4, 10)]
    weights = {(cell.latitude, cell.longitude): cell.weight for cell in found.files[0].cells}
    assert weights == pytest.approx({(-2.5, 177.5): 0.16, (-2.5, 182.5): 0.04, (2.5, 177.5): 0.64, (2.5, 182.5): 0.16})
    means = [np.mean([file.cells[n].value for file in found.files]) for n in range(4)]
    assert [mean for _, mean in found.means] == pytest.approx(means)
    assert found.value == pytest.approx(sum(w * mean for (w, _), mean in zip(found.means, means, strict=True)))
    assert found.value is not None and found.code == round((found.value + 2) / 4 * 254)
    assert {file.cells[0].stored for file in found.files} == {
        round(file.cells[0].value * 10000) for file in found.files if file.cells[0].value is not None
    }


def test_negative_coordinates_are_arguments_not_options(exported: Path, command: Command) -> None:
    for arguments in (["-42.3", "-31.7", "--depth", "100"], ["--depth", "100", "--", "-42.3", "-31.7"]):
        code, out, err = command("explain", exported, "thetao", "2012-02-29", *arguments)
        assert code == 0, err
        assert "the export agrees" in out and "-31.5" in out and "97.0413 m" in out
    code, out, _ = command("explain", exported, "thetao", "20120229", "-42.3", "-31.7", "--json")
    told = json.loads(out)
    assert code == 0 and told["agrees"] is True and told["row"] == 40 and told["column"] == 45


def test_what_it_cannot_explain_it_says(exported: Path, command: Command) -> None:
    for arguments, error, message in (
        (("thetao", "2012-03-01", 0.0, 0.0), OutputError, "20120222..20120307 .3 dates"),
        (("sst", "2012-02-29", 0.0, 0.0), OutputError, "its variables are"),
        (("adt", "2012-02-29", 0.0, 0.0, 100.0), ConfigError, "surface variable"),
        (("adt", "2012-02-29", 0.0, 91.0), ConfigError, "outside the grid"),
        (("adt", "2012-02-30", 0.0, 0.0), ConfigError, "not a date"),
    ):
        with pytest.raises(error, match=message):
            explain(str(exported), *arguments)
    code, _, err = command("explain", exported, "adt", "2012-02-29", "0", "91")
    assert code == 1 and err.startswith("error:")


def test_another_code_in_the_export_is_shown(exported: Path, tmp_path: Path, command: Command) -> None:
    from tests.archives import copied

    output = copied(exported, tmp_path / "export")
    (output / "rasters/sealevel/adt/adt_20120229.tif").write_bytes(
        (output / "rasters/sealevel/adt/adt_20120307.tif").read_bytes()
    )
    code, out, _ = command("explain", output, "adt", "2012-02-29", "-140.5", "-12.3")
    assert code == 1 and "another code" in out
