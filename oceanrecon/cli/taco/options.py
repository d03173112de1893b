"""What the commands of a dataset share."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

TacoPath = Annotated[str, typer.Argument(metavar="DATASET", help="Folder, .tacozip file, or fsspec URL of either.")]


def names(text: str) -> list[str]:
    """The variables of an option.

    Raises:
        BadParameter: there is none.
    """
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise typer.BadParameter(f"{text!r} has no variable: give some with commas, such as l4_ssh,l4_sst")
    return found


def day(text: str) -> dt.date:
    """The day of an option.

    Raises:
        BadParameter: it is none.
    """
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day: give YYYY-MM-DD, such as 2023-04-01") from None
