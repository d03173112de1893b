"""Risk: errors of one size are not seen beside those of another, or what is best is not the mean any more."""

from __future__ import annotations

import torch

from oceanrecon.training.objectives.losses import scale_by_size, sized_squares
from oceanrecon.training.sizes import PARTS, parts


def fields(count: int, fine: float) -> torch.Tensor:
    """A number for each level of each field, and little white noise."""
    random = torch.Generator().manual_seed(1)
    return torch.randn(count, 2, 1, 1, generator=random) + fine * torch.randn(count, 2, 32, 32, generator=random)


def test_errors_of_a_size_count_more_where_there_is_less_of_it() -> None:
    states = fields(200, 0.3)
    mask = torch.ones_like(states, dtype=torch.bool)
    mask[:, :, :, :5] = False
    scale = scale_by_size([(states[:100], mask[:100]), (states[100:], mask[100:])])
    assert scale.shape == (2, PARTS)
    sizes = torch.stack([*parts(states * mask, mask)], dim=2).square().sum(dim=(0, 3, 4))
    torch.testing.assert_close(scale, (sizes / sizes.sum(dim=1, keepdim=True)).sqrt())
    # of what is coarse about 1, of white noise of 0.3 a few times its share of 0.09
    coarse, rough = torch.ones_like(states), 0.3 * torch.randn(states.shape, generator=torch.Generator().manual_seed(2))
    assert 0.9 < sized_squares(coarse, mask, scale)[mask].mean() < 1.2
    assert 0.2 < sized_squares(rough * mask, mask, scale)[mask].mean() < 0.4


def test_the_mean_is_the_best_estimate_at_any_size() -> None:
    """Of two equally likely fields no other is better than what lies between them."""
    one, other = fields(2, 0.3).unsqueeze(1).unbind(0)
    mask = torch.ones_like(one, dtype=torch.bool)
    scale = torch.tensor([[1e-3, 1e-2, 0.1, 1.0]] * 2)
    guess = torch.zeros_like(one, requires_grad=True)
    optimizer = torch.optim.LBFGS([guess], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = sum(sized_squares(guess - field, mask, scale).mean() for field in (one, other))
        assert isinstance(found, torch.Tensor)
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(guess.detach(), (one + other) / 2, atol=0.02, rtol=0)
