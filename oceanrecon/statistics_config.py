"""The settings of statistics: of what they are, on which grid, and how smooth."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from oceanrecon.config import ClusterSettings, Settings
from oceanrecon.patch_config import FloatSettings


class StatisticsSettings(Settings):
    """Statistics of the training side of an export: climatology, deviations, vertical modes and covariances."""

    export: str = Field(description="Folder or fsspec URL of the export.")
    index: str = Field(description="Patch index of the export: only its training rows are used.")
    output: str = Field(description="Folder or fsspec URL of the statistics.")
    source: Literal["reanalysis", "profiles"] = Field(
        "reanalysis",
        description="What climatology, deviations and modes of temperature and salinity are of: the dense target, or "
        "the profiles alone, which works without one.",
    )
    floats: FloatSettings = Field(
        default_factory=FloatSettings, description="Floats whose profiles are never used here: validation and test."
    )
    resolution: float = Field(1.0, gt=0, description="Side of a cell of the climatology, degrees.")
    smoothing: float | None = Field(
        None,
        ge=0,
        description="How far cells of the climatology learn from their neighbours, km (standard deviation of the "
        "weights); default: 50, or 300 where it is of profiles.",
    )
    ridge: float = Field(
        2.0,
        gt=0,
        description="How strongly the seasons of a cell are pulled to none, in dates: so few dates give a mean, and no "
        "wild season.",
    )
    every: int = Field(1, ge=1, description="Each n-th training date of the dense fields is used.")
    bathymetry: str | None = Field(
        None,
        description="Other statistics of the same grid and depths whose sea floor is taken (`source: profiles`); "
        "default: water at all levels where the land mask has water.",
    )
    cluster: ClusterSettings = Field(default_factory=ClusterSettings, description="The local cluster.")

    @model_validator(mode="after")
    def _possible(self) -> StatisticsSettings:
        if self.bathymetry is not None and self.source != "profiles":
            raise ValueError("`bathymetry` is for `source: profiles`: the reanalysis knows the sea floor, leave it out")
        return self

    @property
    def smoothing_km(self) -> float:
        """The smoothing, or what goes with the source."""
        return self.smoothing if self.smoothing is not None else 50.0 if self.source == "reanalysis" else 300.0
