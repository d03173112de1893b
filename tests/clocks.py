"""Time in tests: a clock for one module, never for the whole process, and waiting for what is to come."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest


def set_clock(monkeypatch: pytest.MonkeyPatch, module: str, **functions: Any) -> None:
    """``module`` sees these ``functions`` in place of those of ``time``; the event loops of the process do not.

    Where the clock of the whole process is replaced, the loop of the cluster that all tests share reads it too: it dies
    of a clock that ends, and its heartbeats wait for days after a clock that jumped.
    """
    monkeypatch.setattr(f"{module}.time", SimpleNamespace(**vars(time) | functions))


def wait_for(condition: Callable[[], object], what: str = "what the test waits for", seconds: float = 90) -> None:
    """Wait until something is so; so long only where it fails."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"it took too long: {what}"
        time.sleep(0.01)
