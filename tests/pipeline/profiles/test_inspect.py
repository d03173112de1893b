"""Risk: an inspection that miscounts hides what is wrong with a store. Its numbers by hand, and against plain numpy."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray

from oceanrecon.errors import OutputError
from oceanrecon.pipeline.profiles import inspect
from oceanrecon.pipeline.profiles.figures import SALINITY_BINS, SHARES, TEMPERATURE_BINS
from oceanrecon.pipeline.profiles.inspect import inspect_profiles
from oceanrecon.pipeline.profiles.locate import PACKAGED
from oceanrecon.pipeline.profiles.schema import ENRICHED, enriched_columns
from oceanrecon.sources.identity import REASONS
from oceanrecon.stores.columns import ColumnLayout, metadata
from oceanrecon.stores.files import Root
from tests.pipeline.profiles.stored import DEPTH, random_values, write_store

Command = Callable[..., tuple[int, str, str]]
NAN = np.nan


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four profiles on both sides of the dateline, every number of which can be followed."""
    values = {
        "source_kind": ["en4", "argo", "en4", "argo"],
        "data_mode": ["", "D", "", "R"],
        "platform_number": ["S1", "5900001", "5900001", ""],
        "profile_date": [20120228, 20120229, 20120229, 20120301],
        "latitude": [-10.0, 20.5, 0.0, -30.25],
        "longitude": [170.0, -175.5, 179.5, -160.0],
        # the first has its shallowest value at 5 m, the last at 300 m
        "argo_temp_on_glorys_depth": [[NAN, 20, 19, NAN], [10, 10, 10, 10], [15, NAN, NAN, NAN], [NAN, NAN, NAN, 8]],
        "argo_potm_on_glorys_depth": [[NAN, 20, 19, NAN], [10, 10, 10, 9], [15, NAN, NAN, NAN], [NAN, NAN, NAN, 7.5]],
        "argo_psal_on_glorys_depth": [[NAN, 35, 35, NAN], [34, 34, 34, 34], [NAN] * 4, [NAN] * 4],
        "glorys_thetao": [[21, 21, 21, 21], [9, 9, 9, 9], [NAN] * 4, [8, 8, 8, 8]],
        "glorys_so": [[35.5] * 4, [NAN] * 4, [35] * 4, [35] * 4],
        "ostia_analysed_sst": [273.15 + 20.5, 273.15 + 10.25, 273.15 + 14, 290.0],
        "sss_sos": [36.0, NAN, 35.0, 35.0],
        "glorys_temporal_status": [0, 0, 3, 1],
        "ostia_temporal_status": [0, 0, 0, 0],
        "sss_temporal_status": [0, 2, 0, 0],
    }
    counts = {"accepted": 4, "accepted_en4": 2, "accepted_argo": 2, "position_flag": 3, "duplicate_of_argo": 5}
    sources = {"argo": "Argo", "en4": "EN4"}
    return write_store(tmp_path_factory.mktemp("hand"), values, counts=counts, profile_sources=sources)


def test_a_store_that_can_be_counted_by_hand(by_hand: Path) -> None:
    found = inspect_profiles(str(by_hand)).summary()
    assert (found["profiles"], found["sources"], found["output"]) == (4, {"argo": 2, "en4": 2}, None)
    assert found["data_modes"] == {"argo": {"D": 1, "R": 1}, "en4": {"none": 2}}
    # one number is both a float and an EN4 platform
    assert found["platforms"] == {"argo": 1, "en4": 2, "all": 2} and found["profiles_without_platform"] == 1
    assert (found["first_date"], found["last_date"], found["days_with_profiles"]) == ("2012-02-28", "2012-03-01", 3)
    # through the dateline: from 170 E to 160 W
    assert found["box"] == [170.0, -30.25, -160.0, 20.5]
    assert [tuple(level.values()) for level in found["levels"]] == [
        (0.5, 2, 2, 1), (5.0, 2, 2, 2), (10.0, 2, 2, 2), (300.0, 2, 2, 1)
    ]  # fmt: skip
    assert list(found["time_matches"]["glorys"].values()) == [2, 1, 0, 1]
    assert list(found["time_matches"]["sss"].values()) == [3, 0, 1, 0]


def test_differences_are_field_minus_profile(by_hand: Path) -> None:
    found = inspect_profiles(str(by_hand)).summary()
    temperature, salinity = found["differences"]
    assert (temperature["field"], temperature["measured"], temperature["units"]) == ("glorys_thetao", "argo_potm", "K")
    assert [level["count"] for level in temperature["levels"]] == [1, 2, 2, 2]
    # medians of -1; of 1 and -1; of 2 and -1; of 0 and 0.5
    assert [level["p50"] for level in temperature["levels"]] == [-1.0, 0.0, 0.5, 0.25]
    assert [level["p50"] for level in salinity["levels"]] == [None, 0.5, 0.5, None]
    surface = {(one["field"], one["measured"]): one for one in found["surface"]}
    # kelvin against degC; the profile whose first value is at 300 m is left out
    sst = surface["ostia_analysed_sst", "argo_temp"]
    assert sst["count"] == 3 and [sst[name] for name in ("p5", "p50", "p95")] == pytest.approx([-0.875, 0.25, 0.475])
    assert sst["mean"] == pytest.approx(-0.25 / 3, abs=1e-5)
    assert sst["rms"] == pytest.approx(np.sqrt((0.5**2 + 0.25**2 + 1) / 3), abs=1e-5)
    # the field of the level at which the profile begins
    thetao = surface["glorys_thetao", "argo_potm"]
    assert (thetao["count"], thetao["p50"]) == (2, 0.0)
    assert (surface["sss_sos", "argo_psal"]["count"], surface["sss_sos", "argo_psal"]["mean"]) == (1, 1.0)
    assert (surface["glorys_so", "argo_psal"]["count"], surface["glorys_so", "argo_psal"]["mean"]) == (1, 0.5)


def test_without_receipts_a_reason_that_either_source_may_have_is_of_neither(by_hand: Path) -> None:
    figures = inspect_profiles(str(by_hand / ENRICHED))
    by_reason = {step.reason: dict(step.by_source) for step in figures.rejected}
    assert list(by_reason) == [*REASONS[1:], "outside_dates"]
    assert by_reason["position_flag"] == {"": 3} and by_reason["duplicate_of_argo"] == {"en4": 5}
    funnel = dict(figures.funnel())
    assert funnel[""] == {"argo": 2, "en4": 7, "": 3}
    assert funnel["position_flag"] == {"argo": 2, "en4": 7, "": 0} and funnel["outside_dates"][""] == 0


def expected_percentiles(field: NDArray[Any], measured: NDArray[Any], step: float) -> tuple[int, NDArray[np.float64]]:
    difference = field.astype(np.float64) - measured
    rounded = np.rint(difference[np.isfinite(difference)] / step) * step
    return rounded.size, np.percentile(rounded, SHARES)


@pytest.mark.parametrize("rows_at_once", [1000, 65536])
def test_a_random_store_against_xarray_and_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(inspect, "_ROWS", rows_at_once)  # 3000 rows: in one piece, and in three
    write_store(tmp_path, random_values(3000))
    told: list[tuple[int, int]] = []
    figures = inspect_profiles(str(tmp_path), lambda done, total: told.append((done, total)))
    assert told == [(min(n, 3000), 3000) for n in range(rows_at_once, 3000 + rows_at_once, rows_at_once)]
    store = xr.open_zarr(tmp_path / ENRICHED).load()
    values = {name: store[f"argo_{name}_on_glorys_depth"].values for name in ("temp", "potm", "psal")}
    for name, measured in values.items():
        np.testing.assert_array_equal(figures.values[name], np.isfinite(measured).sum(axis=0))
    frame = store[["source_kind", "data_mode", "platform_number", "profile_date"]].to_dataframe()
    assert figures.modes == {
        kind: table["data_mode"].value_counts().sort_index().to_dict() for kind, table in frame.groupby("source_kind")
    }
    assert figures.platforms_in_all == frame["platform_number"].replace("", np.nan).nunique() == 40
    daily = frame.groupby(["profile_date", "source_kind"]).size().unstack(fill_value=0)
    assert [int(f"{day:%Y%m%d}") for day in figures.days] == daily.index.tolist()
    for kind in ("argo", "en4"):
        np.testing.assert_array_equal(figures.daily[kind], daily[kind])
    cells = np.histogram2d(
        store["latitude"].values, store["longitude"].values, (np.arange(-90, 91), np.arange(-180, 181))
    )[0]
    np.testing.assert_array_equal(figures.cells, cells)
    assert figures.places is not None
    assert sum(place.shape[1] for place in figures.places.values()) == 3000
    both = np.isfinite(values["potm"]) & np.isfinite(values["psal"])
    diagram = np.histogram2d(values["potm"][both], values["psal"][both], (TEMPERATURE_BINS, SALINITY_BINS))[0]
    np.testing.assert_array_equal(figures.diagram, diagram)
    for difference, measured in zip(figures.differences, (values["potm"], values["psal"]), strict=True):
        field = store[difference.field].values
        for level in range(len(DEPTH)):
            number, wanted = expected_percentiles(field[:, level], measured[:, level], difference.step)
            assert difference.number[level] == number > 500
            np.testing.assert_allclose(difference.percentiles[level], wanted, atol=1e-9)
            unrounded = np.nanpercentile(field[:, level].astype(np.float64) - measured[:, level], SHARES)
            assert np.abs(difference.percentiles[level] - unrounded).max() <= difference.step / 2 + 1e-9
    surface = {difference.name: difference for difference in figures.surface}
    celsius = store["ostia_analysed_sst"].values.astype(np.float64) - 273.15
    for name, field, measured in (
        ("ostia_analysed_sst - argo_temp", celsius, values["temp"]),
        ("glorys_thetao - argo_potm", store["glorys_thetao"].values, values["potm"]),
        ("sss_sos - argo_psal", store["sss_sos"].values, values["psal"]),
        ("glorys_so - argo_psal", store["glorys_so"].values, values["psal"]),
    ):
        pairs = []
        for row, profile in enumerate(measured[:, :3]):  # the levels down to 10 m
            first = next((place for place, value in enumerate(profile) if np.isfinite(value)), None)
            if first is not None:
                pairs.append((field[row] if field.ndim == 1 else field[row, first], profile[first]))
        beside, shallowest = np.array(pairs, dtype=np.float64).T
        number, wanted = expected_percentiles(beside, shallowest, surface[name].step)
        assert surface[name].number[0] == number
        np.testing.assert_allclose(surface[name].percentiles[0], wanted, atol=1e-9)


def test_many_profiles_are_not_told_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspect, "MOST_PLACES", 49)
    figures = inspect_profiles(str(write_store(tmp_path, random_values(50))))
    assert figures.places is None and figures.cells.sum() == 50


def test_the_box_goes_through_the_dateline_only_where_the_other_side_is_empty(tmp_path: Path) -> None:
    for number, (longitudes, ends) in enumerate(
        (([-170, 170, -100], (170, -100)), ([-40, 20, 130], (-40, 130)), ([-179, 0, 179], (-179, 179)))
    ):
        values = random_values(3) | {"longitude": longitudes}
        box = inspect_profiles(str(write_store(tmp_path / str(number), values))).box
        assert box is not None and (box[0], box[2]) == ends


def test_an_empty_store_and_one_without_fields_have_figures(tmp_path: Path) -> None:
    empty = inspect_profiles(str(write_store(tmp_path / "empty", random_values(0))))
    found = empty.summary()
    assert (found["profiles"], found["box"], found["first_date"], found["sources"]) == (0, None, None, {})
    assert all(level["count"] == 0 and level["p50"] is None for level in found["differences"][0]["levels"])
    json.dumps(found, allow_nan=False)
    fields = ("glorys", "ostia", "sss")
    values = {name: value for name, value in random_values(20).items() if not name.startswith(fields)}
    alone = inspect_profiles(str(write_store(tmp_path / "alone", values, products=())))
    assert (alone.profiles, list(alone.differences), list(alone.surface), alone.matches) == (20, [], [], {})
    deep = inspect_profiles(str(write_store(tmp_path / "deep", random_values(20), depth=(50.0, 60.0, 70.0, 80.0))))
    assert [one.number.tolist() for one in deep.surface] == [[0]] * 4


def test_an_enrichment_tells_who_was_rejected_for_what(enriched: Path) -> None:
    figures = inspect_profiles(str(enriched))
    tables = [pd.read_parquet(path) for path in sorted(enriched.glob("months/*/rejected.parquet"))]
    wanted = Counter(zip(*(pd.concat(tables)[name].tolist() for name in ("kind", "reason")), strict=True))
    found = {(s, step.reason): n for step in figures.rejected for s, n in step.by_source.items()}
    assert found == dict(wanted) and sum(wanted.values()) > 0
    stages = figures.funnel()
    assert sum(stages[0][1].values()) == figures.profiles + sum(wanted.values())
    assert stages[-1][1] == figures.sources and figures.output == str(enriched) and figures.notes
    # the same store where its receipts are not
    assert inspect_profiles(str(enriched / ENRICHED)).rejected == figures.rejected
    store = xr.open_zarr(enriched / ENRICHED)
    assert figures.profiles == store.sizes["profile"]


def test_a_package_has_the_figures_of_its_store(enriched: Path, tmp_path: Path) -> None:
    shutil.copytree(enriched / ENRICHED, tmp_path / PACKAGED)
    packaged, whole = inspect_profiles(str(tmp_path)), inspect_profiles(str(enriched))
    assert packaged.output is None and list(packaged.notes) == []
    assert [step.profiles for step in packaged.rejected] == [step.profiles for step in whole.rejected]
    left_out = {"store", "output", "rejected", "notes"}
    for name, value in whole.summary().items():
        assert name in left_out or packaged.summary()[name] == value, name


def test_what_is_no_store_is_said(tmp_path: Path, exported: Path, command: Command) -> None:
    with pytest.raises(OutputError, match="has no profile store: give the output of `oceanrecon profiles enrich`"):
        inspect_profiles(str(tmp_path))
    with pytest.raises(OutputError, match="is no profile store: it has no profile"):
        inspect_profiles(str(exported / "dense.zarr"))
    layout = ColumnLayout(enriched_columns(())[:1], DEPTH)
    for path, content in metadata(layout, 5).items():
        Root(str(tmp_path)).write(f"other.zarr/{path}", content)
    with pytest.raises(OutputError, match="has no source_kind: it is no store of enriched profiles"):
        inspect_profiles(str(tmp_path / "other.zarr"))
    write_store(tmp_path, random_values(3))
    shutil.rmtree(tmp_path / ENRICHED / "latitude" / "c")
    with pytest.raises(OutputError, match="files of it are missing; run `oceanrecon verify`"):
        inspect_profiles(str(tmp_path))
    code, out, err = command("profiles", "inspect", tmp_path / "nothing")
    assert code == 1 and out == "" and err.startswith("error: ") and "Traceback" not in err


JSON_KEYS = [
    "store", "output", "quality", "sampling", "max_gap_days", "profiles", "sources", "data_modes", "platforms",
    "profiles_without_platform", "first_date", "last_date", "days_with_profiles", "box", "rejected", "levels",
    "time_matches", "differences", "surface", "notes", "failures", "page",
]  # fmt: skip
NUMBERS = ["count", "mean", "rms", "p5", "p25", "p50", "p75", "p95"]


def test_json_keeps_its_form_and_writes_nothing_unless_it_is_told_where(
    by_hand: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(by_hand.rglob("*"))
    code, out, err = command("profiles", "inspect", by_hand, "--json")
    told = json.loads(out)
    assert code == 0 and err == "" and list(told) == JSON_KEYS and told["page"] is None
    assert list(told["rejected"][0]) == ["reason", "profiles", "by_source"]
    assert list(told["levels"][0]) == ["depth", "temp", "potm", "psal"]
    assert list(told["differences"][0]) == ["field", "measured", "units", "rounded_to", "levels"]
    assert list(told["differences"][0]["levels"][0]) == ["depth", *NUMBERS]
    assert list(told["surface"][0]) == ["field", "measured", "units", "rounded_to", *NUMBERS]
    assert sorted(by_hand.rglob("*")) == before and not list(tmp_path.iterdir())
    code, out, _ = command("profiles", "inspect", by_hand, "--json", "--output", tmp_path / "page")
    assert code == 0 and json.loads(out)["page"] == str(tmp_path / "page" / "index.html")


def test_the_page_goes_beside_the_receipts_and_a_bare_store_stays_as_it_is(
    enriched: Path, by_hand: Path, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "output"
    shutil.copytree(enriched, output)
    code, out, _ = command("profiles", "inspect", output)
    assert code == 0 and (output / "inspect" / "index.html").exists()
    for text in ("left out", "matches in time", "ostia_analysed_sst - argo_temp", "argo", "en4", "note:"):
        assert text in out, text
    monkeypatch.chdir(tmp_path)
    code, out, _ = command("profiles", "inspect", by_hand / ENRICHED)
    assert code == 0 and str(tmp_path / "profiles-inspect" / "index.html") in out
    assert [path.name for path in by_hand.iterdir()] == [ENRICHED]
