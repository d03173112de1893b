"""``python -m benchmarks.agreement``: samples of the exports that patches are read from, beside those of their archive.

Exit code 1 where a mask differs, or a value by more than the encoding's half step.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import ENCODINGS, Scale
from benchmarks.patch_data import export_folder, make_exports, tile
from oceanrecon.config import ArchiveSettings
from oceanrecon.grid import PatchGrid
from oceanrecon.profile_config import ProfileFilesSettings
from oceanrecon.samples.archive import ArchiveSource
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.form import Sample, SampleForm
from oceanrecon.samples.rows import Rows
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import export_grid, read_manifest, valid_fraction
from oceanrecon.stores.mask import read_land_mask
from oceanrecon.transform.encode import EncodingName, Stretch, stretch

_DATE = 20120307
#: Of float32 values of the order of 300.
_ROUNDING = 4e-5
#: Of the patches besides poles and dateline: what share of them is land, about.
_LAND = (0.0, 0.25, 0.5, 0.75)


def main() -> None:
    """Compare, and say what was compared."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="coarse grids: does it run at all?")
    parser.add_argument("--data", type=Path, default=Path(__file__).parent / "data", help="where the archives are kept")
    given = parser.parse_args()
    scale = Scale(given.data.resolve(), given.quick)
    scale.make_profiles(lambda text: print(text, file=sys.stderr))
    make_exports(scale, ENCODINGS, lambda text: print(text, file=sys.stderr))
    good = True
    for encoding in ENCODINGS:
        patches, values, masks, worst = compare(scale, encoding)
        print(
            f"{encoding}: {patches} patches, {values:,} values; {masks:,} pixels whose masks differ; the largest "
            f"difference is {worst:.4f} of what rounding to codes allows"
        )
        good &= masks == 0 and worst <= 1
    sys.exit(not good)


def compare(scale: Scale, encoding: EncodingName) -> tuple[int, int, int, float]:
    """Patches and values that were compared, pixels whose masks differ, and the largest part of the bound."""
    url = export_folder(scale, encoding)
    root = Root(str(url))
    manifest = read_manifest(root)
    grid, land = export_grid(manifest), read_land_mask(root.url_of(manifest["grid"]["source"]))
    ids = _chosen(PatchGrid(grid, tile(scale), tile(scale) * 3 // 4, "last", periodic=True), land)
    rows = Rows(ids, np.full(ids.size, _DATE, np.int32), tile(scale))
    ours = ExportSource(str(url), rows, scenario="joint")
    products = dict.fromkeys(("glorys", "ostia", "sealevel", "sss"))
    theirs = ArchiveSource(
        ArchiveSettings(root=str(scale.profile_archive), products=products),
        rows, grid=grid, land=land, scenario="joint", minimum_valid_fraction=valid_fraction(manifest),
        en4=ProfileFilesSettings(root=str(scale.data / "profiles" / "times-1")),
    )  # fmt: skip
    values = masks = 0
    worst = 0.0
    for row in range(len(rows)):
        (one,), (other,) = ours.samples([row]), theirs.samples([row])
        masks += int((one.land != other.land).sum()) + np.setxor1d(one.points, other.points).size
        for code, mine, exact in _parts(ours.form, encoding, one, other):
            valid = np.isfinite(exact)
            masks += int((np.isfinite(mine) != valid).sum())
            inside = valid & (exact >= code.minimum) & (exact <= code.maximum)  # others are clipped by an export
            values += int(inside.sum())
            difference = np.abs(mine - exact)[inside]
            worst = max(worst, float(difference.max(initial=0)) / (code.step / 2 + _ROUNDING))
    return len(rows), values, masks, worst


def _chosen(patches: PatchGrid, land: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Both poles, the dateline, and coasts with more and less land."""
    rows, columns = patches.corners
    size, (height, width) = patches.tile, land.shape
    share = patches.means(land)
    first = [
        int(np.flatnonzero(rows == 0)[0]),
        int(np.flatnonzero(rows + size == height)[0]),
        int(np.flatnonzero((columns + size > width) & (share < 1))[0]),
    ]
    return patches.ids[[*first, *(int(np.abs(share - wanted).argmin()) for wanted in _LAND)]]


def _parts(
    form: SampleForm, encoding: EncodingName, one: Sample, other: Sample
) -> Iterator[tuple[Stretch, NDArray[np.float64], NDArray[np.float64]]]:
    """Field by field the code, and the values of an export and of its archive."""
    for field in form.fields:
        code = stretch(field.quantity, encoding)
        yield code, code.decode(one.target[field.name]).astype(float), other.target[field.name].astype(float)
        if np.array_equal(one.points, other.points):
            yield code, one.observed[field.name].astype(float), other.observed[field.name].astype(float)
    for at, channel in enumerate(form.channels):
        code = stretch(channel.quantity, encoding)
        yield code, code.decode(one.surface[at]).astype(float), other.surface[at].astype(float)


if __name__ == "__main__":
    main()
