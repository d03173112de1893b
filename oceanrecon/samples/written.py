"""Samples that ``oceanrecon patches write`` (or an older tool) wrote, in any of their forms."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from oceanrecon.errors import OutputError
from oceanrecon.samples import written_bands, written_triplets, written_zarr
from oceanrecon.samples.written_bands import WrittenBands
from oceanrecon.samples.written_triplets import WrittenTriplets
from oceanrecon.samples.written_zarr import WrittenZarr
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import MANIFEST

#: What marks a folder that `patches write` wrote.
SETTINGS = "samples.yaml"
Written = WrittenZarr | WrittenTriplets | WrittenBands


def open_written(url: str, split: str = "all", depth: Sequence[float] | None = None) -> Written:
    """The written samples of a folder or fsspec URL, whichever form they have.

    Args:
        url: where they are.
        split: ``train``, ``val``, ``test`` or ``all``.
        depth: depths of the target's levels (m), for files of other tools that do not say them.

    Raises:
        OutputError: there are none, or their index is damaged.
        ConfigError: there is none on that side of the split, or no one knows the depths.
    """
    root = Root(url)
    if root.local_path is not None and not root.local_path.is_dir():
        raise OutputError(f"there is no folder {root.url}: correct the path")
    if root.exists(SETTINGS) and not root.exists(MANIFEST):
        warnings.warn(
            f"the writing of {root.url} has not finished: these samples are a part of it; `oceanrecon patches write "
            "CONFIG --resume` writes the others",
            stacklevel=2,
        )
    if root.exists(f"{written_zarr.STORE}/zarr.json"):
        return WrittenZarr(root, split)
    if root.exists(written_triplets.INDEX):
        return WrittenTriplets(root, split, depth)
    if root.exists(written_bands.INDEX):
        return WrittenBands(root, split, depth)
    raise OutputError(
        f"{root.url} has no written samples ({written_zarr.STORE}, {written_triplets.INDEX} or {written_bands.INDEX}): "
        "make them with `oceanrecon patches write`; one that was interrupted has to be resumed first"
    )
