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

    EXPORT may also be a profile store, a patch index, a set of written samples or a package. Exits with 1 when
    something is wrong.

    Example: `oceanrecon verify demo/export --deep`
    """
    from oceanrecon.pipeline.patches.verify import verify_index, verify_samples
    from oceanrecon.pipeline.profiles.verify import verify_package, verify_profiles, what_is
    from oceanrecon.pipeline.verify import verify

    kind = what_is(export)
    unit = {"export": "blocks", "profiles": "months", "package": "files", "patches": "files", "samples": "blocks"}[kind]
    with ProgressBar(unit, silent=as_json) as bar:
        if kind == "package":
            if deep or discard_bad:
                raise typer.BadParameter("a package is checked against its checksums only: leave the options out")
            result = verify_package(export, on_done=bar.show)
        elif kind == "patches":
            if deep:
                raise typer.BadParameter("a patch index is checked against its checksums only: leave --deep out")
            result = verify_index(export, discard_bad=discard_bad, on_done=bar.show)
        elif kind == "samples":
            if deep:
                raise typer.BadParameter("written samples are checked against their receipts only: leave --deep out")
            result = verify_samples(export, discard_bad=discard_bad)
        else:
            check = verify if kind == "export" else verify_profiles
            result = check(export, deep=deep, discard_bad=discard_bad, on_done=bar.show)
    if as_json:
        show_json({**vars(result), "good": result.good, "problems": [vars(problem) for problem in result.problems]})
    else:
        if result.problems:
            rows = [(problem.kind, problem.path, escape(problem.message)) for problem in result.problems]
            table(f"{len(result.problems)} problems", ["kind", "what", "why and what to do"], rows)
        checked = f"{result.files} files, {file_size(result.bytes)}"
        if kind in ("export", "profiles", "samples"):
            checked = f"{result.blocks} {unit}, {checked}"
        if discard_bad and not result.good:
            console.print("what is bad is forgotten: run what is named above with --resume to make it again")
        console.print(f"{checked}: " + ("[green]all good[/]" if result.good else "[red]not good[/]"))
    if not result.good:
        raise typer.Exit(1)
