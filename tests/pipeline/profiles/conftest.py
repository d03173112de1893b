"""What the tests of profiles share."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed import Client

from tests.pipeline.profiles.tiny import enrich, settings, shards_of, write_sources


@pytest.fixture(scope="session")
def cruise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of EN4 and Argo files of four months, for reading; a test that changes it takes a copy."""
    return write_sources(tmp_path_factory.mktemp("cruise") / "sources")


@pytest.fixture(scope="session")
def enriched(cruise: Path, archive: Path, client: Client) -> Path:
    """A whole store of them beside the tiny archive, for reading; a test that changes it takes a copy."""
    output = cruise.parent / "enriched"
    assert enrich(settings(cruise, output, archive), client).complete
    return output


@pytest.fixture(scope="session")
def plain(cruise: Path, client: Client) -> Path:
    """A whole store of them alone, without any fields, for reading."""
    output = cruise.parent / "plain"
    assert enrich(settings(cruise, output), client).complete
    return output


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores of sixteen rows in a shard and four in a chunk, so that a few profiles fill several."""
    shards_of(monkeypatch, 4, 16)
