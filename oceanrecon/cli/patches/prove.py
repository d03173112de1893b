"""``oceanrecon patches prove``: shows that the sides of a split share nothing."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from oceanrecon.cli.common import JsonOption, SetOption, console, errors, facts, show_json

IndexPath = Annotated[
    str, typer.Argument(metavar="CONFIG|INDEX", help="YAML settings, or folder or fsspec URL of a patch index.")
]


def prove_command(index: IndexPath, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Prove from the written tables that no pixel on a day, target file or profile is on two sides of the split.

    It holds for samples of the days that the index was made with (rows.days). Writes what was checked to `proof.json`,
    where the index may be written; exits with 1 where something is on two sides.

    Example: `oceanrecon patches prove demo/patches`
    """
    from oceanrecon.errors import OutputError
    from oceanrecon.pipeline.patches.output import PROOF, index_folder
    from oceanrecon.pipeline.patches.proof import prove, write_proof
    from oceanrecon.stores.files import Root

    root = Root(index_folder(index, overrides or ()))
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
        console.print("[green]no pixel on a day, no target file and no profile is on two sides[/]", soft_wrap=True)
    else:
        errors.print(f"[red]two sides share something:[/] {escape(proof.message)}", soft_wrap=True)
    try:
        write_proof(root, proof)
    except OutputError as error:  # an index that others published
        errors.print(f"[yellow]note:[/] {PROOF} is not written: {escape(str(error))}", soft_wrap=True)
    else:
        if not as_json:
            (console if proof.holds else errors).print(f"see {root.url_of(PROOF)}", soft_wrap=True)
    if not proof.holds:
        raise typer.Exit(1)
