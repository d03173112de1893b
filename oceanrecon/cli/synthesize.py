"""``oceanrecon synthesize``: writes a synthetic archive in the products' native form."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from oceanrecon.cli.common import ConfigPath, SetOption, console
from oceanrecon.cli.progress import ProgressBar


def synthesize_command(
    config: ConfigPath,
    output: Annotated[str, typer.Option("--output", "-o", metavar="DIR", help="Folder to write the archive to.")],
    overrides: SetOption = None,
) -> None:
    """Write an archive of a synthetic ocean: GLORYS, OSTIA, sea level and salinity files as the providers write them.

    The same settings give the same bytes. Files of the same names that are there are replaced.

    Example: `oceanrecon synthesize configs/archive-small.yaml --output demo/archive`
    """
    from oceanrecon.access.systems import file_system
    from oceanrecon.config import load_settings
    from oceanrecon.synthetic.config import ArchiveSynthesis
    from oceanrecon.synthetic.synthesize import synthesize

    settings = load_settings(ArchiveSynthesis, config, tuple(overrides or ()))
    filesystem, path = file_system(output)
    with suppress(OSError):  # which writing will tell
        if filesystem.exists(path):
            console.print(f"{output} is there: files of the same names are replaced", soft_wrap=True)
    with ProgressBar("files") as bar:
        written = synthesize(settings, output, bar.show)
    console.print(f"{len(written)} files in {output}")
