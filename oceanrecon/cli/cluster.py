"""``oceanrecon cluster``: starts a long-running cluster, shows one, and makes the certificates that protect it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal as file_size

from oceanrecon.cli.common import (
    ConfigPath,
    JsonOption,
    SetOption,
    TlsOption,
    console,
    facts,
    show_json,
)

if TYPE_CHECKING:
    from oceanrecon.service.clusters.watch import WorkerChange

cluster_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Long-running Dask clusters, for jobs that outlive the client that submits them.",
)

#: Workers that a line names.
_MOST_NAMES = 4


@cluster_app.command("start")
def start_command(
    config: ConfigPath,
    allow_insecure: Annotated[
        bool,
        typer.Option("--allow-insecure", help="Listen beyond this machine without TLS, or with an open dashboard."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the batch script or manifest that would be submitted; start nothing."),
    ] = False,
    overrides: SetOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one line of JSON once it is up, and nothing else.")
    ] = False,
) -> None:
    """Start a cluster and keep it until Ctrl-C (or SIGTERM, or SIGHUP); prints its addresses and how to submit to it.

    What would listen beyond this machine without TLS is refused.

    Example: `oceanrecon cluster start configs/cluster-local.yaml --set workers.count=2`
    """
    from oceanrecon.cluster_config import ClusterStart, seconds
    from oceanrecon.config import load_settings
    from oceanrecon.service.clusters.start import script, start
    from oceanrecon.service.clusters.watch import worker_changes

    settings = load_settings(ClusterStart, config, tuple(overrides or ()))
    if dry_run:
        typer.echo(script(settings), nl=False)
        return
    _on_signals(signal.default_int_handler)
    up, why = False, "ended"
    try:
        with start(settings, allow_insecure=allow_insecure) as running:
            try:
                described = running.describe()
                up = True
                if as_json:
                    typer.echo(json.dumps(described, default=str))
                else:
                    _show(described)
                    console.print("Ctrl-C ends it")
                idle = None if settings.idle is None else seconds(settings.idle)
                for change in worker_changes(running, idle=idle):
                    if not as_json:
                        _say(change)
                why = f"no task for {settings.idle}: ended"
            except KeyboardInterrupt:
                _on_signals(_second)
                if not up:
                    raise
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    if not as_json:
        with suppress(OSError):  # the terminal is gone
            console.print(why)


@cluster_app.command("status")
def status_command(
    scheduler: Annotated[
        str,
        typer.Option("--scheduler", metavar="URL", envvar="OCEANRECON_SCHEDULER", help="Address of the scheduler."),
    ],
    tls: TlsOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show a running cluster: its workers, their memory, its versions; fails where they are not those of this machine.

    Example: `oceanrecon cluster status --scheduler tls://host:8786`
    """
    from oceanrecon.service.connect import describe_scheduler

    described = describe_scheduler(scheduler, tls)
    if as_json:
        show_json(described)
    else:
        _show(described)


@cluster_app.command("certificates")
def certificates_command(
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FOLDER", help="Where they go; default: ~/.config/oceanrecon/tls."),
    ] = None,
    hosts: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="NAME", help="Name or address of a machine of the cluster; repeatable."),
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long they are valid.")] = 730,
    as_json: JsonOption = False,
) -> None:
    """Make an authority, and the keys and certificates with which scheduler, workers and clients know each other.

    What is there is never overwritten. Whoever has one of the keys can run code on the cluster.

    Example: `oceanrecon cluster certificates --host node1.example --host 192.0.2.7`
    """
    from oceanrecon.service.clusters.certificates import make_certificates
    from oceanrecon.service.clusters.security import default_folder

    made = make_certificates(output or default_folder(), tuple(hosts or ()), days)
    if as_json:
        show_json({"folder": str(made.folder), "hosts": made.hosts, "valid_until": made.valid_until.isoformat()})
        return
    console.print(f"certificates in [bold]{made.folder}[/], valid until {made.valid_until:%Y-%m-%d}", soft_wrap=True)
    facts(
        {
            "names": ", ".join(made.hosts),
            "ca.pem": "to every machine",
            "scheduler*.pem": "to the machine of the scheduler; one that runs `cluster start` needs the whole folder",
            "worker*.pem": "to the machines of the workers",
            "client*.pem": "to everyone who submits, with ca.pem, in ~/.config/oceanrecon/tls or named with --tls",
        }
    )
    console.print(
        "Copy keys over SSH, never by mail, and keep their mode 0600. The authority's own key was not kept: to renew "
        "the certificates, or to shut someone out, make new ones for everyone.",
        soft_wrap=True,
    )


def _on_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    """What Ctrl-C, a service manager and a terminal that is closed do; not what is ignored (by nohup)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def _second(number: int, frame: FrameType | None) -> None:
    """A cluster that ends is not left half ended by impatience."""
    _on_signals(signal.default_int_handler)
    with suppress(OSError):
        typer.echo("it is ending; a third signal leaves it as it is, and its workers to end by themselves", err=True)


def _show(described: dict[str, Any]) -> None:
    rows = {name.replace("_", " "): value for name, value in described.items() if value is not None}
    memory = rows.pop("memory per worker")
    if described["workers"]:
        rows["memory per worker"] = file_size(memory)
    facts(rows)


def _say(change: WorkerChange) -> None:
    parts = [
        f"{len(names)} {'worker' if len(names) == 1 else 'workers'} {what}: {', '.join(names[:_MOST_NAMES])}"
        f"{', ...' if len(names) > _MOST_NAMES else ''}"
        for what, names in (("joined", change.joined), ("left", change.left))
        if names
    ]
    console.print(f"{time.strftime('%H:%M:%S')} {'; '.join(parts)}; now {change.workers}", soft_wrap=True)
