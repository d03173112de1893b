"""``oceanrecon taco statistics``: what the values of variables are, for normalising them."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Annotated

import typer

from oceanrecon.cli.common import JsonOption, console, show_json, table
from oceanrecon.cli.progress import ProgressBar
from oceanrecon.cli.taco.options import TacoPath, day, names


def statistics_command(
    dataset: TacoPath,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="JSON file to write.")],
    dates: Annotated[
        tuple[str, str] | None, typer.Option(help="First and last day, YYYY-MM-DD: those that are trained on.")
    ] = None,
    variables: Annotated[
        str | None, typer.Option(help="With commas, as of `taco query`; default: all that have a name and a value.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compute mean, deviation, 2nd and 98th percentile and range of variables: what a dataset is normalised by.

    Example: `oceanrecon taco statistics taco -o statistics.json --dates 2023-04-01 2023-04-10`
    """
    from oceanrecon.samples.regional.query import open_taco
    from oceanrecon.samples.regional.statistics import statistics_of, write_statistics

    wanted = None if variables is None else names(variables)
    days = None
    if dates is not None:
        first, last = (day(text) for text in dates)
        days = [first + dt.timedelta(days=number) for number in range((last - first).days + 1)]
    with ProgressBar("files", silent=as_json) as bar:
        found = statistics_of(open_taco(dataset), wanted, days, on_file=bar.show)
    write_statistics(output, found)
    if as_json:
        show_json({token: asdict(one) for token, one in found.items()})
        return
    rows = [
        (token, f"{one.count:,}", *(f"{number:.4g}" for number in (one.mean, one.std, one.p2, one.p98)))
        for token, one in found.items()
    ]
    table("values", ["variable", "count", "mean", "deviation", "2 %", "98 %"], rows, whole=1)
    console.print(f"wrote {output}", soft_wrap=True)
