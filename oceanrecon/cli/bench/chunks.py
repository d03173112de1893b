"""``oceanrecon bench chunks``: which chunks, shards, codecs and stores for which readers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oceanrecon.cli.common import (
    ConfigPath,
    JsonOption,
    OverwriteOption,
    ResumeOption,
    SchedulerOption,
    SetOption,
    TlsOption,
    console,
    duration,
    show_json,
    table,
)
from oceanrecon.cli.on_cluster import end_with, on_cluster
from oceanrecon.cli.progress import ProgressBar

if TYPE_CHECKING:
    from oceanrecon.pipeline.chunking.run import ChunksResult


def chunks_command(
    config: ConfigPath,
    scheduler: SchedulerOption = None,
    tls: TlsOption = None,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write and read one field in many layouts, and say which suits which kind of reader.

    Chunks, shards, compressors, types of numbers, zarr and GeoTIFF; a random patch with all levels, a map, a time
    series; on a disk and, with time added to each request, as from far away. Every number that is read is compared.

    Example: `oceanrecon bench chunks configs/bench-chunks.yaml --set preset=medium`
    """
    from oceanrecon.bench_config import ChunksBench
    from oceanrecon.plots.chunking import draw_chunks
    from oceanrecon.service.chunking import bench_chunks

    result = on_cluster(
        bench_chunks, ChunksBench, config, overrides, "layouts",
        scheduler=scheduler, tls=tls, resume=resume, overwrite=overwrite, silent=as_json,
    )  # fmt: skip
    with ProgressBar("pictures", silent=as_json) as bar:
        page = draw_chunks(result, bar.show)
    if as_json:
        show_json({**result.to_dict(), "page": page})
    else:
        _show(result)
        console.print(f"open [bold]{page}[/] in a browser; all numbers: results.csv beside it", soft_wrap=True)
    end_with([(one.case.label, one.message) for one in result.results if not one.done], "layout", silent=as_json)


def _show(result: ChunksResult) -> None:
    from oceanrecon.plots.chunking_tables import HEAD, measured_rows, place_title, places_of, recommended_rows

    for number, place in enumerate(places_of(result)):
        table(place_title(place), list(HEAD[place.near]), measured_rows(result, number), whole=1)
    if result.skipped:
        table(f"{len(result.skipped)} left out", ["layout", "why"], [(one.label, one.reason) for one in result.skipped])
    head = ["for", "values", "recommended", "in an export's formats", "what is shipped costs", "cheapest of all"]
    table("recommended", head, recommended_rows(result))
    dates, levels, height, width = result.shape
    console.print(
        f"{len(result.results)} layouts of {dates} dates, {levels} levels, {height} x {width} pixels, {result.kept} of "
        f"them measured before, in {duration(result.wall_seconds)}",
        soft_wrap=True,
    )
