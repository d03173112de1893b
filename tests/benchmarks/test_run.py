"""Risks of the benchmarks: they no longer run, or the page cannot show what they write."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_measurement_runs_and_gives_a_table_that_the_page_can_show(tmp_path: Path) -> None:
    results = tmp_path / "results"
    options = ["--quick", "--data", str(tmp_path / "data"), "--results", str(results)]
    command = [sys.executable, "-m", "benchmarks.run", *options]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert finished.returncode == 0, finished.stderr
    tables = {path.stem: json.loads(path.read_text()) for path in results.glob("*.json")}
    patches = ["8-patches", "9-patches-bytes", "10-patches-compared", "21-patches-index"]
    later = ["13-jobs", "14-listing", "19-regions", "20-taco-read"]
    first = ["1-export", "2-compared", "3-floor", "4-planning", "6-profiles", "7-kernels"]
    assert tables.keys() == {*first, *patches, *later}
    for table in tables.values():
        assert {"title", "machine"} <= table.keys()
        assert len({tuple(row) for row in table["rows"]}) == 1  # one set of columns
    export = tables["1-export"]["raw"]["uint8 both"]
    assert export["task_seconds"] < export["cpu_seconds"]
    week = tables["6-profiles"]["raw"]["runs"]["week"]
    assert 100 < week["profiles"] <= 7 * 20  # a day's 20, some of which are rejected
    assert 0 < sum(week["steps"].values()) < week["cpu_seconds"]
    assert set(tables["6-profiles"]["raw"]["inflating"]["week"]) == {"glorys", "ostia", "sealevel", "sss"}
    assert tables["7-kernels"]["raw"]["profiles"] == week["profiles"]
    assert tables["4-planning"]["raw"]["tasks"] == 5 * 6  # five dates of six variables
    (job,) = tables["13-jobs"]["raw"]["runs"]
    assert (job["workers"], job["blocks"]) == (2, 5 * 6) and 0 < job["efficiency"] <= 1 and 0 < job["overhead"]
    assert tables["14-listing"]["raw"]["records"] == 20
    swot = tables["19-regions"]["raw"]
    assert swot["points"] == swot["files"] * 40 * 69
    assert swot["cpu_seconds"] > swot["task_seconds"] > 0
    assert tables["19-regions"]["rows"][2]["CPU-s"] == f"{643 / swot['cpu_seconds']:.1f}"
    (run,) = tables["8-patches"]["raw"].values()
    assert run["loading"]["code"]["samples"] == run["loading"]["cold"]["samples"] == 32
    assert run["reading"]["touched"] >= 1
    assert run["reading"]["sample_bytes"] == (14 + 3) * 16**2  # a byte per pixel of 14 levels and 3 surface fields
    # each reader was found to read the same codes; those that are not installed say so
    (readers,) = tables["10-patches-compared"]["raw"].values()
    left_out = {name.partition(",")[0] for name, run in readers.items() if run is None}
    assert left_out == {library for library in ("tensorstore", "xbatcher") if find_spec(library) is None}
    (index,) = tables["21-patches-index"]["raw"].values()
    assert index["rows"] == index["days"] * index["patches"] > 0
    assert 0 < index["worker_mb"] and 0 < index["proof_seconds"] < index["cpu_seconds"]
    # and the samples of the exports that it made are those of their archive
    command = [sys.executable, "-m", "benchmarks.agreement", "--quick", "--data", str(tmp_path / "data")]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.count("7 patches, 39,") == finished.stdout.count("; 0 pixels whose masks differ") == 2
