"""``oceanrecon profiles inspect``: what a profile store holds, in figures and pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from oceanrecon.cli.common import JsonOption, console, facts, show_json, show_notes, table
from oceanrecon.cli.progress import ProgressBar

if TYPE_CHECKING:
    from oceanrecon.pipeline.profiles.figures import ProfileFigures


def inspect_command(
    store: Annotated[
        str, typer.Argument(metavar="STORE", help="Output of `profiles enrich`, the store in it, or a package.")
    ],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="DIR",
            help="Where the page goes; default: inspect/ in the output of `profiles enrich`, else ./profiles-inspect.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a profile store holds, and draw it on one HTML page: where, when, how deep, what became of the rest.

    With `--json` the page is drawn where `--output` is given, else nothing is written.

    Example: `oceanrecon profiles inspect demo/profiles`
    """  # fmt: skip
    from oceanrecon.pipeline.profiles.inspect import inspect_profiles

    with ProgressBar("profiles", silent=as_json) as bar:
        figures = inspect_profiles(store, bar.show)
    if not as_json:
        _show(figures)
    page = None
    if output is not None or not as_json:
        from oceanrecon.plots.profiles import default_folder, draw_profiles

        with ProgressBar("pictures", silent=as_json) as bar:
            page = str(draw_profiles(figures, output or default_folder(figures), bar.show))
    if as_json:
        show_json({**figures.summary(), "page": page})
    else:
        console.print(f"open [bold]{page}[/] in a browser", soft_wrap=True)


def _show(figures: ProfileFigures) -> None:
    from oceanrecon.pipeline.profiles.figures import SHALLOW, SHARES
    from oceanrecon.pipeline.profiles.schema import STATUS

    stages = figures.funnel()
    facts(
        {
            "store": figures.store,
            "profiles": f"{figures.profiles:,} of {sum(stages[0][1].values()):,} that were read: "
            f"{_listed(figures.sources)}",
            "dates": f"{figures.span}, {len(figures.days):,} days with profiles",
            "area": ", ".join(figures.area),
            "platforms": f"{figures.platforms_in_all:,}: {_listed(figures.platforms)}",
            "data modes": "; ".join(f"{source} {_listed(modes)}" for source, modes in figures.modes.items()) or "none",
            "temperature": ", ".join(figures.reach("temp")),
            "salinity": ", ".join(figures.reach("psal")),
            "quality": f"{figures.settings.get('quality')}, sampling {figures.settings.get('sampling')}",
        }
    )
    if any(step.profiles for step in figures.rejected):
        sources = [name for name in stages[0][1] if any(step.by_source.get(name) for step in figures.rejected)]
        rejected = [
            (step.reason, *(f"{step.by_source.get(name, 0):,}" for name in sources), f"{step.profiles:,}")
            for step in figures.rejected
            if step.profiles
        ]
        table("left out", ["why", *(name or "source not recorded" for name in sources), "all"], rejected)
    if figures.matches:
        matches = [(product, *(f"{count:,}" for count in counts)) for product, counts in figures.matches.items()]
        table("matches in time", ["product", *(name.replace("_", " ") for name in STATUS)], matches)
    if figures.surface:
        rows = [(one.name, one.units, f"{one.number[0]:,}", *one.texts(0)) for one in figures.surface]
        columns = ["field minus profile", "units", "pairs", "mean", "rms", *(f"{share:g} %" for share in SHARES)]
        table(f"at the shallowest value of a profile, where it is in the upper {SHALLOW:g} m", columns, rows)
    show_notes(figures.notes)
    if figures.failures:
        failed = [(failure["name"], escape(failure["message"])) for failure in figures.failures]
        table(f"{len(failed)} failed", ["what", "why"], failed)
        console.print("mend what is named, then run `oceanrecon profiles enrich CONFIG --resume`")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name or 'none'} {count:,}" for name, count in counts.items()) or "none"
