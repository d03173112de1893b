"""Risk: a map that shows its tiles: seams, less variance where they overlap, or another noise than its neighbour's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from oceanrecon.errors import ConfigError
from oceanrecon.train_config import SamplerSettings
from oceanrecon.training.diffusion.edm import Denoiser
from oceanrecon.training.inference.canvas import Bounds, Box, Canvas
from oceanrecon.training.inference.fuse import Fused, estimated, members
from oceanrecon.training.inference.members import Guide, sampled_members
from oceanrecon.training.model.diffusion import Diffusion
from oceanrecon.training.model.reconstructor import Estimate
from oceanrecon.training.state.patches import Patches
from tests.training import tiny
from tests.training.inference.canvases import CHANNELS, GLOBE, Gaussian, Places, not_zero

TILE, LENGTH = 16, 1.6
DATE, DATE_OF_TINY = dt.date(2020, 2, 29), dt.date(2012, 2, 29)
STEPS = SamplerSettings(method="dpm", steps=18)
#: 18 steps add 8 % of variance, on one tile as on many
MANY = SamplerSettings(method="dpm", steps=40)


def canvas_of(bounds: Bounds | None = None, stride: int | None = None) -> Canvas:
    return Canvas.of(GLOBE, Box.of(GLOBE, bounds), TILE, stride)


def found(canvas: Canvas, model: Gaussian, **more: Any) -> Fused:
    return estimated(model, Places(canvas, **more))  # type: ignore[arg-type]


def drawn(
    fused: Fused, model: Gaussian, numbers: range = range(1), seed: int = 3, date: dt.date = DATE,
    guide: Guide | None = None,
) -> Tensor:  # fmt: skip
    return members(model, fused, numbers, date=date, seed=seed, sampler=STEPS, guide=guide)


@pytest.fixture(scope="module")
def sampled() -> Tensor:
    """256 fields on the globe, members and channels alike: [field, row, column]."""
    model = Gaussian(TILE, LENGTH, 64)
    fused = found(canvas_of(), model, batch=8, channels=1)
    return members(model, fused, range(4), date=DATE, seed=3, sampler=MANY).flatten(0, 1)


def test_the_variance_is_that_of_the_answer_in_overlaps_and_centres_alike(sampled: Tensor) -> None:
    variance = sampled.square().mean(dim=0)
    assert variance.mean() == pytest.approx(1.0, abs=0.03)
    tiles = torch.zeros(GLOBE.height, GLOBE.width)
    canvas = canvas_of()
    for tile in range(len(canvas.corners)):
        canvas.add(tiles, tile, torch.ones(TILE, TILE))
    overlap, alone = variance[tiles > 1].mean(), variance[tiles == 1].mean()
    assert (tiles > 1).sum() > 200 and (tiles == 1).sum() > 200
    assert overlap / alone == pytest.approx(1.0, abs=0.04)
    # columns on both sides of 180 degrees, and of every other meridian
    assert variance[:, [0, 1, -2, -1]].mean() / variance.mean() == pytest.approx(1.0, abs=0.05)


def test_neighbours_are_as_like_across_the_dateline_as_elsewhere(sampled: Tensor) -> None:
    """And as the answer says: the squared step to the next pixel is 2 (1 - correlation)."""
    steps = (sampled - sampled.roll(1, dims=2)).square().mean(dim=(0, 1))
    expected = 2 * (1 - torch.tensor(-0.5 / LENGTH**2).exp())
    torch.testing.assert_close(steps, expected.expand(48), rtol=0.12, atol=0)
    assert steps[0] / steps[1:].mean() == pytest.approx(1.0, abs=0.06)
    spectrum = torch.fft.rfft(sampled, dim=2).abs().square().mean(dim=(0, 1)) / 48
    distance = torch.minimum(torch.arange(48), 48 - torch.arange(48))
    truth = torch.fft.fft((-0.5 * (distance / LENGTH).square()).exp()).real[: len(spectrum)]
    torch.testing.assert_close(spectrum[:12], truth[:12].float(), rtol=0.12, atol=0)


def test_two_tilings_give_nearly_one_map_and_no_seam() -> None:
    model = Gaussian(TILE, LENGTH)
    one, other = (drawn(found(canvas_of(stride=stride), model), model)[0] for stride in (12, 9))
    assert (one - other).std() < 0.1
    # one tile's edges are no edges of the map: gradients there are as elsewhere
    canvas = canvas_of()
    edges = sorted({column for _, column in canvas.corners})
    steps = (one - one.roll(1, dims=2)).abs().mean(dim=(0, 1))
    assert steps[edges].mean() / steps.mean() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("around", [True, False])
def test_what_finishes_members_knows_whether_the_canvas_goes_around(around: bool) -> None:
    told = []

    class Finishing(Gaussian):
        def finished(self, members: Tensor, wet: Tensor, *, around: bool = False) -> Tensor:
            told.append((around, tuple(wet.shape)))
            return members + 1

    model = Finishing(TILE, LENGTH)
    canvas = canvas_of() if around else Canvas.of(GLOBE, Box(4, 40, 12, 14), TILE)
    fused = found(canvas, model)
    sampled = drawn(fused, model)
    assert told == [(around, (*fused.estimate.mean.shape,))]
    torch.testing.assert_close(sampled - 1, drawn(fused, Gaussian(TILE, LENGTH)))


class OneTile(Places):
    """The patch of ``tests.training.tiny``."""

    def read(self, tiles: Sequence[int]) -> Patches:
        assert list(tiles) == [0]
        return tiny.patches(count=1, column=172)


@pytest.mark.parametrize("share", [1.0, 0.4])
def test_a_canvas_of_one_tile_gives_the_members_of_the_patch(share: float) -> None:
    model = tiny.model("diffusion").eval()
    not_zero(model)
    assert isinstance(model, Diffusion)
    model.share.fill_(share)
    model.smoothing.fill_(0.5)
    canvas = Canvas.of(tiny.GRID, Box(44, 176, 8, 8), tiny.SIDE)
    assert canvas.corners == ((0, 0),)
    fused = estimated(model, OneTile(canvas))  # type: ignore[arg-type]
    ours = members(model, fused, range(2), date=DATE_OF_TINY, seed=5, sampler=STEPS)
    patch = tiny.patches(count=1, column=172)
    with torch.no_grad():
        theirs = sampled_members(model, patch, model.estimate(patch), 2, STEPS, 5)[0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=2e-4)


def test_a_network_with_random_weights_leaves_no_seam() -> None:
    """What it finds in two neighbouring tiles differs; plain means of tiles have steps of 1.8 times the others."""
    model = tiny.model("unet").eval()
    not_zero(model)
    canvas = Canvas.of(tiny.GRID, Box.of(tiny.GRID, (-40, -20, 15, 20)), tiny.SIDE)
    mean = estimated(model, Places(canvas, channels=6, surface=2, batch=16)).estimate.mean  # type: ignore[arg-type]
    assert mean.std() > 0.3
    for axis in (0, 1):
        starts = sorted({corner[axis] for corner in canvas.corners})
        edges = sorted({*starts[1:], *(start + tiny.SIDE for start in starts[:-1])})
        steps = mean.diff(dim=axis + 1).abs().mean(dim=(0, 2 - axis))
        assert steps[[edge - 1 for edge in edges]].mean() < 1.1 * steps.mean()


def test_boxes_that_overlap_agree_where_both_are_far_from_an_edge() -> None:
    """Tiles lie elsewhere in each, but the noise is that of the cells."""
    model = Gaussian(TILE, LENGTH)
    whole = drawn(found(canvas_of(), model), model)[0]
    for bounds in ((60, -60, 150, 60), (120, -45, -120, 45)):
        canvas = canvas_of(bounds)
        part = canvas.crop(drawn(found(canvas, model), model)[0])
        box = canvas.box
        columns = (box.column + torch.arange(box.width)) % GLOBE.width
        same = whole[:, box.row : box.row + box.height][:, :, columns]
        assert (part - same).std() < 0.12
    assert whole.std() > 0.9


def test_a_seed_gives_the_same_bits_and_a_member_is_its_number() -> None:
    model = Gaussian(TILE, LENGTH)
    fused = found(canvas_of((0, 0, 60, 60)), model)
    first = drawn(fused, model, range(3))
    assert torch.equal(first, drawn(found(canvas_of((0, 0, 60, 60)), model), model, range(3)))
    torch.testing.assert_close(first[2:], drawn(fused, model, range(2, 3)), rtol=0, atol=1e-4)
    others = [drawn(fused, model, seed=4), drawn(fused, model, date=dt.date(2020, 3, 1)), first[1:2]]
    for other in others:
        assert abs(torch.corrcoef(torch.stack([first[0].flatten(), other.flatten()]))[0, 1]) < 0.2


def test_land_is_missing_and_tiles_of_land_are_not_asked_for() -> None:
    canvas = canvas_of()
    wet = torch.zeros(CHANNELS, canvas.height, canvas.width, dtype=torch.bool)
    wet[:, 4:20, 2:6] = True
    wet[2:, 4:20, 4:6] = False  # a shelf: the lower levels end earlier
    fused = found(canvas, Gaussian(TILE, LENGTH), wet=wet)
    corners = [canvas.corners[tile] for tile in fused.fusion.tiles]
    assert {column for _, column in corners} == {0, 36}
    values = fused.values(torch.zeros(3, CHANNELS, canvas.height, canvas.width))
    assert torch.equal(values.isfinite(), wet.expand(3, -1, -1, -1))
    # zero anomalies are the climatology, here the latitude
    latitude = torch.from_numpy(GLOBE.latitude).float()[:, None].expand(-1, GLOBE.width)
    torch.testing.assert_close(values[1, 0][wet[0]], latitude[wet[0]], rtol=0, atol=1e-4)
    with pytest.raises(ConfigError, match="the box has no pixel of water"):
        found(canvas_of((100, -20, 140, 20)), Gaussian(TILE, LENGTH), wet=torch.zeros(CHANNELS, 16, 16).bool())


def test_a_guide_sees_the_patches_and_estimates_of_what_it_guides() -> None:
    model = Gaussian(TILE, LENGTH)
    fused = found(canvas_of((0, 0, 60, 60)), model)

    def upwards(denoise: Denoiser, patches: Patches, estimate: Estimate) -> Denoiser:
        assert len(patches) == len(estimate.mean)
        return lambda noisy, sigma: denoise(noisy, sigma) + 1

    plain, raised = drawn(fused, model, range(2)), drawn(fused, model, range(2), guide=upwards)
    assert (raised - plain).mean() > 0.9
