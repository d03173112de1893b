"""How far the models of ``make experiment`` are from the synthetic ocean's truth; and what its goals came to.

``python -m benchmarks.experiment``, where ``make experiment`` has run.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from oceanrecon.config import load_settings
from oceanrecon.grid import RasterGrid
from oceanrecon.synthetic.config import ArchiveSynthesis
from oceanrecon.synthetic.truth import Ocean
from oceanrecon.training.inference.reconstruct import reconstruct
from oceanrecon.training.model.stored import load_model

ARCHIVE, EXPORT, RUNS = "configs/experiment/archive.yaml", "experiment/export", Path("experiment/runs")
RESULTS = Path(__file__).parent / "results"
#: Of the test year, one each season.
DATES = (dt.date(2013, 1, 16), dt.date(2013, 4, 17), dt.date(2013, 7, 17), dt.date(2013, 10, 16))
MEMBERS = 8
_VARIABLES = {"temperature": "thetao", "salinity": "so"}


def measure(runs: list[str]) -> dict[str, Any]:
    """Root-mean-square distance of the maps of some runs from the truth, by field and level, in K and PSU."""
    seed = load_settings(ArchiveSynthesis, ARCHIVE).seed
    found: dict[str, Any] = {"dates": [date.isoformat() for date in DATES], "members": MEMBERS, "rmse": {}}
    for run in runs:
        trained = load_model(str(RUNS / run))
        sums: dict[str, NDArray[np.float64]] = {}
        for date in DATES:
            with tempfile.TemporaryDirectory() as folder:
                made = reconstruct(trained, date, f"{folder}/map", export=EXPORT, number=MEMBERS)
                maps = xr.open_zarr(f"{folder}/map/maps.zarr").load()
            depth = maps["depth"].to_numpy().astype(float).tolist()
            truth = _truth(seed, made.grid, date, depth)
            found["depth_m"] = depth
            for name in truth:
                squares = (maps[f"{name}_mean"].to_numpy().astype(float) - truth[name]) ** 2
                weight = np.cos(np.deg2rad(made.grid.latitude))[None, :, None] * np.isfinite(squares)
                parts = np.stack([np.nansum(squares * weight, axis=(1, 2)), weight.sum(axis=(1, 2))])
                sums[name] = sums.get(name, 0) + parts
        found["rmse"][run] = {
            name: np.sqrt(total / np.maximum(count, 1e-9)).tolist() for name, (total, count) in sums.items()
        }
    return found


def _truth(seed: int, grid: RasterGrid, date: dt.date, depth: list[float]) -> dict[str, NDArray[np.float32]]:
    made = Ocean(seed).truth_on(grid, [date], depth, variables=tuple(_VARIABLES.values()))
    return {name: made[variable][0] for name, variable in _VARIABLES.items()}


def main() -> None:
    """Measure, keep the numbers, and print what beats what."""
    runs = sorted(path.parent.name for path in RUNS.glob("*/model.pt") if path.parent.name != "autoencoder")
    found = measure(runs)
    (RESULTS / "17-truth-of-models.json").write_text(json.dumps(found, indent=1) + "\n")
    depth = np.array(found["depth_m"])
    for name in _VARIABLES:
        print(f"rmse of {name} from the truth; levels 10 to 1000 m, and three of them")
        inside = (depth >= 10) & (depth <= 1000)
        for run in runs:
            rmse = np.array(found["rmse"][run][name])
            some = "  ".join(f"{rmse[np.abs(depth - level).argmin()]:8.4f}" for level in (10, 100, 1000))
            print(f"  {run:14s} {np.sqrt(np.mean(rmse[inside] ** 2)):8.4f}  {some}")


if __name__ == "__main__":
    main()
