"""The settings of daily regional tiles, and of the TACO dataset that is built of them."""

from __future__ import annotations

from typing import Literal, Self, get_args

from pydantic import Field, model_validator

from oceanrecon.config import ClusterSettings, Date, Settings

#: Names of the sources, as the published inventory has them.
SourceKey = Literal[
    "glorys", "l4_ssh", "l4_sst", "l4_sss", "l4_wind", "l3_sst", "l3_sss_smos_asc", "l3_sss_smos_desc", "l3_ssh",
    "l3_swot", "argo",
]  # fmt: skip
SOURCES: tuple[SourceKey, ...] = get_args(SourceKey)


class _Chosen(Settings):
    """Which sources of which days."""

    sources: tuple[SourceKey, ...] = Field(SOURCES, min_length=1, description="Which sources.")
    start: Date | None = Field(None, description="First day; default: of all that there is.")
    end: Date | None = Field(None, description="Last day, included; default: of all that there is.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"`end` {self.end} is before `start` {self.start}")
        return self

    def wants(self, date: Date) -> bool:
        """Whether a day is between the first and the last."""
        return (self.start is None or date >= self.start) and (self.end is None or date <= self.end)


class RegionSettings(_Chosen):
    """Daily files of many sources, cut into eight regions, with an inventory."""

    raw: str = Field(description="Folder or fsspec URL of the files as they come, with a folder for each source.")
    output: str = Field(description="Folder or fsspec URL of the regional files and their inventory.")
    cluster: ClusterSettings = Field(default_factory=ClusterSettings, description="The local cluster.")


class TacoSettings(_Chosen):
    """A TACO dataset of regional files."""

    regions: str = Field(description="Folder of the regional files and their inventory.")
    output: str = Field(description="The dataset: a folder, or a file that ends in `.tacozip` (`form: zip`).")
    form: Literal["folder", "zip"] = Field(
        "folder", description="`folder`: files as they are, linked where the disk can; `zip`: all in one file."
    )
    name: str = Field("ocean_surface_regional", description="Its id, for whoever lists many datasets.")
    version: str = Field("1.0.0", description="Of the dataset.")
    title: str = Field("Daily ocean surface data in eight regions", description="One line of what it is.")
    description: str = Field(
        "Daily fields and measurements of the ocean surface from many sources, cut into eight regions of 90 by 90 "
        "degrees.",
        description="What it is of, for its readers.",
    )
    licenses: tuple[str, ...] = Field(("CC-BY-4.0",), min_length=1, description="SPDX names of its licences.")
    providers: tuple[str, ...] = Field(
        ("E.U. Copernicus Marine Service Information",),
        min_length=1,
        description="Whose data it has: give them credit.",
    )

    @model_validator(mode="after")
    def _named_as_it_is(self) -> TacoSettings:
        if self.output.endswith(".tacozip") != (self.form == "zip"):
            raise ValueError(
                f"`output` {self.output!r} and `form: {self.form}`: a zip ends in `.tacozip`, a folder does not"
            )
        return self
