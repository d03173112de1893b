"""What ``make experiment`` came to, for its page: goals, scores on floats, and how far models are from the truth.

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
from PIL import Image

from benchmarks import report
from oceanrecon.config import load_settings
from oceanrecon.grid import RasterGrid
from oceanrecon.synthetic.config import ArchiveSynthesis
from oceanrecon.synthetic.truth import Ocean
from oceanrecon.training.inference.reconstruct import reconstruct
from oceanrecon.training.model.stored import load_model

ARCHIVE, EXPORT, RUNS = "configs/experiment/archive.yaml", "experiment/export", Path("experiment/runs")
RESULTS = Path(__file__).parent / "results" / "experiment"
IMAGES = Path(__file__).parents[1] / "docs" / "images" / "experiment"
#: Side that was scored, and which pictures of its report are kept.
SPLIT = "test"
PICTURES = (
    "depth_floats", "calibration_floats", "spectra_temperature", "spectra_salinity", "map_1", "section_1", "profiles",
)  # fmt: skip
#: Levels that are told together, and by themselves, m.
DEPTHS, LEVELS = (10.0, 1000.0), (10.0, 100.0, 300.0, 1000.0)
UNITS = {"temperature": "K", "salinity": "PSU"}
#: Runs that the diffusion should beat on the truth.
BASELINES = ("climatology", "idw", "oi")
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


def truth_rows(found: dict[str, Any]) -> list[report.Row]:
    """Of each model, all levels of ``DEPTHS`` together and some by themselves."""
    depth = np.array(found["depth_m"])
    rows = []
    for name, units in UNITS.items():
        for run, rmse in found["rmse"].items():
            values = np.array(rmse[name])
            rows.append(
                {
                    "model": f"{run}: {name}, {units}",
                    "10 to 1000 m": f"{_together(depth, rmse[name]):.4f}",
                    **{f"{level:.0f} m": f"{values[np.abs(depth - level).argmin()]:.4f}" for level in LEVELS},
                }
            )
    return rows


def truth_goals(found: dict[str, Any]) -> list[dict[str, Any]]:
    """As ``goals`` of an evaluation: whether the mean of the members is nearer to the truth than each baseline.

    Args:
        found: of ``measure``; of all levels of ``DEPTHS`` together.
    """
    depth = np.array(found["depth_m"])
    goals = []
    for name, units in UNITS.items():
        together = {run: _together(depth, rmse[name]) for run, rmse in found["rmse"].items()}
        for baseline in BASELINES:
            ours, theirs = together["diffusion"], together[baseline]
            goals.append(
                {
                    "what": f"{name}: RMSE of diffusion against the truth below that of {baseline}, "
                    f"{DEPTHS[0]:g} to {DEPTHS[1]:g} m together",
                    "holds": ours < theirs,
                    "found": f"{ours / theirs:.3f} times: {ours:.3g} and {theirs:.3g} {units}",
                }
            )
    return goals


def _together(depth: NDArray[np.float64], rmse: list[float]) -> float:
    inside = (depth >= DEPTHS[0]) & (depth <= DEPTHS[1])
    return float(np.sqrt(np.mean(np.square(rmse)[inside])))


def goal_rows(goals: list[dict[str, Any]]) -> list[report.Row]:
    """What was wanted, and what came of it."""
    return [
        {"goal": one["what"], "": "reached" if one["holds"] else "**missed**", "found": one["found"]} for one in goals
    ]


def float_rows(evaluation: dict[str, Any]) -> list[report.Row]:
    """Scores on withheld floats, all levels together, with 95 % intervals by float."""
    rows = []
    for name, units in evaluation["fields"].items():
        for model, scores in evaluation["scores"]["floats"].items():
            pooled = scores["groups"]["all"]["all"][name]["pooled"]
            rmse = pooled["rmse"]
            # models without members have no spread, and climatology no correlation
            told = {name: one["value"] for name, one in pooled.items() if isinstance(one, dict) and "value" in one}
            rows.append(
                {
                    "model": f"{model}: {name}, {units}",
                    "RMSE": f"{rmse['value']:.4f} ({rmse['low']:.4f} to {rmse['high']:.4f})",
                    "bias": f"{told['bias']:.4f}",
                    "CRPS": f"{told['crps']:.4f}",
                    "correlation": _number(told.get("correlation")),
                    "spread over error": _number(told.get("spread_skill")),
                }
            )
    return rows


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def show(evaluation: Path, pictures: Path) -> None:
    """Copy pictures of an evaluation to a page's folder, small enough to be kept."""
    pictures.mkdir(parents=True, exist_ok=True)
    for name in PICTURES:
        with Image.open(evaluation / f"{name}.png") as whole:
            shown = whole.convert("RGB")
            shown.thumbnail((1400, 1400))
            shown.quantize(128, dither=Image.Dither.NONE).save(pictures / f"{name}.png", optimize=True)


def main() -> None:
    """Measure, and keep tables and pictures for the documentation."""
    runs = sorted(path.parent.name for path in RUNS.glob("*/model.pt") if path.parent.name != "autoencoder")
    found = measure(runs)
    scored = RUNS / "diffusion" / f"evaluation-{SPLIT}"
    evaluation = json.loads((scored / "evaluation.json").read_text())
    wanted = [*evaluation["goals"], *truth_goals(found)]
    goals = {"goals": wanted, "rows": evaluation["rows"], "floats": evaluation["floats"]}
    floats = {
        model: {name: scores["groups"]["all"]["all"][name]["levels"]["rmse"] for name in UNITS}
        for model, scores in evaluation["scores"]["floats"].items()
    }
    report.write(RESULTS, "1-goals", "Goals", goal_rows(wanted), goals, ("torch",))
    report.write(RESULTS, "2-floats", "On withheld floats", float_rows(evaluation), floats, ("torch",))
    title = f"Against the truth: RMSE of the estimate, or of the mean of {MEMBERS} members"
    report.write(RESULTS, "3-truth", title, truth_rows(found), found, ("torch",))
    show(scored, IMAGES)
    for row in (*goal_rows(wanted), *truth_rows(found)):
        print("  ".join(row.values()))


if __name__ == "__main__":
    main()
