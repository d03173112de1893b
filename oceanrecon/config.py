"""The settings of an export, as pydantic models: YAML in, a resolved copy beside every output.

Paths are file paths, relative to the working directory, or fsspec URLs such as ``s3://bucket/archive``.
"""

from __future__ import annotations

import datetime as dt
import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from oceanrecon.errors import ConfigError
from oceanrecon.grid.times import LONGEST_WINDOW, parse_date
from oceanrecon.transform.encode import EncodingName

Model = TypeVar("Model", bound=BaseModel)


def _date(value: Any) -> Any:
    try:
        return parse_date(value) if isinstance(value, str | int) else value
    except ConfigError as error:
        raise ValueError(str(error)) from None


TemperatureSource = Literal["potential", "in-situ"]
#: 2012-03-07 or 20120307
Date = Annotated[dt.date, BeforeValidator(_date)]


class Settings(BaseModel):
    """Base of every group of settings: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ProductSettings(Settings):
    """Where the files of one product are; leave it out where they have the product's own names."""

    path: str = Field("", description="Folder of this product below the archive's root; empty: the root.")
    files: str = Field(
        "*.nc",
        description="Glob over file names, such as `GLORYS_coarse*.nc`: the files that match are this product's, "
        "whatever their names.",
    )


class ArchiveSettings(Settings):
    """The archive of NetCDF files."""

    root: str = Field(description="Folder or fsspec URL that holds the NetCDF files, at any depth.")
    inventory: str | None = Field(
        None,
        description="Parquet file that `oceanrecon inventory` wrote, or folder that `oceanrecon virtualize` wrote. Not "
        "given: the archive is scanned at each plan and export.",
    )
    products: dict[str, ProductSettings | None] = Field(
        min_length=1,
        description="Products to export: `glorys`, `ostia`, `sealevel`, `sss`, each with nothing or with where its "
        "files are. A product that is not named is left out, and the manifest says so.",
    )


_GLOBE = (-180.0, -90.0, 180.0, 90.0)


class GridSettings(Settings):
    """The target grid: the grid of a land-mask GeoTIFF, or a resolution over bounds."""

    mask: str | None = Field(None, description="GeoTIFF land mask (1 land, 0 ocean) whose grid is the target grid.")
    resolution: float | None = Field(None, gt=0, description="Cell size in degrees, instead of a mask.")
    bounds: tuple[float, float, float, float] = Field(
        _GLOBE, description="West, south, east, north edges in degrees, with `resolution`."
    )

    @model_validator(mode="after")
    def _one_of(self) -> GridSettings:
        if (self.mask is None) == (self.resolution is None):
            raise ValueError("give either `mask` (a GeoTIFF) or `resolution` (degrees), not both and not neither")
        if self.mask is not None and "bounds" in self.model_fields_set and self.bounds != _GLOBE:
            raise ValueError("`bounds` go with `resolution`: the grid of a `mask` has its own")
        return self


class TargetSettings(Settings):
    """The target times: the dates of the GLORYS files, an explicit list, or every N days."""

    start: Date | None = Field(None, description="First date; needed with `every_days`.")
    end: Date | None = Field(None, description="Last date, included; needed with `every_days`.")
    dates: tuple[Date, ...] | None = Field(None, description="Explicit target dates, instead of the GLORYS dates.")
    every_days: int | None = Field(None, ge=1, description="A target every so many days from `start` to `end`.")
    maximum_distance_days: int = Field(
        3, ge=0, description="A target takes the nearest GLORYS file at most so many days away; further is a failure."
    )

    @model_validator(mode="after")
    def _consistent(self) -> TargetSettings:
        if self.dates is not None and self.every_days is not None:
            raise ValueError("give `dates` or `every_days`, not both")
        if self.every_days is not None and (self.start is None or self.end is None):
            raise ValueError("`every_days` needs `start` and `end`")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"`end` {self.end} is before `start` {self.start}")
        return self


class GeoTiffSettings(Settings):
    """One GeoTIFF per variable and time."""

    interleave: Literal["pixel", "band"] = Field(
        "pixel", description="`pixel`: a third smaller, best for patches with all levels; `band`: best for one level."
    )
    cog: bool = Field(False, description="Cloud-optimised GeoTIFF with overviews; costs eight times the CPU.")
    level: int = Field(1, ge=1, le=22, description="ZSTD level; 9 costs six times the CPU of 1 for 12 % less size.")


class ZarrSettings(Settings):
    """`dense.zarr`: one sharded zarr v3 store, one shard per variable and time."""

    chunk: int = Field(64, ge=16, le=512, description="Side of an inner chunk in pixels; it holds all levels.")
    level: int = Field(1, ge=1, le=22, description="ZSTD level.")


class FormatSettings(Settings):
    """What to write; either or both."""

    geotiff: GeoTiffSettings | None = Field(None, description="Write GeoTIFFs; `{}` for the defaults.")
    zarr: ZarrSettings | None = Field(None, description="Write `dense.zarr`; `{}` for the defaults.")

    @model_validator(mode="after")
    def _something(self) -> FormatSettings:
        if self.geotiff is None and self.zarr is None:
            raise ValueError("nothing to write: give `geotiff: {}`, `zarr: {}` or both")
        return self


class ClusterSettings(Settings):
    """The local cluster that is started when no scheduler is named."""

    workers: int | None = Field(None, ge=1, description="Worker processes, one thread each; default: one per core.")
    memory_limit: str | None = Field(
        None, description="Memory of one worker, such as `2 GB`; default: the machine's memory shared out."
    )
    dashboard: str | None = Field(
        None, description="Address of the dashboard; default: `127.0.0.1:8787`, or another port where that is taken."
    )


class ProfileInput(Settings):
    """Profiles that are put on the grid of an export."""

    store: str = Field(
        description="Enriched profile store (`.../enriched_argo_profiles.zarr`), or a folder or package that has one."
    )
    temperature: TemperatureSource = Field(
        "potential", description="`potential` is comparable to GLORYS `thetao`; `in-situ` as measured."
    )


class ExportSettings(Settings):
    """An export: from an archive to GeoTIFF and zarr on one grid."""

    archive: ArchiveSettings = Field(description="The archive of NetCDF files.")
    output: str = Field(description="Folder or fsspec URL of the export.")
    grid: GridSettings = Field(description="The target grid.")
    targets: TargetSettings = Field(
        default_factory=TargetSettings,
        description="The target times; default: the dates of the GLORYS files.",
    )
    variables: tuple[str, ...] | None = Field(
        None, min_length=1, description="Variables to export; default: all of the products."
    )
    window_days: int = Field(
        7,
        ge=1,
        le=LONGEST_WINDOW,
        description="Odd number of days that the surface products are averaged over, centred on the target.",
    )
    minimum_files: int = Field(1, ge=1, description="A mean over fewer files than this is a recorded failure.")
    minimum_valid_fraction: float = Field(
        0.5, gt=0, le=1, description="Least valid weight of a target cell; cells with less are missing."
    )
    encoding: EncodingName = Field("uint8", description="`uint8` (compatible) or `uint16` (what models train on).")
    formats: FormatSettings = Field(
        default_factory=lambda: FormatSettings(geotiff=GeoTiffSettings(), zarr=ZarrSettings()),
        description="What to write; default: both.",
    )
    profiles: ProfileInput | None = Field(
        None, description="Profiles to put on the grid once the rasters are there; default: none."
    )
    cluster: ClusterSettings = Field(
        default_factory=ClusterSettings,
        description="The local cluster.",
    )

    @model_validator(mode="after")
    def _odd(self) -> ExportSettings:
        if self.window_days % 2 == 0:
            raise ValueError(f"`window_days` {self.window_days} is even: a centred window has an odd number of days")
        if self.minimum_files > self.window_days:
            raise ValueError(f"`minimum_files` {self.minimum_files} is more than the {self.window_days} `window_days`")
        return self


def load_settings(model: type[Model], path: str | Path, overrides: tuple[str, ...] = ()) -> Model:
    """Read settings from a YAML file, with overrides such as ``window_days=1`` or ``archive.root=/data``.

    Raises:
        ConfigError: no such file, not YAML, an unknown or impossible setting; names the file, the key and, for a
            typo, the nearest valid key.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the settings file {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not a text file in UTF-8: give the YAML settings, saved as UTF-8") from None
    data = _from_yaml(text, str(path))
    if not isinstance(data, dict):
        held = "is empty" if data is None else f"holds {type(data).__name__}, not settings"
        raise ConfigError(f"{path} {held}: write `key: value` lines")
    for override in overrides:
        _override(data, override)
    return parse_settings(model, data, str(path))


def parse_settings(model: type[Model], data: dict[str, Any], origin: str) -> Model:
    """Settings from a mapping; ``origin`` names it in messages.

    Raises:
        ConfigError: see ``load_settings``.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        if "kind" in data and "kind" not in model.model_fields:
            raise ConfigError(
                f"{origin} has the settings of a cluster (kind: {data['kind']}), for `oceanrecon cluster start`: give "
                "those of what is to be made, such as configs/export-demo.yaml"
            ) from None
        lines = [_explain(model, problem, data) for problem in error.errors()]
        raise ConfigError(f"{origin}: " + "; ".join(lines)) from None


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would take the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise yaml.YAMLError(f"the key {twice[0]!r} is given twice, the second time after{node.start_mark}")
        return super().construct_mapping(node, deep)


def _from_yaml(text: str, origin: str) -> Any:
    try:
        return yaml.load(text, Loader=_UniqueKeys)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date such as 2012-02-30
        hint = ": indent with spaces, not tabs" if "\\t" in str(error) else ""
        said = str(error).replace('in "<unicode string>"', "at")
        raise ConfigError(f"{origin} is not YAML: {said}{hint}") from None


def _override(data: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set {override!r} is not KEY=VALUE: write for example --set window_days=1")
    group = data
    *parents, last = key.split(".")
    for name in parents:
        if not isinstance(group.get(name), dict):
            group[name] = {}
        group = group[name]
    group[last] = _from_yaml(value, f"--set {override!r}")


def _fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the settings of the group that ``location`` is in."""
    current: Any = model
    for name in location:
        annotation = current.model_fields[name].annotation if name in getattr(current, "model_fields", {}) else None
        nested = _models(annotation)
        if nested:
            current = nested[0]
    return list(current.model_fields)


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]


def _explain(model: type[BaseModel], problem: Any, data: dict[str, Any]) -> str:
    location = tuple(part for part in problem["loc"])
    key = ".".join(str(part) for part in location)
    if problem["type"] == "extra_forbidden":
        valid = _fields_at(model, location[:-1])
        near = difflib.get_close_matches(str(location[-1]), valid, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"valid keys are {', '.join(valid)}"
        return f"unknown setting {key!r}: {hint}"
    if problem["type"] == "missing":
        return f"setting {key!r} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(problem["input"], dict) else f" (got {problem['input']!r})"
    return f"{key}: {message}{shown}" if key else f"{message}{shown}"


def dump_settings(settings: BaseModel) -> str:
    """Settings as YAML, every default written out."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)
