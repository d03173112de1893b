"""``oceanrecon download``: the raw files of all sources, from the services that publish them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.filesize import decimal as file_size
from rich.markup import escape

from oceanrecon.cli.common import (
    ConfigPath,
    JsonOption,
    SetOption,
    console,
    duration,
    errors,
    facts,
    show_json,
    show_notes,
    table,
)
from oceanrecon.cli.progress import ProgressBar

if TYPE_CHECKING:
    from oceanrecon.pipeline.download.run import DownloadResult, Wanted


def download_command(
    config: ConfigPath,
    fetch: Annotated[
        bool, typer.Option("--download", help="Fetch the files; without it they are listed, and nothing is written.")
    ] = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what the sources have of the days that are wanted, and with --download fetch what is not there yet.

    Files that are there are kept, and those that were cut are continued. Run it again after a failure: it does what is
    missing. Credentials come from the environment, ~/.netrc or the login of `copernicusmarine`, never from here. Exits
    with 1 when something failed.

    Example: `oceanrecon download configs/download.yaml --set end=2023-04-01 --download`
    """
    from oceanrecon.config import load_settings
    from oceanrecon.download_config import DownloadSettings
    from oceanrecon.pipeline.download.run import download

    settings = load_settings(DownloadSettings, config, tuple(overrides or ()))
    try:
        with ProgressBar("files", silent=as_json) as bar:
            result = download(settings, fetch=fetch, on_progress=bar.show)
    except KeyboardInterrupt:
        errors.print("interrupted: what came is kept; run the same command again", soft_wrap=True)
        raise typer.Exit(130) from None
    if as_json:
        show_json(_document(result))
    else:
        _show(result)
    if result.failures:
        raise typer.Exit(1)


def _show(result: DownloadResult) -> None:
    table(
        f"what there is, for {result.output}",
        ["what", "files", "bytes", "there", "to fetch", "days without"],
        [
            (
                one.stream, f"{len(one.files):,}", _size(one), f"{len(one.there):,}", f"{len(one.to_fetch):,}",
                f"{len(one.missing):,}",
            )
            for one in result.wanted
        ],
        whole=1,
    )  # fmt: skip
    show_notes([note for one in result.wanted for note in one.notes])
    if result.report is None:
        rows = [
            (escape(file.target), file_size(file.size) if file.size is not None else "unknown")
            for one in result.wanted
            for file in one.to_fetch
        ]
        if rows:
            table(f"{len(rows):,} files would be fetched", ["file", "size"], rows)
        console.print("nothing was fetched: that takes --download", soft_wrap=True)
    else:
        counts = result.counts
        console.print(
            f"{counts['fetched']:,} files fetched ({file_size(result.bytes_fetched)}), {counts['made']:,} made, "
            f"{counts['kept']:,} kept, {counts['failed']:,} failed, in {duration(result.seconds)}",
            soft_wrap=True,
        )
        facts({"report": escape(result.report)})
    if result.failures:
        named = [(escape(one.target or one.stream), escape(one.message)) for one in result.failures]
        table(f"{len(named):,} failures", ["what", "why"], named)
        errors.print("run the same command again: it does only what is missing", soft_wrap=True)


def _size(wanted: Wanted) -> str:
    known = file_size(sum(file.size or 0 for file in wanted.files))
    return known if all(file.size is not None for file in wanted.files) else f"{known} and more"


def _document(result: DownloadResult) -> dict[str, Any]:
    return {
        "output": result.output,
        "downloaded": result.report is not None,
        "report": result.report,
        "counts": dict(result.counts),
        "bytes_fetched": result.bytes_fetched,
        "seconds": result.seconds,
        "sources": [
            {
                "name": one.stream,
                "files": [
                    {
                        "path": file.target,
                        "date": file.day.isoformat(),
                        "bytes": file.size,
                        "dataset": file.dataset,
                        "there": file.target in one.there,
                    }
                    for file in one.files
                ],
                "bytes_to_fetch": sum(file.size or 0 for file in one.to_fetch),
                "missing_days": [day.isoformat() for day in one.missing],
                "notes": list(one.notes),
            }
            for one in result.wanted
        ],
        "failures": [
            {"what": one.target or one.stream, "source": one.stream, "message": one.message} for one in result.failures
        ],
    }
