"""What the commands about jobs share."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from oceanrecon.stores.jobs import JobRecord

JobName = Annotated[
    str,
    typer.Argument(metavar="JOB", help="Id of a job, the beginning of it, or an output (its newest job)."),
]
PlaceOption = Annotated[
    str | None,
    typer.Option("--in", metavar="PLACE", help="Output, or folder of outputs, to look in; default: your own jobs."),
]
#: How a state is shown.
COLOURS = {
    "queued": "cyan",
    "running": "blue",
    "complete": "green",
    "incomplete": "yellow",
    "cancelled": "yellow",
    "failed": "red",
    "lost": "red",
}


def facts_of(record: JobRecord, state: str) -> dict[str, Any]:
    """A job for ``--json``: its record, and the state that it has from outside."""
    return asdict(record) | {"state": state}


def coloured(state: str) -> str:
    """A state in its colour."""
    return f"[{COLOURS[state]}]{state}[/]"


def counted(number: int, thing: str) -> str:
    """``1 block`` or ``2 blocks``."""
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def remedy(record: JobRecord, state: str) -> str:
    """What to do about a job that did not come to its end; empty where nothing is to be done."""
    if state == "lost" and record.state == "queued":
        return (
            f"nobody has begun it since {record.submitted_utc}: its cluster begins it once a worker is free, unless it "
            f"never got there; `oceanrecon resume {record.id}` hands it over again, which does no harm"
        )
    if state == "lost":
        from oceanrecon.service.jobs.find import full_disk

        full = full_disk(record)
        return (
            f"nobody drives it any more: its driver on {record.driver or record.who} was last heard of at "
            f"{record.updated_utc}; {f'{full}: make room, then ' if full else ''}"
            f"`oceanrecon resume {record.id}` goes on where it was"
        )
    if state in ("cancelled", "failed", "incomplete"):
        first = "mend what is named above, then " if state != "cancelled" else ""
        return f"{first}`oceanrecon resume {record.id}` goes on with what is missing"
    return ""
