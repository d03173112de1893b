"""Outputs that leases are taken of."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import fsspec
import pytest

from oceanrecon.stores.files import Root


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(str(tmp_path / "export"))


@pytest.fixture
def memory() -> Root:
    with suppress(FileNotFoundError):
        fsspec.filesystem("memory").rm("/leases", recursive=True)
    return Root("memory://leases/export")
