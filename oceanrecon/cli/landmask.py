"""``oceanrecon landmask``: makes a land mask for a grid."""

from __future__ import annotations

from typing import Annotated

import typer

from oceanrecon.cli.common import console


def landmask_command(
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="GeoTIFF to write.")],
    resolution: Annotated[float, typer.Option(help="Cell size, degrees.")] = 0.1,
    bounds: Annotated[
        tuple[float, float, float, float], typer.Option(help="West, south, east, north edges, degrees.")
    ] = (-180.0, -90.0, 180.0, 90.0),
    reanalysis: Annotated[
        str | None, typer.Option("--from", metavar="FILE", help="GLORYS file whose own land is taken.")
    ] = None,
) -> None:
    """Make a land mask (1 land, 0 water) for a grid, from a 1 km coastline or from a GLORYS file's missing values.

    Prefer `--from` where there is a GLORYS file: in the coastline, Antarctic ice shelves are water.

    Example: `oceanrecon landmask --resolution 0.1 --output mask.tif`
    """
    from oceanrecon.grid import RasterGrid
    from oceanrecon.pipeline.landmask import write_land_mask

    share = write_land_mask(RasterGrid.from_bounds(resolution, bounds), output, reanalysis)
    console.print(f"{output}: {share:.1%} land")
