"""Risk: a map that is shifted by a pixel, has a hole or a seam, or ends at the dateline."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from oceanrecon.errors import ConfigError
from oceanrecon.grid import RasterGrid
from oceanrecon.training.inference.canvas import Bounds, Box, Canvas, Fusion
from tests.training.inference.canvases import GLOBE

DEGREE = RasterGrid.from_bounds(1.0, (-180, -90, 180, 90))
REGION = RasterGrid.from_bounds(1.0, (-30, 0, 10, 40))


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (None, (0, 0, 180, 360)),
        ((-180, -90, 180, 90), (0, 0, 180, 360)),
        ((-10, 20, 5, 40), (50, 170, 20, 15)),
        ((-9.5, 20.5, 4.5, 39.5), (50, 170, 20, 15)),  # pixels that it touches
        ((170, -5, -170, 5), (85, 350, 10, 20)),  # across 180 degrees
        ((170, -5, 190, 5), (85, 350, 10, 20)),
        ((0, 0, 360, 10), (80, 180, 10, 360)),
        ((179, 0, 180, 1), (89, 359, 1, 1)),
    ],
)
def test_a_box_is_the_pixels_that_it_touches(bounds: Bounds | None, expected: tuple[int, ...]) -> None:
    box = Box.of(DEGREE, bounds)
    assert (box.row, box.column, box.height, box.width) == expected


def test_a_box_of_a_region_has_to_lie_in_it() -> None:
    assert Box.of(REGION, (-10, 10, 10, 40)) == Box(0, 20, 30, 20)
    assert Box.of(REGION, None) == Box(0, 0, 40, 40)
    for bounds in ((-31, 10, 0, 20), (0, 10, 11, 20), (0, 10, 5, 41), (0, -1, 5, 20), (150, 10, 160, 20)):
        with pytest.raises(ConfigError, match=r"reaches beyond the grid.* \[-30.0, 0.0, 10.0, 40.0\]"):
            Box.of(REGION, bounds)
    for wrong in ((0, 20, 10, 20), (0, 30, 10, 20), (5, 0, 5, 10), (0, 0, float("nan"), 1), (0, 0, 1, 91)):
        with pytest.raises(ConfigError, match="is no box: give west, south, east and north"):
            Box.of(DEGREE, wrong)


CANVASES = [
    (DEGREE, None, 64),
    (DEGREE, (170, -5, -170, 5), 32),
    (DEGREE, (-180, 80, -178, 90), 16),
    (DEGREE, (-170, 0, 165, 30), 64),  # with its margin it is the whole circle
    (REGION, None, 40),
    (REGION, (-30, 0, -25, 5), 16),
    (GLOBE, None, 16),
]


@pytest.mark.parametrize(("grid", "bounds", "tile"), CANVASES)
def test_tiles_cover_the_canvas_and_fuse_to_what_they_were_cut_from(
    grid: RasterGrid, bounds: Bounds | None, tile: int
) -> None:
    canvas = Canvas.of(grid, Box.of(grid, bounds), tile)
    # a field of the grid: the number of each pixel
    whole = torch.arange(grid.height * grid.width).reshape(grid.height, grid.width)
    field = whole[canvas.rows][:, canvas.columns]
    tiles = range(len(canvas.corners))
    cut = canvas.cut(field, tiles)
    assert cut.shape == (len(tiles), tile, tile)
    assert cut[:, 0, 0].tolist() == canvas.patch_ids.tolist()
    assert set(cut.flatten().tolist()) == set(field.flatten().tolist())
    down, across = (np.diff(sorted({corner[axis] for corner in canvas.corners})) for axis in (0, 1))
    assert max([*down, *across], default=0) <= tile * 3 // 4
    fusion = Fusion(canvas, tiles, torch.device("cpu"))
    values = torch.randn(2, canvas.height, canvas.width)
    fused = fusion.fused((some, canvas.cut(values, some)) for some in fusion.batches(3))
    torch.testing.assert_close(fused, values, rtol=0, atol=1e-5)
    box = canvas.box
    expected = whole[box.row : box.row + box.height][:, (box.column + np.arange(box.width)) % grid.width]
    assert torch.equal(canvas.crop(field), expected)
    # the edges of the box know what lies beyond, where the grid does
    assert box.row == 0 or box.row - canvas.row >= min(tile // 4, box.row)


def test_weights_change_smoothly_from_tile_to_tile() -> None:
    """One tile is 1, the others 0: what is left of it falls from 1 to 0 by small steps, across 180 degrees too."""
    canvas = Canvas.of(DEGREE, Box.of(DEGREE, None), 64)
    tiles = range(len(canvas.corners))
    fusion = Fusion(canvas, tiles, torch.device("cpu"))
    last = max(tiles, key=lambda tile: canvas.corners[tile])
    assert canvas.corners[last][1] + 64 > 360
    weight = fusion.fused(([tile], torch.full((1, 64, 64), float(tile == last))) for tile in tiles)
    assert weight.max() == pytest.approx(1.0, abs=1e-3)
    assert weight.min() == 0
    for steps in (weight.diff(dim=0), weight.diff(dim=1), weight[:, 0] - weight[:, -1]):
        assert steps.abs().max() < 0.12


def test_tiles_of_land_take_no_part() -> None:
    canvas = Canvas.of(GLOBE, Box.of(GLOBE, None), 16)
    fusion = Fusion(canvas, [0], torch.device("cpu"))
    fused = fusion.fused([([0], torch.ones(1, 16, 16))])
    torch.testing.assert_close(fused[:16, :16], torch.ones(16, 16))
    assert int((fused != 0).sum()) == 16 * 16


def test_what_cannot_be_tiled() -> None:
    box = Box.of(REGION, None)
    with pytest.raises(ConfigError, match=r"a tile of 64 pixels, which the model learnt with, does not fit .* 40 x 40"):
        Canvas.of(REGION, box, 64)
    with pytest.raises(ConfigError, match="tiles of 16 pixels every 16 pixels do not overlap: give 1 to 15"):
        Canvas.of(REGION, box, 16, 16)
