"""Measurements in processes of their own, so that none inherits another's memory or warm caches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
