"""Pixels that vehicles see on their way through a patch, such as gliders, or ships that tow an instrument."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

#: rad: the standard deviation of how much a vehicle turns in a step of one pixel
TURN = 0.06
#: how much of its turn it keeps in the next step
MOMENTUM = 0.94
#: from one observed pixel to the next, in pixels of the track
GAPS = (2, 8)
#: A track is no longer than this, in sides of the patch.
_SIDES = 2
#: Curves that tracks are laid along: drawing steps for each track would cost more than all the rest.
_CURVES = 1024
#: Pixels that a track is counted on to add.
_EACH = 11
#: Tracks that are made together, and how often; what they do not reach is left to straight lines.
_TOGETHER, _ROUNDS = 256, 8


def track_pixels(ocean: NDArray[np.bool_], wanted: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Exactly so many ocean pixels, those on tracks.

    A vehicle starts at an ocean pixel and in any direction, moves by one pixel a step, turns smoothly, and ends at the
    border of the patch, at the coast or after two sides of the patch. Of the pixels of its track, each counted once,
    the first is observed, and then every second to eighth. One track follows the other until there are enough. What
    many tracks have not reached comes from straight lines: whole rows of the patch, by chance.

    Args:
        ocean: where there is something to see: [row, column].
        wanted: how many pixels, no more than there are.
        generator: what decides.

    Returns:
        ``row * width + column``, in no order: [wanted].
    """
    height, width = ocean.shape
    # with land all around: no track leaves it
    free = np.zeros((height + 2, width + 2), bool)
    free[1:-1, 1:-1] = ocean
    around = free.copy()
    free = free.ravel()
    places = np.flatnonzero(free)
    chosen = [places[:0]]
    missing = wanted
    for _ in range(_ROUNDS):
        if not missing:
            break
        starts = places[generator.integers(places.size, size=min(1 + missing // _EACH, _TOGETHER))]
        seen = every_few(*tracks(around, starts, generator), generator)
        new = _each_once(seen[free[seen]], free.size)[:missing]
        free[new] = False
        missing -= new.size
        chosen.append(new)
    if missing:
        left = np.flatnonzero(free)
        lines = generator.permutation(height + 2)[left // (width + 2)]
        chosen.append(left[np.argsort(lines, kind="stable")[:missing]])
    row, column = np.divmod(np.concatenate(chosen), width + 2)
    pixels: NDArray[np.int64] = (row - 1) * width + column - 1
    return pixels


def tracks(
    ocean: NDArray[np.bool_], starts: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where vehicles go.

    Args:
        ocean: with land all around: [row, column].
        starts: pixels in the ocean, ``row * width + column``: [track].
        generator: what decides.

    Returns:
        The pixels of each track, each once and in its order, one track after the other, [pixel]; and how many each
        has, [track].
    """
    height, width = ocean.shape
    curves = _curves(_SIDES * (max(height, width) - 2))
    laid = curves[generator.integers(_CURVES, size=starts.size)]
    laid *= np.exp(1j * generator.uniform(0.0, 2 * np.pi, starts.size))[:, None]
    # from the middle of a pixel
    laid += (starts % width + 0.5 + (starts // width + 0.5) * 1j)[:, None]
    pixel = np.clip(laid.imag, 0, height - 1).astype(np.int64) * width
    pixel += np.clip(laid.real, 0, width - 1).astype(np.int64)
    afloat = np.flatnonzero(np.logical_and.accumulate(ocean.ravel()[pixel], axis=1))
    number = afloat // pixel.shape[1]
    key = _each_once(number * ocean.size + pixel.ravel()[afloat], starts.size * ocean.size)
    return key % ocean.size, np.bincount(key // ocean.size, minlength=starts.size)


def every_few(
    pixels: NDArray[np.int64], length: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Of the pixels of ``tracks`` the first of each, and then every second to eighth: [pixel]."""
    after = np.zeros((length.size, int(length.max()) // GAPS[0] + 1), np.int64)
    after[:, 1:] = generator.integers(GAPS[0], GAPS[1] + 1, (length.size, after.shape[1] - 1))
    np.cumsum(after, axis=1, out=after)
    at = (np.cumsum(length) - length)[:, None] + after
    observed: NDArray[np.int64] = pixels[at[after < length[:, None]]]
    return observed


def _each_once(keys: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Keys below ``size``, each where it comes first; for few keys quicker than sorting them."""
    number = np.arange(keys.size)
    first = np.empty(size, np.int64)
    first[keys] = keys.size
    np.minimum.at(first, keys, number)
    once: NDArray[np.int64] = keys[first[keys] == number]
    return once


@cache
def _curves(steps: int) -> NDArray[np.complex128]:
    """Smooth curves of unit steps from 0, east + i south, that start eastward: [curve, step]."""
    generator = np.random.Generator(np.random.Philox(key=0))
    noise = generator.standard_normal((_CURVES, steps + 1)) * TURN
    moves = np.zeros((_CURVES, steps + 1), np.complex128)
    heading, turn = np.zeros(_CURVES), noise[:, 0]
    for step in range(1, steps + 1):
        moves[:, step] = np.exp(1j * heading)
        # the deviation of the turn is the same at all steps
        turn = MOMENTUM * turn + np.sqrt(1 - MOMENTUM**2) * noise[:, step]
        heading = heading + turn
    curves = np.cumsum(moves, axis=1)
    curves.setflags(write=False)
    return curves
