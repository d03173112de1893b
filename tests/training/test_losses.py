"""Risk: errors of one size are not seen beside those of another, or what is best is not the mean any more."""

from __future__ import annotations

import torch

from oceanrecon.training.objectives.losses import sized_squares, variance_by_size
from oceanrecon.training.sizes import PARTS


def fields(count: int, fine: float) -> torch.Tensor:
    """A number for each level of each field, and little white noise."""
    random = torch.Generator().manual_seed(1)
    return torch.randn(count, 2, 1, 1, generator=random) + fine * torch.randn(count, 2, 32, 32, generator=random)


def test_what_is_unknown_counts_one_at_each_size_and_fine_errors_count_more() -> None:
    states = fields(200, 0.3)
    mask = torch.ones_like(states, dtype=torch.bool)
    mask[:, :, :, :5] = False
    variance = variance_by_size([(states[:100], mask[:100]), (states[100:], mask[100:])])
    assert variance.shape == (2, PARTS) and variance[0, -1] > 0.8 and variance[0, 0] < 0.08
    inside = mask.float()
    unknown = sized_squares(states * mask, mask, variance)
    torch.testing.assert_close((unknown * inside).sum() / inside.sum(), torch.tensor(1.0), atol=0.01, rtol=0)
    rough = 0.3 * torch.randn(states.shape, generator=torch.Generator().manual_seed(2))
    plain, sized = rough.square().mean(), sized_squares(rough * mask, mask, variance)[mask].mean()
    assert plain < 0.1 and sized > 0.5  # as much as is there of that size


def test_the_mean_is_the_best_estimate_at_any_size() -> None:
    """Of two equally likely fields no other is better than what lies between them."""
    one, other = fields(2, 0.3).unsqueeze(1).unbind(0)
    mask = torch.ones_like(one, dtype=torch.bool)
    variance = torch.tensor([[1e-3, 1e-2, 0.1, 1.0]] * 2)
    guess = torch.zeros_like(one, requires_grad=True)
    optimizer = torch.optim.LBFGS([guess], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        found = sum(sized_squares(guess - field, mask, variance).mean() for field in (one, other))
        assert isinstance(found, torch.Tensor)
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(guess.detach(), (one + other) / 2, atol=0.02, rtol=0)
