from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from distributed import Client

import oceanrecon
from oceanrecon.config import dump_settings
from oceanrecon.errors import ArchiveError, ConfigError, LeaseError, OutputError, PlanError
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.patches.match import Files, day_of
from oceanrecon.pipeline.patches.output import resolved
from oceanrecon.pipeline.patches.rows import find_dates, with_profiles
from oceanrecon.pipeline.patches.spatial import write_grid
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import read_manifest
from tests.archives import WEEKLY, copied, files_of, truncate
from tests.conftest import Ran
from tests.pipeline.patches.cast import LATER, index, of_archive, settings, write_casts
from tests.pipeline.profiles.tiny import write_float

CASTS = [(20120229, 1.0, 1.0), (20120229, 1.0, 31.0), (20120222, 1.0, 61.0)]


@pytest.fixture(scope="module")
def casts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EN4 of two months; the weeks have profiles of the first only."""
    folder = tmp_path_factory.mktemp("casts")
    write_casts(folder, "2012-02", CASTS)
    write_casts(folder, "2012-03", LATER)
    return folder


def tables_there(folder: Path) -> list[str]:
    """Names of the tables, finished or not."""
    return sorted(path.name for path in folder.iterdir() if path.suffix in (".csv", ".parquet"))


def config_of(chosen: PatchesSettings, folder: Path) -> Path:
    path = folder / "patches-config.yaml"
    path.write_text(dump_settings(chosen))
    return path


def test_the_command_says_what_it_made_and_refuses_to_make_it_twice(
    casts: Path, exported: Path, tmp_path: Path, command: Callable[..., Ran], shared_cluster: None
) -> None:
    config = config_of(settings(tmp_path / "index", export=exported, en4={"root": str(casts / "en4")}), tmp_path)
    code, out, _ = command("patches", "grid", config)
    assert code == 0, out
    code, out, err = command("patches", "index", config, "--json")  # completes what `grid` began
    found = json.loads(out)
    assert (code, found["complete"], found["profiles"], sum(found["rows"].values())) == (0, True, 3, 3), err
    code, _, err = command("patches", "index", config)
    assert code == 1 and "holds a patch index: add --resume" in err
    code, _, err = command("patches", "index", config, "--set", "rows.days=1", "--resume")
    assert code == 1 and "made with other settings (rows" in err
    code, out, _ = command("verify", tmp_path / "index")
    assert code == 0 and "7 files" in out and "all good" in out
    truncate(tmp_path / "index/weekly.csv")
    code, out, _ = command("verify", tmp_path / "index", "--discard-bad")
    assert code == 1 and "truncated" in out and "weekly.csv" in out
    code, out, _ = command("patches", "index", config, "--resume")
    assert code == 0 and "0 steps made" in out
    assert command("verify", tmp_path / "index")[0] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tilling": {}}, "unknown setting 'tilling': did you mean 'tiling'?"),
        ({"export": "/no/such/export"}, "/no/such/export"),
        ({"rows": {"frequency": "daily"}}, "`rows.frequency: daily` needs the `archive`"),
        ({"archive": {"root": "ARCHIVE", "products": {"argos": None}}}, "no product 'argos'"),
        (
            {"archive": {"root": "ARCHIVE", "products": {"glorys": None}}, "rows": {"frequency": "daily"}},
            "add `ostia` to archive.products",
        ),
        ({"en4": None}, "has no gridded profiles: run `oceanrecon profiles grid CONFIG`"),
        ({"rows": {"start": "2013-01-01"}}, "they are of 3 dates from 20120222 to 20120307"),
        ({"en4": {"root": "EMPTY"}}, "below EMPTY is named as EN.4"),
    ],
)
def test_one_clear_error_before_anything_is_written(
    change: dict[str, Any], message: str, casts: Path, archive: Path, exported: Path, tmp_path: Path,
    command: Callable[..., Ran],
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    places = {"ARCHIVE": str(archive), "EMPTY": str(tmp_path / "empty")}
    data = {"export": str(exported), "output": str(tmp_path / "index"), "en4": {"root": str(casts / "en4")}} | change
    data["tiling"] = {"tile": 10}
    text = yaml.safe_dump(data)
    for name, place in places.items():
        text, message = text.replace(name, place), message.replace(name, place)
    (tmp_path / "config.yaml").write_text(text)
    code, _, err = command("patches", "index", tmp_path / "config.yaml")
    assert code == 1 and message in " ".join(err.split()), err
    assert not (tmp_path / "index").exists()


def test_a_month_that_cannot_be_read_leaves_no_index_and_is_made_once_it_is_mended(
    casts: Path, exported: Path, client: Client, tmp_path: Path
) -> None:
    file = write_casts(tmp_path, "2012-02", CASTS)
    write_casts(tmp_path, "2012-03", LATER)
    good = file.read_bytes()
    truncate(file)
    chosen = settings(tmp_path / "index", export=exported, en4={"root": str(tmp_path / "en4")})
    result = index(chosen, client)
    assert [failure.name for failure in result.failures] == ["2012-02"] and file.name in result.failures[0].message
    assert not (tmp_path / "index/manifest.yaml").exists() and not (tmp_path / "index/weekly.csv").exists()
    with pytest.raises(OutputError, match=r"no manifest.yaml: it is no patch index, or one that has not finished"):
        oceanrecon.read_index(str(tmp_path / "index"))
    file.write_bytes(good)
    assert not (tmp_path / "index/parts/rows").exists()  # rows without these profiles would look as if there were none
    assert index(chosen, client, how="resume").complete
    assert len(oceanrecon.read_index(str(tmp_path / "index")).table()) == 3
    # a later run that fails takes the tables of this one along
    truncate(file)
    assert not index(chosen, client, how="resume").complete
    assert tables_there(tmp_path / "index") == ["patches.csv", "patches.parquet"]


def test_an_interrupted_resume_is_no_index(casts: Path, exported: Path, client: Client, tmp_path: Path) -> None:
    write_casts(tmp_path, "2012-02", CASTS)
    write_casts(tmp_path, "2012-03", LATER)
    chosen = settings(tmp_path / "index", export=exported, en4={"root": str(tmp_path / "en4")})
    assert index(chosen, client).complete
    write_casts(tmp_path, "2012-02", CASTS[1:])

    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index(chosen, client, how="resume", on_progress=stop)
    assert tables_there(tmp_path / "index") == ["patches.csv", "patches.parquet"]
    assert not (tmp_path / "index/manifest.yaml").exists() and not (tmp_path / "index/proof.json").exists()
    assert index(chosen, client, how="resume").profiles == 2


def test_an_index_without_a_profile_is_one_clear_error(
    casts: Path, exported: Path, tmp_path: Path, command: Callable[..., Ran], shared_cluster: None
) -> None:
    config = config_of(settings(tmp_path / "index", export=exported, en4={"root": str(casts / "en4")}), tmp_path)
    for strict in ("true", "false"):
        code, _, err = command(
            "patches", "index", config, "--overwrite", "--set", "rows.quality=[9]", "--set", f"split.strict={strict}"
        )
        told = " ".join(err.split())
        assert code == 1 and "no row has an accepted profile" in told and "rows.quality" in told, err
        assert "Traceback" not in err and "rows.days" in told and "rows.keep_empty" in told
        assert tables_there(tmp_path / "index") == ["patches.csv", "patches.parquet"]
        assert not (tmp_path / "index/manifest.yaml").exists()


def test_a_spatial_table_is_not_replaced_under_the_rows(
    casts: Path, exported: Path, client: Client, tmp_path: Path, command: Callable[..., Ran]
) -> None:
    chosen = settings(tmp_path / "index", export=exported, en4={"root": str(casts / "en4")})
    config = config_of(chosen, tmp_path)
    assert command("patches", "grid", config)[0] == command("patches", "grid", config, "--resume")[0] == 0
    assert index(chosen, client).complete
    before = files_of(tmp_path / "index")
    code, _, err = command("patches", "grid", config, "--resume")
    assert code == 1 and "has tables of rows, too: run `oceanrecon patches index CONFIG --resume`" in err
    assert files_of(tmp_path / "index") == before
    assert command("patches", "grid", config, "--overwrite")[0] == 0
    assert tables_there(tmp_path / "index") == ["patches.csv", "patches.parquet"]


@pytest.mark.parametrize("table", ["weekly.csv", "patches.parquet", "parts/list.csv"])
def test_the_list_of_a_split_that_lies_in_the_output_is_not_lost(
    table: str, casts: Path, exported: Path, client: Client, tmp_path: Path
) -> None:
    chosen = settings(tmp_path / "index", export=exported, en4={"root": str(casts / "en4")})
    assert index(chosen, client).complete
    place = tmp_path / "index" / table
    if not place.exists():
        (tmp_path / "index/weekly.csv").rename(place)
    before = place.read_bytes()
    listed = chosen.model_copy(
        update={"split": chosen.split.model_copy(update={"method": "list", "table": str(place)})}
    )
    with pytest.raises(OutputError, match=rf"--overwrite would remove .*{table}, which the settings read: copy it"):
        index(listed, client, how="overwrite")
    if table != "parts/list.csv":
        with pytest.raises(OutputError, match=rf"this would write over .*{table}"):
            index(listed, client, how="resume")
    assert place.read_bytes() == before


def test_an_argo_file_that_cannot_be_read_costs_its_profiles_only(
    casts: Path, exported: Path, client: Client, tmp_path: Path
) -> None:
    write_float(tmp_path)
    bad = tmp_path / "argo/5900001_prof.nc"
    bad.write_bytes(b"no NetCDF")
    chosen = settings(
        tmp_path / "index", export=exported, en4={"root": str(casts / "en4")}, argo={"root": str(tmp_path / "argo")}
    )
    result = index(chosen, client)
    assert [failure.name for failure in result.failures] == ["argo/5900001_prof.nc"]
    assert result.profiles == 3 + 2  # the float on 23 February and 3 March
    failures = oceanrecon.read_index(str(tmp_path / "index")).manifest["failures"]
    assert [failure["name"] for failure in failures] == ["argo/5900001_prof.nc"]


def test_sides_that_share_pixels_leave_no_index(casts: Path, exported: Path, client: Client, tmp_path: Path) -> None:
    # the tile of row 20, column 60, and its neighbour that overlaps it
    table = pd.DataFrame({"patch_id": [2460, 2465], "phase": ["train", "test"]})
    table.to_csv(tmp_path / "split.csv", index=False)
    chosen = settings(
        tmp_path / "index", export=exported, en4={"root": str(casts / "en4")},
        tiling={"tile": 10, "stride": 5, "max_land_fraction": 1.0},
        split={"method": "list", "table": str(tmp_path / "split.csv")},
    )  # fmt: skip
    with pytest.raises(PlanError, match=r"the sides of the split share something .* split.strict=false"):
        index(chosen, client)
    assert not (tmp_path / "index/manifest.yaml").exists() and (tmp_path / "index/proof.json").exists()
    assert tables_there(tmp_path / "index") == ["patches.csv", "patches.parquet"]
    loose = chosen.model_copy(update={"split": chosen.split.model_copy(update={"strict": False})})
    with pytest.raises(OutputError, match="other settings"):
        index(loose, client, how="resume")
    assert index(loose, client, how="overwrite").complete


def test_a_split_without_rows_is_an_error_that_says_what_there_is(
    casts: Path, exported: Path, client: Client, tmp_path: Path
) -> None:
    table = pd.DataFrame({"patch_id": [2460, 2470, 0], "phase": ["train", "train", "val"]})
    table.to_csv(tmp_path / "split.csv", index=False)
    chosen = settings(
        tmp_path / "index", export=exported, en4={"root": str(casts / "en4")}, rows={"keep_empty": True},
        split={"method": "list", "table": str(tmp_path / "split.csv")},
    )  # fmt: skip
    assert index(chosen, client).complete
    found = oceanrecon.read_index(str(tmp_path / "index"))
    assert len(found.rows("train")) == 2 and len(found.rows("train", require_profiles=False)) == 6
    assert len(found.rows("all", require_profiles=False)) == 9  # guard is never handed out
    with pytest.raises(ConfigError, match=r"no rows of split 'test' .*6 train, 3 val, 0 test, 207 guard.*`split`"):
        found.rows("test")
    with pytest.raises(ConfigError, match=r"no rows of split 'val' .* take require_profiles=False"):
        found.rows("val")
    with pytest.raises(ConfigError, match="no split 'validation'"):
        found.rows("validation")  # type: ignore[arg-type]
    (tmp_path / "index/weekly.parquet").unlink()
    with pytest.raises(OutputError, match=r"weekly.parquet cannot be read .*--resume"):
        found.table()


def test_a_side_without_a_profile_is_no_silent_end(casts: Path, exported: Path, client: Client, tmp_path: Path) -> None:
    (tmp_path / "split.csv").write_text("patch_id,phase\n2460,train\n2470,train\n0,val\n")
    chosen = settings(
        tmp_path / "index", export=exported, en4={"root": str(casts / "en4")},
        split={"method": "list", "table": str(tmp_path / "split.csv")},
    )  # fmt: skip
    said = r"no row of val has an accepted profile \(2 train, 0 val, 0 test, 1 guard\): change `split`"
    with pytest.raises(PlanError, match=rf"{said}.*rows.keep_empty; .*split.strict=false; .*--overwrite"):
        index(chosen, client)
    assert tables_there(tmp_path / "index") == ["patches.csv", "patches.parquet"]
    assert not (tmp_path / "index/manifest.yaml").exists()
    loose = chosen.model_copy(update={"split": chosen.split.model_copy(update={"strict": False})})
    result = index(loose, client, how="overwrite")
    assert result.complete and re.match(said, result.notes[-1])
    assert oceanrecon.read_index(str(tmp_path / "index")).manifest["notes"] == list(result.notes)


def test_two_runs_do_not_write_to_one_index(casts: Path, exported: Path, client: Client, tmp_path: Path) -> None:
    chosen = settings(tmp_path / "index", export=exported, en4={"root": str(casts / "en4")})
    who = rf"\(.*process {os.getpid()}\)"
    held_by = rf"index is being written by a run of `oceanrecon patches index` [0-9a-f]{{8}} {who}"
    told: list[str] = []

    def second(progress: Progress) -> None:
        with pytest.raises(LeaseError, match=held_by):
            index(chosen, client, how="overwrite")
        with pytest.raises(LeaseError, match=held_by):
            write_grid(chosen, overwrite=True)
        told.append(progress.message)

    assert index(chosen, client, on_progress=second).complete and len(told) > 2
    again = index(chosen, client, how="resume")  # it was let go of
    assert again.complete and again.steps_made == 0


def dates_of(export: Path, change: Callable[[dict[str, Any]], None], **rows: Any) -> Any:
    manifest = copy.deepcopy(read_manifest(Root(str(export))))
    change(manifest)
    return find_dates(resolved(settings("out", export=export, rows=rows)), {}, manifest)


def test_targets_that_lack_a_variable_or_a_reanalysis_near_enough_have_no_row(exported: Path) -> None:
    def without_a_surface_field(manifest: dict[str, Any]) -> None:
        for store in (manifest["rasters"], manifest["dense"]["shards"]):
            store["sealevel"]["adt"] = [entry for entry in store["sealevel"]["adt"] if entry["date"] != 20120229]

    found = dates_of(exported, without_a_surface_field)
    assert found.table["date"].tolist() == [20120222, 20120307]
    assert found.notes == ("20120229 has no row: the export has no adt of it",)

    def without_fields(manifest: dict[str, Any]) -> None:
        for store in (manifest["rasters"], manifest["dense"]["shards"]):
            del store["glorys"]

    with pytest.raises(ConfigError, match="no GLORYS files"):
        dates_of(exported, without_fields)


def test_days_beyond_the_last_reanalysis_have_no_row() -> None:
    files = {
        "ostia": Files({day: f"o{day}" for day in range(100, 120)}, {}),
        "glorys": Files({105: "g105", 112: "g112"}, {119: "g119 is damaged: mend it"}),
    }
    chosen = resolved(
        settings("out", archive=of_archive(Path("nowhere")), tiling={"resolution": 3}, rows={"frequency": "daily"})
    )
    found = find_dates(chosen, files, None)
    assert found.table["day"].tolist() == list(range(102, 116))
    assert found.table["matched_glorys_abs_day_delta"].tolist() == [3, 2, 1, 0, 1, 2, 3, 3, 2, 1, 0, 1, 2, 3]
    far, bad = found.notes
    assert "2 dates" in far and "more than 3 days away" in far
    assert bad.endswith("g119 is damaged: mend it")  # another file would be another match once it is mended
    tie = Files({100: "a", 104: "b"}, {})
    assert tie.nearest(np.array([102]), 3).tolist() == [100]
    with pytest.raises(ArchiveError, match="no date has a row"):
        find_dates(chosen, files | {"glorys": Files({1: "g"}, {})}, None)


def test_dates_whose_days_the_gridded_store_does_not_hold_have_no_row(exported: Path) -> None:
    section = {"window_days": 7, "target_dates": [int(f"{date:%Y%m%d}") for date in WEEKLY]}
    found = dates_of(exported, lambda _: None)
    assert with_profiles(found, section, 7) is found
    held = with_profiles(found, section, 9)  # the days between the weeks are held by the neighbours
    assert held.table["day"].tolist() == [day_of(WEEKLY[1])] and "rows.days is 9" in held.notes[-1]
    with pytest.raises(PlanError, match=r"give fewer, or the files themselves"):
        with_profiles(found, section, 31)


def test_an_export_alone_names_the_files_that_it_was_made_from(
    casts: Path, archive: Path, exported: Path, client: Client, tmp_path: Path
) -> None:
    tree = copied(archive, tmp_path / "archive")
    for name, more in {"alone": {}, "both": {"archive": of_archive(tree)}}.items():
        chosen = settings(tmp_path / name, export=exported, en4={"root": str(casts / "en4")}, **more)
        assert index(chosen, client).complete
    alone, both = ((tmp_path / name / "weekly.csv").read_text() for name in ("alone", "both"))
    assert alone == both and "ostia/20120229120000" in alone
