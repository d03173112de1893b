"""``oceanrecon regions duplicates``: files that would take the same place in a dataset."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from oceanrecon.cli.common import ConfigPath, JsonOption, SetOption, console, show_json, table


def duplicates_command(
    config: ConfigPath,
    report: Annotated[str, typer.Option(metavar="FILE", help="Where the report goes: .parquet or .csv.")],
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Look for files of one day, region and source that would take the same place in a dataset; ends with 1 for some.

    Only days from `start` to `end` are looked at. The report is written in any case.

    Example: `oceanrecon regions duplicates configs/regions.yaml --report duplicates.parquet`
    """
    from oceanrecon.config import load_settings
    from oceanrecon.pipeline.regions.coverage import duplicates, write_table
    from oceanrecon.region_config import RegionSettings
    from oceanrecon.stores.tile_inventory import read_inventory

    settings = load_settings(RegionSettings, config, tuple(overrides or ()))
    inventory = read_inventory(settings.output)
    found = duplicates(inventory, settings.start, settings.end, settings.sources)
    where = write_table(report, found)
    places = len(found.drop_duplicates(["date", "region", "sample_id"]))
    if as_json:
        show_json({"report": where, "files": len(found), "places": places})
    else:
        columns = ("date", "region", "sample_id", "relative_path")
        rows = [tuple(escape(str(row[name])) for name in columns) for row in found.to_dict("records")]
        if rows:
            table(f"{len(found):,} files for {places:,} places", ["date", "region", "sample", "file"], rows, whole=3)
        console.print(f"{len(found):,} files are in each other's place; {where}", soft_wrap=True)
    if places:
        raise typer.Exit(1)
