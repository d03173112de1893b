"""What the tests of samples share."""

from __future__ import annotations

from pathlib import Path

import pytest
from distributed import Client

import oceanrecon
from tests.archives import DEPTH, copied, settings
from tests.pipeline.profiles.tiny import enrich, write_sources
from tests.pipeline.profiles.tiny import settings as profile_settings


@pytest.fixture(scope="session")
def sources_of_profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """EN4 months of 200 profiles each, and a float, around the three weeks of the tiny archive."""
    return write_sources(tmp_path_factory.mktemp("samples") / "sources", profiles=200)


@pytest.fixture(scope="session")
def with_profiles(archive: Path, exported: Path, sources_of_profiles: Path, client: Client) -> dict[str, Path]:
    """Exports of the tiny archive with gridded profiles, by encoding, for reading: 3 degree cells, three levels."""
    top = sources_of_profiles.parent
    store = profile_settings(sources_of_profiles, top / "profiles", depth=list(DEPTH))
    assert enrich(store, client).complete
    found = {}
    for encoding in ("uint8", "uint16"):
        output = top / encoding
        if encoding == "uint8":
            copied(exported, output)
        else:
            assert oceanrecon.export(settings(archive, output, encoding=encoding), client=client).complete
        chosen = store.model_copy(update={"grid": profile_settings(
            sources_of_profiles, top / "profiles", grid={"export": str(output)}).grid})  # fmt: skip
        assert oceanrecon.grid_profiles(chosen, client=client).complete
        found[encoding] = output
    return found
