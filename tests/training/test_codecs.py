"""Risk: what is diffused is not what was meant: scales are off, modes are no modes, columns with a sea floor bend."""

from __future__ import annotations

import pytest
import torch

from oceanrecon.training.diffusion.codecs import Levels, NetworkCode, VerticalModes, modes_for, modes_of
from oceanrecon.training.model.autoencoder import Autoencoder


def fields(count: int = 40, noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Four levels of two shapes, with deviations 2 and 0.5; the last pixel's column ends after two levels."""
    random = torch.Generator().manual_seed(2)
    shapes = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, -0.5, -0.5]])
    parts = torch.randn(count, 2, 5, 5, generator=random) * torch.tensor([2.0, 0.5])[:, None, None]
    field = torch.einsum("kc,bkhw->bchw", shapes, parts) + noise * torch.randn(count, 4, 5, 5, generator=random)
    mask = torch.ones_like(field, dtype=torch.bool)
    mask[:, 2:, 4, 4] = False
    return torch.where(mask, field, 0.0), mask


def test_levels_have_a_deviation_of_one_and_come_back() -> None:
    field, mask = fields()
    codec = Levels(4)
    codec.fit([(field[:20], mask[:20]), (field[20:], mask[20:])])
    # each level is the sum of halves of deviations 2 and 0.5: sqrt(1 + 0.0625)
    assert codec.scale.tolist() == pytest.approx([1.03] * 4, abs=0.05)
    state, known = codec.encode(field, mask)
    assert state[known].std().item() == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(codec.decode(state), field)


def test_modes_are_found_and_fill_columns_that_end_early() -> None:
    field, mask = fields()
    variance, _ = modes_of([(field, mask)], 4)
    assert variance[:2].tolist() == pytest.approx([4.0, 0.25], rel=0.1)
    assert variance[2:].abs().max() < 0.02  # only from pairs that are in other columns
    assert modes_for(torch.tensor([4.0, 0.25, 0.0, 0.0]), 0.9) == 1
    assert modes_for(torch.tensor([4.0, 0.25, 0.0, 0.0]), 0.999) == 2
    codec = VerticalModes(4, 2)
    codec.fit([(field, mask)])
    state, known = codec.encode(field, mask)
    assert state.shape == (40, 2, 5, 5) and known.shape == (40, 1, 5, 5) and known.all()
    assert state.std(dim=(0, 2, 3)).tolist() == pytest.approx([1, 1], abs=0.1)
    back = codec.decode(state)
    assert (back - field)[mask].abs().max() < 0.05
    # linear: the middle of two fields has the middle of their states
    middle, _ = codec.encode((field[:1] + field[1:2]) / 2, mask[:1])
    torch.testing.assert_close(middle, (state[:1] + state[1:2]) / 2, atol=1e-5, rtol=1e-4)


def test_the_code_of_a_network_is_scaled() -> None:
    field, mask = fields()
    torch.manual_seed(0)
    codec = NetworkCode(Autoencoder(4, 3, (8,)))
    codec.fit([(field, mask)])
    state, ocean = codec.encode(field, mask)
    assert ocean.all() and state.std(dim=(0, 2, 3)).tolist() == pytest.approx([1, 1, 1], abs=0.02)
    assert codec.decode(state).shape == field.shape
    assert not any(values.requires_grad for values in codec.parameters())
