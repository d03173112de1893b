"""Servers to fetch from, and no credentials but those of a test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from oceanrecon.pipeline.download.attempts import Manner
from oceanrecon.pipeline.download.redact import ENVIRONMENT
from tests.pipeline.download.catalogue import Catalogue
from tests.pipeline.download.servers import NAME, PASSWORD, Site, web_server


@pytest.fixture(autouse=True)
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    monkeypatch.setenv("COPERNICUSMARINE_CREDENTIALS_DIRECTORY", str(tmp_path / "no-login"))


@pytest.fixture
def signed_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Has credentials for the FTP server of a test."""
    path = tmp_path / "netrc"
    path.write_text(f'machine 127.0.0.1 login {NAME} password "{PASSWORD}"\n')
    monkeypatch.setenv("NETRC", str(path))


@pytest.fixture
def site() -> Iterator[Site]:
    with web_server() as server:
        yield server


@pytest.fixture
def manner() -> Manner:
    return Manner(tries=3, wait=0.0, timeout=5.0, connections=2)


@pytest.fixture
def catalogue(monkeypatch: pytest.MonkeyPatch) -> Catalogue:
    """In the place of the ``copernicusmarine`` package."""
    fake = Catalogue()
    monkeypatch.setitem(sys.modules, "copernicusmarine", fake)
    return fake
