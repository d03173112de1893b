"""``oceanrecon taco``: one file per command."""

from __future__ import annotations

import typer

from oceanrecon.cli.taco import build, query, statistics, verify

taco_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="A TACO dataset of regional tiles: one table of contents, for many readers.",
)
taco_app.command("build")(build.build_command)
taco_app.command("verify")(verify.verify_command)
# negative longitudes and latitudes are values, not options
taco_app.command("query", context_settings={"ignore_unknown_options": True})(query.query_command)
taco_app.command("statistics")(statistics.statistics_command)
