"""``oceanrecon patches grid``: tiles the grid."""

from __future__ import annotations

from dataclasses import asdict

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


def grid_command(
    config: ConfigPath,
    resume: ResumeOption = False,
    overwrite: OverwriteOption = False,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Tile the grid: a table of the patches with their land, outlines and, where they are split by place, their side.

    Example: `oceanrecon patches grid configs/patches.yaml --set tiling.stride=64`
    """
    from oceanrecon.config import load_settings
    from oceanrecon.patch_config import PatchesSettings
    from oceanrecon.pipeline.patches.spatial import write_grid

    refuse_both(resume, overwrite)
    settings = load_settings(PatchesSettings, config, tuple(overrides or ()))
    result = write_grid(settings, resume=resume, overwrite=overwrite)
    if as_json:
        show_json(asdict(result))
        return
    rows, columns = result.shape
    phases = ", ".join(f"{count:,} {phase}" for phase, count in result.phases.items())
    facts(
        {
            "tiles": f"{result.tiles:,} ({rows} rows of {columns})",
            "patches": f"{result.patches:,}, of which {result.forced:,} by forced regions",
            "left out": f"{result.tiles - result.patches:,} over the thresholds",
            "split": phases or f"by {'year' if settings.split.method == 'year' else 'row'}: see `patches index`",
        }
    )
    guarded = result.phases.get("guard", 0)
    if guarded > result.patches / 2:
        console.print(
            f"[yellow]note:[/] {guarded:,} of {result.patches:,} patches lie across two sides and are left out: larger "
            "split.block_degrees, or a larger stride, keeps more",
            soft_wrap=True,
        )
    console.print(f"{', '.join(result.files)} in {result.output}", soft_wrap=True)
