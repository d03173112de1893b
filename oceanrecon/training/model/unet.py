"""A U-Net over patches: every skip is used, and what holds for the whole patch turns the features of every block."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_GROUP = 16  # channels that are normalised together


class UNet(nn.Module):
    """From channels on a grid, and numbers that hold for all of it, to channels on that grid.

    Residual blocks with group normalisation; a vector turns the features in each of them (FiLM: Perez et al. 2018,
    from zero as in Peebles and Xie 2023); attention where the grid is coarse. Its last layer begins with zeros,
    so that it first gives zeros. Sides have to be multiples of ``coarsest``.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        context: int,
        *,
        width: int = 64,
        multipliers: Sequence[int] = (1, 2, 3, 4),
        blocks: int = 2,
        attention: int = 2,
        noise: bool = False,
        dropout: float = 0.0,
    ) -> None:
        """Of some size.

        Args:
            inputs: channels in.
            outputs: channels out.
            context: numbers that hold for the whole patch.
            width: channels at full resolution, a multiple of 16.
            multipliers: of the width, at full, half, quarter ... resolution.
            blocks: at each resolution, downwards and upwards.
            attention: how many of the coarsest resolutions have it.
            noise: there is a noise level, too.
            dropout: in every block.
        """
        super().__init__()
        if width % _GROUP or width <= 0:
            raise ValueError(f"a network's width is a multiple of {_GROUP}, not {width}")
        if not multipliers or min(multipliers) < 1 or blocks < 1 or not 0 <= attention <= len(multipliers):
            raise ValueError(
                f"a network needs multipliers of at least 1 ({list(multipliers)}), blocks ({blocks}), and attention at "
                f"no more resolutions ({attention}) than there are multipliers"
            )
        self.coarsest = 2 ** (len(multipliers) - 1)
        size = 4 * width
        self.context = nn.Sequential(nn.Linear(context, size), nn.SiLU(), nn.Linear(size, size))
        self.noise = _NoiseLevel(size) if noise else None
        self.stem = nn.Conv2d(inputs, width, 3, padding=1)
        skips, channels = [width], width
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for number, multiplier in enumerate(multipliers):
            attends = number >= len(multipliers) - attention
            if number:
                self.down.append(_Stage(nn.Conv2d(channels, channels, 3, stride=2, padding=1)))
                skips.append(channels)
            for _ in range(blocks):
                self.down.append(_Stage(_Block(channels, width * multiplier, size, dropout), attends))
                channels = width * multiplier
                skips.append(channels)
        self.middle = nn.ModuleList(
            [
                _Stage(_Block(channels, channels, size, dropout), attends=True),
                _Stage(_Block(channels, channels, size, dropout)),
            ]
        )
        for number, multiplier in reversed(list(enumerate(multipliers))):
            attends = number >= len(multipliers) - attention
            for _ in range(blocks + 1):
                self.up.append(_Stage(_Block(channels + skips.pop(), width * multiplier, size, dropout), attends))
                channels = width * multiplier
            if number:
                self.up.append(_Stage(_Larger(channels)))
        self.out = nn.Sequential(_norm(channels), nn.SiLU(), nn.Conv2d(channels, outputs, 3, padding=1))
        _zero(self.out[-1])

    def forward(self, fields: Tensor, context: Tensor, noise: Tensor | None = None) -> Tensor:
        """Channels out.

        Args:
            fields: [N, inputs, H, W].
            context: [N, context].
            noise: scaled logarithm of the noise level, about -2 to 1: [N]; exactly where the network was made with it.

        Raises:
            ValueError: a side is no multiple of ``coarsest``.
        """
        if any(side % self.coarsest for side in fields.shape[-2:]):
            raise ValueError(
                f"sides of {tuple(fields.shape[-2:])} pixels cannot be halved {int(math.log2(self.coarsest))} times: "
                f"take multiples of {self.coarsest}, or fewer multipliers"
            )
        vector = self.context(context)
        if self.noise is not None:
            if noise is None:
                raise ValueError("this network denoises, and needs a noise level")
            vector = vector + self.noise(noise)
        vector = functional.silu(vector)
        state = self.stem(fields)
        skips = [state]
        for stage in self.down:
            state = stage(state, vector)
            skips.append(state)
        for stage in self.middle:
            state = stage(state, vector)
        for stage in self.up:
            state = stage(state if isinstance(stage.main, _Larger) else torch.cat([state, skips.pop()], dim=1), vector)
        found: Tensor = self.out(state)
        return found


class _NoiseLevel(nn.Module):
    """Fourier features of a noise level."""

    frequencies: Tensor

    def __init__(self, size: int, features: int = 64) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.logspace(-1, 1.5, features // 2) * math.pi)
        self.layers = nn.Sequential(nn.Linear(features, size), nn.SiLU(), nn.Linear(size, size))

    def forward(self, level: Tensor) -> Tensor:
        angles = level[:, None] * self.frequencies.to(level.dtype)
        found: Tensor = self.layers(torch.cat([angles.cos(), angles.sin()], dim=1))
        return found


class _Stage(nn.Module):
    """A block or a change of resolution, with attention or without."""

    def __init__(self, main: nn.Module, attends: bool = False) -> None:
        super().__init__()
        self.main = main
        self.attention = _Attention(main.outputs) if attends and isinstance(main, _Block) else None

    def forward(self, state: Tensor, vector: Tensor) -> Tensor:
        found: Tensor = self.main(state, vector) if isinstance(self.main, _Block) else self.main(state)
        return found if self.attention is None else found + self.attention(found)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, vector: int, dropout: float) -> None:
        super().__init__()
        self.outputs = outputs
        self.first = nn.Sequential(_norm(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1))
        self.norm = _norm(outputs)
        self.turn = nn.Linear(vector, 2 * outputs)
        self.second = nn.Sequential(nn.SiLU(), nn.Dropout(dropout), nn.Conv2d(outputs, outputs, 3, padding=1))
        self.direct = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)
        _zero(self.turn, self.second[-1])  # a block begins as its direct path

    def forward(self, state: Tensor, vector: Tensor) -> Tensor:
        factor, offset = self.turn(vector)[:, :, None, None].chunk(2, dim=1)
        inner = self.norm(self.first(state)) * (1 + factor) + offset
        found: Tensor = self.direct(state) + self.second(inner)
        return found


class _Attention(nn.Module):
    """Of every pixel to every other."""

    def __init__(self, channels: int, head: int = 32) -> None:
        super().__init__()
        most = max(channels // head, 1)
        self._heads = next(heads for heads in range(most, 0, -1) if channels % heads == 0)
        self.norm = _norm(channels)
        self.three = nn.Conv2d(channels, 3 * channels, 1)
        self.out = nn.Conv2d(channels, channels, 1)
        _zero(self.out)

    def forward(self, state: Tensor) -> Tensor:
        samples, channels, height, width = state.shape
        three = self.three(self.norm(state)).reshape(samples, 3, self._heads, channels // self._heads, height * width)
        query, key, value = three.transpose(-1, -2).unbind(1)
        seen = functional.scaled_dot_product_attention(query, key, value)
        found: Tensor = self.out(seen.transpose(-1, -2).reshape(state.shape))
        return found


class _Larger(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, state: Tensor) -> Tensor:
        found: Tensor = self.conv(functional.interpolate(state, scale_factor=2.0, mode="nearest"))
        return found


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels // _GROUP, channels)


def _zero(*layers: nn.Module) -> None:
    for layer in layers:
        for values in layer.parameters():
            nn.init.zeros_(values)
