"""Risk: what the documentation imports leads nowhere, or costs a traceback where torch is not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

import oceanrecon.training


def test_every_name_can_be_imported() -> None:
    assert all(callable(getattr(oceanrecon.training, name)) for name in oceanrecon.training.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'load': it has load_model, reconstruct"):
        oceanrecon.training.load  # noqa: B018


def test_without_torch_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["torch"] = None
from oceanrecon.training import load_model
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert "load_model needs torch, which is not installed: in your clone" in result.stderr
