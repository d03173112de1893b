"""Export, index and statistics on disk, small enough to train on in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from distributed import Client

import oceanrecon
from oceanrecon.config import parse_settings
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.patches.spatial import write_grid
from oceanrecon.service.statistics import fit_statistics
from oceanrecon.statistics_config import StatisticsSettings
from oceanrecon.train_config import TrainSettings

FLOATS = {"seed": 1, "val": 0.2, "test": 0.3}


def prepare(export: Path, folder: Path, client: Client) -> Path:
    """Index and statistics of an export in a folder: one date each for training, validation and test."""
    index = {
        "export": str(export),
        "output": str(folder / "patches"),
        "tiling": {"tile": 8, "stride": 8, "periodic": True},
        "rows": {"keep_empty": True, "days": 7},
        "split": {"method": "list", "table": str(folder / "split.csv"), "strict": False},
    }
    folder.mkdir()
    (folder / "split.csv").write_text("")
    grid = parse_settings(PatchesSettings, {**index, "split": {"method": "patch"}}, "index")
    write_grid(grid, overwrite=True)
    ids = pd.read_parquet(folder / "patches" / "patches.parquet")["patch_id"]
    phases = {20120222: "train", 20120229: "val", 20120307: "test"}
    # an even number of patches, for two ranks
    lines = [f"{patch},{date},{phase}" for date, phase in phases.items() for patch in ids[: len(ids) // 2 * 2]]
    (folder / "split.csv").write_text("\n".join(["patch_id,date,phase", *lines]) + "\n")
    result = oceanrecon.index_patches(parse_settings(PatchesSettings, index, "index"), client=client, overwrite=True)
    assert result.complete
    fitted = fit_statistics(
        parse_settings(
            StatisticsSettings,
            {
                "export": str(export), "index": str(folder / "patches"), "output": str(folder / "statistics"),
                "resolution": 12.0, "floats": FLOATS,
            },
            "statistics",
        ),
        client=client,
    )  # fmt: skip
    assert fitted.complete
    return folder


def settings(prepared: Path, export: Path, output: Path, kind: str = "regression", **changes: Any) -> TrainSettings:
    """Of a training that takes seconds."""
    networks: list[str] = {"climatology": [], "idw": [], "oi": [], "diffusion": ["estimate", "diffusion"]}.get(
        kind, ["estimate"]
    )
    made = {
        "output": str(output),
        "data": {
            "export": str(export), "index": str(prepared / "patches"), "batch_size": 4, "workers": 0, "validation": 4,
            "floats": FLOATS,
        },
        "scaling": {"statistics": str(prepared / "statistics"), "coarse_codes": True},
        "model": {"kind": kind, "width": 16, "multipliers": [1, 2], "blocks": 1, "attention": 1},
        "stages": [{"network": network, "samples": 32} for network in networks],
        "diffusion": {"sampler": {"steps": 3}},
        "training": {"validate_every": 4, "log_every": 2},
    }  # fmt: skip
    for name, value in changes.items():
        made[name] = {**made[name], **value} if isinstance(made.get(name), dict) else value  # type: ignore[dict-item]
    return parse_settings(TrainSettings, made, "train")
