from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml
from distributed import Client

import oceanrecon
from oceanrecon.patch_config import PatchesSettings
from tests.archives import copied, write_archive
from tests.conftest import Ran
from tests.pipeline.patches.cast import index, of_archive, settings, tables_of, write_casts
from tests.pipeline.profiles import tiny
from tests.pipeline.profiles.tiny import threads

#: In a grid of 3 degrees (120 x 60) the pixel of 1 N, 1 E is in row 29, column 60: in the tile of row 20, column 60.
MIDDLE, DATELINE = 20 * 120 + 60, 20 * 120 + 110
FEBRUARY = [
    (20120219, 1.0, 1.0),
    (20120229, 1.0, 1.0),
    (20120229, 2.9, 29.9),  # row 29, column 69: the same tile
    (20120229, 1.0, 30.1),  # column 70: the next
    (20120229, 1.0, 2.0),  # all levels rejected
    (20120229, 1.0, 3.0),  # salinity only
]
MARCH = [(20120301, 1.0, 179.9), (20120303, 1.0, 1.0), (20120304, 1.0, 1.0), (20120310, 1.0, 1.0)]


#: By table, those of the published tables, which people's programs read by name and by place.
PUBLISHED = {
    "patches": [
        "patch_id", "lat_center", "lon_center", "lat0", "lat1", "lon0", "lon1", "invalid_fraction",
        "invalid_percentage", "phase", "wkt",
    ],
    "weekly": [
        "patch_id", "date", "lat_center", "lon_center", "lat0", "lat1", "lon0", "lon1", "invalid_fraction",
        "invalid_percentage", "phase", "ostia_file_path", "matched_glorys_date", "matched_glorys_file_path",
        "matched_glorys_abs_day_delta", "argo_valid", "argo_profile_count", "argo_month_key", "argo_file_path",
    ],
    "profiles": [
        "argo_row_id", "argo_month_key", "argo_profile_date", "profile_idx", "argo_file_path", "matched_ostia_date",
        "matched_ostia_file_path", "matched_glorys_date", "matched_glorys_file_path", "matched_glorys_abs_day_delta",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def casts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EN4 of two months."""
    folder = tmp_path_factory.mktemp("casts")
    flags = {name: ["1111"] * 6 for name in ("temp_qc", "potm_qc", "psal_qc")}
    for name in ("temp_qc", "potm_qc"):
        flags[name][4:] = ["4444", "4444"]
    flags["psal_qc"][4] = "4444"
    for name in flags:
        flags[name][0] = "    "  # no flags at all: accepted
    write_casts(folder, "2012-02", FEBRUARY, **flags)
    write_casts(folder, "2012-03", MARCH)
    (folder / "split.csv").write_text(f"patch_id,phase\n{MIDDLE},train\n{MIDDLE + 10},val\n{DATELINE},test\n")
    return folder


def of_export(output: Path, casts: Path, exported: Path, archive: Path) -> PatchesSettings:
    """The weekly index of the tiny export, with profiles from files, and one patch on each side."""
    return settings(
        output, export=exported, archive=of_archive(archive), en4={"root": str(casts / "en4")},
        split={"method": "list", "table": str(casts / "split.csv")},
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(casts: Path, exported: Path, archive: Path, client: Client) -> Path:
    """That index, for reading."""
    output = casts / "weekly"
    assert index(of_export(output, casts, exported, archive), client).complete
    return output


def test_profiles_are_counted_by_patch_and_row_in_real_days(made: Path) -> None:
    table = pd.read_csv(made / "weekly.csv", dtype={"argo_file_path": str})
    found = {(row.patch_id, row.date): row.argo_profile_count for row in table.itertuples()}
    assert found == {
        (MIDDLE, 20120222): 1,  # 19 February is three days before
        (MIDDLE, 20120229): 4,  # 3 March is three days after: two pixels of one tile, and salinity only
        (MIDDLE + 10, 20120229): 1,
        (DATELINE, 20120229): 1,  # 1 March
        (MIDDLE, 20120307): 2,  # 4 and 10 March
    }
    assert table["argo_valid"].eq(1).all() and table["export_index"].tolist() == list(range(5))
    assert table["date"].is_monotonic_increasing
    row = table.iloc[1]
    assert row["argo_file_path"] == "EN.4.2.2.f.profiles.g10.201202.nc"  # that of 29 February itself
    assert row["argo_month_key"] == 201202
    assert row["matched_glorys_date"] == 20120229 and row["matched_glorys_abs_day_delta"] == 0
    assert row["matched_glorys_file_path"] == "glorys/mercatorglorys12v1_gl12_mean_20120229_R20120307.nc"
    assert row["ostia_file_path"].startswith("ostia/20120229120000-UKMO")
    assert (row["lat0"], row["lat1"], row["lon0"], row["lon1"]) == (0.0, 30.0, 0.0, 30.0)
    assert (row["lat_center"], row["lon_center"]) == (15.0, 15.0)


def test_csv_and_parquet_are_one_table(made: Path) -> None:
    for name in ("patches", "weekly", "profiles"):
        csv, parquet = pd.read_csv(made / f"{name}.csv"), pd.read_parquet(made / f"{name}.parquet")
        assert list(csv) == list(parquet)
        for column in [name for name in parquet if parquet[name].dtype == "str"]:
            csv[column] = csv[column].astype("str").fillna("")
        csv = csv.astype(parquet.dtypes)
        pd.testing.assert_frame_equal(csv, parquet)


def test_the_tables_have_the_published_columns_in_their_order(made: Path) -> None:
    for name, wanted in PUBLISHED.items():
        head = (made / f"{name}.csv").read_text().partition("\n")[0].split(",")
        for columns in (head, pq.read_schema(made / f"{name}.parquet").names):
            assert [column for column in columns if column in wanted] == wanted


def test_a_profile_is_matched_to_its_nearest_files_across_the_end_of_the_month(made: Path) -> None:
    table = pd.read_parquet(made / "profiles.parquet").set_index("argo_profile_date")
    assert len(table) == 9 and table["argo_row_id"].tolist() == list(range(9))
    first = table.loc[20120301]
    # as numbers 20120301 is 72 away from 20120229, and 6 from 20120307
    assert (first["matched_glorys_date"], first["matched_glorys_abs_day_delta"]) == (20120229, 1)
    assert (first["matched_ostia_date"], first["grid_row"], first["grid_col"]) == (20120301, 29, 119)
    last = table.loc[20120310]
    assert (last["matched_glorys_date"], last["matched_ostia_date"]) == (20120307, 20120309)  # the last there is


def test_days_have_the_nearest_reanalysis_in_real_days(
    casts: Path, archive: Path, exported: Path, client: Client
) -> None:
    output = casts / "daily"
    chosen = settings(
        output, archive=of_archive(archive), en4={"root": str(casts / "en4")},
        tiling={"mask": f"{exported}/masks/land_mask.tif", "tile": 10, "max_land_fraction": 1.0},
        rows={"frequency": "daily", "days": 1, "keep_empty": True},
    )  # fmt: skip
    assert index(chosen, client).complete
    table = pd.read_parquet(output / "daily.parquet")
    assert len(table) == 20 * 72  # days of OSTIA x patches
    by_date = table.drop_duplicates("date").set_index("date")
    matched = by_date.loc[[20120219, 20120229, 20120301, 20120304]]
    assert matched["matched_glorys_date"].tolist() == [20120222, 20120229, 20120229, 20120307]
    assert matched["matched_glorys_abs_day_delta"].tolist() == [3, 0, 1, 3]
    some = table[table["argo_profile_count"] > 0]
    assert some[["date", "patch_id", "argo_profile_count"]].to_numpy().tolist() == [
        [20120219, MIDDLE, 1], [20120229, MIDDLE, 3], [20120229, MIDDLE + 10, 1], [20120301, DATELINE, 1],
        [20120303, MIDDLE, 1], [20120304, MIDDLE, 1],
    ]  # fmt: skip
    assert table.loc[table["argo_profile_count"] == 0, "argo_valid"].eq(0).all()
    assert table.loc[table["argo_profile_count"] == 0, "argo_file_path"].eq("").all()


def test_gridded_profiles_and_their_files_give_the_same_tables(
    tmp_path: Path, exported: Path, archive: Path, client: Client
) -> None:
    ours = copied(exported, tmp_path / "export")
    sources = tiny.write_sources(tmp_path / "sources", profiles=60)
    store = tiny.settings(sources, tmp_path / "enriched", grid={"export": str(ours)})
    assert tiny.enrich(store, client).complete and tiny.grid(store, client).complete
    both = {}
    tiling = {"tile": 12, "stride": 5, "periodic": True, "max_land_fraction": 1.0}
    from_files: dict[str, Any] = {"en4": {"root": str(sources / "en4")}, "argo": {"root": str(sources / "argo")}}
    for name, more in {"gridded": {}, "files": from_files}.items():
        chosen = settings(tmp_path / name, export=ours, tiling=tiling, split={"block_degrees": 90}, **more)
        assert index(chosen, client).complete
        both[name] = (
            pd.read_parquet(tmp_path / name / "weekly.parquet"),
            pd.read_parquet(tmp_path / name / "profiles.parquet"),
        )
    for gridded, files in zip(both["gridded"], both["files"], strict=True):
        assert len(gridded) > 20
        pd.testing.assert_frame_equal(gridded, files)
    assert "Q" not in "".join(both["files"][1]["platform_number"])


def test_the_archive_can_move(made: Path, archive: Path, tmp_path: Path) -> None:
    moved, tree = Path(shutil.copytree(made, tmp_path / "index")), Path(shutil.copytree(archive, tmp_path / "moved"))
    table = oceanrecon.read_index(str(moved)).table()
    for name in ("ostia_file_path", "matched_glorys_file_path"):
        assert all((tree / path).is_file() for path in table[name].unique())


def test_profile_files_below_the_archive_are_named_from_its_root(
    casts: Path, archive: Path, exported: Path, client: Client, tmp_path: Path
) -> None:
    tree = copied(archive, tmp_path / "archive")
    shutil.copytree(casts / "en4", tree / "profiles" / "en4")
    chosen = settings(
        tmp_path / "index", export=exported, archive=of_archive(tree), en4={"root": str(tree / "profiles/en4")}
    )
    assert index(chosen, client).complete
    for name, column in (("weekly", "argo_file_path"), ("profiles", "argo_file_path")):
        paths = pd.read_parquet(tmp_path / f"index/{name}.parquet")[column]
        assert all((tree / path).is_file() for path in paths)


def test_tables_are_the_same_for_any_number_of_workers_and_after_an_interruption(
    made: Path, casts: Path, archive: Path, exported: Path, tmp_path: Path
) -> None:
    def chosen(name: str) -> PatchesSettings:
        return of_export(tmp_path / name, casts, exported, archive)

    def stop(progress: Any) -> None:
        if progress.done == 3:
            raise KeyboardInterrupt

    with threads(1) as one:
        index(chosen("one"), one)
        with pytest.raises(KeyboardInterrupt):
            index(chosen("stopped"), one, on_progress=stop)
        assert not (tmp_path / "stopped/manifest.yaml").exists()
        result = index(chosen("stopped"), one, how="resume")
        assert result.complete and result.steps_kept >= 3
    expected = tables_of(made)
    assert len(expected) == 12
    assert tables_of(tmp_path / "one") == expected and tables_of(tmp_path / "stopped") == expected


def test_a_resume_makes_only_what_a_changed_file_changes(
    casts: Path, archive: Path, exported: Path, client: Client, tmp_path: Path
) -> None:
    shutil.copytree(casts / "en4", tmp_path / "en4")
    chosen = settings(
        tmp_path / "index", export=exported, archive=of_archive(archive), en4={"root": str(tmp_path / "en4")}
    )
    assert index(chosen, client).steps_made == 4
    again = index(chosen, client, how="resume")
    assert (again.steps_made, again.steps_kept) == (0, 4)
    # one more profile on 9 March: no row of February sees it
    write_casts(tmp_path, "2012-03", [*MARCH, (20120309, 1.0, 1.0)])
    again = index(chosen, client, how="resume")
    assert (again.steps_made, again.steps_kept) == (3, 1)  # rows of February know March's part by its checksum
    assert pd.read_parquet(tmp_path / "index/weekly.parquet")["argo_profile_count"].tolist() == [1, 4, 1, 1, 3]


def test_rows_of_years_are_told_apart_across_the_turn_of_the_year(
    exported: Path, client: Client, tmp_path: Path
) -> None:
    weekly = [dt.date(2011, 12, 14) + dt.timedelta(days=7 * n) for n in range(5)]
    root = write_archive(tmp_path / "archive", weekly, [])
    write_casts(tmp_path, "2012-01", [(20120101, 1.0, 1.0), (20120112, 1.0, 1.0)])
    write_casts(tmp_path, "2011-12", [(20111214, 1.0, 1.0), (20111231, 1.0, 1.0)])
    tiling = {"mask": f"{exported}/masks/land_mask.tif", "tile": 10, "max_land_fraction": 1.0}
    chosen = settings(
        tmp_path / "index", archive=of_archive(root, "glorys"), en4={"root": str(tmp_path / "en4")}, tiling=tiling,
        split={"method": "year", "val_years": [2012]},
    )  # fmt: skip
    assert index(chosen, client).complete
    table = pd.read_parquet(tmp_path / "index/weekly.parquet")
    found = table[["date", "phase", "argo_profile_count"]].to_numpy().tolist()
    # the week of 28 December sees 31 December only, that of 4 January sees 1 January
    assert found == [
        [20111214, "train", 1], [20111228, "train", 1], [20120104, "val", 1], [20120111, "val", 1],
    ]  # fmt: skip
    assert (table["ostia_file_path"] == "").all()
    assert oceanrecon.read_index(str(tmp_path / "index")).rows("val").date.tolist() == [20120104, 20120111]


def test_the_reader_gives_what_was_written(made: Path, archive: Path, exported: Path) -> None:
    found = oceanrecon.read_index(str(made))
    assert (found.frequency, found.days, found.archive, found.export) == ("weekly", 7, str(archive), str(exported))
    assert found.patches.shape == (6, 12) and len(found.spatial()) == 72
    table = found.table()
    every = found.rows("all")
    assert every.tile == 10 and len(every) == (table["phase"] != "guard").sum()
    assert [len(found.rows(side)) for side in ("train", "val", "test")] == [3, 1, 1] and len(every) == 5
    phases = table.set_index(["patch_id", "date"])["phase"]
    rows = found.rows("train")
    assert {phases[key] for key in zip(rows.patch_id.tolist(), rows.date.tolist(), strict=True)} == {"train"}
    assert np.isin(every.patch_id, found.spatial()["patch_id"]).all()
    assert yaml.safe_load((made / "manifest.yaml").read_text())["counts"]["profiles"] == 9


def test_statistics_are_of_what_was_written_also_where_the_export_has_moved(
    made: Path, exported: Path, tmp_path: Path, command: Callable[..., Ran]
) -> None:
    moved = Path(shutil.copytree(made, tmp_path / "moved"))
    for name in ("patches.yaml", "manifest.yaml"):
        text = (moved / name).read_text()
        (moved / name).write_text(text.replace(str(exported), str(tmp_path / "gone")))
    found = {}
    for index_folder in (made, moved):
        output = tmp_path / f"stats of {index_folder.name}"
        code, out, err = command("patches", "stats", index_folder, "--output", output, "--json")
        assert code == 0, err
        found[index_folder] = json.loads(out, parse_constant=pytest.fail)  # NaN is no JSON
        assert {"split.png", "support.png", "valid.png", "index.html"} <= {path.name for path in output.iterdir()}
        rows = found[index_folder]["rows"]
        assert (rows["used"]["rows"], rows["used"]["profiles"], rows["train"]["rows"]) == (5, 9, 3)
    there, gone = found.values()
    assert there["valid_fraction"]["date"] == "2012-02-29" and there["share_of_the_ocean"]["test"] > 0
    assert gone["valid_fraction"] is None and set(gone["share_of_the_ocean"].values()) == {None}
    assert gone["patches"] == there["patches"] and gone["patches_per_pixel"] == there["patches_per_pixel"]
    told = [note for note in gone["notes"] if str(tmp_path / "gone") in note]
    assert any("the target's values" in note for note in told) and any("no land is drawn" in note for note in told)
