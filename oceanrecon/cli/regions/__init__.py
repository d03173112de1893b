"""``oceanrecon regions``: one file per command."""

from __future__ import annotations

import typer

from oceanrecon.cli.regions import coverage, duplicates, format

regions_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Daily files of many sources, cut into eight regions, and their inventory.",
)
regions_app.command("format")(format.format_command)
regions_app.command("coverage")(coverage.coverage_command)
regions_app.command("duplicates")(duplicates.duplicates_command)
