"""``oceanrecon quicklook``: pictures of an export."""

from __future__ import annotations

from typing import Annotated

import typer

from oceanrecon.cli.common import ExportPath, console
from oceanrecon.cli.progress import ProgressBar


def quicklook_command(
    export: ExportPath,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="DIR", help="Where to; default: quicklook/ in the export.")
    ] = None,
    dates: Annotated[
        list[str] | None, typer.Option("--date", help="Dates to draw; repeatable; default: a few.")
    ] = None,
    depths: Annotated[list[float] | None, typer.Option("--depth", help="Depths to draw, m; repeatable.")] = None,
) -> None:
    """Draw maps, a section and histograms of an export, and one HTML page that shows them with its figures.

    Example: `oceanrecon quicklook demo/export --date 2012-03-07 --depth 0 --depth 500`
    """
    from oceanrecon.plots.quicklook import quicklook

    with ProgressBar("variables drawn") as bar:
        page = quicklook(export, output, dates, depths, bar.show)
    console.print(f"open [bold]{page}[/] in a browser", soft_wrap=True)
