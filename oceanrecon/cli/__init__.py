"""The command line: one file per command, each a thin face of a function of the package."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of ``oceanrecon``: errors raised on purpose are shown in one line, without a traceback."""
    from oceanrecon.cli.app import app
    from oceanrecon.cli.common import errors
    from oceanrecon.errors import OceanreconError

    try:
        app()
    except OceanreconError as error:
        errors.print(f"[bold red]error:[/] {_escaped(str(error))}", soft_wrap=True)
        sys.exit(1)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
