"""Chance that depends on what it is for, and on nothing else: a random stream per seed, epoch, row and purpose.

The generator (Philox) turns a key and a counter into numbers, and has no other state: the streams of two rows do not
overlap, and no draw moves another one. (``synthetic.chance`` is for single numbers of millions of slots.)
"""

from __future__ import annotations

from functools import cache
from hashlib import blake2b

import numpy as np


def stream(seed: int, epoch: int, row: int, purpose: str) -> np.random.Generator:
    """The random numbers of one purpose in one row of one epoch: each number from 0 to 2^64 - 1."""
    # the lowest word of the counter counts what is drawn
    counter = np.array([0, row, epoch, 0], np.uint64)
    return np.random.Generator(np.random.Philox(counter=counter, key=np.array([seed, _number(purpose)], np.uint64)))


@cache
def _number(purpose: str) -> int:
    """64 bits of a digest: ``hash`` differs from process to process."""
    return int.from_bytes(blake2b(purpose.encode(), digest_size=8).digest(), "little")
