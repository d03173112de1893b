"""Risk: the counting of requests no longer runs, or a sample asks for more than its chunks."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_runs_and_a_sample_is_a_request_for_each_variable(tmp_path: Path) -> None:
    options = ["--quick", "--data", str(tmp_path / "data"), "--results", str(tmp_path / "results")]
    command = [sys.executable, "-m", "benchmarks.cloud", *options]
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    table = json.loads((tmp_path / "results/15-cloud.json").read_text())
    assert {"title", "machine"} <= table.keys()
    assert {tuple(row) for row in table["rows"]} == {("what", "requests", "kB")}
    found = table["raw"]
    assert found["scan the archive"]["requests"] == 2 + 22  # two lists, and each file
    assert found["a sample of 64 pixels, another of that date, 1"]["requests"] <= 4  # temperature, three surface fields
    assert 0 < found["7 levels of thetao"]["bytes"] <= found["a block of thetao"]["bytes"]
