"""Tries again what may heal: answers of busy servers, cut connections, timeouts."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from oceanrecon.access.passing import is_passing

Result = TypeVar("Result")

#: Seconds before each further try. The drivers' own tries, within seconds, come before; blocks are tried again, minutes
#: later, by the export itself.
WAITS = [1.0, 4.0, 15.0]
#: No further try after so many seconds: a server that hangs takes a minute each time.
_LATEST = 90.0


def healed(action: Callable[[], Result]) -> Result:
    """What ``action`` returns, which is called again while its error is one that passes (``is_passing``)."""
    started = time.monotonic()
    for wait in WAITS:
        try:
            return action()
        except Exception as error:
            if not is_passing(error) or time.monotonic() - started > _LATEST:
                raise
        time.sleep(_spread(wait))
    return action()


def _spread(wait: float) -> float:
    # workers that were refused together must not come back together
    return wait * random.uniform(0.5, 1.0)
