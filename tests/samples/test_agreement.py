"""One patch and date, three ways: the export's zarr, its GeoTIFFs, and the archive that it was made of.

The first two hold the same codes. The archive gives values: what an export rounds to the nearest code differs from
them by half a step at most, ``Stretch.step / 2``, in units of the normalised fields ``step / 2 / std``, and by float32
rounding of the decoding. Numbers outside a stretch are clipped by an export, and are left out of that comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from oceanrecon.grid import PatchGrid, RasterGrid
from oceanrecon.samples.archive import ArchiveSource
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.form import Source, collate
from oceanrecon.samples.rows import every_row
from oceanrecon.stores.mask import read_land_mask
from oceanrecon.training.data.decode import Decode, Tensors, to_tensors
from oceanrecon.transform.encode import EncodingName, stretch
from oceanrecon.transform.normalise import PUBLISHED
from tests.archives import settings
from tests.pipeline.profiles.tiny import settings as profile_settings

DATES = (20120222, 20120229, 20120307)
GRID = RasterGrid.from_bounds(3.0, (-180, -90, 180, 90))
#: tiles of 20 every 15: at both poles, over the continent, across the dateline
PATCHES = PatchGrid(GRID, 20, 15, "last", periodic=True)
ROWS = every_row(PATCHES, DATES)
#: Decoded values and normalised ones are float32 of order 10.
ROUNDING = 4e-6
QUANTITIES = {
    "y": ("temperature_kelvin",),
    "x": ("temperature_kelvin",),
    "y_salinity": ("salinity",),
    "x_salinity": ("salinity",),
    "eo": ("temperature_kelvin", "salinity", "sea_height"),
}


def archive_source(archive: Path, sources: Path, export: Path) -> ArchiveSource:
    profiles = profile_settings(sources, "unused")
    land = read_land_mask(str(next(export.glob("masks/*.tif"))))
    return ArchiveSource(
        settings(archive, "unused").archive, ROWS, grid=GRID, land=land, en4=profiles.en4, argo=profiles.argo,
        scenario="joint",
    )  # fmt: skip


def decoded(source: Source, rows: Sequence[int]) -> Tensors:
    made: Tensors = Decode(source.form)(to_tensors(collate(source.samples(rows), source.form.fields)))
    return made


@pytest.mark.parametrize("encoding", ["uint8", "uint16"])
def test_export_geotiff_and_archive_give_one_sample(
    encoding: EncodingName, archive: Path, sources_of_profiles: Path, with_profiles: dict[str, Path]
) -> None:
    url = with_profiles[encoding]
    zarr, tiff = (ExportSource(str(url), ROWS, scenario="joint", store=store) for store in ("zarr", "geotiff"))
    raw = archive_source(archive, sources_of_profiles, url)
    assert raw.form.depth == zarr.form.depth
    assert zarr.form.encoding == encoding
    everything = range(len(ROWS))
    ours, other, theirs = (decoded(source, everything) for source in (zarr, tiff, raw))
    assert list(ours) == list(other) == list(theirs)
    for name, values in ours.items():
        assert torch.equal(values, other[name]), name
        assert values.dtype == theirs[name].dtype and values.shape == theirs[name].shape
        if name not in QUANTITIES:  # masks, land, places, dates: the same kernels made them
            assert torch.equal(values, theirs[name]), name
    clipped = compared = 0
    worst = 0.0
    for name, quantities in QUANTITIES.items():
        valid = theirs[f"{'eo' if name == 'eo' else name}_valid_mask"]
        for channel, quantity in enumerate(quantities):
            part = slice(None) if name != "eo" else slice(channel, channel + 1)
            code, scale = stretch(quantity, encoding), PUBLISHED[quantity]
            mine, exact = (some[name][:, part][valid[:, part]].double().numpy() for some in (ours, theirs))
            physical = exact * scale.std + scale.mean
            inside = (physical >= code.minimum) & (physical <= code.maximum)
            difference = np.abs(mine - exact)
            bound = code.step / 2 / scale.std + ROUNDING
            if name.startswith("x"):  # a mean of profiles of which one is clipped is no rounding either
                inside &= (physical > code.minimum + 1) & (physical < code.maximum - 1)
            assert difference[inside].max() <= bound, (name, quantity)
            worst = max(worst, float(difference[inside].max() / bound))
            clipped += int((~inside).sum())
            compared += inside.size
    assert worst > 0.9  # of the bound: the comparison sees the rounding that it allows
    assert compared > 100_000
    assert clipped < 0.01 * compared
    assert int(ours["x_valid_mask"].sum()) > 200


def test_without_profiles_in_the_patch_the_inputs_are_empty_alike(
    archive: Path, sources_of_profiles: Path, with_profiles: dict[str, Path]
) -> None:
    url = with_profiles["uint16"]
    store, raw = ExportSource(str(url), ROWS, days=1), archive_source(archive, sources_of_profiles, url)
    few = min(range(len(ROWS)), key=lambda row: store.samples([row])[0].points.size)
    assert store.samples([few])[0].points.size == 0
    assert store.samples([few])[0].observed["temperature"].shape == (0, 3)
    week = raw.samples([few])[0]
    np.testing.assert_array_equal(week.points, ExportSource(str(url), ROWS, scenario="joint").samples([few])[0].points)
