"""What is diffused: levels as they are, vertical modes of them, or the code of a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from oceanrecon.training.model.autoencoder import Autoencoder

#: A field [B, C, H, W] and where it has values.
Masked = tuple[Tensor, Tensor]
_LEAST = 1e-3


class Codec(nn.Module, ABC):
    """From a field of levels to the state that is diffused, whose numbers are about 1, and back."""

    #: of a state
    channels: int

    @abstractmethod
    def fit(self, fields: Iterable[Masked]) -> None:
        """Learn scales from some fields, so that states have a deviation of 1."""

    @abstractmethod
    def encode(self, field: Tensor, mask: Tensor) -> Masked:
        """The state of a field, [B, channels, H, W], and where it counts, [B, channels or 1, H, W]."""

    @abstractmethod
    def decode(self, state: Tensor) -> Tensor:
        """The field of a state: [B, C, H, W]."""


class Levels(Codec):
    """Each level by itself."""

    scale: Tensor

    def __init__(self, channels: int) -> None:
        """Of so many levels of all fields together."""
        super().__init__()
        self.channels = channels
        self.register_buffer("scale", torch.ones(channels))

    def fit(self, fields: Iterable[Masked]) -> None:
        """See ``Codec``."""
        squares = torch.zeros(self.channels, dtype=torch.float64)
        counts = torch.zeros_like(squares)
        for field, mask in fields:
            squares += (field * mask).double().square().sum(dim=(0, 2, 3)).cpu()
            counts += mask.sum(dim=(0, 2, 3)).cpu()
        variance = torch.where(counts > 0, squares / counts.clamp(min=1), torch.ones_like(squares))
        self.scale.copy_(variance.sqrt().clamp(min=_LEAST))

    def encode(self, field: Tensor, mask: Tensor) -> Masked:
        """See ``Codec``."""
        return torch.where(mask, field / self.scale[:, None, None], 0.0), mask

    def decode(self, state: Tensor) -> Tensor:
        """See ``Codec``."""
        return state * self.scale[:, None, None]


class VerticalModes(Codec):
    """Empirical orthogonal functions along the vertical, of all fields together; linear.

    What a column has no values for (below the sea floor) is filled by what its modes expect: the mean of the
    posterior of a Gaussian whose covariance they are, with the variance of the modes that were left out as noise.
    """

    basis: Tensor
    noise: Tensor

    def __init__(self, levels: int, channels: int) -> None:
        """Of ``levels`` of all fields together, as so many modes; ``fit`` finds them."""
        super().__init__()
        if not 1 <= channels <= levels:
            raise ValueError(f"{levels} levels have 1 to {levels} modes, not {channels}")
        self.channels = channels
        self.register_buffer("basis", torch.eye(levels, channels))
        self.register_buffer("noise", torch.full((levels,), _LEAST))

    def fit(self, fields: Iterable[Masked]) -> None:
        """See ``Codec``."""
        self.use(*modes_of(fields, self.basis.shape[0]))

    def use(self, variance: Tensor, modes: Tensor) -> None:
        """Take modes that are known: their variances, falling, [C], and as rows, [C, C]."""
        variance, modes = variance.double().clamp(min=0), modes.double()
        basis = (variance[: self.channels, None].sqrt() * modes[: self.channels]).T
        rest = variance[self.channels :, None] * modes[self.channels :].square()
        self.basis.copy_(basis)
        self.noise.copy_(rest.sum(dim=0).clamp(min=_LEAST))

    def encode(self, field: Tensor, mask: Tensor) -> Masked:
        """See ``Codec``."""
        basis, noise = self.basis.double(), self.noise.double()
        columns, valid = field.movedim(1, -1)[..., None, :], mask.movedim(1, -1)
        state = field.new_zeros((*valid.shape[:-1], self.channels))
        # few columns differ in where they have values: as many kinds as there are depths
        kinds, kind = torch.unique(valid.reshape(-1, valid.shape[-1]), dim=0, return_inverse=True)
        kind = kind.reshape(valid.shape[:-1])
        for number, known in enumerate(kinds):
            if not known.any():
                continue
            weighted = basis[known] / noise[known, None]  # [known, K]
            system = weighted.T @ basis[known] + torch.eye(self.channels, dtype=basis.dtype, device=basis.device)
            gain = torch.linalg.solve(system, weighted.T)  # [K, known]
            at = kind == number
            state[at] = (columns[at][..., 0, known].double() @ gain.T).to(field.dtype)
        return state.movedim(-1, 1), mask.any(dim=1, keepdim=True)

    def decode(self, state: Tensor) -> Tensor:
        """See ``Codec``."""
        return torch.einsum("ck,bkhw->bchw", self.basis.to(state.dtype), state)


class NetworkCode(Codec):
    """What an autoencoder makes of columns."""

    mean: Tensor
    scale: Tensor

    def __init__(self, autoencoder: Autoencoder) -> None:
        """Of one that is trained, and is not trained further."""
        super().__init__()
        self.autoencoder = autoencoder
        autoencoder.requires_grad_(False)
        self.channels = autoencoder.channels
        self.register_buffer("mean", torch.zeros(self.channels))
        self.register_buffer("scale", torch.ones(self.channels))

    def fit(self, fields: Iterable[Masked]) -> None:
        """See ``Codec``."""
        sums = torch.zeros(2, self.channels, dtype=torch.float64)
        count = 0
        for field, mask in fields:
            ocean = mask.any(dim=1, keepdim=True)
            code = (self.autoencoder.encode(field, mask) * ocean).double()
            sums += torch.stack([code.sum(dim=(0, 2, 3)), code.square().sum(dim=(0, 2, 3))]).cpu()
            count += int(ocean.sum())
        mean = sums[0] / max(count, 1)
        self.mean.copy_(mean)
        self.scale.copy_((sums[1] / max(count, 1) - mean**2).clamp(min=_LEAST**2).sqrt())

    def encode(self, field: Tensor, mask: Tensor) -> Masked:
        """See ``Codec``."""
        code = self.autoencoder.encode(field, mask)
        ocean = mask.any(dim=1, keepdim=True)
        scaled = (code - self.mean[:, None, None]) / self.scale[:, None, None]
        return torch.where(ocean, scaled, 0.0), ocean

    def decode(self, state: Tensor) -> Tensor:
        """See ``Codec``."""
        return self.autoencoder.decode(state * self.scale[:, None, None] + self.mean[:, None, None])


def modes_of(fields: Iterable[Masked], levels: int) -> tuple[Tensor, Tensor]:
    """Variances, falling, [C], and modes as rows, [C, C], of fields about 0; each two levels where both have values."""
    products = torch.zeros(levels, levels, dtype=torch.float64)
    counts = torch.zeros_like(products)
    for field, mask in fields:
        columns = torch.where(mask, field, 0.0).double().movedim(1, 0).flatten(1)
        valid = mask.double().movedim(1, 0).flatten(1)
        products += (columns @ columns.T).cpu()
        counts += (valid @ valid.T).cpu()
    covariance = products / counts.clamp(min=1)
    variance, modes = torch.linalg.eigh(covariance)
    return variance.flip(0), modes.flip(1).T


def modes_for(variance: Tensor, share: float = 0.999) -> int:
    """How many modes hold that share of the variance."""
    positive = variance.clamp(min=0)
    return min(int((positive.cumsum(0) < share * positive.sum()).sum()) + 1, positive.numel())
