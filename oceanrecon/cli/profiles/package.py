"""``oceanrecon profiles package``: a folder that is ready for a dataset hub."""

from __future__ import annotations

from rich.filesize import decimal as file_size

from oceanrecon.cli.common import ConfigPath, JsonOption, SetOption, console, show_json, show_notes
from oceanrecon.cli.progress import ProgressBar


def package_command(config: ConfigPath, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Make a folder that is ready for a dataset hub: data by hard links, tables, card, STAC, Croissant, checksums.

    Nothing in the folder is ever deleted. Stopping it does no harm: run it again.

    Example: `oceanrecon profiles package configs/profiles.yaml`
    """
    from oceanrecon.config import load_settings
    from oceanrecon.profile_config import ProfilesSettings
    from oceanrecon.service.profiles import package_profiles

    settings = load_settings(ProfilesSettings, config, tuple(overrides or ()))
    with ProgressBar("files in place", silent=as_json) as bar:
        result = package_profiles(settings, on_file=bar.show)
    if as_json:
        show_json(vars(result))
        return
    show_notes(result.notes)
    console.print(
        f"{result.profiles:,} profiles in {result.output}: {result.files} files, {file_size(result.bytes)}, "
        f"{result.linked} of them hard links; check it with `oceanrecon verify {result.output}` or `sha256sum -c "
        "checksums.txt`",
        soft_wrap=True,
    )
