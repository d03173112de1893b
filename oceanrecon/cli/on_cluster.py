"""What commands share that do their work on a cluster, in steps that can be done again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import typer
from pydantic import BaseModel
from rich.markup import escape

from oceanrecon.cli.common import refuse_both, say_mend, show_json, table
from oceanrecon.cli.progress import running

Result = TypeVar("Result")


def on_cluster(
    make: Callable[..., Result],
    kind: type[BaseModel],
    config: str,
    overrides: Sequence[str] | None,
    unit: str,
    *,
    scheduler: str | None,
    tls: str | None,
    resume: bool,
    overwrite: bool,
    silent: bool,
) -> Result:
    """What ``make`` makes of the settings in a file, with progress and an orderly end at Ctrl-C.

    Args:
        make: a function of ``oceanrecon.service``.
        kind: of the settings.
        config: their file.
        overrides: ``KEY=VALUE``.
        unit: what its steps are called, such as ``blocks``.
        scheduler: address, if any.
        tls: folder of certificates, if any.
        resume: go on with what is there.
        overwrite: replace what is there.
        silent: show no progress.
    """
    from oceanrecon.config import load_settings

    refuse_both(resume, overwrite)
    settings = load_settings(kind, config, tuple(overrides or ()))
    with running(unit, silent=silent) as show:
        return make(
            settings, scheduler=scheduler, tls=tls, resume=resume, overwrite=overwrite, on_progress=show.step,
            on_connect=show.connected,
        )  # fmt: skip


def show_result(result: Any) -> None:
    """A result with ``failures`` as JSON."""
    failed = [vars(failure) for failure in result.failures]
    show_json({**vars(result), "complete": result.complete, "failures": failed})


def end_with(failed: Sequence[tuple[str, str]], what: str, *, silent: bool) -> None:
    """Where something failed, list it with its reasons, say what to do, and end with 1.

    Args:
        failed: name and reason of each.
        what: what the names are of, such as ``block``.
        silent: show nothing.
    """
    if not failed:
        return
    if not silent:
        rows = [(name, escape(why)) for name, why in failed]
        table(f"{len(rows)} failed", [what, "why"], rows)
        say_mend()
    raise typer.Exit(1)
