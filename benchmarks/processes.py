"""Measurements in processes of their own, so that none inherits another's memory or warm caches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil

_ROOT = Path(__file__).parents[1]


def run_module(module: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Any:
    """Run a module that prints JSON, and take what it prints."""
    result = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=_ROOT,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def cpu_seconds() -> float:
    """Of this process and all below it, those that have ended included."""
    me = psutil.Process(os.getpid())
    return sum(sum(process.cpu_times()[:4]) for process in (me, *me.children(recursive=True)))


def touch_memory(*, quick: bool) -> None:
    """Have the machine's memory at hand: the first touch of what a virtual machine gave back costs 2 s per GB."""
    np.ones(10_000_000 if quick else 2_000_000_000, np.uint8)
