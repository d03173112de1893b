"""``oceanrecon reconstruct``: maps of a date."""

from __future__ import annotations

from typing import Annotated

import typer

from oceanrecon.cli.common import JsonOption, OverwriteOption, duration, facts, show_json, show_notes
from oceanrecon.cli.progress import ProgressBar

SamplerOption = Annotated[
    str | None, typer.Option("--sampler", help="dpm, heun, ddim or ddpm; default: as the model was trained for.")
]
StepsOption = Annotated[int | None, typer.Option("--steps", min=1, help="Steps of the sampler.")]
GuidanceOption = Annotated[
    float, typer.Option("--guidance", min=0.0, help="How strongly members are pulled towards profiles; 0: not.")
]


def reconstruct_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Folder or URL of a training, or of its model.pt.")],
    output: Annotated[str, typer.Option("--output", help="Folder or fsspec URL of the maps.")],
    date: Annotated[str | None, typer.Option("--date", help="Such as 2018-06-22.")] = None,
    week: Annotated[str | None, typer.Option("--week", help="ISO week, such as 2018-W25, instead of a date.")] = None,
    export: Annotated[
        str | None, typer.Option("--export", help="Export of which profiles and surface fields are.")
    ] = None,
    index: Annotated[
        str | None, typer.Option("--index", help="Patch index whose archives are read, instead of an export.")
    ] = None,
    box: Annotated[
        tuple[float, float, float, float] | None,
        typer.Option("--box", help="West, south, east, north, degrees; west > east crosses 180. Default: everything."),
    ] = None,
    members: Annotated[int, typer.Option("--members", min=1, help="Members of the ensemble.")] = 16,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the members.")] = 0,
    sampler: SamplerOption = None,
    steps: StepsOption = None,
    guidance: GuidanceOption = 0.0,
    sha256: Annotated[
        str | None, typer.Option("--sha256", help="Checksum that model.pt has to have; default: that beside it.")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Tiles times members that are worked on together.")] = 16,
    device: Annotated[
        str | None, typer.Option("--device", help="cpu or cuda; default: a GPU where there is one.")
    ] = None,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    """Reconstruct temperature and salinity at depth, on a box or the globe: mean, spread, quantiles and members.

    Writes GeoTIFFs, a zarr store, the profiles that were used, and `run_summary.yaml`.

    Example: `oceanrecon reconstruct RUN --export demo/export --date 2012-03-07 --box -60 20 -20 50 --output maps`
    """
    from oceanrecon.errors import ConfigError
    from oceanrecon.training.device import default_device
    from oceanrecon.training.inference.reconstruct import reconstruct
    from oceanrecon.training.model.stored import load_model

    wanted = date or week
    if wanted is None or (date and week):
        raise ConfigError("give either --date, such as 2018-06-22, or --week, such as 2018-W25")
    trained = load_model(run, device or default_device(), sha256=sha256)
    with ProgressBar("members", silent=as_json) as bar:
        found = reconstruct(
            trained, wanted, output, export=export, index=index, box=box, number=members, seed=seed,
            sampler=trained.sampler(sampler, steps), guidance=guidance, batch=batch, overwrite=overwrite, told=bar.show,
        )  # fmt: skip
    if as_json:
        show_json({"output": found.output, **found.summary})
        return
    summary, grid = found.summary, found.grid
    ensemble = summary["ensemble"]
    facts(
        {
            "map": f"{summary['date']}, {grid.width} x {grid.height} pixels of {grid.dx:g} degrees",
            "profiles": f"{summary['profiles']:,} within {summary['days']} days",
            "members": f"{ensemble['members']}" if ensemble["members"] else ensemble["kind"],
            "output": f"{found.output}, {sum(file['bytes'] for file in summary['files'].values()) / 1e6:,.1f} MB in "
            f"{duration(summary['seconds'])}",
        }
    )
    show_notes([f"there was no {name} of that date: the model did without" for name in summary["missing_surface"]])
