"""Risk: a profile is in the store twice, not at all, or rejected without being counted."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from distributed import Client

from oceanrecon.pipeline.profiles import month as month_module
from oceanrecon.pipeline.profiles.plan import plan_profiles
from oceanrecon.pipeline.profiles.schema import ENRICHED
from tests.archives import files_of
from tests.pipeline.profiles.tiny import EPOCH, en4_name, enrich, manifest_of, settings, threads
from tests.profile_files import NEAR_SURFACE, PRIMARY, write_argo, write_en4

MINUTE = 1 / 1440
MARCH = float((dt.date(2012, 3, 1) - EPOCH).days)


def rows(output: Path) -> list[tuple[str, int, int]]:
    """Kind, date and place in its file of each row."""
    found = xr.open_zarr(output / ENRICHED, chunks=None)
    columns = [found[name].values.tolist() for name in ("source_kind", "profile_date", "profile_idx")]
    return list(zip(*columns, strict=True))


def test_a_twin_on_the_other_side_of_midnight_and_of_the_month_is_found(tmp_path: Path, client: Client) -> None:
    """Argo comes up ten minutes into March; EN4 has that profile in February, and one that is two hours older."""
    write_argo(tmp_path / "argo/6901929_prof.nc", juld=MARCH + 10 * MINUTE, latitude=10.0, longitude=179.99)
    write_en4(
        tmp_path / "en4" / en4_name("2012-02"), 3, juld=MARCH - np.array([20, 120, 20]) * MINUTE,
        platform=["Q6901929", "Q6901929", "Q6901930"], latitude=10.01, longitude=-179.99,
    )  # fmt: skip
    write_en4(tmp_path / "en4" / en4_name("2012-03"), 1, juld=MARCH + 40 * MINUTE, latitude=10.0, longitude=-180.0,
              platform="6901929")  # fmt: skip
    result = enrich(settings(tmp_path, tmp_path / "out"), client)
    assert rows(tmp_path / "out") == [("en4", 20120229, 1), ("en4", 20120229, 2), ("argo", 20120301, 0)]
    assert result.counts["duplicate_of_argo"] == 2
    # with the end between the two, EN4's is the only one, until the dates go on
    enrich(settings(tmp_path, tmp_path / "cut", end="2012-02-29"), client)
    assert [index for _, _, index in rows(tmp_path / "cut")] == [0, 1, 2]
    enrich(settings(tmp_path, tmp_path / "cut"), client, how="resume")
    assert files_of(tmp_path / "cut", ENRICHED, "months") == files_of(tmp_path / "out", ENRICHED, "months")


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Profiles of every fate."""
    folder = tmp_path_factory.mktemp("mixed")
    days = MARCH + np.arange(8) + 0.5
    write_argo(
        folder / "argo/6901929_prof.nc", 8, juld=np.where(np.arange(8) == 6, np.nan, days),
        cycle=(1, 1, 2, 3, 4, 5, 6, 7), data_mode="DDRDDDDA", scheme=[PRIMARY, NEAR_SURFACE, *[PRIMARY] * 6],
        juld_qc="11114111", position_qc="11111281", latitude=(1, 1, 2, 3, 4, 5, 6, -99.999),
    )  # fmt: skip
    write_argo(folder / "argo/R6901929_002.nc", juld=days[2], cycle=2, data_mode="A", latitude=2)
    write_en4(
        folder / "en4" / en4_name("2012-03"), 6, juld=[*days[:4] + 0.2, MARCH - 1, days[5] + 30],
        latitude=(11, 12, 169, 14, 15, 16), position_qc="1400 1", juld_qc="111 11",
    )  # fmt: skip
    return folder


@pytest.mark.parametrize(
    ("more", "kept", "rejected"),
    [
        ({}, {("argo", 0), ("argo", 3), ("argo", 5), ("en4", 0), ("en4", 3), ("R", 0)},
         {"secondary_sampling": 1, "duplicate_cycle": 1, "date_flag": 1, "date_impossible": 3,
          "position_impossible": 2, "position_flag": 1}),
        ({"sampling": "all"}, {("argo", 0), ("argo", 1), ("argo", 3), ("argo", 5), ("en4", 0), ("en4", 3), ("R", 0)},
         {"duplicate_cycle": 1, "date_flag": 1, "date_impossible": 3, "position_impossible": 2, "position_flag": 1}),
        ({"quality": "strict"}, {("argo", 0), ("argo", 3), ("en4", 0)},
         {"secondary_sampling": 1, "not_delayed_mode": 2, "date_flag": 2, "date_impossible": 2,
          "position_impossible": 2, "position_flag": 3}),
        ({"quality": "none"}, {("argo", 0), ("argo", 3), ("argo", 4), ("argo", 5), ("en4", 0), ("en4", 1), ("en4", 3),
                               ("R", 0)},
         {"secondary_sampling": 1, "duplicate_cycle": 1, "date_impossible": 3, "position_impossible": 2}),
    ],
    ids=["standard", "all samplings", "strict", "none"],
)  # fmt: skip
def test_every_profile_of_every_file_is_in_the_store_or_counted(
    mixed: Path, tmp_path: Path, client: Client, more: dict[str, Any], kept: set[Any], rejected: dict[str, int]
) -> None:
    output = tmp_path / "out"
    result = enrich(settings(mixed, output, **more), client)
    found = xr.open_zarr(output / ENRICHED, chunks=None)
    names = ["R" if str(name).startswith("R") else kind for name, kind in
             zip(found["profile_source_file"].values, found["source_kind"].values.tolist(), strict=True)]  # fmt: skip
    assert set(zip(names, found["profile_idx"].values.tolist(), strict=True)) == kept
    counts = {name: count for name, count in result.counts.items() if count}
    accepted = {
        "accepted": len(kept),
        "accepted_en4": names.count("en4"),
        "accepted_argo": len(kept) - names.count("en4"),
    }
    assert counts == accepted | rejected
    assert len(kept) + sum(rejected.values()) == 8 + 1 + 6  # of three files
    assert manifest_of(output)["counts"] == result.counts
    # those with a date are listed, with what is known of them
    table = pd.concat([pd.read_parquet(path) for path in output.rglob("rejected.parquet")])
    assert len(table) == sum(rejected.values()) - manifest_of(output)["counts_without_date"].get("date_impossible", 0)
    assert set(table["reason"]) <= set(rejected)


def test_of_two_files_of_one_month_the_later_version_is_taken(tmp_path: Path, client: Client) -> None:
    old, new = (f"EN.4.2.{version}.f.profiles.g10.201203.nc" for version in (1, 2))
    write_en4(tmp_path / "en4/a" / new, 1, juld=MARCH)
    write_en4(tmp_path / "en4/b" / old, 2, juld=MARCH)
    result = enrich(settings(tmp_path, tmp_path / "out", argo=None), client)
    assert result.profiles == 1 and result.complete
    assert xr.open_zarr(result.store, chunks=None)["profile_source_file"].values.tolist() == [new]
    assert any(old in note and "left out" in note for note in result.notes)


def test_how_a_month_is_cut_into_slices_does_not_show(
    cruise: Path, archive: Path, enriched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slices bound the memory of a month; they end between the days of two reanalysis files where they can."""
    monkeypatch.setattr(month_module, "slice_rows", lambda levels: 5)
    monkeypatch.setattr(month_module, "_BATCH", 2)
    output = tmp_path / "out"
    with threads(1) as inside:
        assert enrich(settings(cruise, output, archive), inside).complete
    parts = sorted((output / "months/2012-02").glob("0*.parquet"))
    assert len(parts) >= 3
    of_part = [pd.read_parquet(path)["profile_date"].tolist() for path in parts]
    assert all(1 <= len(dates) <= 5 for dates in of_part)
    shards = [path for path in files_of(enriched, ENRICHED) if "/c/" in path]
    assert len(shards) > 30
    for path in shards:
        assert (output / path).read_bytes() == (enriched / path).read_bytes(), path


def test_a_plan_counts_what_the_run_finds(mixed: Path, tmp_path: Path) -> None:
    planned = plan_profiles(settings(mixed, tmp_path / "out"))
    assert planned.argo_counts == {
        "accepted": 4, "date_flag": 1, "date_impossible": 1, "duplicate_cycle": 1, "position_impossible": 1,
        "secondary_sampling": 1,
    }  # fmt: skip
    said = planned.summary()
    assert (said["months"], said["first_month"], said["en4_files"], said["argo_files"]) == (1, "2012-03", 1, 2)
    assert said["bytes_of_profiles"] == sum(path.stat().st_size for path in mixed.rglob("*.nc"))
