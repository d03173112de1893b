"""``oceanrecon export``: runs an export and shows how it goes."""

from __future__ import annotations

import signal
from typing import Annotated, Any

import typer
from rich.filesize import decimal as file_size
from rich.markup import escape

from oceanrecon.cli.common import ConfigPath, JsonOption, SetOption, console, duration, errors, show_json, table
from oceanrecon.cli.progress import ProgressBar


def export_command(
    config: ConfigPath,
    scheduler: Annotated[
        str | None, typer.Option(metavar="URL", help="Address of a Dask scheduler; default: a local cluster.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Complete or extend the export that is there.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the export that is there.")] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Export an archive to GeoTIFF and zarr on one grid.

    Stopping it at any time does no harm: run it again with `--resume`.

    Example: `oceanrecon export configs/export-demo.yaml --set output=demo/other`
    """
    from oceanrecon.config import ExportSettings, load_settings
    from oceanrecon.service.run import export

    if resume and overwrite:
        raise typer.BadParameter("--resume keeps what is there and --overwrite removes it: give one of them")
    settings = load_settings(ExportSettings, config, tuple(overrides or ()))
    show = _Progress(silent=as_json)
    try:
        with show:
            result = export(
                settings,
                scheduler=scheduler,
                resume=resume,
                overwrite=overwrite,
                on_progress=show.step,
                on_connect=show.connected,
            )
    except KeyboardInterrupt:
        errors.print("interrupted: what is finished is kept; run the same command with --resume", soft_wrap=True)
        raise typer.Exit(130) from None
    if as_json:
        show_json(
            {
                "output": result.output,
                "complete": result.complete,
                "written": result.written,
                "kept": result.kept,
                "failures": [vars(failure) for failure in result.failures],
                "warnings": list(result.warnings),
                "bytes_written": result.bytes_written,
                "wall_seconds": round(result.wall_seconds, 3),
                "cpu_seconds": round(result.cpu_seconds, 3),
                "peak_memory": result.peak_memory,
            }
        )
    else:
        for warning in result.warnings[:10]:
            console.print(f"[yellow]note:[/] {escape(warning)}", soft_wrap=True)
        if len(result.warnings) > 10:
            console.print(f"[yellow]note:[/] and {len(result.warnings) - 10} more; see `warnings` in manifest.yaml")
        console.print(
            f"{result.written} blocks written, {result.kept} kept, {len(result.failures)} failed: "
            f"{file_size(result.bytes_written)} in {duration(result.wall_seconds)} "
            f"({duration(result.cpu_seconds)} of CPU, at most {file_size(result.peak_memory)} per worker)"
        )
        console.print(f"see [bold]{result.output}[/], or `oceanrecon inspect {result.output}`", soft_wrap=True)
    if result.failures:
        if not as_json:
            rows = [(failure.variable, failure.date, escape(failure.message)) for failure in result.failures]
            table(f"{len(result.failures)} blocks failed", ["variable", "date", "why"], rows)
            errors.print("mend what is named above, then run the same command with --resume: it does only these")
        raise typer.Exit(1)


class _Progress:
    """How an export goes, and Ctrl-C between two blocks."""

    def __init__(self, *, silent: bool) -> None:
        self._bar = ProgressBar("blocks", silent=silent)
        self._interrupted = False
        self._handler: Any = None

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        self._bar.close()

    def connected(self, client: Any) -> None:
        """Say on what it runs; from now on the first Ctrl-C waits for the blocks that are being made."""
        from oceanrecon.service.connect import describe

        if not self._bar.silent:
            console.print(describe(client), soft_wrap=True)
        # raised inside dask, an interrupt would leave a traceback
        self._handler = signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, *_: object) -> None:
        self._interrupted = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        errors.print("stopping after the blocks that are being made; Ctrl-C again stops at once", soft_wrap=True)

    def step(self, progress: Any) -> None:
        """Show a step, or stop where that was asked for."""
        if self._interrupted:
            raise KeyboardInterrupt
        failed = f"[red]{progress.failed} failed[/]" if progress.failed else "0 failed"
        self._bar.show(progress.done, progress.total, f"{failed}: {progress.message}")
