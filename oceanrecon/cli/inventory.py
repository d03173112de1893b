"""``oceanrecon inventory``: scans an archive once and says what it found."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer
from rich.filesize import decimal as file_size
from rich.markup import escape

from oceanrecon.cli.common import JsonOption, console, facts, show_json, table
from oceanrecon.cli.progress import ProgressBar


def inventory_command(
    archive: Annotated[
        str,
        typer.Argument(
            metavar="DIR", help="Folder or fsspec URL that holds the NetCDF files, or the YAML settings of an export."
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="Parquet file to write.")
    ] = "inventory.parquet",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that scan; default: one per core.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Scan the headers of an archive into a Parquet table, and show what was inferred and what is wrong.

    A second scan into the same file opens only files that changed. Settings (`.yaml`) say which files are which
    product where their names do not. Exits with 1 when there are problems.

    Example: `oceanrecon inventory demo/archive --output demo/inventory.parquet`
    """
    from oceanrecon.config import ExportSettings, load_settings
    from oceanrecon.pipeline.inventory import update_inventory
    from oceanrecon.sources.stated import product_files
    from oceanrecon.sources.summary import summary

    products = None
    if archive.endswith((".yaml", ".yml")):
        settings = load_settings(ExportSettings, archive).archive
        archive, products = settings.root, product_files(settings)
    with ProgressBar("batches of files", silent=as_json) as bar:
        table_of_files = update_inventory(archive, output, products=products, workers=workers, on_done=bar.show)
    found = summary(table_of_files)
    problems = table_of_files[table_of_files["problem"] != ""]
    if as_json:
        show_json(
            {
                "output": output,
                "rows": len(table_of_files),
                "products": [product.to_dict() for product in found],
                "problems": problems[["path", "problem"]].to_dict("records"),
            }
        )
    else:
        for product in found:
            days = f"{product.first} .. {product.last}, {product.days} days" if product.days else "none usable"
            if not product.product:
                continue  # files of no product: the table of problems has them
            console.rule(f"[bold]{product.product}[/] {escape(product.title)}", align="left")
            facts(
                {
                    "files": f"{product.files} ({file_size(product.bytes)}), {days}",
                    "cadence": "one date"
                    if product.cadence_days is None
                    else f"{product.cadence_days} days, {_missing(product.missing_dates)}",
                    "grid": f"{product.grid}; longitudes {product.longitudes}, latitudes {product.latitudes}, "
                    f"{'periodic' if product.periodic else 'not periodic'}",
                    "depth": f"{len(product.depth)} levels, {product.depth[0]:g} .. {product.depth[-1]:g} m"
                    if product.depth
                    else "surface",
                    "variables": "; ".join(
                        f"{v.name} in {' or '.join(v.units)}, {' or '.join(v.dtype)}, fill {' or '.join(v.fill)}, "
                        f"chunks {' or '.join(v.chunks)}"
                        for v in product.variables
                    ),
                }
            )
            for note, count in product.notes:
                console.print(f"[yellow]note on {count} files:[/] {escape(note)}", soft_wrap=True)
        if len(problems):
            rows = [(str(row.path), escape(str(row.problem))) for row in problems.itertuples()]
            table(f"{len(problems)} files with problems (left out of exports)", ["file", "problem"], rows)
        console.print(f"{len(table_of_files):,} rows in {output}")
    if len(problems):
        raise typer.Exit(1)


def _missing(dates: tuple[dt.date, ...]) -> str:
    """``no date missing``, or which."""
    shown = ", ".join(str(date) for date in dates[:6])
    more = f" and {len(dates) - 6} more" if len(dates) > 6 else ""
    return f"missing {shown}{more}" if dates else "no date missing"
