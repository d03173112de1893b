"""``oceanrecon evaluate``: scores models."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape

from oceanrecon.cli.common import JsonOption, console, errors, show_json, table
from oceanrecon.cli.progress import ProgressBar
from oceanrecon.cli.training.reconstruct import GuidanceOption, SamplerOption, StepsOption


def evaluate_command(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Folders or fsspec URLs of trained models; the report is about the first, beside the others.",
        ),
    ],
    split: Annotated[str, typer.Option("--split", help="Which rows and floats: test or val.")] = "test",
    members: Annotated[int, typer.Option("--members", help="Members of each ensemble.")] = 16,
    rows: Annotated[int, typer.Option("--rows", help="Patches at most, evenly through the dates.")] = 256,
    seed: Annotated[int, typer.Option("--seed", help="Of members, observation errors and resampling.")] = 0,
    sampler: SamplerOption = None,
    steps: StepsOption = None,
    guidance: GuidanceOption = 0.0,
    sha256: Annotated[
        list[str] | None,
        typer.Option(
            "--sha256", help="Checksum that model.pt has to have, once for each RUN; default: that beside it."
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", metavar="DIR", help="Folder; default: RUN/evaluation-SPLIT.")
    ] = None,
    device: Annotated[
        str | None, typer.Option("--device", help="Such as cpu or cuda; default: a GPU where there is one.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score models against floats that were withheld from them, and against the dense target.

    Writes index.html, a page with tables, calibration, spectra, maps, sections and profiles, and evaluation.json with
    all numbers. Ends with 1 where a check says that a model may have seen what it is scored on.

    Example: `oceanrecon evaluate runs/diffusion runs/regression runs/oi runs/climatology`
    """
    from oceanrecon.plots.evaluation import draw_evaluation
    from oceanrecon.training.evaluation.contenders import Sampling
    from oceanrecon.training.evaluation.harness import evaluate

    folder = output or f"{runs[0].removesuffix('/model.pt').rstrip('/')}/evaluation-{split}"
    with ProgressBar("patches", silent=as_json) as bar:
        found = evaluate(
            runs, split, members=members, rows=rows, seed=seed, sampling=Sampling(sampler, steps, guidance),
            sha256=sha256, device=device, told=bar.show,
        )  # fmt: skip
    found.write(folder)
    with ProgressBar("pictures", silent=as_json) as bar:
        page = draw_evaluation(found.numbers, found.arrays, folder, bar.show)
    if as_json:
        show_json({"page": page, **found.numbers})
    else:
        _show(found.numbers)
        for goal in found.numbers["goals"]:
            holds = "reached" if goal["holds"] else "[red]missed[/]"
            console.print(f"{holds}: {escape(goal['what'])}: {escape(goal['found'])}", soft_wrap=True)
        console.print(f"see {page}", soft_wrap=True)
    for text in found.broken:
        errors.print(f"[red]scores may be too good:[/] {escape(text)}", soft_wrap=True)
    if found.broken:
        raise typer.Exit(1)


def _show(numbers: Any) -> None:
    """All levels together."""
    for reference, about in numbers["references"].items():
        for field, units in numbers["fields"].items():
            shown = []
            for model, scores in numbers["scores"][reference].items():
                if scores["groups"]["all"]:
                    pooled = scores["groups"]["all"]["all"][field]["pooled"]
                    values = [pooled.get(name, {}).get("value") for name in _SHOWN]
                    shown.append((model, *("" if value is None else f"{value:.3g}" for value in values)))
            if shown:
                title = f"{field} ({units}) against {about['title']}, all levels together"
                table(title, ["model", *_SHOWN.values()], shown)


_SHOWN = {"rmse": "RMSE", "mae": "MAE", "bias": "bias", "crps": "CRPS", "correlation": "correlation",
          "spread_skill": "spread-skill"}  # fmt: skip
