"""Draws an export: pictures per variable and date, and one HTML page that holds them all."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid.raster import RasterGrid
from oceanrecon.grid.times import parse_date
from oceanrecon.pipeline.open import open_export
from oceanrecon.plots.colours import Look, look
from oceanrecon.plots.facts import export_facts
from oceanrecon.plots.fields import (
    Field,
    Layer,
    SeamCheck,
    Strip,
    check_seams,
    choose_dates,
    choose_levels,
    dates_of,
    described,
    fullest_line,
    grid_of,
    make_layer,
    read_levels,
    seam_strips,
    shrink,
    shrink_factor,
)
from oceanrecon.plots.maps import (
    Background,
    Section,
    draw_histogram,
    draw_maps,
    draw_overview,
    draw_seams,
    draw_section,
    limits,
    png_bytes,
)
from oceanrecon.plots.page import Picture
from oceanrecon.plots.report import Chapter, render_page
from oceanrecon.sources.product import Variable
from oceanrecon.stores.files import Root
from oceanrecon.stores.manifest import read_manifest
from oceanrecon.stores.mask import read_land_mask
from oceanrecon.transform.encode import stretch

PAGE = "index.html"
OVERVIEW = "overview.png"
_BINS = 255


@dataclass(frozen=True)
class _Drawn:
    """One variable, read: what all its pictures are made from."""

    variable: Variable
    look: Look
    #: date -> levels, shallowest first
    layers: Mapping[dt.date, tuple[Layer, ...]]
    #: colour limits per level, the same for all dates, in the units shown
    scales: tuple[tuple[float, float], ...]
    #: bin edges of the histograms, in the units of the dataset
    edges: NDArray[np.float64]
    #: of the first level at the first date
    strips: tuple[Strip, ...]
    seams: tuple[SeamCheck, ...]
    section: Section | None

    @property
    def first(self) -> Layer:
        """The shallowest level at the first date."""
        return next(iter(self.layers.values()))[0]


def quicklook(
    export_url: str,
    output_dir: str | Path | None = None,
    dates: Sequence[str | dt.date] | None = None,
    depths: Sequence[float] | None = None,
    on_done: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Draw an export; returns the path of ``index.html``, which needs no other file.

    Beside it lie the pictures as PNG, among them ``overview.png``: a surface map and a section.

    Args:
        export_url: folder or fsspec URL of the export.
        output_dir: local folder; default: ``quicklook`` in the export, where that is local.
        dates: target dates; default: the first, the middle and the last.
        depths: m, the nearest levels are drawn; default: 0, 100, 500 and 2000.
        on_done: called with how many variables are drawn, how many there are, and the last.

    Raises:
        OutputError: there is no export, or no place to write to.
        ConfigError: a date is not in the export.
    """
    root = Root(export_url)
    manifest = read_manifest(root)
    if output_dir is None:
        if root.local_path is None:
            raise OutputError(f"pictures of the remote export {root.url} need a local folder: give an output directory")
        output_dir = root.local_path / "quicklook"
    mask = manifest["grid"]["source"]
    land = read_land_mask(root.url_of(mask)) if mask and root.exists(mask) else None
    wanted = None if dates is None else [parse_date(date) for date in dates]
    return draw_export(open_export(export_url), manifest, land, Path(output_dir), wanted, depths, on_done)


def draw_export(
    dataset: xr.Dataset,
    manifest: Mapping[str, Any],
    land: NDArray[np.uint8] | None,
    output_dir: Path,
    dates: Sequence[dt.date] | None = None,
    depths: Sequence[float] | None = None,
    on_done: Callable[[int, int, str], None] | None = None,
) -> Path:
    """``quicklook`` of an opened export.

    Args:
        dataset: as ``open_export`` gives it: float32 in physical units, latitude from north to south.
        manifest: of the same export.
        land: [latitude, longitude], 1 on land; without it, cells never valid in a variable are its land.
        output_dir: made where it is not there.
        dates: target dates; default: the first, the middle and the last.
        depths: m; default: 0, 100, 500 and 2000.
        on_done: as for ``quicklook``.
    """
    names = [str(name) for name in dataset.data_vars if not str(name).endswith("_days")]
    if not names:
        raise ConfigError("the export has no variables: nothing can be drawn")
    if land is not None and land.shape != (dataset.sizes["latitude"], dataset.sizes["longitude"]):
        raise OutputError(f"the land mask has shape {land.shape}, the export {dict(dataset.sizes)}: they must agree")
    facts = export_facts(manifest)
    chosen = choose_dates(dates_of(dataset), dates)
    drawn = [_read(dataset, name, chosen, depths, str(manifest["encoding"])) for name in names]
    chapters = []
    for number, one in enumerate(drawn, start=1):
        found = facts.of(one.variable.name)
        clipped = None if found is None else found.clipped
        chapters.append(_chapter(one, _background(one, grid_of(dataset), land), clipped))
        if on_done is not None:
            on_done(number, len(drawn), one.variable.name)
    overview = _overview(drawn, grid_of(dataset), land)
    output = Root(str(output_dir))
    for picture in (overview, *(picture for chapter in chapters for picture in chapter.pictures)):
        output.write(picture.name, picture.png)
    output.write(PAGE, render_page(manifest, overview, chapters).encode())
    output.clear_staging()
    return Path(output.url_of(PAGE))


def _read(
    dataset: xr.Dataset, name: str, dates: Sequence[dt.date], depths: Sequence[float] | None, encoding: str
) -> _Drawn:
    variable, array, grid = described(name), dataset[name], grid_of(dataset)
    shown = look(variable.quantity)
    code = stretch(variable.quantity, "uint16" if encoding == "uint16" else "uint8")
    edges = np.linspace(code.minimum - code.step / 2, code.maximum + code.step / 2, _BINS + 1)
    metres = dataset["depth"].values.astype(np.float64) if "depth" in array.dims else None
    levels = [0] if metres is None else choose_levels(metres, depths)
    available = dates_of(dataset)
    layers: dict[dt.date, tuple[Layer, ...]] = {}
    surface: Field | None = None
    for date in dates:
        fields = read_levels(array, available.index(date), levels)
        surface = fields[0].copy() if surface is None else surface
        layers[date] = tuple(
            make_layer(field, grid, date, None if metres is None else float(metres[level]), edges)
            for level, field in zip(levels, fields, strict=True)
        )
    assert surface is not None
    scales = tuple(limits([shown.show(layers[date][n].values) for date in dates], shown) for n in range(len(levels)))
    section = None
    if metres is not None and metres.size > 1:
        held, index = fullest_line(layers[dates[0]], grid)
        along = "latitude" if held == "longitude" else "longitude"
        line = array.isel({"time": available.index(dates[0]), held: index}).transpose("depth", along)
        section = Section(
            dates[0],
            metres,
            dataset[along].values.astype(np.float64),
            shown.show(np.asarray(line.values, dtype=np.float32)),
            held,
            float(dataset[held].values[index]),
        )
    return _Drawn(
        variable,
        shown,
        layers,
        scales,
        edges,
        tuple(seam_strips(surface, grid)) if grid.periodic else (),
        tuple(check_seams(surface, grid)),
        section,
    )


def _background(drawn: _Drawn, grid: RasterGrid, land: NDArray[np.uint8] | None) -> Background:
    if land is None:
        ever = np.any([np.isfinite(levels[0].values) for levels in drawn.layers.values()], axis=0)
        return Background(~ever, drawn.first.extent)
    share = shrink(land.astype(np.float32), shrink_factor(grid.width))
    return Background(share >= 0.5, drawn.first.extent)


def _chapter(drawn: _Drawn, background: Background, clipped: tuple[float, float] | None) -> Chapter:
    name, title = drawn.variable.name, drawn.variable.long_name
    pictures = []
    for date, layers in drawn.layers.items():
        figure = draw_maps(f"{title} ({name}), {date}", layers, drawn.scales, drawn.look, background)
        pictures.append(Picture(f"{name}_{date:%Y%m%d}.png", f"Map of {title}, {date}", png_bytes(figure)))
    if drawn.section is not None:
        figure = draw_section(f"{title} ({name})", drawn.section, drawn.look)
        pictures.append(Picture(f"{name}_section.png", f"Section of {title}", png_bytes(figure)))
    every = [layer for layers in drawn.layers.values() for layer in layers]
    figure = draw_histogram(f"Values of {name}", every, drawn.edges, drawn.look, clipped)
    pictures.append(Picture(f"{name}_histogram.png", f"Histogram of {title}", png_bytes(figure)))
    if drawn.strips:
        heading = f"Seams of {name} at full size, {drawn.first.date}"
        figure = draw_seams(heading, drawn.strips, drawn.scales[0], drawn.look)
        pictures.append(Picture(f"{name}_seams.png", f"Seams of {title}", png_bytes(figure)))
    return Chapter(name, title, tuple(pictures), drawn.seams)


def _overview(drawn: Sequence[_Drawn], grid: RasterGrid, land: NDArray[np.uint8] | None) -> Picture:
    """Surface temperature, or what comes nearest to it, above a section of the first variable with levels."""
    by_name = {one.variable.name: one for one in drawn}
    top = by_name.get("analysed_sst") or by_name.get("thetao") or drawn[0]
    deep = by_name.get("thetao") or next((one for one in drawn if one.section is not None), top)
    figure = draw_overview(
        f"{top.variable.long_name}, {top.first.date}",
        top.first,
        top.scales[0],
        top.look,
        _background(top, grid, land),
        deep.section,
        deep.look,
        deep.variable.long_name,
    )
    return Picture(OVERVIEW, "Overview: a surface map and a section", png_bytes(figure))
