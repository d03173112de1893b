"""``oceanrecon patches stats``: what a patch index holds, in figures and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from oceanrecon.cli.common import JsonOption, SetOption, console, facts, show_json, show_notes, table
from oceanrecon.cli.progress import ProgressBar

if TYPE_CHECKING:
    from oceanrecon.pipeline.patches.figures import PatchFigures

#: Percentiles that are shown.
_SHARES = (5, 50, 95)


def stats_command(
    index: Annotated[
        str, typer.Argument(metavar="CONFIG|FOLDER", help="Settings of an index that is made, or the folder of one.")
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="DIR", help="Where the page goes; default: stats/ in the index."),
    ] = None,
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a patch index holds, and draw it on one HTML page: split, support, land, overlap, and some samples.

    Example: `oceanrecon patches stats configs/patches.yaml`
    """
    from oceanrecon.pipeline.patches.examples import find_examples
    from oceanrecon.pipeline.patches.output import index_folder
    from oceanrecon.pipeline.patches.stats import patch_figures
    from oceanrecon.plots.patches import FOLDER, draw_patches, summary
    from oceanrecon.stores.files import Root

    folder = Root(index_folder(index, overrides or ()))
    with ProgressBar("rows", silent=as_json) as bar:
        figures = patch_figures(folder.url, bar.show)
    examples, why = find_examples(figures)
    notes = [*figures.notes, *why]
    if not as_json:
        _show(figures)
        show_notes(notes)
    with ProgressBar("pictures", silent=as_json) as bar:
        page = draw_patches(figures, examples, notes, output or folder.url_of(FOLDER), bar.show)
    if as_json:
        show_json({**summary(figures, notes), "page": page})
    else:
        console.print(f"open [bold]{page}[/] in a browser", soft_wrap=True)


def _show(figures: PatchFigures) -> None:
    from oceanrecon.plots.page import percent

    patches, grid, rows = figures.patches, figures.patches.grid, figures.all_rows
    mean, most = figures.overlap_spread
    span = f", {figures.dates[0]} to {figures.dates[-1]}" if figures.dates else ""
    covered, shared = (percent(figures.coverage[name]) for name in ("all", "shared"))
    sides = f"{shared} of the ocean is on two sides" if figures.shared.any() else "no pixel is on two sides"
    facts(
        {
            "index": figures.index,
            "tiles": f"{patches.tile} pixels ({patches.tile * grid.dx:g} degrees), {patches.stride} pixels apart",
            "patches": f"{int(figures.used.sum()):,} of {patches.ids.size:,} tiles, "
            f"{int((figures.used & figures.crossing).sum()):,} across the dateline",
            "dates": f"{len(figures.dates):,} {figures.frequency}{span}",
            "rows": f"{rows.rows:,} on a side, {rows.empty:,} of them without a profile within {figures.days} days",
            "split": "by date, each place is on every side" if figures.by_date else f"by {figures.method}; {sides}",
            "ocean": f"{covered} of its area is in patches, {mean:.1f} on a pixel, {most} at most",
        }
    )
    lines = []
    for phase, number, one in figures.sides:
        share = percent(figures.coverage[phase]) if phase in figures.coverage else ""
        told = [f"{one.mean:.1f}", *(f"{one.percentile(share):,}" for share in _SHARES)] if one.rows else [""] * 4
        lines.append((phase, f"{number:,}", share, f"{one.rows:,}", f"{one.empty:,}", *told))
    head = ["side", "patches", "of the ocean", "rows", "without profiles", "profiles per row"]
    table("split and support", [*head, *(f"{share} %" for share in _SHARES)], lines)
