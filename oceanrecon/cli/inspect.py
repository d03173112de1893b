"""``oceanrecon inspect``: what an export holds."""

from __future__ import annotations

from rich.filesize import decimal as file_size

from oceanrecon.cli.common import ExportPath, JsonOption, console, facts, show_json, table


def inspect_command(export: ExportPath, as_json: JsonOption = False) -> None:
    """Show what an export holds: dates, grid, encoding, sizes, clipped and missing shares, failures.

    Example: `oceanrecon inspect demo/export`
    """
    from oceanrecon.pipeline.inspect import inspect_export

    found = inspect_export(export)
    if as_json:
        show_json(found)
        return
    facts({name: value for name, value in found.items() if not isinstance(value, list)})
    rows = [
        (
            entry["variable"],
            f"{entry['times']} of {entry['targets']}",
            "none"
            if entry["minimum"] is None
            else f"{entry['minimum']:.2f} .. {entry['maximum']:.2f} {entry['units']}",
            f"{entry['missing_share']:.1%}",
            f"{entry['clipped_share']:.3%}",
            entry["days"],
            file_size(entry["bytes"]),
        )
        for entry in found["variables"]
    ]
    table("variables", ["name", "times", "values", "missing", "clipped", "days used", "size"], rows)
    if found["failures"]:
        table("failures", ["variable", "date", "why"], [tuple(failure) for failure in found["failures"]])
        console.print("mend what is named, then run `oceanrecon export CONFIG --resume`")
