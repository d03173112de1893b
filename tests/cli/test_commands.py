"""Risk: a command hides what is wrong, says it with a traceback, or prints what a program cannot read."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from distributed import Client

from oceanrecon.config import ExportSettings, dump_settings, load_settings
from tests.archives import WEEKLY, copied, files_of, settings, truncate

Command = Callable[..., tuple[int, str, str]]
PROGRAM = Path(sys.executable).parent / "oceanrecon"


@pytest.fixture
def config(archive: Path, tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(dump_settings(settings(archive, tmp_path / "export")))
    return path


def edited(config: Path, **changes: Any) -> Path:
    path = config.with_name("edited.yaml")
    path.write_text(yaml.safe_dump(yaml.safe_load(config.read_text()) | changes))
    return path


def test_every_command_has_help_with_an_example() -> None:
    shown = subprocess.run([PROGRAM, "--help"], capture_output=True, text=True, check=True).stdout
    commands = [
        "diagnose", "download", "evaluate", "explain", "export", "inspect", "inventory", "landmask", "plan",
        "quicklook", "reconstruct", "statistics", "synthesize", "train", "verify",
    ]  # fmt: skip
    assert all(name in shown for name in commands)
    for name in commands:
        code, out = _in_a_shell(name, "--help")
        assert code == 0 and f"Example: oceanrecon {name}" in " ".join(out.split()), name


def _in_a_shell(*arguments: object) -> tuple[int, str]:
    """In this process, but as typer's own test client runs it: a wide, plain terminal."""
    from typer.testing import CliRunner

    from oceanrecon.cli.app import app

    ran = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200", "NO_COLOR": "1"})
    return ran.exit_code, ran.output


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"windowdays": 7}, "unknown setting 'windowdays': did you mean 'window_days'?"),
        ({"grid": {"resolutoin": 1}}, "unknown setting 'grid.resolutoin': did you mean 'resolution'?"),
        ({"formats": {"geotiff": {"cogs": True}}}, "'formats.geotiff.cogs': did you mean 'cog'?"),
        ({"formats": {"zarr": {"chunks": 64}}}, "'formats.zarr.chunks': did you mean 'chunk'?"),
        ({"targets": {"finish": "2012-01-01"}}, "unknown setting 'targets.finish'"),
        ({"window_days": 6}, "`window_days` 6 is even"),
        ({"encoding": "int8"}, "encoding: "),
        ({"grid": {"resolution": 1, "mask": "m.tif"}}, "either `mask` (a GeoTIFF) or `resolution`"),
        ({"grid": {"resolution": 7}}, "make it a whole number"),
        ({"targets": {"start": "2012-02-30"}}, "'2012-02-30' is not a date"),
        ({"targets": {"start": "2012-03-01", "end": "2012-02-01"}}, "`end` 2012-02-01 is before `start` 2012-03-01"),
        ({"targets": {"every_days": 1}}, "`every_days` needs `start` and `end`"),
        ({"formats": {}}, "nothing to write"),
        ({"archive": {"root": "x", "products": {"glory": None}}}, "there is no product 'glory'"),
        ({"archive": {"root": "x", "products": {"sss": {"glob": "*"}}}}, "unknown setting 'archive.products.sss.glob'"),
        ({"archive": {"products": {}}}, "setting 'archive.root' is missing"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line_that_names_it(
    config: Path, command: Command, changes: dict[str, Any], told: str
) -> None:
    code, out, err = command("plan", edited(config, **changes))
    assert code == 1 and out == ""
    assert err.startswith("error: ") and told in err and len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "told"),
    [("a: [", "is not YAML"), ("- 1", "holds list, not settings"), (None, "cannot read the settings file")],
)
def test_a_file_that_is_no_settings(tmp_path: Path, command: Command, content: str | None, told: str) -> None:
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_text(content)
    code, _, err = command("export", path)
    assert code == 1 and str(path) in err and told in err and "Traceback" not in err


def test_set_overrides_any_depth_of_settings(config: Path, command: Command) -> None:
    changed = load_settings(
        ExportSettings, config,
        ("window_days=3", "targets.end=2012-02-29", "formats.geotiff={cog: true}", "formats.zarr=null",
         "variables=[so]"),
    )  # fmt: skip
    assert (changed.window_days, str(changed.targets.end), changed.variables) == (3, "2012-02-29", ("so",))
    assert changed.formats.geotiff is not None and changed.formats.geotiff.cog and changed.formats.zarr is None
    for wrong, told in (("window_days", "is not KEY=VALUE"), ("windows=3", "did you mean 'window_days'?"),
                        ("targets.end=x: [", "is not YAML")):  # fmt: skip
        code, _, err = command("plan", config, "--set", wrong)
        assert code == 1 and told in err


def test_plan_tells_the_cost_and_writes_nothing(config: Path, tmp_path: Path, command: Command) -> None:
    code, out, _ = command("plan", config)
    assert code == 0
    for figure in ("120 x 60 at 3 degrees, 3 levels, uint8", "3: 2012-02-22 .. 2012-03-07", "thetao 3, so 3",
                   "18 (graph", "to read", "to write", "at most"):  # fmt: skip
        assert figure in out
    code, out, _ = command("plan", config, "--json", "--set", "targets.dates=[2012-02-29, 2013-01-01]")
    told = json.loads(out)
    assert code == 0 and (told["tasks"], told["missing_blocks"], told["targets"]) == (6, 6, 2)
    assert told["missing"][0]["date"] == "2013-01-01"
    assert not (tmp_path / "export").exists()


def test_a_plan_that_does_not_fit_is_refused(config: Path, command: Command) -> None:
    code, _, err = command("plan", config, "--set", "cluster.memory_limit=200 MB")
    assert code == 1 and "GB and may use 0.20 GB" in err and "cluster.workers lower" in err


def test_export_inspect_and_extension_in_json(
    config: Path, tmp_path: Path, command: Command, shared_cluster: None
) -> None:
    code, out, _ = command("export", config, "--json", "--set", "targets.end=2012-02-29")
    told = json.loads(out)
    assert code == 0 and told["complete"] is True and (told["written"], told["kept"], told["failures"]) == (12, 0, [])
    code, out, _ = command("export", config, "--json", "--resume")
    told = json.loads(out)
    assert (told["written"], told["kept"]) == (6, 12)
    code, out, _ = command("inspect", tmp_path / "export", "--json")
    told = json.loads(out)
    assert code == 0 and [entry["times"] for entry in told["variables"]] == [3] * 6
    code, out, _ = command("inspect", tmp_path / "export")
    assert code == 0 and "thetao" in out and "3 of 3" in out and "6..7 of 7" in out


def test_export_shows_lines_where_there_is_no_terminal(config: Path, command: Command, shared_cluster: None) -> None:
    code, out, err = command("export", config, "--set", "variables=[adt, so]")
    assert code == 0 and err == ""
    assert "2 workers" in out and "dashboard" in out
    assert "6/6 blocks, 0 failed" in out and "6 blocks written, 0 kept, 0 failed" in out


def test_a_running_scheduler_does_the_work(
    config: Path, exported: Path, tmp_path: Path, command: Command, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the workers are elsewhere: relative paths must mean the same to them
    local = edited(config, output="there/../mine/export/")
    address = client.scheduler_info()["address"]
    code, out, err = command("export", local, "--scheduler", address, "--set", "variables=[adt]")
    assert code == 0, err
    assert files_of(tmp_path / "mine/export", "rasters") == {
        path: content for path, content in files_of(exported, "rasters").items() if "/adt/" in path
    }
    code, out, _ = command("explain", "mine/export", "adt", "2012-02-29", "-40", "-30")
    assert code == 0 and "the export agrees" in out


def test_json_tells_of_failures_too(
    archive: Path, config: Path, tmp_path: Path, command: Command, shared_cluster: None
) -> None:
    mine = copied(archive, tmp_path / "archive")
    truncate(next((mine / "glorys").glob(f"*_mean_{WEEKLY[0]:%Y%m%d}_*")))
    code, out, _ = command("export", config, "--json", "--set", f"archive.root={mine}", "--set", "variables=[so]")
    told = json.loads(out)
    assert code == 1 and told["complete"] is False
    assert [failure["date"] for failure in told["failures"]] == ["20120222"]


def test_the_inventory_shows_what_was_inferred_and_what_is_wrong(
    archive: Path, tmp_path: Path, command: Command
) -> None:
    mine, parquet = copied(archive, tmp_path / "archive"), tmp_path / "inventory.parquet"
    code, out, _ = command("inventory", mine, "--output", parquet)
    assert code == 0 and parquet.exists()
    for told in ("longitudes 0..360", "longitudes -180..180", "north to south", "periodic", "degrees_C", "not declared",
                 "2012-02-19 .. 2012-03-09, 20 days"):  # fmt: skip
        assert told in out, told
    truncate(min((mine / "ostia").glob("*.nc")))
    (mine / "notes.nc").write_text("no data")
    code, out, _ = command("inventory", mine, "--output", parquet)
    assert code == 1 and "2 files with problems" in out and "truncated" in out and "notes.nc" in out
    code, out, _ = command("inventory", mine, "--output", parquet, "--json")
    assert code == 1 and {row["path"] for row in json.loads(out)["problems"]} == {
        "notes.nc", "ostia/20120219120000-UKMO-L4_GHRSST-SSTfnd-OSTIA-GLOB_REP-v02.0-fv02.0.nc"
    }  # fmt: skip


def test_a_land_mask_of_a_reanalysis_file(archive: Path, tmp_path: Path, command: Command) -> None:
    source = next((archive / "glorys").glob("*.nc"))
    mask = tmp_path / "mask.tif"
    code, out, _ = command("landmask", "--from", source, "--resolution", "5", "--output", mask)
    assert code == 0 and "% land" in out
    code, out, _ = command("landmask", "--from", source, "--resolution", "5", "--output", tmp_path / "mask.png")
    assert code == 1
    code, out, _ = command("landmask", "--from", source, "--resolution", "2", "--bounds", "-40", "-30", "40", "50",
                           "--output", tmp_path / "part.tif")  # fmt: skip
    assert code == 0


def test_what_has_no_export_says_so(tmp_path: Path, command: Command) -> None:
    for arguments in (("inspect",), ("verify",), ("quicklook",), ("explain",)):
        more = ("adt", "2012-02-29", "0", "0") if arguments == ("explain",) else ()
        code, _, err = command(*arguments, tmp_path / "nothing", *more)
        assert code == 1 and err.startswith("error: ") and "Traceback" not in err and len(err.splitlines()) == 1
    code, _, err = command("inventory", tmp_path / "nothing", "--output", tmp_path / "x.parquet")
    assert code == 1 and err.startswith("error: ") and not (tmp_path / "x.parquet").exists()


def test_markup_in_a_path_is_not_swallowed(archive: Path, tmp_path: Path, command: Command) -> None:
    code, _, err = command("inspect", tmp_path / "[bold]export[/]")
    assert code == 1 and "[bold]export[/]" in err
