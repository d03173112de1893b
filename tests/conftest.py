"""Fixtures that every room uses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real sample files; without it the test is skipped on a laptop and fails in CI."""
    stated = os.environ.get("OCEANRECON_REAL_DATA")
    folder = Path(stated) if stated else Path(__file__).parents[2] / "shared" / "real"
    if not folder.is_dir():
        message = f"no real data at {folder}: set OCEANRECON_REAL_DATA to their folder"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder
