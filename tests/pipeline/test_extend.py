"""Risk: an export that grows loses what it had, is mixed from two kinds of settings, or writes over a stranger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import yaml
from distributed import Client

import oceanrecon
from oceanrecon.config import dump_settings
from oceanrecon.errors import OutputError
from oceanrecon.pipeline.export import ExportResult
from oceanrecon.pipeline.verify import verify
from tests.archives import DEPTH, WEEKLY, files_of, litter, only, settings

Command = Callable[..., tuple[int, str, str]]
DATA = ("rasters", "dense.zarr", "masks")
#: of a manifest, what two runs over the same input may differ in
OF_THE_RUN = ("created_utc", "output_dir", "parallelism", "resume")


def run(root: Path, output: Path, client: Client, *, how: str = "", **more: Any) -> ExportResult:
    return oceanrecon.export(
        settings(root, output, **more), client=client, resume=how == "resume", overwrite=how == "overwrite"
    )


def manifest(output: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((output / "manifest.yaml").read_text())
    return {key: value for key, value in content.items() if key not in OF_THE_RUN}


def test_a_later_end_date_extends_to_the_export_of_all_dates(
    archive: Path, exported: Path, tmp_path: Path, client: Client
) -> None:
    output = tmp_path / "export"
    first = run(archive, output, client, targets={"end": "2012-02-29"})
    assert (first.written, first.kept) == (12, 0)
    written = {path: path.stat().st_mtime_ns for path in output.rglob("*.tif")}
    second = run(archive, output, client, how="resume")
    assert (second.written, second.kept, second.failures) == (6, 12, ())
    assert all(path.stat().st_mtime_ns == time for path, time in written.items())
    assert files_of(output, *DATA) == files_of(exported, *DATA)
    assert manifest(output) == manifest(exported)
    assert verify(str(output)).good and not litter(output)


@pytest.mark.parametrize("order", [("thetao", "adt"), ("adt", "thetao"), ("so", "thetao")])
def test_another_variable_joins_and_none_is_lost(
    archive: Path, exported: Path, tmp_path: Path, client: Client, order: tuple[str, str]
) -> None:
    output = tmp_path / "export"
    for how, variable in zip(("", "resume"), order, strict=True):
        assert run(archive, output, client, how=how, variables=[variable]).written == 3
    for source in ("zarr", "geotiff"):
        opened = oceanrecon.open_export(str(output), source=source)
        whole = oceanrecon.open_export(str(exported), source=source)
        assert set(opened.data_vars) == set(order)
        for variable in order:
            np.testing.assert_array_equal(opened[variable], whole[variable])
    np.testing.assert_allclose(xr.open_zarr(output / "dense.zarr")["depth"], DEPTH, rtol=1e-6)
    assert manifest(output)["depth_axis_m"] == list(DEPTH)
    assert verify(str(output)).good


def test_a_product_joins(archive: Path, tmp_path: Path, client: Client) -> None:
    output = tmp_path / "export"
    dates = {"dates": [f"{date}" for date in WEEKLY]}
    run(archive, output, client, archive=only("sss", archive=archive), targets=dates)
    assert manifest(output)["products"]["left_out"] == dict.fromkeys(
        ["glorys", "ostia", "sealevel"], "not in archive.products"
    )
    result = run(archive, output, client, how="resume", archive=only("ostia", archive=archive), targets=dates)
    assert result.written == 3
    found = manifest(output)["products"]
    assert (list(found["exported"]), list(found["left_out"])) == (["ostia", "sss"], ["glorys", "sealevel"])


def test_an_earlier_date_is_refused_and_changes_nothing(archive: Path, tmp_path: Path, client: Client) -> None:
    output = tmp_path / "export"
    run(archive, output, client, targets={"start": "2012-02-29"})
    before = files_of(output)
    with pytest.raises(OutputError, match=r"can only be extended by later times.*--overwrite"):
        run(archive, output, client, how="resume")
    assert files_of(output) == before


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"encoding": "uint16"}, "encoding"),
        ({"window_days": 3}, "window_days"),
        ({"grid": {"resolution": 5}}, "grid"),
        ({"formats": {"geotiff": {}}}, "formats"),
        ({"minimum_valid_fraction": 0.9}, "minimum_valid_fraction"),
    ],
)
def test_other_settings_are_refused_and_change_nothing(
    archive: Path, exported: Path, client: Client, more: dict[str, Any], named: str
) -> None:
    before = files_of(exported)
    with pytest.raises(OutputError, match=f"other settings .{named}[^)]*: .*--overwrite"):
        run(archive, exported, client, how="resume", **more)
    assert files_of(exported) == before


def test_an_export_is_neither_replaced_nor_completed_by_accident(archive: Path, exported: Path, client: Client) -> None:
    before = files_of(exported)
    with pytest.raises(OutputError, match="--resume to complete or extend it, or --overwrite"):
        run(archive, exported, client)
    assert files_of(exported) == before


def test_overwrite_leaves_nothing_of_what_was_there(archive: Path, tmp_path: Path, client: Client) -> None:
    output, fresh = tmp_path / "export", tmp_path / "fresh"
    run(archive, output, client, targets={"start": "2012-03-07"}, variables=["adt", "so"])
    mine = output / "notes.txt"
    mine.write_text("a person's own")
    for folder, how in ((output, "overwrite"), (fresh, "")):
        run(archive, folder, client, how=how, encoding="uint16", variables=["adt"])
    assert mine.read_text() == "a person's own"
    mine.unlink()
    assert files_of(output, *DATA) == files_of(fresh, *DATA)
    assert files_of(output).keys() == files_of(fresh).keys()
    assert manifest(output) == manifest(fresh)


@pytest.mark.parametrize("how", ["", "resume", "overwrite"])
def test_a_folder_of_other_files_is_never_touched(archive: Path, tmp_path: Path, client: Client, how: str) -> None:
    output = tmp_path / "thesis"
    (output / "rasters").mkdir(parents=True)
    (output / "rasters/mine.tif").write_text("years of work")
    with pytest.raises(OutputError, match="has files in it but is no export"):
        run(archive, output, client, how=how)
    assert files_of(output) == {"rasters/mine.tif": b"years of work"}


def test_resume_where_nothing_is_missing_changes_nothing(archive: Path, exported: Path, client: Client) -> None:
    before = {name: (exported / name).stat().st_mtime_ns for name in files_of(exported)}
    result = run(archive, exported, client, how="resume")
    assert (result.written, result.kept, result.failures) == (0, 18, ())
    after = {name: (exported / name).stat().st_mtime_ns for name in files_of(exported)}
    changed = {name for name, time in after.items() if before.get(name) != time}
    assert changed <= {"manifest.yaml", "export.yaml"} and before.keys() == after.keys()


def test_resume_makes_what_somebody_deleted(archive: Path, tmp_path: Path, client: Client) -> None:
    output = tmp_path / "export"
    run(archive, output, client, variables=["adt"])
    whole = files_of(output, *DATA)
    (output / "rasters/sealevel/adt/adt_20120229.tif").unlink()
    (output / "dense.zarr/adt/c/2/0/0").unlink()
    (output / "receipts/adt/adt_20120222.json").write_text('{"schema_version": 1, "prod')
    (output / "masks/land_mask.tif").unlink()
    (output / "dense.zarr/zarr.json").unlink()
    assert run(archive, output, client, how="resume", variables=["adt"]).written == 3
    assert files_of(output, *DATA) == whole


def test_the_manifest_is_the_same_but_for_the_run(
    archive: Path, exported: Path, tmp_path: Path, client: Client
) -> None:
    output = tmp_path / "export"
    run(archive, output, client)
    assert manifest(output) == manifest(exported)
    text = (output / "manifest.yaml").read_text()
    assert str(tmp_path) not in text.replace(f"output_dir: {output}", "")


def test_a_moved_export_still_stands(archive: Path, tmp_path: Path, client: Client) -> None:
    output, moved = tmp_path / "export", tmp_path / "elsewhere"
    run(archive, output, client, variables=["adt", "thetao"])
    output.rename(moved)
    assert verify(str(moved)).good
    assert np.isfinite(oceanrecon.open_export(str(moved), source="geotiff")["adt"]).any()
    assert run(archive, moved, client, how="resume", variables=["adt", "thetao"]).kept == 6


def test_one_format_alone(archive: Path, exported: Path, tmp_path: Path, client: Client) -> None:
    for kept, left in (("geotiff", "dense.zarr"), ("zarr", "rasters")):
        output = tmp_path / kept
        run(archive, output, client, formats={kept: {}})
        assert not (output / left).exists()
        folder = "rasters" if kept == "geotiff" else "dense.zarr"
        assert files_of(output, folder, "masks") == files_of(exported, folder, "masks")
        assert verify(str(output), deep=False).good
        opened, whole = oceanrecon.open_export(str(output)), oceanrecon.open_export(str(exported))
        np.testing.assert_array_equal(opened["sos"], whole["sos"])
        with pytest.raises(OutputError, match="formats"):
            oceanrecon.open_export(str(output), source="zarr" if kept == "geotiff" else "geotiff")


def test_the_command_refuses_two_ways_at_once(
    archive: Path, exported: Path, tmp_path: Path, command: Command, shared_cluster: None
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(dump_settings(settings(archive, exported)))
    code, _, err = command("export", config, "--resume", "--overwrite")
    assert code == 2 and "--resume" in err
    code, _, err = command("export", config)
    assert code == 1 and err.startswith("error:") and "--overwrite" in err


def test_targets_of_earlier_runs_stay_in_the_manifest(archive: Path, tmp_path: Path, client: Client) -> None:
    output = tmp_path / "export"
    run(archive, output, client, variables=["thetao"], targets={"dates": ["2012-02-22", "2012-05-01"]})
    run(archive, output, client, how="resume", variables=["thetao"], targets={"dates": ["2012-02-22"]})
    times = [dt.date(2012, 2, 22), dt.date(2012, 5, 1)]
    for source in ("zarr", "geotiff"):
        opened = oceanrecon.open_export(str(output), source=source)
        assert list(opened["time"].values.astype("datetime64[D]").astype(dt.date)) == times
        assert opened["thetao"].notnull().any(["depth", "latitude", "longitude"]).values.tolist() == [True, False]
    run(archive, output, client, how="resume", variables=["thetao"], targets={"dates": ["2012-05-01"],
        "maximum_distance_days": 60})  # fmt: skip
    assert oceanrecon.open_export(str(output))["thetao"].notnull().any(["depth", "latitude", "longitude"]).values.all()
    assert manifest(output)["failures"] == []
