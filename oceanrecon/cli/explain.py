"""``oceanrecon explain``: everything behind one pixel."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from oceanrecon.cli.common import ExportPath, JsonOption, console, facts, show_json, table


def explain_command(
    export: ExportPath,
    variable: Annotated[str, typer.Argument(help="Such as thetao.")],
    date: Annotated[str, typer.Argument(help="Target date, such as 2012-03-07.")],
    longitude: Annotated[float, typer.Argument(help="Degrees east, -180..180 or 0..360.")],
    latitude: Annotated[float, typer.Argument(help="Degrees north.")],
    depth: Annotated[float | None, typer.Option(help="Metres; the nearest level is taken.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show every file, stored number, weight, mean and code behind one pixel, and compare with what was written.

    Exits with 1 when the export holds another code than its sources give.

    Example: `oceanrecon explain demo/export thetao 2012-03-07 -42.3 31.7 --depth 100`
    """
    from oceanrecon.pipeline.explain import explain

    found = explain(export, variable, date, longitude, latitude, depth)
    if as_json:
        show_json({**asdict(found), "agrees": found.agrees})
    else:
        where = f"row {found.row}, column {found.column}: centre {found.longitude:.4f} E, {found.latitude:.4f} N"
        facts(
            {
                "pixel": where + (f", level {found.level} at {found.depth:g} m" if found.depth is not None else ""),
                "method": f"{found.method}, valid weight {found.valid_fraction:.4f} "
                f"(at least {found.minimum_valid_fraction:g} is needed)",
            }
        )
        rows = [
            (
                file.path.rsplit("/", 1)[-1] if number == 0 else "",
                file.date if number == 0 else "",
                f"{cell.longitude:.4f} E {cell.latitude:.4f} N",
                f"{cell.weight:.6f}",
                f"{cell.stored:g}",
                "missing" if cell.value is None else f"{cell.value:.5f}",
            )
            for file in found.files
            for number, cell in enumerate(file.cells)
        ]
        table("source cells", ["file", "date", "cell", "weight", "stored", f"value [{found.units}]"], rows)
        if len(found.files) > 1:
            means = [(f"{weight:.6f}", "missing" if mean is None else f"{mean:.5f}") for weight, mean in found.means]
            table("means over the window", ["weight", f"mean [{found.units}]"], means)
        facts(
            {
                "value": "missing" if found.value is None else f"{found.value:.5f} {found.units}",
                "code": f"{found.code}" + ("" if found.decoded is None else f", which decodes to {found.decoded:.5f}"),
                **{f"in {name}": str(code) for name, code in found.found.items()},
            }
        )
        console.print("[green]the export agrees[/]" if found.agrees else "[red]the export holds another code[/]")
    if not found.agrees:
        raise typer.Exit(1)
