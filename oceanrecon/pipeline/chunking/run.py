"""Runs a benchmark on a cluster: layout by layout, each kept as soon as it is measured."""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import Any

from distributed import Client, Future, wait
from distributed.client import ClosedClientError
from distributed.comm.core import CommClosedError

from oceanrecon.access.systems import file_system
from oceanrecon.bench_config import SYNTHETIC, BenchPlace, ChunksBench
from oceanrecon.errors import ClusterError, ConfigError, OceanreconError
from oceanrecon.pipeline.chunking.cases import Case, Skipped, expand
from oceanrecon.pipeline.chunking.delayed import delayed_url
from oceanrecon.pipeline.chunking.field import Field, Reads, make_field, random_reads
from oceanrecon.pipeline.chunking.measure import Cost, Meter, PeakMemory
from oceanrecon.pipeline.chunking.read import ReadResult, measure_reads
from oceanrecon.pipeline.chunking.recommend import RULE, Recommendation, recommend
from oceanrecon.pipeline.chunking.results import CaseResult, PlaceResult, WriteResult, dumps, to_csv
from oceanrecon.pipeline.chunking.write import Part, chunks_of, open_writer, parts_of
from oceanrecon.pipeline.guard import Guard
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.stores.files import Root
from oceanrecon.stores.memory import keep_freed_memory

RESULTS, TABLE, PAGE = "results.json", "results.csv", "index.html"
PICTURES = ("layouts.png", "sides.png", "compressors.png")
_FIELD, _CASES, _DATA = "field", "cases", "data"

GUARD = Guard(
    what="chunk benchmark",
    name="bench.yaml",
    fixed=("preset", "size", "source", "variable", "noise", "seed", "places"),
    folders=(_CASES, _FIELD, _DATA),
    files=(RESULTS, TABLE, PAGE, *PICTURES),
)


@dataclass(frozen=True)
class ChunksResult:
    """A benchmark that was run to its end."""

    output: str
    #: dates, levels, height and width of the field
    shape: tuple[int, int, int, int]
    results: tuple[CaseResult, ...]
    skipped: tuple[Skipped, ...]
    recommendations: tuple[Recommendation, ...]
    #: layouts that were measured before
    kept: int
    wall_seconds: float

    @property
    def complete(self) -> bool:
        """Whether no layout failed."""
        return all(result.done for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """What ``results.json`` has."""
        return {
            "output": self.output,
            "field": dict(zip(("dates", "levels", "height", "width"), self.shape, strict=True)),
            "complete": self.complete,
            "wall_seconds": self.wall_seconds,
            "kept": self.kept,
            "rule": RULE,
            "recommended": [one.to_dict() for one in self.recommendations],
            "cases": [result.to_dict() for result in self.results],
            "skipped": [asdict(one) for one in self.skipped],
        }


@dataclass(frozen=True)
class Place:
    """Where layouts are written and read."""

    #: folder or URL that is ours alone, without what is added to it
    url: str
    settings: BenchPlace

    @classmethod
    def of(cls, place: BenchPlace, output: Root, number: int) -> Place:
        """A place of the settings; ``number`` tells two at one URL apart."""
        url = place.url or output.url_of(_DATA)
        token = sha256(output.url.encode()).hexdigest()[:8]
        return cls(f"{url.rstrip('/')}/chunks-{token}-{number}", place)

    @property
    def label(self) -> str:
        """For tables: ``disk``, ``s3 + 20 ms, 80 MB/s``."""
        name = self.url.partition("://")[0] if "://" in self.url else "disk"
        rate = self.settings.megabytes_per_second
        added = [f"{self.settings.latency_ms:g} ms"] if self.settings.latency_ms else []
        added += [] if rate is None else [f"{rate:g} MB/s"]
        return f"{name} + {', '.join(added)}" if added else name

    @property
    def near(self) -> bool:
        """A local disk as it is."""
        return Root(self.url).local_path is not None and not self.settings.slowed

    def root(self, case: Case) -> Root:
        """Of a layout, as it is read and written."""
        url = f"{self.url}/{case.key}"
        if self.near:
            return Root(url)
        return Root(delayed_url(url, self.settings.latency_ms, self.settings.megabytes_per_second or inf))


def resolved(settings: ChunksBench) -> ChunksBench:
    """The settings with paths that mean the same from any working directory, and one worker where no number is given.

    Raises:
        ConfigError: the output is not a folder.
    """
    output = Root(settings.output)
    if output.local_path is None:
        raise ConfigError(
            f"output {settings.output!r}: the results, and the field, belong into a folder that all workers see; an "
            "object store is measured as one of `places`"
        )
    cluster = settings.cluster.model_copy(update={"workers": settings.cluster.workers or 1})
    update: dict[str, object] = {"output": output.url, "cluster": cluster}
    if settings.places is not None:
        update["places"] = tuple(
            place.model_copy(update={"url": place.url and Root(place.url).url}) for place in settings.places
        )
    if settings.source != SYNTHETIC:
        update["source"] = Root(settings.source).url
    return settings.model_copy(update=update)


def check_output(settings: ChunksBench, *, resume: bool, overwrite: bool) -> None:
    """Refuse an output that is not ours to write; changes nothing.

    Args:
        settings: resolved.
        resume: go on with what is there.
        overwrite: replace what is there.

    Raises:
        OutputError: see ``Guard.check``.
    """
    source = None if settings.source == SYNTHETIC else settings.source
    GUARD.check(Root(settings.output), settings, [source], resume=resume, overwrite=overwrite)


def run_chunks(
    settings: ChunksBench,
    client: Client,
    *,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
) -> ChunksResult:
    """Measure every layout that was not measured yet, one after the other, and recommend some.

    Args:
        settings: resolved, with an output that was checked.
        client: of the cluster; one worker with one thread measures best.
        overwrite: measure all of them again.
        on_progress: called after each layout.

    Raises:
        OceanreconError: the source or the output cannot be used, or the cluster went away. A layout that fails is part
            of the result.
    """
    began = time.monotonic()
    root = Root(settings.output)
    GUARD.prepare(root, settings, overwrite=overwrite)
    field = make_field(settings, Path(root.url_of(_FIELD)))
    reads = random_reads(field, settings)
    places = [Place.of(place, root, number) for number, place in enumerate(settings.all_places)]
    cases, skipped = expand(settings.grids, field.shape, field.encodings)
    client.run(_imported)
    results: list[CaseResult] = []
    kept = 0
    for case in cases:
        known = _known(root, case)
        kept += known is not None
        if known is None:
            known = _measured(case, field, reads, places, client)
            root.write(_path(case), dumps(known.to_dict()))
        results.append(known)
        if on_progress is not None:
            failed = sum(not one.done for one in results)
            on_progress(Progress(len(results), len(cases), kept, failed, case.label))
    for place in places:
        _remove(place.url)
    root.remove_tree(_DATA)
    result = ChunksResult(
        root.url, field.shape, tuple(results), tuple(skipped),
        tuple(recommend(results, settings.all_readers)), kept, time.monotonic() - began,
    )  # fmt: skip
    root.write(TABLE, to_csv(results).encode())
    root.write(RESULTS, dumps(result.to_dict()))
    root.clear_staging()
    return result


def _imported() -> None:
    """Has each worker import what its tasks need: the first layout would pay for it."""


def _path(case: Case) -> str:
    return f"{_CASES}/{case.key}.json"


def _known(root: Root, case: Case) -> CaseResult | None:
    """What was measured before; failures are tried again."""
    if not root.exists(_path(case)):
        return None
    result = CaseResult.from_dict(json.loads(root.read(_path(case))))
    return result if result.done else None


def _measured(case: Case, field: Field, reads: Reads, places: Sequence[Place], client: Client) -> CaseResult:
    dates, levels, height, width = field.shape
    raw, chunks = dates * levels * height * width * case.item_bytes, chunks_of(case, field)
    found = []
    for place in places:
        try:
            found.append(_at(place, case, field, reads, client))
        except ClusterError:
            raise
        except Exception as error:  # of any library: the other layouts are worth measuring all the same
            kind = "" if isinstance(error, OceanreconError) else f"{type(error).__name__}: "
            return CaseResult(case, raw, chunks, (), f"{place.label}: {kind}{error}")
    return CaseResult(case, raw, chunks, tuple(found))


def _at(place: Place, case: Case, field: Field, reads: Reads, client: Client) -> PlaceResult:
    folder = f"{place.url}/{case.key}"
    _remove(folder)  # what an interrupted run left
    try:
        root = place.root(case)
        open_writer(case, field, root).create()
        parts = parts_of(case, field)
        with _futures(client) as futures:
            written, submission, execution = _write(case, field, root, parts, not place.near, client, futures)
            stored = _stored(Root(folder))
            key = f"read-{uuid.uuid4().hex[:8]}-{case.key}"
            arguments = (case, field, root, reads, frozenset(stored), not place.near)
            futures.append(client.submit(read_layout, *arguments, key=key, pure=False))
            found: list[ReadResult] = futures[-1].result()
    finally:
        _remove(folder)
    write = WriteResult(
        tasks=len(parts),
        submission_seconds=submission,
        execution_seconds=execution,
        wall_seconds=sum(cost.wall_seconds for cost, _ in written),
        cpu_seconds=sum(cost.cpu_seconds for cost, _ in written),
        requests=sum(cost.requests for cost, _ in written),
        peak_bytes=max(peak for _, peak in written),
        objects=len(stored),
        stored_bytes=sum(stored.values()),
    )
    return PlaceResult(place.label, place.near, write, tuple(found))


def _write(
    case: Case, field: Field, root: Root, parts: Sequence[Part], far: bool, client: Client, futures: list[Future[Any]]
) -> tuple[list[tuple[Cost, int]], float, float]:
    """What each task took, and the seconds until the scheduler had all, and from then until they were done."""
    run = uuid.uuid4().hex[:8]
    began = time.perf_counter()
    for number, part in enumerate(parts):
        key = f"write-{run}-{case.key}-{number}"
        futures.append(client.submit(write_part, case, field, root, part, far, key=key, pure=False))
    keys = [future.key for future in futures]
    while client.run_on_scheduler(_count_known, keys=keys) < len(keys):
        time.sleep(0.002)
    submitted = time.perf_counter()
    wait(futures)
    executed = time.perf_counter()
    written: list[tuple[Cost, int]] = client.gather(futures)
    return written, submitted - began, executed - submitted


def _count_known(keys: Sequence[Any], dask_scheduler: Any = None) -> int:
    return sum(key in dask_scheduler.tasks for key in keys)


def write_part(case: Case, field: Field, root: Root, part: Part, far: bool) -> tuple[Cost, int]:
    """Write one object; what it took, and how far the memory rose."""
    keep_freed_memory()
    values = part.values(field, case)
    writer = open_writer(case, field, root)
    peak = PeakMemory()
    _, cost = Meter(far=far, threads=case.writer == "zarr-python", writes=True).measure(
        lambda: writer.write(part, values)
    )
    return cost, peak.bytes


def read_layout(
    case: Case, field: Field, root: Root, reads: Reads, written: frozenset[str], far: bool
) -> list[ReadResult]:
    """All reads of a layout."""
    keep_freed_memory()  # as in the processes of a loader, which no nanny has started
    return measure_reads(case, field, root, reads, written, far=far)


@contextmanager
def _futures(client: Client) -> Iterator[list[Future[Any]]]:
    """Tasks that are taken back in any case; they may still be running.

    Raises:
        ClusterError: the cluster went away.
    """
    futures: list[Future[Any]] = []
    try:
        yield futures
    except (CancelledError, ClosedClientError, CommClosedError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ClusterError(
            f"the connection to the Dask cluster was lost ({reason}): see that its scheduler runs, then run the same "
            "command again with --resume"
        ) from error
    finally:
        with suppress(ClosedClientError, CommClosedError):
            client.cancel(futures)


def _stored(root: Root) -> dict[str, int]:
    """Bytes of the objects below a root, by path."""
    if root.local_path is not None:
        return {path: os.path.getsize(root.url_of(path)) for path in root.list()}
    files, top = file_system(root.url)
    files.invalidate_cache()
    found = files.find(top, detail=True)
    return {str(path)[len(top.rstrip("/")) + 1 :]: int(entry["size"]) for path, entry in found.items()}


def _remove(url: str) -> None:
    parent, _, name = url.rpartition("/")
    root = Root(parent)
    root.remove_tree(name)
