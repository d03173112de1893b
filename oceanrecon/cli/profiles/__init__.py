"""``oceanrecon profiles``: one file per command."""

from __future__ import annotations

import typer

from oceanrecon.cli.profiles import enrich, grid, inspect, package

profiles_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="In-situ profiles (EN4, Argo): aligned to the model's depths, with the fields beside them, gridded, packaged.",
)
profiles_app.command("plan")(enrich.plan_command)
profiles_app.command("enrich")(enrich.enrich_command)
profiles_app.command("grid")(grid.grid_command)
profiles_app.command("inspect")(inspect.inspect_command)
profiles_app.command("package")(package.package_command)
