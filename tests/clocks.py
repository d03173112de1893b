"""Clocks that tests set: the clock of one module, never the one of the process."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest


def set_clock(monkeypatch: pytest.MonkeyPatch, module: str, **functions: Any) -> None:
    """``module`` sees these ``functions`` in place of those of ``time``; the event loops of the process do not.

    Where the clock of the whole process is replaced, the loop of the cluster that all tests share reads it too: it dies
    of a clock that ends, and its heartbeats wait for days after a clock that jumped.
    """
    monkeypatch.setattr(f"{module}.time", SimpleNamespace(**vars(time) | functions))
