"""``oceanrecon regions coverage``: which days of which sources there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from oceanrecon.cli.common import ConfigPath, JsonOption, SetOption, console, show_json, table


def coverage_command(
    config: ConfigPath,
    missing: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write a table of missing days: .parquet or .csv.")
    ] = None,
    picture: Annotated[str | None, typer.Option(metavar="FILE", help="Draw a timeline: .png.")] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show which days each source has in each region, and which are missing.

    Example: `oceanrecon regions coverage configs/regions.yaml --missing missing.csv --picture timeline.png`
    """
    from oceanrecon.config import load_settings
    from oceanrecon.pipeline.regions.coverage import coverage, write_table
    from oceanrecon.region_config import RegionSettings
    from oceanrecon.stores.tile_inventory import read_inventory

    settings = load_settings(RegionSettings, config, tuple(overrides or ()))
    # where no sources are chosen, those count that there are
    sources = settings.sources if "sources" in settings.model_fields_set else ()
    found = coverage(read_inventory(settings.output), settings.start, settings.end, sources)
    written = [] if missing is None else [write_table(missing, found.missing)]
    if picture is not None:
        from oceanrecon.plots.maps import png_bytes
        from oceanrecon.plots.timeline import draw_timeline
        from oceanrecon.stores.files import Root

        path = Path(picture).absolute()
        root = Root(str(path.parent))
        root.write(path.name, png_bytes(draw_timeline(found)))
        written.append(str(path))
    if as_json:
        show_json(
            {
                "start": found.start, "end": found.end, "coverage": found.table.to_dict("records"),
                "missing": len(found.missing), "written": written,
            }
        )  # fmt: skip
        return
    rows = [
        (row["data_source"], row["region"], str(row["first"] or "-"), str(row["last"] or "-"), f"{row['n_dates']:,}",
         f"{row['n_missing']:,}", f"{row['longest_gap']:,}")
        for row in found.table.to_dict("records")
    ]  # fmt: skip
    table(
        f"{found.start} to {found.end}",
        ["source", "region", "first", "last", "days", "missing", "longest gap"],
        rows,
        whole=2,
    )
    for path_written in written:
        console.print(f"wrote {path_written}", soft_wrap=True)
