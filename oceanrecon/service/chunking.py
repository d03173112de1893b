"""The chunking benchmark from start to end, on a named scheduler or on a local cluster of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from distributed import Client

from oceanrecon.bench_config import ChunksBench
from oceanrecon.config import load_settings
from oceanrecon.pipeline.chunking.run import ChunksResult, check_output, resolved, run_chunks
from oceanrecon.pipeline.tasks import Progress
from oceanrecon.service.connect import connected
from oceanrecon.stores.files import Root


def bench_chunks(
    settings: ChunksBench | str | Path,
    *,
    scheduler: str | None = None,
    tls: str | Path | None = None,
    client: Client | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_progress: Callable[[Progress], None] | None = None,
    on_connect: Callable[[Client], None] | None = None,
) -> ChunksResult:
    """Write and read one field in many layouts, measure what each takes, and recommend one per kind of reader.

    Args:
        settings: of the benchmark, or the path of their YAML file.
        scheduler: address of a running Dask scheduler; default: a local cluster of one worker.
        tls: folder of certificates for a ``tls://`` scheduler; default: ``~/.config/oceanrecon/tls``.
        client: a connected client, instead of ``scheduler``.
        resume: measure only the layouts that are not measured yet.
        overwrite: replace a benchmark that is there.
        on_progress: called after each layout.
        on_connect: called with the client, before anything runs.

    Raises:
        OceanreconError: see ``oceanrecon.pipeline.chunking.run.run_chunks``.
    """
    loaded = settings if isinstance(settings, ChunksBench) else load_settings(ChunksBench, settings)
    chosen = resolved(loaded)
    # refuse before a cluster is started: an answer in a second, and nothing to clean up
    check_output(chosen, resume=resume, overwrite=overwrite)
    with connected(client, scheduler, chosen.cluster, Root(chosen.output), on_connect, tls) as connection:
        return run_chunks(chosen, connection, overwrite=overwrite, on_progress=on_progress)
