"""The command line: one file per command, each a thin face of a function of the package."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any


def main() -> None:
    """Entry point of ``oceanrecon``: errors raised on purpose are shown in one line, without a traceback."""
    from oceanrecon.cli.app import app
    from oceanrecon.cli.common import errors
    from oceanrecon.errors import OceanreconError

    with warnings.catch_warnings():
        warnings.showwarning = _shows_ours(warnings.showwarning)
        try:
            app()
        except OceanreconError as error:
            errors.print(f"[bold red]error:[/] {_escaped(str(error))}", soft_wrap=True)
            sys.exit(1)


def _shows_ours(others: Callable[..., None]) -> Callable[..., None]:
    """Shows our own warnings as one line, without the line of code that they came from."""
    from oceanrecon.cli.common import errors
    from oceanrecon.errors import InsecureWarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, InsecureWarning):
            errors.print(f"[yellow]warning:[/] {_escaped(str(message))}", soft_wrap=True)
        else:
            others(message, category, *where, **more)

    return show


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
