"""Everything behind one pixel: every file, stored number, weight, mean and code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from rasterio.windows import Window

from oceanrecon.errors import ConfigError, OutputError
from oceanrecon.grid import parse_date
from oceanrecon.pipeline.rebuild import Existing, load_export
from oceanrecon.sources.block import Block, open_source
from oceanrecon.sources.registry import product as find_product
from oceanrecon.stores.geotiff import read_codes
from oceanrecon.stores.receipts import Receipt, read_failures, read_receipts
from oceanrecon.stores.zarr_store import decode_shard
from oceanrecon.transform.regrid import FRACTION_SLACK

#: Deeper than any ocean, m.
_DEEPEST = 12000.0


@dataclass(frozen=True)
class Cell:
    """One source cell of one file."""

    latitude: float
    longitude: float
    weight: float
    stored: float
    #: in the units of the output, ``None`` where the cell is missing
    value: float | None


@dataclass(frozen=True)
class FileCells:
    """The cells of one file that have weight in the pixel."""

    path: str
    date: str
    units: str | None
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Explanation:
    """How a pixel got its code."""

    variable: str
    date: str
    row: int
    column: int
    latitude: float
    longitude: float
    depth: float | None
    level: int
    units: str
    method: str
    files: tuple[FileCells, ...]
    #: mean over the window of each contributing source cell: (weight, mean or None)
    means: tuple[tuple[float, float | None], ...]
    valid_fraction: float
    minimum_valid_fraction: float
    #: None: missing
    value: float | None
    code: int
    decoded: float | None
    #: what the export holds, per format
    found: dict[str, int]

    @property
    def agrees(self) -> bool:
        """Whether every format holds the code worked out here."""
        return all(code == self.code for code in self.found.values())


def explain(
    url: str, variable: str, date: str, longitude: float, latitude: float, depth: float | None = None
) -> Explanation:
    """Work out one pixel of an export from its sources, step by step, and compare with what it holds.

    Args:
        url: the export.
        variable: such as ``thetao``.
        date: target date.
        longitude: degrees east; the pixel that holds the point is taken.
        latitude: degrees north.
        depth: metres; the nearest level is taken (default: the first).

    Raises:
        OutputError: the export has no such block, or it failed (with why).
        ConfigError: the point is outside the grid.
        SourceError: a source cannot be read any more.
    """
    existing = load_export(url)
    receipt = _receipt(existing, variable, f"{parse_date(date):%Y%m%d}")
    row, column = existing.recipe.grid.pixel(longitude, latitude)
    block = existing.block(receipt)
    if depth is not None and not block.depth:
        raise ConfigError(f"{variable} is a surface variable: leave --depth out")
    if depth is not None and not 0 <= depth <= _DEEPEST:
        raise ConfigError(f"a depth of {depth:g} m is not in the ocean: give metres downwards, 0 to {_DEEPEST:g}")
    level = 0 if depth is None else int(np.abs(np.array(block.depth) - depth).argmin())
    recipe = existing.recipe
    weights = block.weights(recipe.grid, recipe.minimum_valid_fraction)
    cells = [
        (int(y), int(x), float(a * b))
        for y, a in zip(weights.rows.index[:, row], weights.rows.weight[:, row], strict=True)
        for x, b in zip(weights.columns.index[:, column], weights.columns.weight[:, column], strict=True)
        if a * b > 0
    ]
    files = tuple(_read_cells(block, number, level, cells) for number in range(len(block.sources)))
    means = []
    for number, (_, _, weight) in enumerate(cells):
        values = [value for file in files if (value := file.cells[number].value) is not None]
        means.append((weight, float(np.mean(values)) if values else None))
    valid = [(weight, mean) for weight, mean in means if mean is not None]
    fraction = sum(weight for weight, _ in valid)
    enough = bool(valid) and fraction >= recipe.minimum_valid_fraction - FRACTION_SLACK
    value = sum(weight * mean for weight, mean in valid) / fraction if enough else None
    code_of = recipe.stretch(find_product(block.product).variable(variable))
    code = int(code_of.encode(np.array([np.nan if value is None else value]))[0])
    decoded = float(code_of.decode(np.array([code], dtype=code_of.dtype))[0])
    return Explanation(
        variable=variable,
        date=receipt.date,
        row=row,
        column=column,
        latitude=float(recipe.grid.latitude[row]),
        longitude=float(recipe.grid.longitude[column]),
        depth=block.depth[level] if block.depth else None,
        level=level,
        units=code_of.units,
        method=weights.method,
        files=files,
        means=tuple(means),
        valid_fraction=fraction,
        minimum_valid_fraction=recipe.minimum_valid_fraction,
        value=value,
        code=code,
        decoded=None if np.isnan(decoded) else decoded,
        found=_found(existing, receipt, level, row, column),
    )


def _receipt(existing: Existing, variable: str, date: str) -> Receipt:
    receipts = read_receipts(existing.root).receipts
    for receipt in receipts:
        if (receipt.variable, receipt.date) == (variable, date):
            return receipt
    for failure in read_failures(existing.root):
        if (failure.variable, failure.date) == (variable, date):
            raise OutputError(f"{variable} of {date} failed: {failure.message}")
    names = sorted({receipt.variable for receipt in receipts})
    dates = sorted({receipt.date for receipt in receipts if receipt.variable == variable})
    has = f"{variable} has {dates[0]}..{dates[-1]} ({len(dates)} dates)" if dates else f"its variables are {names}"
    raise OutputError(f"the export holds no {variable!r} of {date}: {has}")


def _read_cells(block: Block, number: int, level: int, cells: list[tuple[int, int, float]]) -> FileCells:
    source = block.sources[number]
    with open_source(block, source) as reader:
        field = reader.read(level, level + 1)[0]
        unpacking, units = reader.unpacking, reader.header.units
    found = []
    for y, x, weight in cells:
        stored: Any = field[y, x]
        good = unpacking.low <= stored <= unpacking.high and stored not in unpacking.fills
        found.append(
            Cell(
                latitude=float(block.latitude.values[y]),
                longitude=float(block.longitude.values[x]),
                weight=weight,
                stored=float(stored),
                value=float(stored) * unpacking.scale + unpacking.offset if good else None,
            )
        )
    return FileCells(source.path, f"{source.date:%Y%m%d}", units, tuple(found))


def _found(existing: Existing, receipt: Receipt, level: int, row: int, column: int) -> dict[str, int]:
    found: dict[str, int] = {}
    tiff, shard = receipt.file("geotiff"), receipt.file("zarr")
    if tiff is not None:
        window = Window(column, row, 1, 1)
        found["geotiff"] = int(read_codes(existing.root.url_of(tiff.path), bands=[level + 1], window=window)[0, 0, 0])
    if shard is not None:
        product = find_product(receipt.product)
        dense = existing.recipe.dense_variable(product, product.variable(receipt.variable))
        layout = existing.recipe.layout(tuple(existing.manifest["depth_axis_m"]), (), (dense,))
        codes = decode_shard(existing.root.read(shard.path), dense, layout)
        found["zarr"] = int(codes.reshape(-1, *codes.shape[-2:])[level, row, column])
    return found
