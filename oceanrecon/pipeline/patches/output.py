"""The folder of a patch index: whether it may be written, and the settings that are kept in it."""

from __future__ import annotations

from oceanrecon.config import ArchiveSettings
from oceanrecon.patch_config import PatchesSettings
from oceanrecon.pipeline.guard import Guard
from oceanrecon.stores.files import Root

SETTINGS = "patches.yaml"
#: Names of the tables; of rows there is one, named after its frequency.
SPATIAL, PROFILES = "patches", "profiles"
FREQUENCIES = ("daily", "weekly")
PROOF = "proof.json"


def _both(name: str) -> tuple[str, str]:
    return f"{name}.csv", f"{name}.parquet"


GUARD = Guard(
    what="patch index",
    name=SETTINGS,
    fixed=("export", "archive", "en4", "argo", "tiling", "rows", "split"),
    folders=("receipts", "failures", "parts", "stats"),
    files=(*(file for name in (SPATIAL, *FREQUENCIES, PROFILES) for file in _both(name)), PROOF),
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
    return any(root.exists(path) for name in FREQUENCIES for path in _both(name)) or bool(root.list("receipts"))
