"""Noise that depends on what it is for, and on nothing else: the same on every device, in every tile and every rank.

Counters become random bits by Philox 4x32 with ten rounds (Salmon, Moraes, Dror and Shaw, *Parallel Random Numbers: As
Easy as 1, 2, 3*, 2011), in integers of 64 bits, which every device multiplies alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from hashlib import blake2b

import torch
from torch import Tensor

_LOW = 0xFFFFFFFF
_FACTORS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10
_BITS = 2.0**-32


def philox(counter: Sequence[Tensor | int], key: Sequence[Tensor | int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Four numbers of 32 bits for each counter and key, as int64.

    Args:
        counter: four words of 32 bits, tensors that broadcast or numbers.
        key: two, likewise.
    """
    words = torch.broadcast_tensors(*_alike([*counter, *key]))  # type: ignore[no-untyped-call]
    a, b, c, d, low, high = (word & _LOW for word in words)
    for _ in range(_ROUNDS):
        first, second = a * _FACTORS[0], c * _FACTORS[1]
        a, b, c, d = (
            ((second >> 32) & _LOW) ^ b ^ low, second & _LOW, ((first >> 32) & _LOW) ^ d ^ high, first & _LOW
        )  # fmt: skip
        low, high = (low + _KEY_STEPS[0]) & _LOW, (high + _KEY_STEPS[1]) & _LOW
    return a, b, c, d


def key_of(*parts: int | str) -> tuple[int, int]:
    """A key for a purpose: two words of 32 bits from numbers and texts."""
    digest = blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")


def uniforms(counter: Sequence[Tensor | int], key: Sequence[Tensor | int]) -> Tensor:
    """Four numbers between 0 and 1, neither of them included, for each counter: float32 [..., 4]."""
    # 23 bits and a half: more would be rounded to 1
    return torch.stack([((word >> 9).to(torch.float32) + 0.5) * 2.0**-23 for word in philox(counter, key)], dim=-1)


def normals(counter: Sequence[Tensor | int], key: Sequence[Tensor | int]) -> Tensor:
    """Four standard normal numbers for each counter: float32 [..., 4], by Box and Muller."""
    a, b, c, d = philox(counter, key)
    pairs = []
    for size, turn in ((a, b), (c, d)):
        radius = (-2 * ((size.to(torch.float64) + 0.5) * _BITS).log()).sqrt()
        angle = 2 * math.pi * _BITS * turn.to(torch.float64)
        pairs += [radius * angle.cos(), radius * angle.sin()]
    return torch.stack(pairs, dim=-1).float()


def cell_noise(rows: Tensor, columns: Tensor, channels: int, number: int, key: tuple[int, int]) -> Tensor:
    """Standard normal noise of cells of a grid, the same whatever tile or box asks for them.

    Args:
        rows: of the grid: int64 [..., H].
        columns: of the grid, 0 to its width: int64 [..., W].
        channels: of the state.
        number: of the draw, such as of a step.
        key: of seed, date and member: ``key_of``.

    Returns:
        float32 [..., channels, H, W].
    """
    quarters = torch.arange(math.ceil(channels / 4), device=rows.device)
    counter = (
        columns[..., None, None, :],
        rows[..., None, :, None],
        quarters[:, None, None],
        number,
    )
    found = normals(counter, key)  # [..., quarter, H, W, 4]
    return found.movedim(-1, -3).flatten(-4, -3)[..., :channels, :, :]


def _alike(words: Sequence[Tensor | int]) -> list[Tensor]:
    """Numbers as tensors where the tensors are."""
    device = next((word.device for word in words if isinstance(word, Tensor)), None)
    return [word if isinstance(word, Tensor) else torch.tensor(word, device=device) for word in words]
