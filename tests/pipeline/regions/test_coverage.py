"""Risks: a missing day is not seen; duplicates of other days are reported; a report is missing where there are none."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pandas as pd
import pytest

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.pipeline.regions.coverage import coverage, duplicates, write_table
from oceanrecon.plots.maps import png_bytes
from oceanrecon.plots.timeline import draw_timeline
from oceanrecon.stores.files import Root
from oceanrecon.stores.tile_inventory import TileRow, read_inventory, write_inventory


def row(source: str, region: str, date: str, path: str | None = None) -> TileRow:
    return TileRow(
        path=path or f"{source}/{source}_{region}_{date}.nc", source=source, region=region, date=date, variable="ssh",
        sensor="altimeter", box=(-60.0, 10.0, -20.0, 40.0), start=None, end=None, size=10, sha256="0" * 64,
        source_files=("a.nc",), source_version="", resolution=(0.125, 0.125), observations=4, valid=4,
    )  # fmt: skip


def inventory(folder: Path, *rows: TileRow) -> pd.DataFrame:
    write_inventory(Root(str(folder)), rows)
    return read_inventory(str(folder))


def test_missing_days_and_the_longest_gap_by_hand(tmp_path: Path) -> None:
    # l4_ssh: days 1, 2, 5, 9 of 1 to 10 in one region, all of them in the other; l4_sst: day 4 alone
    rows = [row("l4_ssh", "NORTH_ATLANTIC", f"202304{day:02d}") for day in (1, 2, 5, 9)]
    rows += [row("l4_ssh", "SOUTH_INDIAN", f"202304{day:02d}") for day in range(1, 11)]
    found = coverage(inventory(tmp_path, *rows, row("l4_sst", "NORTH_INDIAN", "20230404")))
    assert (found.start, found.end) == (dt.date(2023, 4, 1), dt.date(2023, 4, 10))
    north, south, single = found.table.sort_values("region").to_dict("records")
    assert (north["region"], north["n_dates"], north["n_missing"], north["longest_gap"]) == ("NORTH_ATLANTIC", 4, 6, 3)
    assert (single["region"], single["n_missing"], single["has_gap"]) == ("SOUTH_INDIAN", 0, False)
    assert (south["region"], south["n_missing"], south["longest_gap"]) == ("NORTH_INDIAN", 9, 6)
    of_north = found.missing[found.missing["region"] == "NORTH_ATLANTIC"]["missing_date"]
    assert [day.day for day in of_north] == [3, 4, 6, 7, 8, 10]
    assert found.daily[found.daily["data_source"] == "l4_ssh"]["regions"].tolist() == [2, 2, 1, 1, 2, 1, 1, 1, 2, 1]


def test_a_source_that_is_wanted_and_not_there_lacks_every_day_everywhere(tmp_path: Path) -> None:
    found = coverage(
        inventory(tmp_path, row("argo", "NORTH_ATLANTIC", "20230401")), dt.date(2023, 4, 1), dt.date(2023, 4, 2),
        ("argo", "l3_swot"),
    )  # fmt: skip
    swot = found.table[found.table["data_source"] == "l3_swot"]
    assert len(swot) == 8 and (swot["n_missing"] == 2).all()
    assert len(found.missing) == 1 + 16
    with pytest.raises(ConfigError, match="take other days or sources"):
        coverage(inventory(tmp_path, row("argo", "NORTH_ATLANTIC", "20230401")), dt.date(2024, 1, 1))


def test_duplicates_are_of_the_days_that_are_asked_for_and_a_report_is_written_in_any_case(tmp_path: Path) -> None:
    rows = [
        row("l4_ssh", "NORTH_ATLANTIC", date, f"l4_ssh/{name}_{date}.nc")
        for date in ("20230401", "20230402") for name in ("a", "b")
    ]  # fmt: skip
    # ascending and descending passes have places of their own
    rows += [row(f"l3_sss_smos_{way}", "NORTH_ATLANTIC", "20230402") for way in ("asc", "desc")]
    table = inventory(tmp_path, *rows)
    found = duplicates(table, start=dt.date(2023, 4, 2))
    assert found["relative_path"].tolist() == ["l4_ssh/a_20230402.nc", "l4_ssh/b_20230402.nc"]
    assert found["sample_id"].tolist() == ["l4_ssh.nc", "l4_ssh.nc"]
    none = duplicates(table, end=dt.date(2023, 3, 31))
    report = pd.read_parquet(write_table(str(tmp_path / "report.parquet"), none))
    assert len(report) == 0 and list(report.columns) == list(found.columns)
    assert len(pd.read_csv(write_table(str(tmp_path / "report.csv"), found))) == 2


def test_no_two_rows_are_of_one_file(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"two rows of argo/argo_NORTH_INDIAN_20230401\.nc"):
        inventory(tmp_path, *[row("argo", "NORTH_INDIAN", "20230401")] * 2)


def test_an_inventory_that_is_none_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="regions format"):
        read_inventory(str(tmp_path))
    (tmp_path / "file_inventory.parquet").write_bytes(b"PAR1")
    with pytest.raises(OutputError, match="is damaged"):
        read_inventory(str(tmp_path))
    pd.DataFrame({"relative_path": ["a"]}).to_parquet(tmp_path / "file_inventory.parquet")
    with pytest.raises(OutputError, match="lacks the columns timestamp_file, data_source, region, date_str"):
        read_inventory(str(tmp_path))


def test_a_timeline_has_a_strip_for_each_source(tmp_path: Path) -> None:
    rows = [row("l4_ssh", "NORTH_ATLANTIC", f"202304{day:02d}") for day in (1, 2, 5)]
    found = coverage(inventory(tmp_path, *rows, row("argo", "SOUTH_INDIAN", "20230410")))
    figure = draw_timeline(found)
    panel = figure.axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["argo", "l4_ssh"]
    assert [text.get_text() for text in panel.texts] == ["1 of 10 days", "3 of 10 days"]
    # of l4_ssh: days 1, 2, 5 of ten
    assert panel.images[1].get_array().ravel().tolist() == [2, 2, 0, 0, 2, 0, 0, 0, 0, 0]  # type: ignore[union-attr]
    assert png_bytes(figure)[:4] == b"\x89PNG"
