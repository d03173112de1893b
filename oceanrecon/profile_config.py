"""The settings of a profile store: from EN4 and Argo files to enriched, gridded and packaged profiles."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from oceanrecon.config import ArchiveSettings, ClusterSettings, Date, Settings, TemperatureSource


class ProfileFilesSettings(Settings):
    """Where the files of one source of profiles are."""

    root: str = Field(description="Folder or fsspec URL that holds the files, at any depth.")
    files: str = Field(
        "",
        description="Glob over file names (or paths, where it has a slash); default: the names that the source gives "
        "its files.",
    )


class GriddingSettings(Settings):
    """The gridded store inside an export."""

    export: str = Field(description="Folder or fsspec URL of the export.")
    temperature: TemperatureSource = Field(
        "potential", description="`potential` is comparable to GLORYS `thetao`; `in-situ` as measured."
    )


class PackageSettings(Settings):
    """A folder that is ready for a dataset hub."""

    output: str = Field(description="Folder of the package.")
    name: str = Field(
        "ocean-profiles", description="Short name of the dataset: letters, digits, hyphens, underscores and dots."
    )
    creator: str = Field("The makers of this package", description="Who made it, for the citation.")
    title: str = Field("Ocean profiles with collocated fields", description="Name of the dataset for people.")
    license: str = Field(
        "other",
        description="Licence identifier of the card, such as `cc-by-4.0`; the products behind the data have terms of "
        "their own, which LICENSE lists.",
    )
    with_export: bool = Field(
        False,
        description="Include the GeoTIFFs, the land mask, the gridded profiles and the manifest of `grid.export`.",
    )
    files: Literal["link", "copy"] = Field(
        "link", description="Hard links where the file system has them (no extra space), or copies always."
    )


class ProfilesSettings(Settings):
    """Profiles: enriched, gridded, packaged."""

    en4: ProfileFilesSettings | None = Field(None, description="EN4 monthly files; leave out for none.")
    argo: ProfileFilesSettings | None = Field(
        None, description="Argo GDAC files: `*_prof.nc` of floats, and single-cycle R and D files; leave out for none."
    )
    archive: ArchiveSettings | None = Field(
        None, description="Gridded products that are sampled where the profiles are; leave out for none."
    )
    output: str = Field(description="Folder or fsspec URL of the store and its receipts.")
    start: Date | None = Field(None, description="First date of a profile; default: the first there is.")
    end: Date | None = Field(None, description="Last date of a profile, included; default: the last there is.")
    quality: Literal["standard", "strict", "none"] = Field(
        "standard",
        description="Which flags a level, a position and a date may have; the page on profiles spells them out.",
    )
    sampling: Literal["primary", "all"] = Field(
        "primary", description="`all` takes the secondary and near-surface samplings of an Argo cycle too."
    )
    depth: tuple[float, ...] | None = Field(
        None,
        min_length=1,
        description="Target depths, m, ascending; default: the levels of the archive's GLORYS files, or the 50 of "
        "GLORYS where there are none.",
    )
    max_gap_days: int = Field(
        7, ge=0, description="A gridded file further away than this is not sampled: status 3, values missing."
    )
    grid: GriddingSettings | None = Field(None, description="What `oceanrecon profiles grid` writes.")
    package: PackageSettings | None = Field(None, description="What `oceanrecon profiles package` writes.")
    cluster: ClusterSettings = Field(default_factory=ClusterSettings, description="The local cluster.")

    @model_validator(mode="after")
    def _possible(self) -> ProfilesSettings:
        if self.en4 is None and self.argo is None:
            raise ValueError("no profiles: give `en4`, `argo` or both")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"`end` {self.end} is before `start` {self.start}")
        if self.depth is not None and (
            min(self.depth) < 0 or any(b <= a for a, b in zip(self.depth, self.depth[1:], strict=False))
        ):
            raise ValueError(f"`depth` {list(self.depth)} is not ascending from 0 m downwards")
        if self.package is not None and self.package.with_export and self.grid is None:
            raise ValueError("`package.with_export` needs `grid.export`: which export to include")
        return self
