"""``oceanrecon patches``: one file per command."""

from __future__ import annotations

import typer

from oceanrecon.cli.patches import grid, index, prove, stats, write

patches_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Patches of the grid: which there are, at which dates, for what; and training samples made of them.",
)
patches_app.command("grid")(grid.grid_command)
patches_app.command("index")(index.index_command)
patches_app.command("prove")(prove.prove_command)
patches_app.command("stats")(stats.stats_command)
patches_app.command("write")(write.write_command)
