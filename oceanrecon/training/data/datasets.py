"""The data sets that users name: of an export, of the archives, of written samples."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.samples.choice import GOOD, MissingSurface
from oceanrecon.samples.export import ExportSource
from oceanrecon.samples.form import CHANNELS, Scenario
from oceanrecon.samples.index import Index, SplitName, read_index
from oceanrecon.samples.rows import Rows
from oceanrecon.samples.stored import Store
from oceanrecon.samples.withheld import FloatSplit
from oceanrecon.training.data.dataset import Augmentation, PatchDataset

if TYPE_CHECKING:
    from oceanrecon.config import ArchiveSettings
    from oceanrecon.patch_config import PatchesSettings
    from oceanrecon.profile_config import ProfileFilesSettings
    from oceanrecon.sources.months import Sampling
    from oceanrecon.sources.quality import QualityMode


class ExportPatches(PatchDataset):
    """Samples of an export: of ``dense.zarr``, or of its GeoTIFFs where only they exist, and its gridded profiles."""

    def __init__(
        self,
        export: str,
        index: str | None = None,
        *,
        split: SplitName = "train",
        rows: Rows | None = None,
        scenario: Scenario = "temperature",
        surface: Sequence[str] = tuple(CHANNELS),
        days: int | None = None,
        store: Store | None = None,
        quality: Collection[int] | None = None,
        withhold: Collection[str] = (),
        floats: FloatSplit | None = None,
        sides: Sequence[str] = ("train",),
        target: bool = True,
        missing_surface: MissingSurface = "error",
        require_profiles: bool = True,
        augment: Augmentation | None = None,
        return_info: bool = False,
    ) -> None:
        """Of an export and a patch index.

        Args:
            export: folder or fsspec URL of the export.
            index: folder or fsspec URL of what ``oceanrecon patches index`` wrote.
            split: which rows of the index: ``train``, ``val``, ``test``, or ``all`` three.
            rows: patches and dates, instead of an index.
            scenario: ``temperature``, ``salinity`` or ``joint``.
            surface: which surface fields are channels of ``eo``, in order.
            days: odd number of days around a date whose profiles are inputs, at most that of the index, which is the
                default; without an index, what the export was made with.
            store: ``zarr`` or ``geotiff``; default: ``dense.zarr`` where the export has it.
            quality: flags of levels that count; a level without a flag counts, too. Default: those of the index, or
                1 and 2 without one.
            withhold: WMO platform numbers whose profiles are no inputs.
            floats: which platforms are for training, validation and test; default: all are inputs.
            sides: with ``floats``: of ``train``, ``val`` and ``test``, those whose profiles are inputs.
            target: read the dense target; else it is missing everywhere, and the export needs none.
            missing_surface: a surface field that the export lacks, of all dates or of one, is an ``error``, or a
                channel without values (``blank``).
            require_profiles: only rows of the index with a profile, of temperature or of salinity.
            augment: what is done to each sample, such as ``samples.augment.Augment``.
            return_info: add ``info``, a dictionary of what else is known of a sample.

        Raises:
            ConfigError: the export lacks a variable, a date, profiles or days; the split has no row; or the index is of
                another grid, of fewer days, or was made without this export.
            OutputError: there is no such export or index.
        """
        table = _one_index(index, rows)
        chosen = rows if table is None else table.rows(split, require_profiles)
        assert chosen is not None
        if quality is None:
            quality = GOOD if table is None else table.quality
        source = ExportSource(
            export, chosen, scenario=scenario, surface=surface, store=store, quality=quality, withhold=withhold,
            floats=floats, sides=sides, target=target, missing_surface=missing_surface,
            days=days if table is None else table.window(days),
        )  # fmt: skip
        if table is not None and source.grid != table.patches.grid:
            raise ConfigError(
                f"{index} is an index of another grid ({table.patches.grid.to_dict()}) than that of {export} "
                f"({source.grid.to_dict()}): make one with `export: {export}` in its settings"
            )
        if table is not None:
            table.check_export(export, source.window_days, source.reanalysis, chosen)
        told = table.described(split, require_profiles) if return_info and table is not None else None
        super().__init__(source, augment=augment, return_info=return_info, described=told)


class ArchivePatches(PatchDataset):
    """Samples straight from the archives that a patch index was made of; values instead of codes, no export needed."""

    def __init__(
        self,
        index: str,
        *,
        split: SplitName = "train",
        scenario: Scenario = "temperature",
        surface: Sequence[str] = tuple(CHANNELS),
        days: int | None = None,
        quality: Collection[int] | None = None,
        withhold: Collection[str] = (),
        floats: FloatSplit | None = None,
        sides: Sequence[str] = ("train",),
        target: bool = True,
        missing_surface: MissingSurface = "error",
        require_profiles: bool = True,
        archive: ArchiveSettings | None = None,
        en4: ProfileFilesSettings | None = None,
        argo: ProfileFilesSettings | None = None,
        mask: str | None = None,
        minimum_valid_fraction: float | None = None,
        minimum_files: int = 1,
        profile_quality: QualityMode = "standard",
        sampling: Sampling = "primary",
        augment: Augmentation | None = None,
        return_info: bool = False,
    ) -> None:
        """Of a patch index.

        Args:
            index: folder or fsspec URL of what ``oceanrecon patches index`` wrote.
            split: which rows of the index: ``train``, ``val``, ``test``, or ``all`` three.
            scenario: ``temperature``, ``salinity`` or ``joint``.
            surface: which surface fields are channels of ``eo``, in order.
            days: odd number of days around a date that fields and profiles are of, at most that of the index, which is
                the default.
            quality: flags of levels that count; a level without a flag counts, too. Default: those of the index.
            withhold: WMO platform numbers whose profiles are no inputs.
            floats: which platforms are for training, validation and test; default: all are inputs.
            sides: with ``floats``: of ``train``, ``val`` and ``test``, those whose profiles are inputs.
            target: read the dense target; else it is missing everywhere, and the archive needs no reanalysis.
            missing_surface: a surface field that the archive lacks, of all dates or of one, is an ``error``, or a
                channel without values (``blank``).
            require_profiles: only rows with a profile, of temperature or of salinity.
            archive: where the gridded files are now; default: as in the settings of the index.
            en4: monthly EN4 files; default likewise.
            argo: Argo files; default likewise.
            mask: GeoTIFF land mask; default: that of the settings of the index, or of its export.
            minimum_valid_fraction: least valid weight of a target cell; default: that of the export of the index, or
                0.5 without one, and with a warning where that cannot be read.
            minimum_files: a mean of surface fields over fewer files is an error.
            profile_quality: which flags are accepted in the files of profiles: ``standard``, ``strict`` or ``none``,
                as ``oceanrecon profiles enrich`` has them.
            sampling: ``primary``, or ``all`` samplings of an Argo cycle, likewise.
            augment: what is done to each sample, such as ``samples.augment.Augment``.
            return_info: add ``info``, a dictionary of what else is known of a sample.

        Raises:
            ConfigError: nothing says where the files are; the archive lacks a variable, or a row lacks files or
                profiles; the index is of fewer days; or the split has no row.
            OutputError: there is no such index.
            OceanreconError: the archive cannot be read.
        """
        # reads NetCDF with h5py, which workers of other data sets do not need
        from oceanrecon.samples.archive import ArchiveSource

        table = read_index(index)
        settings = index_settings(table)
        archive = archive or settings.archive
        if archive is None:
            raise ConfigError(f"{index} was made without an archive: give `archive`")
        source = ArchiveSource(
            archive, table.rows(split, require_profiles), grid=table.patches.grid,
            land=index_land(table, settings, mask),
            en4=en4 or settings.en4, argo=argo or settings.argo, scenario=scenario, surface=surface,
            days=table.window(days), quality=table.quality if quality is None else quality, withhold=withhold,
            floats=floats, sides=sides, target=target,
            missing_surface=missing_surface, maximum_distance_days=settings.rows.max_glorys_days,
            profile_quality=profile_quality, sampling=sampling, minimum_files=minimum_files,
            minimum_valid_fraction=(
                index_valid_fraction(table) if minimum_valid_fraction is None else minimum_valid_fraction
            ),
        )  # fmt: skip
        told = table.described(split, require_profiles) if return_info else None
        super().__init__(source, augment=augment, return_info=return_info, described=told)


class WrittenPatches(PatchDataset):
    """Samples that ``oceanrecon patches write``, or an older tool, wrote to disk."""

    def __init__(
        self,
        url: str,
        *,
        split: SplitName = "train",
        depth: Sequence[float] | None = None,
        augment: Augmentation | None = None,
        return_info: bool = False,
    ) -> None:
        """Of a folder or fsspec URL.

        Args:
            url: where they are.
            split: ``train``, ``val``, ``test``, or ``all``.
            depth: depths of the target's levels (m), for files of other tools that do not say them.
            augment: what is done to each sample, such as ``samples.augment.Augment``.
            return_info: add ``info``, a dictionary of what else is known of a sample.

        Raises:
            ConfigError: there is none on that side of the split, or no one knows the depths.
            OutputError: there are none, or their index is damaged.
        """
        # reads with zarr and tables, which workers of other data sets do not need
        from oceanrecon.samples.written import open_written
        from oceanrecon.samples.written_bands import WrittenBands

        source = open_written(url, split, depth)
        super().__init__(
            source, augment=augment, return_info=return_info, profiles=not isinstance(source, WrittenBands)
        )

    @property
    def shards(self) -> NDArray[Any]:
        """A number per row, the same for rows of one file, or next to each other where each has its own: [row]."""
        size = getattr(self.source, "shard_rows", None)
        if size is None:
            return np.arange(len(self)) // _TOGETHER
        shards: NDArray[Any] = self.source.positions // size  # type: ignore[attr-defined]
        return shards


#: Rows that are shuffled as one where every row has files of its own.
_TOGETHER = 100
#: Least valid weight of a cell where no export says another.
_USUAL_FRACTION = 0.5


def _one_index(index: str | None, rows: Rows | None) -> Index | None:
    if (index is None) == (rows is None):
        raise ConfigError("give either `index`, the folder of `oceanrecon patches index`, or `rows`")
    return None if index is None else read_index(index)


def index_settings(index: Index) -> PatchesSettings:
    """What an index was made with."""
    import yaml

    from oceanrecon.config import parse_settings
    from oceanrecon.patch_config import PatchesSettings

    return parse_settings(PatchesSettings, yaml.safe_load(index.root.read("patches.yaml")), index.root.url)


def index_valid_fraction(index: Index) -> float:
    """Least valid weight of a cell, as in the export of an index.

    Without an export it is what exports have by default; with a warning, where there is one that cannot be read.
    """
    from oceanrecon.stores.files import Root
    from oceanrecon.stores.manifest import read_manifest, valid_fraction

    if index.export is None:
        return _USUAL_FRACTION
    try:
        return valid_fraction(read_manifest(Root(index.export)))
    except OutputError as error:
        warnings.warn(
            f"the export of {index.root.url} cannot be read ({error}): cells are valid from a weight of "
            f"{_USUAL_FRACTION}, the default, as it does not tell its `minimum_valid_fraction`; where it was made with "
            "another one, put it back, or give that to ArchivePatches",
            stacklevel=3,
        )
        return _USUAL_FRACTION


def index_land(index: Index, settings: PatchesSettings, mask: str | None) -> NDArray[np.uint8]:
    """The land mask of an index, 1 on land: [height, width].

    Args:
        index: whose.
        settings: that it was made with.
        mask: address; default: that of the settings, or of the export of the index.

    Raises:
        ConfigError: nothing says where it is, or it is of another grid.
    """
    from oceanrecon.stores.files import Root
    from oceanrecon.stores.manifest import read_manifest
    from oceanrecon.stores.mask import read_land_mask_on

    mask = mask or settings.tiling.mask
    if mask is None and index.export is not None:
        root = Root(index.export)
        mask = root.url_of(read_manifest(root)["grid"]["source"])
    if mask is None:
        raise ConfigError(
            f"{index.root.url} was made without a land mask: give `mask`; `oceanrecon landmask` makes one of the grid"
        )
    return read_land_mask_on(index.patches.grid, mask, f"take the mask that {index.root.url} was made with")
