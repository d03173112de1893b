"""The task: makes one month, its profiles aligned and the fields sampled beside them, and leaves a receipt.

A month is worked through in slices of a bounded number of profiles, each written as one Parquet file, so that memory
does not grow with the month. A slice ends, where it can, between the days of two reanalysis files: their chunks are
read once.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from oceanrecon.errors import ArchiveError, OceanreconError, OutputError, SourceError
from oceanrecon.grid.times import EPOCH
from oceanrecon.pipeline.profiles.plan import slice_rows
from oceanrecon.pipeline.profiles.recipe import FieldFiles, Month, ProfileRecipe, shortened
from oceanrecon.pipeline.profiles.schema import sampled_name, status_name
from oceanrecon.sources.identity import position_rejected_reason
from oceanrecon.sources.months import MEASURED, in_order, month_headers, read_aligned, turned
from oceanrecon.sources.profiles import LevelReader, ProfileFile
from oceanrecon.sources.registry import product as find_product
from oceanrecon.sources.sample import sample_file
from oceanrecon.stores.files import Root
from oceanrecon.stores.memory import forget_peak, keep_freed_memory, peak_memory
from oceanrecon.stores.part import encode_part, encode_table
from oceanrecon.stores.steps import Step, StepFailure, StoredFile, step_path, write_failure, write_step

#: Profiles whose measured levels are held at once: 400 slots of them are 40 MB.
_BATCH = 4096
_LIBRARIES = ("oceanrecon", "numpy", "netCDF4", "gsw", "h5py", "pyarrow", "numba")
_Columns = dict[str, NDArray[Any]]


def make_month(month: Month, recipe: ProfileRecipe) -> Step | StepFailure | OutputError:
    """Make one month and write its parts, then its receipt.

    What goes wrong is returned, since dask would log a traceback of what is raised: a failure, which is recorded, or
    the error that nothing can be written any more, so that the whole run has to stop.
    """
    keep_freed_memory()
    forget_peak()
    root = Root(recipe.output)
    try:
        try:
            return _make_of_good_files(root, month, recipe)
        except OutputError:
            raise
        except (OceanreconError, MemoryError, ValueError, OSError, RuntimeError) as error:
            return record_failure(root, month.name, error)
    except OutputError as error:
        return error


class _BadArgoFile(SourceError):
    """Levels of an Argo file cannot be read."""

    def __init__(self, path: str, error: SourceError) -> None:
        super().__init__(str(error))
        self.path = path


def _make_of_good_files(root: Root, month: Month, recipe: ProfileRecipe) -> Step:
    """The month, without Argo files whose levels cannot be read: each is a recorded failure of its own."""
    bad: dict[str, StepFailure] = {}
    while True:
        try:
            step = _make(root, month, recipe, whole=not bad)
        except _BadArgoFile as error:
            bad[error.path] = StepFailure("files", f"argo/{error.path}", "SourceError", str(error))
            # EN4 may have the same profiles: they are no duplicates any more
            month = replace(
                month,
                argo=month.argo[month.argo["path"] != error.path].reset_index(drop=True),
                argo_near=month.argo_near[month.argo_near["path"] != error.path].reset_index(drop=True),
            )
            continue
        for failure in bad.values():
            write_failure(root, failure)
        return step


def record_failure(root: Root, month: str, error: BaseException) -> StepFailure:
    """Record that a month cannot be made.

    What an earlier run made of it goes where its sources are bad, and stays where the trouble is of the moment (memory,
    a lost worker): its receipt says that it is of other sources, so that the next run makes it again.

    Raises:
        OutputError: it cannot be recorded.
    """
    failure = StepFailure("months", month, type(error).__name__, str(error) or repr(error))
    bad = isinstance(error, SourceError | ArchiveError)
    write_failure(root, failure, keep=not bad)
    if bad:
        root.remove_tree(f"months/{month}")
    return failure


def _make(root: Root, month: Month, recipe: ProfileRecipe, *, whole: bool) -> Step:
    """The month; one that is not ``whole`` has no key, so that the next run makes it again."""
    started, cpu = time.perf_counter(), time.process_time()
    notes: list[str] = []
    rows, rejected, outside = _rows(month, recipe, notes)
    timing = dict.fromkeys(("align", "sample", "sample_read"), 0.0)
    files: list[StoredFile] = []
    most = slice_rows(len(recipe.depth))
    for number, (start, stop) in enumerate(_slices(month, rows, most)):
        part = rows.iloc[start:stop].reset_index(drop=True)
        columns = _identity_columns(part)
        clock = time.process_time()
        columns |= _aligned(part, month, recipe, notes)
        timing["align"] += time.process_time() - clock
        clock = time.process_time()
        for fields in month.fields:
            columns |= _sampled(part, fields, recipe, notes, timing)
        timing["sample"] += time.process_time() - clock
        if number == 0:
            _forget(root, month)
        path = f"months/{month.name}/{number:04d}.parquet"
        files.append(_write(root, path, encode_part(recipe.columns, columns), stop - start))
    if not files:
        _forget(root, month)
    counts = dict(sorted(Counter(rejected["reason"].tolist()).items()))
    files.append(_write(root, f"months/{month.name}/rejected.parquet", encode_table(rejected), 0))
    _remove_others(root, month.name, files)
    timing |= {
        "wall": round(time.perf_counter() - started, 3),
        "cpu": round(time.process_time() - cpu, 3),
        "peak_memory_bytes": peak_memory(),
    }
    step = Step(
        kind="months",
        name=month.name,
        key=month.key(recipe) if whole else "",
        files=tuple(files),
        sources=month.used,
        counts={"accepted": len(rows), **_accepted_by_kind(rows), "outside_dates": outside, **counts},
        notes=tuple(shortened(notes)),
        timing={name: round(value, 3) for name, value in timing.items()},
        versions={name: version(name) for name in _LIBRARIES},
        form=recipe.form,
        days=tuple(int(f"{day:%Y%m%d}") for day in month.days(recipe)),
    )
    write_step(root, step)
    return step


def _forget(root: Root, month: Month) -> None:
    """No receipt may tell of files that are being replaced: a run that is killed then makes the month again."""
    root.remove(step_path("receipts", "months", month.name))


def _write(root: Root, path: str, data: bytes, rows: int) -> StoredFile:
    root.write(path, data)
    return StoredFile(path, len(data), hashlib.sha256(data).hexdigest(), rows)


def _remove_others(root: Root, month: str, files: list[StoredFile]) -> None:
    """Parts of an earlier, longer version of the month."""
    for path in set(root.list(f"months/{month}")) - {file.path for file in files}:
        root.remove(path)


def _accepted_by_kind(rows: pd.DataFrame) -> dict[str, int]:
    return {f"accepted_{kind}": int((rows["kind"] == kind).sum()) for kind in ("en4", "argo")}


def _rows(month: Month, recipe: ProfileRecipe, notes: list[str]) -> tuple[pd.DataFrame, pd.DataFrame, int]:
    """Headers of the accepted profiles in the order of the store, those rejected, and how many lie outside the dates.

    Added columns: ``kind``, ``file`` (name without folder), ``day`` (days since 1950-01-01) and ``reason``.
    """
    rows, said = month_headers(
        month.first, month.en4, month.argo, month.argo_near, recipe.quality, recipe.sampling
    )  # fmt: skip
    notes += said
    day = np.floor(rows["juld"].to_numpy())
    outside = np.zeros(len(rows), dtype=bool)  # what has no date is rejected, and not outside
    if recipe.start is not None:
        outside |= day < (recipe.start - EPOCH).days
    if recipe.end is not None:
        outside |= day > (recipe.end - EPOCH).days
    outside &= (rows["reason"] != "date_impossible").to_numpy()
    rows = rows[~outside]
    rejected = rows[rows["reason"] != ""].sort_values(["kind", "path", "profile_idx"], ignore_index=True)
    rows = in_order(rows)
    columns = ["kind", "path", "profile_idx", "platform_number", "cycle_number", "direction", "data_mode", "juld"]
    return rows, rejected[[*columns, "latitude", "longitude", "juld_qc", "position_qc", "reason"]], int(outside.sum())


def _slices(month: Month, rows: pd.DataFrame, most: int) -> Iterator[tuple[int, int]]:
    """Ranges of at most ``most`` rows that end between two files of the first product, where they can."""
    day = rows["day"].to_numpy(dtype=np.int64)
    group = day
    if month.fields:
        match = month.fields[0].match
        group = np.array([match[int(value)][0] for value in day], np.int64)
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if len(rows) else np.empty(0, np.int64)
    start = 0
    while start < len(rows):
        stop = min(start + most, len(rows))
        before = starts[(starts > start) & (starts <= stop)]
        if stop < len(rows) and before.size:
            stop = int(before[-1])
        yield start, stop
        start = stop


def _identity_columns(part: pd.DataFrame) -> _Columns:
    dates = np.array([EPOCH], "datetime64[D]") + part["day"].to_numpy().astype("timedelta64[D]")
    years, months = dates.astype("datetime64[Y]"), dates.astype("datetime64[M]")
    number = (
        (years.astype(np.int64) + 1970) * 10000
        + (months - years).astype(np.int64) * 100 + 100
        + (dates - months).astype(np.int64) + 1
    )  # fmt: skip
    place = np.zeros(len(part), np.int8)
    for kind in ("en4", "argo"):
        mine = (part["kind"] == kind).to_numpy()
        place[mine] = position_rejected_reason(part[mine], kind)
    return {
        "profile_source_file": part["file"].to_numpy(),
        "profile_idx": part["profile_idx"].to_numpy(),
        "source_kind": part["kind"].to_numpy(),
        "platform_number": part["platform_number"].to_numpy(),
        "cycle_number": part["cycle_number"].to_numpy(),
        "direction": part["direction"].to_numpy(),
        "data_mode": part["data_mode"].to_numpy(),
        "profile_date": number,
        "profile_juld": part["juld"].to_numpy(),
        "latitude": part["latitude"].to_numpy(),
        "longitude": turned(part["longitude"].to_numpy()),
        "argo_juld_qc": part["juld_qc"].to_numpy(),
        "argo_position_qc": part["position_qc"].to_numpy(),
        "position_rejected_reason": place,
        "argo_profile_depth_qc": part["profile_depth_qc"].to_numpy(),
        "argo_profile_potm_qc": part["profile_potm_qc"].to_numpy(),
        "argo_profile_psal_qc": part["profile_psal_qc"].to_numpy(),
    }


def _aligned(part: pd.DataFrame, month: Month, recipe: ProfileRecipe, notes: list[str]) -> _Columns:
    """The measured variables on the target depths."""
    shape = (len(part), len(recipe.depth))
    found: _Columns = {"valid_observed_depth_count": np.zeros(len(part), np.int64)}
    for name in MEASURED:
        found[f"argo_{name}_on_glorys_depth"] = np.full(shape, np.nan, np.float32)
    for name in (*MEASURED, "depth"):
        found[f"argo_{name}_qc_on_glorys_depth"] = np.full(shape, -1, np.int8)
    files: dict[tuple[str, str], ProfileFile] = {("argo", path): file for path, file in month.argo_files.items()}
    if month.en4 is not None:
        files["en4", month.en4.path] = month.en4
    for (kind, path), group in part.groupby(["kind", "path"], sort=True):
        file = files[str(kind), str(path)]
        ordered = group.sort_values("profile_idx")
        with LevelReader(file) as reader:
            for start in range(0, len(ordered), _BATCH):
                rows = ordered.iloc[start : start + _BATCH]
                try:
                    levels, aligned = read_aligned(reader, file, rows, recipe.quality, recipe.depth)
                except SourceError as error:
                    if file.kind == "argo":
                        raise _BadArgoFile(file.path, error) from error
                    raise
                notes += levels.notes
                at = rows.index.to_numpy()
                for name, result in aligned.items():
                    if name != "depth":
                        found[f"argo_{name}_on_glorys_depth"][at] = result.values
                    found[f"argo_{name}_qc_on_glorys_depth"][at] = result.flags
                found["valid_observed_depth_count"][at] = np.count_nonzero(levels.depth >= 0, axis=1)
    for name in MEASURED:
        found[f"argo_{name}_valid_on_glorys_depth"] = np.isfinite(found[f"argo_{name}_on_glorys_depth"])
    return found


def _sampled(
    part: pd.DataFrame, fields: FieldFiles, recipe: ProfileRecipe, notes: list[str], timing: dict[str, float]
) -> _Columns:
    """The variables of one product where and when the profiles are."""
    product = find_product(fields.product)
    days, where = np.unique(part["day"].to_numpy(dtype=np.int64), return_inverse=True)
    matched = np.array([fields.match[int(day)] for day in days], np.int64).reshape(-1, 2)[where]
    found: _Columns = {status_name(product): matched[:, 1].astype(np.int8)}
    for variable in product.sampled:
        shape = (len(part), len(recipe.depth)) if variable.levels else (len(part),)
        found[sampled_name(product, variable)] = np.full(shape, np.nan, np.float32)
    latitude, longitude = part["latitude"].to_numpy(), part["longitude"].to_numpy()
    for number, source in enumerate(fields.sources):
        at = np.flatnonzero(matched[:, 0] == number)
        if not at.size:
            continue
        samples = sample_file(
            recipe.archive_root, source, product, (fields.latitude, fields.longitude), fields.levels,
            latitude[at], longitude[at], fields.references,
        )  # fmt: skip
        for variable in product.sampled:
            found[sampled_name(product, variable)][at] = samples.values[variable.name]
        notes += samples.notes
        timing["sample_read"] += samples.read_seconds
    return found
