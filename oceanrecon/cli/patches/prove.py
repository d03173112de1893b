"""``oceanrecon patches prove``: shows that the sides of a split share nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from oceanrecon.cli.common import JsonOption, console, errors, facts, show_json

IndexPath = Annotated[
    str, typer.Argument(metavar="CONFIG|INDEX", help="YAML settings, or folder or fsspec URL of a patch index.")
]


def prove_command(index: IndexPath, as_json: JsonOption = False) -> None:
    """Prove from the written tables that no pixel on a day, target file or profile is on two sides of the split.

    Writes what was checked to `proof.json`; exits with 1 where something is on two sides.

    Example: `oceanrecon patches prove demo/patches`
    """
    from oceanrecon.config import load_settings
    from oceanrecon.patch_config import PatchesSettings
    from oceanrecon.pipeline.patches.proof import prove
    from oceanrecon.stores.files import Root

    if index.endswith((".yaml", ".yml")):
        index = load_settings(PatchesSettings, index).output
    root = Root(index)
    proof = prove(root)
    if as_json:
        show_json(proof.to_dict())
    elif proof.holds:
        checked, seen = proof.checked, proof.checked["profiles"]
        facts(
            {
                "rows": ", ".join(f"{count:,} {side}" for side, count in checked["rows"].items()),
                "patches": f"{checked['patches']:,}, {checked['pairs that share pixels']:,} pairs share pixels",
                "dates": f"{checked['dates']:,}",
                "profiles": f"{seen['looked up']:,}, {seen['in rows of a side']:,} of them in rows of a side",
            }
        )
        console.print(
            f"[green]no pixel on a day, no target file and no profile is on two sides[/]: {root.url_of('proof.json')}",
            soft_wrap=True,
        )
    else:
        errors.print(
            f"[red]two sides share something:[/] {proof.message}; see {root.url_of('proof.json')}", soft_wrap=True
        )
    if not proof.holds:
        raise typer.Exit(1)
