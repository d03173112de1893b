"""The folder of a patch index: whether it may be written, and the settings that are kept in it."""

from __future__ import annotations

from collections.abc import Sequence

from oceanrecon.config import ArchiveSettings, load_settings
from oceanrecon.errors import ConfigError
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.guard import Guard
from oceanrecon.stores.files import Root

SETTINGS = "patches.yaml"
#: Names of the tables; of rows there is one, named after its frequency.
SPATIAL, PROFILES = "patches", "profiles"
FREQUENCIES = ("daily", "weekly")
PROOF = "proof.json"


def both(name: str) -> tuple[str, str]:
    """The files of a table."""
    return f"{name}.csv", f"{name}.parquet"


GUARD = Guard(
    what="patch index",
    name=SETTINGS,
    fixed=("export", "archive", "en4", "argo", "tiling", "rows", "split"),
    folders=("receipts", "failures", "parts", "stats"),
    files=(*(file for name in (SPATIAL, *FREQUENCIES, PROFILES) for file in both(name)), PROOF),
)


def resolved(settings: PatchesSettings) -> PatchesSettings:
    """The settings with paths that mean the same from any working directory."""

    def absolute(path: str | None) -> str | None:
        return path and Root(path).url

    update: dict[str, object] = {"output": absolute(settings.output), "export": absolute(settings.export)}
    if settings.archive is not None:
        archive: ArchiveSettings = settings.archive
        update["archive"] = archive.model_copy(
            update={"root": absolute(archive.root), "inventory": absolute(archive.inventory)}
        )
    for kind in ("en4", "argo"):
        files = getattr(settings, kind)
        if files is not None:
            update[kind] = files.model_copy(update={"root": absolute(files.root)})
    tiling = settings.tiling
    invalid = tiling.invalid and tiling.invalid.model_copy(update={"file": absolute(tiling.invalid.file)})
    update["tiling"] = tiling.model_copy(update={"mask": absolute(tiling.mask), "invalid": invalid})
    update["split"] = settings.split.model_copy(update={"table": absolute(settings.split.table)})
    if settings.write is not None:
        update["write"] = settings.write.model_copy(update={"output": absolute(settings.write.output)})
    return settings.model_copy(update=update)


def check_output(settings: PatchesSettings, *, resume: bool, overwrite: bool) -> None:
    """Refuse an output that is not ours to write; changes nothing.

    Spatial tables that ``patches grid`` left there are completed without being asked.

    Args:
        settings: resolved.
        resume: go on with what is there.
        overwrite: replace what is there.

    Raises:
        OutputError: see ``Guard.check``.
    """
    root = Root(settings.output)
    tiling, archive = settings.tiling, settings.archive
    reads = [settings.export, tiling.mask, settings.split.table]
    if tiling.invalid is not None:
        reads.append(tiling.invalid.file)
    if archive is not None:
        reads += [archive.root, archive.inventory]
    reads += [files.root for files in (settings.en4, settings.argo) if files is not None]
    only_grid = GUARD.owns(root) and not has_rows(root)
    GUARD.check(root, settings, reads, resume=resume or (only_grid and not overwrite), overwrite=overwrite)


def has_rows(root: Root) -> bool:
    """Whether an index was made there, or begun, and not only its spatial table."""
    return any(root.exists(path) for name in FREQUENCIES for path in both(name)) or bool(root.list("receipts"))


def index_folder(place: str, overrides: Sequence[str] = ()) -> str:
    """The folder of an index, which is given by itself or by the settings (a YAML file) that it is made with.

    Args:
        place: folder or fsspec URL of the index, or path of the settings.
        overrides: ``KEY=VALUE`` each, of the settings.

    Raises:
        ConfigError: the settings are wrong; or it is a folder, and some are to be overridden.
    """
    if place.endswith((".yaml", ".yml")):
        return load_settings(PatchesSettings, place, tuple(overrides)).output
    if overrides:
        raise ConfigError(
            f"--set changes settings, and {place} is a folder: give the YAML file of the settings instead"
        )
    return place
