"""``oceanrecon bench``: one file per command."""

from __future__ import annotations

import typer

from oceanrecon.cli.bench import chunks

bench_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Benchmarks on your own machines, to choose settings by.",
)


@bench_app.callback()
def _top() -> None: ...


bench_app.command("chunks")(chunks.chunks_command)
