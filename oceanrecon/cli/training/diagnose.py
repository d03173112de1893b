"""``oceanrecon diagnose``: looks into a trained model."""

from __future__ import annotations

from typing import Annotated

import typer

from oceanrecon.cli.common import JsonOption, console, show_json, show_notes, table
from oceanrecon.cli.progress import ProgressBar


def diagnose_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder or fsspec URL of a trained model.")],
    split: Annotated[str, typer.Option("--split", help="Which rows are sampled: train, val or test.")] = "val",
    rows: Annotated[int, typer.Option("--rows", help="Patches at most, evenly through the side.")] = 4,
    members: Annotated[int, typer.Option("--members", help="Members of the ensembles.")] = 8,
    seed: Annotated[int, typer.Option("--seed", help="Of the members.")] = 0,
    output: Annotated[
        str | None, typer.Option("--output", metavar="DIR", help="Folder; default: RUN/diagnosis.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Such as cpu or cuda; default: a GPU where there is one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a model was trained, and what sampler steps and noise levels do to its ensemble.

    Writes index.html, a page with pictures, and diagnosis.json with all numbers.

    Example: `oceanrecon diagnose runs/diffusion --rows 8`
    """
    from oceanrecon.plots.diagnosis import draw_diagnosis
    from oceanrecon.training.evaluation.diagnose import diagnose

    folder = output or f"{run.removesuffix('/model.pt').rstrip('/')}/diagnosis"
    with ProgressBar("samplers of patches", silent=as_json) as bar:
        found = diagnose(run, split, rows=rows, members=members, seed=seed, device=device, told=bar.show)
    found.write(folder)
    with ProgressBar("pictures", silent=as_json) as bar:
        page = draw_diagnosis(found.numbers, found.arrays, folder, bar.show)
    if as_json:
        show_json({"page": page, **found.numbers})
        return
    sampling = found.numbers["sampling"]
    for field, units in sampling["fields"].items() if sampling else ():
        shown = [
            (f"{one['method']}, {one['steps']} steps", f"{one['evaluations']}",
             *(f"{one['fields'][field][name]:.4g}" for name in ("rmse", "crps", "spread_skill", "distance")))
            for one in sampling["samplers"]
        ]  # fmt: skip
        columns = ["sampler", "evaluations", "RMSE of the mean", "CRPS", "spread over error", "from the finest"]
        table(f"{field} ({units}), all levels together", columns, shown)
    show_notes(found.numbers["notes"])
    console.print(f"see {page}", soft_wrap=True)
