"""What every model does: from what was observed, an estimate; and, of some, members of an ensemble."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor, nn

from oceanrecon.training.diffusion.edm import Denoiser, NoiseLevels
from oceanrecon.training.state.patches import Patches


@dataclass(frozen=True)
class Estimate:
    """Scaled anomalies that a model expects, and how wrong it expects to be."""

    #: [B, C, H, W]
    mean: Tensor
    #: standard deviation of the error: [B, C, H, W]; ``None``: the model does not say
    deviation: Tensor | None = None


class Reconstructor(nn.Module, ABC):
    """A baseline or a network that fills patches."""

    @abstractmethod
    def estimate(self, patches: Patches) -> Estimate:
        """What is expected in every cell, below the sea floor and on land too."""


class Generator(Reconstructor):
    """A model that samples: a state of ``latent`` channels per pixel, which becomes a member."""

    #: channels of the state that is sampled
    latent: int
    #: noise levels between which it is
    levels: NoiseLevels

    @abstractmethod
    def denoiser(self, patches: Patches, estimate: Estimate) -> Denoiser:
        """Of states [B, latent, H, W] of these patches, in the order of ``patches``."""

    @abstractmethod
    def noise(self, rows: Tensor, columns: Tensor, around: Tensor | None, number: int, key: tuple[int, int]) -> Tensor:
        """Noise of cells, the same whatever tile or box asks for them: [..., latent, H, W].

        Args:
            rows: of the grid of the statistics, rising: int64 [..., H].
            columns: likewise, [..., W].
            around: columns of a grid that goes around the globe.
            number: of the draw: 0 is where sampling begins.
            key: of seed, date and member.
        """

    @abstractmethod
    def decoded(self, state: Tensor, patches: Patches, estimate: Estimate) -> Tensor:
        """Scaled anomalies of a state, linear in it where the model guides: [B, latent, H, W] to [B, C, H, W]."""

    def finished(self, members: Tensor, wet: Tensor, *, around: bool = False) -> Tensor:
        """Members as they are given away; of some models they are changed in place.

        Args:
            members: scaled anomalies, [..., C, H, W].
            wet: where there is water, of a shape that goes with it.
            around: the first column is a neighbour of the last.
        """
        return members
