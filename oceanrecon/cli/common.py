"""What the commands share: consoles, options, and how sizes and tables are shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

# a pipe has no width: logs are read in wide windows
console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
errors = Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else 160)

#: Rows of a table that are shown.
_MOST_ROWS = 50

ConfigPath = Annotated[str, typer.Argument(metavar="CONFIG", help="YAML settings; see docs/settings.")]
ExportPath = Annotated[str, typer.Argument(metavar="EXPORT", help="Folder or fsspec URL of an export.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override a setting, e.g. window_days=1; repeatable."),
]


def scheduler_option(otherwise: str) -> Any:
    """``--scheduler``; ``otherwise`` says what happens without it."""
    text = f"Address of a Dask scheduler, such as tls://host:8786; {otherwise}."
    return typer.Option("--scheduler", metavar="URL", envvar="OCEANRECON_SCHEDULER", help=text)


SchedulerOption = Annotated[str | None, scheduler_option("default: a local cluster")]
TlsOption = Annotated[
    str | None,
    typer.Option(
        "--tls",
        metavar="FOLDER",
        envvar="OCEANRECON_TLS",
        help="Certificates for a tls:// scheduler; default: ~/.config/oceanrecon/tls.",
    ),
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Complete or extend what is there.")]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output, nothing else.")]


def show_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=1, default=str))


def duration(seconds: float) -> str:
    """``1 h 05 min``, ``2 min 03 s`` or ``4.2 s``."""
    if seconds >= 3600:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:02.0f} min"
    return f"{seconds // 60:.0f} min {seconds % 60:02.0f} s" if seconds >= 60 else f"{seconds:.1f} s"


def refuse_both(resume: bool, overwrite: bool) -> None:
    """Of two options that contradict each other."""
    if resume and overwrite:
        raise typer.BadParameter("--resume keeps what is there and --overwrite removes it: give one of them")


def say_mend() -> None:
    """What to do about failures that are listed above."""
    errors.print(
        "mend what is named above, then run the same command with --resume: it does only these", soft_wrap=True
    )


def show_notes(notes: Sequence[str], most: int = 10) -> None:
    """Print what is unusual, and how much of it is left out."""
    for note in notes[:most]:
        console.print(f"[yellow]note:[/] {escape(note)}", soft_wrap=True)
    if len(notes) > most:
        console.print(f"[yellow]note:[/] and {len(notes) - most} more; see manifest.yaml")


def table(title: str, columns: list[str], rows: Sequence[tuple[str, ...]], *, whole: int = 0) -> None:
    """Print a table; columns but the first ``whole`` wrap, and a long table says how many rows it leaves out."""
    drawn = Table(title=title, title_justify="left", header_style="bold")
    for number, column in enumerate(columns):
        drawn.add_column(column, overflow="fold", no_wrap=number < whole)
    for row in rows[:_MOST_ROWS]:
        drawn.add_row(*row)
    console.print(drawn)
    if len(rows) > _MOST_ROWS:
        console.print(f"and {len(rows) - _MOST_ROWS} more; --json has all")


def facts(rows: dict[str, object]) -> None:
    """Print aligned ``name  value`` lines."""
    width = max((len(name) for name in rows), default=0)
    for name, value in rows.items():
        console.print(f"[bold]{name:<{width}}[/]  {value}", soft_wrap=True)
