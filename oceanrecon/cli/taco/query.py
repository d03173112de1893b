"""``oceanrecon taco query``: variables of a dataset in a box, over some days."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, cast

import numpy as np
import typer

from oceanrecon.cli.common import JsonOption, console, show_json, table
from oceanrecon.cli.taco.options import TacoPath, day, names


def query_command(
    dataset: TacoPath,
    box: Annotated[
        tuple[float, float, float, float],
        typer.Option(help="West, south, east, north, degrees; west > east crosses the dateline."),
    ],
    dates: Annotated[tuple[str, str], typer.Option(help="First and last day, YYYY-MM-DD.")],
    variables: Annotated[
        str, typer.Option(help="With commas: names such as l4_sst, or source:variable such as l4_wind:northward_wind.")
    ] = "l4_ssh,l4_sst,l4_sss",
    size: Annotated[
        int | None, typer.Option(min=1, help="Rows and columns; default: the cells of each source.")
    ] = None,
    aggregate: Annotated[str, typer.Option(help="Over the days: first, last, mean or stack.")] = "mean",
    output: Annotated[str | None, typer.Option("--output", "-o", metavar="FILE", help="Write a NetCDF file.")] = None,
    picture: Annotated[str | None, typer.Option(metavar="FILE", help="Draw maps: .png.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Read variables in a box: only files of regions that the box touches are opened.

    Example: `oceanrecon taco query taco --box 175 -40 -175 -30 --dates 2023-04-01 2023-04-07 --variables l4_sst,l3_ssh`
    """
    from oceanrecon.samples.regional.query import RegionalQuery, open_taco
    from oceanrecon.samples.regional.read import Aggregation, Reading, read_patches

    first, last = (day(text) for text in dates)
    wanted = names(variables)
    # one that there is not is refused there
    how = Reading(shape=None if size is None else (size, size), aggregate=cast(Aggregation, aggregate))
    query = RegionalQuery(box, first, last)
    patches, opened = read_patches(open_taco(dataset), query, wanted, how)
    written = []
    if output is not None:
        from oceanrecon.pipeline.taco.patches import write_patches

        written.append(write_patches(output, patches, query))
    if picture is not None:
        from oceanrecon.plots.maps import png_bytes
        from oceanrecon.plots.regional import draw_patches
        from oceanrecon.stores.files import Root

        path = Path(picture).absolute()
        Root(str(path.parent)).write(path.name, png_bytes(draw_patches(patches, query)))
        written.append(str(path))
    found: dict[str, dict[str, Any]] = {}
    for name, patch in patches.items():
        values = patch.data[patch.mask].astype(np.float64)
        known = {"minimum": values.min(), "mean": values.mean(), "maximum": values.max()} if values.size else {}
        found[name] = {
            "shape": list(patch.data.shape), "valid": int(values.size),
            **{key: float(value) for key, value in known.items()},
        }  # fmt: skip
    if as_json:
        show_json({"files": opened, "variables": found, "written": written})
        return
    rows = [
        (
            name, " x ".join(map(str, one["shape"])), f"{one['valid']:,}",
            *(f"{one[key]:.4g}" if key in one else "-" for key in ("minimum", "mean", "maximum")),
        )
        for name, one in found.items()
    ]  # fmt: skip
    table(f"{opened:,} files opened", ["variable", "shape", "values", "minimum", "mean", "maximum"], rows, whole=1)
    for path_written in written:
        console.print(f"wrote {path_written}", soft_wrap=True)
