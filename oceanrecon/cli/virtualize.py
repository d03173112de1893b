"""``oceanrecon virtualize``: writes where the chunks of an archive lie, so that nothing has to be opened again."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.filesize import decimal as file_size
from rich.markup import escape

from oceanrecon.cli.common import JsonOption, console, facts, show_json, table
from oceanrecon.cli.progress import ProgressBar


def virtualize_command(
    archive: Annotated[
        str,
        typer.Argument(
            metavar="DIR", help="Folder or fsspec URL that holds the NetCDF files, or the YAML settings of an export."
        ),
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FOLDER", help="Folder or fsspec URL of the references.")
    ] = "references",
    workers: Annotated[int | None, typer.Option(min=1, help="Processes that read; default: one per core.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write references to every chunk of an archive, and its inventory: an archive in the cloud then opens at once.

    Give the folder as `archive.inventory` in the settings, or as `inventory` to `open_archive`. A second run into the
    same folder reads only files that are new or changed. Needs the extra `virtual`; to use the references does not.
    Exits with 1 when there are files that cannot be used.

    Example: `oceanrecon virtualize demo/archive --output demo/references`
    """
    from oceanrecon.config import ExportSettings, load_settings
    from oceanrecon.pipeline.virtual import virtualize
    from oceanrecon.sources.stated import product_files

    products = inventory = None
    if archive.endswith((".yaml", ".yml")):
        settings = load_settings(ExportSettings, archive).archive
        archive, products, inventory = settings.root, product_files(settings), settings.inventory
    with ProgressBar("batches of files", silent=as_json) as bar:
        result = virtualize(archive, output, products=products, inventory=inventory, workers=workers, on_done=bar.show)
    rows = result.inventory[result.inventory["problem"] != ""]
    problems = [*zip(rows["path"], rows["problem"], strict=True), *result.failed]
    if as_json:
        show_json(
            {
                "output": result.output,
                "groups": [
                    {
                        "name": group.name,
                        "product": group.product,
                        "files": group.files,
                        "first": group.first,
                        "last": group.last,
                        "references": group.references,
                    }
                    for group in result.groups
                ],
                "read": result.read,
                "kept": result.kept,
                "bytes_written": result.bytes_written,
                "opened": [{"path": path, "reason": reason} for path, reason in result.opened],
                "problems": [{"path": path, "problem": problem} for path, problem in problems],
            }
        )
    else:
        facts(
            {
                group.name: f"{group.files:,} files, {group.first} .. {group.last}, {group.references:,} references"
                for group in result.groups
            }
        )
        if result.opened:
            rows_opened = [(path, escape(reason)) for path, reason in result.opened]
            table(f"{len(result.opened)} files without references (they are opened)", ["file", "reason"], rows_opened)
        if problems:
            rows_bad = [(str(path), escape(str(problem))) for path, problem in problems]
            table(f"{len(problems)} files with problems", ["file", "problem"], rows_bad)
        console.print(
            f"{result.read:,} files read, {result.kept:,} as they were; {file_size(result.bytes_written)} in "
            f"{result.output}",
            soft_wrap=True,
        )
    if problems:
        raise typer.Exit(1)
