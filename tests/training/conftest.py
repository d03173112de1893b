"""Tests run side by side: threads of torch that wait for each other's core are ten times slower than one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from distributed import Client

from tests.training.prepared import prepare

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def prepared(with_profiles: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, client: Client) -> Path:
    """Patch index and statistics of the export with profiles, for reading."""
    return prepare(with_profiles["uint16"], tmp_path_factory.mktemp("prepared") / "data", client)
