"""The ``oceanrecon`` command and its subcommands."""

from __future__ import annotations

from typing import Annotated

import typer

from oceanrecon import __version__
from oceanrecon.cli import (
    download,
    explain,
    export,
    inspect,
    inventory,
    landmask,
    plan,
    quicklook,
    statistics,
    synthesize,
    verify,
    virtualize,
)
from oceanrecon.cli.bench import bench_app
from oceanrecon.cli.cluster import cluster_app
from oceanrecon.cli.jobs import cancel, show, submit
from oceanrecon.cli.patches import patches_app
from oceanrecon.cli.profiles import profiles_app
from oceanrecon.cli.regions import regions_app
from oceanrecon.cli.taco import taco_app
from oceanrecon.cli.training import diagnose, evaluate, reconstruct, train

app = typer.Typer(
    name="oceanrecon",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    help="From archives of ocean NetCDF files to one aligned, quantised, verified training set, on a Dask cluster.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"oceanrecon {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None: ...


app.command("synthesize")(synthesize.synthesize_command)
app.command("download")(download.download_command)
app.command("landmask")(landmask.landmask_command)
app.command("inventory")(inventory.inventory_command)
app.command("virtualize")(virtualize.virtualize_command)
app.command("plan")(plan.plan_command)
app.command("export")(export.export_command)
app.command("submit")(submit.submit_command)
app.command("jobs")(show.jobs_command)
app.command("watch")(show.watch_command)
app.command("logs")(show.logs_command)
app.command("cancel")(cancel.cancel_command)
app.command("resume")(submit.resume_command)
app.command("inspect")(inspect.inspect_command)
app.add_typer(profiles_app, name="profiles")
app.add_typer(patches_app, name="patches")
app.command("train")(train.train_command)
app.command("evaluate")(evaluate.evaluate_command)
app.command("diagnose")(diagnose.diagnose_command)
# negative longitudes and latitudes are values, not options
app.command("reconstruct", context_settings={"ignore_unknown_options": True})(reconstruct.reconstruct_command)
app.add_typer(regions_app, name="regions")
app.add_typer(taco_app, name="taco")
app.add_typer(bench_app, name="bench")
app.add_typer(cluster_app, name="cluster")
app.command("statistics")(statistics.statistics_command)
app.command("verify")(verify.verify_command)
app.command("quicklook")(quicklook.quicklook_command)
# negative longitudes and latitudes are arguments, not options
app.command("explain", context_settings={"ignore_unknown_options": True})(explain.explain_command)
