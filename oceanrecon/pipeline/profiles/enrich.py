"""Runs an enrichment: one task per month, then one per shard of the flat store, then the manifest."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from distributed import Client

from oceanrecon.config import ArchiveSettings
from oceanrecon.errors import ArchiveError, OutputError
from oceanrecon.pipeline.guard import Guard
from oceanrecon.pipeline.holding import held
from oceanrecon.pipeline.profiles.assemble import assemble, is_done
from oceanrecon.pipeline.profiles.manifest import store_attributes, write_profile_manifest
from oceanrecon.pipeline.profiles.month import make_month, record_failure
from oceanrecon.pipeline.profiles.plan import EnrichPlan, check_memory
from oceanrecon.pipeline.profiles.recipe import SETTINGS, Month
from oceanrecon.pipeline.profiles.schema import ENRICHED
from oceanrecon.pipeline.tasks import Progress, Task, TaskRun, memory_of, more_memory
from oceanrecon.profile_config import ProfilesSettings
from oceanrecon.stores.columns import ColumnLayout
from oceanrecon.stores.files import Root
from oceanrecon.stores.lease import Keeper
from oceanrecon.stores.steps import Step, StepFailure, forget_failures, read_failures, read_steps, write_failure

GUARD = Guard(
    what="profile store",
    name=SETTINGS,
    fixed=("quality", "sampling", "depth", "max_gap_days"),
    folders=("receipts", "failures", "months", ENRICHED, "inspect"),
)


@dataclass(frozen=True)
class EnrichResult:
    """What a run left behind."""

    output: str
    store: str
    profiles: int
    months_made: int
    months_kept: int
    shards_written: int
    failures: tuple[StepFailure, ...]
    #: profiles by what became of them, in all months
    counts: dict[str, int]
    notes: tuple[str, ...]
    bytes_written: int
    wall_seconds: float
    cpu_seconds: float
    #: largest memory of any worker, bytes
    peak_memory: int

    @property
    def complete(self) -> bool:
        """Whether nothing failed."""
        return not self.failures


def resolved(planned: EnrichPlan) -> ProfilesSettings:
    """The settings with paths that mean the same from any working directory."""
    settings = planned.settings

    def absolute(path: str) -> str:
        return Root(path).url

    update: dict[str, object] = {"output": planned.recipe.output}
    for kind in ("en4", "argo"):
        files = getattr(settings, kind)
        if files is not None:
            update[kind] = files.model_copy(update={"root": absolute(files.root)})
    if settings.archive is not None:
        archive: ArchiveSettings = settings.archive
        inventory = archive.inventory and absolute(archive.inventory)
        update["archive"] = archive.model_copy(update={"root": absolute(archive.root), "inventory": inventory})
    if settings.grid is not None:
        update["grid"] = settings.grid.model_copy(update={"export": absolute(settings.grid.export)})
    if settings.package is not None:
        update["package"] = settings.package.model_copy(update={"output": absolute(settings.package.output)})
    return settings.model_copy(update=update)


def check_output(planned: EnrichPlan, *, resume: bool, overwrite: bool) -> None:
    """Refuse an output that is not ours to write; changes nothing.

    Raises:
        OutputError: see ``Guard.check``; or it has months of other columns or depths that would not be made again.
    """
    settings = resolved(planned)
    sources = (settings.en4, settings.argo, settings.archive)
    reads = [source.root for source in sources if source is not None]
    if settings.archive is not None and settings.archive.inventory is not None:
        reads.append(settings.archive.inventory)
    root = Root(planned.recipe.output)
    GUARD.check(root, settings, reads, resume=resume, overwrite=overwrite)
    if overwrite:
        return
    again = {month.name for month in planned.months} | {failure.name for failure in planned.failures}
    done, _ = read_steps(root, "months")
    others = [name for name, step in done.items() if name not in again and step.form != planned.recipe.form]
    if others:
        raise OutputError(
            f"{root.url} has {len(others)} months such as {others[0]} with other columns or depths, and they would not "
            "be made again: choose `start` and `end` so that they are, or the products and depths of before, or "
            "--overwrite"
        )


def run_enrich(
    planned: EnrichPlan,
    client: Client,
    *,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> EnrichResult:
    """Carry out a plan with the workers of a Dask client.

    Every file appears under its name complete or not at all. A month that fails is recorded and does not stop the
    others; a run that was killed goes on with ``resume``, which makes only the months that are missing or whose
    sources changed, and rewrites the store from the first changed row on.

    Raises:
        LeaseError: another run writes there.
        PlanError: a worker's memory is too small; nothing has been written then.
        OutputError: the output exists, belongs to other settings, or cannot be written (a full disk).
        ClusterError: the cluster went away.
    """
    check_memory(planned, memory_of(client), more_memory(client))
    with held(Root(planned.recipe.output), "profiles enrich") as keeper:
        return _run_enrich(planned, client, keeper, resume, overwrite, on_progress)


def _run_enrich(
    planned: EnrichPlan,
    client: Client,
    keeper: Keeper,
    resume: bool,
    overwrite: bool,
    on_progress: Callable[[Progress], None] | None,
) -> EnrichResult:
    started = time.perf_counter()
    check_output(planned, resume=resume, overwrite=overwrite)
    recipe = planned.recipe
    root = Root(recipe.output)
    settings = resolved(planned)
    GUARD.prepare(root, settings, overwrite=overwrite)
    GUARD.write(root, settings)
    failures = _planned_failures(root, planned)
    done, _ = read_steps(root, "months")
    todo = [month for month in planned.months if not is_done(root, done.get(month.name), month.key(recipe))]
    _forget_mended(root, planned, {month.name for month in todo})
    kept = len(planned.months) - len(todo)
    made: list[Step] = []
    with TaskRun(client, root, check=keeper.check, owns=keeper.owns, hold=keeper.hold) as run:
        tasks = [Task("profiles", month.name, make_month, (month, recipe)) for month in todo]
        total = len(planned.months) + 1

        def tell(ended: int, message: str) -> None:
            if on_progress is not None:
                on_progress(Progress(kept + ended, total, kept, len(failures), message))

        for number, outcome in enumerate(run.outcomes(tasks), start=1):
            month: Month = outcome.task.arguments[0]
            value = outcome.value if outcome.error is None else record_failure(root, month.name, outcome.error)
            if isinstance(value, StepFailure):
                failures.append(value)
            else:
                made.append(value)
            tell(number, f"month {month.name}")
        known = {failure.name for failure in failures}
        # Argo files whose levels turned out to be damaged: their months are made of the others
        failures += [found for found in read_failures(root) if found.kind == "files" and found.name not in known]
        months, _ = read_steps(root, "months")
        layout = ColumnLayout(recipe.columns, recipe.depth)
        assembled = assemble(
            run, root, ENRICHED, layout, months.values(),
            attributes=lambda keys: store_attributes(planned, months, keys),
            on_shard=lambda message: tell(len(todo), message),
        )  # fmt: skip
        failures += assembled.failures
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        write_profile_manifest(root, planned, assembled.rows, workers=workers, resume=resume)
        tell(len(todo) + 1, "store and manifest")
    said = [note for step in made for note in step.notes]
    counts: Counter[str] = Counter(planned.undated)
    for step in months.values():
        counts.update(step.counts)
    steps = [*made, *assembled.written]
    return EnrichResult(
        output=root.url,
        store=root.url_of(ENRICHED),
        profiles=assembled.rows,
        months_made=len(made),
        months_kept=kept,
        shards_written=len(assembled.written),
        failures=tuple(failures),
        counts=dict(sorted(counts.items())),
        notes=tuple(dict.fromkeys([*_left(planned, months), *planned.notes, *said])),
        bytes_written=sum(file.bytes for step in steps for file in step.files),
        wall_seconds=time.perf_counter() - started,
        cpu_seconds=sum(step.timing["cpu"] for step in steps),
        peak_memory=int(max((step.timing["peak_memory_bytes"] for step in made), default=0)),
    )


def _left(planned: EnrichPlan, months: dict[str, Step]) -> list[str]:
    """Months of earlier runs that this one was not asked for."""
    asked = {month.name for month in planned.months} | {failure.name for failure in planned.failures}
    left = [name for name in months if name not in asked]
    return [f"{len(left)} months of earlier runs stay in the store, {left[0]} to {left[-1]}"] if left else []


def _forget_mended(root: Root, planned: EnrichPlan, todo: set[str]) -> None:
    """Forget the failures of months that are done (a kill may leave both), or whose files were taken away."""
    start, end = planned.recipe.start, planned.recipe.end
    first, last = f"{start:%Y-%m}" if start else "", f"{end:%Y-%m}" if end else "9999"
    bad = todo | {failure.name for failure in planned.failures}
    forget_failures(root, "months", lambda name: first <= name <= last and name not in bad)


def _planned_failures(root: Root, planned: EnrichPlan) -> list[StepFailure]:
    """Record what the plan could not do; profile files that can be read again are forgotten."""
    forget_failures(root, "files", lambda _: True)
    for failure in planned.failures:
        if failure.kind == "months":
            record_failure(root, failure.name, ArchiveError(failure.message))
        else:
            write_failure(root, failure)
    return list(planned.failures)
