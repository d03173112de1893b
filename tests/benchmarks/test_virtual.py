"""Risk: the measurement of references no longer runs, or the page cannot show what it writes."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_runs_and_references_ask_for_less(tmp_path: Path) -> None:
    options = ["--quick", "--data", str(tmp_path / "data"), "--results", str(tmp_path / "results")]
    command = [sys.executable, "-m", "benchmarks.virtual", *options]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    table = json.loads((tmp_path / "results/11-virtual.json").read_text())
    assert {"title", "machine"} <= table.keys()
    assert {tuple(row) for row in table["rows"]} == {("what", "without", "with references")}
    asked = {name: found["requests"] for name, found in table["raw"]["s3"].items()}
    assert asked["open, references"] == 1 < asked["open, scanned"]
    assert asked["adt, references"] <= asked["adt, files"]
