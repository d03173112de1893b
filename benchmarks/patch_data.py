"""The exports that patches are read from, made once, and which of their patches are read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py

from benchmarks.data import FORMATS, Scale
from oceanrecon.config import ExportSettings
from oceanrecon.errors import OutputError
from oceanrecon.grid import PatchGrid, parse_date, window_days
from oceanrecon.grid.patches import Edges
from oceanrecon.profile_config import ProfilesSettings
from oceanrecon.samples.form import Scenario
from oceanrecon.samples.rows import Rows, every_row
from oceanrecon.samples.stored import Store
from oceanrecon.service.connect import connect
from oceanrecon.service.profiles import enrich_profiles
from oceanrecon.service.run import export
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import export_grid, read_manifest
from oceanrecon.stores.mask import read_land_mask
from oceanrecon.transform.encode import EncodingName

#: Everything that a sample has.
_VARIABLES = ("thetao", "so", "analysed_sst", "adt", "sos")
_MAX_LAND = 0.3


@dataclass(frozen=True)
class Case:
    """What is read."""

    encoding: EncodingName
    scenario: Scenario
    store: Store
    #: pixels between patches
    stride: int
    edges: Edges

    @property
    def name(self) -> str:
        """For tables."""
        return f"{self.encoding}, {self.scenario}, {self.store}, stride {self.stride}, {self.edges}"


def tile(scale: Scale) -> int:
    """Side of a patch, pixels."""
    return 16 if scale.quick else 128


def export_folder(scale: Scale, encoding: EncodingName) -> Path:
    """An export of five dates (quick: one), as zarr and as GeoTIFFs, with gridded profiles."""
    return scale.data / "patches" / encoding


def make_exports(scale: Scale, encodings: Sequence[EncodingName], say: Callable[[str], None]) -> None:
    """Export the archive that ``Scale.make_profiles`` made, unless it is done."""
    missing = [encoding for encoding in encodings if not _complete(export_folder(scale, encoding))]
    if not missing:
        return
    settings = _profiles(scale)
    with connect(None, settings.cluster) as client:
        say("enriching the profiles of patches")
        enrich_profiles(settings, client=client, resume=True)
        for encoding in missing:
            say(f"exporting in {encoding}")
            result = export(_export(scale, encoding), client=client, resume=True)
            if not result.complete:
                raise SystemExit(f"the export failed: {result.failures}")


def _complete(folder: Path) -> bool:
    try:
        return bool(read_manifest(Root(str(folder))).get("argo"))
    except OutputError:
        return False


def _profiles(scale: Scale) -> ProfilesSettings:
    """The month of profiles, without fields beside them, which samples do not have."""
    return ProfilesSettings.model_validate(
        {
            "en4": {"root": str(scale.data / "profiles" / "times-1")},
            "output": str(scale.data / "patches" / "profiles"),
            "depth": _few_levels(scale) if scale.quick else None,
            "cluster": {"workers": 1},
        }
    )


def _few_levels(scale: Scale) -> list[float]:
    """The depths of a reanalysis that has not all of them."""
    with h5py.File(next((scale.profile_archive / "glorys").glob("*.nc")), "r") as file:
        depths: list[float] = file["depth"][:].tolist()
    return depths


def _export(scale: Scale, encoding: EncodingName) -> ExportSettings:
    products = dict.fromkeys(("glorys", "ostia", "sealevel", "sss"))
    return ExportSettings.model_validate(
        {
            "archive": {"root": str(scale.profile_archive), "products": products},
            "output": str(export_folder(scale, encoding)),
            "grid": {"resolution": scale.resolution},
            "targets": {"dates": [dt.date(2012, 3, 7)] if scale.quick else None},
            "variables": _VARIABLES,
            "encoding": encoding,
            "formats": FORMATS["both"].model_dump(),
            "profiles": {"store": str(scale.data / "patches" / "profiles")},
            "cluster": {"workers": 1},
        }
    )


def rows_of(scale: Scale, case: Case, *, periodic: bool = True) -> Rows:
    """Every patch with at most 30 % land at every date of the export whose week has profiles."""
    root = Root(str(export_folder(scale, case.encoding)))
    manifest = read_manifest(root)
    patches = PatchGrid(export_grid(manifest), tile(scale), case.stride, case.edges, periodic)
    land = read_land_mask(root.url_of(manifest["grid"]["source"]))
    # the profiles are of one month, and the first of the weeks reaches into the one before
    targets = [parse_date(int(entry["date"])) for entry in manifest["dense"]["shards"]["glorys"]["thetao"]]
    months = set(manifest["argo"]["months"])
    dates = [int(f"{day:%Y%m%d}") for day in targets if {f"{d:%Y-%m}" for d in window_days(day, 7)} <= months]
    return every_row(patches, dates, patches.means(land) <= _MAX_LAND)
