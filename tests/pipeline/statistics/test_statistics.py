"""Risks: a wrong climatology or scale; something of the validation side in it; a resumed run that differs."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from distributed import Client
from numpy.typing import NDArray

from oceanrecon.config import dump_settings, load_settings
from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid import PatchGrid
from oceanrecon.pipeline.statistics.run import StatisticsResult
from oceanrecon.pipeline.statistics.verify import verify_statistics
from oceanrecon.service.statistics import fit_statistics
from oceanrecon.statistics_config import StatisticsSettings
from oceanrecon.stores.statistics import ARRAYS, read_statistics
from oceanrecon.transform.harmonic import at_date, season
from tests.pipeline.profiles.tiny import threads
from tests.pipeline.statistics.hand import (
    DEPTH,
    GRID,
    LAND,
    LATER,
    SEA,
    SEASON,
    WEEKS,
    chosen,
    number,
    write_export,
    write_rows,
    years,
)


def fit(settings: StatisticsSettings, client: Client, how: str = "") -> StatisticsResult:
    result = fit_statistics(settings, client=client, resume=how == "resume", overwrite=how == "overwrite")
    assert result.complete, result.failures
    return result


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, client: Client) -> Path:
    """A folder with the export by hand, its index, and their statistics, for reading."""
    folder = tmp_path_factory.mktemp("hand")
    export = write_export(folder / "export")
    fit(chosen(export, years(folder / "index", export), folder / "statistics"), client)
    return folder


def test_known_numbers_are_found(made: Path) -> None:
    found = read_statistics(str(made / "statistics"))
    assert (found.fields, found.surface, found.depth, found.grid) == (("temperature",), ("adt",), DEPTH, GRID)
    assert (found.coarse.height, found.coarse.width) == (3, 6)
    # everywhere, also on land and above the sea floor; a code of uint16 is 0.0007 K
    np.testing.assert_allclose(found.terms["temperature"], np.broadcast_to(SEASON.T[..., None, None], (5, 2, 3, 6)),
                               atol=1e-3)  # fmt: skip
    np.testing.assert_allclose(found.terms["adt"], np.broadcast_to(SEA[:, None, None], (5, 3, 6)), atol=1e-3)
    leap = dt.date(2012, 2, 29)
    assert leap in WEEKS
    np.testing.assert_allclose(
        found.nesting.interpolated(at_date(found.terms["temperature"], leap)),
        np.broadcast_to((SEASON @ season(leap))[:, None, None], (2, 12, 24)),
        atol=1e-3,
    )
    # 0.8 / 2 and 0.05 x 2: 1:2:1 of the logarithms of two levels
    np.testing.assert_allclose(found.deviation["temperature"], [0.4, 0.1], rtol=2e-3)
    assert found.deviation["adt"] == np.float32(0.005)  # a season and nothing else: the floor
    # scaled anomalies are 2 and 0.5 everywhere, with one sign: one mode, of 4 + 1/4
    np.testing.assert_allclose(found.eof.variance, [4.25, 0], atol=0.02)
    np.testing.assert_allclose(found.eof.modes[0], np.array([2, 0.5]) / np.sqrt(4.25), atol=5e-3)
    np.testing.assert_array_equal(found.deepest, np.where(np.arange(24) < 8, 1, 2) * (1 - LAND))
    assert found.provenance["dates"]["training"] == [number(date) for date in WEEKS]
    assert found.provenance["covariance_of"] == {"temperature": "reanalysis"}
    # a checkerboard is like nothing around it
    assert (found.covariance["temperature"].noise > found.covariance["temperature"].signal).all()


def test_nothing_of_the_validation_side_is_in_it(made: Path, tmp_path: Path, client: Client) -> None:
    def change(date: dt.date, values: NDArray[np.float64]) -> None:
        if date in LATER:
            values += 5

    export = write_export(tmp_path / "export", change=change)
    fit(chosen(export, years(tmp_path / "index", export), tmp_path / "statistics"), client)
    assert (tmp_path / "statistics" / ARRAYS).read_bytes() == (made / "statistics" / ARRAYS).read_bytes()
    before, after = (yaml.safe_load((root / "statistics" / "manifest.yaml").read_text())["provenance"]["export"]
                     for root in (made, tmp_path))  # fmt: skip
    assert before["fingerprint"] != after["fingerprint"]


def test_of_a_split_by_place_only_training_pixels_count(tmp_path: Path, client: Client) -> None:
    patches = PatchGrid(GRID, 4, 4, "regular")
    rows = [
        (patch, number(date), "train" if patch % 24 < 12 else "val") for date in WEEKS for patch in patches.ids.tolist()
    ]
    found = []
    for name in ("as it is", "changed"):

        def change(_: dt.date, values: NDArray[np.float64], *, warmer: bool = name == "changed") -> None:
            values[:, :, 12:] += 5 * warmer

        export = write_export(tmp_path / name / "export", change=change)
        index = write_rows(tmp_path / name / "index", export, patches, rows, "block")
        fit(chosen(export, index, tmp_path / name / "statistics"), client)
        found.append((tmp_path / name / "statistics" / ARRAYS).read_bytes())
    # the sea height of the east changes nothing either, for it is the same; the temperature of the west is everywhere
    statistics = read_statistics(str(tmp_path / "changed" / "statistics"))
    np.testing.assert_allclose(statistics.terms["temperature"][0, 0], 295.0, atol=1e-3)
    assert found[0] == found[1]
    np.testing.assert_array_equal(statistics.deepest[0, 8:], 2)  # the sea floor is no secret


def test_workers_and_a_resumed_run_make_the_same_bytes(made: Path, tmp_path: Path) -> None:
    settings = chosen(made / "export", made / "index", tmp_path / "statistics")
    wanted = (made / "statistics" / ARRAYS).read_bytes()
    with threads(1) as one:
        first = fit(settings, one)
        assert (tmp_path / "statistics" / ARRAYS).read_bytes() == wanted
        # what a kill leaves behind: no manifest, a step without its receipt, another without its part
        for path in ("manifest.yaml", ARRAYS, "receipts/moments/00000.json", "parts/climate/temperature-0.npz"):
            (tmp_path / "statistics" / path).unlink()
        again = fit(settings, one, "resume")
        assert (first.steps_made, again.steps_made, again.steps_kept) == (4, 2, 2)
        assert (tmp_path / "statistics" / ARRAYS).read_bytes() == wanted
        with pytest.raises(OutputError, match="made with other settings"):
            fit(settings.model_copy(update={"ridge": 3.0}), one, "resume")
        with pytest.raises(OutputError, match="--resume"):
            fit(settings, one)


def test_verify_names_what_is_damaged_and_resume_makes_it_again(
    made: Path, tmp_path: Path, client: Client, command: Callable[..., tuple[int, str, str]]
) -> None:
    settings = chosen(made / "export", made / "index", tmp_path / "statistics")
    shutil.copytree(made / "statistics", tmp_path / "statistics")
    code, out, _ = command("verify", tmp_path / "statistics")
    assert code == 0 and "4 steps, 7 files" in out
    part = next((tmp_path / "statistics/parts/climate").glob("*.npz"))
    part.write_bytes(part.read_bytes()[:-1])
    (tmp_path / "statistics" / ARRAYS).write_bytes(b"other")
    code, out, _ = command("verify", tmp_path / "statistics", "--discard-bad", "--json")
    problems = {problem["path"]: problem["kind"] for problem in json.loads(out)["problems"]}
    assert code == 1 and problems == {f"parts/climate/{part.name}": "truncated", ARRAYS: "truncated"}
    code, _, err = command("verify", tmp_path / "statistics", "--deep")
    assert code == 2 and "checksums" in err
    again = fit(settings, client, "resume")
    assert again.steps_made >= 1 and verify_statistics(str(tmp_path / "statistics")).good
    shutil.rmtree(tmp_path / "statistics" / "parts")  # which the page allows
    assert verify_statistics(str(tmp_path / "statistics")).good


def test_a_season_of_few_dates_is_pulled_to_none(made: Path, tmp_path: Path, client: Client) -> None:
    fit(chosen(made / "export", made / "index", tmp_path / "few", every=35, ridge=2.0), client)
    found = read_statistics(str(tmp_path / "few"))
    assert found.provenance["dates"]["dense"] == [number(date) for date in WEEKS[::35]]
    assert np.abs(found.terms["temperature"][1:, 0]).max() < 3.0  # of three dates a free fit would swing


def test_what_does_not_belong_together_is_refused(made: Path, tmp_path: Path, client: Client) -> None:
    export = made / "export"
    other = write_rows(tmp_path / "index", export, PatchGrid(GRID, 4, 4), [(0, 20200101, "train")], "year")
    with pytest.raises(ConfigError, match="thetao at none of the 1 training dates"):
        fit(chosen(export, other, tmp_path / "out"), client)
    with pytest.raises(ConfigError, match="no gridded profiles, which `source: profiles` is of"):
        fit(chosen(export, made / "index", tmp_path / "out", source="profiles"), client)
    with pytest.raises(ConfigError, match="`bathymetry` is for `source: profiles`"):
        chosen(export, other, tmp_path / "out", bathymetry="there")
    assert not (tmp_path / "out").exists()


def test_a_damaged_field_is_a_failure_until_it_is_mended(tmp_path: Path, client: Client) -> None:
    export = write_export(tmp_path / "export")
    damaged = export / f"thetao_{number(WEEKS[3])}.tif"
    content = damaged.read_bytes()
    damaged.write_bytes(b"no tiff")
    settings = chosen(export, years(tmp_path / "index", export), tmp_path / "statistics")
    result = fit_statistics(settings, client=client)
    assert not result.complete
    assert (result.failures[0].kind, result.failures[0].name) == ("season", "00000")
    assert f"{damaged.name} cannot be read" in result.failures[0].message
    with pytest.raises(OutputError, match=r"has no manifest\.yaml"):
        read_statistics(settings.output)
    damaged.write_bytes(content)
    fit(settings, client, "resume")
    assert read_statistics(settings.output).fields == ("temperature",)


def test_the_command_tells_what_it_did(
    made: Path, tmp_path: Path, command: Callable[..., tuple[int, str, str]], shared_cluster: None
) -> None:
    config = tmp_path / "statistics.yaml"
    config.write_text(dump_settings(chosen(made / "export", made / "index", tmp_path / "statistics")))
    code, out, _ = command("statistics", config, "--set", "every=20", "--json")
    told = json.loads(out)
    assert (code, told["complete"], told["dates"], told["steps_made"]) == (0, True, 6, 4)
    code, _, err = command("statistics", config, "--set", "every=20")
    assert code == 1 and "--resume" in err and "Traceback" not in err
    code, out, _ = command("statistics", config, "--set", "every=20", "--resume")
    assert code == 0 and "0 steps made, 4 kept" in " ".join(out.split())


def test_settings_that_users_start_from_are_valid() -> None:
    path = Path(__file__).parents[3] / "configs" / "statistics.yaml"
    assert load_settings(StatisticsSettings, path).smoothing_km == 50
