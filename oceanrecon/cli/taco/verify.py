"""``oceanrecon taco verify``: whether every file of a dataset is what its tables say."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.filesize import decimal as file_size
from rich.markup import escape

from oceanrecon.cli.common import JsonOption, console, show_json, table
from oceanrecon.cli.progress import ProgressBar
from oceanrecon.cli.taco.options import TacoPath


def verify_command(
    dataset: TacoPath,
    regions: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Compare with the inventory of these regional tiles, too.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Open every file of a dataset and compare it with its tables: sizes, checksums, places; ends with 1 if one is bad.

    Example: `oceanrecon taco verify taco --regions regions`
    """
    from oceanrecon.pipeline.taco.verify import verify_taco

    with ProgressBar("files", silent=as_json) as bar:
        found = verify_taco(dataset, regions, on_file=bar.show)
    if as_json:
        show_json({"good": found.good, **asdict(found)})
    else:
        if found.problems:
            rows = [(problem.kind, escape(problem.path), escape(problem.message)) for problem in found.problems]
            table(f"{len(rows):,} problems", ["what", "where", "why"], rows, whole=1)
        said = f"{len(found.problems):,} problems" if found.problems else "all is as it was written"
        console.print(
            f"{found.files:,} files of {found.dates:,} days ({file_size(found.bytes)}), {found.absent:,} empty: {said}",
            soft_wrap=True,
        )
    if not found.good:
        raise typer.Exit(1)
