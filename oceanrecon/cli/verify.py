"""``oceanrecon verify``: whether an export is whole and true to its sources."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.filesize import decimal as file_size
from rich.markup import escape

from oceanrecon.cli.common import ExportPath, JsonOption, console, show_json, table
from oceanrecon.cli.progress import ProgressBar


def verify_command(
    export: ExportPath,
    deep: Annotated[
        bool, typer.Option("--deep", help="Make every block again from its sources and compare the codes.")
    ] = False,
    discard_bad: Annotated[
        bool, typer.Option("--discard-bad", help="Forget bad blocks, so that `export --resume` makes them again.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Recompute checksums, decode every sample, and name every file that is missing, altered, truncated or stale.

    EXPORT may also be a profile store, a package, a patch index, a set of written samples or statistics. Exits with 1
    when something is wrong.

    Example: `oceanrecon verify demo/export --deep`
    """
    from oceanrecon.pipeline.outputs import output_of

    output = output_of(export)
    asked = {"deep": deep, "discard_bad": discard_bad}
    for option, value in asked.items():
        if value and option not in output.options:
            raise typer.BadParameter(
                f"{output.title}: only checksums are compared, leave --{option.replace('_', '-')} out"
            )
    with ProgressBar(output.unit, silent=as_json) as bar:
        options = {**asked, "on_done": bar.show}
        result = output.check(export, **{name: options[name] for name in output.options})
    if as_json:
        show_json({**vars(result), "good": result.good, "problems": [vars(problem) for problem in result.problems]})
    else:
        if result.problems:
            rows = [(problem.kind, problem.path, escape(problem.message)) for problem in result.problems]
            table(f"{len(result.problems)} problems", ["kind", "what", "why and what to do"], rows)
        checked = f"{result.files} files, {file_size(result.bytes)}"
        if output.unit != "files":
            checked = f"{result.blocks} {output.unit}, {checked}"
        if discard_bad and not result.good:
            console.print("what is bad is forgotten: run what is named above with --resume to make it again")
        console.print(f"{checked}: " + ("[green]all good[/]" if result.good else "[red]not good[/]"))
    if not result.good:
        raise typer.Exit(1)
