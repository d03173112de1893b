"""Risk: damage that is read as numbers or as a gap, or a message whose remedy does not mend it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from distributed import Client

import oceanrecon
from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.pipeline.patches.tiling import make_tiling
from oceanrecon.pipeline.verify import verify
from oceanrecon.profile_config import ProfileFilesSettings
from oceanrecon.samples.archive import ArchiveSource
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.references import FloatReferences
from oceanrecon.samples.rows import Rows, every_row
from oceanrecon.samples.withheld import FLOAT_SIDES, FloatSplit
from oceanrecon.stores.mask import encode_land_mask
from tests.archives import DEPTH, copied, settings, truncate
from tests.pipeline.patches.cast import settings as patch_settings
from tests.pipeline.profiles.tiny import settings as profile_settings

GRID = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))
PATCHES = PatchGrid(GRID, 20, 20)
ROWS = every_row(PATCHES, [20120229])
STORE = "argo/argo_profiles_on_grid.zarr"
#: What the messages advise, for fields and for profiles.
EXPORT = r"verify --discard-bad`, then `oceanrecon export --resume`"
GRIDDING = r"verify --discard-bad`, then `oceanrecon profiles grid CONFIG --resume`"


def source(export: Path, **more: Any) -> ExportSource:
    return ExportSource(str(export), ROWS, scenario="joint", **more)


def changed(path: Path, at: int) -> None:
    """One bit of a file is another, its size is not."""
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(data)


def test_metadata_that_end_too_early_name_file_and_remedy(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    for store, remedy in (("dense.zarr", EXPORT), (STORE, GRIDDING)):
        export = copied(with_profiles["uint8"], tmp_path / store.partition("/")[0])
        truncate(export / store / "zarr.json", 0.3)
        with pytest.raises(OutputError, match=rf"{store}/zarr.json is damaged: it is no JSON \(.*{remedy}"):
            source(export)
        (export / store / "zarr.json").unlink()
        with pytest.raises(OutputError, match=rf"{store}/zarr.json.*{remedy}"):
            source(export)


@pytest.mark.parametrize("name", ["target", "target_start", "target_count"])
def test_a_wrong_bit_in_what_says_whose_the_profiles_are_is_found(
    name: str, with_profiles: dict[str, Path], tmp_path: Path
) -> None:
    export = copied(with_profiles["uint8"], tmp_path / "export")
    changed(export / STORE / name / "c/0", 8)
    growing = r"or profiles are being put on the grid just now: .*`oceanrecon profiles grid CONFIG --resume` is enough"
    with pytest.raises(OutputError, match=rf"{name}/c/0 is damaged: its checksum is not .*{GRIDDING}; {growing}"):
        source(export)


def test_the_remedies_mend_profiles_and_the_land_mask(
    with_profiles: dict[str, Path], archive: Path, sources_of_profiles: Path, tmp_path: Path, client: Client
) -> None:
    """A shard and an index with a wrong bit, a shard that is gone, and a mask that was cut short."""
    export = copied(with_profiles["uint8"], tmp_path / "export")
    expected = source(export).samples(range(len(ROWS)))
    chosen = profile_settings(
        sources_of_profiles, sources_of_profiles.parent / "profiles", depth=list(DEPTH), grid={"export": str(export)}
    )

    def told(match: str) -> None:
        with pytest.raises((OutputError, ConfigError), match=match):
            source(export).samples(range(len(ROWS)))

    changed(export / STORE / "argo_temp_kelvin_uint8/c/0/0", 20)
    told(GRIDDING)
    verify(str(export), discard_bad=True)
    assert oceanrecon.grid_profiles(chosen, client=client, resume=True).complete
    (export / STORE / "argo_psal_uint8/c/0/0").unlink()
    changed(export / STORE / "target_start/c/0", 8)
    told(GRIDDING)
    verify(str(export), discard_bad=True)
    assert oceanrecon.grid_profiles(chosen, client=client, resume=True).complete
    os.truncate(next(export.glob("masks/*.tif")), 50)
    told(rf"cannot read the land mask .*{EXPORT}")
    verify(str(export), discard_bad=True)
    assert oceanrecon.export(settings(archive, export), client=client, resume=True).complete
    assert verify(str(export)).good
    for one, other in zip(expected, source(export).samples(range(len(ROWS))), strict=True):
        np.testing.assert_array_equal(one.observed["temperature"], other.observed["temperature"])
        np.testing.assert_array_equal(one.points, other.points)
        np.testing.assert_array_equal(one.land, other.land)


def test_a_land_mask_that_is_gone_or_of_another_grid(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    export = copied(with_profiles["uint8"], tmp_path / "export")
    path = next(export.glob("masks/*.tif"))
    path.unlink()
    with pytest.raises(ConfigError, match=rf"cannot read the land mask .*{path.name}.*`oceanrecon landmask`.*{EXPORT}"):
        source(export)
    other = RasterGrid.from_bounds(6.0, (-180, -90, 180, 90))
    path.write_bytes(encode_land_mask(np.zeros((30, 60), np.uint8), other, {}))
    for reads in (lambda: source(export), lambda: make_tiling(patch_settings(tmp_path / "index", export=export))):
        with pytest.raises(ConfigError, match=rf"{path.name} has 60 x 30 pixels and the grid 120 x 60: .*{EXPORT}"):
            reads()


@pytest.mark.parametrize("harm", ["cut", "altered"])
def test_a_damaged_geotiff_is_no_sample(harm: str, with_profiles: dict[str, Path], tmp_path: Path) -> None:
    export = copied(with_profiles["uint8"], tmp_path / "export")
    path = export / "rasters/glorys/so/so_20120229.tif"
    good = source(export, store="geotiff").samples([3])[0]
    if harm == "cut":
        truncate(path)
    else:
        data = bytearray(path.read_bytes())
        data[len(data) // 4 : -len(data) // 4] = bytes(len(data) - 2 * (len(data) // 4))
        path.write_bytes(data[: path.stat().st_size])
    found = source(export, store="geotiff")
    with pytest.raises(OutputError, match=rf"row 3 \(patch 60, 20120229\): .*{path.name} cannot be read \(.*{EXPORT}"):
        found.samples([3])
    whole = ExportSource(str(export), ROWS, store="geotiff").samples([3])[0]  # without salinity
    np.testing.assert_array_equal(whole.target["temperature"], good.target["temperature"])


def test_references_whose_places_are_damaged_name_the_row(with_profiles: dict[str, Path], tmp_path: Path) -> None:
    export = copied(with_profiles["uint8"], tmp_path / "export")
    truncate(export / STORE / "grid_row/c/0", 0.5)
    known = FloatReferences(str(export), ROWS, floats=FloatSplit(test=0.0), sides=FLOAT_SIDES)
    with pytest.raises(OutputError, match=rf"row 2 \(patch 40, 20120229\): .*grid_row/c/0 is damaged.*{GRIDDING}"):
        known.read([2, 5])


def test_a_damaged_surface_file_of_an_archive_is_no_blank_channel(
    archive: Path, sources_of_profiles: Path, tmp_path: Path
) -> None:
    """One that is not there is."""
    root = copied(archive, tmp_path / "archive")
    rows = Rows(np.array([10 * 120 + 100]), np.array([20120229], np.int32), 20)

    def opened(days: int) -> ArchiveSource:
        return ArchiveSource(
            settings(root, "unused").archive, rows, grid=GRID, land=np.zeros((60, 120), np.uint8), days=days,
            en4=ProfileFilesSettings(root=f"{sources_of_profiles}/en4"), missing_surface="blank",
        )  # fmt: skip

    path = next((root / "sss").glob("*20120229*"))
    truncate(path)
    with pytest.raises(ConfigError, match=rf"row 0 .*: sos: sss/{path.name}: truncated.*, or leave the row out"):
        opened(1)
    path.unlink()
    sample = opened(1).samples([0])[0]
    assert np.isnan(sample.surface[1]).all()
    assert np.isfinite(sample.surface[[0, 2]]).any(axis=(1, 2)).all()
    for other in (root / "sss").glob("*.nc"):
        truncate(other)
    with pytest.raises(ConfigError, match=r"row 0 .*: sos: .*truncated"):
        opened(7)
