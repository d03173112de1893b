"""How far an export is from the synthetic ocean that its archive was made of."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from oceanrecon.config import ExportSettings, load_settings
from oceanrecon.grid import RasterGrid
from oceanrecon.pipeline.open import open_export
from oceanrecon.service.run import export
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.synthetic.config import ArchiveSynthesis
from oceanrecon.synthetic.synthesize import synthesize
from oceanrecon.synthetic.truth import Ocean
from oceanrecon.transform.encode import EncodingName, stretch

ARCHIVE = "configs/archive-small.yaml"
EXPORT = "configs/export-demo.yaml"
TARGET = dt.date(2012, 3, 7)
_ENCODINGS: tuple[EncodingName, ...] = ("uint8", "uint16")


def measure_truth() -> list[dict[str, Any]]:
    """Export one date of the demo's archive and compare it with the truth at the pixel centres, a row per variable.

    The distance has three parts: the code (a step / sqrt(12)), the packing of the source, and the interpolation from
    cells of 1/2 or 1/4 degree. Values that the code clips are left out, and counted.
    """
    made = load_settings(ArchiveSynthesis, ARCHIVE)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        synthesize(made, str(Path(folder, "archive")))
        for encoding in _ENCODINGS:
            output = str(Path(folder, encoding))
            overrides = (
                f"archive.root={folder}/archive", f"output={output}", f"encoding={encoding}",
                f"targets.dates=[{TARGET}]", "formats={zarr: {}}",
            )  # fmt: skip
            settings = load_settings(ExportSettings, EXPORT, overrides)
            export(settings)
            rows += _compare(output, made.seed, settings, encoding)
    return rows


def _compare(output: str, seed: int, settings: ExportSettings, encoding: EncodingName) -> list[dict[str, Any]]:
    assert settings.grid.resolution is not None
    grid = RasterGrid.from_bounds(settings.grid.resolution, settings.grid.bounds)
    dataset = open_export(output)
    depth = tuple(float(level) for level in dataset["depth"].values)
    truth = Ocean(seed).truth_on(grid, [TARGET], depth, window=settings.window_days)
    rows = []
    for variable in (variable for product in PRODUCTS.values() for variable in product.variables):
        code = stretch(variable.quantity, encoding)
        found, expected = dataset[variable.name].values[0], truth[variable.name][0]
        inside = (expected >= code.minimum) & (expected <= code.maximum)
        both = np.isfinite(found) & np.isfinite(expected)
        error = (found.astype(np.float64) - expected)[both & inside]
        rows.append(
            {
                "variable": f"{variable.name} [{variable.units}]",
                "encoding": encoding,
                "code step / sqrt(12)": round(code.step / 12**0.5, 5),
                "root mean square error": round(float(np.sqrt(np.mean(error**2))), 5),
                "mean error": round(float(error.mean()), 5),
                "99.9 % below": round(float(np.quantile(np.abs(error), 0.999)), 4),
                "clipped share": round(float((both & ~inside).sum() / both.sum()), 5),
                "ocean pixels with a value": round(float(both.sum() / np.isfinite(expected).sum()), 4),
            }
        )
    return rows
