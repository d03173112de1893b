"""Risk: raw files of two weeks do not become a dataset that is verified, queried and drawn, by the commands alone."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml

from oceanrecon.samples.regional.query import VARIABLES

Command = Callable[..., tuple[int, str, str]]

_ARCHIVE = {
    "seed": 2,
    "daily": {
        "start": "2023-04-01", "end": "2023-04-14", "cells_per_degree": 0.2, "swot_lines": 24, "floats": 300,
        "satellites": ["j3n"],
    },
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings as users have them, in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "archive.yaml").write_text(yaml.safe_dump(_ARCHIVE))
    for name in ("regions", "taco"):
        shutil.copyfile(Path(__file__).parents[2] / "configs" / f"{name}.yaml", tmp_path / f"{name}.yaml")
    return tmp_path


def told(command: Command, *arguments: object) -> Any:
    code, out, err = command(*arguments, "--json")
    assert code == 0, err + out
    return json.loads(out)


def test_two_weeks_of_all_sources_from_raw_files_to_a_drawn_query(
    folder: Path, command: Command, shared_cluster: None
) -> None:
    assert command("synthesize", "archive.yaml", "--output", "raw")[0] == 0
    made = told(command, "regions", "format", "regions.yaml", "--set", "end=2023-04-12")
    assert made["complete"] and made["made"] == 11 * 12 and len(made["sources"]) == 11
    assert told(command, "taco", "build", "taco.yaml")["dates"] == 12

    # two more days come in
    assert told(command, "regions", "format", "regions.yaml", "--resume")["made"] == 11 * 2
    built = told(command, "taco", "build", "taco.yaml", "--resume")
    assert built["dates"] == 14 and built["new_dates"] == ["20230413", "20230414"]
    assert built["files"] + built["absent"] == 14 * 8 * 11 and built["linked"] == built["files"]
    verified = told(command, "taco", "verify", "taco", "--regions", "regions")
    assert verified["good"] and verified["files"] == built["files"]

    picture = ("--missing", "missing.csv", "--picture", "timeline.png")
    covered = told(command, "regions", "coverage", "regions.yaml", "--set", "end=2023-04-15", *picture)
    of_sst = [one for one in covered["coverage"] if one["data_source"] == "l4_sst"]
    assert [one["n_missing"] for one in of_sst] == [1] * 8  # the 15th
    assert (pd.read_csv("missing.csv")["missing_date"] == "2023-04-15").sum() >= 8 * 8
    assert (folder / "timeline.png").read_bytes()[:4] == b"\x89PNG"
    assert told(command, "regions", "duplicates", "regions.yaml", "--report", "twice.parquet")["files"] == 0
    assert len(pd.read_parquet("twice.parquet")) == 0

    box, days = ("--box", 150, -30, -150, 30), ("--dates", "2023-04-12", "2023-04-13")
    found = told(
        command, "taco", "query", "taco", *box, *days, "--variables", "l4_sst,l3_ssh,argo", "--size", 12,
        "-o", "patch.nc", "--picture", "patch.png",
    )  # fmt: skip
    # four regions of two days of three sources: none of the other four
    assert found["files"] == 4 * 2 * 3 and found["variables"]["l4_sst"]["shape"] == [12, 12]
    assert 15 < found["variables"]["l4_sst"]["mean"] < 32  # degree Celsius, once
    with xr.open_dataset("patch.nc") as patch:
        # 5 degrees each, on across the dateline
        np.testing.assert_allclose(patch["l4_sst_lon"], np.arange(152.5, 210.0, 5.0))
        assert int(patch["l4_sst"].count()) == found["variables"]["l4_sst"]["valid"]
    assert (folder / "patch.png").read_bytes()[:4] == b"\x89PNG"
    # every name that samples can have is of something that is there
    sparse = {"l3_ssh", "l3_swot"}
    query = ("taco", "query", "taco", "--dates", "2023-04-13", "2023-04-13", "--variables")
    dense = told(command, *query, ",".join(VARIABLES.keys() - sparse), *box, "--size", 12)["variables"]
    cells = told(command, *query, ",".join(sparse), "--box", -179, -2, 179, 2)["variables"]
    assert {token for token, one in (dense | cells).items() if one["valid"]} == set(VARIABLES)
    _run_programs("taco.md", "regions.md")
    statistics = told(command, "taco", "statistics", "taco", "-o", "s.json", "--dates", "2023-04-01", "2023-04-10")
    assert statistics == json.loads((folder / "s.json").read_text()) and 0 < statistics["l4_sst"]["std"] < 20


def _run_programs(*pages: str) -> None:
    """Run what pages of the documentation show, but for what needs the internet."""
    for page in pages:
        text = (Path(__file__).parents[2] / "docs" / page).read_text()
        programs = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
        assert programs
        for program in programs:
            if "tacoreader" not in program:
                exec(compile(program, page, "exec"), {})


def test_mistakes_are_lines_that_say_what_to_do(folder: Path, command: Command) -> None:
    for arguments, wanted in (
        (("regions", "format", "regions.yaml"), "there is no folder .*raw: correct `raw`"),
        (("regions", "format", "regions.yaml", "--set", "sources=[l4_shh]"), "l4_shh"),
        (("regions", "coverage", "regions.yaml"), "run `oceanrecon regions format"),
        (("taco", "build", "taco.yaml"), "regions"),
        (("taco", "build", "taco.yaml", "--set", "form=zip"), "ends in `.tacozip`"),
        (("taco", "verify", "nowhere"), "nowhere"),
        (("taco", "query", "nowhere", "--box", 0, 0, 10, 10, "--dates", "2023-04-31", "2023-05-01"), "is no day"),
    ):
        code, out, err = command(*arguments)
        text = " ".join((out + err).split())
        assert code != 0 and "Traceback" not in text and re.search(wanted, text), (arguments, text)
        assert {path.name for path in folder.iterdir()} == {"archive.yaml", "regions.yaml", "taco.yaml"}
