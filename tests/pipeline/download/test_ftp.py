"""Risk: a password crosses the network in the open, or a swath that was cut counts as whole."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from oceanrecon.download_config import AVISO, SwotSettings
from oceanrecon.errors import ConfigError, InsecureWarning
from oceanrecon.pipeline.download.attempts import Manner
from oceanrecon.pipeline.download.ftp import credentials
from oceanrecon.pipeline.download.received import Received
from oceanrecon.pipeline.download.remote import Listing
from oceanrecon.pipeline.download.swot import SwotSource
from oceanrecon.service.clusters.certificates import make_certificates
from oceanrecon.service.clusters.security import AUTHORITY
from tests.pipeline.download.servers import NAME, Ftp, ftp_server

FIRST, LAST = dt.date(2023, 7, 28), dt.date(2023, 7, 30)
CONTENT = bytes(range(256)) * 400


def swath(cycle: int, number: int, day: dt.date, version: str = "2.0.1") -> str:
    stamp = f"{day:%Y%m%d}T010203_{day:%Y%m%d}T015330"
    return f"SWOT_L3_LR_SSH_Basic_{cycle:03d}_{number:03d}_{stamp}_v{version}.nc"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cycles: 28 July in one, 29 and 30 July and a later day in the other, one pass in two versions."""
    top = tmp_path / "server" / "Basic"
    for name in (
        f"cycle_001/{swath(1, 7, FIRST)}",
        f"cycle_001/{swath(1, 8, FIRST, '2.0.0')}",
        f"cycle_001/{swath(1, 8, FIRST, '2.0.1')}",
        f"cycle_578/{swath(578, 1, LAST)}",
        f"cycle_578/{swath(578, 2, LAST + dt.timedelta(days=1))}",
        "cycle_578/readme.txt",
    ):
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
    return top.parent


@contextmanager
def source(ftp: Ftp, output: Path, manner: Manner, *, unencrypted: bool) -> Iterator[SwotSource]:
    settings = SwotSettings(host="127.0.0.1", port=ftp.port, folder="/Basic", unencrypted=unencrypted)
    opened = SwotSource(settings, Received(output), manner)
    try:
        yield opened
    finally:
        opened.close()


def fetch_all(opened: SwotSource) -> Listing:
    (listing,) = opened.listings(FIRST, LAST)
    if listing.error is not None:
        raise listing.error
    for group in opened.groups(listing.files):
        for outcome in opened.fetch(group):
            if outcome.error is not None:
                raise outcome.error
    return listing


@pytest.mark.usefixtures("signed_in")
def test_the_days_that_are_wanted_come_encrypted_and_cut_ones_go_on(
    folder: Path, tmp_path: Path, manner: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates = make_certificates(tmp_path / "tls").folder
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / AUTHORITY))
    # the end of a cut connection is waited for
    brisk = replace(manner, timeout=5.0)
    with ftp_server(folder, certificates) as ftp, source(ftp, tmp_path, brisk, unencrypted=False) as opened:
        ftp.cuts += [40_000]
        listing = fetch_all(opened)
        assert ftp.commands.index("AUTH TLS") < ftp.commands.index("PASS")
        assert "PROT P" in ftp.commands
        assert [command for command in ftp.commands if command.startswith("REST")] == ["REST 40000"]
    names = {swath(1, 7, FIRST), swath(1, 8, FIRST), swath(578, 1, LAST)}
    assert {path.name for path in (tmp_path / "l3_swot").iterdir()} == names
    assert all(path.read_bytes() == CONTENT for path in (tmp_path / "l3_swot").iterdir())
    assert listing.missing == (dt.date(2023, 7, 29),)


@pytest.mark.usefixtures("signed_in")
def test_no_password_is_sent_to_a_server_without_tls_unless_the_settings_allow_it(
    folder: Path, tmp_path: Path, manner: Manner
) -> None:
    with ftp_server(folder, without=("MLSD", "MLST")) as ftp:
        with source(ftp, tmp_path, manner, unencrypted=False) as opened:
            (listing,) = opened.listings(FIRST, LAST)
            assert "only `sources.l3_swot.unencrypted: true` allows" in str(listing.error)
        assert "PASS" not in ftp.commands
        with (
            pytest.warns(InsecureWarning, match="sent as plain text"),
            source(ftp, tmp_path, manner, unencrypted=True) as opened,
        ):
            # this server lists in the old way only
            assert len(fetch_all(opened).files) == 3


def test_missing_and_wrong_credentials_are_named_and_never_shown(
    folder: Path, tmp_path: Path, manner: Manner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ftp_server(folder) as ftp, pytest.warns(InsecureWarning):
        with source(ftp, tmp_path, manner, unencrypted=True) as opened:
            (listing,) = opened.listings(FIRST, LAST)
            assert "set the line of machine 127.0.0.1 in ~/.netrc" in str(listing.error)
            netrc = tmp_path / "netrc"
            netrc.write_text(f"machine 127.0.0.1 login {NAME} password wrong-one\n")
            monkeypatch.setenv("NETRC", str(netrc))
            (listing,) = opened.listings(FIRST, LAST)
            assert "refuses the credentials" in str(listing.error)
            assert "wrong-one" not in repr(listing.error)


@pytest.mark.usefixtures("signed_in")
@pytest.mark.parametrize("without", [("MLSD", "MLST"), ("MLSD", "MLST", "MDTM")])
def test_a_part_of_another_content_is_not_continued_where_the_listing_says_no_times(
    folder: Path, tmp_path: Path, manner: Manner, without: tuple[str, ...]
) -> None:
    path = folder / "Basic" / "cycle_001" / swath(1, 7, FIRST)
    (folder / "Basic" / "cycle_001" / swath(1, 8, FIRST)).unlink()
    once = replace(manner, tries=1)
    brisk = replace(once, timeout=2.0)  # the end of a cut connection is waited for
    with ftp_server(folder, without=without) as ftp, pytest.warns(InsecureWarning):
        for content, time in ((CONTENT, 1.0e9), (CONTENT[::-1], 1.1e9)):
            path.write_bytes(content)
            os.utime(path, (time, time))
            patient = brisk if content is CONTENT else once
            with source(ftp, tmp_path, patient, unencrypted=True) as opened:
                (listing,) = opened.listings(FIRST, FIRST)
                (file,) = [file for file in listing.files if file.name == path.name]
                # where the server can be asked for it, a replaced file is seen to be one
                assert bool(file.version) == ("MDTM" not in without)
                ftp.cuts += [40_000] if content is CONTENT else []
                (outcome,) = opened.fetch([file])
                assert outcome.status == ("failed" if content is CONTENT else "fetched")
    assert (tmp_path / "l3_swot" / path.name).read_bytes() == CONTENT[::-1]


@pytest.mark.usefixtures("signed_in")
def test_connections_that_the_server_closed_meanwhile_cost_no_try(folder: Path, tmp_path: Path, manner: Manner) -> None:
    once = replace(manner, tries=1)
    with (
        ftp_server(folder) as ftp,
        pytest.warns(InsecureWarning),
        source(ftp, tmp_path, once, unencrypted=True) as opened,
    ):
        (listing,) = opened.listings(FIRST, LAST)
        ftp.forget()
        assert [outcome.status for outcome in opened.fetch(listing.files)] == ["fetched"] * 3


def test_the_password_of_aviso_is_for_its_own_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVISO_USERNAME", "me")
    monkeypatch.setenv("AVISO_PASSWORD", "hunter2")
    assert credentials(AVISO) == ("me", "hunter2")
    with pytest.raises(ConfigError, match=r"no credentials for elsewhere\.example: set the line"):
        credentials("elsewhere.example")
