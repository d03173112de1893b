"""``oceanrecon taco build``: regional tiles become a dataset."""

from __future__ import annotations

from dataclasses import asdict

from rich.filesize import decimal as file_size

from oceanrecon.cli.common import (
    ConfigPath,
    JsonOption,
    OverwriteOption,
    ResumeOption,
    SetOption,
    console,
    facts,
    refuse_both,
    show_json,
)
from oceanrecon.cli.progress import ProgressBar


def build_command(
    config: ConfigPath,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build a dataset of regional tiles: a folder with their files, linked where the disk can, or one zip.

    It is made beside its place and moved there when it is whole. `--resume` adds days that the tiles have got since.

    Example: `oceanrecon taco build configs/taco.yaml --set form=zip --set output=ocean.tacozip`
    """
    from oceanrecon.config import load_settings
    from oceanrecon.pipeline.taco.build import append_taco, build_taco
    from oceanrecon.region_config import TacoSettings
    from oceanrecon.stores.taco import Description

    refuse_both(resume, overwrite)
    settings = load_settings(TacoSettings, config, tuple(overrides or ()))
    with ProgressBar("files", silent=as_json) as bar:
        if resume:
            built = append_taco(
                settings.regions, settings.output, sources=settings.sources, start=settings.start, end=settings.end,
                on_file=bar.show,
            )  # fmt: skip
        else:
            about = Description(
                settings.name, settings.version, settings.title, settings.description, settings.licenses,
                settings.providers,
            )  # fmt: skip
            built = build_taco(
                settings.regions, settings.output, about, form=settings.form, sources=settings.sources,
                start=settings.start, end=settings.end, overwrite=overwrite, on_file=bar.show,
            )  # fmt: skip
    if as_json:
        show_json({"output": settings.output, **asdict(built)})
        return
    facts(
        {
            "days": f"{built.dates:,}, of which {len(built.new_dates):,} are new",
            "files": f"{built.files:,} with {file_size(built.bytes)}, {built.linked:,} of them linked",
            "absent": f"{built.absent:,} places have an empty file: their source has nothing there",
        }
    )
    if built.late:
        console.print(
            f"[yellow]note:[/] {built.late:,} files are new, or other ones, of days that the dataset has already: to "
            "have them in it, build it with --overwrite",
            soft_wrap=True,
        )
    console.print(f"see {settings.output}, or `oceanrecon taco verify {settings.output}`", soft_wrap=True)
