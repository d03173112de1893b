"""Models of settings."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from oceanrecon.errors import ConfigError
from oceanrecon.train_config import NetworkSettings, TrainSettings
from oceanrecon.training.baselines.oi import OptimalInterpolation
from oceanrecon.training.baselines.simple import Climatology, InverseDistance
from oceanrecon.training.diffusion.codecs import Codec, Levels, NetworkCode, VerticalModes, modes_for
from oceanrecon.training.diffusion.discrete import Discrete
from oceanrecon.training.diffusion.edm import NoiseLevels
from oceanrecon.training.model.autoencoder import Autoencoder
from oceanrecon.training.model.conditions import CONTEXT, channels
from oceanrecon.training.model.diffusion import Diffusion, inputs
from oceanrecon.training.model.estimators import PlainUNet, ProfileNetwork, Regression
from oceanrecon.training.model.reconstructor import Reconstructor
from oceanrecon.training.model.unet import UNet
from oceanrecon.training.state.state import State

#: The autoencoder of a run, by its address.
FindAutoencoder = Callable[[str], Autoencoder]


def build(settings: TrainSettings, state: State, find: FindAutoencoder) -> nn.Module:
    """An untrained model; chance elsewhere goes on as it was.

    Args:
        settings: of a training.
        state: what its samples are scaled by.
        find: gives the autoencoder that the settings name.

    Raises:
        ConfigError: the settings do not fit the samples.
    """
    with torch.random.fork_rng():
        torch.manual_seed(settings.training.seed)
        return _built(settings, state, find)


def _built(settings: TrainSettings, state: State, find: FindAutoencoder) -> nn.Module:
    model, kind = settings.model, settings.model.kind
    levels, surface, fields = state.channels, len(state.form.surface), len(state.form.fields)
    if kind == "autoencoder":
        return Autoencoder(levels, settings.autoencoder.channels, settings.autoencoder.widths)
    if kind == "climatology":
        return Climatology(state.covariances())
    if kind == "idw":
        return InverseDistance()
    if kind == "oi":
        return _interpolation(state)
    if kind == "profile":
        return ProfileNetwork(levels, surface, fields, width=model.width)
    _check_tile(model, state.form.tile)
    if kind == "unet":
        return PlainUNet(_unet(model, channels(levels, surface, guess=False), levels))
    if kind == "regression":
        return _regression(model, state)
    return _diffusion(settings, state, find)


def _check_tile(model: NetworkSettings, tile: int) -> None:
    halved = len(model.multipliers) - 1
    if tile % 2**halved:
        raise ConfigError(
            f"patches of {tile} pixels cannot be halved {halved} times: give model.multipliers fewer numbers than "
            f"{list(model.multipliers)}, or make an index with tiling.tile a multiple of {2**halved}"
        )


def _interpolation(state: State) -> OptimalInterpolation:
    return OptimalInterpolation(state.covariances(), len(state.form.surface))


def _regression(model: NetworkSettings, state: State) -> Regression:
    seen = channels(state.channels, len(state.form.surface), guess=model.first_guess)
    guess = _interpolation(state) if model.first_guess else None
    return Regression(_unet(model, seen, 2 * state.channels), guess)


def _diffusion(settings: TrainSettings, state: State, find: FindAutoencoder) -> Diffusion:
    model, chosen = settings.model, settings.diffusion
    learns = any(stage.network == "estimate" for stage in settings.stages)
    base: Reconstructor = _regression(model, state) if learns else _interpolation(state)
    codec = _codec(settings, state, find)
    seen = channels(state.channels, len(state.form.surface), guess=True)
    return Diffusion(
        base,
        _unet(model, inputs(codec.channels, seen), codec.channels, noise=True),
        codec,
        of=chosen.of,
        levels=NoiseLevels(
            log_mean=chosen.noise.log_mean,
            log_deviation=chosen.noise.log_deviation,
            smallest=chosen.noise.smallest,
            largest=chosen.noise.largest,
        ),
        discrete=Discrete(prediction=chosen.prediction) if chosen.process == "discrete" else None,
        channels=state.channels,
    )


def _codec(settings: TrainSettings, state: State, find: FindAutoencoder) -> Codec:
    chosen = settings.diffusion
    if chosen.space == "levels":
        return Levels(state.channels)
    if chosen.space == "eof":
        variance, _ = state.modes()
        return VerticalModes(state.channels, chosen.modes or modes_for(variance))
    assert chosen.autoencoder is not None  # the settings see to it
    return NetworkCode(find(chosen.autoencoder))


def _unet(model: NetworkSettings, inputs: int, outputs: int, *, noise: bool = False) -> UNet:
    return UNet(
        inputs, outputs, CONTEXT, width=model.width, multipliers=model.multipliers, blocks=model.blocks,
        attention=model.attention, noise=noise, dropout=model.dropout,
    )  # fmt: skip
