"""A few profiles whose places, days and flags are known, and the index of the tiny archive with them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from distributed import Client

import oceanrecon
from oceanrecon.config import parse_settings
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.patches.index import IndexResult
from tests.archives import files_of
from tests.pipeline.profiles.tiny import days, en4_name
from tests.profile_files import write_en4

#: Depths of every profile, m: around the first two levels of the tiny archive.
_DEPTH = (0.0, 5.0, 95.0, 100.0)
#: Of a manifest, what two runs over the same input may differ in.
OF_THE_RUN = ("created_utc", "output_dir")
#: Of March 2012, a profile that no week has: its month is there, so that the weeks that reach into it can be loaded.
LATER = [(20120331, 1.0, 1.0)]


def write_casts(folder: Path, month: str, casts: Sequence[tuple[int, float, float]], **more: Any) -> Path:
    """A month of EN4 with profiles of a date (YYYYMMDD), a latitude and a longitude."""
    return write_en4(
        folder / "en4" / en4_name(month),
        len(casts),
        depth=np.tile(_DEPTH, (len(casts), 1)),
        juld=[days(date) + 0.5 for date, _, _ in casts],
        latitude=[latitude for _, latitude, _ in casts],
        longitude=[longitude for _, _, longitude in casts],
        platform=[f"S{number:05d}" for number in range(len(casts))],
        **more,
    )


def settings(output: Path | str, **groups: Any) -> PatchesSettings:
    """Settings of an index; where nothing else is said, patches of 10 pixels, side by side, all for training."""
    data: dict[str, Any] = {
        "output": str(output),
        "tiling": {"tile": 10, "max_land_fraction": 1.0},
        "split": {"val": 0, "test": 0},
        "cluster": {"workers": 2, "dashboard": "127.0.0.1:0"},  # tests run side by side
    }
    return parse_settings(
        PatchesSettings, data | {key: str(v) if isinstance(v, Path) else v for key, v in groups.items()}, "test"
    )


def of_archive(archive: Path, *products: str) -> dict[str, Any]:
    """The ``archive`` settings."""
    return {"root": str(archive), "products": dict.fromkeys(products or ("glorys", "ostia"))}


def index(chosen: PatchesSettings, client: Client, *, how: str = "", **more: Any) -> IndexResult:
    """Make it on a client; ``how`` is empty, ``resume`` or ``overwrite``."""
    return oceanrecon.index_patches(chosen, client=client, resume=how == "resume", overwrite=how == "overwrite", **more)


def tables_of(output: Path | str) -> dict[str, bytes]:
    """Content of every table, part and proof, and of the manifest without what is of the run."""
    root = Path(output)
    found = {
        path: data for path, data in files_of(root).items()
        if not path.startswith("receipts/") and path not in ("manifest.yaml", "patches.yaml")
    }  # fmt: skip
    manifest = yaml.safe_load((root / "manifest.yaml").read_text())
    found["manifest"] = yaml.safe_dump({key: manifest[key] for key in manifest if key not in OF_THE_RUN}).encode()
    return found
