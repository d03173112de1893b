"""What an enrichment would do and what it costs, before anything is written."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from oceanrecon.access.ranges import open_binary
from oceanrecon.config import ArchiveSettings
from oceanrecon.errors import ArchiveError, ConfigError, PlanError, SourceError
from oceanrecon.grid.levels import GLORYS_DEPTH
from oceanrecon.grid.times import EPOCH, next_month
from oceanrecon.pipeline.inventory import read_inventory
from oceanrecon.pipeline.local import run_local
from oceanrecon.pipeline.profiles.recipe import FieldFiles, Month, ProfileRecipe, shortened
from oceanrecon.profile_config import ProfilesSettings
from oceanrecon.sources.months import argo_of_month, en4_months, joined, judge_argo
from oceanrecon.sources.profiles import ProfileFile, list_profile_files, read_headers
from oceanrecon.sources.registry import PRODUCTS
from oceanrecon.sources.sample import matched_dates
from oceanrecon.sources.select import Holding, holdings
from oceanrecon.stores.files import Root
from oceanrecon.stores.steps import StepFailure

#: Argo files whose headers are read by one task.
_BATCH = 64
#: Profiles that are held at once: about two months of all there are.
_SLICE_ROWS = 65536
#: Measured at full size (docs/benchmarks): a worker between two tasks, and one row of a slice, with what is made of it.
_WORKER_BASE, _ROW_BYTES, _LEVEL_BYTES = 500e6, 2e3, 200
#: Bytes of a profile in an EN4 file.
_CLASSIC_BYTES, _DEFLATED_BYTES = 9300, 1400
#: Seconds of CPU per profile (read, aligned, written), and per million numbers of a field that are inflated.
_PROFILE_SECONDS, _READ_SECONDS = 4e-4, 0.003


@dataclass(frozen=True, eq=False)
class EnrichPlan:
    """The months of a profile store, those that cannot be made, and what it all costs."""

    settings: ProfilesSettings
    recipe: ProfileRecipe
    months: tuple[Month, ...]
    #: months that need a gridded file which cannot be used, and profile files that cannot be read
    failures: tuple[StepFailure, ...]
    #: Argo profiles that belong to no month, by reason
    undated: dict[str, int]
    notes: tuple[str, ...]
    bytes_of_profiles: int
    bytes_of_fields: int
    cpu_seconds: float
    peak_memory: int

    @property
    def argo_counts(self) -> dict[str, int]:
        """Argo profiles of all months, by what becomes of them."""
        found: Counter[str] = Counter(self.undated)
        for month in self.months:
            found.update(Counter(month.argo["reason"].replace("", "accepted").tolist()))
        return dict(sorted(found.items()))

    def summary(self) -> dict[str, Any]:
        """The figures, for people and for JSON."""
        return {
            "output": self.recipe.output,
            "months": len(self.months),
            "first_month": self.months[0].name if self.months else None,
            "last_month": self.months[-1].name if self.months else None,
            "en4_files": sum(month.en4 is not None for month in self.months),
            "argo_files": len({path for month in self.months for path in month.argo_files}),
            "argo_profiles": self.argo_counts,
            "levels": len(self.recipe.depth),
            "quality": self.recipe.quality,
            "products": {
                fields.product: len(
                    {source.path for month in self.months for source in _sources(month, fields.product)}
                )
                for fields in (self.months[0].fields if self.months else ())
            },
            "notes": list(self.notes),
            "failures": [f"{failure.name}: {failure.message}" for failure in self.failures],
            "bytes_of_profiles": self.bytes_of_profiles,
            "bytes_of_fields": self.bytes_of_fields,
            "cpu_seconds": round(self.cpu_seconds, 1),
            "peak_memory_per_worker": self.peak_memory,
        }


def _sources(month: Month, product: str) -> list[Any]:
    return [source for fields in month.fields if fields.product == product for source in fields.sources]


def plan_profiles(settings: ProfilesSettings) -> EnrichPlan:
    """Resolve the settings against the files; headers of Argo files are read, on all cores.

    Raises:
        ConfigError: a product is unknown.
        ArchiveError: there are no profiles, or nothing of a product that can be used.
        PlanError: no profile lies between the dates.
    """
    held = _held(settings.archive)
    depth = _depth(settings, held)
    recipe = ProfileRecipe(
        output=Root(settings.output).url,
        depth=depth,
        quality=settings.quality,
        sampling=settings.sampling,
        max_gap_days=settings.max_gap_days,
        products=tuple(held),
        archive_root=Root(settings.archive.root).url if settings.archive is not None else "",
        start=settings.start,
        end=settings.end,
    )
    en4, notes = en4_months(settings.en4, settings.start, settings.end)
    argo_files, headers, failures, said = _argo_headers(settings)
    headers = judge_argo(headers, settings.quality, settings.sampling)
    dated = np.isfinite(headers["juld"]) & (headers["reason"] != "date_impossible")
    undated = Counter(headers.loc[~dated, "reason"].tolist())
    headers = headers[dated]
    low = -np.inf if settings.start is None else (settings.start - EPOCH).days
    high = np.inf if settings.end is None else (settings.end - EPOCH).days + 1
    headers = headers[(headers["juld"] >= low) & (headers["juld"] < high)]
    made: list[Month] = []
    for first in _months(settings, en4, headers):
        month = _month(first, en4, headers, argo_files, held, recipe, failures)
        if month is not None:
            made.append(month)
    if not made and not failures:
        begin, end = settings.start or "the beginning", settings.end or "the end"
        raise PlanError(f"no profile lies between {begin} and {end}: correct `start` and `end`")
    return EnrichPlan(
        settings=settings,
        recipe=recipe,
        months=tuple(made),
        failures=tuple(failures),
        undated=dict(undated),
        notes=(*notes, *said),
        **_costs(made, held, len(depth)),
    )


def _held(archive: ArchiveSettings | None) -> dict[str, Holding]:
    if archive is None:
        return {}
    unknown = [name for name in archive.products if name not in PRODUCTS]
    if unknown:
        raise ConfigError(f"archive.products: there is no product {unknown[0]!r}: known are {', '.join(PRODUCTS)}")
    found = holdings(read_inventory(archive), archive.products)
    for name, holding in found.items():
        if holding.form is None:
            raise ArchiveError(
                f"no file of product {name!r} can be used ({next(iter(holding.unusable.values()))}): mend them, or "
                "leave the product out"
            )
    return {name: found[name] for name in PRODUCTS if name in found}


def _depth(settings: ProfilesSettings, held: dict[str, Holding]) -> tuple[float, ...]:
    """The depth axis of the dense fields; the profiles are aligned to it."""
    form = held["glorys"].form if "glorys" in held else None
    native = () if form is None else form.depth
    if settings.depth is None:
        return native or GLORYS_DEPTH
    if native and not np.array_equal(np.array(native, "f4"), np.array(settings.depth, "f4")):
        raise ConfigError(
            f"`depth` has {len(settings.depth)} levels, {settings.depth[0]:g}..{settings.depth[-1]:g} m, but the "
            f"archive's GLORYS files have {len(native)}, {native[0]:g}..{native[-1]:g} m: leave `depth` out"
        )
    return settings.depth


def _argo_headers(
    settings: ProfilesSettings,
) -> tuple[dict[str, ProfileFile], pd.DataFrame, list[StepFailure], list[str]]:
    """Files by path, header rows of all profiles, and what could not be read or is unusual."""
    failures: list[StepFailure] = []
    notes: list[str] = []
    tables: list[pd.DataFrame] = []
    files = [] if settings.argo is None else list_profile_files(settings.argo.root, "argo", settings.argo.files)
    batches = [tuple(files[start : start + _BATCH]) for start in range(0, len(files), _BATCH)]
    for table, failed, said in run_local(read_header_batch, batches, scheduler="processes"):
        tables.append(table)
        failures += failed
        notes += said
    return {file.path: file for file in files}, joined(tables), failures, shortened(notes)


def read_header_batch(files: tuple[ProfileFile, ...]) -> tuple[pd.DataFrame, list[StepFailure], list[str]]:
    """Header rows of some files, one below the other; what cannot be read is a failure of its own."""
    tables: list[pd.DataFrame] = []
    failures: list[StepFailure] = []
    notes: list[str] = []
    for file in files:
        try:
            table, said = read_headers(file)
        except SourceError as error:
            failures.append(StepFailure("files", f"{file.kind}/{file.path}", type(error).__name__, str(error)))
            continue
        tables.append(table)
        notes += said
    return joined(tables), failures, notes


def _months(settings: ProfilesSettings, en4: dict[dt.date, ProfileFile], headers: pd.DataFrame) -> list[dt.date]:
    days = np.unique(np.floor(headers["juld"].to_numpy()).astype(np.int64))
    found = {(EPOCH + dt.timedelta(days=int(day))).replace(day=1) for day in days}
    return sorted(found | set(en4))


def _month(
    first: dt.date,
    en4: dict[dt.date, ProfileFile],
    headers: pd.DataFrame,
    argo_files: dict[str, ProfileFile],
    held: dict[str, Holding],
    recipe: ProfileRecipe,
    failures: list[StepFailure],
) -> Month | None:
    low, high = (first - EPOCH).days, (next_month(first) - EPOCH).days
    rows, near = argo_of_month(headers, first)
    days = [
        day for day in range(low, high)
        if (recipe.start is None or day >= (recipe.start - EPOCH).days)
        and (recipe.end is None or day <= (recipe.end - EPOCH).days)
    ]  # fmt: skip
    fields: list[FieldFiles] = []
    for holding in held.values():
        matched = match_files(holding, days, recipe.max_gap_days)
        if isinstance(matched, str):
            failures.append(StepFailure("months", f"{first:%Y-%m}", "ArchiveError", matched))
            return None
        fields.append(matched)
    paths = set(rows["path"]) | set(near["path"])
    return Month(
        first=first,
        en4=en4.get(first),
        argo=rows,
        argo_near=near,
        argo_files={path: argo_files[path] for path in sorted(paths)},
        fields=tuple(fields),
    )


def match_files(holding: Holding, days: list[int], max_gap_days: int) -> FieldFiles | str:
    """The files of a product that are nearest to some days; or why one that is needed cannot be used."""
    known = holding.known_dates
    index, status = matched_dates(days, np.array([(date - EPOCH).days for date in known], np.int64), max_gap_days)
    bad = [holding.unusable[known[i]] for i in sorted({*index.tolist()} - {-1}) if known[i] in holding.unusable]
    if bad:
        return f"{bad[0]}, or remove it from the archive"
    assert holding.form is not None  # some file is usable: else there would be no plan
    used = sorted({*index.tolist()} - {-1})
    place = {known_index: number for number, known_index in enumerate(used)}
    return FieldFiles(
        product=holding.product.name,
        latitude=holding.form.latitude,
        longitude=holding.form.longitude,
        levels=len(holding.form.depth),
        sources=tuple(holding.by_date[known[i]] for i in used),
        match={
            day: (place.get(i, -1), int(state))
            for day, i, state in zip(days, index.tolist(), status.tolist(), strict=True)
        },
        references=holding.references,
    )


def slice_rows(levels: int) -> int:
    """Profiles that are held at once: fewer where there are more levels than the reanalysis has."""
    return min(_SLICE_ROWS, _SLICE_ROWS * len(GLORYS_DEPTH) // levels)


def _costs(months: list[Month], held: dict[str, Holding], levels: int) -> dict[str, Any]:
    profiles = {used.path: used.bytes for month in months for used in month.used if used.kind in ("en4", "argo")}
    numbers = fields = 0
    for month in months:
        for files in month.fields:
            form = held[files.product].form
            assert form is not None
            cells = form.latitude.size * form.longitude.size
            sampled = [max(files.levels, 1) if variable.levels else 1 for variable in PRODUCTS[files.product].sampled]
            numbers += len(files.sources) * cells * sum(sampled)
            fields += sum(source.bytes for source in files.sources)
    rows = [(0 if month.en4 is None else _profiles_in(month.en4)) + len(month.argo) for month in months]
    held_rows = min(slice_rows(levels), max(rows, default=0))
    return {
        "bytes_of_profiles": sum(profiles.values()),
        "bytes_of_fields": fields,
        "cpu_seconds": sum(rows) * _PROFILE_SECONDS + numbers * _READ_SECONDS / 1e6,
        "peak_memory": round(_WORKER_BASE + held_rows * (_ROW_BYTES + levels * _LEVEL_BYTES)),
    }


def _profiles_in(file: ProfileFile) -> int:
    """About how many profiles an EN4 file has, by its size: deflated, or classic with all of its 400 slots."""
    try:
        with open_binary(file.url, file.bytes) as stream:
            classic = stream.read(3) == b"CDF"
    except Exception:  # remote drivers raise classes of their own; its month will say what is wrong
        return 0
    return file.bytes // (_CLASSIC_BYTES if classic else _DEFLATED_BYTES)


def check_memory(planned: EnrichPlan, worker_memory: int, remedy: str) -> None:
    """Refuse a plan that a worker's memory cannot hold; ``remedy`` says where a worker gets more.

    Raises:
        PlanError: with the projected peak, the limit, and what would help.
    """
    if planned.peak_memory > worker_memory:
        raise PlanError(
            f"a worker would need about {planned.peak_memory / 1e9:.2f} GB and may use {worker_memory / 1e9:.2f} GB: "
            + remedy
        )
